# shellcheck shell=bash disable=SC2154,SC2034 # variables are compare.sh's
# The servers: how each is installed, configured for a world, started with one worker, reloaded and ended.
#
# `configure` writes everything of a server below $home/SERVER; `run_SERVER` runs it in the foreground.

declare -A program=([meridian]=sh [nsd]=nsd [knot]=knotd [knot-geoip]=knotd [gdnsd]=gdnsd [pdns-bind]=pdns_server
    [pdns-geoip]=pdns_server [pdns-lua]=pdns_server [bind]=named [bind-geoip]=named)
packages=(nsd knot knot-module-geoip gdnsd pdns-server pdns-backend-bind pdns-backend-geoip pdns-backend-lua2 bind9
    dnsperf openssl)

has() { # server
    command -v "${program[$1]}" >/dev/null || return 1
    case $1 in
    knot-geoip) compgen -G '/usr/lib/*/knot/modules-*/geoip.so' >/dev/null ;;
    pdns-geoip | pdns-lua) compgen -G '/usr/lib/*/pdns/libgeoipbackend.so' >/dev/null ;;
    esac
}

install_peers() {
    local server missing=0
    for server in "${only[@]}"; do has "$server" || missing=1; done
    command -v dnsperf >/dev/null || missing=1
    ((missing)) || return 0
    [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null || return 0
    echo "installing ${packages[*]}"
    # Daemons are wanted as programs: nothing is to be started by its package.
    if [[ ! -e /usr/sbin/policy-rc.d ]]; then
        litter+=(/usr/sbin/policy-rc.d)
        printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
        chmod +x /usr/sbin/policy-rc.d
    fi
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${packages[@]}"; } >/dev/null 2>&1 ||
        echo "could not install them; going on without" >&2
}

# --- Each its own words for the same world.

configure() { # server, world
    local server=$1 world=$2 dir=$home/$1
    port[$server]=$(free_ports)
    rm -rf "$dir"
    mkdir -p "$dir/zones"
    cp "$home/$world/example.com.zone" "$dir/zones/"
    "configure_${server//-/_}" "$dir" "${port[$server]}" "$(service_count "$world")"
}

# A port of which also the next two are free: TLS and an API may follow it.
free_ports() {
    local try at
    for try in {1..50}; do
        at=$((20000 + (RANDOM % 3000) * 4))
        if ! grep -qE ":($(printf '%04X|%04X|%04X' "$at" $((at + 1)) $((at + 2)))) " /proc/net/{udp,tcp}; then
            echo "$at"
            return
        fi
    done
    echo "no free ports" >&2
    return 1
}

certificate() { # directory
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$1/key.pem" \
        -out "$1/cert.pem" -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 2>/dev/null
}

# Rows "number name country weight address" of all services, for configurations to be made of.
service_rows() { # count
    awk -v count="$1" -v countries="${countries[*]}" -v weights="${weights[*]}" 'BEGIN {
        split(countries, country); split(weights, weight)
        for (n = 0; n < count; n++) for (c = 1; c <= 3; c++) for (w = 1; w <= 3; w++)
            printf "%d svc%05d %s %d 10.%d.%d.%d\n", n, n, country[c], weight[w], c * 10 + w, n / 256 % 256, n % 256
    }'
}

configure_meridian() { # directory, port, services
    local dir=$1 port=$2
    net_zone >"$dir/zones/example.net.zone"
    service_rows "$3" | awk -v dir="$dir/zones" '
        $2 != name {
            if (file) close(file)
            name = $2; file = dir "/" name ".example.net.yaml"
            printf "gslb:\n  domain: %s.example.net\n  ttl: 300s\n  policies:\n    default: {type: geolocation}\n", name >file
            for (at = split("us de jp", region); at; at--)
                printf "    %s: {primary: [%s1, %s2, %s3]}\n", region[at], region[at], region[at], region[at] >file
            print "  endpoints:" >file
        }
        { printf "    %s%d: {ip: %s, weight: %d}\n", tolower($3), 1 + (NR - 1) % 3, $5, $4 >file }'
    certificate "$dir"
    cat >"$dir/meridian.yaml" <<END
zones: $dir/zones
geoip: $home/geoip
state: $dir/state
api: {listen: "127.0.0.1:$((port + 2))"}
dns:
  listen: 127.0.0.1:$port
  threads: 1
  busy_poll: ${busy_poll:-0s}
  dot: {listen: "127.0.0.1:$((port + 1))", cert: $dir/cert.pem, key: $dir/key.pem}
END
}
configure_meridian_poll() { busy_poll=20ms configure_meridian "$@"; }
run_meridian() { exec "$meridian" serve --config "$1/meridian.yaml"; }
run_meridian_poll() { run_meridian "$1"; }

configure_nsd() {
    certificate "$1"
    cat >"$1/nsd.conf" <<END
server:
    server-count: 1
    ip-address: 127.0.0.1@$2
    ip-address: 127.0.0.1@$(($2 + 1))
    tls-port: $(($2 + 1))
    tls-service-key: "$1/key.pem"
    tls-service-pem: "$1/cert.pem"
    do-ip6: no
    username: ""
    chroot: ""
    zonesdir: "$1/zones"
    database: ""
    pidfile: ""
    logfile: "$1/log"
    xfrdfile: "$1/xfrd.state"
    xfrdir: "$1"
    zonelistfile: "$1/zone.list"
    cookie-secret-file: "$1/cookie"
    rrl-ratelimit: 0
    rrl-whitelist-ratelimit: 0
    minimal-responses: yes
    tcp-count: 64
remote-control:
    control-enable: no
zone:
    name: example.com
    zonefile: example.com.zone
END
}
run_nsd() { exec nsd -d -c "$1/nsd.conf"; }

configure_knot() {
    cat >"$1/knot.conf" <<END
server:
    rundir: "$1"
    pidfile: "$1/knot.pid"
    listen: 127.0.0.1@$2
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
    tcp-max-clients: 64
    edns-client-subnet: on
log:
  - target: stderr
    any: warning
control:
    listen: "$1/knot.sock"
database:
    storage: "$1"
template:
  - id: default
    storage: "$1/zones"
    zonefile-sync: -1
    zonefile-load: whole
    journal-content: none
    semantic-checks: off
zone:
  - domain: example.com
    file: example.com.zone
END
}
run_knot() { exec knotd -c "$1/knot.conf"; }
# One address for each place: the module chooses by place or by weight, not by both.
configure_knot_geoip() {
    configure_knot "$1" "$2"
    { net_zone && service_rows "$3" | awk '$2 != name { name = $2; print name, "A 192.0.2.2" }'; } \
        >"$1/zones/example.net.zone"
    service_rows "$3" | awk '
        $2 != name { name = $2; printf "%s.example.net:\n", name; country = "" }
        $3 != country { country = $3; printf "  - geo: \"%s\"\n    A: %s\n", country, $5 }' >"$1/geo.conf"
    # Modules stand before the zones that use them.
    cat >"$1/module" <<END
mod-geoip:
  - id: country
    config-file: "$1/geo.conf"
    ttl: 300
    mode: geodb
    geodb-file: "$home/geoip/GeoLite2-Country.mmdb"
    geodb-key: country/iso_code
END
    cat >>"$1/knot.conf" <<END
  - domain: example.net
    file: example.net.zone
    module: mod-geoip/country
END
    sed -i -e "/^template:/{e cat $1/module" -e '}' "$1/knot.conf"
}
run_knot_geoip() { run_knot "$1"; }

configure_gdnsd() {
    # Zones are in files of their names.
    mkdir -p "$1/geoip" "$1/state" "$1/run"
    mv "$1/zones/example.com.zone" "$1/zones/example.com"
    cp "$home/geoip/GeoLite2-Country.mmdb" "$1/geoip/"
    { net_zone && service_rows "$3" | awk '$2 != name { name = $2; printf "%s DYNA geoip!%s\n", name, name }'; } \
        >"$1/zones/example.net"
    {
        cat <<END
options => {
    listen => 127.0.0.1:$2
    run_dir => $1/run
    state_dir => $1/state
    udp_threads => 1
    tcp_threads => 1
    tcp_clients_per_thread => 64
    zones_default_ttl => 300
}
plugins => {
    geoip => {
        maps => {
            countries => {
                geoip2_db => GeoLite2-Country.mmdb
                datacenters => [us, de, jp]
                map => { NA => { US => [us] }, EU => { DE => [de] }, AS => { JP => [jp] } }
            }
        }
        resources => {
END
        service_rows "$3" | awk '$2 != name { name = $2
            printf "            %s => { map => countries, dcmap => { ", name
            printf "us => %%weighted!%s_US, de => %%weighted!%s_DE, jp => %%weighted!%s_JP } }\n", name, name, name }'
        printf '        }\n    }\n    weighted => {\n'
        service_rows "$3" | awk '
            NR % 3 == 1 { printf "        %s_%s => { multi => false", $2, $3 }
            { printf ", a%d => [%s, %d]", (NR - 1) % 3, $5, $4 }
            NR % 3 == 0 { print " }" }'
        printf '    }\n}\n'
    } >"$1/config"
}
run_gdnsd() { exec gdnsd -c "$1" start; }

pdns_config() { # directory, port, backends
    cat <<END
config-dir=$1
socket-dir=$1
module-dir=$(dirname "$(compgen -G '/usr/lib/*/pdns/libbindbackend.so')")
launch=$3
local-address=127.0.0.1
local-port=$2
receiver-threads=1
distributor-threads=1
daemon=no
guardian=no
webserver=no
api=no
loglevel=3
security-poll-suffix=
version-string=anonymous
zone-cache-refresh-interval=0
END
}
configure_pdns_bind() {
    printf 'zone "example.com" { type master; file "%s/zones/example.com.zone"; };\n' "$1" >"$1/named.conf"
    { pdns_config "$1" "$2" bind && echo "bind-config=$1/named.conf"; } >"$1/pdns.conf"
}
run_pdns_bind() { exec pdns_server --config-dir="$1"; }
configure_pdns_geoip() {
    {
        printf 'domains:\n- domain: example.net\n  ttl: 300\n  records:\n    example.net:\n'
        printf '    - soa: ns1.example.net hostmaster.example.net 1 3600 600 604800 60\n    - ns: ns1.example.net\n'
        service_rows "$3" | awk '
            $2 $3 != name { name = $2 $3; printf "    %s.%s.example.net:\n", tolower($3), $2 }
            { printf "    - a: {content: %s, weight: %d}\n", $5, $4 }'
        echo '  services:'
        service_rows "$3" | awk '$2 != name { name = $2
            printf "    %s.example.net: \x27%%cc.%s.example.net\x27\n", name, name }'
    } >"$1/geo.yaml"
    {
        pdns_config "$1" "$2" geoip
        printf '%s\n' edns-subnet-processing=yes "geoip-zones-file=$1/geo.yaml" \
            "geoip-database-files=mmdb:$home/geoip/GeoLite2-Country.mmdb"
    } >"$1/pdns.conf"
}
run_pdns_geoip() { run_pdns_bind "$1"; }
configure_pdns_lua() {
    printf 'zone "example.net" { type master; file "%s/zones/example.net.zone"; };\n' "$1" >"$1/named.conf"
    {
        net_zone
        service_rows "$3" | awk '
            $2 != name { name = $2; printf "%s LUA A \";", name; country = "" }
            $3 != country { country = $3
                printf "%sif country(\x27%s\x27) then return pickwrandom({", NR % 9 == 1 ? "" : "else", country }
            { printf "{%d,\x27%s\x27}", $4, $5 }
            NR % 3 { printf "," }
            NR % 3 == 0 { printf "}) " }
            NR % 9 == 0 { print "end\"" }'
    } >"$1/zones/example.net.zone"
    {
        pdns_config "$1" "$2" bind,geoip
        printf '%s\n' "bind-config=$1/named.conf" enable-lua-records=shared edns-subnet-processing=yes \
            "geoip-database-files=mmdb:$home/geoip/GeoLite2-Country.mmdb"
    } >"$1/pdns.conf"
}
run_pdns_lua() { run_pdns_bind "$1"; }

named_options() { # directory, port
    certificate "$1"
    cat <<END
tls own { cert-file "$1/cert.pem"; key-file "$1/key.pem"; };
options {
    directory "$1";
    pid-file "$1/named.pid";
    session-keyfile "$1/session.key";
    managed-keys-directory "$1";
    geoip-directory "$home/geoip";
    listen-on port $2 { 127.0.0.1; };
    listen-on port $(($2 + 1)) tls own { 127.0.0.1; };
    listen-on-v6 { none; };
    recursion no;
    minimal-responses yes;
    dnssec-validation no;
    tcp-clients 200;
    notify no;
};
controls { };
logging { category default { default_stderr; }; };
END
}
configure_bind() {
    named_options "$1" "$2" >"$1/named.conf"
    printf 'zone "example.com" { type master; file "zones/example.com.zone"; };\n' >>"$1/named.conf"
}
run_bind() { exec named -f -n 1 -c "$1/named.conf"; }
# A view for each place, with one address: a view knows no weights.
configure_bind_geoip() {
    local country
    named_options "$1" "$2" >"$1/named.conf"
    for country in "${countries[@]}"; do
        { net_zone && service_rows "$3" | awk -v country="$country" \
            '$3 == country && $2 != name { name = $2; print name, "A", $5 }'; } >"$1/zones/$country.zone"
        printf 'view "%s" { match-clients { geoip country %s; }; zone "example.net" { type master; file "zones/%s.zone"; }; };\n' \
            "$country" "$country" "$country" >>"$1/named.conf"
    done
}
run_bind_geoip() { run_bind "$1"; }

# --- Running them.

start() { # server
    (
        taskset -cp "$server_cpu" "$BASHPID" >/dev/null
        cd "$home/$1"
        "run_${1//-/_}" "$home/$1"
    ) >"$home/$1.log" 2>&1 </dev/null &
    pid[$1]=$!
}

# Keeps all threads of a process and of its children where servers run: Knot spreads its own over all processors.
keep_on_cpu() { # pid
    local of
    for of in "$1" $(pgrep -P "$1" || true); do taskset -apc "$server_cpu" "$of" >/dev/null; done
}

reload() { # server
    case $1 in
    gdnsd) gdnsdctl -c "$home/gdnsd" reload-zones >/dev/null 2>&1 ;;
    pdns-bind) pdns_control --socket-dir="$home/$1" bind-reload-now example.com >/dev/null ;;
    *) kill -HUP "${pid[$1]}" ;;
    esac
}

# Ends a server that this started: politely, and after five seconds not.
stop() { # server
    local of=${pid[$1]:-} _
    [[ $of ]] || return 0
    unset "pid[$1]"
    kill "$of" 2>/dev/null || true
    for _ in {1..50}; do
        kill -0 "$of" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "$of" 2>/dev/null || true
    wait "$of" 2>/dev/null || true
}

# Resident memory of a process and its children; what they share counts once.
memory_kb() { # pid
    local family=("$1") at
    for ((at = 0; at < ${#family[@]}; at++)); do
        mapfile -t -O "${#family[@]}" family < <(pgrep -P "${family[at]}" || true)
    done
    for at in "${family[@]}"; do cat "/proc/$at/smaps_rollup" 2>/dev/null || true; done |
        awk '/^Pss:/ { sum += $2 } END { print sum + 0 }'
}
