//! A decoder that fails now and then: verbs fail, sequences stay.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::kv::PageId;

/// The processor's decoder, failing the next `forward` or `copy_page` on demand.
struct Failing {
    inner: CpuDecoder,
    fuse: Fuse,
}

#[derive(Clone, Default)]
struct Fuse {
    forwards: Arc<AtomicU32>,
    copies: Arc<AtomicU32>,
}

fn burn(fuse: &AtomicU32) -> Result<(), EngineError> {
    match fuse.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)) {
        Ok(_) => Err(EngineError::Device("out of memory".into())),
        Err(_) => Ok(()),
    }
}

impl Decoder for Failing {
    fn config(&self) -> &ModelConfig {
        self.inner.config()
    }

    fn pages(&self) -> usize {
        self.inner.pages()
    }

    fn forward(&mut self, rows: &[Row<'_>], pulse: &Pulse) -> Result<(), EngineError> {
        burn(&self.fuse.forwards)?;
        self.inner.forward(rows, pulse)
    }

    fn head(&mut self, heads: &mut [Head<'_>]) -> Result<(), EngineError> {
        self.inner.head(heads)
    }

    fn logits(&mut self) -> &mut [f32] {
        self.inner.logits()
    }

    fn hidden(&self) -> &[f32] {
        self.inner.hidden()
    }

    fn copy_page(&mut self, from: PageId, to: PageId) -> Result<(), EngineError> {
        burn(&self.fuse.copies)?;
        self.inner.copy_page(from, to)
    }

    fn kv_bytes_per_token(&self) -> u64 {
        self.inner.kv_bytes_per_token()
    }

    fn pass_bytes(&self) -> (u64, u64) {
        self.inner.pass_bytes()
    }

    fn prefill_rows(&self) -> crate::model::PrefillRows {
        self.inner.prefill_rows()
    }
}

fn driver() -> (Driver, Fuse) {
    let fuse = Fuse::default();
    let options =
        EngineOptions { max_sequences: 4, kv_tokens: 256, context: 256, ..EngineOptions::default() };
    let inner = CpuDecoder::new(tiny(), Arc::new(ComputePool::new(1)), 8);
    let decoder = Failing { inner, fuse: fuse.clone() };
    let engine = Engine::over(Box::new(decoder), vec![510], &options, Pulse::default());
    (Driver { engine, next: 0, events: Vec::new() }, fuse)
}

#[test]
fn a_failed_pass_ends_its_verbs_and_leaves_the_sequence_as_it_was() {
    let (mut undisturbed, _) = driver();
    let ids = prompt(40, 1);
    let seq = undisturbed.open(&ids, warm());
    let expected = tokens(&undisturbed.run(seq, ids.len(), 6));

    let (mut driver, fuse) = driver();
    let seq = driver.open(&ids, warm());
    let verbs = [
        Verb::Run { seq, at: ids.len(), spec: spec(6) },
        Verb::Verify { seq, at: ids.len(), spec: check(&expected[..3]) },
        Verb::Propose { seq, at: ids.len(), k: 4 },
        Verb::Score { seq, candidates: vec![vec![1, 2], vec![3]] },
        Verb::Embed { ids: ids.clone() },
    ];
    for verb in verbs {
        fuse.forwards.store(1, Ordering::Relaxed);
        let before = driver.engine.stats().total;
        let answer = driver.ask(verb);
        assert_eq!(answer, Err(EngineError::Device("out of memory".into())));
        assert_eq!(driver.engine.stats().total, before, "what did not happen costs nothing");
        assert_eq!((driver.engine.stats().jobs, driver.engine.stats().sequences), (0, 1));
    }
    assert_eq!(tokens(&driver.run(seq, ids.len(), 6)), expected);
}

#[test]
fn a_failed_page_copy_ends_the_verb_and_loses_no_page() {
    let (mut driver, fuse) = driver();
    let ids = prompt(40, 1);
    let seq = driver.open(&ids, warm());
    let expected = tokens(&driver.run(seq, ids.len(), 2));
    let Ok(Outcome::Forked(copy)) = driver.ask(Verb::Fork { seq, lane: 0 }) else { panic!("a fork") };
    driver.ask(Verb::Truncate { seq: copy, len: ids.len() }).unwrap();
    let held = driver.engine.stats().kv_pages_used;

    fuse.copies.store(1, Ordering::Relaxed);
    let job = Verb::Run { seq: copy, at: ids.len(), spec: spec(2) };
    assert_eq!(driver.ask(job), Err(EngineError::Device("out of memory".into())));
    assert_eq!(driver.engine.stats().kv_pages_used, held);
    assert_eq!(tokens(&driver.run(copy, ids.len(), 2)), expected);
}

#[test]
fn a_draft_that_finds_no_page_is_left_out() {
    let (mut driver, _) = driver();
    let ids = prompt(120, 1);
    let (first, second) = (driver.open(&ids, warm()), driver.open(&prompt(128, 2), warm()));
    driver.run(second, 128, 0);
    let verified = driver.verify(first, ids.len(), check(&[5; 40]));
    assert_eq!((verified.drafted, verified.steps.len(), verified.stop), (0, 1, None));
    let grown = driver.ask(Verb::Extend { seq: first, at: ids.len() + 1, ids: vec![7] });
    assert_eq!(grown, Ok(Outcome::Length(ids.len() + 2)));
}

#[test]
fn a_verification_that_finds_no_memory_ends_with_what_is_forced() {
    let (mut driver, _) = driver();
    let gate = masks::Fence { opening: vec![400, 401, 402], limit: 20, most: 90, seen: 0 };
    let open = OpenSpec {
        prompt: prompt(126, 1),
        sampler: warm(),
        gate: Some(Box::new(gate)),
        ..OpenSpec::default()
    };
    let Ok(Outcome::Opened { seq, .. }) = driver.ask(Verb::Open(open)) else { panic!("open") };
    let second = driver.open(&prompt(128, 2), warm());
    driver.run(second, 128, 0);
    let verified = driver.verify(seq, 126, check(&[]));
    assert_eq!(tokens(&verified.steps), [400, 401, 402]);
    assert_eq!(verified.stop, Some(StopReason::ContextFull));
    assert_eq!(driver.ask(Verb::Truncate { seq, len: 127 }), Ok(Outcome::Length(127)));
}
