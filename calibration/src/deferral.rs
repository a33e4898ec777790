//! Whether a draft stays: how likely it is right, against how likely the next model is.
//!
//! A draft that is probably wrong is not worth an escalation where the next model would be wrong too. Jitkrittum, Gupta,
//! Menon, Narasimhan, Rawat, Kumar 2023, "When does confidence-based cascade deferral suffice?", section 3: the best rule
//! compares both probabilities, and both can be learned from what is known when the draft is complete.

use crate::evidence::{Evidence, Example, Pair};
use crate::fit::{FitError, Fitted, Origin, fit};
use crate::profile::Rung;

/// The two profiles of a rung, and their probabilities of examples that were left out.
#[derive(Debug, Clone)]
pub struct Deferral {
    /// Whether the draft is right.
    pub own: Fitted,
    /// Whether the next model's answer would be, from the draft's evidence; `None` where nearly all or nearly none are.
    pub next: Option<Fitted>,
}

impl Deferral {
    /// Learns both from `pairs`, of whose draft's evidence `seen` counts.
    ///
    /// # Errors
    /// [`FitError`], when there is too little to learn from about the draft.
    pub fn fit(
        pairs: &[&Pair],
        seen: impl Fn(&Example) -> Example,
        origin: &Origin,
    ) -> Result<Self, FitError> {
        let drafts: Vec<Example> = pairs.iter().map(|pair| seen(&pair.draft)).collect();
        let ahead =
            drafts.iter().zip(pairs).map(|(draft, pair)| Example { ok: pair.teacher.ok, ..draft.clone() });
        let ahead: Vec<Example> = ahead.collect();
        let own = fit(&drafts.iter().collect::<Vec<_>>(), origin)?;
        let next = match fit(&ahead.iter().collect::<Vec<_>>(), origin) {
            Ok(fitted) => Some(fitted),
            Err(FitError::TooFew { .. }) => None,
            Err(error) => return Err(error),
        };
        Ok(Self { own, next })
    }

    /// Each pair's preference, by fits that did not see it.
    pub fn left_out(&self) -> Vec<f64> {
        let own = self.own.left_out.iter();
        match &self.next {
            Some(next) => own.zip(&next.left_out).map(|(own, next)| preference(*own, *next)).collect(),
            None => own.copied().collect(),
        }
    }

    /// The probability that the draft is right, and the preference for it.
    pub fn judge(&self, evidence: &Evidence) -> (f64, f64) {
        let own = self.own.profile.confidence(evidence);
        let next = self.next.as_ref().map(|next| next.profile.confidence(evidence));
        (own, next.map_or(own, |next| preference(own, next)))
    }

    /// As a rung of a ladder's profile.
    pub fn into_rung(self, threshold: f64) -> Rung {
        let next = self.next.map(|next| next.profile);
        Rung { profile: self.own.profile, next, threshold: Some(threshold) }
    }
}

/// From 0, only the next model is right, to 1, only the draft is.
pub(crate) fn preference(own: f64, next: f64) -> f64 {
    (1.0 + own - next) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three kinds of items: easy ones, ones that only the teacher knows, ones that nobody knows.
    fn pairs(count: usize) -> Vec<Pair> {
        let one = |at: usize| {
            let kind = at % 3;
            let evidence = Evidence::from([
                ("mean_logprob".to_owned(), if kind == 0 { -0.1 } else { -1.0 } - 0.001 * (at % 7) as f64),
                ("statement.joins".to_owned(), if kind == 2 { 3.0 } else { 0.0 }),
            ]);
            let of = |ok| Example { ok, evidence: evidence.clone(), ..Example::default() };
            Pair { item: at.to_string(), draft: of(kind == 0), teacher: of(kind != 2) }
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn items_that_nobody_knows_are_not_worth_an_escalation() {
        let pairs = pairs(300);
        let all: Vec<&Pair> = pairs.iter().collect();
        let found = Deferral::fit(&all, Example::clone, &Origin::default()).unwrap();
        let judged: Vec<(f64, f64)> =
            pairs[..3].iter().map(|pair| found.judge(&pair.draft.evidence)).collect();
        let [easy, teachers, hopeless] = judged.as_slice() else { panic!("three") };
        assert!((teachers.0 - hopeless.0).abs() < 0.2, "both are probably wrong");
        assert!(teachers.1 < hopeless.1 - 0.2, "but only one is worth asking about: {judged:?}");
        assert!(easy.1 > teachers.1);
        let (left_out, rung) = (found.left_out(), found.clone().into_rung(0.3));
        assert!(
            left_out
                .iter()
                .zip(&pairs)
                .all(|(left_out, pair)| { (left_out - found.judge(&pair.draft.evidence).1).abs() < 0.2 })
        );
        let (confidence, preference) = rung.judge(&pairs[1].draft.evidence);
        assert_eq!((confidence, preference), *teachers);
    }

    #[test]
    fn where_the_next_model_is_always_right_confidence_alone_decides() {
        let mut pairs = pairs(300);
        pairs.iter_mut().for_each(|pair| pair.teacher.ok = true);
        let all: Vec<&Pair> = pairs.iter().collect();
        let found = Deferral::fit(&all, Example::clone, &Origin::default()).unwrap();
        let (confidence, preference) = found.judge(&pairs[0].draft.evidence);
        assert!(found.next.is_none() && confidence == preference);
    }
}
