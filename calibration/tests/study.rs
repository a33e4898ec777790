//! Cross-fitting on made-up ladders, where it is known what should come out.

use understudy_calibration::certify::certify;
use understudy_calibration::evidence::{Cost, Evidence, Example, Pair};
use understudy_calibration::study::{Figures, Method, Plan, Study, study};

const QUICK: Plan = Plan { repeats: 3, folds: 4, seed: 1 };

/// Items whose draft is right in `draft` of all cases and whose teacher in `teacher`. A validator sees a wrong answer
/// with probability `seen`; log-probabilities say a little, lengths nothing. Equal answers have equal outcomes.
fn ladder(items: usize, draft: f64, teacher: f64, seen: f64) -> Vec<Pair> {
    let mut random = fastrand::Rng::with_seed(9);
    let mut example = |right: f64| {
        let ok = random.f64() < right;
        let caught = !ok && random.f64() < seen;
        let evidence = Evidence::from([
            ("mean_logprob".to_owned(), -random.f64() - if ok { 0.0 } else { 0.4 }),
            ("length".to_owned(), (20.0 + 40.0 * random.f64()).round()),
            ("validator.sql".to_owned(), if caught { 0.0 } else { 1.0 }),
        ]);
        let outcome = if ok { "right".to_owned() } else { format!("wrong {}", random.u8(..)) };
        let cost = Cost { tokens: 30.0, bytes: 1e9, ms: 100.0 };
        Example { evidence, ok, cost, outcome: Some(outcome) }
    };
    let pair = |n: usize| Pair { item: n.to_string(), draft: example(draft), teacher: example(teacher) };
    (0..items).map(pair).collect()
}

fn of(study: &Study, method: Method) -> &Figures {
    study.figures.iter().find(|figures| figures.method == method).expect("every method is judged")
}

fn value(figure: understudy_calibration::study::Figure) -> f64 {
    let (value, (low, high)) = figure.expect("defined");
    assert!(low <= value + 0.05 && high >= value - 0.05, "{value} in {low} to {high}");
    value
}

#[test]
fn validators_pay_and_length_does_not() {
    let found = study(&ladder(400, 0.4, 0.7, 0.7), QUICK).expect("enough items");
    let apgr = |method| value(of(&found, method).apgr);
    assert!(apgr(Method::Oracle) > apgr(Method::Calibrated));
    assert!(apgr(Method::Calibrated) > apgr(Method::WithoutValidators) + 0.03);
    assert!(apgr(Method::WithoutValidators) > apgr(Method::Length) + 0.03);
    assert!((apgr(Method::Length) - 0.5).abs() < 0.12, "noise is random mixing");
    assert!(of(&found, Method::Calibrated).apgr_gain.is_some_and(|(_, (low, _))| low > 0.0));
    assert!(found.ece < 0.12, "{}", found.ece);
    assert_eq!(found.confidences.len(), 400);
}

#[test]
fn choosing_between_both_answers_beats_the_teacher() {
    let found = study(&ladder(400, 0.5, 0.6, 0.9), QUICK).expect("enough items");
    let better = of(&found, Method::BetterOfBoth);
    assert!(value(better.best_over_teacher) > 0.05, "{better:?}");
    assert!(value(better.best_quality) > value(of(&found, Method::Calibrated).best_quality) - 0.02);
}

/// Evidence without meaning must not look useful: that is what cross-fitting is for.
#[test]
fn nothing_is_found_where_there_is_nothing() {
    let mut pairs = ladder(150, 0.4, 0.7, 0.0);
    let mut random = fastrand::Rng::with_seed(2);
    for pair in &mut pairs {
        for name in 0..30 {
            pair.draft.evidence.insert(format!("noise{name}"), random.f64());
        }
        pair.draft.evidence.remove("mean_logprob");
    }
    let found = study(&pairs, QUICK).expect("enough items");
    let auroc = value(of(&found, Method::Calibrated).auroc);
    assert!((auroc - 0.5).abs() < 0.1, "{auroc}");
}

#[test]
fn the_same_seed_gives_the_same_study() {
    let pairs = ladder(120, 0.4, 0.7, 0.5);
    assert_eq!(study(&pairs, QUICK).expect("enough"), study(&pairs, QUICK).expect("enough"));
}

#[test]
fn the_certified_risk_holds_over_random_splits() {
    let found = certify(&ladder(300, 0.4, 0.7, 0.7), 0.1, 60, 3).expect("enough items");
    assert_eq!((found.splits, found.infeasible), (60, 0));
    assert!(found.loss <= 0.1 + 2.0 * found.standard_error, "{found:?}");
    assert!(found.loss > 0.06 && found.share < 0.9, "the risk is used: {found:?}");
}
