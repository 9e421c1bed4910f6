#!/usr/bin/env bash
# Proves that Meridian does what it says: every test, from wherever it is called.
#
# Some tests ask real peers (NSD, Knot DNS, nginx) or use real tools (dig, kdig, curl, jq, ip, valgrind). As root on Debian they are
# installed when they are missing; elsewhere they are named, and tests that need them say so.
#
# Builds go to the usual target/ with the usual profile, so nothing is built twice. Arguments are handed to
# `cargo test`: `tests/run.sh --test first_run`.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
exec </dev/null

# Each tool and the package that brings it.
tools=(nsd:nsd knotd:knot kdig:knot-dnsutils dig:bind9-dnsutils nginx:nginx-light ip:iproute2 valgrind:valgrind
    curl:curl jq:jq shellcheck:shellcheck mkfs.ext4:e2fsprogs unshare:util-linux)

# Daemons live in sbin, which not everybody has in the path.
export PATH="$PATH:/usr/sbin:/sbin"

# Removed at the end.
litter=()
trap '((${#litter[@]})) && rm -f "${litter[@]}"' EXIT

missing=()
for tool in "${tools[@]}"; do
    command -v "${tool%%:*}" >/dev/null || missing+=("${tool##*:}")
done
if ((${#missing[@]})) && [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
    echo "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    # Daemons are wanted as programs: nothing is to be started by its package.
    if [[ ! -e /usr/sbin/policy-rc.d ]]; then
        litter+=(/usr/sbin/policy-rc.d)
        printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
        chmod +x /usr/sbin/policy-rc.d
    fi
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >/dev/null ||
        echo "could not install them; going on without"
    missing=()
    for tool in "${tools[@]}"; do
        command -v "${tool%%:*}" >/dev/null || missing+=("${tool##*:}")
    done
fi
if ((${#missing[@]})); then
    echo "missing, so some tests have less to compare with: ${missing[*]}"
fi

status=0
log=$(mktemp)
litter+=("$log")
# Test programs that fail do not keep the others from running.
cargo test --no-fail-fast "$@" 2>&1 | tee "$log" || status=$?

# The unsafe code once more under AddressSanitizer, where the compiler brings it.
if (($# == 0)) && [[ $(rustc -vV | sed -n 's/^host: //p') == *-unknown-linux-gnu ]]; then
    tests/sanitize.sh 2>&1 | tee -a "$log" || status=$?
fi

# What an answer costs, where callgrind can count it.
if (($# == 0)); then
    tests/instructions.sh 2>&1 | tee -a "$log" || status=$?
fi

# cargo's own result lines, added up.
awk '/^test result:/ { passed += $4; failed += $6; ignored += $8; programs++ }
     END { printf "all: %s. %d passed; %d failed; %d ignored; in %d test programs\n",
           '"$status"' ? "FAILED" : "ok", passed, failed, ignored, programs }' "$log"
exit "$status"
