//! Who guesses what a model will say next, and whether asking pays.
//!
//! | module | what it holds |
//! |---|---|
//! | `lookup` | [`Lookup`]: what followed the last time that the text ended so |
//! | `model` | [`ModelDrafter`]: a smaller model, of the same vocabulary or of another |
//! | `record` | [`Records`], [`Record`]: what drafts came to, and what the next is expected to gain |
//!
//! Tokens that a constraint foresees come before all of these: the engine takes them by itself.
//!
//! A draft is free to be wrong: what is verified is what the model says without it.

mod lookup;
mod model;
mod record;

use async_trait::async_trait;
use understudy_engine::verbs::{Draft, Verified};

pub(crate) use lookup::Lookup;
pub(crate) use model::ModelDrafter;
use record::{Outcome, Outlook, outlook};
pub(crate) use record::{Price, Records};

use crate::candidate::Candidate;
use crate::desk::{Desk, Trouble};
use crate::session::Session;
use crate::{Decision, DecisionKind, Drafts};

/// The longest draft: with the next token that makes 16 rows, beyond which no pass was found to gain.
pub(crate) const LONGEST_DRAFT: usize = 15;
/// A draft is asked for where this is gained at least, in tokens per second: below, an error of
/// measurement would decide.
const LEAST_GAIN: f64 = 1.05;

/// Guesses.
#[async_trait]
pub(crate) trait Drafter: Send {
    /// Finds out whether there could be a draft, and under which name it is accounted for. `None` is none.
    fn prospect(&mut self, target: &Session) -> Result<Option<String>, Trouble>;

    /// What the last draft took.
    fn price(&self) -> Price;

    /// Up to `most` tokens of the target's vocabulary that may follow the candidate; empty for none.
    async fn draft(
        &mut self,
        desk: &mut Desk<'_>,
        candidate: &Candidate,
        target: &Session,
        most: usize,
    ) -> Result<Draft, Trouble>;

    /// The model that drafts, if one does.
    fn model(&self) -> Option<&str> {
        None
    }

    /// Who drafts, as readers are told.
    fn name(&self) -> &str;
}

/// Drafters of one answer, in the order in which they are asked.
pub(crate) struct Drafters {
    drafters: Vec<Box<dyn Drafter>>,
    longest: usize,
    /// Whose draft is being verified.
    asked: Option<Asked>,
    /// The reader was told that drafting stopped.
    told_off: bool,
}

struct Asked {
    drafter: usize,
    name: String,
    tokens: usize,
    on_trial: bool,
}

impl Drafters {
    /// Asks these in order, for at most `longest` tokens.
    pub(crate) fn new(drafters: Vec<Box<dyn Drafter>>, longest: usize) -> Self {
        Self { drafters, longest: longest.min(LONGEST_DRAFT), asked: None, told_off: false }
    }

    /// The first draft that is expected to pay; empty where none is.
    pub(crate) async fn draft(
        &mut self,
        desk: &mut Desk<'_>,
        candidate: &Candidate,
        target: &Session,
        most: usize,
    ) -> Result<Draft, Trouble> {
        self.asked = None;
        let pace = target.backend()?.pace();
        let mut best_refused: Option<(String, Outlook)> = None;
        for index in 0..self.drafters.len() {
            let Some(drafter) = self.drafters.get_mut(index) else { break };
            let Some(name) = drafter.prospect(target)? else { continue };
            let record = desk.job.records.of(target.model(), &name);
            let outlook = outlook(&pace, record, self.longest.min(most));
            let on_trial = outlook.gain < LEAST_GAIN;
            if on_trial && !record.is_due() {
                best_refused = Some((name, outlook));
                continue;
            }
            let draft = match drafter.draft(desk, candidate, target, outlook.tokens).await {
                Ok(draft) => draft,
                Err(trouble @ Trouble::Over(_)) => return Err(trouble),
                // It was a favour: the target goes on without.
                Err(trouble) => {
                    tracing::warn!(request = %desk.job.ctx.request_id, drafter = name, ?trouble, "a drafter is given up");
                    self.drafters.remove(index);
                    return Ok(Draft::default());
                }
            };
            if !draft.ids.is_empty() {
                self.asked = Some(Asked { drafter: index, name, tokens: draft.ids.len(), on_trial });
                return Ok(draft);
            }
            let nothing = Outcome { drafted: 0, stood: 0, price: drafter.price(), on_trial };
            desk.job.records.note(target.model(), &name, nothing);
        }
        if let Some((name, outlook)) = best_refused.filter(|_| !self.told_off) {
            self.told_off = true;
            desk.decide(draft_off(target.model(), &name, outlook)).await?;
        }
        Ok(Draft::default())
    }

    /// Learns what became of the draft, and books it: to be told, if any of it was checked.
    pub(crate) fn learn(&mut self, desk: &mut Desk<'_>, target: &str, verified: &Verified) -> Option<Drafts> {
        let asked = self.asked.take()?;
        let drafter = self.drafters.get(asked.drafter)?;
        if let Some(model) = drafter.model() {
            desk.books.account(model).drafted(asked.tokens, verified.accepted);
        }
        let outcome = Outcome {
            drafted: verified.drafted,
            stood: verified.accepted,
            price: drafter.price(),
            on_trial: asked.on_trial,
        };
        desk.job.records.note(target, &asked.name, outcome);
        let drafts = Drafts {
            drafter: drafter.name().to_owned(),
            target: target.to_owned(),
            drafted: verified.drafted as u32,
            accepted: verified.accepted as u32,
        };
        desk.books.drafted(&drafts);
        (drafts.drafted > 0).then_some(drafts)
    }
}

fn draft_off(target: &str, name: &str, outlook: Outlook) -> Decision {
    Decision {
        kind: DecisionKind::DraftOff,
        from: target.to_owned(),
        to: None,
        reason: format!(
            "drafts by {name} would gain {:.2}, less than {LEAST_GAIN}: of 100 tokens {:.0} stand",
            outlook.gain,
            outlook.acceptance * 100.0
        ),
        confidence: None,
        threshold: None,
    }
}
