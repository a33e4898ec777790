//! Drafting and checking drafts.
//!
//! [`Block`] checks tokens that were drawn from a drafter's distributions, by block verification: Sun,
//! Mendlovich, Leviathan, Aharoni, Ro, Beirami and Suresh 2025, "Block verification accelerates
//! speculative decoding", Algorithm 2. What comes out is distributed as the target `p`, whatever the
//! drafter's `q` is, and no lossless check of one draft lets more tokens stand on average; checking token
//! by token (Leviathan et al. 2023) lets fewer. Here `p` is the warped target, the same that
//! [`Sampler::choose`] draws from.
//!
//! Drafts of point masses need none of this: they are compared with what is chosen anyway.

use super::{Prepared, Purpose, Sampler, nth_uniform, row};
use crate::EngineError;
use crate::verbs::{Draft, SamplerSpec, SignalMode, StepResult, TokenId};

/// Tokens of a drafter's distribution that travel with a draft.
const DRAFT_TOKENS: usize = 64;
/// How far from 1 the probabilities of a draft may sum, from rounding.
const SUM_TOLERANCE: f32 = 1e-2;
/// A residual below this is rounding.
const NOTHING: f64 = 1e-9;

/// What a choice depends on besides the logits: see [`Sampler::choose`].
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The sequence so far.
    pub history: &'a [TokenId],
    /// How tokens are drawn.
    pub spec: &'a SamplerSpec,
    /// The allowed tokens; `None` is all.
    pub mask: Option<&'a [u32]>,
    /// Signals to take.
    pub signals: SignalMode,
}

/// Checks a draft's distributions and sorts each by token, as [`Block::judge`] needs them.
///
/// # Errors
/// [`EngineError::InvalidArgument`] when there is not one for each token, or one is no distribution or
/// lacks its token.
pub fn check_draft(draft: &mut Draft) -> Result<(), EngineError> {
    let invalid =
        |reason: &str| Err(EngineError::InvalidArgument(format!("a draft's distribution {reason}")));
    if !draft.q.is_empty() && draft.q.len() != draft.ids.len() {
        return Err(EngineError::InvalidArgument("a draft needs one distribution per token, or none".into()));
    }
    for (q, token) in draft.q.iter_mut().zip(&draft.ids) {
        q.sort_unstable_by_key(|entry| entry.0);
        if q.iter().any(|entry| !(0.0..=1.0 + SUM_TOLERANCE).contains(&entry.1)) {
            return invalid("has a probability outside 0 to 1");
        }
        if q.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return invalid("names a token twice");
        }
        if (q.iter().map(|entry| entry.1).sum::<f32>() - 1.0).abs() > SUM_TOLERANCE {
            return invalid("does not sum to 1");
        }
        if share_of(q, *token) <= 0.0 {
            return invalid("lacks the drafted token");
        }
    }
    Ok(())
}

impl Sampler {
    /// The distribution that [`choose`](Self::choose) draws from, cut to its 64 likeliest
    /// tokens and renormalised, likeliest first; a single pair when greedy or forced.
    ///
    /// # Errors
    /// As [`choose`](Self::choose).
    pub fn distribution(
        &mut self,
        logits: &mut [f32],
        history: &[TokenId],
        spec: &SamplerSpec,
        mask: Option<&[u32]>,
    ) -> Result<Vec<(TokenId, f32)>, EngineError> {
        let prepared = self.prepare(logits, history, spec, mask, SignalMode::None)?;
        self.warp(&prepared, spec);
        self.warped.shorten(DRAFT_TOKENS);
        let total = self.warped.total;
        let probability = |weight: f32| (f64::from(weight) / total) as f32;
        Ok(self.warped.kept.iter().map(|kept| (kept.id, probability(kept.weight))).collect())
    }

    /// Drafts the next token of a draft that began when the sequence had `base` tokens: draws it from
    /// [`distribution`](Self::distribution) and returns that with it, for
    /// [`Draft::q`](crate::verbs::Draft::q).
    ///
    /// # Errors
    /// As [`choose`](Self::choose).
    pub fn draft(
        &mut self,
        logits: &mut [f32],
        history: &[TokenId],
        spec: &SamplerSpec,
        mask: Option<&[u32]>,
        base: usize,
    ) -> Result<(TokenId, Vec<(TokenId, f32)>), EngineError> {
        let q = self.distribution(logits, history, spec, mask)?;
        let index = history.len().saturating_sub(base) as u32;
        let token = self.warped.pick(nth_uniform(spec.seed, spec.lane, base as u64, index, Purpose::Draft));
        Ok((token, q))
    }

    /// The drafted token where it is nearly as likely as the likeliest, else what
    /// [`choose`](Self::choose) says: see [`Acceptance::Lenient`](crate::verbs::Acceptance::Lenient).
    ///
    /// # Errors
    /// As [`choose`](Self::choose).
    pub fn choose_leniently(
        &mut self,
        logits: &mut [f32],
        context: &Context<'_>,
        drafted: TokenId,
        alpha: f32,
    ) -> Result<StepResult, EngineError> {
        let Context { history, spec, mask, signals } = *context;
        let prepared = self.prepare(logits, history, spec, mask, signals)?;
        let odds = self.odds(drafted, &prepared, spec);
        let token = match odds > 0.0 && odds >= 1.0 - alpha {
            true => drafted,
            false => self.draw(&prepared, spec, history.len()),
        };
        Ok(self.step(token, &prepared))
    }

    /// How likely a token is beside the likeliest, from 0 to 1.
    fn odds(&mut self, token: TokenId, prepared: &Prepared<'_>, spec: &SamplerSpec) -> f32 {
        if prepared.is_forced || spec.temperature > 0.0 {
            self.warp(prepared, spec);
            return self.warped.weight(token); // the likeliest weighs 1
        }
        let logit = |place: usize| prepared.row.get(place).copied();
        match (self.place(token).and_then(logit), logit(prepared.best)) {
            (Some(logit), Some(best)) => row::exp(logit - best),
            _ => 0.0,
        }
    }

    /// Turns the target into `max(0, weight p - q)` and returns its sum. Where rounding leaves nothing,
    /// `p` stays, and is not needed: then the draft stands further.
    fn subtract(&mut self, weight: f64, q: &[(TokenId, f32)]) -> f64 {
        let total = self.warped.total;
        let rest = |id, kept: f32| (weight * f64::from(kept) / total - f64::from(share_of(q, id))).max(0.0);
        let left: f64 = self.warped.kept.iter().map(|kept| rest(kept.id, kept.weight)).sum();
        if left > NOTHING {
            for kept in &mut self.warped.kept {
                kept.weight = rest(kept.id, kept.weight) as f32;
            }
            self.warped.total = left;
        }
        left
    }
}

/// A draft under block verification, token by token and then as a whole.
///
/// In the paper's terms `weight` is `p_i`, and the number of tokens that stand is `tau`, the last `i` whose
/// random number is below `h_i`.
#[derive(Debug)]
pub struct Block {
    /// Length of the sequence where the draft begins: it keys the random numbers.
    base: usize,
    weight: f64,
    standing: usize,
    drafted: Vec<StepResult>,
    /// The token that follows if the draft stands no further, in place of each drafted one.
    instead: Vec<StepResult>,
}

impl Block {
    /// Nothing is judged yet; the sequence has `base` tokens.
    pub fn new(base: usize) -> Self {
        Self { base, weight: 1.0, standing: 0, drafted: Vec::new(), instead: Vec::new() }
    }

    /// Judges the next drafted token, drawn from `q` (as [`check_draft`] left it). `false` where neither
    /// it nor what comes after it can stand.
    ///
    /// # Errors
    /// As [`Sampler::choose`].
    pub fn judge(
        &mut self,
        sampler: &mut Sampler,
        logits: &mut [f32],
        context: &Context<'_>,
        token: TokenId,
        q: &[(TokenId, f32)],
    ) -> Result<bool, EngineError> {
        let Context { history, spec, mask, signals } = *context;
        let prepared = sampler.prepare(logits, history, spec, mask, signals)?;
        sampler.warp(&prepared, spec);
        let p = sampler.warped.probability(token);
        let rest = sampler.subtract(self.weight, q);
        if !self.drafted.is_empty() {
            self.decide(rest / (rest + 1.0 - self.weight), spec);
        }
        let draw = nth_uniform(spec.seed, spec.lane, self.base as u64, self.index(), Purpose::Residual);
        let instead = sampler.warped.pick(draw);
        self.instead.push(sampler.step(instead, &prepared));
        self.drafted.push(sampler.step(token, &prepared));
        self.weight = (self.weight * p / f64::from(share_of(q, token))).min(1.0);
        Ok(self.weight > 0.0)
    }

    /// The tokens that stand, and the one that follows; `None` where all stand: the target then chooses
    /// freely.
    pub fn finish(mut self, spec: &SamplerSpec) -> (Vec<StepResult>, Option<StepResult>) {
        self.decide(self.weight, spec);
        let instead = self.instead.get(self.standing).cloned();
        self.drafted.truncate(self.standing);
        (self.drafted, instead)
    }

    fn index(&self) -> u32 {
        self.drafted.len() as u32
    }

    /// All tokens judged so far stand with this probability, whatever was decided of fewer.
    fn decide(&mut self, probability: f64, spec: &SamplerSpec) {
        let draw = nth_uniform(spec.seed, spec.lane, self.base as u64, self.index(), Purpose::Accept);
        if draw < probability {
            self.standing = self.drafted.len();
        }
    }
}

/// The probability of a token in a distribution sorted by id.
fn share_of(sorted: &[(TokenId, f32)], id: TokenId) -> f32 {
    let found = sorted.binary_search_by_key(&id, |entry| entry.0);
    found.ok().and_then(|at| sorted.get(at)).map_or(0.0, |entry| entry.1)
}
