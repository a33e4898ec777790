//! Cross-fitting: every figure of a cascade on items that nothing was fitted on.
//!
//! The items are cut into stratified folds, many times over. Everything that is learned (weights, isotonic function,
//! thresholds) is learned from the other folds, and judged on the fold that was left out. A repeat's folds together judge
//! every item once, so a figure is computed once per repeat, over all items: an area or a ratio over a fifth of the items
//! would have a denominator (the gap) that is mostly noise. For the same reason the corrected resampled t-test (Nadeau,
//! Bengio 2003), which needs a figure per fold, is not used.
//!
//! A figure is the mean over repeats. Its interval is a percentile bootstrap: each resample draws a repeat, then items with
//! replacement, so it has both how the items happened to be cut and which items happened to be asked. Differences between
//! methods use the same draws for both.

use crate::curve::{Curve, Routed};
use crate::deferral::Deferral;
use crate::evidence::{Example, Pair};
use crate::fit::{FitError, Fitted, Origin, fit};
use crate::metrics;
use crate::resampling::{independent, percentile_interval, resample, stratified};
use crate::threshold::{best_quality, reaching};

/// The fraction of the gap, and of the teacher's score, that "reaching" means.
pub const FRACTION: f64 = 0.95;
const RESAMPLES: usize = 1000;

/// How to cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// How often the items are cut anew.
    pub repeats: usize,
    /// Into how many folds.
    pub folds: usize,
    /// Same seed, same cuts and draws.
    pub seed: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self { repeats: 20, folds: 5, seed: 0 }
    }
}

/// Ways to decide who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// The calibrated preference for the draft, from all evidence.
    Calibrated,
    /// The same, and after an escalation the surer of both answers stands.
    BetterOfBoth,
    /// The calibrated preference without what validators found.
    WithoutValidators,
    /// The calibrated confidence: whether the next model would be right is not asked.
    Confidence,
    /// The mean log-probability (Chow's rule, as Gupta et al. 2024 call it).
    MeanLogprob,
    /// Shorter answers stay.
    Length,
    /// Knows which answers are right.
    Oracle,
}

impl Method {
    /// All, best idea first.
    pub const ALL: [Self; 7] = [
        Self::Calibrated,
        Self::BetterOfBoth,
        Self::WithoutValidators,
        Self::Confidence,
        Self::MeanLogprob,
        Self::Length,
        Self::Oracle,
    ];

    /// For tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Calibrated => "calibrated",
            Self::BetterOfBoth => "better of both",
            Self::WithoutValidators => "without validators",
            Self::Confidence => "confidence alone",
            Self::MeanLogprob => "mean log-probability",
            Self::Length => "length",
            Self::Oracle => "oracle",
        }
    }
}

/// A figure and its 95 % interval; `None` where it is not defined (no gap, or answers all alike).
pub type Figure = Option<(f64, (f64, f64))>;

/// What a method comes to. Shares and qualities are 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// Whose.
    pub method: Method,
    /// Of the confidence, or the score where there is none, against the draft being right.
    pub auroc: Figure,
    /// [`Curve::apgr`].
    pub apgr: Figure,
    /// APGR less that of the mean log-probability, on the same items.
    pub apgr_gain: Figure,
    /// With the threshold that reached 95 % of the gap on the other folds: the share of teacher calls.
    pub reach_share: Figure,
    /// And the share of the gap that was recovered.
    pub reach_gap: Figure,
    /// The share of calls at which the pooled curve itself has 95 % of the gap: in hindsight, without choosing.
    pub hindsight_gap_share: Figure,
    /// The same for 95 % of the teacher's score.
    pub hindsight_score_share: Figure,
    /// With the threshold of the best quality on the other folds: its quality.
    pub best_quality: Figure,
    /// That quality less the teacher's.
    pub best_over_teacher: Figure,
    /// And its share of teacher calls.
    pub best_share: Figure,
}

impl Figures {
    /// Each with its name in JSON.
    pub fn named(&self) -> [(&'static str, Figure); 10] {
        [
            ("auroc", self.auroc),
            ("apgr", self.apgr),
            ("apgr_gain", self.apgr_gain),
            ("reach_share", self.reach_share),
            ("reach_gap", self.reach_gap),
            ("hindsight_gap_share", self.hindsight_gap_share),
            ("hindsight_score_share", self.hindsight_score_share),
            ("best_quality", self.best_quality),
            ("best_over_teacher", self.best_over_teacher),
            ("best_share", self.best_share),
        ]
    }
}

/// Figures of all methods on the same items.
#[derive(Debug, Clone, PartialEq)]
pub struct Study {
    /// Items.
    pub items: usize,
    /// Share of right answers of the draft.
    pub draft: f64,
    /// Of the teacher.
    pub teacher: f64,
    /// One for each of [`Method::ALL`] that the evidence allows.
    pub figures: Vec<Figures>,
    /// For each item the mean over repeats of its left-out confidence, all evidence counted.
    pub confidences: Vec<f64>,
    /// For each item the mean over repeats of its left-out preference.
    pub preferences: Vec<f64>,
    /// Expected calibration error of the left-out confidences, mean over repeats.
    pub ece: f64,
    /// Brier score of the same.
    pub brier: f64,
}

/// One item in one repeat, judged by what was learned from the other folds.
#[derive(Debug, Clone, Copy)]
struct Judged {
    routed: Routed,
    /// That the draft is right.
    confidence: f64,
    /// Below the threshold that reached [`FRACTION`] of the gap.
    to_reach: bool,
    /// Below the threshold of the best quality.
    to_best: bool,
}

/// A method's items: one vector per repeat.
type Repeats = Vec<Vec<Judged>>;

/// Judges every method.
///
/// # Errors
/// [`FitError`], when a training fold has too little to learn from.
pub fn study(pairs: &[Pair], plan: Plan) -> Result<Study, FitError> {
    let groups: Vec<usize> =
        pairs.iter().map(|pair| usize::from(pair.draft.ok) + 2 * usize::from(pair.teacher.ok)).collect();
    let mut methods: Vec<(Method, Repeats)> = Method::ALL.map(|method| (method, Vec::new())).into();
    for judged in independent(plan.repeats, |number| repeat(pairs, plan, &groups, number))? {
        for ((_, repeats), judged) in methods.iter_mut().zip(judged) {
            repeats.push(judged);
        }
    }
    Ok(summed_up(pairs, plan, &methods))
}

/// Every method's items in one repeat.
fn repeat(pairs: &[Pair], plan: Plan, groups: &[usize], number: usize) -> Result<Vec<Vec<Judged>>, FitError> {
    let folds = stratified(groups, plan.folds, plan.seed + number as u64);
    let mut judged: Vec<Vec<Option<Judged>>> = vec![vec![None; pairs.len()]; Method::ALL.len()];
    for fold in 0..plan.folds {
        let (held, kept): (Vec<usize>, Vec<usize>) = (0..pairs.len()).partition(|&at| folds[at] == fold);
        let kept: Vec<&Pair> = kept.into_iter().map(|at| &pairs[at]).collect();
        let learned = Learned::from(&kept)?;
        for (method, judged) in Method::ALL.into_iter().zip(&mut judged) {
            let scorer = learned.scorer(method, &kept);
            for &at in &held {
                judged[at] = Some(scorer.judge(&pairs[at]));
            }
        }
    }
    Ok(judged.into_iter().map(|items| items.into_iter().flatten().collect()).collect())
}

/// Everything that is learned from the training folds.
struct Learned {
    draft: Deferral,
    plain: Deferral,
    teacher: Fitted,
}

impl Learned {
    fn from(kept: &[&Pair]) -> Result<Self, FitError> {
        let origin = |model: &str| Origin { model: model.to_owned(), ..Origin::default() };
        let beside: Vec<Example> = kept.iter().map(|pair| pair.teacher.beside(&pair.draft)).collect();
        Ok(Self {
            draft: Deferral::fit(kept, Example::clone, &origin("draft"))?,
            plain: Deferral::fit(kept, Example::without_validators, &origin("draft"))?,
            teacher: fit(&beside.iter().collect::<Vec<_>>(), &origin("teacher"))?,
        })
    }

    /// Thresholds of a method from the training folds, whose items have the scores they got while left out.
    fn scorer(&self, method: Method, kept: &[&Pair]) -> Scorer<'_> {
        let scores = match method {
            Method::Calibrated | Method::BetterOfBoth => self.draft.left_out(),
            Method::WithoutValidators => self.plain.left_out(),
            Method::Confidence => self.draft.own.left_out.clone(),
            _ => kept.iter().map(|pair| self.score(method, pair).1).collect(),
        };
        let both = self.draft.own.left_out.iter().zip(&self.teacher.left_out);
        let routed = kept.iter().zip(scores).zip(both);
        let items: Vec<Routed> = routed
            .map(|((pair, score), (&draft, &teacher))| self.routed(method, pair, score, draft > teacher))
            .collect();
        let mean = |of: fn(&Routed) -> f64| items.iter().map(of).sum::<f64>() / items.len().max(1) as f64;
        let (draft, teacher) = (mean(|item| item.draft), mean(|item| item.teacher));
        let wanted = draft + FRACTION * (teacher - draft);
        Scorer { learned: self, method, reach: reaching(&items, wanted), best: best_quality(&items) }
    }

    /// The confidence in the draft, and what is compared with thresholds: the same, where a method has no other.
    fn score(&self, method: Method, pair: &Pair) -> (f64, f64) {
        let of = |name: &str| pair.draft.evidence.get(name).copied().filter(|value| !value.is_nan());
        let twice = |score: f64| (score, score);
        match method {
            Method::Calibrated | Method::BetterOfBoth => self.draft.judge(&pair.draft.evidence),
            Method::WithoutValidators => self.plain.judge(&pair.draft.without_validators().evidence),
            Method::Confidence => twice(self.draft.judge(&pair.draft.evidence).0),
            Method::MeanLogprob => twice(of("mean_logprob").unwrap_or(0.0)),
            Method::Length => twice(-of("length").unwrap_or(0.0)),
            Method::Oracle => twice(Routed::by_oracle(pair).score),
        }
    }

    /// `is_surer`: the draft than the teacher's answer, once both are there.
    fn routed(&self, method: Method, pair: &Pair, score: f64, is_surer: bool) -> Routed {
        let routed = Routed::new(pair, score);
        match method {
            Method::BetterOfBoth if is_surer => Routed { escalated: routed.draft, ..routed },
            _ => routed,
        }
    }
}

struct Scorer<'a> {
    learned: &'a Learned,
    method: Method,
    reach: f64,
    best: f64,
}

impl Scorer<'_> {
    fn judge(&self, pair: &Pair) -> Judged {
        let (confidence, score) = self.learned.score(self.method, pair);
        let teacher = self.learned.teacher.profile.confidence(&pair.teacher.beside(&pair.draft).evidence);
        let routed = self.learned.routed(self.method, pair, score, confidence > teacher);
        Judged { routed, confidence, to_reach: score < self.reach, to_best: score < self.best }
    }
}

fn summed_up(pairs: &[Pair], plan: Plan, methods: &[(Method, Repeats)]) -> Study {
    let share = |right: fn(&Pair) -> bool| {
        pairs.iter().filter(|pair| right(pair)).count() as f64 / pairs.len().max(1) as f64
    };
    let draws = draws(pairs.len(), plan);
    let raw: Vec<(Method, Raw)> =
        methods.iter().map(|(method, repeats)| (*method, Raw::of(repeats, &draws))).collect();
    let chow = raw.iter().find(|(method, _)| *method == Method::MeanLogprob).map(|(_, raw)| raw);
    let calibrated = methods.first().map(|(_, repeats)| repeats.as_slice()).unwrap_or_default();
    let ok: Vec<bool> = pairs.iter().map(|pair| pair.draft.ok).collect();
    let confidences = |items: &[Judged]| items.iter().map(|item| item.confidence).collect::<Vec<_>>();
    let mean = |of: &dyn Fn(&[Judged]) -> f64| {
        calibrated.iter().map(|items| of(items)).sum::<f64>() / calibrated.len().max(1) as f64
    };
    Study {
        items: pairs.len(),
        draft: share(|pair| pair.draft.ok),
        teacher: share(|pair| pair.teacher.ok),
        figures: raw.iter().map(|(method, raw)| raw.figures(*method, chow)).collect(),
        confidences: (0..pairs.len()).map(|at| mean(&|items| items[at].confidence)).collect(),
        preferences: (0..pairs.len()).map(|at| mean(&|items| items[at].routed.score)).collect(),
        ece: mean(&|items| metrics::ece(&confidences(items), &ok)),
        brier: mean(&|items| metrics::brier(&confidences(items), &ok)),
    }
}

/// For each resample a repeat and the items.
fn draws(items: usize, plan: Plan) -> Vec<(usize, Vec<usize>)> {
    let mut random = fastrand::Rng::with_seed(plan.seed);
    (0..RESAMPLES).map(|at| (at % plan.repeats.max(1), resample(items, &mut random))).collect()
}

const KINDS: usize = 9;

/// A method's figures, each for every repeat and for every resample; NaN where one is not defined.
struct Raw {
    repeats: Vec<[f64; KINDS]>,
    resamples: Vec<[f64; KINDS]>,
}

impl Raw {
    fn of(repeats: &Repeats, draws: &[(usize, Vec<usize>)]) -> Self {
        let drawn = |(repeat, items): &(usize, Vec<usize>)| {
            let items: Vec<Judged> = items.iter().map(|&at| repeats[*repeat][at]).collect();
            figures_of(&items)
        };
        Self {
            repeats: repeats.iter().map(|items| figures_of(items)).collect(),
            resamples: draws.iter().map(drawn).collect(),
        }
    }

    fn figures(&self, method: Method, chow: Option<&Self>) -> Figures {
        let figure = |kind: usize| summary(self.column(kind));
        let gain = chow.and_then(|chow| {
            let difference = |(ours, theirs): (f64, f64)| ours - theirs;
            let [ours, theirs] = [self.column(1), chow.column(1)];
            let less = |a: Vec<f64>, b: Vec<f64>| a.into_iter().zip(b).map(difference).collect();
            summary((less(ours.0, theirs.0), less(ours.1, theirs.1)))
        });
        Figures {
            method,
            auroc: figure(0),
            apgr: figure(1),
            apgr_gain: gain,
            reach_share: figure(2),
            reach_gap: figure(3),
            hindsight_gap_share: figure(4),
            hindsight_score_share: figure(5),
            best_quality: figure(6),
            best_over_teacher: figure(7),
            best_share: figure(8),
        }
    }

    fn column(&self, kind: usize) -> (Vec<f64>, Vec<f64>) {
        let of = |all: &[[f64; KINDS]]| all.iter().map(|figures| figures[kind]).collect();
        (of(&self.repeats), of(&self.resamples))
    }
}

/// Mean over repeats with the interval over resamples.
fn summary((repeats, resamples): (Vec<f64>, Vec<f64>)) -> Figure {
    let mean = repeats.iter().sum::<f64>() / repeats.len() as f64;
    Some((mean, percentile_interval(resamples)?)).filter(|_| mean.is_finite())
}

fn figures_of(items: &[Judged]) -> [f64; KINDS] {
    let routed: Vec<Routed> = items.iter().map(|item| item.routed).collect();
    let confidences: Vec<f64> = items.iter().map(|item| item.confidence).collect();
    let ok: Vec<bool> = routed.iter().map(|item| item.draft > 0.5).collect();
    let Some(curve) = Curve::of(&routed) else { return [f64::NAN; KINDS] };
    let operating = |escalates: fn(&Judged) -> bool| {
        let value = |item: &Judged| if escalates(item) { item.routed.escalated } else { item.routed.draft };
        let n = items.len() as f64;
        let share = items.iter().filter(|item| escalates(item)).count() as f64 / n;
        (share, items.iter().map(value).sum::<f64>() / n)
    };
    let (reach_share, reach_quality) = operating(|item| item.to_reach);
    let (best_share, best_quality) = operating(|item| item.to_best);
    [
        metrics::auroc(&confidences, &ok),
        curve.apgr(),
        Some(reach_share),
        curve.gap_recovered(reach_quality),
        curve.share_for_gap(FRACTION),
        curve.share_for_score(FRACTION),
        Some(best_quality),
        Some(best_quality - curve.teacher),
        Some(best_share),
    ]
    .map(|figure| figure.unwrap_or(f64::NAN))
}
