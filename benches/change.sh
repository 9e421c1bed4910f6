#!/usr/bin/env bash
# What changes cost those who ask: queries a second and latencies while tables are swapped, zones are read anew and
# metrics are scraped, each beside a server at rest, by turns.
#
#   benches/change.sh            everything, about 6 minutes on a quiet machine
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

rounds=5 span=1 million=1000000 services=10000 results=target/change.jsonl
while (($#)); do
    case $1 in
    --quick) rounds=1 span=0.5 million=10000 services=300 ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0" && exit ;;
    *) echo "unknown: $1; see --help" >&2 && exit 2 ;;
    esac
    shift
done

home=$(mktemp -d) beside=
declare -A pid=() port=()
tidy() {
    calm
    stop meridian
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
    (for ((serial = SECONDS + 2; ; serial++)); do
        sleep "$gap"
        net_zone | sed "s/hostmaster 1 /hostmaster $serial /" >"$home/next" && mv "$home/next" "$file"
        kill -HUP "${pid[meridian]}"
    done) &
    beside=$!
}
begin_beside() { # what
    case $1 in
    rest) ;;
    'swap '*) orders "${1#swap }" ;;
    metrics) churn 10 'GET /metrics' ;;
    'reload every '*) reloads "${1#reload every }" ;;
    esac
}

generation() {
    curl -sf "http://127.0.0.1:$((port[meridian] + 2))/api/status" | sed -n 's/.*"generation": *\([0-9]*\).*/\1/p' | head -1
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
                printf '{"world":"%s","beside":"%s","state":"%s","loop":"%s","round":%d,%s\n' \
                    "$world" "$what" "$state" "$loop" "$round" "${line:1}" >>"$results"
                if [[ $loop == full && $state == rest ]]; then rate=$(awk -v qps="$(field qps "$line")" 'BEGIN { print qps / 2 }'); fi
                [[ $loop == full ]] && printf ' %7.0f' "$(field qps "$line")"
            done
        done
    done
    after=$(generation)
    sleep 2
    printf ' | %d generations, %d MB after\n' $((after - before)) $(($(memory_kb "${pid[meridian]}") / 1000))
    printf '{"world":"%s","beside":"%s","generations":%d,"seconds":%d,"memory_kb":%d}\n' "$world" "$what" \
        $((after - before)) $((($(date +%s%N) - began) / 1000000000)) "$(memory_kb "${pid[meridian]}")" >>"$results"
}

make_geoip
for world in small services million; do
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
        for what in 'swap 1' 'swap 10' 'swap 100' metrics 'reload every 0.5'; do beside_rest small "$what"; done
        ;;
    services)
        question="--name svc%05.example.net --names $services --expect service --places $home/places"
        for what in 'swap 1' 'swap 10' 'swap 100' metrics 'reload every 5'; do beside_rest services "$what"; done
        ;;
    million)
        question="--name host%07.example.com --names $million --expect static"
        beside_rest million 'reload every 2'
        ;;
    esac
    stop meridian
done
python3 benches/compare/change.py "$results"
