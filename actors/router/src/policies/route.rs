//! Who begins, decided before anything is written.
//!
//! The first [rule](crate::rules) that holds decides. Without one, a profile learned from judged answers tells
//! each rung's probability of being right by the prompt's shape and its embedding; the rung begins for which
//! that probability less `lambda` times its cost is greatest, among those that are done before the deadline.
//! The policy below goes on from there: a cascade climbs from that rung.

use async_trait::async_trait;

use super::{Definition, Make, Policy, Written};
use crate::candidate::Candidate;
use crate::desk::{Desk, Trouble};
use crate::plan::Cast;
use crate::policy_spec::{Param, ParamKind};
use crate::prompt;
use crate::{Decision, DecisionKind};

/// An answer of the last rung may cost as much as being right two times in ten more.
const LAMBDA: f32 = 0.2;

pub(super) const DEFINITION: Definition = Definition {
    name: "route",
    about: "rules, or what was learned, choose the rung that begins",
    params: &[Param {
        name: "lambda",
        kind: ParamKind::Amount,
        about: "what an answer at the last rung's cost is worth, as a probability of being right (default 0.2)",
    }],
    make: Make::First(|params, inner| {
        Box::new(Route { lambda: params.number("lambda").unwrap_or(LAMBDA), inner })
    }),
};

struct Route {
    lambda: f32,
    inner: Box<dyn Policy>,
}

/// A rung that begins, and why.
struct Choice {
    rung: usize,
    confidence: Option<f32>,
    reason: String,
}

impl Route {
    async fn choose(&self, desk: &mut Desk<'_>, cast: &Cast) -> Result<Choice, Trouble> {
        let first = cast.lead.unwrap_or(0);
        if let Some((at, rule)) = desk.job.config.rules.first(&desk.job.request) {
            let rung = cast.rungs.iter().position(|rung| rung.model == rule.start);
            let reason = match rung {
                Some(_) => format!("rule {at} of the configuration"),
                None => format!("rule {at} names {}, which is not in the ladder", rule.start),
            };
            return Ok(Choice { rung: rung.unwrap_or(first), confidence: None, reason });
        }
        let config = &desk.job.config;
        let Some(route) = config.routes.iter().find(|route| route.task == desk.job.request.task) else {
            return Ok(Choice {
                rung: first,
                confidence: None,
                reason: "no rule holds and nothing was learned".into(),
            });
        };
        let evidence = prompt::evidence(desk).await?;
        let right = |rung: usize| {
            let profile = route.rung(cast.model(rung)).map(|rung| &rung.profile);
            profile.map(|profile| profile.confidence(&evidence) as f32)
        };
        Ok(self.best(desk, cast, first, right))
    }

    /// The rung with the greatest probability less cost, of those that keep the deadline.
    fn best(
        &self,
        desk: &Desk<'_>,
        cast: &Cast,
        first: usize,
        right: impl Fn(usize) -> Option<f32>,
    ) -> Choice {
        let remaining = desk.job.ctx.remaining();
        let mut best: Option<(f32, Choice)> = None;
        for rung in first..cast.rungs.len() {
            let Some(confidence) = right(rung) else { continue };
            let takes = desk.job.costs.time_of(cast.model(rung));
            // The cheapest is asked in any case: it is the quickest there is.
            if rung > first && remaining.zip(takes).is_some_and(|(left, takes)| takes > left) {
                continue;
            }
            let cost = desk.job.costs.share_of(cast, rung);
            let worth = confidence - self.lambda * cost;
            let reason = format!(
                "{:.0} % likely to be right at {:.0} % of the last rung's cost",
                confidence * 100.0,
                cost * 100.0
            );
            if best.as_ref().is_none_or(|(least, _)| worth > *least) {
                best = Some((worth, Choice { rung, confidence: Some(confidence), reason }));
            }
        }
        best.map_or_else(
            || Choice { rung: first, confidence: None, reason: "nothing was learned of these models".into() },
            |(_, choice)| choice,
        )
    }
}

#[async_trait]
impl Policy for Route {
    async fn write(
        &self,
        desk: &mut Desk<'_>,
        cast: &Cast,
        candidate: &mut Candidate,
    ) -> Result<Written, Trouble> {
        let Choice { rung, confidence, reason } = self.choose(desk, cast).await?;
        desk.why.clone_from(&reason);
        desk.decide(Decision {
            kind: DecisionKind::Route,
            from: cast.model(cast.lead.unwrap_or(0)).into(),
            to: Some(cast.model(rung).into()),
            reason,
            confidence,
            threshold: None,
        })
        .await?;
        self.inner.write(desk, &cast.led_by(rung), candidate).await
    }
}
