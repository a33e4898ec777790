//! What this machine can do at most, measured: the roofline that kernels are held against.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::packed::{AHEAD, byte_dots};
use crate::simd::{self, Kernel, LANES, Simd, dispatch};
use crate::{ComputePool, Precision};

/// Rates of all threads of a pool together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ceiling {
    /// Multiplications and additions of `f32` per second, on registers.
    pub f32_ops: f64,
    /// Multiplications and additions of 8-bit integers per second, on registers.
    pub int8_ops: f64,
    /// Bytes read per second from memory that no cache holds.
    pub read_bytes: f64,
}

impl Ceiling {
    /// Measures for about half a second.
    pub fn measure(pool: &ComputePool) -> Self {
        Self { f32_ops: f32_ops(pool), int8_ops: int8_ops(pool), read_bytes: read_bytes(pool) }
    }

    /// Operations per second that a precision of activations leaves at most: two planes of bytes
    /// are twice the work. `None` is `f32`.
    pub fn ops(&self, precision: Option<Precision>) -> f64 {
        match precision {
            None => self.f32_ops,
            Some(precision) => self.int8_ops / precision.planes() as f64,
        }
    }
}

/// The shortest of the runs that fit in a tenth of a second, in seconds, after one to warm up: how
/// ceilings, and whatever is held against them, are timed.
pub fn shortest_run(mut f: impl FnMut()) -> f64 {
    f();
    let (start, mut best) = (Instant::now(), f64::INFINITY);
    while start.elapsed() < Duration::from_millis(100) {
        let run = Instant::now();
        f();
        best = best.min(run.elapsed().as_secs_f64());
    }
    best
}

/// Fused multiply-adds on twelve accumulators, which hide their latency.
struct MultiplyAdds;

const STEPS: usize = 1 << 16;
const CHAINS: usize = 12;

impl Kernel for MultiplyAdds {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let scale = s.splat(black_box(0.999));
        let mut sums = [s.splat(black_box(1.0)); CHAINS];
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = s.fma(*sum, scale, scale);
            }
        }
        for sum in sums {
            let mut lanes = [0.0; LANES];
            s.store(sum, &mut lanes);
            black_box(lanes);
        }
    }
}

fn f32_ops(pool: &ComputePool) -> f64 {
    let threads = pool.threads();
    let time = shortest_run(|| pool.run(threads, &|_| dispatch(MultiplyAdds)));
    (2 * LANES * CHAINS * STEPS * threads) as f64 / time
}

fn int8_ops(pool: &ComputePool) -> f64 {
    let threads = pool.threads();
    let products = byte_dots(1);
    let time = shortest_run(|| {
        pool.run(threads, &|_| {
            byte_dots(STEPS);
        });
    });
    2.0 * (products * STEPS * threads) as f64 / time
}

/// Bytes that [`read_bytes`] goes through: far more than most caches hold.
const READ: usize = 256 << 20;

fn read_bytes(pool: &ComputePool) -> f64 {
    let data = vec![1; READ];
    let share = data.len() / pool.threads();
    let read = |ahead| {
        shortest_run(|| {
            pool.run(pool.threads(), &|part| {
                dispatch(ReadAll { data: &data[part * share..][..share], ahead })
            });
        })
    };
    // Some processors' prefetching does better alone, some with help.
    (share * pool.threads()) as f64 / read(0).min(read(AHEAD))
}

/// Reads a share of memory, and asks for it so many bytes ahead, or not at all for 0.
struct ReadAll<'a> {
    data: &'a [u8],
    ahead: usize,
}

impl Kernel for ReadAll<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (vectors, _) = self.data.as_chunks::<32>();
        let mut seen = [s.bytes(&[0; 32]); 8];
        for vectors in vectors.as_chunks::<8>().0 {
            if self.ahead > 0 {
                simd::prefetch(s, vectors.as_ptr().cast::<u8>().wrapping_add(self.ahead), 256);
            }
            for i in 0..8 {
                seen[i] = s.or(seen[i], s.bytes(&vectors[i]));
            }
        }
        for seen in seen {
            black_box(s.floats(seen));
        }
    }
}
