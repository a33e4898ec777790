//! Values of labels. Each has a bound that no caller can move: what lies beyond it is [`OTHER`].

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use understudy_router::{Decision, DecisionKind};

/// Stands for every value beyond the bound.
pub const OTHER: &str = "other";

/// Models that may have a label of their own.
const MODELS: usize = 64;
/// Policies and compositions of policies, likewise.
const POLICIES: usize = 32;

/// Names that stand for themselves, up to a number of them.
#[derive(Debug)]
pub(crate) struct Names {
    /// With the size of the model's file, where it is known; else 0.
    known: RwLock<BTreeMap<Arc<str>, u64>>,
    most: usize,
}

impl Names {
    /// Of models: those of the catalogue, of the ladder, and those that have worked here.
    pub(crate) fn of_models() -> Self {
        Self { known: RwLock::default(), most: MODELS }
    }

    /// Of policies: made of the words of policies, but there are many compositions.
    pub(crate) fn of_policies() -> Self {
        Self { known: RwLock::default(), most: POLICIES }
    }

    /// From now on this name stands for itself, if there is still room.
    pub(crate) fn know(&self, name: &str, bytes: u64) {
        let seen = self.known.read().unwrap_or_else(PoisonError::into_inner).get(name).copied();
        if name.is_empty() || seen.is_some_and(|seen| seen == bytes || bytes == 0) {
            return;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() < self.most || known.contains_key(name) {
            known.insert(name.into(), bytes);
        }
    }

    /// The name, or [`OTHER`].
    pub(crate) fn label(&self, name: &str) -> Arc<str> {
        self.known(name).unwrap_or_else(|| OTHER.into())
    }

    /// The name, if it stands for itself.
    pub(crate) fn known(&self, name: &str) -> Option<Arc<str>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get_key_value(name).map(|(name, _)| name.clone())
    }

    /// Size of the model's file, where it is known.
    pub(crate) fn bytes(&self, name: &str) -> Option<u64> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(name).copied().filter(|bytes| *bytes > 0)
    }
}

/// Why a decision was taken, as one of a few words. The reason that the ledger has is for people, and may quote.
pub(crate) fn cause(decision: &Decision) -> &'static str {
    let (weighed, compared) = (decision.confidence.is_some(), decision.threshold.is_some());
    match decision.kind {
        DecisionKind::Stay if compared => "confident",
        DecisionKind::Stay if weighed => "best_draft",
        DecisionKind::Stay => "last_rung",
        DecisionKind::Escalate if weighed => "low_confidence",
        DecisionKind::Escalate => "model_failed",
        DecisionKind::Route if weighed => "predicted",
        DecisionKind::Route => "rule",
        DecisionKind::FriendCall => "unsure_segment",
        DecisionKind::FriendReturn => "segment_done",
        DecisionKind::DraftOff => "drafts_do_not_pay",
        DecisionKind::Validate => "validator",
        DecisionKind::Retract => "retracted",
        DecisionKind::Refuse => "refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_bound_are_other() {
        let names = Names::of_models();
        names.know("small", 7);
        (0..10_000).for_each(|n| names.know(&format!("model-{n}"), 0));
        assert_eq!((&*names.label("small"), names.bytes("small")), ("small", Some(7)));
        assert_eq!(&*names.label("model-0"), "model-0");
        assert_eq!(&*names.label("model-9999"), OTHER);
        assert_eq!(names.known.read().unwrap().len(), MODELS);
        names.know("small", 9);
        assert_eq!(names.bytes("small"), Some(9), "a name that is known learns its size");
    }
}
