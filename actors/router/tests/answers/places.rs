//! One model at several places, which refuse, die and come back.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio::time::Instant;
use understudy_backend::fake::{Call, FakeBackend, Fault, Reply};
use understudy_backend::{Backend, BackendError, LoadEvent, NodeId, RequestCtx, Slots};
use understudy_router::{FinishReason, RouterError};

use crate::told::{Told, listen, nothing_left, question, router, says, sure};

/// Places of one model, chosen as a cluster's are: nodes to avoid are asked last, the one that was avoided last after
/// all others. None of them has news of how it is.
#[derive(Clone)]
struct Places(Vec<FakeBackend>);

#[async_trait]
impl Slots for Places {
    async fn backend(
        &self,
        ctx: &RequestCtx,
        _: &str,
        _: mpsc::Sender<LoadEvent>,
    ) -> Result<Arc<dyn Backend>, BackendError> {
        let but = |avoided: &[NodeId]| self.0.iter().find(|place| !avoided.contains(&place.node())).cloned();
        let last = ctx.avoid.last().map_or(&[][..], std::slice::from_ref);
        let found = [ctx.avoid.as_slice(), last, &[]].into_iter().find_map(but);
        Ok(Arc::new(found.expect("a place")))
    }
}

fn place(node: u64, reply: Reply) -> FakeBackend {
    says("m", reply).on(NodeId(node))
}

fn unavailable() -> BackendError {
    BackendError::Unavailable { model: "m".into(), why: "its engine is stopping".into() }
}

fn overloaded() -> BackendError {
    BackendError::Overloaded { model: "m".into(), waiting: 64 }
}

fn unreachable() -> BackendError {
    BackendError::EngineLost { model: "m".into(), why: "connection refused".into() }
}

fn not_loaded() -> BackendError {
    BackendError::Load { model: "m".into(), why: "damaged".into(), code: "GGUF_TRUNCATED".into() }
}

fn opens(place: &FakeBackend) -> usize {
    place.calls().iter().filter(|call| matches!(call, Call::Open(_))).count()
}

/// The answer over these places, and how long it took.
async fn ask(places: &[&FakeBackend]) -> (Told, Duration) {
    let began = Instant::now();
    let router = router(Places(places.iter().map(|place| (*place).clone()).collect()), &["m"]).await;
    let told = listen(router.answer(RequestCtx::new("r"), question("direct")).expect("admitted")).await;
    let took = began.elapsed();
    nothing_left(&router, places).await;
    (told, took)
}

#[tokio::test(start_paused = true)]
async fn what_one_place_refuses_is_taken_to_another_at_once() {
    for refusal in [unavailable(), overloaded(), unreachable(), not_loaded()] {
        let (b, c) = (place(1, sure("b")), place(2, sure("c")));
        b.refuse(9, refusal.clone());
        let (told, took) = ask(&[&b, &c]).await;
        assert_eq!((told.shown.as_str(), opens(&b)), ("c", 1), "{refusal:?}");
        assert!(took < Duration::from_millis(10), "{refusal:?}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_all_places_refuse_is_told_at_once() {
    for refusal in [unavailable(), overloaded(), not_loaded()] {
        for count in [1, 2] {
            let places: Vec<FakeBackend> = (0..count).map(|node| place(node, sure("no"))).collect();
            places.iter().for_each(|place| place.refuse(9, refusal.clone()));
            let (told, took) = ask(&places.iter().collect::<Vec<_>>()).await;
            assert_eq!(told.end.err(), Some(RouterError::Backend(refusal.clone())), "{count}");
            assert!(took < Duration::from_millis(10), "{count}: {took:?}");
        }
    }
}

/// Places that take a request in, and are lost while it waits there.
struct Queues(Places);

#[async_trait]
impl Slots for Queues {
    async fn backend(
        &self,
        ctx: &RequestCtx,
        model: &str,
        progress: mpsc::Sender<LoadEvent>,
    ) -> Result<Arc<dyn Backend>, BackendError> {
        tokio::time::sleep(Duration::from_secs(2)).await;
        self.0.backend(ctx, model, progress).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_outlives_several_losses() {
    for refusal in [unavailable(), unreachable()] {
        let (b, c) = (place(1, sure("no")), place(2, sure("yes")));
        b.refuse(9, refusal.clone());
        c.refuse(2, refusal.clone());
        let router = router(Queues(Places(vec![b.clone(), c.clone()])), &["m"]).await;
        let told = listen(router.answer(RequestCtx::new("r"), question("direct")).expect("admitted")).await;
        assert_eq!((told.shown.as_str(), opens(&b), opens(&c)), ("yes", 3, 3), "{refusal:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_has_begun_is_not_ended_by_a_refusal() {
    for refusal in [unavailable(), overloaded(), unreachable(), not_loaded()] {
        let b = place(1, sure("abcdef").fail_once_at(3, Fault::Lost("killed".into())));
        let (c, d) = (place(2, sure("abcdef")), place(3, sure("abcdef")));
        c.refuse(9, refusal.clone());
        let (told, took) = ask(&[&b, &c, &d]).await;
        assert_eq!((told.shown.as_str(), told.finished().reason), ("abcdef", FinishReason::Stop));
        assert_eq!((opens(&b), opens(&c), opens(&d)), (1, 1, 1), "{refusal:?}");
        assert!(took < Duration::from_millis(10), "{refusal:?}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_same_weights_go_on_with_an_answer_whoever_refuses() {
    let b = place(1, sure("abcdef").fail_once_at(3, Fault::Lost("killed".into())));
    let (c, d) = (place(2, sure("ABCDEF")).weighing("others"), place(3, sure("abcdef")));
    d.refuse(2, overloaded());
    let (told, _) = ask(&[&b, &c, &d]).await;
    assert_eq!((told.shown.as_str(), opens(&c)), ("abcdef", 0));
    // Before it has begun, any will do.
    let (b, c) = (place(1, sure("b")), place(2, sure("c")).weighing("others"));
    b.refuse(1, unavailable());
    assert_eq!(ask(&[&b, &c]).await.0.shown, "c");
}

/// The place that had it is started anew, and refuses connections meanwhile.
#[tokio::test(start_paused = true)]
async fn a_place_that_cannot_be_reached_is_waited_for() {
    let b = place(1, slow().fail_once_at(3, Fault::Lost("killed".into())));
    refuse_later(&b, 5);
    let (told, took) = ask(&[&b]).await;
    assert_eq!((told.shown.as_str(), told.finished().reason), ("abcdef", FinishReason::Stop));
    assert_eq!(opens(&b), 7, "once, five times in vain, and once more");
    assert!((7..9).contains(&took.as_secs()), "seven tokens, and pauses of less than a second: {took:?}");
}

/// A token each second.
fn slow() -> Reply {
    sure("abcdef").token_delay(Duration::from_secs(1))
}

fn refuse_later(place: &FakeBackend, times: usize) {
    let place = place.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(500)).await;
        place.refuse(times, unreachable());
    });
}

#[tokio::test(start_paused = true)]
async fn a_place_that_stays_away_is_given_up_in_time() {
    let (never, killed) = (place(1, slow()), place(1, slow().fail_once_at(3, Fault::Lost("killed".into()))));
    never.refuse(999, unreachable());
    refuse_later(&killed, 999);
    let (told, took) = ask(&[&killed]).await;
    assert_eq!((told.shown.as_str(), told.finished().reason), ("abc", FinishReason::Interrupted));
    assert!((22..25).contains(&took.as_secs()), "{took:?}");
    let (told, took) = ask(&[&never]).await;
    assert!(told.end.is_err() || told.shown.is_empty(), "{:?}", told.end);
    assert!((19..21).contains(&took.as_secs()), "{took:?}");
}
