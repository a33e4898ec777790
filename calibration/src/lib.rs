//! How likely an answer is right, learned from answers that were judged, and what follows: when a cascade should
//! ask the bigger model. Mathematics only; it reads no file and knows no model.
//!
//! | module | what it holds |
//! |---|---|
//! | [`evidence`] | [`Evidence`], [`Example`], [`Pair`]: what a judged answer left behind |
//! | [`profile`] | [`Profile`]: evidence in, a confidence out; [`LadderProfile`]: those of a task, with thresholds |
//! | [`fit`] | a profile from examples: shape and strength by cross-validation, isotonic calibration |
//! | `logistic` | L2-regularised logistic regression with weights of a known sign |
//! | [`trees`] | boosted trees: what bends, and what matters only together |
//! | `isotonic` | pool adjacent violators |
//! | [`deferral`] | whether a draft stays: its chance of being right, against the next model's |
//! | [`metrics`] | AUROC, Brier score, calibration error, reliability |
//! | [`curve`] | [`Curve`]: quality against the share of teacher calls, APGR |
//! | [`threshold`] | thresholds for a budget, a latency, or a certified risk |
//! | [`certify`] | how a certified risk holds in random splits |
//! | [`resampling`] | stratified folds, percentile intervals |
//! | [`study`] | cross-fitting: every figure on items that nothing was fitted on |
//!
//! ```
//! use understudy_calibration::{Cost, Evidence, Example, fit::{Origin, fit}};
//!
//! let answer = |n: usize| {
//!     let evidence = Evidence::from([("p10_logprob".to_owned(), -((n * 7 % 40) as f64) / 10.0)]);
//!     Example { ok: n * 7 % 40 < 15, evidence, cost: Cost::default(), outcome: None }
//! };
//! let examples: Vec<Example> = (0..200).map(answer).collect();
//! let fitted = fit(&examples.iter().collect::<Vec<_>>(), &Origin::default())?;
//! let sure = fitted.profile.confidence(&Evidence::from([("p10_logprob".to_owned(), -0.1)]));
//! let unsure = fitted.profile.confidence(&Evidence::from([("p10_logprob".to_owned(), -3.5)]));
//! assert!(sure > 0.8 && unsure < 0.2);
//! # Ok::<(), understudy_calibration::fit::FitError>(())
//! ```

pub mod certify;
pub mod curve;
pub mod deferral;
pub mod evidence;
pub mod fit;
mod isotonic;
mod logistic;
pub mod metrics;
pub mod profile;
pub mod resampling;
pub mod study;
pub mod threshold;
pub mod trees;

pub use curve::Curve;
pub use evidence::{Cost, Evidence, Example, Pair};
pub use profile::{LadderProfile, Profile};
