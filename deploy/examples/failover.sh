#!/bin/sh
# Moves a service away from a data centre that is lost, and back again, by order.
#
#   failover.sh away DC    the next data centre of the policy's order takes over
#   failover.sh back DC    its clients may come back; only after somebody has looked
#
# Needs curl 7.76 or newer, jq and dig. Everything is set by the environment:
#
#   GSLB           http://gslb-controller     the switch API of one Meridian node; see README.md for several
#   CONFIG_CENTER  http://config-center       where others read which data centre is active
#   TOKEN_FILE     (none)                     a file with the bearer token of an operator
#   SERVICE        (required)                 the service's name
#   CLIENT         (required)                 an address of a client of the lost data centre: whom it is all about
#   DNS            (required)                 the name servers to look at in the end: "ADDRESS ..." or "ADDRESS#PORT ..."
#   INCIDENT       host, process and second   names this run: start it again with the same name to repeat it safely
#   ALERTMANAGER   (none)                     whom to tell: http://alertmanager:9093
#   DEADLINE_S     120                        after so many seconds an order or a look is given up
#   HOOK_READY     true                       "$HOOK_READY DC" succeeds when DC's copy of the data may be promoted
#   HOOK_PROMOTE   true                       "$HOOK_PROMOTE DC" fences the old primary, and makes DC's copy the primary
#   HOOK_RESTART   true                       "$HOOK_RESTART DC" restarts what has to know of the new primary
#   HOOK_RESYNC    true                       "$HOOK_RESYNC DC" makes DC the primary again, with all data
#
# Exit: 0 done and seen in DNS, 1 not done (the last line says why), 2 wrong usage, 3 ordered, and not seen everywhere.
set -eu

GSLB=${GSLB:-http://gslb-controller}
CONFIG_CENTER=${CONFIG_CENTER:-http://config-center}
DEADLINE_S=${DEADLINE_S:-120}
INCIDENT=${INCIDENT:-$(uname -n)-$$-$(date +%s)}
ALERTMANAGER=${ALERTMANAGER:-}
TOKEN_FILE=${TOKEN_FILE:-}

# What was answered last, and what curl is told. The token is no argument: those are for everybody to see.
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
trap 'exit 1' HUP INT TERM
: >"$box/curlrc"
if [ -n "$TOKEN_FILE" ]; then
    (umask 077 && printf 'header = "Authorization: Bearer %s"\n' "$(cat "$TOKEN_FILE")" >"$box/curlrc")
fi

say() {
    printf '%s %s\n' "$(date -u +%FT%TZ)" "$*" >&2
}

# Tells people. In the background, with a time limit: an alarm that hangs must not keep anybody from being served.
alert() { # SEVERITY TEXT
    say "$2"
    [ -n "$ALERTMANAGER" ] || return 0
    jq -n --arg severity "$1" --arg text "$2" --arg incident "$INCIDENT" \
        '[{labels: {alertname: "GslbFailover", severity: $severity, incident: $incident}, annotations: {summary: $text}}]' \
        >"$box/alert" || return 0
    body=$(cat "$box/alert")
    (
        curl -f -sS --max-time 10 -H 'Content-Type: application/json' -d "$body" "$ALERTMANAGER/api/v2/alerts" ||
            echo "the alert could not be sent" >&2
    ) >/dev/null 2>&1 &
}

give_up() {
    alert critical "$INCIDENT: $*"
    exit 1
}

now() {
    date +%s
}

# Reads; tries again until the deadline.
ask() { # URL [CURL ARGUMENT...]
    until_s=$(($(now) + DEADLINE_S))
    url=$1
    shift
    until curl -f -sS --max-time 6 -K "$box/curlrc" "$@" "$url"; do
        [ "$(now)" -lt "$until_s" ] || return 1
        sleep 1
    done
}

# Orders. A server answers within 5 s: done, refused, or not stored. What was not answered is sent again under the same
# key, so it is done once however often it comes, and the answer is the first one. What is refused stays refused: the
# rule that refuses, and what would satisfy it, are told.
order() { # METHOD PATH BODY
    until_s=$(($(now) + DEADLINE_S))
    key="$INCIDENT $1 $2"
    while :; do
        status=$(curl -sS --fail-with-body --max-time 6 -K "$box/curlrc" -o "$box/answer" -w '%{http_code}' -X "$1" \
            -H 'Content-Type: application/json' -H "Idempotency-Key: $key" -d "$3" "$GSLB$2") && return 0
        case $status in
        4*)
            say "$1 $2 is refused: $(jq -r '.detail // .title' "$box/answer" 2>/dev/null || cat "$box/answer")"
            return 1
            ;;
        esac
        [ "$(now)" -lt "$until_s" ] || return 1
        say "$1 $2 was not answered (HTTP ${status:-000}); sent again under the same key"
        sleep 1
    done
}

# The data centre whose clients CLIENT would be if DC were down: the policy's order decides, and what is up.
next_after() { # DC
    ask "$GSLB/api/explain" -G --data-urlencode "name=$SERVICE" --data-urlencode "client=$CLIENT" \
        --data-urlencode "down=$1" >"$box/explained" || return 1
    ask "$GSLB/api/services/$SERVICE" >"$box/service" || return 1
    jq -er --slurpfile service "$box/service" \
        '.possible[0].endpoints[0] as $id | $service[0].endpoints[] | select(.endpoint == $id) | .dc' "$box/explained"
}

# What others will read; and what resolvers get, asked as they ask.
verify() { # DC
    until_s=$(($(now) + DEADLINE_S))
    until [ "$(curl -f -sS --max-time 6 -G --data-urlencode "service=$SERVICE" "$CONFIG_CENTER/api/active-dc" |
        jq -r .dc)" = "$1" ]; do
        [ "$(now)" -lt "$until_s" ] || return 1
        sleep 1
    done
    ask "$GSLB/api/services/$SERVICE" >"$box/service" || return 1
    jq -er --arg dc "$1" '.endpoints[] | select(.dc == $dc) | .addresses[].address' "$box/service" |
        sort >"$box/expected" || return 1
    for server in $DNS; do
        until dig "@${server%%#*}" -p "$(port_of "$server")" +short +time=2 +tries=1 "+subnet=$CLIENT" "$SERVICE" A \
            >"$box/got" && [ -s "$box/got" ] && sort "$box/got" | comm -23 - "$box/expected" | awk 'END { exit NR > 0 }'; do
            [ "$(now)" -lt "$until_s" ] || return 1
            sleep 1
        done
        say "$server answers $(tr '\n' ' ' <"$box/got")"
    done
}

port_of() { # ADDRESS[#PORT]
    case $1 in
    *'#'*) echo "${1##*#}" ;;
    *) echo 53 ;;
    esac
}

# Caches that honour TTLs may go on answering with the old data centre until then; others are bound by nothing.
wait_for_old_answers() {
    left=$(jq -r '.last_old_answer_expires_at // empty | sub("\\.[0-9]+"; "") | fromdate - now | ceil' "$box/ordered")
    if [ "${left:-0}" -gt 0 ]; then
        say "old answers expire within $left s"
        sleep "$left"
    fi
}

away() { # DC
    from=$1
    to=$(next_after "$from") || give_up "nobody could be found to take over from $from"
    [ "$to" != "$from" ] || give_up "policy has nobody to take over from $from"
    order=$(jq -nc --arg to "$to" --arg service "$SERVICE" --arg reason "$INCIDENT: $from is lost" \
        '{active_dc: $to, services: [$service], reason: $reason, actor: "failover.sh"}')

    # Before anything is done that cannot be taken back: would it be refused?
    order PUT /api/switch "$(printf '%s' "$order" | jq -c '. + {dry_run: true}')" || give_up "$to cannot take over from $from"
    refused=$(jq -r '[.impact.refused_by[]? | "\(.rule): \(.detail)"] | join("; ")' "$box/answer")
    [ -z "$refused" ] || give_up "$to cannot take over from $from: $refused"
    ${HOOK_READY:-true} "$to" || give_up "the data in $to are not ready"
    alert warning "$INCIDENT: $to takes over from $from"

    # The data first, then the clients.
    ${HOOK_PROMOTE:-true} "$to" || give_up "the data in $to could not be promoted; clients were not moved"
    order PUT /api/switch "$order" || give_up "$to has the data, and clients could not be sent there"
    cp "$box/answer" "$box/ordered"
    say "revision $(jq -r .revision "$box/ordered"): $to answers for $SERVICE"
    jq -r '.warnings[]?' "$box/ordered" >&2

    # It dips while it restarts; the switch does not yield to that.
    ${HOOK_RESTART:-true} "$to" || alert critical "$INCIDENT: $to could not be restarted"
    verify "$to" || unseen "$to"
    wait_for_old_answers
    alert info "$INCIDENT: done, $to answers; $from waits for: $0 back $from"
}

back() { # DC
    to=$1
    state=$(ask "$GSLB/api/datacenters/$to" | jq -r .state) || give_up "the state of $to is not known"
    [ "$state" = up ] || give_up "$to is $state: nobody is sent there"
    ${HOOK_RESYNC:-true} "$to" || give_up "the data in $to are not ready"
    said=$(jq -nc --arg service "$SERVICE" --arg reason "$INCIDENT: back to $to" \
        '{services: [$service], reason: $reason, actor: "failover.sh"}')
    # Two orders and one move: what health has latched is let go while the switch still stands, then the switch is
    # taken back.
    order POST "/api/datacenters/$to/failback" "$said" || give_up "the latches of $to stand"
    order DELETE /api/switch "$said" || give_up "the switch stands"
    cp "$box/answer" "$box/ordered"
    verify "$to" || unseen "$to"
    wait_for_old_answers
    alert info "$INCIDENT: done, $to answers again"
}

unseen() { # DC
    alert critical "$INCIDENT: $1 was ordered, and is not answered everywhere: ask $GSLB/api/status"
    exit 3
}

case "${1:-} $#" in
"away 2" | "back 2")
    : "${SERVICE:?the service, such as api.example.com}" "${CLIENT:?an address of a client}" "${DNS:?name servers}"
    "$1" "$2"
    ;;
*)
    echo "usage: $0 away|back DC" >&2
    exit 2
    ;;
esac
