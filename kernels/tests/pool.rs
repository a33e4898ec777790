//! The pool runs each part once, survives panics, and never deadlocks.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use understudy_kernels::{ComputePool, default_threads};

fn each_part_once(pool: &ComputePool, parts: usize) {
    let counts: Vec<AtomicUsize> = (0..parts).map(|_| AtomicUsize::new(0)).collect();
    pool.run(parts, &|part| _ = counts[part].fetch_add(1, Ordering::Relaxed));
    assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
}

#[test]
fn every_part_runs_once() {
    for threads in [0, 1, 2, 3, 5] {
        let pool = ComputePool::new(threads);
        assert_eq!(pool.threads(), threads.max(1));
        for parts in [0, 1, 2, 3, 7, 100] {
            each_part_once(&pool, parts);
        }
    }
    assert!(default_threads() >= 1);
}

#[test]
fn parts_run_at_the_same_time() {
    let pool = ComputePool::new(3);
    let together = Barrier::new(3); // passes only with three threads inside
    let threads = Mutex::new(HashSet::new());
    pool.run(3, &|_| {
        together.wait();
        threads.lock().unwrap().insert(std::thread::current().id());
    });
    assert_eq!(threads.into_inner().unwrap().len(), 3);
}

#[test]
fn calls_work_after_the_threads_have_gone_to_sleep() {
    let pool = ComputePool::new(3);
    for _ in 0..20 {
        let together = Barrier::new(3);
        pool.run(3, &|_| _ = together.wait());
        std::thread::sleep(Duration::from_millis(1)); // past the spinning
    }
}

#[test]
fn a_panic_reaches_the_caller_after_all_parts_and_the_pool_survives() {
    for threads in [1, 3] {
        let pool = ComputePool::new(threads);
        for _ in 0..10 {
            let ran = AtomicUsize::new(0);
            let panic = catch_unwind(AssertUnwindSafe(|| {
                pool.run(8, &|part| {
                    ran.fetch_add(1, Ordering::Relaxed);
                    assert!(part != 3, "part three fails");
                });
            }));
            let message = panic.unwrap_err();
            assert_eq!(message.downcast_ref::<&str>(), Some(&"part three fails"));
            assert_eq!(ran.load(Ordering::Relaxed), 8);
            each_part_once(&pool, 8);
        }
    }
}

/// A panic's payload that panics again when it is dropped.
struct Twice;

impl Drop for Twice {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            std::panic::panic_any("dropped");
        }
    }
}

#[test]
fn a_panic_whose_payload_panics_too_loses_no_thread() {
    let pool = ComputePool::new(3);
    let together = Barrier::new(3);
    let panic = catch_unwind(AssertUnwindSafe(|| {
        pool.run(6, &|part| {
            if part < 3 {
                together.wait();
            }
            std::panic::panic_any(Twice);
        });
    }));
    std::mem::forget(panic.unwrap_err());
    let together = Barrier::new(3); // all three are still there
    pool.run(3, &|_| _ = together.wait());
}

#[test]
fn callers_on_four_threads_all_finish() {
    let pool = Arc::new(ComputePool::new(3));
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..500).for_each(|i| each_part_once(&pool, i % 9)));
        }
    });
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn nested_calls_run_inline() {
    let pool = ComputePool::new(2);
    let count = AtomicUsize::new(0);
    pool.run(4, &|_| {
        let outer = std::thread::current().id();
        pool.run(3, &|_| {
            assert_eq!(std::thread::current().id(), outer);
            count.fetch_add(1, Ordering::Relaxed);
        });
    });
    assert_eq!(count.load(Ordering::Relaxed), 12);
}

#[test]
fn many_short_calls_lose_no_part() {
    let pool = ComputePool::new(2);
    let total = AtomicUsize::new(0);
    for _ in 0..20_000 {
        pool.run(2, &|part| _ = total.fetch_add(part + 1, Ordering::Relaxed));
    }
    assert_eq!(total.load(Ordering::Relaxed), 60_000);
}
