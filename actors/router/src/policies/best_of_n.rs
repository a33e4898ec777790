//! Several answers, of which the one stands that the others and the evidence speak for.
//!
//! In stages, from cheap to dear: answers that break the constraint or fail a validator are out; the
//! others are grouped by what they come to ([`CandidateRecord::outcome`]); the largest group wins, by
//! confidence where groups are as large as each other, by the critic's word where there is one. No more
//! are drawn once no other group can catch up. Without validators and a critic this is
//! self-consistency (Wang et al. 2022, "Self-consistency improves chain of thought reasoning").
//!
//! [`CandidateRecord::outcome`]: crate::CandidateRecord::outcome

use async_trait::async_trait;
use futures::future::join_all;

use super::{Definition, Make, Policy, Written};
use crate::candidate::Candidate;
use crate::critic::approval;
use crate::desk::{Desk, Trouble};
use crate::judge::{Judgement, judge};
use crate::plan::Cast;
use crate::policy_spec::{Param, ParamKind, Params};
use crate::{Decision, DecisionKind, FinishReason};

/// Odd, so that two groups are seldom as large as each other.
const SAMPLES: u32 = 5;
/// How many are written at the same time: the engine's batch carries them in the same passes.
const AT_ONCE: usize = 3;
/// Of samples of a greedy request: with 0 all would be the same.
const TEMPERATURE: f32 = 0.7;

pub(super) const DEFINITION: Definition = Definition {
    name: "best-of-n",
    about: "several answers; the one stands that most others agree with and no validator refuses",
    params: &[
        Param { name: "n", kind: ParamKind::Count(2, 32), about: "most answers (default 5)" },
        Param {
            name: "temperature",
            kind: ParamKind::Amount,
            about: "of all but the first, if the request is greedy (default 0.7)",
        },
        Param {
            name: "critic",
            kind: ParamKind::Model,
            about: "the model whose word breaks a tie; without one the confidence does",
        },
    ],
    make: Make::Whole(|params, inner| Box::new(BestOfN::of(params, inner))),
};

struct BestOfN {
    n: usize,
    temperature: f32,
    critic: Option<String>,
    inner: Box<dyn Policy>,
}

/// A judged answer.
struct Sample {
    candidate: Candidate,
    reason: FinishReason,
    confidence: f32,
    /// What it comes to; `None` where a validator refused it.
    outcome: Option<String>,
}

impl BestOfN {
    fn of(params: &Params, inner: Box<dyn Policy>) -> Self {
        Self {
            n: params.count("n").unwrap_or(SAMPLES) as usize,
            temperature: params.number("temperature").unwrap_or(TEMPERATURE),
            critic: params.text("critic").map(str::to_owned),
            inner,
        }
    }

    /// Writes the samples of these lanes, in one batch.
    async fn draw(
        &self,
        desk: &mut Desk<'_>,
        cast: &Cast,
        lanes: std::ops::Range<usize>,
    ) -> Result<Vec<Sample>, Trouble> {
        let greedy = desk.job.request.sampler.temperature <= 0.0;
        let write = |lane: usize| {
            let mut aside = desk.aside(lane as u32);
            aside.temperature = (greedy && lane > 0).then_some(self.temperature);
            async move {
                let mut candidate = aside.candidate();
                let end = self.inner.write(&mut aside, cast, &mut candidate).await;
                (aside, candidate, end)
            }
        };
        let written = join_all(lanes.map(write)).await;
        let mut samples = Vec::new();
        let mut trouble = None;
        for (mut aside, candidate, end) in written {
            let author =
                candidate.tokens().last().map_or(cast.model(0).into(), |token| token.author.model.clone());
            let judged = match end {
                Ok(Written::Done(reason)) => {
                    judge(&mut aside, &author, &candidate).await.map(|judged| Some((reason, judged)))
                }
                Ok(Written::Hopeless(_)) => Ok(None),
                Err(trouble) => Err(trouble),
            };
            let outcome = aside.books.candidates.last().and_then(|(_, record)| record.outcome.clone());
            desk.absorb(aside).await?;
            match judged {
                Ok(None) => {}
                Ok(Some((reason, Judgement { confidence, doubt, .. }))) => samples.push(Sample {
                    candidate,
                    reason,
                    confidence,
                    outcome: outcome.filter(|_| doubt.is_none()),
                }),
                Err(over @ Trouble::Over(_)) => return Err(over),
                Err(other) => trouble = Some(other),
            }
        }
        // A sample that failed is missed only where no other is there.
        match trouble {
            Some(trouble) if samples.is_empty() => Err(trouble),
            _ => Ok(samples),
        }
    }

    /// The place of the sample that stands, and why.
    async fn choose(
        &self,
        desk: &mut Desk<'_>,
        samples: &[Sample],
    ) -> Result<Option<(usize, String)>, Trouble> {
        let groups = groups(samples);
        let Some(largest) = groups.first().map(|group| group.len()) else {
            let best = (0..samples.len()).max_by(|a, b| better(samples, *a, *b));
            return Ok(
                best.map(|best| (best, "no answer passes; the one with the most confidence stands".into()))
            );
        };
        let tied: Vec<&Vec<usize>> = groups.iter().take_while(|group| group.len() == largest).collect();
        let heads: Vec<usize> = tied
            .iter()
            .filter_map(|group| group.iter().copied().max_by(|a, b| better(samples, *a, *b)))
            .collect();
        let of = samples.len();
        if let [only] = heads.as_slice() {
            return Ok(Some((*only, format!("{largest} of {of} answers agree"))));
        }
        let agree = format!("{largest} of {of} answers agree, as do others");
        let best = heads.iter().copied().max_by(|a, b| better(samples, *a, *b));
        let Some(critic) = &self.critic else {
            return Ok(best.map(|best| (best, format!("{agree}; it has the most confidence"))));
        };
        Ok(match approved(desk, critic, samples, &heads).await? {
            Some((head, word)) => Some((head, format!("{agree}; {critic} approves of it to {word:.2}"))),
            None => best.map(|best| {
                (best, format!("{agree}; {critic} could not be asked, and it has the most confidence"))
            }),
        })
    }
}

/// The sample of these that the critic approves of most; `None` where it has no word on one of them.
async fn approved(
    desk: &mut Desk<'_>,
    critic: &str,
    samples: &[Sample],
    heads: &[usize],
) -> Result<Option<(usize, f32)>, Trouble> {
    let mut best: Option<(usize, f32)> = None;
    for &head in heads {
        let Some(sample) = samples.get(head) else { continue };
        let Some(word) = approval(desk, critic, sample.candidate.text()).await? else { return Ok(None) };
        if best.is_none_or(|(_, least)| word > least) {
            best = Some((head, word));
        }
    }
    Ok(best)
}

#[async_trait]
impl Policy for BestOfN {
    async fn write(
        &self,
        desk: &mut Desk<'_>,
        cast: &Cast,
        candidate: &mut Candidate,
    ) -> Result<Written, Trouble> {
        let mut samples = Vec::new();
        let mut drawn = 0;
        while drawn < self.n && !is_decided(&samples, self.n - drawn) {
            let next = (drawn + AT_ONCE).min(self.n);
            samples.extend(self.draw(desk, cast, drawn..next).await?);
            drawn = next;
        }
        let Some((best, why)) = self.choose(desk, &samples).await? else {
            return Ok(Written::Hopeless(0.0));
        };
        let chosen = samples.swap_remove(best);
        let model = chosen.candidate.tokens().last().map_or(cast.model(0).into(), |t| t.author.model.clone());
        *candidate = chosen.candidate;
        desk.why.clone_from(&why);
        desk.decide(Decision {
            kind: DecisionKind::Stay,
            from: model.to_string(),
            to: None,
            reason: why,
            confidence: Some(chosen.confidence),
            threshold: None,
        })
        .await?;
        desk.screen.claim(candidate).await?;
        Ok(Written::Done(chosen.reason))
    }
}

/// Whether no other group can catch up with `left` more samples.
fn is_decided(samples: &[Sample], left: usize) -> bool {
    let groups = groups(samples);
    let size = |at: usize| groups.get(at).map_or(0, Vec::len);
    size(0) > size(1) + left
}

/// Samples that passed, by what they come to; the largest group first, the earlier of equal ones.
fn groups(samples: &[Sample]) -> Vec<Vec<usize>> {
    let mut groups: Vec<(&str, Vec<usize>)> = Vec::new();
    for (at, sample) in samples.iter().enumerate() {
        let Some(outcome) = &sample.outcome else { continue };
        match groups.iter_mut().find(|(known, _)| known == outcome) {
            Some((_, members)) => members.push(at),
            None => groups.push((outcome, vec![at])),
        }
    }
    groups.sort_by_key(|(_, members)| std::cmp::Reverse(members.len()));
    groups.into_iter().map(|(_, members)| members).collect()
}

/// Order by confidence; of equal ones the earlier is the greater.
fn better(samples: &[Sample], a: usize, b: usize) -> std::cmp::Ordering {
    let confidence = |at: usize| samples.get(at).map_or(f32::NEG_INFINITY, |sample| sample.confidence);
    confidence(a).total_cmp(&confidence(b)).then(b.cmp(&a))
}
