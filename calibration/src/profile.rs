//! What was learned about one model on one task, as a file that a router reads.
//!
//! Invariants, tested below:
//! - a confidence is a number in 0..=1 for any evidence; a threshold of 0 keeps every answer and one of 1 none.
//! - of two pieces of evidence, the one with the higher [`Profile::score`] has the higher confidence, strictly.

use serde::{Deserialize, Serialize};

use crate::deferral::preference;
use crate::evidence::Evidence;
use crate::isotonic::interpolate;
use crate::logistic::sigmoid;
use crate::trees::Tree;

/// Version of the file.
pub const VERSION: u32 = 2;

/// Standard deviations beyond which evidence says nothing more.
const FARTHEST: f64 = 6.0;
/// The share of the smooth logistic function in a confidence: the isotonic part alone has flat stretches, on which
/// a threshold could not tell answers apart.
const SMOOTH: f64 = 0.1;
/// Confidences stay this far from 0 and 1.
const EDGE: f64 = 1e-6;

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// It is no profile.
    #[error("this is no profile ({0}); make one with `understudy calibrate`")]
    Format(#[from] serde_json::Error),
    /// It is of another version.
    #[error("the profile has version {0}, this build reads {VERSION}; calibrate again with this build")]
    Version(u32),
    /// A number in it makes no sense.
    #[error("the profile of {model:?} has a wrong {what}; calibrate again")]
    Value {
        /// Whose profile.
        model: String,
        /// Which number.
        what: String,
    },
}

/// How a number of the evidence enters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// As it is; the mean where it is absent.
    Value,
    /// ln(1 + x), for counts; the mean where it is absent.
    Log,
    /// How far it is above this knot, else 0: bends the line. The mean where it is absent.
    Above(f64),
    /// 1 where it is absent, else 0.
    Missing,
}

/// One term of the logistic function.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    /// Name of the evidence.
    pub evidence: String,
    /// How it enters.
    pub form: Form,
    /// Mean of the examples.
    pub mean: f64,
    /// Standard deviation of the examples.
    pub scale: f64,
    /// Per standard deviation above the mean.
    pub weight: f64,
}

impl Feature {
    /// Standard deviations above the mean; 0 where the evidence does not say.
    pub(crate) fn standardised(&self, evidence: &Evidence) -> f64 {
        let deviations = self.form.of(evidence.get(&self.evidence)).map(|x| (x - self.mean) / self.scale);
        deviations.map_or(0.0, |x| x.clamp(-FARTHEST, FARTHEST))
    }
}

impl Form {
    fn is_finite(self) -> bool {
        if let Self::Above(knot) = self { knot.is_finite() } else { true }
    }

    /// `None` where it is unknown; never NaN.
    pub(crate) fn of(self, value: Option<&f64>) -> Option<f64> {
        let known = value.copied().filter(|value| !value.is_nan());
        let formed = match self {
            Self::Value => known,
            Self::Log => known.map(|value| value.max(0.0).ln_1p()),
            Self::Above(knot) => known.map(|value| (value - knot).max(0.0)),
            Self::Missing => Some(f64::from(u8::from(known.is_none()))),
        };
        formed.map(|value| value.clamp(f64::MIN, f64::MAX))
    }
}

/// What a profile was learned from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FittedOn {
    /// Judged answers.
    pub rows: usize,
    /// Of them right.
    pub right: usize,
    /// Digest of the rows' source.
    pub digest: String,
    /// RFC 3339, UTC.
    pub date: String,
    /// What cross-validation chose.
    pub shape: Shape,
    /// And its L2 strength, or how many trees.
    pub strength: f64,
}

/// How evidence adds up to a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// A straight line for each number, of the sign that is known beforehand.
    #[default]
    Signed,
    /// A free line for each number, with bends.
    Bent,
    /// Trees.
    Trees,
}

/// A calibrated confidence: a score of the evidence, then an isotonic function.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The model that is judged.
    pub model: String,
    /// The terms.
    pub features: Vec<Feature>,
    /// Trees whose values are added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trees: Vec<Tree>,
    /// Added to their sum.
    pub bias: f64,
    /// Ascending (score, share of right answers).
    pub knots: Vec<(f64, f64)>,
    /// Its origin.
    pub fitted_on: FittedOn,
    /// Of the confidences of answers that were left out of the fit; `null` where all were right or all wrong.
    pub auroc: Option<f64>,
    /// Expected calibration error, of the same.
    pub ece: f64,
}

impl Profile {
    /// The score, finite.
    pub fn score(&self, evidence: &Evidence) -> f64 {
        let terms = self.features.iter().map(|feature| feature.weight * feature.standardised(evidence));
        let leaves = self.trees.iter().map(|tree| tree.value(evidence));
        self.bias + terms.chain(leaves).sum::<f64>()
    }

    /// The probability that an answer with this evidence is right. What is absent or NaN counts as average, unless
    /// answers that lacked it too were seen to differ.
    pub fn confidence(&self, evidence: &Evidence) -> f64 {
        confidence_of(self.score(evidence), &self.knots)
    }

    /// The first thing in it that is no usable number.
    fn flaw(&self) -> Option<String> {
        let wrong = |feature: &Feature| {
            let usable = feature.mean.is_finite() && feature.weight.is_finite() && feature.form.is_finite();
            let scaled = feature.scale.is_finite() && feature.scale > 0.0;
            (!(usable && scaled)).then(|| format!("feature {:?}", feature.evidence))
        };
        let ascends = self.knots.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
        let shares = self.knots.iter().all(|(score, share)| score.is_finite() && (0.0..=1.0).contains(share));
        self.features
            .iter()
            .find_map(wrong)
            .or_else(|| (!self.trees.iter().all(Tree::is_finite)).then(|| "tree".to_owned()))
            .or_else(|| (!self.bias.is_finite()).then(|| "bias".to_owned()))
            .or_else(|| (!(ascends && shares)).then(|| "isotonic function".to_owned()))
    }
}

/// The confidence of a score.
pub(crate) fn confidence_of(score: f64, knots: &[(f64, f64)]) -> f64 {
    let mixed = (1.0 - SMOOTH) * interpolate(knots, score) + SMOOTH * sigmoid(score);
    if mixed.is_nan() { 0.5 } else { mixed.clamp(EDGE, 1.0 - EDGE) }
}

/// How a threshold was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case", deny_unknown_fields)]
pub enum Goal {
    /// The best quality that the examples had.
    Quality,
    /// At most this share of requests goes to the teacher.
    Budget {
        /// 0 to 1.
        share: f64,
    },
    /// At most this share of the bytes that the teacher alone would read.
    Compute {
        /// 0 or more.
        share: f64,
    },
    /// At most this mean latency.
    Latency {
        /// Milliseconds.
        ms: f64,
    },
    /// Certified: in expectation at most this share of answers is wrong where the teacher's is right.
    Risk {
        /// 0 to 1.
        alpha: f64,
    },
}

/// One model of a ladder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rung {
    /// How its answers are judged.
    pub profile: Profile,
    /// How likely the next rung's answer is right, from this one's evidence; absent where that was not learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Profile>,
    /// Answers whose preference is below this go to the next rung; `null` for the last.
    pub threshold: Option<f64>,
}

impl Rung {
    /// The probability that an answer with this evidence is right, and the preference for it over the next rung's: from
    /// 0, only that one is right, to 1, only this one is. Without [`next`](Self::next) both are the same.
    pub fn judge(&self, evidence: &Evidence) -> (f64, f64) {
        let own = self.profile.confidence(evidence);
        let next = self.next.as_ref().map(|next| next.confidence(evidence));
        (own, next.map_or(own, |next| preference(own, next)))
    }
}

/// The profiles of a task's ladder, cheapest first. The last one's evidence has [`crate::evidence::AGREES`] besides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LadderProfile {
    /// [`VERSION`].
    pub version: u32,
    /// Which task.
    pub task: String,
    /// The models.
    pub rungs: Vec<Rung>,
    /// What the thresholds are for.
    pub goal: Goal,
}

impl LadderProfile {
    /// Reads the JSON of a profile and checks every number.
    ///
    /// # Errors
    /// [`ProfileError`], when it is of another version or no profile, or has numbers that no fit gives.
    pub fn parse(json: &str) -> Result<Self, ProfileError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let Versioned { version } = serde_json::from_str(json)?;
        if version != VERSION {
            return Err(ProfileError::Version(version));
        }
        let read: Self = serde_json::from_str(json)?;
        for Rung { profile, next, threshold } in &read.rungs {
            let in_range = threshold.is_none_or(|threshold| (0.0..=1.0).contains(&threshold));
            let flaw = profile.flaw().or_else(|| next.as_ref().and_then(Profile::flaw));
            let flaw = flaw.or_else(|| (!in_range).then(|| "threshold".to_owned()));
            if let Some(what) = flaw {
                return Err(ProfileError::Value { model: profile.model.clone(), what });
            }
        }
        Ok(read)
    }

    /// The JSON that [`LadderProfile::parse`] reads.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The rung of a model.
    pub fn rung(&self, model: &str) -> Option<&Rung> {
        self.rungs.iter().find(|rung| rung.profile.model == model)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn feature(evidence: &str, form: Form, weight: f64) -> Feature {
        Feature { evidence: evidence.into(), form, mean: -1.0, scale: 0.5, weight }
    }

    fn profile() -> Profile {
        let leaf = |value| Box::new(Tree::Leaf(value));
        Profile {
            model: "small".into(),
            features: vec![
                feature("p10_logprob", Form::Value, 1.5),
                feature("p10_logprob", Form::Above(-0.5), 0.5),
                feature("validator.sql", Form::Missing, -0.5),
            ],
            trees: vec![Tree::Split("p10_logprob".into(), -2.0, false, leaf(-0.1), leaf(0.1))],
            bias: 0.1,
            knots: vec![(-1.0, 0.0), (0.0, 0.5), (1.0, 0.5), (2.0, 1.0)],
            fitted_on: FittedOn::default(),
            auroc: Some(0.8),
            ece: 0.05,
        }
    }

    fn ladder() -> LadderProfile {
        let rung = Rung { profile: profile(), next: Some(profile()), threshold: Some(0.6) };
        LadderProfile { version: VERSION, task: "sql".into(), rungs: vec![rung], goal: Goal::Quality }
    }

    #[test]
    fn a_profile_survives_its_file() {
        let read = LadderProfile::parse(&ladder().to_json()).unwrap();
        assert_eq!(read, ladder());
        assert!(read.rung("small").is_some() && read.rung("large").is_none());
    }

    #[test]
    fn files_that_cannot_be_meant_are_refused_with_what_to_do() {
        let json = ladder().to_json();
        let cases = [
            ("{}".to_owned(), "no profile"),
            (json.replace("\"version\":2", "\"version\":7"), "version 7"),
            (json.replace("\"bias\"", "\"bais\""), "bais"),
            (json.replace("\"scale\":0.5", "\"scale\":0.0"), "feature \"p10_logprob\""),
            (json.replace("\"threshold\":0.6", "\"threshold\":1.6"), "threshold"),
            (json.replace("[\"p10_logprob\",-2.0,", "[\"p10_logprob\",-1e999,"), "calibrate"),
            (json.replace("[2.0,1.0]", "[-2.0,1.0]"), "isotonic"),
        ];
        for (json, word) in cases {
            let refused = LadderProfile::parse(&json).unwrap_err().to_string();
            assert!(refused.contains(word) && refused.contains("calibrate"), "{word} in {refused}");
        }
    }

    #[test]
    fn what_is_absent_is_average_and_its_absence_may_count() {
        let known = |value| Evidence::from([("p10_logprob".into(), value), ("validator.sql".into(), 1.0)]);
        let profile = profile();
        assert!(profile.confidence(&known(-0.1)) > profile.confidence(&known(-3.0)));
        let without_validator = Evidence::from([("p10_logprob".into(), -0.1)]);
        assert!(profile.score(&without_validator) < profile.score(&known(-0.1)));
        assert_eq!(
            profile.score(&known(f64::NAN)),
            profile.score(&Evidence::from([("validator.sql".into(), 0.0)]))
        );
    }

    proptest! {
        #[test]
        fn confidences_are_probabilities_and_ordered(
            values in prop::collection::vec(prop_oneof![any::<f64>(), Just(f64::NAN), Just(f64::INFINITY), -9.0..0.0], 2),
        ) {
            let profile = profile();
            let of = |value: f64| Evidence::from([("p10_logprob".to_owned(), value)]);
            let [a, b] = [of(values[0]), of(values[1])];
            for evidence in [&a, &b] {
                let confidence = profile.confidence(evidence);
                prop_assert!(confidence > 0.0 && confidence < 1.0, "{}", confidence);
            }
            if profile.score(&a) + 1e-9 < profile.score(&b) {
                prop_assert!(profile.confidence(&a) < profile.confidence(&b));
            }
        }
    }
}
