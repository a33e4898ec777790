//! How far ahead of their use weights are fetched from memory.
//!
//! Intel's prefetchers stop where a page of 4 KiB ends, so a stream of weights waits for its first
//! line every 4 KiB: asking for lines two pages ahead made decoding 25 to 40 % faster on a Sapphire
//! Rapids. AMD's go on over pages, and on a Zen 4 the same made it slower. It changes no bits.

use std::sync::OnceLock;

/// Two pages.
const INTEL: usize = 8 << 10;

/// Bytes ahead; 0 leaves it to the processor. The same for every call of a process.
pub(super) fn ahead() -> usize {
    static AHEAD: OnceLock<usize> = OnceLock::new();
    *AHEAD.get_or_init(|| if is_intel() { INTEL } else { 0 })
}

#[cfg(target_arch = "x86_64")]
fn is_intel() -> bool {
    let vendor = std::arch::x86_64::__cpuid(0);
    [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes).as_flattened() == b"GenuineIntel"
}

#[cfg(not(target_arch = "x86_64"))]
fn is_intel() -> bool {
    false
}
