#!/usr/bin/env bash
# Counts the instructions of each answer under callgrind, and fails where there are more than
# benches/instructions.rs allows.
#
# A release build of everything would take minutes. So the rooms that answer make a crate of their own, optimised as
# in a release, and beside it only the configuration, which the table comes from. The dependencies are those of the
# tests: the same features, the same profile, the same target/, so none is built twice.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
if ! command -v valgrind >/dev/null; then
    echo "instructions are not counted: there is no valgrind here (Debian's package valgrind)"
    exit 0
fi
root=$PWD
crate=$root/target/instructions
rooms=(limits model diag sys wire geo steer zone table answer)
mkdir -p "$crate/answering"

# Sections of Cargo.toml by their names.
sections() {
    local name
    for name; do
        awk -v "name=[$name]" '/^\[/ { on = $0 == name } on' Cargo.toml
    done
}
# Where a room begins.
room() { if [[ -e $root/src/$1.rs ]]; then echo "$root/src/$1.rs"; else echo "$root/src/$1/mod.rs"; fi; }

{
    printf '[package]\nname = "meridian"\nversion = "0.0.0"\nedition = "2024"\n'
    printf '[lib]\npath = "lib.rs"\ntest = false\ndoctest = false\n'
    printf '[[test]]\nname = "instructions"\npath = "%s"\nharness = false\n' "$root/benches/instructions.rs"
    sections dependencies
    printf '[dependencies.meridian-answering]\npath = "answering"\n'
    sections dev-dependencies 'profile.dev.package."*"'
    # What asks is counted too, where it is inlined into what answers.
    printf '[profile.dev]\nopt-level = 1\ndebug = "line-tables-only"\n'
    printf '[profile.dev.package.meridian-answering]\nopt-level = 3\ncodegen-units = 4\n'
    printf 'debug-assertions = false\noverflow-checks = false\n[workspace]\n'
} >"$crate/Cargo.toml"
{
    printf '[package]\nname = "meridian-answering"\nversion = "0.0.0"\nedition = "2024"\n'
    printf '[lib]\npath = "lib.rs"\ntest = false\ndoctest = false\n'
    sections dependencies
} >"$crate/answering/Cargo.toml"
for name in "${rooms[@]}"; do
    printf '#[path = "%s"]\npub mod %s;\n' "$(room "$name")" "$name"
done >"$crate/answering/lib.rs"
{
    printf 'pub use meridian_answering::{%s};\n' "$(IFS=,; echo "${rooms[*]}")"
    printf '#[path = "%s"]\npub mod config;\n' "$(room config)"
} >"$crate/lib.rs"
cp Cargo.lock "$crate/Cargo.lock"
ln -sfn "$root/geoip" "$crate/geoip"

cd "$crate"
# What is built once is not built by increments.
CARGO_INCREMENTAL=0 CARGO_TARGET_DIR=$root/target cargo test --quiet --test instructions -- --check "$@"
