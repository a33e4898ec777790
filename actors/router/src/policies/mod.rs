//! Policies: small programs over verbs, one file each.
//!
//! Three kinds stand over one another, and a request names a stack of them ([`crate::PolicySpec`]):
//!
//! | kind | what it says | which |
//! |---|---|---|
//! | `Policy` over policies | which whole answers are written, and which stands | `route`, `cascade`, `best-of-n` |
//! | `Policy` over a pen | which model writes which segment of an answer | `friend` |
//! | `Pen` | how a model writes | `direct`, `speculate`, `speculative-cascade` |
//!
//! A new policy is a file here and a line of [`REGISTRY`].

mod best_of_n;
mod cascade;
mod direct;
mod friend;
mod route;
mod speculate;
mod speculative_cascade;

use std::sync::Arc;

use async_trait::async_trait;

use crate::candidate::Candidate;
use crate::desk::{Desk, Trouble};
use crate::plan::Cast;
use crate::policy_spec::{Layer, Param, Params, PolicyParseError};
use crate::writers::Writer;
use crate::{FinishReason, PolicySpec};

/// Every policy, from the simplest.
pub static REGISTRY: [Definition; 7] = [
    direct::DEFINITION,
    cascade::DEFINITION,
    route::DEFINITION,
    friend::DEFINITION,
    speculate::DEFINITION,
    speculative_cascade::DEFINITION,
    best_of_n::DEFINITION,
];

/// A policy as it is known by name.
pub struct Definition {
    /// Its word.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// What it takes.
    pub params: &'static [Param],
    pub(crate) make: Make,
}

/// How a policy is made, by its kind.
#[derive(Clone, Copy)]
pub(crate) enum Make {
    /// Chooses who begins; over any other.
    First(fn(&Params, Box<dyn Policy>) -> Box<dyn Policy>),
    /// Over whole answers.
    Whole(fn(&Params, Box<dyn Policy>) -> Box<dyn Policy>),
    /// Over segments of an answer.
    Segments(fn(&Params, Arc<dyn Pen>) -> Box<dyn Policy>),
    /// A way of writing.
    Pen(fn(&Params) -> Arc<dyn Pen>),
}

/// Writes answers.
#[async_trait]
pub(crate) trait Policy: Send + Sync {
    /// Goes on with the candidate to its end, or until it is given up. When it fails, what has been
    /// written so far is there.
    async fn write(
        &self,
        desk: &mut Desk<'_>,
        cast: &Cast,
        candidate: &mut Candidate,
    ) -> Result<Written, Trouble>;
}

/// A way in which models write.
pub(crate) trait Pen: Send + Sync {
    /// Who writes where nobody has said: the first rung, unless the others are there to help.
    fn lead(&self, _cast: &Cast) -> usize {
        0
    }

    /// A writer for this rung. `watched` ones may be stopped at a boundary.
    fn writer(&self, cast: &Cast, rung: usize, watched: bool) -> Box<dyn Writer>;
}

/// How writing an answer ended that nothing hindered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Written {
    /// It is complete.
    Done(FinishReason),
    /// It was given up because its confidence, this number, was hopeless.
    Hopeless(f32),
}

/// The policy of this name.
pub(crate) fn definition(name: &str) -> Option<&'static Definition> {
    REGISTRY.iter().find(|definition| definition.name == name)
}

impl Make {
    /// Layers stand in this order; two of the same place only where they are over whole answers.
    fn place(self) -> u8 {
        match self {
            Self::First(_) => 0,
            Self::Whole(_) => 1,
            Self::Segments(_) => 2,
            Self::Pen(_) => 3,
        }
    }
}

/// Checks that each layer may stand over the next.
pub(crate) fn check_order(layers: &[Layer]) -> Result<(), PolicyParseError> {
    for pair in layers.windows(2) {
        let [outer, inner] = pair else { continue };
        let (Some(above), Some(below)) = (definition(outer.name), definition(inner.name)) else { continue };
        let (above, below) = (above.make.place(), below.make.place());
        let both_whole = above == below && above == 1 && outer.name != inner.name;
        if above >= below && !both_whole {
            return Err(PolicyParseError::Order {
                outer: outer.name.into(),
                inner: inner.name.into(),
                why: "route stands over cascade and best-of-n, these over friend, and all over one of direct, speculate and \
                      speculative-cascade",
            });
        }
    }
    Ok(())
}

/// The policies of a request, one over the other.
pub(crate) fn compose(spec: &PolicySpec) -> Box<dyn Policy> {
    let mut made: Option<Box<dyn Policy>> = None;
    let mut pen: Arc<dyn Pen> = direct::plain();
    for layer in spec.layers().iter().rev() {
        let Some(definition) = definition(layer.name) else { continue };
        match definition.make {
            Make::Pen(make) => pen = make(&layer.params),
            Make::Segments(make) => made = Some(make(&layer.params, pen.clone())),
            Make::First(make) | Make::Whole(make) => {
                let inner = made.take().unwrap_or_else(|| direct::solo(pen.clone()));
                made = Some(make(&layer.params, inner));
            }
        }
    }
    made.unwrap_or_else(|| direct::solo(pen))
}
