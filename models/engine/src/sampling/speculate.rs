//! Drafting and checking drafts, losslessly.
//!
//! Leviathan et al. 2023, "Fast inference from transformers via speculative decoding":
//! a token drawn from `q` is accepted with probability `min(1, p / q)`, and a rejected one
//! replaced by a draw from `max(0, p - q)`. What comes out is distributed as `p`, whatever
//! `q` is. Here `p` is the warped target, the same that [`Sampler::choose`] draws from.

use super::{Purpose, Sampler, uniform};
use crate::EngineError;
use crate::verbs::{SamplerSpec, SignalMode, StepResult, TokenId};

/// Tokens of a drafter's distribution that travel with a draft.
const DRAFT_TOKENS: usize = 64;
/// How far from 1 the probabilities of a draft may sum, from rounding.
const SUM_TOLERANCE: f32 = 1e-2;

/// What the target made of one drafted token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// The drafted token stands.
    Accepted(StepResult),
    /// This token takes its place; the rest of the draft is void.
    Replaced(StepResult),
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

    /// Drafts the token at `position`: draws it from [`distribution`](Self::distribution)
    /// and returns that distribution with it, for [`Draft::q`](crate::verbs::Draft::q).
    ///
    /// # Errors
    /// As [`choose`](Self::choose).
    pub fn draft(
        &mut self,
        logits: &mut [f32],
        history: &[TokenId],
        spec: &SamplerSpec,
        mask: Option<&[u32]>,
        position: usize,
    ) -> Result<(TokenId, Vec<(TokenId, f32)>), EngineError> {
        let q = self.distribution(logits, history, spec, mask)?;
        let token = self.warped.pick(uniform(spec.seed, spec.lane, position as u64, Purpose::Draft));
        Ok((token, q))
    }

    /// Accepts or replaces the drafted `token` at `position`, given the target's logits
    /// there and the distribution `q` that the token was drawn from. Greedy targets accept
    /// just their own choice.
    ///
    /// # Errors
    /// As [`choose`](Self::choose), and [`EngineError::InvalidArgument`] when `q` is no
    /// distribution or lacks the token.
    // The target's six inputs are `choose`'s; only the draft is new.
    #[allow(clippy::too_many_arguments)]
    pub fn accept_draft(
        &mut self,
        logits: &mut [f32],
        history: &[TokenId],
        spec: &SamplerSpec,
        mask: Option<&[u32]>,
        q: &[(TokenId, f32)],
        token: TokenId,
        position: usize,
        signals: SignalMode,
    ) -> Result<Verdict, EngineError> {
        let q_token = self.read_draft(q, token)?;
        let prepared = self.prepare(logits, history, spec, mask, signals)?;
        self.warp(&prepared, spec);
        let draw = |purpose| uniform(spec.seed, spec.lane, position as u64, purpose);
        if draw(Purpose::Accept) * f64::from(q_token) < self.warped.probability(token) {
            return Ok(Verdict::Accepted(self.step(token, &prepared)));
        }
        self.subtract_draft();
        let replacement = self.warped.pick(draw(Purpose::Residual));
        Ok(Verdict::Replaced(self.step(replacement, &prepared)))
    }

    /// Sorts `q` into scratch and checks it; returns the token's share.
    fn read_draft(&mut self, q: &[(TokenId, f32)], token: TokenId) -> Result<f32, EngineError> {
        let invalid =
            |reason: &str| EngineError::InvalidArgument(format!("the draft's distribution {reason}"));
        self.drafted.clear();
        self.drafted.extend_from_slice(q);
        self.drafted.sort_unstable_by_key(|entry| entry.0);
        if self.drafted.iter().any(|entry| !(0.0..=1.0 + SUM_TOLERANCE).contains(&entry.1)) {
            return Err(invalid("has a probability outside 0 to 1"));
        }
        if self.drafted.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(invalid("names a token twice"));
        }
        let sum: f32 = self.drafted.iter().map(|entry| entry.1).sum();
        if (sum - 1.0).abs() > SUM_TOLERANCE {
            return Err(invalid("does not sum to 1"));
        }
        match share_of(&self.drafted, token) {
            share if share > 0.0 => Ok(share.min(1.0)),
            _ => Err(invalid("lacks the drafted token")),
        }
    }

    /// Turns the target into `max(0, p - q)`. Where rounding leaves nothing, `p` and `q`
    /// are the same and a rejection was rounding too: `p` stays.
    fn subtract_draft(&mut self) {
        let total = self.warped.total;
        let rest =
            |id, weight: f32| (f64::from(weight) - f64::from(share_of(&self.drafted, id)) * total).max(0.0);
        let left: f64 = self.warped.kept.iter().map(|kept| rest(kept.id, kept.weight)).sum();
        if left <= 1e-9 * total {
            return;
        }
        for kept in &mut self.warped.kept {
            kept.weight = rest(kept.id, kept.weight) as f32;
        }
        self.warped.total = left;
    }
}

/// The probability of a token in a distribution sorted by id.
fn share_of(sorted: &[(TokenId, f32)], id: TokenId) -> f32 {
    let found = sorted.binary_search_by_key(&id, |entry| entry.0);
    found.ok().and_then(|at| sorted.get(at)).map_or(0.0, |entry| entry.1)
}
