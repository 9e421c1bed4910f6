#!/usr/bin/env bash
# What changes cost those who ask: queries a second and latencies while tables are swapped, zones are read anew,
# metrics are scraped and ten thousand targets are probed, each beside a server at rest, by turns; and what of the
# processor queries took, and what the server's other threads.
#
#   benches/change.sh            everything, about 12 minutes on a quiet machine
#   benches/change.sh WORLD…     some of small, services, million, probed
#   benches/change.sh --quick    short turns: does it all still work?
#
# The server has one processor for everything that it does, workers and control alike: what a change costs is taken
# from the queries. With a processor to spare it costs them nothing but cold caches.
# Results go to target/change.jsonl, one turn a line.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
export PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C

# shellcheck source-path=SCRIPTDIR/.. source=benches/compare/load.sh
source benches/compare/load.sh
# shellcheck source-path=SCRIPTDIR/.. source=benches/compare/worlds.sh
source benches/compare/worlds.sh
# shellcheck source-path=SCRIPTDIR/.. source=benches/compare/servers.sh
source benches/compare/servers.sh

rounds=5 span=1 million=1000000 services=10000 probed=10000 results=target/change.jsonl worlds=()
while (($#)); do
    case $1 in
    --quick) rounds=1 span=0.5 million=10000 services=300 probed=300 ;;
    small | services | million | probed) worlds+=("$1") ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0" && exit ;;
    *) echo "unknown: $1; see --help" >&2 && exit 2 ;;
    esac
    shift
done

((${#worlds[@]})) || worlds=(small services million probed)
home=$(mktemp -d) targets='' beside=
declare -A pid=() port=()
tidy() {
    calm
    stop meridian
    if [[ $targets ]]; then
        kill "$targets" 2>/dev/null || true
        wait "$targets" 2>/dev/null || true
    fi
    rm -rf "$home"
}
# Ends what goes on beside the load.
calm() {
    [[ $beside ]] || return 0
    kill "$beside" 2>/dev/null || true
    wait "$beside" 2>/dev/null || true
    beside=
}
trap tidy EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

build_programs
choose_cpus
mkdir -p target
: >"$results"

# One turn of load, which is the question of the world.
turn() { # options…
    # shellcheck disable=SC2086 # words on purpose
    on_load "$load" run --server "127.0.0.1:${port[meridian]}" --pid "${pid[meridian]}" $question \
        --seconds "$span" --warm-up 0.3 "$@"
}

# What goes on in the background, until it is ended.
churn() { # rate, call, bodies…
    local rate=$1 call=$2 body bodies=()
    for body in "${@:3}"; do bodies+=(--body "$body"); done
    # Not by `on_load`: this must be the very process that is ended.
    taskset -c "$load_cpu" "$load" churn --api "127.0.0.1:$((port[meridian] + 2))" --call "$call" --rate "$rate" --seconds 60 \
        "${bodies[@]}" >"$home/churn" 2>&1 &
    beside=$!
}
orders() { # a second
    churn "$1" 'PUT /api/services/svc00000.example.net/weights' \
        '{"weights": {"us1": 90}}' '{"weights": {"us1": 80}}'
}
reloads() { # seconds between
    local gap=$1 serial file=$home/meridian/zones/example.net.zone
    # One serial is another, so that something has changed; everything is read.
    (for ((serial = $(date +%s); ; serial++)); do
        net_zone | sed "s/hostmaster 1 /hostmaster $serial /" >"$home/next" && mv "$home/next" "$file"
        kill -HUP "${pid[meridian]}"
        sleep "$gap"
    done) &
    beside=$!
}
begin_beside() { # what
    case $1 in
    rest) ;;
    'swap '*) orders "${1#swap }" ;;
    # Scrapers ask every 15 seconds. Once a second is harsh; ten times is torture.
    'metrics '*) churn "${1#metrics }" 'GET /metrics' ;;
    'reload every '*) reloads "${1#reload every }" ;;
    esac
}

# Memory after so many reloads, of which each is let settle: old files are let go within two seconds.
memory_after_reloads() { # world, count
    local world=$1 count=$2 n before file=$home/meridian/zones/example.net.zone
    printf '%-9s memory after reload 0 to %d (MB): %d' "$world" "$count" $(($(memory_kb "${pid[meridian]}") / 1000))
    for ((n = 1; n <= count; n++)); do
        before=$(generation)
        net_zone | sed "s/hostmaster 1 /hostmaster $(($(date +%s) + n)) /" >"$home/next" && mv "$home/next" "$file"
        kill -HUP "${pid[meridian]}"
        while [[ $(generation) == "$before" ]]; do sleep 0.1; done
        sleep 3
        printf ' %d' $(($(memory_kb "${pid[meridian]}") / 1000))
        printf '{"world":"%s","beside":"reloads","reload":%d,"memory_kb":%d}\n' "$world" "$n" \
            "$(memory_kb "${pid[meridian]}")" >>"$results"
    done
    echo
}

generation() {
    # The smallest answer that says it.
    curl -sf "http://127.0.0.1:$((port[meridian] + 2))/readyz" | sed -n 's/.*"generation": *\([0-9]*\).*/\1/p' | head -1
}

# Writes a turn down.
note() { # world, what, state, loop, round, line
    printf '{"world":"%s","beside":"%s","state":"%s","loop":"%s","round":%d,%s\n' "${@:1:5}" "${6:1}" >>"$results"
    [[ $4 == full ]] && printf ' %7.0f' "$(field qps "$6")"
    return 0
}
half_of() { awk -v qps="$(field qps "$1")" 'BEGIN { print qps / 2 }'; }
# What is left when it is over.
note_end() { # world, what, generations, seconds
    local memory
    memory=$(memory_kb "${pid[meridian]}")
    printf ' | %d generations, %d MB after\n' "$3" $((memory / 1000))
    printf '{"world":"%s","beside":"%s","generations":%d,"seconds":%d,"memory_kb":%d}\n' "$@" "$memory" >>"$results"
}

# What goes on by turns with rest: throughput, then latencies at half of it.
beside_rest() { # world, what
    local world=$1 what=$2 round state line rate=0 before after began
    printf '%-9s %-16s' "$world" "$what"
    before=$(generation) began=$(date +%s%N)
    for loop in full half; do
        for ((round = 1; round <= rounds; round++)); do
            for state in rest "$what"; do
                begin_beside "$state"
                if [[ $loop == full ]]; then line=$(turn); else line=$(turn --rate "$rate"); fi
                calm
                note "$world" "$what" "$state" "$loop" "$round" "$line"
                if [[ $loop == full && $state == rest ]]; then rate=$(half_of "$line"); fi
            done
        done
    done
    after=$(generation)
    sleep 2
    note_end "$world" "$what" $((after - before)) $((($(date +%s%N) - began) / 1000000000))
}

# Starts the server over a world, and waits until it answers.
start_world() { # world
    local began
    began=$(date +%s%N)
    start meridian
    # shellcheck disable=SC2046 # words on purpose
    on_load "$load" wait --server "127.0.0.1:${port[meridian]}" --since "$began" $(first_question meridian small) >/dev/null
    sleep 1
}

# Services beside those that are asked for, three addresses each, with a check of each or without.
probed_services() { # directory, port of the targets, `probed` or `rest`
    awk -v dir="$1" -v port="$2" -v count="$probed" -v is_probed="$([[ $3 == probed ]] && echo 1 || echo 0)" 'BEGIN {
        for (n = 0; n < count / 3; n++) {
            file = sprintf("%s/probed%05d.example.net.yaml", dir, n)
            printf "gslb:\n  domain: probed%05d.example.net\n", n >file
            if (is_probed) printf "  health_check: {protocol: http, port: %d, path: /actuator/health, interval: 5s, timeout: 3s, threshold: 3}\n", port >file
            print "  policies: {default: {type: weighted}}\n  endpoints:" >file
            for (at = 1; at <= 3; at++) printf "    dc%d: {ip: 127.9%d.%d.%d}\n", at, at, n / 250, 1 + n % 250 >file
            close(file)
        }
    }'
}
probes() { curl -sf "http://127.0.0.1:$((port[meridian] + 2))/metrics" | sed -n "s/^meridian_probes_$1 //p"; }

# Who is watched is watched all the time: with probes and without are two servers, started by turns.
beside_probes() {
    local round state loop line rate=0 target_port before spent began what="$probed targets"
    coproc TARGETS { exec taskset -c "$load_cpu" "$load" targets; }
    targets=$TARGETS_PID
    read -r target_port <&"${TARGETS[0]}"
    configure meridian small
    began=$(date +%s%N)
    printf '%-9s %-16s' probed "$what"
    for ((round = 1; round <= rounds; round++)); do
        for state in rest probed; do
            probed_services "$home/meridian/zones" "$target_port" "$state"
            start_world
            # The first probes come all at once.
            [[ $state == rest ]] || sleep 6
            if ((round == 1)) && [[ $state == rest ]]; then
                printf '{"world":"probed","beside":"start","memory_kb":%d}\n' "$(memory_kb "${pid[meridian]}")" >>"$results"
            fi
            before=$(probes started_total) spent=$(date +%s%N)
            for loop in full half; do
                if [[ $loop == full ]]; then line=$(turn); else line=$(turn --rate "$rate"); fi
                note probed "$what" "$state" "$loop" "$round" "$line"
                if [[ $loop == full && $state == rest ]]; then rate=$(half_of "$line"); fi
            done
            if [[ $state == probed ]]; then
                spent=$(($(date +%s%N) - spent))
                printf ' (%d probes/s, %d late)' $((($(probes started_total) - before) * 1000000000 / spent)) "$(probes late_total)"
                ((round < rounds)) || note_end probed "$what" 0 $((($(date +%s%N) - began) / 1000000000))
            fi
            stop meridian
        done
    done
}

make_geoip
for world in "${worlds[@]}"; do
    if [[ $world == probed ]]; then
        make_world small
        question="--name svc00000.example.net --expect service --places $home/places"
        beside_probes
        continue
    fi
    make_world "$world"
    configure meridian "$world"
    began=$(date +%s%N)
    start meridian
    # shellcheck disable=SC2046 # words on purpose
    on_load "$load" wait --server "127.0.0.1:${port[meridian]}" --since "$began" $(first_question meridian "$world") >/dev/null
    sleep 1
    printf '{"world":"%s","beside":"start","memory_kb":%d}\n' "$world" "$(memory_kb "${pid[meridian]}")" >>"$results"
    case $world in
    small)
        question="--name svc00000.example.net --expect service --places $home/places"
        for what in 'swap 1' 'swap 10' 'swap 100' 'metrics 1' 'metrics 10' 'reload every 0.5'; do beside_rest small "$what"; done
        ;;
    services)
        question="--name svc%05.example.net --names $services --expect service --places $home/places"
        memory_after_reloads services 10
        for what in 'swap 1' 'swap 10' 'swap 100' 'metrics 1' 'metrics 10' 'reload every 5'; do beside_rest services "$what"; done
        ;;
    million)
        question="--name host%07.example.com --names $million --expect static"
        beside_rest million 'reload every 2'
        ;;
    esac
    stop meridian
done
python3 benches/compare/change.py "$results"
