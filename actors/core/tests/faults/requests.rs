//! Requests that end early give everything back; those that wait, wait within bounds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::node::*;
use tokio::sync::mpsc;
use understudy_actors::SlotState;
use understudy_actors::clock::ManualClock;
use understudy_actors::scripted::Script;
use understudy_backend::{Backend, BackendError, LoadEvent, RequestCtx, Slots};
use understudy_engine::EngineError;
use understudy_engine::verbs::{Acceptance, SignalMode, StopReason, VerifySpec};

async fn slow_node(max_sequences: usize) -> (Script, Node, Arc<dyn Backend>) {
    let script = Script::new("m");
    let node = node(&[&script], |config| config.engine.max_sequences = max_sequences).await;
    let backend = node.backend("m").await.expect("it loads");
    eventually("warm-up's close", || script.open_sequences() == 0).await;
    script.tick_time(Duration::from_millis(2));
    (script, node, backend)
}

/// The engine's work stops within a few steps of now, and the permit is free again.
async fn work_stops(what: &str, script: &Script, node: &Node) {
    let tokens = script.tokens();
    let took = eventually(what, || script.open_sequences() == 0 && node.slots.list()[0].active == 0).await;
    figure(what, took);
    let after = script.tokens() - tokens;
    assert!(after <= 5, "{what}: {after} tokens more");
    let ticks = script.ticks();
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(script.ticks(), ticks, "{what}: the engine works for nobody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancel_stops_the_engine_and_frees_the_permit() {
    let (script, node, backend) = slow_node(1).await;
    let ctx = ctx();
    let (_, mut run) = start(backend.as_ref(), &ctx, 100_000).await;
    run.next(&ctx).await.unwrap();
    ctx.cancel.cancel();
    assert_eq!(run.next(&ctx).await, Err(BackendError::Cancelled));
    work_stops("cancel to permit free", &script, &node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_reader_stops_the_run_and_close_frees_the_permit() {
    let (script, node, backend) = slow_node(1).await;
    let ctx = ctx();
    let (seq, mut run) = start(backend.as_ref(), &ctx, 100_000).await;
    run.next(&ctx).await.unwrap();
    drop(run);
    let tokens = script.tokens();
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert!(script.tokens() - tokens <= 5, "{} tokens for nobody", script.tokens() - tokens);
    let len = 1 + script.tokens() as usize - 1; // the warm-up made one token elsewhere
    assert_eq!(backend.truncate(&ctx, seq, len).await, Ok(len), "the sequence itself lives on");
    backend.close(seq);
    work_stops("close to permit free", &script, &node).await;
    assert_eq!(backend.truncate(&ctx, seq, 1).await, Err(EngineError::StaleSeq.into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_ends_the_run_and_frees_the_permit() {
    let (script, node, backend) = slow_node(1).await;
    let ctx = RequestCtx::new("late").with_timeout(Duration::from_millis(50));
    let began = Instant::now();
    let (_, mut run) = start(backend.as_ref(), &ctx, 100_000).await;
    let (tokens, end) = read(&mut run, &ctx).await;
    figure("a deadline of 50 ms", began.elapsed());
    assert_eq!(end, Err(BackendError::Deadline));
    assert!(tokens > 0);
    // Nobody dropped the stream: the engine keeps the deadline by itself.
    work_stops("deadline to permit free", &script, &node).await;
    assert_eq!(open(backend.as_ref(), &ctx).await, Err(BackendError::Deadline));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unused_lease_runs_out() {
    let script = Script::new("m");
    let clock = ManualClock::default();
    let time = clock.clone();
    let node = node(&[&script], move |config| {
        config.engine.clock = Arc::new(time);
        config.engine.stall_limit = Duration::from_secs(1_000_000);
    })
    .await;
    let backend = node.backend("m").await.unwrap();
    let ctx = RequestCtx::new("idle");
    let seq = open(backend.as_ref(), &ctx).await.unwrap();
    clock.advance(Duration::from_secs(119));
    assert_eq!(backend.extend(&ctx, seq, 1, vec![66]).await, Ok(2), "use renews the lease");
    clock.advance(Duration::from_secs(119));
    assert_eq!(backend.extend(&ctx, seq, 2, vec![67]).await, Ok(3));
    clock.advance(Duration::from_secs(121));
    eventually("the lease's end", || script.open_sequences() == 0).await;
    assert_eq!(backend.extend(&ctx, seq, 3, vec![68]).await, Err(EngineError::StaleSeq.into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_parks_only_its_own_run() {
    let (script, _node, backend) = slow_node(4).await;
    script.tick_time(Duration::ZERO);
    let ctx = ctx();
    let (_, mut slow) = start(backend.as_ref(), &ctx, 500).await;
    let (_, mut fast) = start(backend.as_ref(), &ctx, 500).await;
    let began = Instant::now();
    assert_eq!(read(&mut fast, &ctx).await, (500, Ok(StopReason::Length)));
    figure("500 tokens beside a parked run", began.elapsed());
    let produced = script.tokens() - 501;
    assert!(produced <= 33, "the parked run made {produced} tokens, its channel holds 32");
    assert_eq!(read(&mut slow, &ctx).await, (500, Ok(StopReason::Length)), "nothing is lost by parking");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opens_wait_for_a_permit_and_a_full_queue_refuses_at_once() {
    let (script, node, backend) = slow_node(16).await;
    let ctx = ctx();
    let mut held = Vec::new();
    for _ in 0..16 {
        held.push(open(backend.as_ref(), &ctx).await.unwrap());
    }
    let waiters: Vec<_> = (0..64)
        .map(|_| {
            let (backend, ctx, script) = (backend.clone(), ctx.clone(), script.clone());
            tokio::spawn(async move {
                let seq = open(backend.as_ref(), &ctx).await.unwrap();
                assert!(script.open_sequences() <= 16);
                backend.close(seq);
            })
        })
        .collect();
    eventually("64 waiting", || node.slots.list()[0].waiting == 64).await;
    let began = Instant::now();
    let refused = open(backend.as_ref(), &ctx).await;
    figure("refusal at a full queue", began.elapsed());
    assert_eq!(refused, Err(BackendError::Overloaded { model: "m".into(), waiting: 64 }));
    let began = Instant::now();
    backend.close(held.pop().expect("sixteen are held"));
    for waiter in waiters {
        waiter.await.unwrap();
    }
    figure("64 waiters through one permit (2 ms a tick)", began.elapsed());
    eventually("the last close", || node.slots.list()[0].active == 15).await;
    assert_eq!(node.slots.list()[0].waiting, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_share_one_load_and_hear_of_its_progress() {
    let script = Script::new("m");
    script.fetch_time(Duration::from_millis(100));
    let node = node(&[&script], |_| {}).await;
    let (progress, mut events) = mpsc::channel(64);
    let loads: Vec<_> = (0..8)
        .map(|_| {
            let (slots, progress) = (node.slots.clone(), progress.clone());
            tokio::spawn(async move { slots.backend(&ctx(), "m", progress).await.is_ok() })
        })
        .collect();
    for load in loads {
        assert!(load.await.unwrap());
    }
    assert_eq!(script.starts(), 1);
    drop(progress);
    let mut fetching = 0;
    while let Some(event) = events.recv().await {
        fetching += usize::from(matches!(event, LoadEvent::Fetching { total: 10, .. }));
    }
    assert!(fetching > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unload_lets_requests_finish_and_cancels_the_rest() {
    let (script, node, backend) = slow_node(4).await;
    let ctx = ctx();
    let (short_seq, mut short) = start(backend.as_ref(), &ctx, 20).await;
    let (_, mut endless) = start(backend.as_ref(), &ctx, 100_000).await;
    let slots = node.slots.clone();
    let unload = tokio::spawn(async move { slots.unload("m", Duration::from_millis(200)).await });
    node.reaches("m", SlotState::Draining).await;
    let refused = open(backend.as_ref(), &ctx).await;
    assert!(matches!(refused, Err(BackendError::Unavailable { .. })), "{refused:?}");
    assert_eq!(read(&mut short, &ctx).await, (20, Ok(StopReason::Length)));
    backend.close(short_seq);
    let (tokens, end) = read(&mut endless, &ctx).await;
    assert_eq!(end, Ok(StopReason::Cancelled));
    assert!(tokens > 20);
    unload.await.unwrap();
    assert_eq!(node.slots.list()[0].state, SlotState::Unloaded);
    assert_eq!(script.starts(), 1);
    assert_eq!(answers(&node, "m").await.unwrap(), 5, "it loads again on demand");
    let began = Instant::now();
    node.tree.drain(Duration::from_millis(100)).await;
    figure("drain of an idle node", began.elapsed());
    assert!(node.slots.backend(&self::ctx(), "m", mpsc::channel(1).0).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_verbs_reach_the_engine() {
    let (_script, _node, backend) = slow_node(4).await;
    let ctx = ctx();
    let seq = open(backend.as_ref(), &ctx).await.unwrap();
    let wrong = backend.extend(&ctx, seq, 9, vec![66]).await;
    assert_eq!(wrong, Err(EngineError::LengthMismatch { expected: 9, actual: 1 }.into()));
    assert_eq!(backend.extend(&ctx, seq, 1, vec![66]).await, Ok(2));
    let (draft, _) = backend.propose(&ctx, seq, 2, 3).await.unwrap();
    assert_eq!(draft.ids.len(), 3);
    let spec = VerifySpec { draft, acceptance: Acceptance::Exact, most: 9, signals: SignalMode::Full };
    let (verified, _) = backend.verify(&ctx, seq, 2, spec).await.unwrap();
    assert_eq!((verified.accepted, verified.steps.len()), (3, 4));
    let copy = backend.fork(&ctx, seq, 1).await.unwrap();
    assert_eq!(backend.truncate(&ctx, copy, 1).await, Ok(1));
    let (scores, _) = backend.score(&ctx, seq, vec![vec![1], vec![1, 2]]).await.unwrap();
    assert_eq!(scores.len(), 2);
    assert_eq!(backend.embed(&ctx, vec![1]).await.unwrap().0, [1.0]);
    let mut busy = backend.run(&ctx, seq, 6, run_of(1000)).await.unwrap();
    busy.next(&ctx).await.unwrap();
    let refused = backend.truncate(&ctx, seq, 1).await;
    assert_eq!(refused, Err(EngineError::SeqBusy.into()));
}
