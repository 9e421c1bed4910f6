#!/usr/bin/env bash
# What size costs: queries, start and memory against the number of names, services, regions, GeoIP networks and
# endpoints of a tier, and compiling against the number of services; beside the names, NSD with the same.
#
#   benches/growth.sh            everything, about 10 minutes
#   benches/growth.sh --quick    small sizes: does it all still work?
#
# Results go to target/growth.jsonl, one size a line.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
export PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C

# shellcheck source-path=SCRIPTDIR/.. source=benches/compare/load.sh
source benches/compare/load.sh
# shellcheck source-path=SCRIPTDIR/.. source=benches/compare/worlds.sh
source benches/compare/worlds.sh
# shellcheck source-path=SCRIPTDIR/.. source=benches/compare/servers.sh
source benches/compare/servers.sh

names=(100 1000 10000 100000 1000000) service_counts=(10 100 1000 10000 100000) compiled=(10 100 1000 10000 30000) regions=(1 10 100 1000)
tiers=(1 3 16 64 256) prefixes=(16 18 20 22 24 26 28) turns=3 span=1 results=target/growth.jsonl
while (($#)); do
    case $1 in
    --quick) names=(100 1000) service_counts=(10 100) compiled=(10 100) regions=(1 10) tiers=(1 16) prefixes=(16 18) turns=1 span=0.3 ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0" && exit ;;
    *) echo "unknown: $1; see --help" >&2 && exit 2 ;;
    esac
    shift
done

home=$(mktemp -d)
declare -A pid=() port=()
tidy() {
    stop meridian
    stop nsd
    rm -rf "$home"
}
trap tidy EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

build_programs
choose_cpus
scale=${SCALE:-$(cargo build --release --bench scale --message-format json 2>/dev/null |
    sed -n 's/.*"name":"scale".*"executable":"\([^"]*\)".*/\1/p' | tail -1)}
mkdir -p target
: >"$results"

# Starts a server that is configured, asks it, and notes what it took.
measure() { # server, what, size, question of the start, options of the load
    local server=$1 what=$2 size=$3 first=$4 began took line cpu=() median
    began=$(date +%s%N)
    start "$server"
    # shellcheck disable=SC2086 # words on purpose
    took=$(on_load "$load" wait --server "127.0.0.1:${port[$server]}" --since "$began" $first) ||
        { tail -5 "$home/$server.log" >&2 && return 1; }
    sleep 0.5
    for ((turn = 0; turn < turns; turn++)); do
        # shellcheck disable=SC2086
        line=$(on_load "$load" run --server "127.0.0.1:${port[$server]}" --pid "${pid[$server]}" $5 --seconds "$span")
        cpu+=("$(field cpu_us "$line") $(field user_us "$line")")
    done
    median=$(printf '%s\n' "${cpu[@]}" | sort -n | sed -n "$(((turns + 1) / 2))p")
    printf '%-10s %-9s %8d: %6.2f µs a query, %5.2f of it user, start %6.0f ms, %5d MB\n' "$server" "$what" "$size" \
        "${median% *}" "${median#* }" "$took" $(($(memory_kb "${pid[$server]}") / 1000))
    printf '{"server":"%s","what":"%s","size":%d,"cpu_us":%s,"user_us":%s,"start_ms":%s,"memory_kb":%d}\n' "$server" \
        "$what" "$size" "${median% *}" "${median#* }" "$took" "$(memory_kb "${pid[$server]}")" >>"$results"
    stop "$server"
}

# One service in place of the world's: policies and endpoints as they come.
one_service() { # regions' definitions, policies, endpoints
    local dir=$home/meridian/zones
    printf '%s' "$1" >"$dir/regions.yaml"
    printf 'gslb:\n  domain: svc00000.example.net\n  ttl: 300s\n  policies:\n    default: {type: geolocation}\n%s  endpoints:\n%s' \
        "$2" "$3" >"$dir/svc00000.example.net.yaml"
}

make_geoip
for size in "${names[@]}"; do
    million=$size
    make_world million
    for server in meridian nsd; do
        configure "$server" million
        measure "$server" names "$size" '--name host0000000.example.com --expect static' \
            "--name host%07.example.com --names $size --expect static"
    done
done
million=0
for size in "${service_counts[@]}"; do
    services=$size
    make_world services
    configure meridian services
    measure meridian services "$size" "--name svc00000.example.net --expect service --places $home/places" \
        "--name svc%05.example.net --names $size --expect service --places $home/places"
done
for size in "${regions[@]}"; do
    make_world small
    configure meridian small
    # The 1 024 /18s of 10.0.0.0/8 belong to the regions in turn.
    one_service "$(awk -v size="$size" 'BEGIN {
            print "regions:"
            for (region = 0; region < size; region++) {
                printf "  r%d: {cidr: [", region
                for (net = region; net < 1024; net += size)
                    printf "%s10.%d.%d.0/18", net == region ? "" : ", ", net / 4, net % 4 * 64
                print "]}"
            } }')
" "$(awk -v size="$size" 'BEGIN {
            for (region = 0; region < size; region++) {
                place = 1 + region % 3
                printf "    r%d: {primary: [e%d1, e%d2, e%d3]}\n", region, place, place, place
            } }')
" "$(awk -v size="$size" 'BEGIN {
            for (place = 1; place <= 3 && place <= size; place++) for (at = 1; at <= 3; at++)
                printf "    e%d%d: {ip: 10.%d%d.0.0, weight: %d}\n", place, at, place, at, 10 * at }')
"
    awk -v size="$size" 'BEGIN { for (net = 0; net < 65536; net += 7)
        printf "10.%d.%d.0/24 %d\n", net / 256, net % 256, 1 + int(net / 64) % size % 3 }' >"$home/in-regions"
    measure meridian regions "$size" '--name www.example.com --expect static' \
        "--name svc00000.example.net --expect place --places $home/in-regions --ecs"
done
for size in "${tiers[@]}"; do
    make_world small
    configure meridian small
    one_service '' "    us: {primary: [$(seq -s, -f e%g "$size")]}
" "$(awk -v size="$size" 'BEGIN { for (at = 1; at <= size; at++)
        printf "    e%d: {ip: 10.11.1.%d, weight: %d}\n", at, at - 1, 1 + at % 7 }')
"
    echo '127.1.0.0/16 1' >"$home/us"
    measure meridian tier "$size" '--name www.example.com --expect static' \
        "--name svc00000.example.net --expect place --places $home/us"
done
# Networks of 10.0.0.0/8, each with that prefix, whose countries alternate in no simple way. Clients are /24s: of
# longer networks the first in each counts, since ECS says no more than that.
for prefix in "${prefixes[@]}"; do
    size=$((1 << (prefix - 8)))
    awk -v prefix="$prefix" -v size="$size" -v home="$home" 'BEGIN {
        split("US DE JP", country)
        print "cidr,country" >home "/geoip.csv"
        random = 1
        for (at = 0; at < size; at++) {
            random = (random * 16807) % 2147483647
            group = 1 + random % 3
            first = at * 2 ^ (32 - prefix)
            net = "10." int(first / 65536) % 256 "." int(first / 256) % 256 "."
            print net first % 256 "/" prefix "," country[group] >home "/geoip.csv"
            if (first % 256 == 0)
                print net "0/24 " group >home "/networks"
        }
    }'
    "$meridian" geo import "$home/geoip.csv" --epoch 1700000000 --out "$home/geoip/GeoLite2-Country.mmdb" >/dev/null
    make_world small
    configure meridian small
    measure meridian geoip "$size" '--name www.example.com --expect static' \
        "--name svc00000.example.net --expect service --places $home/networks --ecs"
done

# Compiling: services of 20 regions and 6 endpoints, 16 different rule sets. Each endpoint is probed, and a server makes
# 200 000 probes at most.
for size in "${compiled[@]}"; do
    "$scale" services "$size" 16 | tee "$home/scale" | sed -n "s/^  \(compile \|compiled\|recompile, one data centre down\|recompile, a switch of one\)/$size services: &/p"
    python3 benches/compare/growth.py --compile "$size" "$home/scale" >>"$results"
done
python3 benches/compare/growth.py "$results" --chart benches/growth.svg
