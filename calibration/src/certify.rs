//! How a certified risk holds on items that chose nothing.

use crate::curve::Routed;
use crate::deferral::Deferral;
use crate::evidence::{Example, Pair};
use crate::fit::{FitError, Origin};
use crate::resampling::{independent, stratified};
use crate::threshold::certified;

/// What random splits came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Certified {
    /// The risk asked for.
    pub alpha: f64,
    /// Splits that could be certified.
    pub splits: usize,
    /// Mean share of test items whose draft stayed, wrong, while the teacher was right.
    pub loss: f64,
    /// Standard error of that mean over splits. Splits share items, so it is the error of this average and not of what
    /// other items would give.
    pub standard_error: f64,
    /// Mean share of test items that were escalated.
    pub share: f64,
    /// Splits that no threshold could certify.
    pub infeasible: usize,
}

/// Splits the items at random, again and again: a quarter fits a profile, a quarter chooses the threshold by
/// [`certified`], and the loss is taken on the other half.
///
/// # Errors
/// [`FitError`], when a quarter is too little to learn from.
pub fn certify(pairs: &[Pair], alpha: f64, splits: usize, seed: u64) -> Result<Certified, FitError> {
    let groups: Vec<usize> = pairs.iter().map(|pair| usize::from(pair.draft.ok)).collect();
    let split = |split: usize| {
        let quarters = stratified(&groups, 4, seed + split as u64);
        let part = |wanted: &'static [usize]| {
            pairs.iter().zip(&quarters).filter(|(_, quarter)| wanted.contains(quarter)).map(|(pair, _)| pair)
        };
        let deferral = Deferral::fit(&part(&[0]).collect::<Vec<_>>(), Example::clone, &Origin::default())?;
        let routed = |pair: &Pair| Routed::new(pair, deferral.judge(&pair.draft.evidence).1);
        let Ok(threshold) = certified(&part(&[1]).map(routed).collect::<Vec<_>>(), alpha) else {
            return Ok(None);
        };
        let test: Vec<Routed> = part(&[2, 3]).map(routed).collect();
        let share = |of: &dyn Fn(&Routed) -> bool| {
            test.iter().filter(|item| of(item)).count() as f64 / test.len().max(1) as f64
        };
        let lost = share(&|item| item.score >= threshold && item.draft < item.teacher);
        Ok(Some((lost, share(&|item| item.score < threshold))))
    };
    let found = independent(splits, split)?;
    let infeasible = found.iter().filter(|split| split.is_none()).count();
    let (losses, shares): (Vec<f64>, Vec<f64>) = found.into_iter().flatten().unzip();
    let count = losses.len() as f64;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / count.max(1.0);
    let loss = mean(&losses);
    let variance = losses.iter().map(|x| (x - loss).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
    Ok(Certified {
        alpha,
        splits: losses.len(),
        loss,
        standard_error: (variance / count.max(1.0)).sqrt(),
        share: mean(&shares),
        infeasible,
    })
}
