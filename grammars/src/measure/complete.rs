//! Whether a text that was cut somewhere is completed within any sufficient budget.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Case, Random, Times, count_allowed, nth_allowed};
use crate::{Budget, Constraint, Grammar, Matcher, TokenId, Vocabulary};

/// What became of some triples of case, cut and budget.
#[derive(Debug, Clone, Default)]
pub struct Completed {
    /// Triples tried.
    pub triples: usize,
    /// Texts that were complete within their budget.
    pub complete: usize,
    /// Cases of the others.
    pub failed: Vec<String>,
    /// The texts, by case.
    pub texts: Vec<(String, Vec<u8>)>,
    /// What masks took, budgets near and far.
    pub masks: Times,
}

/// Budgets exceed the least by less than this.
const SPARE: usize = 40;

/// For each case in turn, until `count` triples are tried: cuts a valid sample at random, chooses a budget
/// from the least one up, and lets random allowed tokens go on. With `keep` the texts are returned.
///
/// The same `seed` tries the same triples. Cases that do not compile are left out; without any that
/// does there are no triples.
pub fn complete(
    cases: &[Case],
    vocabulary: &Arc<Vocabulary>,
    count: usize,
    seed: u64,
    keep: bool,
) -> Completed {
    let mut completed = Completed::default();
    let mut masks = Vec::new();
    let each = count.div_ceil(cases.len().max(1));
    for (number, case) in cases.iter().enumerate() {
        let Ok(grammar) = Grammar::compile(&case.pattern, vocabulary, &Budget::default()) else { continue };
        let mut random = Random::new(seed ^ (number as u64) << 32);
        for _ in 0..each.min(count - completed.triples) {
            let (mut matcher, mut text) = cut(&grammar, case, &mut random);
            let Some(least) = matcher.min_close_tokens() else { continue };
            let budget = least + random.below(SPARE);
            let is_complete = finish(&mut matcher, vocabulary, budget, &mut random, &mut text, &mut masks);
            completed.triples += 1;
            completed.complete += usize::from(is_complete);
            if !is_complete {
                completed.failed.push(case.name.clone());
            }
            if keep {
                let bytes = text.iter().flat_map(|token| vocabulary.token(*token)).copied().collect();
                completed.texts.push((case.name.clone(), bytes));
            }
        }
    }
    completed.masks = Times::of(masks);
    completed
}

/// A matcher somewhere in a valid sample, or at the beginning where there is none.
fn cut(grammar: &Arc<Grammar>, case: &Case, random: &mut Random) -> (Matcher, Vec<TokenId>) {
    let mut matcher = grammar.matcher();
    let valid: Vec<_> = case.samples.iter().filter(|sample| sample.valid).collect();
    let Some(sample) = valid.get(random.below(valid.len())) else { return (matcher, Vec::new()) };
    let read = matcher.validate(&sample.tokens[..random.below(sample.tokens.len() + 1)]);
    (matcher, sample.tokens[..read].to_vec())
}

fn finish(
    matcher: &mut Matcher,
    vocabulary: &Vocabulary,
    budget: usize,
    random: &mut Random,
    text: &mut Vec<TokenId>,
    masks: &mut Vec<Duration>,
) -> bool {
    let mut allowed = vec![0; vocabulary.words()];
    for left in (0..=budget).rev() {
        let started = Instant::now();
        matcher.mask_within(&mut allowed, left as u32);
        masks.push(started.elapsed());
        let Some(token) = nth_allowed(&allowed, random.below(count_allowed(&allowed))) else { return false };
        if !matcher.try_accept(token) {
            return false;
        }
        if vocabulary.ends().contains(&token) {
            return true;
        }
        text.push(token);
    }
    false
}
