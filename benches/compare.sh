#!/usr/bin/env bash
# Meridian beside other name servers: the same work, the same machine, the same run.
#
#   benches/compare.sh                          everything, a quarter of an hour on a quiet machine
#   benches/compare.sh --quick                  short turns: does it all still work?
#   benches/compare.sh --only gdnsd --only nsd  these peers
#   benches/compare.sh --work geo --work ecs    this work
#
# Every server is kept on one processor, the load on another. Turns are short and alternate, Meridian, peer,
# Meridian, peer, since what the kernel takes for a packet changes from minute to minute: only neighbours compare.
# Results go to target/compare.jsonl, one turn a line; the table and the chart are made of them.
#
# As root on Debian missing servers are installed; nothing is started by their packages. What this starts runs in a
# temporary directory, listens on loopback alone, and is ended by its own process id.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
export PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C

# shellcheck source-path=SCRIPTDIR/.. source=benches/compare/load.sh
source benches/compare/load.sh
# shellcheck source-path=SCRIPTDIR/.. source=benches/compare/worlds.sh
source benches/compare/worlds.sh
# shellcheck source-path=SCRIPTDIR/.. source=benches/compare/servers.sh
source benches/compare/servers.sh

peers=(gdnsd nsd knot knot-geoip pdns-bind pdns-geoip pdns-lua bind bind-geoip)
works=(static nxdomain million geo ecs services grouped tcp dot)

# Which world a work happens in, and how the generator asks for it.
declare -A world_of=([static]=small [nxdomain]=small [million]=million [geo]=small [ecs]=small
    [services]=services [grouped]=small [tcp]=small [dot]=small)
declare -A asks=(
    [static]='--name www.example.com --expect static'
    [nxdomain]='--name none%07.example.com --names 1000000 --expect nxdomain'
    [million]='--name host%07.example.com --names MILLION --expect static'
    [one_name]='--name host0000000.example.com --expect static'
    [geo]='--name svc00000.example.net --expect service --places PLACES'
    [ecs]='--name svc00000.example.net --expect service --places NETWORKS --ecs'
    [services]='--name svc%05.example.net --names SERVICES --expect service --places PLACES'
    [grouped]='--name www.example.com --expect static --sources 1'
    [tcp]='--name www.example.com --expect static --transport tcp'
    [dot]='--name www.example.com --expect static --transport dot'
)
# Who can do it. Knot's and BIND's geo work is without weights; NSD and the plain ones know no clients.
declare -A who=(
    [static]='gdnsd nsd knot pdns-bind bind'
    [nxdomain]='gdnsd nsd knot pdns-bind bind'
    [million]='gdnsd nsd knot pdns-bind bind'
    [geo]='gdnsd knot-geoip pdns-geoip pdns-lua bind-geoip'
    [ecs]='gdnsd knot-geoip pdns-geoip pdns-lua'
    [services]='gdnsd knot-geoip pdns-geoip bind-geoip'
    [grouped]='gdnsd nsd knot'
    [tcp]='gdnsd nsd knot bind'
    [dot]='nsd bind'
)

rounds=5 span=1 warm_up=0.2 half_rounds=3 million=1000000 services=10000
only=() wanted=() results=target/compare.jsonl
while (($#)); do
    case $1 in
    --quick) rounds=1 span=0.3 warm_up=0.1 half_rounds=1 million=10000 services=100 ;;
    --only) only+=("${2:?--only takes a peer}") && shift ;;
    --work) wanted+=("${2:?--work takes a work}") && shift ;;
    --rounds) rounds=${2:?--rounds takes a number} && shift ;;
    --results) results=${2:?--results takes a file} && shift ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0" && exit ;;
    *) echo "unknown: $1; see --help" >&2 && exit 2 ;;
    esac
    shift
done
((${#only[@]})) || only=("${peers[@]}")
((${#wanted[@]})) || wanted=("${works[@]}")
among() { # what, among which
    local word
    for word in "${@:2}"; do [[ $word == "$1" ]] && return; done
    return 1
}
for word in "${only[@]}"; do among "$word" "${peers[@]}" || { echo "no such peer: $word (${peers[*]})" >&2 && exit 2; }; done
for word in "${wanted[@]}"; do among "$word" "${works[@]}" || { echo "no such work: $word (${works[*]})" >&2 && exit 2; }; done

litter=() home=$(mktemp -d)
declare -A pid=() port=()
tidy() {
    local server
    for server in "${!pid[@]}"; do stop "$server"; done
    ((${#litter[@]})) && rm -f "${litter[@]}"
    rm -rf "$home"
}
trap tidy EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

install_peers
build_programs
choose_cpus

mkdir -p "$(dirname "$results")"
: >"$results"
note() { # fields of JSON
    printf '{%s}\n' "$1" >>"$results"
}
note "\"kind\":\"machine\",\"kernel\":\"$(uname -r)\",\"cpu\":\"$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)\",\"cpus\":$cpu_count,\"million\":$million,\"services\":$services,\"span_s\":$span"

# One turn of load: prints the generator's line. A reply that is wrong ends the whole comparison.
turn() { # server, work, options…
    local server=$1 work=$2 ask to=${port[$1]}
    shift 2
    ask=${asks[$work]}
    ask=${ask/MILLION/$million} ask=${ask/SERVICES/$services}
    ask=${ask/PLACES/$home/places} ask=${ask/NETWORKS/$home/networks}
    [[ $work != dot ]] || to=$((to + 1))
    # shellcheck disable=SC2086 # words on purpose
    on_load timeout 60 "$load" run --server "127.0.0.1:$to" --pid "${pid[$server]}" $ask \
        --seconds "$span" --warm-up "$warm_up" "$@" ||
        { echo "$server answers $work wrongly, or not at all" >&2 && tail -5 "$home/$server.log" >&2 && exit 1; }
}
log_turn() { # kind, work, server, against, round, line
    note "\"kind\":\"$1\",\"work\":\"$2\",\"server\":\"$3\",\"against\":\"$4\",\"round\":$5,${6:1:-1}"
}

# Meridian and a peer by turns: at saturation, at half load, with one in flight.
duel() { # work, peer
    local work=$1 peer=$2 round line rate least=0 server
    printf '%-9s %-11s' "$work" "$peer"
    for ((round = 1; round <= rounds; round++)); do
        for server in meridian "$peer"; do
            line=$(turn "$server" "$work")
            log_turn full "$work" "$server" "$peer" "$round" "$line"
            rate=$(field qps "$line")
            least=$(awk -v a="$least" -v b="$rate" 'BEGIN { print a == 0 || b < a ? b : a }')
            printf ' %7.0f' "$rate"
        done
        printf ' |'
    done
    echo
    if [[ $work != tcp && $work != dot ]]; then
        # Half of what the slower one can, for both: the same work.
        rate=$(awk -v least="$least" 'BEGIN { print (least > 2 ? least / 2 : 1) }')
        for ((round = 1; round <= half_rounds; round++)); do
            for server in meridian "$peer"; do
                line=$(turn "$server" "$work" --rate "$rate")
                log_turn half "$work" "$server" "$peer" "$round" "$line"
            done
        done
        if [[ $work == static || $work == geo ]]; then
            for ((round = 1; round <= half_rounds; round++)); do
                for server in meridian "$peer" meridian-poll; do
                    line=$(turn "$server" "$work" --in-flight 1)
                    log_turn one "$work" "$server" "$peer" "$round" "$line"
                done
            done
        fi
    fi
}

# Meridian alone: a million names beside one of them, by turns.
one_of_many() {
    local round work line
    for ((round = 1; round <= rounds; round++)); do
        for work in million one_name; do
            line=$(turn meridian "$work")
            note "\"kind\":\"names\",\"work\":\"$work\",\"round\":$round,${line:1:-1}"
        done
    done
}

# dnsperf beside our own generator, once: it is full earlier, but the order must be the same.
check_by_dnsperf() { # server
    command -v dnsperf >/dev/null || return 0
    local rate
    echo 'www.example.com A' >"$home/questions"
    rate=$(on_load timeout 20 dnsperf -s 127.0.0.1 -p "${port[$1]}" -d "$home/questions" -l 2 -q 128 -c 16 -e 2>/dev/null |
        sed -n 's/.*Queries per second: *//p')
    note "\"kind\":\"dnsperf\",\"work\":\"static\",\"server\":\"$1\",\"qps\":${rate:-0}"
}

until_right() { # server, since, options…
    on_load "$load" wait --server "127.0.0.1:${port[$1]}" --since "$2" "${@:3}"
}

# Starts a server over a world and notes how long it takes until it answers, and its memory then.
begin() { # server, world
    local server=$1 world=$2 began took first
    configure "$server" "$world"
    began=$(date +%s%N)
    start "$server"
    first=$(first_question "$server" "$world")
    # shellcheck disable=SC2086 # words on purpose
    took=$(until_right "$server" "$began" $first) ||
        { echo "$server does not start over $world:" >&2 && tail -20 "$home/$server.log" >&2 && exit 1; }
    keep_on_cpu "${pid[$server]}"
    note "\"kind\":\"start\",\"world\":\"$world\",\"server\":\"$server\",\"ms\":$took,\"memory_kb\":$(memory_kb "${pid[$server]}")"
}

# Changes one record of the zone and notes how long it takes until the change is answered, and the memory then.
change() { # server, world
    local server=$1 world=$2 began took name
    name=www.example.com
    [[ $world == million ]] && name=host0000000.example.com
    change_zone "$home/$server" "${name%%.*}"
    began=$(date +%s%N)
    reload "$server"
    took=$(until_right "$server" "$began" --name "$name" --expect changed) ||
        { echo "$server does not reload $world:" >&2 && tail -5 "$home/$server.log" >&2 && exit 1; }
    note "\"kind\":\"reload\",\"world\":\"$world\",\"server\":\"$server\",\"ms\":$took,\"memory_kb\":$(memory_kb "${pid[$server]}")"
}

make_geoip
for world in small million services; do
    jobs=() takers=(meridian)
    for work in "${wanted[@]}"; do
        [[ ${world_of[$work]} == "$world" ]] || continue
        for peer in ${who[$work]}; do
            among "$peer" "${only[@]}" || continue
            if ! has "$peer"; then
                echo "$peer is not installed: left out" >&2
                continue
            fi
            jobs+=("$work $peer")
            among "$peer" "${takers[@]}" || takers+=("$peer")
        done
    done
    ((${#jobs[@]})) || continue
    [[ $world == small ]] && takers+=(meridian-poll)
    make_world "$world"
    for server in "${takers[@]}"; do begin "$server" "$world"; done
    for job in "${jobs[@]}"; do
        # shellcheck disable=SC2086 # two words
        duel $job
    done
    [[ $world == million ]] && one_of_many
    read -ra plain <<<"meridian ${who[static]}"
    for server in "${takers[@]}"; do
        if [[ $world != services ]] && among "$server" "${plain[@]}"; then
            [[ $world == small ]] && check_by_dnsperf "$server"
            change "$server" "$world"
        fi
        stop "$server"
    done
    rm -rf "${home:?}/$world"
done
python3 benches/compare/report.py "$results" --chart target/compare.svg
