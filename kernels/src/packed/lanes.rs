//! Integer vectors in which every lane is an output of its own.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

pub(crate) use portable::Portable;

use std::sync::OnceLock;

use super::layout::OUTPUTS;
#[cfg(target_arch = "x86_64")]
use crate::simd::Avx2;

/// Vector operations over [`COUNT`](Lanes::COUNT) outputs. A value of an implementing type is the
/// proof that the processor has them. All give the same bits: integers are exact, and each float
/// operation is one IEEE operation in its lane.
pub(crate) trait Lanes: Copy {
    /// Outputs in a vector, a divisor of [`OUTPUTS`].
    const COUNT: usize;
    /// Rows of activations that share the decoded weights.
    const TILE: usize;
    /// `COUNT` times 32 bits.
    type I: Copy;
    /// `COUNT` floats.
    type F: Copy;

    /// Asks for the cache line at an address, which may lie anywhere: it is never read.
    fn fetch(self, address: *const u8);
    /// The 32-bit units of the outputs from `first` on.
    fn units(self, from: &[u8; 4 * OUTPUTS], first: usize) -> Self::I;
    /// The half precision numbers of the outputs from `first` on.
    fn halves(self, from: &[u8; 2 * OUTPUTS], first: usize) -> Self::F;
    /// The signed bytes of the outputs from `first` on.
    fn signed(self, from: &[u8; OUTPUTS], first: usize) -> Self::F;
    /// `(unit >> shift) & mask`.
    fn field(self, units: Self::I, shift: u32, mask: u32) -> Self::I;
    /// `(unit << shift) & mask`.
    fn raised(self, units: Self::I, shift: u32, mask: u32) -> Self::I;
    fn or(self, a: Self::I, b: Self::I) -> Self::I;
    /// `128 * units`.
    fn times128(self, units: Self::I) -> Self::I;
    /// Zero in every lane.
    fn zero(self) -> Self::I;

    fn floats(self, units: Self::I) -> Self::F;
    fn splat(self, value: f32) -> Self::F;
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, rounded once.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// Writes the first `COUNT` floats of `to`.
    fn store(self, value: Self::F, to: &mut [f32]);

    /// `sums + Σ w x` of `N` quads for each of `R` rows: unsigned bytes of at most `bits` bits
    /// times signed bytes in `-127..=127`. Row `r` has its quads at `x[r * stride..]`.
    fn dots<const N: usize, const R: usize>(
        self,
        bits: u32,
        w: &[Self::I; N],
        x: &[i32],
        stride: usize,
        sums: [Self::I; R],
    ) -> [Self::I; R];
}

/// A kernel's body, generic over the vectors it runs on; `run` and all that it calls are marked
/// `#[inline(always)]`, so that they are compiled with the processor's features.
pub(crate) trait LaneKernel {
    fn run<L: Lanes>(self, lanes: L);
}

/// The vectors to run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Processor {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

/// The vectors that products of packed weights run on here: `avx512`, `avx2` or `portable`.
pub fn processor() -> &'static str {
    match Processor::best() {
        #[cfg(target_arch = "x86_64")]
        Processor::Avx512 => "avx512",
        #[cfg(target_arch = "x86_64")]
        Processor::Avx2 => "avx2",
        Processor::Portable => "portable",
    }
}

impl Processor {
    /// All that this processor has, best first.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let simd = [avx512::Avx512::detect().map(|_| Self::Avx512), Avx2::detect().map(|_| Self::Avx2)];
        #[cfg(not(target_arch = "x86_64"))]
        let simd: [Option<Self>; 0] = [];
        simd.into_iter().flatten().chain([Self::Portable])
    }

    /// The best one, or a lesser one that `UNDERSTUDY_SIMD` names (`avx2`, `portable`) so that
    /// another processor's path can be measured. The same for every call of a process.
    pub(crate) fn best() -> Self {
        static BEST: OnceLock<Processor> = OnceLock::new();
        *BEST.get_or_init(|| {
            let wanted = std::env::var("UNDERSTUDY_SIMD").unwrap_or_default();
            let named = Self::all().find(|p| format!("{p:?}").eq_ignore_ascii_case(&wanted));
            named.or(Self::all().next()).unwrap_or(Self::Portable)
        })
    }

    /// Rows that share decoded weights, see [`Lanes::TILE`].
    pub(crate) fn tile(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => avx512::Avx512::TILE,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => Avx2::TILE,
            Self::Portable => Portable::TILE,
        }
    }

    /// Runs a kernel; on portable lanes where the processor has not got the vectors.
    #[inline]
    pub(crate) fn run(self, kernel: impl LaneKernel) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => match avx512::Avx512::detect() {
                Some(lanes) => lanes.run(kernel),
                None => kernel.run(Portable),
            },
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => match Avx2::detect() {
                Some(lanes) => avx2::run(lanes, kernel),
                None => kernel.run(Portable),
            },
            Self::Portable => kernel.run(Portable),
        }
    }
}

/// Byte products on registers only, for measuring: `steps` times eight quads with each of a
/// tile's rows. Returns the products of one step.
pub(crate) fn byte_dots(steps: usize) -> usize {
    struct Dots(usize);
    impl LaneKernel for Dots {
        #[inline(always)]
        fn run<L: Lanes>(self, l: L) {
            let units = [7; 4 * OUTPUTS];
            let w = [l.units(&units, 0); 8];
            let x = [0x0102_0304; 8 * 4];
            let mut sums = [w[0]; 4];
            for _ in 0..self.0 {
                // Hidden from the compiler, which would take the products out of the loop.
                let products = l.dots::<8, 4>(4, &w, std::hint::black_box(&x), 8, [l.zero(); 4]);
                for r in 0..4 {
                    sums[r] = l.or(sums[r], products[r]);
                }
            }
            let mut seen = [0.0; OUTPUTS];
            for sum in sums {
                l.store(l.floats(sum), &mut seen);
                std::hint::black_box(seen);
            }
        }
    }
    Processor::best().run(Dots(steps));
    let lanes = match Processor::best() {
        #[cfg(target_arch = "x86_64")]
        Processor::Avx2 => 8,
        _ => OUTPUTS,
    };
    4 * 8 * 4 * lanes
}
