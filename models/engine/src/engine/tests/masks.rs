//! Runs under a gate: what is allowed, what is computed, what it costs.

use std::sync::Mutex;
use std::time::Duration;

use super::*;
use crate::model::{Activations, ModelOptions};

/// Allows only ids below a limit, forces a fixed opening, and ends after some tokens.
#[derive(Clone)]
pub(super) struct Fence {
    pub opening: Vec<TokenId>,
    pub limit: TokenId,
    pub most: usize,
    pub seen: usize,
}

impl TokenGate for Fence {
    fn mask(&mut self, allowed: &mut [u32]) {
        allowed.fill(0);
        (0..self.limit).for_each(|id| allowed[id as usize / 32] |= 1 << (id % 32));
    }
    fn accept(&mut self, token: TokenId) -> bool {
        let fits = match self.opening.get(self.seen) {
            Some(&expected) => token == expected,
            None => token < self.limit,
        };
        self.seen += usize::from(fits);
        fits
    }
    fn rollback(&mut self, count: usize) {
        self.seen -= count;
    }
    fn fork(&self) -> Box<dyn TokenGate> {
        Box::new(self.clone())
    }
    fn forced(&mut self) -> Vec<TokenId> {
        self.opening.get(self.seen..).map(<[_]>::to_vec).unwrap_or_default()
    }
    fn is_complete(&mut self) -> bool {
        self.seen >= self.most
    }
}

#[test]
fn a_gate_forces_restricts_and_ends_a_run() {
    let mut driver = Driver::new();
    let gate = Fence { opening: vec![400, 401], limit: 20, most: 9, seen: 0 };
    let open = OpenSpec {
        prompt: prompt(20, 1),
        sampler: warm(),
        gate: Some(Box::new(gate)),
        ..OpenSpec::default()
    };
    let Ok(Outcome::Opened { seq, .. }) = driver.ask(Verb::Open(open)) else { panic!("open") };
    let job = driver.submit(Verb::Run { seq, at: 20, spec: spec(100) });
    assert_eq!(driver.finish(job), Ok(Outcome::Ran { stop: StopReason::Constraint, len: 29 }));
    let steps = driver.steps(job);
    assert_eq!(tokens(&steps[..2]), [400, 401]);
    assert!(steps[..2].iter().all(|step| step.forced));
    assert!(steps[2..].iter().all(|step| step.token < 20 && !step.forced));

    driver.ask(Verb::Truncate { seq, len: 25 }).unwrap();
    let verified = driver.verify(seq, 25, check(&[3, 300]));
    assert!(verified.accepted <= 1, "the gate never lets 300 through");
    assert!(verified.steps.iter().all(|step| step.token < 20));
}

#[test]
fn a_forced_run_that_is_all_there_is_needs_no_pass() {
    for (max_tokens, most, stop) in [(2, 9, StopReason::Length), (9, 2, StopReason::Constraint)] {
        let mut driver = Driver::new();
        let gate = Fence { opening: vec![400, 401], limit: 20, most, seen: 0 };
        let open = OpenSpec {
            prompt: prompt(20, 1),
            sampler: warm(),
            gate: Some(Box::new(gate)),
            ..OpenSpec::default()
        };
        let Ok(Outcome::Opened { seq, .. }) = driver.ask(Verb::Open(open)) else { panic!("open") };
        let job = driver.submit(Verb::Run { seq, at: 20, spec: spec(max_tokens) });
        assert_eq!(driver.finish(job), Ok(Outcome::Ran { stop, len: 22 }));
        assert_eq!(tokens(&driver.steps(job)), [400, 401]);
        assert_eq!(driver.engine.stats().total, Cost::default());
    }
}

/// Allows the same tokens always.
#[derive(Clone)]
pub(super) struct Always {
    pub ids: Vec<TokenId>,
    /// How long a mask takes.
    pub work: Duration,
    /// Names of the threads that masks were made on.
    pub threads: Arc<Mutex<Vec<Option<String>>>>,
}

impl Always {
    pub fn of(ids: impl IntoIterator<Item = TokenId>) -> Self {
        Self { ids: ids.into_iter().collect(), work: Duration::ZERO, threads: Arc::default() }
    }
}

impl TokenGate for Always {
    fn mask(&mut self, allowed: &mut [u32]) {
        let until = Instant::now() + self.work;
        while Instant::now() < until {}
        self.threads.lock().unwrap().push(std::thread::current().name().map(str::to_owned));
        allowed.fill(0);
        self.ids.iter().for_each(|&id| allowed[id as usize / 32] |= 1 << (id % 32));
    }
    fn accept(&mut self, token: TokenId) -> bool {
        self.ids.contains(&token)
    }
    fn rollback(&mut self, _: usize) {}
    fn fork(&self) -> Box<dyn TokenGate> {
        Box::new(self.clone())
    }
    fn forced(&mut self) -> Vec<TokenId> {
        Vec::new()
    }
    fn is_complete(&mut self) -> bool {
        false
    }
}

/// A driver over packed weights, the head among them: without a head of its own, which is of plain
/// floats, the model takes its embeddings for one.
pub(super) fn packed() -> Driver {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/tiny-qwen3.gguf");
    let mut bytes = std::fs::read(file).unwrap();
    let name = [&13_u64.to_le_bytes()[..], b"output.weight"].concat();
    let at = bytes.windows(name.len()).position(|bytes| bytes == name).unwrap();
    bytes[at + name.len() - 1] = b'?';
    let tied = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(tied.path(), bytes).unwrap();
    let pool = Arc::new(ComputePool::new(2));
    let options = ModelOptions { activations: Activations::Int16, packs: None };
    let model = Arc::new(Model::open_with(tied.path(), &options, &pool).unwrap());
    let engine = Engine::new(model, vec![510], pool, &EngineOptions::default(), Pulse::default());
    Driver { engine, next: 0, events: Vec::new() }
}

impl Driver {
    fn open_gated(&mut self, prompt: &[TokenId], lane: u32, gate: Option<Always>) -> SeqKey {
        let gate = gate.map(|gate| Box::new(gate) as Box<dyn TokenGate>);
        let sampler = SamplerSpec { lane, ..warm() };
        match self.ask(Verb::Open(OpenSpec { prompt: prompt.to_vec(), sampler, gate, ..OpenSpec::default() }))
        {
            Ok(Outcome::Opened { seq, .. }) => seq,
            other => panic!("{other:?}"),
        }
    }

    fn start(&mut self, seq: SeqKey, at: usize, signals: SignalMode) -> JobId {
        self.submit(Verb::Run { seq, at, spec: RunSpec { signals, ..spec(16) } })
    }
}

/// Gates from one token to all, and none.
fn gates() -> Vec<Option<Always>> {
    vec![
        None,
        Some(Always::of([77])),
        Some(Always::of([3, 4, 5, 490])),
        Some(Always::of((0..512).step_by(33))),
        Some(Always::of((0..512).filter(|id| id % 5 != 0 && *id != 510))),
        None,
        Some(Always::of([400, 17])),
    ]
}

/// Tokens and log-probabilities, as bits.
pub(super) fn said(steps: &[StepResult]) -> Vec<(TokenId, u32)> {
    steps.iter().map(|step| (step.token, step.logprob.to_bits())).collect()
}

#[test]
fn what_is_computed_on_demand_has_the_bits_of_the_whole_head() {
    let ids = prompt(40, 3);
    // Signals of the whole vocabulary need the whole head.
    let whole = gates().into_iter().map(|gate| {
        let mut driver = packed();
        let seq = driver.open_gated(&ids, 0, gate);
        let job = driver.start(seq, ids.len(), SignalMode::Full);
        driver.finish(job).unwrap();
        said(&driver.steps(job))
    });
    let whole: Vec<_> = whole.collect();
    for signals in [SignalMode::None, SignalMode::Masked] {
        // All at once: rows that need all, few and no logits share the passes. Then each alone.
        let everyone = [gates()].into_iter().chain(gates().into_iter().map(|gate| vec![gate]));
        let wholes = [&whole[..]].into_iter().chain(whole.chunks(1));
        for (gates, wholes) in everyone.zip(wholes) {
            let mut driver = packed();
            let opened: Vec<_> = gates.into_iter().map(|gate| driver.open_gated(&ids, 0, gate)).collect();
            let jobs: Vec<_> = opened.into_iter().map(|seq| driver.start(seq, ids.len(), signals)).collect();
            for (job, whole) in jobs.into_iter().zip(wholes) {
                driver.finish(job).unwrap();
                assert_eq!(&said(&driver.steps(job)), whole);
            }
        }
    }
}

#[test]
fn bytes_of_the_head_are_charged_as_they_are_read() {
    let ids = prompt(40, 3);
    let mut driver = packed();
    let (block, head) = driver.engine.decoder.pass_bytes();
    let kv: u64 = (41..=55).map(|len| len * driver.engine.decoder.kv_bytes_per_token()).sum();
    let mut read = |gate: Option<Always>, signals| {
        let seq = driver.open_gated(&ids, 0, gate);
        let warm = driver.submit(Verb::Run { seq, at: ids.len(), spec: spec(0) });
        driver.finish(warm).unwrap();
        let job = driver.start(seq, ids.len(), signals);
        driver.finish(job).unwrap();
        let steps = driver.steps(job).len() as u64;
        let bytes = driver.done(job).unwrap().1.bytes_read;
        driver.ask(Verb::Close { seq }).unwrap();
        // The first step reads one token of keys and values less than it has itself.
        (bytes - steps * block - kv - 40 * driver.engine.decoder.kv_bytes_per_token()) / steps
    };
    assert_eq!(read(None, SignalMode::None), head);
    assert_eq!(read(Some(Always::of([77])), SignalMode::None), 0, "there is nothing to find out");
    assert_eq!(read(Some(Always::of([77])), SignalMode::Full), head);
    let two_groups = 2 * head / 32; // 512 tokens in groups of 16
    assert_eq!(read(Some(Always::of([3, 4, 490])), SignalMode::Masked), two_groups);
    assert_eq!(read(Some(Always::of([3, 4, 490])), SignalMode::Full), head);
    assert_eq!(read(Some(Always::of((0..512).step_by(64))), SignalMode::None), 8 * head / 32);
}

#[test]
fn a_token_without_alternative_is_certain() {
    let mut driver = packed();
    let ids = prompt(40, 3);
    let seq = driver.open_gated(&ids, 0, Some(Always::of([77])));
    let job = driver.start(seq, ids.len(), SignalMode::Masked);
    driver.finish(job).unwrap();
    let certain = Signals { entropy: 0.0, margin: 1.0 };
    for step in driver.steps(job) {
        let expected = StepResult { signals: Some(certain), ..StepResult::forced(77) };
        assert_eq!(step, expected);
    }
}

#[test]
fn masks_are_made_beside_the_pass_and_change_nothing() {
    let ids = prompt(40, 3);
    let allowed = || Always::of((0..512).step_by(9));
    let mut quick = packed();
    let seq = quick.open_gated(&ids, 0, Some(allowed()));
    let job = quick.start(seq, ids.len(), SignalMode::None);
    quick.finish(job).unwrap();

    let mut slow = packed();
    let gate = Always { work: Duration::from_millis(1), ..allowed() };
    let threads = gate.threads.clone();
    let seq = slow.open_gated(&ids, 0, Some(gate));
    let again = slow.start(seq, ids.len(), SignalMode::None);
    slow.finish(again).unwrap();
    assert_eq!(said(&slow.steps(again)), said(&quick.steps(job)));
    let threads = threads.lock().unwrap();
    assert_eq!(threads.len(), 16);
    assert!(threads.iter().all(|name| name.as_deref() == Some("masks")), "{threads:?}");
    assert_eq!(slow.engine.stats().masks.passes, 16);
}

/// A gate that foresees what a list says comes next, right or not.
#[derive(Clone)]
pub(super) struct Seer {
    pub allowed: Always,
    pub said: Vec<TokenId>,
    pub seen: usize,
    pub asked: Arc<Mutex<Vec<usize>>>,
}

impl TokenGate for Seer {
    fn mask(&mut self, allowed: &mut [u32]) {
        self.allowed.mask(allowed);
    }
    fn accept(&mut self, token: TokenId) -> bool {
        let accepted = self.allowed.accept(token);
        self.seen += usize::from(accepted);
        accepted
    }
    fn rollback(&mut self, count: usize) {
        self.seen -= count;
    }
    fn fork(&self) -> Box<dyn TokenGate> {
        Box::new(self.clone())
    }
    fn forced(&mut self) -> Vec<TokenId> {
        Vec::new()
    }
    fn foreseen(&mut self, most: usize) -> Vec<TokenId> {
        self.asked.lock().unwrap().push(most);
        self.said.iter().skip(self.seen).copied().take(most).collect()
    }
    fn is_complete(&mut self) -> bool {
        false
    }
}

#[test]
fn what_is_foreseen_saves_passes_and_changes_nothing() {
    let ids = prompt(40, 3);
    let allowed = || Always::of((0..512).filter(|id| id % 3 != 0 && *id != 510));
    let mut alone = packed();
    let seq = alone.open_gated(&ids, 0, Some(allowed()));
    let job = alone.start(seq, ids.len(), SignalMode::Masked);
    let ended = alone.finish(job);
    let expected = said(&alone.steps(job));
    let right: Vec<TokenId> = expected.iter().map(|(token, _)| *token).collect();
    let with_error_at = |at: &[usize]| {
        let wrong =
            |(index, token): (usize, &TokenId)| if at.contains(&index) { (token + 1) % 512 } else { *token };
        right.iter().enumerate().map(wrong).collect::<Vec<_>>()
    };
    // Passes: seven tokens foreseen and one more come with each, as far as they are right and fit.
    for (foreseen, most_passes) in
        [(right.clone(), 2), (with_error_at(&[4]), 3), (with_error_at(&[0, 1, 2]), 5), (vec![3; 16], 16)]
    {
        let mut driver = packed();
        let asked = Arc::<Mutex<Vec<usize>>>::default();
        let gate = Seer { allowed: allowed(), said: foreseen, seen: 0, asked: asked.clone() };
        let sampler = SamplerSpec { lane: 0, ..warm() };
        let open =
            OpenSpec { prompt: ids.clone(), sampler, gate: Some(Box::new(gate)), ..OpenSpec::default() };
        let Ok(Outcome::Opened { seq, .. }) = driver.ask(Verb::Open(open)) else { panic!("open") };
        let warm = driver.submit(Verb::Run { seq, at: ids.len(), spec: spec(0) });
        driver.finish(warm).unwrap();
        let job = driver.start(seq, ids.len(), SignalMode::Masked);
        assert_eq!(driver.finish(job), ended);
        assert_eq!(said(&driver.steps(job)), expected);
        let cost = driver.done(job).unwrap().1;
        assert!(cost.forward_passes <= most_passes, "{} passes", cost.forward_passes);
        // No more is asked for than the run may still say besides the next token.
        assert!(asked.lock().unwrap().iter().all(|most| (1..=7).contains(most)));
        // What was wrong left nothing behind: the same sequence goes on as one that never guessed.
        let more = driver.start(seq, ids.len() + 16, SignalMode::None);
        driver.finish(more).unwrap();
        let reference = alone.open_gated(&[&ids[..], &right[..]].concat(), 0, Some(allowed()));
        let after = alone.start(reference, ids.len() + 16, SignalMode::None);
        alone.finish(after).unwrap();
        assert_eq!(said(&driver.steps(more)), said(&alone.steps(after)));
        alone.ask(Verb::Close { seq: reference }).unwrap();
    }
}

#[test]
fn a_cancelled_run_keeps_nothing_that_was_only_foreseen() {
    let ids = prompt(40, 3);
    let mut driver = packed();
    let allowed = Always::of((0..512).filter(|id| *id != 510));
    let gate = Seer { allowed, said: vec![5; 400], seen: 0, asked: Arc::default() };
    let open =
        OpenSpec { prompt: ids.clone(), sampler: warm(), gate: Some(Box::new(gate)), ..OpenSpec::default() };
    let Ok(Outcome::Opened { seq, .. }) = driver.ask(Verb::Open(open)) else { panic!("open") };
    let job = driver.submit(Verb::Run { seq, at: ids.len(), spec: spec(200) });
    driver.engine.tick(&mut driver.events);
    driver.engine.tick(&mut driver.events);
    driver.engine.cancel(job);
    let Ok(Outcome::Ran { stop: StopReason::Cancelled, len }) = driver.finish(job) else { panic!("ran") };
    assert_eq!(len, ids.len() + driver.steps(job).len());
    driver.ask(Verb::Truncate { seq, len: ids.len() }).unwrap();
}

/// A gate with a defect.
struct Broken;

impl TokenGate for Broken {
    fn mask(&mut self, _: &mut [u32]) {
        panic!("a broken gate");
    }
    fn accept(&mut self, _: TokenId) -> bool {
        true
    }
    fn rollback(&mut self, _: usize) {}
    fn fork(&self) -> Box<dyn TokenGate> {
        Box::new(Self)
    }
    fn forced(&mut self) -> Vec<TokenId> {
        Vec::new()
    }
    fn is_complete(&mut self) -> bool {
        false
    }
}

#[test]
#[should_panic(expected = "a broken gate")]
fn a_gate_that_panics_stops_the_engine_with_what_it_said() {
    let mut driver = packed();
    let ids = prompt(40, 3);
    let open = OpenSpec {
        prompt: ids.clone(),
        sampler: warm(),
        gate: Some(Box::new(Broken)),
        ..OpenSpec::default()
    };
    let Ok(Outcome::Opened { seq, .. }) = driver.ask(Verb::Open(open)) else { panic!("open") };
    let job = driver.start(seq, ids.len(), SignalMode::None);
    let _ = driver.finish(job);
}
