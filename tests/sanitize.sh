#!/usr/bin/env bash
# Runs the tests of `sys`, the only room with unsafe code, under AddressSanitizer.
#
# The room leans on `limits` alone, so the two make a crate of their own: nothing else is built with the
# sanitizer. RUSTC_BOOTSTRAP lets a stable compiler take the flag. What it can not see: an overrun from one
# buffer of a batch into the next, since they are one allocation; the room's own tests look for that.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
root=$PWD
crate=$root/target/sanitize
mkdir -p "$crate"
version() { sed -n "s/^$1 = .*\"\([0-9.]*\)\".*/\1/p" Cargo.toml | head -n 1; }
cat >"$crate/Cargo.toml" <<TOML
[package]
name = "meridian-sys"
version = "0.0.0"
edition = "2024"
[lib]
path = "lib.rs"
doctest = false
[dependencies]
libc = "$(version libc)"
socket2 = { version = "$(version socket2)", features = ["all"] }
[dev-dependencies]
proptest = { version = "$(version proptest)", default-features = false, features = ["std"] }
[workspace]
TOML
cat >"$crate/lib.rs" <<RUST
#![allow(dead_code)]
#[path = "$root/src/limits.rs"]
pub mod limits;
#[path = "$root/src/sys/mod.rs"]
pub mod sys;
RUST
cp Cargo.lock "$crate/Cargo.lock"
host=$(rustc -vV | sed -n 's/^host: //p')
cd "$crate"
# The sanitizer brings an allocator of its own, which glibc's settings and calls do not reach.
RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address CARGO_TARGET_DIR=$crate/target cargo test --quiet --target "$host" "$@" \
    -- --skip the_allocator_listens --skip what_lies_free_between_what_is_kept_goes_back
