#!/usr/bin/env bash
# Fuzzes one target for some seconds (300): fuzz/run.sh TARGET [SECONDS], TARGET a file of fuzz_targets
# Needs a C++ compiler and `cargo install --locked cargo-fuzz`. A crash stops it and is kept in
# fuzz/artifacts; `cargo fuzz run TARGET FILE` repeats it.
set -euo pipefail
cd "$(dirname "$0")"
target=$1 seconds=${2:-300}
mkdir -p target
rustc --edition 2024 -o target/seeds seeds/main.rs && target/seeds
dictionary=dictionaries/$target.dict
[ -f "$dictionary" ] || dictionary=
# The sanitizers are no stable flags yet; this lets a stable compiler take them.
RUSTC_BOOTSTRAP=1 cargo fuzz run "$target" -- -max_total_time="$seconds" -max_len=65536 -timeout=20 \
    -rss_limit_mb=2048 -print_final_stats=1 ${dictionary:+-dict="$dictionary"}
