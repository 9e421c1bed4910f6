# shellcheck shell=bash disable=SC2154 # variables are compare.sh's
# What is served: three worlds, and where their clients are. The same data for every server, each in its own words.
#
#   small      www and a few others in example.com; one service, svc00000.example.net
#   million    a million names in example.com
#   services   10 000 services in example.net, each with addresses of its own
#
# A service has three places (US, DE, JP) with three weighted addresses each: 10.11.x.y with 100, 10.12.x.y with 50,
# 10.13.x.y with 30 in the first, 10.21 to 10.23 in the second, 10.31 to 10.33 in the third; x.y is its number.

countries=(US DE JP)
weights=(100 50 30)

# A GeoIP database of 65 539 networks: the /24s of 10.0.0.0/8, whose countries alternate in no simple way, and
# three networks of loopback. Also as lists for the load generator.
make_geoip() {
    awk -v home="$home" 'BEGIN {
        split("US DE JP", country)
        print "cidr,country" >home "/geoip.csv"
        for (at = 1; at <= 3; at++) {
            print "127." at ".0.0/16," country[at] >home "/geoip.csv"
            print "127." at ".0.0/16 " at >home "/places"
        }
        random = 1
        for (at = 0; at < 65536; at++) {
            random = (random * 16807) % 2147483647
            group = 1 + random % 3
            network = "10." int(at / 256) "." at % 256 ".0/24"
            print network "," country[group] >home "/geoip.csv"
            print network " " group >home "/networks"
        }
    }'
    mkdir -p "$home/geoip"
    # BIND knows databases by their names. Without a build time libmaxminddb takes a file for broken.
    "$meridian" geo import "$home/geoip.csv" --epoch 1700000000 --out "$home/geoip/GeoLite2-Country.mmdb" >/dev/null
}

make_world() { # world
    local dir=$home/$1 names=0
    mkdir -p "$dir"
    [[ $1 == million ]] && names=$million
    awk -v names="$names" 'BEGIN {
        print "$TTL 300\n@ SOA ns1 hostmaster 1 3600 600 604800 60\n@ NS ns1\nns1 A 192.0.2.1\nwww A 10.0.0.0"
        for (n = 0; n < names; n++)
            printf "host%07d A 10.%d.%d.%d\n", n, n / 65536, n / 256 % 256, n % 256
    }' >"$dir/example.com.zone"
}

# How many services a world has.
service_count() { # world
    case $1 in
    services) echo "$services" ;;
    *) echo 1 ;;
    esac
}

# One record changes: `name` gets the address that follows on its own.
change_zone() { # directory of a server, name
    local file=$1/zones/example.com.zone
    [[ -e $file ]] || file=$1/zones/example.com
    sed -i -e 's/^@ SOA ns1 hostmaster 1 /@ SOA ns1 hostmaster 2 /' -e "s/^$2 A 10\.0\.0\.0\$/$2 A 10.0.0.1/" "$file"
}

# What a server over a world must answer before it counts as started.
first_question() { # server, world
    case $1 in
    knot-geoip | pdns-geoip | pdns-lua | bind-geoip)
        echo "--name svc00000.example.net --expect service --places $home/places" ;;
    *)
        case $2 in
        small) echo '--name www.example.com --expect static' ;;
        million) echo '--name host0000000.example.com --expect static' ;;
        services) echo "--name svc00000.example.net --expect service --places $home/places" ;;
        esac ;;
    esac
}

# The head of example.net, in which services are.
net_zone() {
    printf '%s\n' '$TTL 300' '@ SOA ns1 hostmaster 1 3600 600 604800 60' '@ NS ns1' 'ns1 A 192.0.2.1'
}
