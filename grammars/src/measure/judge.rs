//! Which patterns compile, how samples are judged, and what it takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Case, Sample, Times};
use crate::{Budget, Constraint, Grammar, Matcher, Vocabulary, bits};

/// What became of some cases.
#[derive(Debug, Clone, Default)]
pub struct Judged {
    /// Cases given.
    pub cases: usize,
    /// Cases that compiled.
    pub compiled: usize,
    /// Cases that compiled and whose every sample was judged right.
    pub right: usize,
    /// Samples given.
    pub samples: usize,
    /// Samples of compiled cases that were judged right.
    pub samples_right: usize,
    /// Invalid samples that were taken, by case.
    pub false_accepts: Vec<String>,
    /// Valid samples that were not.
    pub false_rejects: Vec<String>,
    /// Cases that did not compile, and why.
    pub refused: Vec<(String, String)>,
    /// What compiling took, refused cases included.
    pub compile: Times,
    /// What each mask took, budget included, in the order that texts come to them: places that no text
    /// has been to before are among them.
    pub masks: Times,
}

/// More than any sample needs: masks look at the budget as they would in a long answer.
const BUDGET: u32 = 100_000;

/// Compiles each case and reads its samples token by token, a mask before each.
pub fn judge(cases: &[Case], vocabulary: &Arc<Vocabulary>, budget: &Budget) -> Judged {
    let mut judged = Judged { cases: cases.len(), ..Judged::default() };
    let (mut compile, mut masks) = (Vec::new(), Vec::new());
    for case in cases {
        judged.samples += case.samples.len();
        let started = Instant::now();
        let compiled = Grammar::compile(&case.pattern, vocabulary, budget);
        compile.push(started.elapsed());
        let grammar = match compiled {
            Ok(grammar) => grammar,
            Err(error) => {
                judged.refused.push((case.name.clone(), error.to_string()));
                continue;
            }
        };
        judged.compiled += 1;
        let before = judged.samples_right;
        for sample in &case.samples {
            match (takes(grammar.matcher(), sample, vocabulary, &mut masks), sample.valid) {
                (true, false) => judged.false_accepts.push(case.name.clone()),
                (false, true) => judged.false_rejects.push(case.name.clone()),
                _ => judged.samples_right += 1,
            }
        }
        judged.right += usize::from(judged.samples_right - before == case.samples.len());
    }
    (judged.compile, judged.masks) = (Times::of(compile), Times::of(masks));
    judged
}

/// Whether a sample is taken; a mask that does not say the same as accepting counts as a wrong verdict.
fn takes(mut matcher: Matcher, sample: &Sample, vocabulary: &Vocabulary, masks: &mut Vec<Duration>) -> bool {
    let mut allowed = vec![0; vocabulary.words()];
    for (index, token) in sample.tokens.iter().enumerate() {
        let started = Instant::now();
        matcher.mask_within(&mut allowed, BUDGET - index as u32);
        masks.push(started.elapsed());
        let is_allowed = bits::contains(&allowed, *token);
        let is_accepted = matcher.try_accept(*token);
        if is_allowed != is_accepted {
            return !sample.valid;
        }
        if !is_accepted {
            return false;
        }
    }
    matcher.is_accepting()
}
