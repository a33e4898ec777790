//! Phone a friend inside an answer: where a segment begins that the first rung is unsure of, the last
//! rung writes it and hands the pen back. With `when=each` it also reads each complete segment, says the first
//! token of the next, and goes on only where it took something back; with `when=doubted` not before the first
//! rung's whole answer was judged, and only if it does not stay.
//!
//! The last rung reads what the first one wrote since its own last word in the same pass that brings its
//! next token, and takes back what it strongly disagrees with: the big-little decoder of Kim, Mangalam,
//! Moon, Malik, Mahoney, Gholami, Keutzer 2023, "Speculative decoding with big little decoder". Keys and
//! values of both, and both states of the constraint, live on from segment to segment.

use std::sync::Arc;

use async_trait::async_trait;
use understudy_engine::verbs::{Signals, StepResult};

use super::{Definition, Make, Pen, Policy, Written, direct};
use crate::candidate::Candidate;
use crate::desk::{Desk, Trouble};
use crate::judge::judge;
use crate::plan::Cast;
use crate::policy_spec::{Param, ParamKind, Params};
use crate::segments::{SegmentEnd, Segments};
use crate::warming::Warming;
use crate::writers::{Advance, Until, Writer};
use crate::{Decision, DecisionKind, FinishReason};

/// Nats: about as unsure as between three equals.
const ENTROPY: f32 = 1.0;
/// The favourite is this much likelier than the second.
const MARGIN: f32 = 0.3;
/// Strong disagreement: less than a tenth as likely as the friend's own choice.
const ALPHA: f32 = 0.9;
/// At this share of the entropy that calls the friend, it reads the prompt.
const WARM: f32 = 0.5;
/// Half of the tokens.
const SHARE: f32 = 0.5;
/// Before an answer is this long, its share is not worth counting.
const SHORT: usize = 16;
/// Bytes of text that a boundary is seen in.
const TAIL: usize = 96;

pub(super) const DEFINITION: Definition = Definition {
    name: "friend",
    about: "the first rung writes; segments that it is unsure of are written by the last one",
    params: &[
        Param {
            name: "entropy",
            kind: ParamKind::Amount,
            about: "nats at a segment's first token from which the friend is called (default 1.0)",
        },
        Param {
            name: "margin",
            kind: ParamKind::Share,
            about: "or a margin of the best token to the second below this (default 0.3)",
        },
        Param {
            name: "when",
            kind: ParamKind::Word(&["unsure", "each", "doubted"]),
            about: "where the first rung is unsure (default); it also reads each complete segment; so once an answer is judged too low",
        },
        Param {
            name: "alpha",
            kind: ParamKind::Share,
            about: "what the friend takes back: tokens less than 1 - alpha as likely as its own (default 0.9); 1 nothing",
        },
        Param {
            name: "max_teacher_share",
            kind: ParamKind::Share,
            about: "most of the answer that the friend may write (default 0.5)",
        },
        Param {
            name: "segments",
            kind: ParamKind::Word(&Segments::WORDS),
            about: "what a segment is; by the constraint if not named",
        },
    ],
    make: Make::Segments(|params, pen| Box::new(Friend::of(params, pen))),
};

/// When the friend is called.
#[derive(Clone, Copy, PartialEq)]
enum When {
    Unsure,
    Each,
    Doubted,
}

struct Friend {
    pen: Arc<dyn Pen>,
    entropy: f32,
    margin: f32,
    alpha: f32,
    share: f32,
    when: When,
    segments: Option<Segments>,
}

impl Friend {
    fn of(params: &Params, pen: Arc<dyn Pen>) -> Self {
        Self {
            pen,
            entropy: params.number("entropy").unwrap_or(ENTROPY),
            margin: params.number("margin").unwrap_or(MARGIN),
            alpha: params.number("alpha").unwrap_or(ALPHA),
            share: params.number("max_teacher_share").unwrap_or(SHARE),
            when: match params.text("when") {
                Some("each") => When::Each,
                Some("doubted") => When::Doubted,
                _ => When::Unsure,
            },
            segments: params.text("segments").and_then(Segments::named),
        }
    }

    /// Whether the friend may write more: its share is not spent.
    fn may_call(&self, candidate: &Candidate, friend: &str) -> bool {
        let tokens = candidate.tokens();
        let by_friend = tokens.iter().filter(|token| &*token.author.model == friend).count();
        (by_friend as f32) < self.share * tokens.len().max(SHORT) as f32
    }

    /// Judges the first rung's whole answer as a cascade does; why it does not stay, if it does not.
    async fn doubt(
        &self,
        desk: &mut Desk<'_>,
        cast: &Cast,
        candidate: &mut Candidate,
        end: FinishReason,
    ) -> Result<Option<String>, Trouble> {
        let rung = cast.lead.unwrap_or(0);
        desk.close(candidate, end).await?;
        let (model, threshold) = (cast.model(rung), cast.threshold(rung));
        let preference = judge(desk, model, candidate).await?.preference;
        if preference < threshold {
            candidate.reopen();
            return Ok(Some(format!("preference {preference:.2} is below the threshold {threshold:.2}")));
        }
        let reason = format!("preference {preference:.2} reaches the threshold {threshold:.2}");
        desk.decide(Decision {
            kind: DecisionKind::Stay,
            from: model.into(),
            to: None,
            reason,
            confidence: Some(preference),
            threshold: Some(threshold),
        })
        .await?;
        Ok(None)
    }
}

#[async_trait]
impl Policy for Friend {
    async fn write(
        &self,
        desk: &mut Desk<'_>,
        cast: &Cast,
        candidate: &mut Candidate,
    ) -> Result<Written, Trouble> {
        let (lead, last) = (cast.lead.unwrap_or(0), cast.last());
        if lead == last {
            return direct::solo(self.pen.clone()).write(desk, cast, candidate).await;
        }
        let (own, friend) = (cast.model(lead), cast.model(last));
        let segments = self.segments.unwrap_or_else(|| Segments::of(desk.job.request.constraint.as_ref()));
        let mut writer = self.pen.writer(cast, lead, true);
        let mut friend_writer: Option<Box<dyn Writer>> = None;
        // Its word is certain to be asked for.
        let mut warming = (self.when == When::Each).then(|| Warming::start(desk, friend));
        let mut reachable = true;
        let mut may_interrupt = self.when != When::Doubted;
        desk.judged = true;
        loop {
            candidate.because("");
            let may_call = may_interrupt && reachable && self.may_call(candidate, friend);
            let cold = may_call && friend_writer.is_none() && warming.is_none();
            let mut doubt =
                Doubt { policy: self, segments, may_call, cold, returned_at: candidate.tokens().len() };
            let end = writer.advance(desk, candidate, &mut doubt).await?;
            let mut is_complete = doubt.is_complete(candidate);
            let why = match end {
                Advance::Refused(step) => reason(step.signals),
                Advance::Boundary if is_complete => "a segment is complete".to_owned(),
                Advance::Done(end) if !may_interrupt => {
                    let Some(why) = self.doubt(desk, cast, candidate, end).await? else {
                        return Ok(Written::Done(end));
                    };
                    (may_interrupt, is_complete) = (true, true);
                    why
                }
                Advance::Boundary => {
                    warming = Some(Warming::start(desk, friend));
                    continue;
                }
                end => {
                    if let Some(warming) = warming {
                        warming.cancel(desk).await;
                    }
                    return direct::written(desk, candidate, end).await;
                }
            };
            if let Some(warming) = warming.take() {
                warming.finish(desk).await;
            }
            desk.decide(decision(DecisionKind::FriendCall, own, friend, why.clone())).await?;
            candidate.because(&why);
            let writer = friend_writer.get_or_insert_with(|| self.pen.writer(cast, last, true));
            let before = candidate.tokens().len();
            writer.review(self.alpha);
            let mut end = SegmentEnd::of(friend, segments, is_complete.then_some(before));
            let back = match writer.advance(desk, candidate, &mut end).await {
                Ok(Advance::Boundary | Advance::Refused(_)) => "the segment is written".to_owned(),
                Ok(end) => return direct::written(desk, candidate, end).await,
                Err(Trouble::Over(reason)) => return Err(Trouble::Over(reason)),
                Err(trouble) => {
                    reachable = false;
                    friend_writer = None;
                    format!("the friend cannot be reached: {trouble:?}")
                }
            };
            let by_friend = end.tokens();
            let back = match (before + by_friend).saturating_sub(candidate.tokens().len()) {
                0 => back,
                taken => format!("{back}; {taken} tokens before it were taken back"),
            };
            desk.decide(decision(DecisionKind::FriendReturn, friend, own, back)).await?;
        }
    }
}

/// Stops the first rung before a segment that it is unsure of.
struct Doubt<'a> {
    policy: &'a Friend,
    segments: Segments,
    may_call: bool,
    /// The friend has read nothing yet.
    cold: bool,
    /// The friend has just been here: the first rung says at least one token, sure or not.
    returned_at: usize,
}

impl Doubt<'_> {
    /// Whether the friend is to read a segment that the first rung has just completed.
    fn is_complete(&self, candidate: &Candidate) -> bool {
        if !(self.policy.when != When::Unsure && self.may_call)
            || candidate.tokens().len() <= self.returned_at
        {
            return false;
        }
        let before = candidate.tokens().get(..self.returned_at).unwrap_or_default();
        let begin = before.last().map_or(0, |token| token.end);
        let segment = candidate.bytes().get(begin..).unwrap_or_default();
        self.segments.ends(&String::from_utf8_lossy(segment))
    }
}

impl Until for Doubt<'_> {
    fn refuses(&mut self, candidate: &Candidate, step: &StepResult, bytes: &[u8]) -> bool {
        let Some(signals) = step.signals.filter(|_| self.may_call && !step.forced) else { return false };
        let unsure = signals.entropy > self.policy.entropy || signals.margin < self.policy.margin;
        let is_new = candidate.tokens().is_empty() || candidate.tokens().len() > self.returned_at;
        unsure && is_new && self.segments.begins(&tail(candidate.bytes()), &String::from_utf8_lossy(bytes))
    }

    /// A segment for the friend to read; or half as much doubt as would call it, anywhere: time for it to read the
    /// prompt.
    fn reached(&mut self, candidate: &Candidate) -> bool {
        if self.is_complete(candidate) {
            return true;
        }
        let last = candidate.tokens().last().filter(|token| !token.step.forced);
        let signals = last.and_then(|token| token.step.signals);
        self.cold && signals.is_some_and(|signals| signals.entropy > self.policy.entropy * WARM)
    }
}

fn tail(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(bytes.len().saturating_sub(TAIL)..).unwrap_or_default()).into_owned()
}

fn reason(signals: Option<Signals>) -> String {
    match signals {
        Some(Signals { entropy, margin }) => {
            format!("unsure how the segment begins: entropy {entropy:.2} nats, margin {margin:.2}")
        }
        None => "unsure how the segment begins".into(),
    }
}

fn decision(kind: DecisionKind, from: &str, to: &str, reason: String) -> Decision {
    Decision { kind, from: from.into(), to: Some(to.into()), reason, confidence: None, threshold: None }
}
