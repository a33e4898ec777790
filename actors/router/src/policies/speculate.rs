//! One model writes; others guess what it will say, and what it would have said anyway is taken over.
//!
//! Lossless: Leviathan, Kalman, Matias 2023, "Fast inference from transformers via speculative
//! decoding". Drafters are asked in order: what the constraint foresees (the engine's own), what the
//! text repeats, a smaller model. None is asked that would not pay; see [`crate::drafters`].

use std::sync::Arc;

use understudy_engine::verbs::Acceptance;

use super::{Definition, Make, Pen};
use crate::drafters::{Drafter, Drafters, LONGEST_DRAFT, Lookup, ModelDrafter};
use crate::plan::Cast;
use crate::policy_spec::{Param, ParamKind, Params};
use crate::session::Session;
use crate::writers::{Stepping, Writer};

pub(super) const DEFINITION: Definition = Definition {
    name: "speculate",
    about: "the last rung answers, token for token as it would alone; the others draft for it",
    params: &[
        Param {
            name: "draft",
            kind: ParamKind::Model,
            about: "the model that drafts; every cheaper rung of the ladder if not named",
        },
        Param {
            name: "with",
            kind: ParamKind::Word(&["all", "lookup", "model"]),
            about: "who may draft: the text itself, a model, or both (default)",
        },
        Param {
            name: "longest",
            kind: ParamKind::Count(1, LONGEST_DRAFT as u32),
            about: "most tokens of a draft (default 15); how many pay is measured",
        },
    ],
    make: Make::Pen(|params| Arc::new(Speculate::of(params))),
};

/// Writes with drafts.
struct Speculate {
    draft: Option<String>,
    looks_up: bool,
    asks_models: bool,
    longest: usize,
}

impl Speculate {
    fn of(params: &Params) -> Self {
        let with = params.text("with").unwrap_or("all");
        Self {
            draft: params.text("draft").map(str::to_owned),
            looks_up: with != "model",
            asks_models: with != "lookup",
            longest: params.count("longest").map_or(LONGEST_DRAFT, |longest| longest as usize),
        }
    }

    /// Who drafts for this rung, in order.
    fn drafters(&self, cast: &Cast, rung: usize) -> Drafters {
        let mut drafters: Vec<Box<dyn Drafter>> = Vec::new();
        if self.looks_up {
            drafters.push(Box::new(Lookup::default()));
        }
        // The nearest rung first: what it drafts stands more often.
        let cheaper = cast.rungs.get(..rung).unwrap_or_default().iter().rev().map(|rung| rung.model.as_str());
        let models: Vec<&str> = match &self.draft {
            Some(draft) => vec![draft],
            None => cheaper.collect(),
        };
        for model in models.into_iter().filter(|model| self.asks_models && *model != cast.model(rung)) {
            drafters.push(Box::new(ModelDrafter::new(Session::new(model))));
        }
        Drafters::new(drafters, self.longest)
    }
}

impl Pen for Speculate {
    fn lead(&self, cast: &Cast) -> usize {
        cast.last()
    }

    fn writer(&self, cast: &Cast, rung: usize, _: bool) -> Box<dyn Writer> {
        let session = Session::new(cast.model(rung));
        Box::new(Stepping::new(session).with(self.drafters(cast, rung), Acceptance::Exact))
    }
}
