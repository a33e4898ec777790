//! Answers of the router over models of other nodes: token for token those of models of its own.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;
use understudy_backend::fake::{FakeBackend, FakeSlots, Reply};
use understudy_backend::{Backend, BackendError, LoadEvent, Pace, RequestCtx, Slots};
use understudy_grammars::{JsonSpec, Pattern};
use understudy_remote::{Peer, RemoteBackend};
use understudy_router::{
    AnswerEvent, AnswerRequest, FinishReason, Finished, RouterConfig, RouterHandle, Transcript,
};

use crate::far::{Far, until};

const TEXT: &str = "one two three four five six seven eight nine ten one two three four five six";
const SQL: &str = "SELECT nome FROM city;";

/// Models of peers: a request's first attempt goes to the first, its second to the next.
struct Others(Vec<Peer>);

#[async_trait]
impl Slots for Others {
    async fn backend(
        &self,
        ctx: &RequestCtx,
        model: &str,
        progress: mpsc::Sender<LoadEvent>,
    ) -> Result<Arc<dyn Backend>, BackendError> {
        let peer = &self.0[(ctx.attempt as usize).min(self.0.len() - 1)];
        Ok(Arc::new(RemoteBackend::connect(peer, ctx, model, progress).await?))
    }
}

/// The end of an answer, and the text as a reader saw it grow.
async fn answer(
    slots: impl Slots + 'static,
    request: &AnswerRequest,
    mut watch: impl FnMut(usize),
) -> (Finished, String) {
    let ladder = RouterConfig::with_ladder(["small", "large"]);
    let router = RouterHandle::spawn(ladder, Arc::new(slots)).await.unwrap();
    let ctx = RequestCtx::new("r").with_timeout(Duration::from_secs(20));
    let mut stream = router.answer(ctx, request.clone()).unwrap();
    let mut shown = Transcript::default();
    let mut end = None;
    while let Some(event) = stream.next().await {
        let event = event.unwrap();
        shown.apply(&event).unwrap();
        watch(shown.text().len());
        if let AnswerEvent::Finished(finished) = event {
            end = Some(*finished);
        }
    }
    (end.unwrap(), shown.text().to_owned())
}

fn fakes(reply: impl Fn(&str) -> Reply) -> FakeSlots {
    let pace = |seconds| Pace::measured([(1, seconds), (16, seconds * 1.1)]);
    let small = FakeBackend::new("small").when("", reply("small")).paced(pace(0.001));
    let large = FakeBackend::new("large").when("", reply("large")).paced(pace(0.050));
    FakeSlots::new().with(small).with(large)
}

struct Case {
    what: &'static str,
    policy: &'static str,
    constraint: Option<Pattern>,
    small: Reply,
    large: Reply,
}

fn cases() -> Vec<Case> {
    let json = JsonSpec::new(r#"{"type": "object", "properties": {"a": {"type": "integer"}}}"#);
    let free = |what, policy, small, large| Case { what, policy, constraint: None, small, large };
    vec![
        free("one model", "direct", Reply::text(TEXT), Reply::text(TEXT)),
        free("a good drafter", "speculate:with=model", Reply::text(TEXT), Reply::text(TEXT)),
        free("a bad drafter", "speculate:with=model", Reply::text("nothing of it"), Reply::text(TEXT)),
        free("lookup", "speculate:with=lookup", Reply::text(TEXT), Reply::text(TEXT)),
        free(
            "a friend",
            "friend:segments=clause",
            Reply::text(SQL).signals_at(7, 2.0, 0.1),
            Reply::text("SELECT name FROM town;"),
        ),
        free(
            "an escalation",
            "cascade:threshold=0.9",
            Reply::text(TEXT).logprob(-3.0).signals(3.0, 0.05),
            Reply::text(SQL),
        ),
        Case {
            what: "a grammar",
            policy: "direct",
            constraint: Some(Pattern::Json(json.clone())),
            small: Reply::text(TEXT),
            large: Reply::text("{\"a\": 123} and more"),
        },
        Case {
            what: "a grammar, drafted",
            policy: "speculate:with=model",
            constraint: Some(Pattern::Json(json)),
            small: Reply::text("{\"a\": 123} and more"),
            large: Reply::text("{\"a\": 124} and more"),
        },
    ]
}

impl Case {
    fn slots(&self, delay: Duration) -> FakeSlots {
        let reply = |model: &str| if model == "small" { &self.small } else { &self.large }.clone();
        fakes(|model| reply(model).token_delay(delay))
    }

    fn request(&self) -> AnswerRequest {
        let policy = self.policy.parse().unwrap();
        AnswerRequest {
            constraint: self.constraint.clone(),
            max_tokens: 100,
            ..AnswerRequest::ask("question", policy)
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_over_the_wire_are_those_of_models_of_ones_own() {
    for case in cases() {
        let (here, _) = answer(case.slots(Duration::ZERO), &case.request(), |_| ()).await;
        let slots = case.slots(Duration::ZERO);
        let far = Far::new(slots).await;
        let (there, shown) = answer(Others(vec![far.peer.clone()]), &case.request(), |_| ()).await;
        let what = case.what;
        assert_eq!(
            (&there.text, &there.reason, &there.model),
            (&here.text, &here.reason, &here.model),
            "{what}"
        );
        assert_eq!(there.ledger.spans, here.ledger.spans, "{what}");
        assert_eq!(there.completion_tokens, here.completion_tokens, "{what}");
        assert_eq!(shown, here.text, "{what}");
        until("nothing is left there", || far.service.open_sequences() == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_twin_goes_on_where_a_node_died() {
    for case in cases().into_iter().filter(|case| case.policy != "cascade:threshold=0.9") {
        let (here, _) = answer(case.slots(Duration::ZERO), &case.request(), |_| ()).await;
        for at in [1, here.text.len() / 2] {
            let (first, twin) = (case.slots(Duration::from_millis(4)), case.slots(Duration::from_millis(1)));
            let (first, twin) = (Far::new(first).await, Far::new(twin).await);
            let peers = Others(vec![first.peer.clone(), twin.peer.clone()]);
            let cut_at = |shown| {
                if shown >= at {
                    first.wire.cut();
                }
            };
            let (there, shown) = answer(peers, &case.request(), cut_at).await;
            let what = format!("{}, cut at {at}", case.what);
            assert_ne!(there.reason, FinishReason::Interrupted, "{what}");
            assert_eq!((&there.text, &shown), (&here.text, &here.text), "{what}");
            assert_eq!(there.completion_tokens, here.completion_tokens, "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_twin_an_answer_is_interrupted_and_never_hangs() {
    let slots = fakes(|_| Reply::text(TEXT).token_delay(Duration::from_millis(4)));
    let far = Far::new(slots).await;
    let request = AnswerRequest::ask("question", "direct".parse().unwrap());
    let mut config = RouterConfig::with_ladder(["large"]);
    config.resume_wait_ms = 300;
    let router = RouterHandle::spawn(config, Arc::new(Others(vec![far.peer.clone()]))).await.unwrap();
    let mut stream = router.answer(RequestCtx::new("r"), request).unwrap();
    let (mut shown, mut end) = (Transcript::default(), None);
    while let Some(event) = stream.next().await {
        let event = event.unwrap();
        shown.apply(&event).unwrap();
        if shown.text().len() > 5 {
            far.wire.cut();
        }
        if let AnswerEvent::Finished(finished) = event {
            end = Some(*finished);
        }
    }
    let end = end.unwrap();
    assert_eq!((end.reason, end.text.as_str()), (FinishReason::Interrupted, shown.text()));
    assert!(TEXT.starts_with(&end.text) && end.text.len() > 5, "{}", end.text);
}
