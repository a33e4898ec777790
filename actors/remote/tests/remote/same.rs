//! INV-R1: a verb answers the same over the wire as beside the engine.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use understudy_actors::Constraints;
use understudy_actors::scripted::{Fault as EngineFault, Script};
use understudy_backend::fake::{FakeBackend, FakeSlots, Fault, Reply};
use understudy_backend::{
    Backend, BackendError, LoadEvent, OpenGate, OpenRequest, Pace, Priority, RequestCtx, RunStream, SeqId,
};
use understudy_engine::EngineError;
use understudy_engine::codec::ChatMessage;
use understudy_engine::verbs::{Acceptance, Draft, RunSpec, SamplerSpec, SignalMode, StopWhen, VerifySpec};
use understudy_grammars::{CallsSpec, JsonSpec, Pattern, ToolSpec};
use understudy_remote::RemoteBackend;

use crate::far::{Far, ctx, ids, local, open, read, run_of};

/// What a backend answers to every verb, and to every kind of mistake.
async fn story(backend: &dyn Backend) -> Vec<String> {
    let ctx = ctx();
    let mut told = Vec::new();
    let mut tell = |what: &str, answer: String| told.push(format!("{what}: {answer}"));
    let sampler = SamplerSpec {
        temperature: 0.7,
        seed: u64::MAX,
        lane: 3,
        alternatives: 3,
        logit_bias: vec![(65, -1.5), (66, 2.0)].into(),
        ..SamplerSpec::default()
    };
    let opened = backend.open(&ctx, OpenRequest { prompt: ids("q"), sampler, gate: None }).await.unwrap();
    tell("cached", format!("{}", opened.cached));
    let seq = opened.seq;
    tell("extend", format!("{:?}", backend.extend(&ctx, seq, 1, ids("xy")).await));
    tell("extend at another length", format!("{:?}", backend.extend(&ctx, seq, 1, ids("xy")).await));
    tell("truncate", format!("{:?}", backend.truncate(&ctx, seq, 1).await));
    tell("truncate to more", format!("{:?}", backend.truncate(&ctx, seq, 9).await));
    tell("run", events(backend.run(&ctx, seq, 1, run_of(5)).await).await);
    tell("run at another length", events(backend.run(&ctx, seq, 1, run_of(5)).await).await);
    let stop_when = StopWhen { entropy_above: Some(0.01), margin_below: Some(0.99) };
    let signalled = RunSpec { max_tokens: 3, stop_when, signals: SignalMode::None };
    tell("run until in doubt", events(backend.run(&ctx, seq, 6, signalled).await).await);
    backend.truncate(&ctx, seq, 4).await.unwrap();
    let drafted = backend.propose(&ctx, seq, 4, 3).await;
    tell("propose", format!("{drafted:?}"));
    let (mut draft, _) = drafted.unwrap();
    draft.ids.push(90);
    let check = |draft, acceptance| VerifySpec { draft, acceptance, most: 9, signals: SignalMode::Masked };
    let verified = backend.verify(&ctx, seq, 4, check(draft, Acceptance::Exact)).await;
    let len = 4 + verified.as_ref().map_or(0, |(verified, _)| verified.steps.len());
    tell("verify", format!("{verified:?}"));
    let drawn = Draft { ids: ids("zz"), q: vec![vec![(122, 0.5), (90, 0.5)], vec![(122, 1.0)]] };
    let lenient = check(drawn, Acceptance::Lenient { alpha: 0.5 });
    tell("verify leniently", format!("{:?}", backend.verify(&ctx, seq, len, lenient).await));
    tell("verify at another length", {
        format!("{:?}", backend.verify(&ctx, seq, 1, check(Draft::default(), Acceptance::Exact)).await)
    });
    backend.truncate(&ctx, seq, 4).await.unwrap();
    let copy = backend.fork(&ctx, seq, 7).await.unwrap();
    tell("run of a copy", events(backend.run(&ctx, copy, 4, run_of(2)).await).await);
    tell("run of the original", events(backend.run(&ctx, seq, 4, run_of(4)).await).await);
    backend.close(copy);
    tell("score", format!("{:?}", backend.score(&ctx, seq, vec![ids("ab"), ids("c")]).await));
    tell("embed", format!("{:?}", backend.embed(&ctx, ids("text")).await));
    tell("embed nothing", format!("{:?}", backend.embed(&ctx, Vec::new()).await));
    tell("open nothing", format!("{:?}", open(backend, &ctx, "").await));
    backend.close(seq);
    // Closing waits for nobody.
    let mut closed = backend.truncate(&ctx, seq, 1).await;
    while closed.is_ok() {
        tokio::time::sleep(Duration::from_millis(1)).await;
        closed = backend.truncate(&ctx, seq, 1).await;
    }
    tell("a closed one", format!("{closed:?}"));
    let late = RequestCtx::new("late").with_timeout(Duration::ZERO);
    tell("too late", format!("{:?}", backend.embed(&late, ids("text")).await));
    told
}

async fn events(run: Result<RunStream, BackendError>) -> String {
    match run {
        Ok(mut run) => format!("{:?}", read(&mut run).await),
        // A local engine says in the run what a remote one says of the call.
        Err(error) => format!("{:?}", [Err::<(), _>(error)]),
    }
}

fn differences(near: &[String], far: &[String]) -> Vec<(String, String)> {
    let pairs = near.iter().cloned().zip(far.iter().cloned());
    pairs.filter(|(near, far)| near != far).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_answers_the_same_over_the_wire() {
    let script = Script::new("alphabet");
    let node = local(&[&script]).await;
    let (near, far) = (node.backend("alphabet").await, Far::new(node.slots.clone()).await);
    let far = far.backend("alphabet").await;
    let (here, there) = (story(near.as_ref()).await, story(&far).await);
    assert_eq!(differences(&here, &there), []);
    assert!(here.iter().any(|line| line.contains("LengthMismatch")) && here.len() > 18, "{here:#?}");
    assert_eq!(far.card(), near.card());
    assert_eq!(far.codec().digest(), near.codec().digest());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fake_answers_the_same_over_the_wire() {
    let reply = || Reply::text("abcdefgh").logprob_at(2, -0.7).signals_at(3, 2.5, 0.1);
    let pace = Pace::measured([(1, 0.010), (4, 0.013)]);
    let fake = || FakeBackend::new("fake").when("q", reply()).cached_prefix(9).paced(pace).context(64);
    let far = Far::new(FakeSlots::new().with(fake())).await.backend("fake").await;
    let (near, here) = (fake(), story(&fake()).await);
    assert_eq!(differences(&here, &story(&far).await), []);
    assert_eq!(far.card(), near.card());
    let says = |codec: &dyn understudy_engine::codec::Codec| {
        codec.render(&[ChatMessage::new("user", "hi")], &[]).and_then(|text| codec.encode_prompt(&text))
    };
    assert_eq!(says(far.codec().as_ref()), says(near.codec().as_ref()));
    for rows in [1, 2, 4] {
        let (here, there) = (pace.seconds(rows).unwrap(), far.pace().seconds(rows).unwrap());
        assert!(there > here && there < here + 0.1, "{rows} rows: {here} here, {there} there");
    }
    assert_eq!(far.pace().seconds(5), None);
}

/// A gate as the router makes it.
async fn gate(pattern: &Pattern, backend: &dyn Backend, emitted: &str, left: u32) -> OpenGate {
    let constraints = Arc::new(Constraints::default());
    let limit = Duration::from_secs(10);
    let gate = constraints.gate(pattern, backend.codec(), &ids(emitted), left, limit).await.unwrap();
    OpenGate { gate, pattern: Arc::new(pattern.clone()), emitted: emitted.len(), left }
}

/// Text under a gate, on from what was emitted; again after a rollback; and of a copy.
async fn gated(backend: &dyn Backend, pattern: &Pattern, emitted: &str) -> Vec<String> {
    let ctx = ctx();
    let prompt = ids(&format!("q{emitted}"));
    let (at, gate) = (prompt.len(), gate(pattern, backend, emitted, 100).await);
    let open = OpenRequest { prompt, sampler: SamplerSpec::default(), gate: Some(gate) };
    let seq = backend.open(&ctx, open).await.unwrap().seq;
    let mut told = vec![events(backend.run(&ctx, seq, at, run_of(3)).await).await];
    told.push(format!("{:?}", backend.extend(&ctx, seq, at + 3, ids("\u{7f}")).await));
    backend.truncate(&ctx, seq, at + 1).await.unwrap();
    let copy = backend.fork(&ctx, seq, 1).await.unwrap();
    told.push(events(backend.run(&ctx, seq, at + 1, run_of(100)).await).await);
    told.push(events(backend.run(&ctx, copy, at + 1, run_of(100)).await).await);
    backend.close(seq);
    backend.close(copy);
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn constraints_are_kept_over_the_wire() {
    let fake = || FakeBackend::new("fake").when("q", Reply::text("{\"a\": 12} and so on"));
    let far = Far::new(FakeSlots::new().with(fake())).await.backend("fake").await;
    let tool = ToolSpec { name: "find".into(), parameters: String::new() };
    for (pattern, emitted) in [
        (Pattern::Regex("[0-9]{3}-[0-9]{3}".into()), ""),
        (Pattern::Regex("[0-9]{3}-[0-9]{3}".into()), "12"),
        (Pattern::Choice(vec!["{\"a\": yes".into(), "no, never".into()]), ""),
        (Pattern::Json(JsonSpec::new(r#"{"type": "object", "properties": {"a": {"type": "integer"}}}"#)), ""),
        (Pattern::Calls(CallsSpec { tools: vec![tool], text: false, many: false }), ""),
    ] {
        let here = gated(&fake(), &pattern, emitted).await;
        let there = gated(&far, &pattern, emitted).await;
        assert_eq!(differences(&here, &there), [], "{pattern:?}");
        assert!(here.iter().all(|told| !told.contains(" and so on")), "{here:?}");
        assert!(here[2].contains("reason: Constraint"), "{here:?}");
    }
}

#[tokio::test]
async fn failures_arrive_as_they_are() {
    let faults = [
        (Fault::Error(EngineError::DeadEnd), BackendError::Engine(EngineError::DeadEnd)),
        (Fault::Error(EngineError::OutOfKv("pages".into())), EngineError::OutOfKv("pages".into()).into()),
        (Fault::Lost("killed".into()), BackendError::EngineLost { model: "m".into(), why: "killed".into() }),
    ];
    for (fault, expected) in faults {
        let fake = FakeBackend::new("m").when("q", Reply::text("abcdef").fail_at(3, fault));
        let far = Far::new(FakeSlots::new().with(fake)).await.backend("m").await;
        let seq = open(&far, &ctx(), "q").await.unwrap();
        let told = read(&mut far.run(&ctx(), seq, 1, run_of(9)).await.unwrap()).await;
        assert_eq!((told.len(), told.last().unwrap()), (4, &Err(expected)), "three tokens, then the end");
    }
    let wordy = Fault::Error(EngineError::OutOfKv("ü".repeat(50_000)));
    let fake = FakeBackend::new("m").when("q", Reply::text("abc").fail_at(1, wordy));
    let far = Far::new(FakeSlots::new().with(fake)).await.backend("m").await;
    let seq = open(&far, &ctx(), "q").await.unwrap();
    let told = read(&mut far.run(&ctx(), seq, 1, run_of(9)).await.unwrap()).await;
    assert_eq!(told.last(), Some(&Err(EngineError::OutOfKv("ü".repeat(512)).into())), "cut, not lost");

    let slots = FakeSlots::new().with(FakeBackend::new("small"));
    let far = Far::new(slots.clone()).await;
    let missing = crate::far::connect(&far.peer, "smart").await.err().unwrap();
    let suggestion = Some("small".to_owned());
    assert_eq!(missing, BackendError::UnknownModel { name: "smart".into(), suggestion });
    let damaged =
        || BackendError::Load { model: "small".into(), why: "w".into(), code: "GGUF_DAMAGED".into() };
    slots.fail("small", damaged());
    assert_eq!(crate::far::connect(&far.peer, "small").await.err(), Some(damaged()));
}

#[tokio::test]
async fn a_load_tells_of_its_progress() {
    let slots = FakeSlots::new().with_loading(FakeBackend::new("m"), Duration::from_millis(50), 1000);
    let far = Far::new(slots).await;
    let (progress, mut events) = mpsc::channel(16);
    RemoteBackend::connect(&far.peer, &ctx(), "m", progress).await.unwrap();
    let mut told = Vec::new();
    while let Some(event) = events.recv().await {
        told.push(event);
    }
    let (model, source) = (|| "m".to_owned(), || "fake".to_owned());
    let fetched = |done| LoadEvent::Fetching { model: model(), source: source(), done, total: 1000 };
    assert_eq!(told, [fetched(0), fetched(500), fetched(1000), LoadEvent::Loading { model: model() }]);
}

/// The context of a request travels: what an engine shares by tenant, it shares by the tenant of the other node.
#[tokio::test]
async fn other_weights_under_the_same_name_are_refused() {
    let slots = FakeSlots::new().with(FakeBackend::new("m").weighing("one"));
    let far = Far::new(slots.clone()).await;
    let backend = far.backend("m").await;
    let ctx = RequestCtx { priority: Priority::Batch, attempt: 1, ..ctx() };
    let seq: SeqId = open(&backend, &ctx, "q").await.unwrap();
    let _still_there = slots.with(FakeBackend::new("m").weighing("two"));
    let refused = open(&backend, &ctx, "q").await.unwrap_err();
    assert!(matches!(&refused, BackendError::Unavailable { why, .. } if why.contains("other weights")));
    assert!(backend.embed(&ctx, ids("q")).await.is_err());
    assert_eq!(backend.extend(&ctx, seq, 1, ids("x")).await, Ok(2), "what is open goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_dies_there_is_lost_here() {
    let script = Script::new("alphabet");
    let node = local(&[&script]).await;
    let far = Far::new(node.slots.clone()).await.backend("alphabet").await;
    script.break_at(3, EngineFault::Panic("boom".into()));
    let seq = open(&far, &ctx(), "q").await.unwrap();
    let told = read(&mut far.run(&ctx(), seq, 1, run_of(9)).await.unwrap()).await;
    let lost = told.last().unwrap();
    assert!(matches!(lost, Err(BackendError::EngineLost { why, .. }) if why.contains("boom")), "{lost:?}");
    assert_eq!(far.extend(&ctx(), seq, 4, ids("x")).await, Err(EngineError::StaleSeq.into()));
}
