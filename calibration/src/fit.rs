//! A profile from judged answers.
//!
//! 1. Every number of the evidence becomes columns ([`Form`]); those that never vary are dropped.
//! 2. Cross-validation chooses one of three shapes and its strength: a straight line for each number, held to the sign that is
//!    known beforehand (surer tokens and passing validators speak for an answer), a free line that bends at the terciles, or
//!    boosted [`trees`](crate::trees).
//! 3. The isotonic function is fitted to the scores that cross-validation gave to left-out examples: scores of examples
//!    that were fitted on are too sure.

use std::collections::BTreeSet;

use crate::evidence::{AGREES, Evidence, Example, VALIDATOR, VECTOR};
use crate::isotonic;
use crate::logistic::{self, Sign};
use crate::metrics;
use crate::profile::{Feature, FittedOn, Form, Profile, Shape, confidence_of};
use crate::resampling::stratified;
use crate::trees::{Boosted, ROUNDS, Table};

/// L2 strengths that are tried, in examples' worth of curvature per squared standard deviation.
const STRENGTHS: [f64; 6] = [30.0, 10.0, 3.0, 1.0, 0.3, 0.1];
const INNER_FOLDS: usize = 5;
/// Fewest right and fewest wrong answers to learn from: one for each inner fold.
const FEWEST: usize = INNER_FOLDS;
/// Fewest examples that lack a number, and that have it, before its absence is a feature.
const FEWEST_MISSING: usize = 5;
const SEED: u64 = 0;

/// Why nothing can be learned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FitError {
    /// Too few of a kind.
    #[error(
        "{right} right and {wrong} wrong answers of {model:?} are too few to calibrate: at least {FEWEST} of each are \
         needed; evaluate more items"
    )]
    TooFew {
        /// The model.
        model: String,
        /// Right answers.
        right: usize,
        /// Wrong answers.
        wrong: usize,
    },
    /// Nothing that could tell right from wrong.
    #[error(
        "the answers of {model:?} have no evidence that varies; evaluate them again with a build that writes `ledger.candidates`"
    )]
    NoEvidence {
        /// The model.
        model: String,
    },
}

/// What a profile says about its origin.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The model that wrote the answers.
    pub model: String,
    /// Digest of the rows' source.
    pub digest: String,
    /// RFC 3339, UTC.
    pub date: String,
}

/// A profile, and its confidences in the examples while they were left out.
#[derive(Debug, Clone)]
pub struct Fitted {
    /// Fitted to all examples.
    pub profile: Profile,
    /// For each example, from a fit without its fold.
    pub left_out: Vec<f64>,
}

/// Learns from examples of one model.
///
/// # Errors
/// [`FitError`], when there is too little to learn from.
pub fn fit(examples: &[&Example], origin: &Origin) -> Result<Fitted, FitError> {
    let ok: Vec<bool> = examples.iter().map(|example| example.ok).collect();
    let right = ok.iter().filter(|&&ok| ok).count();
    let wrong = ok.len() - right;
    if right.min(wrong) < FEWEST {
        return Err(FitError::TooFew { model: origin.model.clone(), right, wrong });
    }
    let columns = columns(examples);
    if columns.is_empty() {
        return Err(FitError::NoEvidence { model: origin.model.clone() });
    }
    let rows: Vec<Vec<f64>> =
        examples.iter().map(|example| standardised(&columns, &example.evidence)).collect();
    let folds = stratified(&ok.iter().map(|&ok| usize::from(ok)).collect::<Vec<_>>(), INNER_FOLDS, SEED);

    let table = Table::of(names(examples).into_iter(), &evidence(examples));
    let found = candidates(&rows, &ok, &folds, &columns, &table);
    let best = found.into_iter().min_by(|a, b| a.loss.total_cmp(&b.loss));
    let Some(Candidate { scores, shape, strength, .. }) = best else { unreachable!("shapes are tried") };

    let knots = isotonic::knots(&scores, &ok);
    let left_out: Vec<f64> = scores.iter().map(|&score| confidence_of(score, &knots)).collect();
    let (features, trees, bias) = match shape {
        Shape::Trees => {
            let boosted = Boosted::fit(&table, &ok, &(0..ok.len()).collect::<Vec<_>>());
            (Vec::new(), boosted.trees(&table, strength as usize), boosted.bias)
        }
        Shape::Signed | Shape::Bent => {
            let signs = signs(&columns, shape);
            let weights = logistic::fit(&rows, &ok, strength, &signs, logistic::start(&signs));
            let bias = weights[columns.len()];
            let features =
                columns.into_iter().zip(weights).map(|(column, weight)| Feature { weight, ..column });
            (features.filter(|feature| feature.weight != 0.0).collect(), Vec::new(), bias)
        }
    };
    let (digest, date) = (origin.digest.clone(), origin.date.clone());
    let profile = Profile {
        model: origin.model.clone(),
        features,
        trees,
        bias,
        auroc: metrics::auroc(&scores, &ok),
        ece: metrics::ece(&left_out, &ok),
        knots,
        fitted_on: FittedOn { rows: ok.len(), right, digest, date, shape, strength },
    };
    Ok(Fitted { profile, left_out })
}

/// A shape with a strength, and what cross-validation says of it.
struct Candidate {
    loss: f64,
    /// Each example's score by a fit without its fold.
    scores: Vec<f64>,
    shape: Shape,
    strength: f64,
}

/// Everything that is tried.
fn candidates(
    rows: &[Vec<f64>],
    ok: &[bool],
    folds: &[usize],
    columns: &[Feature],
    table: &Table,
) -> Vec<Candidate> {
    let judged = |scores: Vec<f64>, shape, strength| Candidate {
        loss: logistic::log_loss(&scores, ok),
        scores,
        shape,
        strength,
    };
    let mut found = Vec::new();
    for shape in [Shape::Signed, Shape::Bent] {
        let scores = left_out_scores(rows, ok, folds, &signs(columns, shape));
        found.extend(
            scores.into_iter().zip(STRENGTHS).map(|(scores, strength)| judged(scores, shape, strength)),
        );
    }
    let boosted = boosted_scores(table, ok, folds);
    found.extend(
        boosted.into_iter().zip(ROUNDS).map(|(scores, rounds)| judged(scores, Shape::Trees, rounds as f64)),
    );
    found
}

fn signs(columns: &[Feature], shape: Shape) -> Vec<Sign> {
    match shape {
        Shape::Signed => columns.iter().map(known_sign).collect(),
        Shape::Bent | Shape::Trees => vec![Sign::Free; columns.len()],
    }
}

fn names(examples: &[&Example]) -> BTreeSet<String> {
    examples.iter().flat_map(|example| example.evidence.keys().cloned()).collect()
}

fn evidence<'a>(examples: &[&'a Example]) -> Vec<&'a Evidence> {
    examples.iter().map(|example| &example.evidence).collect()
}

/// The varying columns of the evidence, weights still 0.
fn columns(examples: &[&Example]) -> Vec<Feature> {
    let names = names(examples);
    let forms = names.iter().flat_map(|name| forms(examples, name).into_iter().map(move |form| (name, form)));
    forms.filter_map(|(name, form)| column(examples, name, form)).collect()
}

/// A line, its bends, and a column of its own for absence. Numbers of a vector are too many to bend each.
fn forms(examples: &[&Example], name: &str) -> Vec<Form> {
    if name.starts_with(VECTOR) {
        return vec![Form::Value];
    }
    let mut values: Vec<f64> =
        examples.iter().filter_map(|example| Form::Value.of(example.evidence.get(name))).collect();
    values.sort_by(f64::total_cmp);
    let line = if name == "length" { Form::Log } else { Form::Value };
    let terciles =
        [values.len() / 3, values.len() * 2 / 3].into_iter().filter_map(|at| values.get(at).copied());
    // At an end, and twice at the same place, there is nothing to bend.
    let mut knots: Vec<f64> =
        terciles.filter(|&knot| values.first() < Some(&knot) && Some(&knot) < values.last()).collect();
    knots.dedup();
    [line, Form::Missing].into_iter().chain(knots.into_iter().map(Form::Above)).collect()
}

fn column(examples: &[&Example], name: &str, form: Form) -> Option<Feature> {
    let values: Vec<f64> =
        examples.iter().filter_map(|example| form.of(example.evidence.get(name))).collect();
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let scale = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
    let seen = values.iter().filter(|&&value| value != 0.0).count();
    let rare = form == Form::Missing && seen.min(values.len() - seen) < FEWEST_MISSING;
    let varies = scale.is_finite() && scale > 1e-9 * (1.0 + mean.abs());
    (varies && !rare).then(|| Feature { evidence: name.to_owned(), form, mean, scale, weight: 0.0 })
}

fn known_sign(column: &Feature) -> Sign {
    let name = column.evidence.as_str();
    let passes = name.strip_prefix(VALIDATOR).is_some_and(|validator| !validator.contains('.'));
    match column.form {
        Form::Missing => Sign::Free,
        Form::Above(_) => Sign::Zero,
        _ if name.ends_with("_logprob") || name.ends_with("_margin") || passes || name == AGREES => {
            Sign::NonNegative
        }
        _ if name.ends_with("_entropy") || name == "truncated" || name == "looping" => Sign::NonPositive,
        _ => Sign::Free,
    }
}

fn standardised(columns: &[Feature], evidence: &Evidence) -> Vec<f64> {
    columns.iter().map(|column| column.standardised(evidence)).collect()
}

/// For each strength, each row's score by a fit without its fold.
fn left_out_scores(rows: &[Vec<f64>], ok: &[bool], folds: &[usize], signs: &[Sign]) -> Vec<Vec<f64>> {
    let mut scores = vec![vec![0.0; rows.len()]; STRENGTHS.len()];
    for fold in 0..INNER_FOLDS {
        let kept = (0..rows.len()).filter(|&at| folds[at] != fold);
        let (inner, inner_ok): (Vec<Vec<f64>>, Vec<bool>) = kept.map(|at| (rows[at].clone(), ok[at])).unzip();
        // Each strength starts where the stronger one ended.
        let mut weights = logistic::start(signs);
        for (scores, &strength) in scores.iter_mut().zip(&STRENGTHS) {
            weights = logistic::fit(&inner, &inner_ok, strength, signs, weights);
            for at in (0..rows.len()).filter(|&at| folds[at] == fold) {
                scores[at] = logistic::score(&rows[at], &weights);
            }
        }
    }
    scores
}

/// For each number of trees, each example's score by trees that did not see its fold.
fn boosted_scores(table: &Table, ok: &[bool], folds: &[usize]) -> Vec<Vec<f64>> {
    let mut scores = vec![vec![0.0; ok.len()]; ROUNDS.len()];
    for fold in 0..INNER_FOLDS {
        let (held, kept): (Vec<usize>, Vec<usize>) = (0..ok.len()).partition(|&at| folds[at] == fold);
        let found = Boosted::fit(table, ok, &kept).scores;
        for (scores, found) in scores.iter_mut().zip(found) {
            held.iter().for_each(|&at| scores[at] = found[at]);
        }
    }
    scores
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Right as often as `sigmoid(2 logprob + 2)` says, with a validator that knows and a number that does not.
    fn examples(count: usize, validated: bool) -> Vec<Example> {
        let mut random = fastrand::Rng::with_seed(5);
        let mut one = |_| {
            let logprob = -2.0 * random.f64();
            let ok = random.f64() < logistic::sigmoid(4.0 * logprob + 4.0);
            let passes = if random.f64() < 0.9 { ok } else { !ok };
            let mut evidence = Evidence::from([
                ("mean_logprob".to_owned(), logprob),
                ("noise".to_owned(), random.f64()),
                ("constant".to_owned(), 3.0),
            ]);
            if validated {
                evidence.insert("validator.sql".to_owned(), f64::from(u8::from(passes)));
            }
            Example { evidence, ok, ..Example::default() }
        };
        (0..count).map(&mut one).collect()
    }

    fn fitted(examples: &[Example]) -> Fitted {
        fit(&examples.iter().collect::<Vec<_>>(), &Origin::default()).unwrap()
    }

    #[test]
    fn confidences_are_calibrated_on_answers_that_were_not_seen() {
        let all = examples(3000, true);
        let Fitted { profile, left_out } = fitted(&all[..1500]);
        let ok: Vec<bool> = all[1500..].iter().map(|example| example.ok).collect();
        let found: Vec<f64> =
            all[1500..].iter().map(|example| profile.confidence(&example.evidence)).collect();
        assert!(metrics::ece(&found, &ok) < 0.04, "{}", metrics::ece(&found, &ok));
        let unseen = metrics::auroc(&found, &ok).unwrap();
        assert!((unseen - profile.auroc.unwrap()).abs() < 0.03, "the profile's own figure is honest");
        assert_eq!(left_out.len(), 1500);
        assert!(profile.features.iter().all(|feature| feature.evidence != "constant"));
    }

    #[test]
    fn a_validator_raises_the_auroc() {
        let (with, without) = (fitted(&examples(800, true)), fitted(&examples(800, false)));
        assert!(with.profile.auroc.unwrap() > without.profile.auroc.unwrap() + 0.05);
    }

    #[test]
    fn absence_counts_where_it_tells() {
        let mut some = examples(800, false);
        for example in some.iter_mut().filter(|example| !example.ok) {
            example.evidence.remove("noise");
        }
        let profile = fitted(&some).profile;
        let with = Evidence::from([("mean_logprob".into(), -0.9), ("noise".into(), 0.5)]);
        let without = Evidence::from([("mean_logprob".into(), -0.9)]);
        assert!(profile.confidence(&with) > 0.8 && profile.confidence(&without) < 0.2);
    }

    #[test]
    fn too_little_is_refused() {
        let few = examples(6, true);
        let refused = fit(&few.iter().collect::<Vec<_>>(), &Origin::default()).unwrap_err();
        assert!(matches!(refused, FitError::TooFew { .. }));
        let blind: Vec<Example> = (0..40).map(|n| Example { ok: n % 2 == 0, ..Example::default() }).collect();
        let refused = fit(&blind.iter().collect::<Vec<_>>(), &Origin::default()).unwrap_err();
        assert!(matches!(refused, FitError::NoEvidence { .. }), "{refused}");
    }
}
