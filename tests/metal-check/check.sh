#!/usr/bin/env bash
# Type-checks the engine with its feature `metal` on a machine without Metal, against the real
# Objective-C bindings. Nothing is linked and nothing runs.
#
#   check.sh             the check
#   check.sh --sabotage  breaks copies, and fails unless the check notices each
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
bindings=$here/target/objc2-metal # where Cargo.toml's [patch] looks

# The bindings name a framework to link with, which only Apple targets may; that line alone is
# changed, in a copy of the registry's source.
copy_bindings() {
    local version source
    version=$(sed -n '/^name = "objc2-metal"/{n;s/version = "\(.*\)"/\1/p}' "$here/Cargo.lock")
    cargo fetch --locked --quiet --manifest-path "$root/Cargo.toml"
    source=$(echo "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"objc2-metal-$version")
    rm -rf "$bindings" && mkdir -p "$(dirname "$bindings")" && cp -r "$source" "$bindings"
    change "$bindings/src/generated/mod.rs" \
        's/^#\[link(name = "Metal", kind = "framework")\]/#[cfg_attr(target_vendor = "apple", link(name = "Metal", kind = "framework"))]/'
}

# Edits a file of a copy; a pattern that no longer matches is an error.
change() {
    cp "$1" "$1.before"
    sed -i "$2" "$1"
    if cmp -s "$1" "$1.before"; then
        echo "nothing to change in $1: $2" >&2
        exit 1
    fi
}

check() {
    cargo check --locked --manifest-path "$1/Cargo.toml"
}

# Fails when the check passes, or fails for another reason than the sabotage.
expect_error() {
    local log=$here/target/sabotage.log
    if check "$2" >"$log" 2>&1; then
        echo "the check passed although $1" >&2
        exit 1
    fi
    grep -q "no method named .$3" "$log" || { cat "$log" >&2; exit 1; }
    echo "caught: $1"
}

copy_bindings
check "$here"
echo "the Metal host code passes the type check"
[ "${1:-}" = --sabotage ] || exit 0

# The repository with a call that only a build with `metal` sees, of a method that is not there.
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
(cd "$root" && git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$copy")
change "$copy/tests/metal-check/Cargo.toml" "s|path = \"target/objc2-metal\"|path = \"$bindings\"|"
cat >>"$copy/models/engine/src/device/accelerator.rs" <<'RUST'
#[cfg(feature = "metal")]
pub fn sabotaged(device: &candle_core::MetalDevice) -> u64 {
    device.metal_device().registry_identity()
}
RUST
expect_error "the engine calls a Metal method that does not exist" "$copy/tests/metal-check" registry_identity

# The bindings with a method renamed that candle's host code calls.
change "$bindings/src/generated/MTLDevice.rs" 's/fn newCommandQueue(/fn newCommandQueues(/'
expect_error "a method of the Metal bindings has another name" "$here" newCommandQueue
