# shellcheck shell=bash disable=SC2034 # variables are those of whoever sources this
# The programs that the comparisons run, and where they run.

# Builds the server and the load generator, unless MERIDIAN and LOAD say where they are.
build_programs() {
    local target=${CARGO_TARGET_DIR:-target}
    if [[ ${MERIDIAN:-} && ${LOAD:-} ]]; then
        meridian=$MERIDIAN load=$LOAD
        return
    fi
    cargo build --release --quiet --bin meridian --bench load
    meridian=$(realpath "$target/release/meridian")
    # Cargo says where it put the generator.
    load=$(cargo build --release --bench load --message-format json 2>/dev/null |
        sed -n 's/.*"name":"load".*"executable":"\([^"]*\)".*/\1/p' | tail -1)
}

# The load has the first processor that this may use, servers the last.
choose_cpus() {
    local cpus
    mapfile -t cpus < <(taskset -cp $$ | sed 's/.*: //' | tr , '\n' |
        awk -F- '{ for (cpu = $1; cpu <= $NF; cpu++) print cpu }')
    if ((${#cpus[@]} < 2)); then
        echo "this needs two processors: one for the load, one for the servers" >&2
        return 1
    fi
    load_cpu=${cpus[0]} server_cpu=${cpus[-1]} cpu_count=${#cpus[@]}
}
on_load() { taskset -c "$load_cpu" "$@"; }

# A number of a line of JSON.
field() { # name, line
    local rest=${2#*\""$1"\":}
    echo "${rest%%[,\}]*}"
}
