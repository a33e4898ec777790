//! INV-R2: what waits for a node ends in time; and nothing is left behind there.

use std::time::{Duration, Instant};

use understudy_actors::scripted::Script;
use understudy_backend::fake::{FakeBackend, FakeSlots, Fault, Reply};
use understudy_backend::{Backend, BackendError, RequestCtx, RunEvent};
use understudy_engine::EngineError;
use understudy_engine::verbs::{StopReason, VerifySpec};
use understudy_remote::{Limits, PeerNode};

use crate::far::{Far, Local, connect, ctx, ids, local, open, peer, read, run_of, running, until};

/// A death is noticed within this.
const AT_ONCE: Duration = Duration::from_millis(50);

/// An engine that takes its time, and the node that has it.
async fn slow(script: &Script) -> (Local, Far) {
    script.tick_time(Duration::from_millis(2));
    let node = local(&[script]).await;
    let far = Far::new(node.slots.clone()).await;
    (node, far)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_run_says_what_it_cost() {
    let script = Script::new("alphabet");
    let (_node, far) = slow(&script).await;
    let backend = far.backend("alphabet").await;
    for whole_request in [false, true, true, true] {
        let request = RequestCtx { cancel: ctx().cancel.child_token(), ..ctx() };
        let stopped = RequestCtx { cancel: request.cancel.child_token(), ..ctx() };
        let seq = open(&backend, &request, "q").await.unwrap();
        let mut run = backend.run(&stopped, seq, 1, run_of(100_000)).await.unwrap();
        assert!(matches!(run.next(&ctx()).await, Ok(RunEvent::Step(_))));
        if whole_request { &request } else { &stopped }.cancel.cancel();
        let told = read(&mut run).await;
        let Some(Ok(RunEvent::Stopped { reason: StopReason::Cancelled, len, cost })) = told.last() else {
            panic!("{:?}", told.last())
        };
        assert_eq!(cost.decode_rows as usize, told.len(), "those that were read, and the first");
        assert_eq!(*len, 1 + told.len());
        if !whole_request {
            assert_eq!(backend.truncate(&ctx(), seq, 1).await, Ok(1), "the sequence goes on");
        }
        backend.close(seq);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_run_stops_the_engine_and_frees_the_sequence() {
    let script = Script::new("alphabet");
    let (_node, far) = slow(&script).await;
    let backend = far.backend("alphabet").await;
    let (seq, run) = running(&backend, &ctx(), 100_000).await;
    drop(run);
    let mut truncated = backend.truncate(&ctx(), seq, 1).await;
    for _ in 0..200 {
        if truncated != Err(EngineError::SeqBusy.into()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        truncated = backend.truncate(&ctx(), seq, 1).await;
    }
    assert_eq!(truncated, Ok(1));
    let tokens = script.tokens();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(script.tokens(), tokens, "the engine went on for nobody");
    backend.close(seq);
    until("the sequence is closed", || script.open_sequences() + far.service.open_sequences() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_request_closes_its_sequences() {
    let script = Script::new("alphabet");
    let (node, far) = slow(&script).await;
    let backend = far.backend("alphabet").await;
    let request = RequestCtx { cancel: ctx().cancel.child_token(), ..ctx() };
    let (seq, _run) = running(&backend, &request, 100_000).await;
    let copy_of = open(&backend, &request, "other").await.unwrap();
    backend.fork(&request, copy_of, 1).await.unwrap();
    assert_eq!(script.open_sequences(), 3);
    request.cancel.cancel();
    until("all are closed", || script.open_sequences() + far.service.open_sequences() == 0).await;
    assert_eq!(backend.extend(&ctx(), seq, 1, ids("x")).await, Err(EngineError::StaleSeq.into()));
    until("all permits are free", || node.slots.list()[0].active == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verb_that_nobody_waits_for_ends() {
    let fake = FakeBackend::new("m").max_sequences(1);
    let far = Far::new(FakeSlots::new().with(fake.clone())).await;
    let backend = far.backend("m").await;
    let seq = open(&backend, &ctx(), "q").await.unwrap();
    let hurried = RequestCtx::new("hurried").with_timeout(Duration::from_millis(100));
    assert_eq!(open(&backend, &hurried, "q").await, Err(BackendError::Deadline), "it waits for a permit");
    backend.close(seq);
    until("the permit is free", || fake.open_sequences() == 0).await;
    let seq = open(&backend, &ctx(), "q").await.unwrap();
    assert_eq!((fake.open_sequences(), far.service.open_sequences()), (1, 1), "the hurried one has none");
    backend.close(seq);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sequence_whose_opening_is_never_heard_of_is_closed() {
    let fake = FakeBackend::new("m");
    let far = Far::new(FakeSlots::new().with(fake.clone())).await;
    let backend = far.backend("m").await;
    far.wire.freeze_answers();
    let request = RequestCtx { cancel: ctx().cancel.child_token(), ..ctx() };
    let (opening, ()) = tokio::join!(open(&backend, &request, "q"), async {
        until("it is open there", || fake.open_sequences() == 1).await;
        request.cancel.cancel();
    });
    assert_eq!(opening, Err(BackendError::Cancelled));
    until("it is closed", || fake.open_sequences() + far.service.open_sequences() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_wire_ends_a_run_at_once() {
    let script = Script::new("alphabet");
    let (_node, far) = slow(&script).await;
    let backend = far.backend("alphabet").await;
    let (seq, mut run) = running(&backend, &ctx(), 100_000).await;
    let cut = Instant::now();
    far.wire.cut();
    let lost = read(&mut run).await.pop().unwrap();
    assert!(cut.elapsed() < AT_ONCE, "{:?}", cut.elapsed());
    assert!(matches!(lost, Err(BackendError::EngineLost { .. })), "{lost:?}");
    let refused = backend.extend(&ctx(), seq, 1, ids("x")).await;
    assert!(matches!(refused, Err(BackendError::EngineLost { .. })), "{refused:?}");
    let tokens = until("the engine stops there", || {
        let before = script.tokens();
        std::thread::sleep(Duration::from_millis(20));
        script.tokens() == before
    });
    tokens.await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_node_ends_everything_that_waits_for_it() {
    let hangs = Reply::text("abcdef").fail_at(2, Fault::Hang);
    let far = Far::new(FakeSlots::new().with(FakeBackend::new("m").when("q", hangs))).await;
    let backend = far.backend("m").await;
    let (_, mut run) = running(&backend, &ctx(), 9).await;
    assert!(matches!(run.next(&ctx()).await, Ok(RunEvent::Step(_))));
    let other = open(&backend, &ctx(), "qab").await.unwrap();
    far.wire.freeze();
    let died = tokio::spawn({
        let lost = far.peer.lost.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            lost.cancel();
            Instant::now()
        }
    });
    let verify = backend.verify(&ctx(), other, 3, VerifySpec { most: 1, ..none() }).await;
    let ended = Instant::now();
    assert!(
        matches!(&verify, Err(BackendError::EngineLost { why, .. }) if why.contains("gone")),
        "{verify:?}"
    );
    let told = run.next(&ctx()).await;
    assert!(matches!(told, Err(BackendError::EngineLost { .. })), "{told:?}");
    let died = died.await.unwrap();
    assert!(ended.duration_since(died) < AT_ONCE && died.elapsed() < AT_ONCE);
    let later = Instant::now();
    assert!(matches!(connect(&far.peer, "m").await, Err(BackendError::EngineLost { .. })));
    assert!(later.elapsed() < AT_ONCE);
}

fn none() -> VerifySpec {
    VerifySpec {
        draft: Default::default(),
        acceptance: Default::default(),
        most: 1,
        signals: Default::default(),
    }
}

#[tokio::test]
async fn a_frozen_node_is_left_at_the_deadline() {
    let far = Far::new(FakeSlots::new().with(FakeBackend::new("m"))).await;
    let backend = far.backend("m").await;
    let seq = open(&backend, &ctx(), "q").await.unwrap();
    far.wire.freeze();
    let hurried = RequestCtx::new("hurried").with_timeout(Duration::from_millis(100));
    let began = Instant::now();
    assert_eq!(backend.truncate(&hurried, seq, 1).await, Err(BackendError::Deadline));
    assert!(began.elapsed() < Duration::from_millis(300), "{:?}", began.elapsed());
    backend.close(seq);
}

/// Time is paused once the connection stands: what remains are the bounds.
#[tokio::test]
async fn a_node_that_says_nothing_is_left_by_the_bounds() {
    let quiet = Limits { sign_of_life: Duration::from_secs(3600), ..Limits::default() };
    let hangs = Reply::text("abc").fail_at(1, Fault::Hang);
    let slots = FakeSlots::new().with(FakeBackend::new("m").when("q", hangs));
    let far = Far::within(slots, quiet).await;
    let backend = far.backend("m").await;
    let eternal = RequestCtx::new("eternal");
    let (seq, mut run) = running(&backend, &eternal, 9).await;
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    let lost = run.next(&eternal).await;
    assert!(matches!(lost, Err(BackendError::EngineLost { .. })), "{lost:?}");
    assert!((9..12).contains(&began.elapsed().as_secs()), "a silent run: {:?}", began.elapsed());
    far.wire.freeze();
    let began = tokio::time::Instant::now();
    let lost = backend.truncate(&eternal, seq, 1).await;
    assert!(matches!(lost, Err(BackendError::EngineLost { .. })), "{lost:?}");
    assert!((29..32).contains(&began.elapsed().as_secs()), "a silent call: {:?}", began.elapsed());
}

#[tokio::test]
async fn a_socket_that_never_answers_is_left() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = peer(&listener.local_addr().unwrap().to_string());
    let hurried = RequestCtx::new("hurried").with_timeout(Duration::from_millis(100));
    let progress = tokio::sync::mpsc::channel(1).0;
    let told = understudy_remote::RemoteBackend::connect(&silent, &hurried, "m", progress).await;
    assert_eq!(told.err(), Some(BackendError::Deadline));
}

#[tokio::test]
async fn signs_of_life_keep_a_slow_run_alive() {
    let slow = Reply::text("abc").first_token_delay(Duration::from_secs(25));
    let fake = FakeBackend::new("m").when("q", slow);
    let far = Far::new(FakeSlots::new().with(fake.clone())).await;
    let backend = far.backend("m").await;
    let eternal = RequestCtx::new("eternal");
    let seq = open(&backend, &eternal, "q").await.unwrap();
    let mut run = backend.run(&eternal, seq, 1, run_of(9)).await.unwrap();
    let reading = tokio::spawn(async move { run.next(&eternal).await });
    tokio::time::pause();
    for _ in 0..30 {
        assert_eq!(fake.open_sequences(), 1);
        tokio::time::advance(Duration::from_secs(1)).await;
        // Paused time stands still meanwhile, and what was sent arrives.
        tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_millis(10))).await.unwrap();
    }
    let told = reading.await.unwrap();
    assert!(matches!(told, Ok(RunEvent::Step(_))), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_peer_left_is_closed() {
    let script = Script::new("alphabet");
    let (_node, far) = slow(&script).await;
    let backend = far.backend("alphabet").await;
    let (_, mut run) = running(&backend, &ctx(), 100_000).await;
    open(&backend, &ctx(), "q").await.unwrap();
    far.service.drop_peer(PeerNode(2));
    assert_eq!(script.open_sequences(), 2, "another peer's death is not ours");
    far.service.drop_peer(PeerNode(crate::far::ME));
    until("all are closed", || script.open_sequences() + far.service.open_sequences() == 0).await;
    let end = read(&mut run).await.pop().unwrap();
    assert_eq!(end, Err(EngineError::StaleSeq.into()), "the sequence is gone, nobody cancelled the request");
    assert!(open(&backend, &ctx(), "q").await.is_ok(), "it may come back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_opening_whose_peer_is_dropped_ends_the_sequence_and_not_the_request() {
    let fake = FakeBackend::new("m").max_sequences(1);
    let far = Far::new(FakeSlots::new().with(fake.clone())).await;
    let backend = far.backend("m").await;
    let holder = open(&fake, &ctx(), "q").await.unwrap();
    let opening = tokio::spawn(async move { open(&backend, &ctx(), "other").await });
    until("it waits for a permit there", || fake.calls().len() == 2).await;
    far.service.drop_peer(PeerNode(crate::far::ME));
    assert_eq!(opening.await.unwrap(), Err(EngineError::StaleSeq.into()));
    fake.close(holder);
    assert_eq!(fake.open_sequences(), 0);
}
