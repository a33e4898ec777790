//! The engine's verbs on a tiny real model.

mod failing;
mod masks;
mod scheduling;
mod verify;

use std::sync::Arc;

use super::*;
use crate::gate::TokenGate;
use crate::verbs::*;

fn tiny() -> Arc<Model> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/tiny-qwen3.gguf");
    Arc::new(Model::open(file.as_ref()).unwrap())
}

fn engine_with(options: &EngineOptions) -> Engine {
    Engine::new(tiny(), vec![510], Arc::new(ComputePool::new(2)), options, Pulse::default())
}

/// Drives one engine the way its thread would, and keeps what it said.
struct Driver {
    engine: Engine,
    next: u64,
    events: Vec<(JobId, JobEvent)>,
}

impl Driver {
    fn new() -> Self {
        Self::with(&EngineOptions::default())
    }

    fn with(options: &EngineOptions) -> Self {
        Self { engine: engine_with(options), next: 0, events: Vec::new() }
    }

    fn submit(&mut self, verb: Verb) -> JobId {
        self.next += 1;
        self.engine.submit(JobId(self.next), verb);
        JobId(self.next)
    }

    fn done(&self, job: JobId) -> Option<(Result<Outcome, EngineError>, Cost)> {
        self.events.iter().find_map(|(id, event)| match event {
            JobEvent::Done { result, cost } if *id == job => Some((result.clone(), *cost)),
            _ => None,
        })
    }

    fn finish(&mut self, job: JobId) -> Result<Outcome, EngineError> {
        for _ in 0..1000 {
            if let Some((result, _)) = self.done(job) {
                return result;
            }
            self.engine.tick(&mut self.events);
        }
        panic!("job {job:?} never ended");
    }

    fn ask(&mut self, verb: Verb) -> Result<Outcome, EngineError> {
        let job = self.submit(verb);
        self.finish(job)
    }

    fn open(&mut self, prompt: &[TokenId], sampler: SamplerSpec) -> SeqKey {
        match self.ask(Verb::Open(OpenSpec { prompt: prompt.to_vec(), sampler, ..OpenSpec::default() })) {
            Ok(Outcome::Opened { seq, .. }) => seq,
            other => panic!("{other:?}"),
        }
    }

    fn verify(&mut self, seq: SeqKey, at: usize, spec: VerifySpec) -> Verified {
        match self.ask(Verb::Verify { seq, at, spec }) {
            Ok(Outcome::Verified(verified)) => verified,
            other => panic!("{other:?}"),
        }
    }

    fn steps(&self, job: JobId) -> Vec<StepResult> {
        let steps = self.events.iter().filter(|(id, _)| *id == job);
        steps
            .filter_map(|(_, event)| match event {
                JobEvent::Step(step) => Some(step.clone()),
                JobEvent::Done { .. } => None,
            })
            .collect()
    }

    fn run(&mut self, seq: SeqKey, at: usize, max_tokens: u32) -> Vec<StepResult> {
        let job = self.submit(Verb::Run { seq, at, spec: spec(max_tokens) });
        self.finish(job).unwrap();
        self.steps(job)
    }
}

/// Checks tokens that were not drawn.
fn check(ids: &[TokenId]) -> VerifySpec {
    VerifySpec {
        draft: Draft::certain(ids.to_vec()),
        acceptance: Acceptance::Exact,
        most: u32::MAX,
        signals: SignalMode::Full,
    }
}

fn spec(max_tokens: u32) -> RunSpec {
    RunSpec { max_tokens, stop_when: StopWhen::default(), signals: SignalMode::Full }
}

fn prompt(len: u32, salt: u32) -> Vec<TokenId> {
    (0..len).map(|index| (index * 31 + salt * 7 + 3) % 490).collect()
}

fn tokens(steps: &[StepResult]) -> Vec<TokenId> {
    steps.iter().map(|step| step.token).collect()
}

fn warm() -> SamplerSpec {
    SamplerSpec { temperature: 0.9, top_p: 0.95, seed: 7, ..SamplerSpec::default() }
}

#[test]
fn a_streams_tokens_do_not_depend_on_its_neighbours() {
    let alone: Vec<_> = (0..6u32)
        .map(|salt| {
            let mut driver = Driver::new();
            let ids = prompt(20 + 13 * salt, salt);
            let seq = driver.open(&ids, SamplerSpec { lane: salt, ..warm() });
            driver.run(seq, ids.len(), 24)
        })
        .collect();

    let mut driver = Driver::new();
    let jobs: Vec<_> = (0..6u32)
        .map(|salt| {
            let ids = prompt(20 + 13 * salt, salt);
            let seq = driver.open(&ids, SamplerSpec { lane: salt, ..warm() });
            driver.submit(Verb::Run { seq, at: ids.len(), spec: spec(24) })
        })
        .collect();
    for (job, alone) in jobs.into_iter().zip(alone) {
        driver.finish(job).unwrap();
        assert_eq!(driver.steps(job), alone, "bit-equal, log-probabilities included");
    }
}

#[test]
fn every_stream_gets_its_first_token_before_the_first_stream_ends() {
    let mut driver = Driver::new();
    let jobs: Vec<_> = (0..16u32)
        .map(|salt| {
            let ids = prompt(40, salt);
            let seq = driver.open(&ids, warm());
            driver.submit(Verb::Run { seq, at: ids.len(), spec: spec(400) })
        })
        .collect();
    driver.finish(jobs[0]).unwrap();
    let ended =
        driver.events.iter().position(|(id, event)| *id == jobs[0] && matches!(event, JobEvent::Done { .. }));
    for &job in &jobs {
        let first = driver.events.iter().position(|(id, _)| *id == job);
        assert!(first.unwrap() < ended.unwrap());
    }
}

#[test]
fn a_shared_prefix_is_computed_once_and_changes_nothing() {
    let mut driver = Driver::new();
    let ids = prompt(150, 1);
    let first = driver.open(&ids, warm());
    let fresh = driver.run(first, ids.len(), 10);
    driver.ask(Verb::Close { seq: first }).unwrap();

    let opened = driver
        .ask(Verb::Open(OpenSpec { prompt: ids.clone(), sampler: warm(), ..OpenSpec::default() }))
        .unwrap();
    let Outcome::Opened { seq, cached } = opened else { panic!("{opened:?}") };
    assert_eq!(cached, 128, "four whole pages of 32");
    let before = driver.engine.stats().total.prefill_rows;
    assert_eq!(driver.run(seq, ids.len(), 10), fresh);
    assert_eq!(driver.engine.stats().total.prefill_rows - before, 150 - 128 - 1);
}

#[test]
fn a_prefix_is_shared_within_its_partition_only() {
    let ids = prompt(150, 1);
    let open = |partition: &str| {
        let partition = partition.into();
        Verb::Open(OpenSpec { prompt: ids.clone(), sampler: warm(), partition, ..OpenSpec::default() })
    };
    let opened = |driver: &mut Driver, partition: &str| match driver.ask(open(partition)) {
        Ok(Outcome::Opened { seq, cached }) => (seq, cached),
        other => panic!("{other:?}"),
    };
    let mut driver = Driver::new();
    let (first, cached) = opened(&mut driver, "one");
    assert_eq!(cached, 0);
    let fresh = driver.run(first, ids.len(), 10);
    let (other, cached) = opened(&mut driver, "other");
    assert_eq!(cached, 0, "another tenant's prompt says nothing");
    let before = driver.engine.stats().total;
    assert_eq!(driver.run(other, ids.len(), 10), fresh, "and is answered as if it was alone");
    let after = driver.engine.stats().total;
    assert_eq!((after.prefill_rows - before.prefill_rows, after.adopted_rows), (149, 0));
    assert_eq!([opened(&mut driver, "one").1, opened(&mut driver, "other").1], [128, 128]);

    // Two at once: neither waits for the other's pages, but a third waits for those of its own.
    let mut driver = Driver::new();
    let seqs = ["one", "other", "one"].map(|partition| opened(&mut driver, partition).0);
    let jobs = seqs.map(|seq| driver.submit(Verb::Run { seq, at: ids.len(), spec: spec(10) }));
    let steps = jobs.map(|job| {
        driver.finish(job).unwrap();
        driver.steps(job)
    });
    assert!(steps.iter().all(|steps| *steps == fresh));
    assert_eq!(driver.engine.stats().total.adopted_rows, 128);

    // A text to embed leaves nothing that a prompt could be found by.
    let mut driver = Driver::new();
    driver.ask(Verb::Embed { ids: ids.clone() }).unwrap();
    assert_eq!(opened(&mut driver, "").1, 0);
}

#[test]
fn a_bias_outside_the_vocabulary_is_refused() {
    let mut driver = Driver::new();
    for (bias, word) in [
        (vec![(5, 1.0), (512, 1.0)], "512"),
        (vec![(5, 1.0), (4, 1.0)], "order"),
        (vec![(5, 1.0), (5, 1.0)], "once"),
        (vec![(5, -100.5)], "-100.5"),
        (vec![(5, f32::NAN)], "NaN"),
        ((0..1025).map(|id| (id, 1.0)).collect(), "1025"),
    ] {
        let sampler = SamplerSpec { logit_bias: bias.into(), ..warm() };
        match driver.ask(Verb::Open(OpenSpec { prompt: prompt(9, 1), sampler, ..OpenSpec::default() })) {
            Err(EngineError::InvalidArgument(why)) => assert!(why.contains(word), "{why}"),
            other => panic!("{word}: {other:?}"),
        }
    }
    let sampler = SamplerSpec { logit_bias: [(0, -100.0), (511, 100.0)].into(), ..warm() };
    let seq = driver.open(&prompt(9, 1), sampler);
    assert_eq!(tokens(&driver.run(seq, 9, 3)), [511; 3]);
}

#[test]
fn truncate_and_fork_lead_where_the_tokens_say() {
    let mut driver = Driver::new();
    let ids = prompt(45, 2);
    let seq = driver.open(&ids, warm());
    let whole = driver.run(seq, 45, 30);
    assert_eq!(driver.ask(Verb::Truncate { seq, len: 55 }), Ok(Outcome::Length(55)));
    let Ok(Outcome::Forked(copy)) = driver.ask(Verb::Fork { seq, lane: 0 }) else { panic!("fork") };
    assert_eq!(driver.run(seq, 55, 20), whole[10..]);
    assert_eq!(driver.run(copy, 55, 20), whole[10..], "the copy is undisturbed by the original's writes");

    let Ok(Outcome::Forked(other)) = driver.ask(Verb::Fork { seq: copy, lane: 9 }) else { panic!("fork") };
    driver.ask(Verb::Truncate { seq: other, len: 45 }).unwrap();
    assert_ne!(tokens(&driver.run(other, 45, 30)), tokens(&whole), "another lane is another sample");
}

#[test]
fn extend_equals_a_longer_prompt() {
    let mut driver = Driver::new();
    let ids = prompt(70, 3);
    let whole = driver.open(&ids, warm());
    let expected = driver.run(whole, 70, 12);
    let seq = driver.open(&ids[..41], warm());
    driver.run(seq, 41, 1);
    driver.ask(Verb::Truncate { seq, len: 41 }).unwrap();
    assert_eq!(driver.ask(Verb::Extend { seq, at: 41, ids: ids[41..].to_vec() }), Ok(Outcome::Length(70)));
    assert_eq!(driver.run(seq, 70, 12), expected);
}

#[test]
fn verify_keeps_what_the_target_would_have_said() {
    let mut driver = Driver::new();
    let ids = prompt(50, 4);
    let greedy = SamplerSpec::default();
    let plain = driver.open(&ids, greedy.clone());
    let expected = tokens(&driver.run(plain, 50, 12));

    let seq = driver.open(&ids, greedy);
    // Right for three tokens, then wrong.
    let mut drafted = expected[..6].to_vec();
    drafted[3] = (drafted[3] + 1) % 490;
    let verified = driver.verify(seq, 50, check(&drafted));
    assert_eq!((verified.drafted, verified.accepted), (6, 3));
    assert_eq!(tokens(&verified.steps), expected[..4]);
    assert_eq!(tokens(&driver.run(seq, 54, 8)), expected[4..]);
}

#[test]
fn propose_leaves_the_sequence_alone_and_verifies_completely() {
    let mut driver = Driver::new();
    let ids = prompt(50, 5);
    let seq = driver.open(&ids, SamplerSpec::default());
    let answer = driver.ask(Verb::Propose { seq, at: 50, k: 5 });
    let Ok(Outcome::Proposed(draft)) = answer else { panic!("{answer:?}") };
    assert_eq!(draft.ids.len(), 5);
    let verified = driver.verify(seq, 50, VerifySpec { draft: draft.clone(), ..check(&[]) });
    assert_eq!(verified.accepted, 5, "a model agrees with itself");
    let fresh = driver.open(&ids, SamplerSpec::default());
    let plain = tokens(&driver.run(fresh, 50, 6));
    assert_eq!(plain[..5], draft.ids);
    assert_eq!(tokens(&verified.steps), plain);
}

#[test]
fn score_is_the_sum_of_log_probabilities_and_changes_nothing() {
    let mut driver = Driver::new();
    let ids = prompt(40, 6);
    let seq = driver.open(&ids, SamplerSpec::default());
    let steps = driver.run(seq, 40, 3);
    driver.ask(Verb::Truncate { seq, len: 40 }).unwrap();
    let candidates = vec![tokens(&steps), vec![9, 8, 7, 6]];
    let Ok(Outcome::Scores(scores)) = driver.ask(Verb::Score { seq, candidates }) else { panic!("scores") };
    let expected: f32 = steps.iter().map(|step| step.logprob).sum();
    assert!((scores[0] - expected).abs() < 1e-4, "{} against {expected}", scores[0]);
    assert!(scores[1] < scores[0]);
    assert_eq!(driver.run(seq, 40, 3), steps);
}

#[test]
fn embeddings_are_unit_vectors_and_do_not_depend_on_chunking() {
    let mut driver = Driver::new();
    let ids = prompt(100, 7);
    let Ok(Outcome::Embedding(first)) = driver.ask(Verb::Embed { ids: ids.clone() }) else {
        panic!("embedding")
    };
    let norm: f32 = first.iter().map(|value| value * value).sum();
    assert!((norm - 1.0).abs() < 1e-4);
    let seq = driver.open(&prompt(30, 8), warm());
    let busy = driver.submit(Verb::Run { seq, at: 30, spec: spec(20) });
    let Ok(Outcome::Embedding(second)) = driver.ask(Verb::Embed { ids }) else { panic!("embedding") };
    assert_eq!(first, second);
    driver.finish(busy).unwrap();
    assert_eq!(driver.engine.stats().sequences, 1, "the private sequence is gone");
}

#[test]
fn costs_of_all_jobs_add_up_to_the_engines_counters() {
    let mut driver = Driver::new();
    let jobs: Vec<_> = (0..4u32)
        .map(|salt| {
            let ids = prompt(33 + salt, salt);
            let seq = driver.open(&ids, warm());
            driver.submit(Verb::Run { seq, at: ids.len(), spec: spec(5 + salt) })
        })
        .collect();
    let embedding = driver.submit(Verb::Embed { ids: prompt(40, 9) });
    let mut sum = Cost::default();
    for job in jobs.into_iter().chain([embedding]) {
        driver.finish(job).unwrap();
        sum += driver.done(job).unwrap().1;
    }
    assert_eq!(sum, driver.engine.stats().total);
    assert!(sum.bytes_read > 0 && sum.decode_rows >= 5 + 6 + 7 + 8);
}

#[test]
fn refusals_name_the_reason_and_change_nothing() {
    let options = EngineOptions { max_sequences: 2, kv_tokens: 128, context: 96, ..EngineOptions::default() };
    let mut driver = Driver::with(&options);
    let open = |prompt: Vec<TokenId>| Verb::Open(OpenSpec { prompt, sampler: warm(), ..OpenSpec::default() });
    assert_eq!(driver.ask(open(vec![])), Err(EngineError::Empty("the prompt")));
    assert_eq!(
        driver.ask(open(prompt(97, 0))),
        Err(EngineError::ContextOverflow { tokens: 97, context: 96 })
    );
    assert!(matches!(driver.ask(open(vec![99_999])), Err(EngineError::TokenOutOfRange { .. })));
    let seq = driver.open(&prompt(90, 0), warm());
    assert!(matches!(driver.ask(open(prompt(90, 1))), Err(EngineError::OutOfKv(_))));
    assert_eq!(driver.engine.stats().kv_pages_used, 3, "a refused open holds nothing");
    let wrong = Verb::Run { seq, at: 5, spec: spec(1) };
    assert_eq!(driver.ask(wrong), Err(EngineError::LengthMismatch { expected: 5, actual: 90 }));
    let job = driver.submit(Verb::Run { seq, at: 90, spec: spec(50) });
    assert_eq!(driver.ask(Verb::Truncate { seq, len: 3 }), Err(EngineError::SeqBusy));
    assert_eq!(driver.finish(job), Ok(Outcome::Ran { stop: StopReason::ContextFull, len: 96 }));
    driver.ask(Verb::Close { seq }).unwrap();
    assert_eq!(driver.ask(Verb::Truncate { seq, len: 3 }), Err(EngineError::StaleSeq));
    assert_eq!(driver.engine.stats().kv_pages_used, 0);
}

#[test]
fn a_cancelled_run_stops_and_its_sequence_stays_usable() {
    let mut driver = Driver::new();
    let ids = prompt(40, 3);
    let seq = driver.open(&ids, warm());
    let job = driver.submit(Verb::Run { seq, at: 40, spec: spec(1000) });
    for _ in 0..5 {
        driver.engine.tick(&mut driver.events);
    }
    driver.engine.cancel(job);
    let Ok(Outcome::Ran { stop: StopReason::Cancelled, len }) = driver.finish(job) else {
        panic!("cancelled")
    };
    let rows = driver.engine.stats().total.decode_rows;
    assert_eq!(driver.engine.tick(&mut driver.events), Tick::Idle);
    assert_eq!(driver.engine.stats().total.decode_rows, rows);
    assert_eq!(driver.run(seq, len, 2).len(), 2);
}

#[test]
fn a_paused_run_rests_while_others_go_on() {
    let mut driver = Driver::new();
    let (first, second) = (driver.open(&prompt(20, 1), warm()), driver.open(&prompt(20, 2), warm()));
    let slow = driver.submit(Verb::Run { seq: first, at: 20, spec: spec(10) });
    driver.engine.set_paused(slow, true);
    driver.run(second, 20, 10);
    assert!(driver.steps(slow).is_empty());
    driver.engine.set_paused(slow, false);
    driver.finish(slow).unwrap();
    assert_eq!(driver.steps(slow).len(), 10);
}
