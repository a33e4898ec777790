//! Engines that panic, hang or are killed: victims hear of it at once, others go on, the
//! slot comes back.

use std::time::{Duration, Instant};

use super::node::*;
use understudy_actors::scripted::{Fault, Script};
use understudy_actors::{HealthSignal, SlotState};
use understudy_backend::BackendError;
use understudy_engine::EngineError;

fn is_lost(end: &Result<impl Sized, BackendError>, word: &str) -> bool {
    matches!(end, Err(BackendError::EngineLost { why, .. }) if why.contains(word))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_loses_its_victims_and_nobody_else() {
    let (bad, good) = (Script::new("bad"), Script::new("good"));
    good.tick_time(Duration::from_millis(1));
    let node = node(&[&bad, &good], |_| {}).await;
    let (bad_backend, good_backend) =
        (node.backend("bad").await.unwrap(), node.backend("good").await.unwrap());
    let ctx = ctx();
    let (_, mut other) = start(good_backend.as_ref(), &ctx, 100).await;
    let idle = open(bad_backend.as_ref(), &ctx).await.unwrap();

    bad.break_at(7, Fault::Panic("kernel out of bounds".into()));
    let began = Instant::now();
    let (_, mut victim) = start(bad_backend.as_ref(), &ctx, 100).await;
    let (tokens, end) = read(&mut victim, &ctx).await;
    figure("panic to EngineLost at the victim", began.elapsed());
    assert_eq!(tokens, 7);
    assert!(is_lost(&end, "kernel out of bounds"), "{end:?}");

    let began = Instant::now();
    assert_eq!(answers(&node, "bad").await.unwrap(), 5);
    figure("panic to serving again (backoff 10 ms)", began.elapsed());
    let stale = bad_backend.truncate(&ctx, idle, 1).await;
    assert_eq!(stale, Err(EngineError::StaleSeq.into()), "sequences of the engine before are stale");
    let reopened = open(bad_backend.as_ref(), &ctx).await.unwrap();
    assert!(reopened.boot > idle.boot, "the old backend reaches the new engine");
    let (tokens, end) = read(&mut other, &ctx).await;
    assert_eq!((tokens, end.is_ok()), (100, true), "the other model never noticed");
    let status = node.slots.list();
    assert_eq!((status[0].restarts, status[1].restarts), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_is_ready_knows_what_checking_a_draft_costs() {
    let script = Script::new("m");
    let node = node(&[&script], |_| {}).await;
    let backend = node.backend("m").await.unwrap();
    let pace = backend.pace();
    let of = |rows: usize| pace.seconds(rows).unwrap_or_default();
    assert!((of(1) - 0.001).abs() < 1e-9 && (of(6) - 0.006).abs() < 1e-9 && (of(16) - 0.016).abs() < 1e-9);
    assert_eq!(pace.seconds(17), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hang_is_abandoned_within_its_bound_and_the_zombie_counted() {
    let (bad, good) = (Script::new("bad"), Script::new("good"));
    good.tick_time(Duration::from_millis(2));
    let node = node(&[&bad, &good], |_| {}).await;
    let (bad_backend, good_backend) =
        (node.backend("bad").await.unwrap(), node.backend("good").await.unwrap());
    let ctx = ctx();
    let (_, mut other) = start(good_backend.as_ref(), &ctx, 200).await;
    bad.break_at(3, Fault::Hang);
    let (_, mut victim) = start(bad_backend.as_ref(), &ctx, 100).await;
    let began = Instant::now();
    let (tokens, end) = read(&mut victim, &ctx).await;
    figure("hang to EngineLost at the victim (limit 400 ms)", began.elapsed());
    assert_eq!(tokens, 3);
    assert!(is_lost(&end, "no progress"), "{end:?}");
    assert!(began.elapsed() < STALL + Duration::from_millis(300));
    assert_eq!(node.health.zombies(), 1);
    let began = Instant::now();
    assert_eq!(answers(&node, "bad").await.unwrap(), 5);
    figure("abandoned to serving again", began.elapsed());
    let (tokens, end) = read(&mut other, &ctx).await;
    assert_eq!((tokens, end.is_ok()), (200, true));
    assert_eq!(*node.health.subscribe().borrow(), HealthSignal::Serving, "one zombie is bearable");
    bad.release();
    eventually("the zombie's end", || node.health.zombies() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_zombies_ask_the_process_to_leave() {
    let (one, two) = (Script::new("one"), Script::new("two"));
    let node = node(&[&one, &two], |_| {}).await;
    let ctx = ctx();
    for script in [&one, &two] {
        script.break_at(0, Fault::Hang);
    }
    // The first pass of each hangs: warming is watched as well.
    let (a, b) = tokio::join!(node.backend("one"), node.backend("two"));
    assert!(a.is_ok() && b.is_ok(), "both came back");
    let mut signal = node.health.subscribe();
    let told =
        tokio::time::timeout(BOUND, signal.wait_for(|s| matches!(s, HealthSignal::DrainAndExit { .. })))
            .await;
    assert!(told.is_ok(), "two zombies are too many");
    assert_eq!(node.health.zombies(), 2);
    drop(ctx);
    one.release();
    two.release();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_model_actor_takes_its_engine_along_and_comes_back() {
    let script = Script::new("m");
    script.tick_time(Duration::from_millis(2));
    let node = node(&[&script], |_| {}).await;
    let backend = node.backend("m").await.unwrap();
    let ctx = ctx();
    let (_, mut victim) = start(backend.as_ref(), &ctx, 100_000).await;
    victim.next(&ctx).await.unwrap();
    let began = Instant::now();
    node.slots.actor("m").unwrap().kill();
    let (_, end) = read(&mut victim, &ctx).await;
    figure("kill of the actor to EngineLost at the victim", began.elapsed());
    assert!(is_lost(&end, "model actor"), "{end:?}");
    assert_eq!(answers(&node, "m").await.unwrap(), 5);
    figure("kill of the actor to serving again", began.elapsed());
    assert_eq!(script.starts(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_keeps_failing_stays_failed_until_loaded_explicitly() {
    let (bad, good) = (Script::new("bad"), Script::new("good"));
    bad.break_times(0, Fault::Panic("always".into()), 6);
    let node = node(&[&bad, &good], |_| {}).await;
    let began = Instant::now();
    let refused = node.backend("bad").await.err();
    figure("six panics in a row to Failed (backoff 10 to 40 ms)", began.elapsed());
    let Some(BackendError::Unavailable { why, .. }) = refused else { panic!("{refused:?}") };
    assert!(why.contains("too often") && why.contains("always"), "{why}");
    assert_eq!(bad.starts(), 6, "one start and five restarts");
    assert!(node.backend("bad").await.is_err(), "no further try by itself");
    assert_eq!(bad.starts(), 6);
    assert_eq!(answers(&node, "good").await.unwrap(), 5, "the process lives");
    node.slots.load(&ctx(), "bad", tokio::sync::mpsc::channel(1).0).await.unwrap();
    assert_eq!(answers(&node, "bad").await.unwrap(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_is_an_answer_not_a_crash_and_the_next_request_tries_again() {
    let script = Script::new("m");
    script.refuse_loading(true);
    let node = node(&[&script], |_| {}).await;
    let refused = node.backend("m").await.err();
    assert!(
        matches!(&refused, Some(BackendError::Load { code, .. }) if code == "GGUF_TRUNCATED"),
        "{refused:?}"
    );
    assert_eq!(node.slots.list()[0].state, SlotState::Failed);
    script.refuse_loading(false);
    assert_eq!(answers(&node, "m").await.unwrap(), 5);
    assert_eq!(node.slots.list()[0].restarts, 0);
    let unknown = node.backend("mm").await.err();
    assert_eq!(unknown, Some(BackendError::UnknownModel { name: "mm".into(), suggestion: Some("m".into()) }));
    assert_eq!(node.slots.list().len(), 1, "unknown names get no slot");
}
