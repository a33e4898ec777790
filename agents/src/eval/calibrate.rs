//! A ladder's profile from rows of its two models, and what it is worth.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use understudy_calibration::certify::{Certified, certify};
use understudy_calibration::curve::Routed;
use understudy_calibration::deferral::Deferral;
use understudy_calibration::fit::{FitError, Origin, fit};
use understudy_calibration::profile::{Goal, LadderProfile, Rung, VERSION};
use understudy_calibration::resampling::stratified;
use understudy_calibration::study::{self, Figure, Figures, Plan, Study};
use understudy_calibration::threshold::{self, ThresholdError};
use understudy_calibration::{Example, Pair};

use crate::eval::EvalError;
use crate::eval::examples::Paired;
use crate::eval::rows::now;

/// Random splits in which a certified risk is tried.
const SPLITS: usize = 500;

/// What came out.
#[derive(Debug, Clone)]
pub struct Calibration {
    /// What it was learned from.
    pub paired: Paired,
    /// What a router reads.
    pub profile: LadderProfile,
    /// Share of the items that the threshold escalates, and the quality then, on the items that chose it.
    pub operating: (f64, f64),
    /// Cross-fitted figures.
    pub study: Study,
    /// For a certified risk: how it held in random splits.
    pub certified: Option<Certified>,
}

impl From<FitError> for EvalError {
    fn from(error: FitError) -> Self {
        Self::input(error.to_string())
    }
}

impl From<ThresholdError> for EvalError {
    fn from(error: ThresholdError) -> Self {
        Self::input(error.to_string())
    }
}

impl Calibration {
    /// Learns a profile for `task` and judges it by cross-fitting; takes some seconds.
    ///
    /// A certified risk needs examples that nothing was fitted on: there the draft's profile is fitted to one half of
    /// the items and the threshold chosen on the other. Any other threshold is chosen on the confidences that all items
    /// got while they were left out of the fit; confidences here and above are preferences, see [`Deferral`].
    ///
    /// # Errors
    /// [`EvalError::Input`], when there are too few items, or the goal cannot be reached.
    pub fn of(paired: Paired, task: &str, goal: Goal, plan: Plan) -> Result<Self, EvalError> {
        let pairs = &paired.pairs;
        let digest = digest(pairs);
        let origin = |model: &str| Origin { model: model.to_owned(), digest: digest.clone(), date: now() };
        let beside: Vec<Example> = pairs.iter().map(|pair| pair.teacher.beside(&pair.draft)).collect();
        let teacher = fit(&beside.iter().collect::<Vec<_>>(), &origin(&paired.teacher))?;
        let (draft, routed) = drafts(pairs, goal, &origin(&paired.draft))?;
        let threshold = threshold::choose(&routed, goal)?;

        let study = study::study(pairs, plan)?;
        let certified = match goal {
            Goal::Risk { alpha } => Some(certify(pairs, alpha, SPLITS, plan.seed)?),
            _ => None,
        };
        let escalated = |item: &&Routed| item.score < threshold;
        let mean = |value: fn(&Routed) -> f64| routed.iter().map(value).sum::<f64>() / routed.len() as f64;
        let gained: f64 = routed.iter().filter(escalated).map(|item| item.escalated - item.draft).sum();
        let operating = (
            routed.iter().filter(escalated).count() as f64 / routed.len() as f64,
            mean(|item| item.draft) + gained / routed.len() as f64,
        );
        let rungs =
            vec![draft.into_rung(threshold), Rung { profile: teacher.profile, next: None, threshold: None }];
        let profile = LadderProfile { version: VERSION, task: task.to_owned(), rungs, goal };
        Ok(Self { profile, operating, study, certified, paired })
    }

    /// One object, for scripts.
    pub fn as_json(&self) -> Value {
        let study = &self.study;
        let rung = |rung: &Rung| {
            json!({
                "model": rung.profile.model, "threshold": rung.threshold, "auroc": rung.profile.auroc,
                "ece": rung.profile.ece, "shape": rung.profile.fitted_on.shape,
                "strength": rung.profile.fitted_on.strength,
            })
        };
        json!({
            "task": self.profile.task,
            "suite": self.paired.suite,
            "items": study.items,
            "unpaired": self.paired.unpaired,
            "draft": study.draft,
            "teacher": study.teacher,
            "goal": self.profile.goal,
            "rungs": self.profile.rungs.iter().map(rung).collect::<Vec<_>>(),
            "teacher_share": self.operating.0,
            "quality": self.operating.1,
            "ece": study.ece,
            "brier": study.brier,
            "methods": study.figures.iter().map(method).collect::<Vec<_>>(),
            "certified": self.certified.map(certified),
        })
    }
}

/// The draft's fit, and the items that may choose its threshold.
fn drafts(pairs: &[Pair], goal: Goal, origin: &Origin) -> Result<(Deferral, Vec<Routed>), EvalError> {
    let Goal::Risk { .. } = goal else {
        let fitted = Deferral::fit(&pairs.iter().collect::<Vec<_>>(), Example::clone, origin)?;
        let scored = pairs.iter().zip(fitted.left_out());
        let routed = scored.map(|(pair, preference)| Routed::new(pair, preference)).collect();
        return Ok((fitted, routed));
    };
    let groups: Vec<usize> = pairs.iter().map(|pair| usize::from(pair.draft.ok)).collect();
    let halves = stratified(&groups, 2, 0);
    let half = |wanted: usize| pairs.iter().zip(&halves).filter(move |(_, half)| **half == wanted);
    let fitted = Deferral::fit(&half(0).map(|(pair, _)| pair).collect::<Vec<_>>(), Example::clone, origin)?;
    let routed = half(1).map(|(pair, _)| Routed::new(pair, fitted.judge(&pair.draft.evidence).1)).collect();
    Ok((fitted, routed))
}

/// Of who was right on what.
fn digest(pairs: &[Pair]) -> String {
    let mut digest = Sha256::new();
    for pair in pairs {
        digest.update(format!("{:?} {} {}\n", pair.item, pair.draft.ok, pair.teacher.ok));
    }
    let hex: String = digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn method(figures: &Figures) -> Value {
    let shown = |figure: Figure| {
        figure.map(|(value, (low, high))| json!({"value": value, "interval95": [low, high]}))
    };
    let mut all = serde_json::Map::from_iter([("method".to_owned(), json!(figures.method.name()))]);
    all.extend(figures.named().map(|(name, figure)| (name.to_owned(), json!(shown(figure)))));
    Value::Object(all)
}

fn certified(found: Certified) -> Value {
    json!({
        "alpha": found.alpha, "splits": found.splits, "loss": found.loss, "standard_error": found.standard_error,
        "teacher_share": found.share, "infeasible": found.infeasible,
    })
}
