//! A smaller model writes as far as a bigger one would nearly have done so.
//!
//! The token-specific rule of Narasimhan, Jitkrittum, Rawat, Kim, Gupta, Menon, Kumar 2024, "Faster
//! cascades via speculative decoding": a drafted token gives way where the bigger model finds it less
//! than `1 - alpha` times as likely as its favourite. `alpha` 0 is the bigger model alone, 1 is the
//! smaller one as far as its words are possible at all. Lossy, so the dial stands in the answer.

use std::sync::Arc;

use async_trait::async_trait;
use understudy_engine::verbs::Acceptance;

use super::{Definition, Make, Pen};
use crate::candidate::Candidate;
use crate::desk::{Desk, Trouble};
use crate::drafters::{Drafter, Drafters, LONGEST_DRAFT, ModelDrafter};
use crate::plan::Cast;
use crate::policy_spec::{Param, ParamKind, Params};
use crate::session::Session;
use crate::writers::{Advance, Stepping, Until, Writer};

/// Little is lost and half of the refusals fall away.
const ALPHA: f32 = 0.5;

pub(super) const DEFINITION: Definition = Definition {
    name: "speculative-cascade",
    about: "a cheaper rung drafts; the last one lets stand what is nearly as good as its own",
    params: &[
        Param {
            name: "alpha",
            kind: ParamKind::Share,
            about: "how much less likely than the best token a draft may be (default 0.5); 0 loses nothing",
        },
        Param {
            name: "draft",
            kind: ParamKind::Model,
            about: "the model that drafts; the rung below the last if not named",
        },
        Param {
            name: "longest",
            kind: ParamKind::Count(1, LONGEST_DRAFT as u32),
            about: "most tokens of a draft (default 15); how many pay is measured",
        },
    ],
    make: Make::Pen(|params| Arc::new(SpeculativeCascade::of(params))),
};

struct SpeculativeCascade {
    alpha: f32,
    draft: Option<String>,
    longest: usize,
}

impl SpeculativeCascade {
    fn of(params: &Params) -> Self {
        Self {
            alpha: params.number("alpha").unwrap_or(ALPHA),
            draft: params.text("draft").map(str::to_owned),
            longest: params.count("longest").map_or(LONGEST_DRAFT, |longest| longest as usize),
        }
    }
}

impl Pen for SpeculativeCascade {
    fn lead(&self, cast: &Cast) -> usize {
        cast.last()
    }

    fn writer(&self, cast: &Cast, rung: usize, _: bool) -> Box<dyn Writer> {
        let below = rung.checked_sub(1).map(|below| cast.model(below));
        let draft = self.draft.as_deref().or(below).filter(|draft| *draft != cast.model(rung));
        let drafters: Vec<Box<dyn Drafter>> = draft
            .map(|draft| Box::new(ModelDrafter::new(Session::new(draft))) as Box<dyn Drafter>)
            .into_iter()
            .collect();
        let acceptance = Acceptance::Lenient { alpha: self.alpha };
        let stepping = Stepping::new(Session::new(cast.model(rung)))
            .with(Drafters::new(drafters, self.longest), acceptance);
        Box::new(Stamped { stepping, alpha: self.alpha })
    }
}

/// Says in the answer how much was let stand.
struct Stamped {
    stepping: Stepping,
    alpha: f32,
}

#[async_trait]
impl Writer for Stamped {
    async fn advance(
        &mut self,
        desk: &mut Desk<'_>,
        candidate: &mut Candidate,
        until: &mut dyn Until,
    ) -> Result<Advance, Trouble> {
        desk.why =
            format!("lossy at alpha {}: drafted tokens stand where they are nearly as likely", self.alpha);
        self.stepping.advance(desk, candidate, until).await
    }
}
