#!/usr/bin/env bash
# The unsafe code under the compiler's sanitizers, on x86-64 Linux with any recent toolchain:
#
#   tests/sanitize.sh address   kernels: use after free, accesses out of bounds, leaks, and the
#                               checks of debug builds
#   tests/sanitize.sh thread    kernels: data races
#   tests/sanitize.sh engine    the engine's own tests and hostile files, as `address`
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
kind=${1:-}

# The sanitizers are no stable flags yet; this lets a stable compiler take them.
export RUSTC_BOOTSTRAP=1
export CARGO_PROFILE_RELEASE_OPT_LEVEL=1 # instrumented code takes minutes to optimise
address="-Zsanitizer=address -Cdebug-assertions=yes"
# What threads hand to each other by the locks of the standard library is seen only where that is
# instrumented too: it is compiled with the tests (`rustup component add rust-src`).
thread="-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer"

test() {
    cargo test --release --target x86_64-unknown-linux-gnu --target-dir "$root/target/sanitize/$kind" "$@"
}

# The kernels are tested in a copy of the repository without candle, which is the oracle of one
# test and takes longer to compile than everything else.
kernels() {
    local copy=$root/target/sanitize/source
    rm -rf "$copy" && mkdir -p "$copy"
    (cd "$root" && git ls-files -z --cached --others --exclude-standard | xargs -0 cp -p --parents -t "$copy")
    sed -i '/^candle-core/d' "$copy/kernels/Cargo.toml"
    rm "$copy/kernels/tests/dequantize.rs"
    cd "$copy"
    test -p understudy-kernels --lib --tests "$@"
}

case $kind in
address) RUSTFLAGS=$address kernels ;;
thread) RUSTFLAGS=$thread TSAN_OPTIONS=halt_on_error=1 kernels -Zbuild-std ;;
engine) cd "$root" && RUSTFLAGS=$address test --locked -p understudy-engine --lib --test hostile ;;
*)
    echo "usage: tests/sanitize.sh address|thread|engine" >&2
    exit 2
    ;;
esac
