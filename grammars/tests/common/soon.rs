//! Inputs that mean harm: each is refused or compiled soon, on a small stack.

use std::fmt::Display;
use std::time::{Duration, Instant};

use understudy_grammars::GrammarError;

/// How many times slower code is that is not optimised.
const UNOPTIMISED: u32 = if cfg!(debug_assertions) { 50 } else { 1 };
/// Longest time for compiling and a few masks.
const LIMIT: Duration = Duration::from_secs(1);
/// The stack that has to do, in bytes.
const STACK: usize = if cfg!(debug_assertions) { 2 << 20 } else { 1 << 20 };

/// How long the processor was at work for this thread; all of the time where that is not told.
fn at_work(since: Instant) -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = told.and_then(|told| told.split(' ').next()?.parse().ok());
    nanoseconds.map_or_else(|| since.elapsed(), Duration::from_nanos)
}

/// What becomes of an input on a thread with a small stack, and the time at work.
fn on_small_stack<I: Send + 'static>(
    name: &str,
    input: I,
    compile_and_write: fn(I) -> Result<(), GrammarError>,
) -> (Result<(), GrammarError>, Duration) {
    let work = move || {
        let started = Instant::now();
        (compile_and_write(input), at_work(started))
    };
    let work = std::thread::Builder::new().stack_size(STACK).spawn(work).expect("a thread");
    work.join().unwrap_or_else(|_| panic!("{name}: it panicked"))
}

/// Tries inputs by name, one after the other: none may take long, need much stack, or be refused with a
/// reason that nobody reads.
pub fn all_end_soon<I: Clone + Send + 'static>(
    inputs: impl IntoIterator<Item = (impl Display, I)>,
    compile_and_write: fn(I) -> Result<(), GrammarError>,
) {
    let mut slow = Vec::new();
    for (name, input) in inputs {
        let name = name.to_string();
        let (ended, mut took) = on_small_stack(&name, input.clone(), compile_and_write);
        if took > LIMIT * UNOPTIMISED {
            // Other work on the machine only ever adds to the time.
            took = took.min(on_small_stack(&name, input, compile_and_write).1);
        }
        let reason = ended.err().map(|reason| reason.to_string()).unwrap_or_default();
        eprintln!("{name}: {took:.1?} {}", reason.chars().take(150).collect::<String>());
        assert!(reason.len() < 2_000, "{name}: a reason of {} bytes", reason.len());
        if took > LIMIT * UNOPTIMISED {
            slow.push((name, took));
        }
    }
    assert!(slow.is_empty(), "{slow:?}");
}
