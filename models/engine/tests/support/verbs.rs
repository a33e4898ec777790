//! What every decoder has to get right under an engine: each check runs verbs that should lead to
//! the same tokens by two ways, and says where they part.
//!
//! Two ways may part for good where the best two tokens are nearly as likely as each other, since
//! only the processor promises the same bits. Such a close call ends a comparison.

use understudy_engine::EngineError;
use understudy_engine::engine::{Engine, EngineOptions};
use understudy_engine::kv::PAGE_LEN;
use understudy_engine::model::Decoder;
use understudy_engine::tick::{Pulse, TickEngine};
use understudy_engine::verbs::*;

/// Best two tokens nearer than this (in probability) are a close call where activations are floats
/// or 15-bit integers. Log-probabilities may differ by five times as much.
pub const CLOSE: f32 = 0.01;

/// The same for 8-bit activations where kernels differ with the number of rows: a last bit decides
/// how a number is rounded, and the roundings add up.
pub const CLOSE_INT8: f32 = 0.1;

/// An engine over a decoder, driven from outside.
pub struct Driver {
    engine: Engine,
    next: u64,
    vocab: u32,
    close: f32,
}

type Answer = Result<Outcome, EngineError>;

/// What was found, or what went wrong.
type Found = Result<String, String>;

/// A check by name.
type Check = (&'static str, fn(&mut Driver) -> Found);

/// Limits under which the checks run.
pub fn options() -> EngineOptions {
    EngineOptions { max_sequences: 12, kv_tokens: 4096, context: 2048, ..EngineOptions::default() }
}

/// The checks by name.
pub const CHECKS: [Check; 6] = [
    ("a_truncated_sequence_goes_on_as_before", truncated),
    ("a_fork_goes_on_as_its_origin", forked),
    ("a_draft_of_its_own_tokens_is_accepted", verified),
    ("a_score_is_the_sum_of_log_probabilities", scored),
    ("an_embedding_has_length_one_and_is_the_same_twice", embedded),
    ("streams_at_once_say_what_they_say_alone", batched),
];

impl Driver {
    pub fn new(decoder: Box<dyn Decoder>, close: f32) -> Self {
        Self::with(decoder, close, options().context)
    }

    /// For sequences of at most so many tokens.
    pub fn with(decoder: Box<dyn Decoder>, close: f32, context: usize) -> Self {
        let vocab = decoder.config().vocab as u32;
        let options = EngineOptions { context, ..options() };
        let engine = Engine::over(decoder, Vec::new(), &options, Pulse::default());
        Self { engine, next: 0, vocab, close }
    }

    fn submit(&mut self, verb: Verb) -> JobId {
        self.next += 1;
        self.engine.submit(JobId(self.next), verb);
        JobId(self.next)
    }

    /// Ticks until all jobs are done: the steps and the answer of each.
    fn finish(&mut self, jobs: &[JobId]) -> Vec<(Vec<StepResult>, Answer)> {
        let mut events = Vec::new();
        let mut steps = vec![Vec::new(); jobs.len()];
        let mut answers: Vec<Option<Answer>> = vec![None; jobs.len()];
        while answers.iter().any(Option::is_none) {
            self.engine.tick(&mut events);
            for (id, event) in events.drain(..) {
                let Some(index) = jobs.iter().position(|job| *job == id) else { continue };
                match event {
                    JobEvent::Step(step) => steps[index].push(step),
                    JobEvent::Done { result, .. } => answers[index] = Some(result),
                }
            }
        }
        steps.into_iter().zip(answers.into_iter().flatten()).collect()
    }

    pub fn ask(&mut self, verb: Verb) -> Result<Outcome, String> {
        let job = self.submit(verb);
        let answer = self.finish(&[job]).remove(0).1;
        answer.map_err(|error| error.to_string())
    }

    pub fn open(&mut self, prompt: Vec<TokenId>) -> Result<SeqKey, String> {
        match self.ask(Verb::Open(OpenSpec { prompt, ..OpenSpec::default() }))? {
            Outcome::Opened { seq, .. } => Ok(seq),
            other => Err(format!("{other:?}")),
        }
    }

    /// Runs sequences of so many tokens at once, each to so many more.
    pub fn run_all(
        &mut self,
        sequences: &[(SeqKey, usize)],
        max_tokens: u32,
    ) -> Result<Vec<Vec<StepResult>>, String> {
        let run = |driver: &mut Self, &(seq, at): &(SeqKey, usize)| {
            let spec = RunSpec { max_tokens, stop_when: StopWhen::default(), signals: SignalMode::Full };
            driver.submit(Verb::Run { seq, at, spec })
        };
        let jobs: Vec<JobId> = sequences.iter().map(|sequence| run(self, sequence)).collect();
        let done = self.finish(&jobs).into_iter();
        done.map(|(steps, answer)| answer.map(|_| steps).map_err(|error| error.to_string())).collect()
    }

    fn run(&mut self, seq: SeqKey, at: usize, max_tokens: u32) -> Result<Vec<StepResult>, String> {
        Ok(self.run_all(&[(seq, at)], max_tokens)?.remove(0))
    }

    /// Token ids that say the same again and again, so that a trained model is sure how to go on;
    /// another text for each salt.
    pub fn prompt(&self, len: usize, salt: u32) -> Vec<TokenId> {
        let id = |index: u32| (index * index * 31 + index * 7 + salt * 977 + 3) % self.vocab;
        (0..len as u32).map(|index| id(index % (5 + salt % 4))).collect()
    }

    pub fn close(&mut self, seq: SeqKey) {
        self.submit(Verb::Close { seq });
    }
}

/// Compares two ways to the same tokens; the number of tokens before the first close call.
pub fn same_tokens(one: &[StepResult], other: &[StepResult], close: f32) -> Result<usize, String> {
    let is_close = |step: &StepResult| step.signals.is_none_or(|signals| signals.margin < close);
    for (index, (one, other)) in one.iter().zip(other).enumerate() {
        if is_close(one) || is_close(other) {
            return Ok(index);
        }
        if one.token != other.token || (one.logprob - other.logprob).abs() > 5.0 * close {
            return Err(format!("token {index}: {one:?} by one way, {other:?} by the other"));
        }
    }
    match one.len() == other.len() {
        true => Ok(one.len()),
        false => Err(format!("{} tokens by one way, {} by the other", one.len(), other.len())),
    }
}

/// Runs a comparison over several texts and adds up how much was compared. Nothing is a failure:
/// it would pass whatever the decoder did.
fn over_texts(
    driver: &mut Driver,
    of_each: usize,
    check: impl Fn(&mut Driver, u32) -> Result<usize, String>,
) -> Found {
    const TEXTS: [u32; 4] = [1, 20, 42, 63];
    let mut count = 0;
    for salt in TEXTS {
        count += check(driver, salt)?;
    }
    match (count, of_each * TEXTS.len()) {
        (0, of) => Err(format!("none of {of} tokens compared: the first are all close calls")),
        (_, of) => Ok(format!("{count} of {of} tokens compared")),
    }
}

fn truncated(driver: &mut Driver) -> Found {
    // Not a whole number of pages, and over the edge of a page when it goes on.
    let len = 2 * PAGE_LEN - 5;
    over_texts(driver, 15, |driver, salt| {
        let seq = driver.open(driver.prompt(len, salt))?;
        let first = driver.run(seq, len, 24)?;
        driver.ask(Verb::Truncate { seq, len: len + 9 })?;
        let again = driver.run(seq, len + 9, 15)?;
        driver.close(seq);
        same_tokens(&first[9..], &again, driver.close)
    })
}

fn forked(driver: &mut Driver) -> Found {
    let len = 40;
    over_texts(driver, 12 + 18, |driver, salt| {
        let seq = driver.open(driver.prompt(len, salt))?;
        let mut whole = driver.run(seq, len, 6)?;
        let Outcome::Forked(copy) = driver.ask(Verb::Fork { seq, lane: 0 })? else {
            return Err("no fork".into());
        };
        let both = driver.run_all(&[(seq, len + 6), (copy, len + 6)], 12)?;
        let together = same_tokens(&both[0], &both[1], driver.close)?;
        // And against a sequence that shares no page with them: nothing of it is sealed.
        let fresh = driver.open(driver.prompt(len, salt))?;
        let alone = driver.run(fresh, len, 18)?;
        whole.extend_from_slice(&both[0]);
        let apart = same_tokens(&whole, &alone, driver.close)?;
        [seq, copy, fresh].into_iter().for_each(|seq| driver.close(seq));
        Ok(together + apart)
    })
}

fn verified(driver: &mut Driver) -> Found {
    let len = 50;
    over_texts(driver, 13, |driver, salt| {
        let seq = driver.open(driver.prompt(len, salt))?;
        let steps = driver.run(seq, len, 13)?;
        driver.ask(Verb::Truncate { seq, len })?;
        let ids: Vec<TokenId> = steps[..12].iter().map(|step| step.token).collect();
        let spec = VerifySpec {
            draft: Draft::certain(ids),
            acceptance: Acceptance::Exact,
            most: 13,
            signals: SignalMode::Full,
        };
        let Outcome::Verified(found) = driver.ask(Verb::Verify { seq, at: len, spec })? else {
            return Err("no verification".into());
        };
        driver.close(seq);
        let kept = &found.steps;
        let until = kept.len().min(steps.len());
        let count = same_tokens(&steps[..until], kept, driver.close)?;
        match count == until && found.accepted != 12 {
            true => Err(format!("{} of its own 12 tokens accepted", found.accepted)),
            false => Ok(count),
        }
    })
}

fn scored(driver: &mut Driver) -> Found {
    let len = 45;
    let prompt = driver.prompt(len, 4);
    let seq = driver.open(prompt.clone())?;
    let steps = driver.run(seq, len, 5)?;
    driver.ask(Verb::Truncate { seq, len })?;
    let own: Vec<TokenId> = steps.iter().map(|step| step.token).collect();
    let candidates = vec![own.clone(), vec![1, 2, 3], own];
    let Outcome::Scores(scores) = driver.ask(Verb::Score { seq, candidates })? else {
        return Err("no scores".into());
    };
    driver.close(seq);
    let expected: f32 = steps.iter().map(|step| step.logprob).sum();
    let is_near = |score: f32| (score - expected).abs() < 5.0 * driver.close;
    match is_near(scores[0]) && is_near(scores[2]) && scores[1] < 0.0 {
        true => Ok(format!("score {:.4}, sum {expected:.4}", scores[0])),
        false => Err(format!("scores {scores:?}, sum {expected}")),
    }
}

fn embedded(driver: &mut Driver) -> Found {
    let mut embed = |salt| {
        let ids = driver.prompt(70, salt);
        match driver.ask(Verb::Embed { ids })? {
            Outcome::Embedding(embedding) => Ok(embedding),
            other => Err(format!("{other:?}")),
        }
    };
    let (one, again, other) = (embed(5)?, embed(5)?, embed(6)?);
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let (length, same, apart) = (dot(&one, &one), dot(&one, &again), dot(&one, &other));
    match (length - 1.0).abs() < 1e-3 && (same - 1.0).abs() < 1e-3 && apart < same {
        true => Ok(format!("cosine of the same text {same:.6}, of another {apart:.6}")),
        false => Err(format!("length {length}, cosine of the same text {same}, of another {apart}")),
    }
}

fn batched(driver: &mut Driver) -> Found {
    let lens = [3, 20, 33, 64, 65, 100, 7, 130];
    over_texts(driver, 16 * lens.len(), |driver, salt| {
        let mut alone = Vec::new();
        for (text, &len) in (salt..).zip(&lens) {
            let seq = driver.open(driver.prompt(len, text))?;
            alone.push(driver.run(seq, len, 16)?);
            driver.close(seq);
        }
        let mut sequences = Vec::new();
        for (text, &len) in (salt..).zip(&lens) {
            sequences.push((driver.open(driver.prompt(len, text))?, len));
        }
        let together = driver.run_all(&sequences, 16)?;
        sequences.into_iter().for_each(|(seq, _)| driver.close(seq));
        let mut count = 0;
        for (alone, together) in alone.iter().zip(&together) {
            count += same_tokens(alone, together, driver.close)?;
        }
        Ok(count)
    })
}
