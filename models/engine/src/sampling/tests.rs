//! What the sampler promises, seen from outside.

mod speculate;

use proptest::prelude::*;

use super::*;
use crate::verbs::SignalMode::{Full, Masked, None as NoSignals};

const TARGET: [f32; 8] = [0.30, 0.22, 0.17, 0.12, 0.09, 0.06, 0.03, 0.01];

fn logits(probabilities: &[f32]) -> Vec<f32> {
    probabilities.iter().map(|p| p.ln() + 3.0).collect()
}

fn sampled() -> SamplerSpec {
    SamplerSpec { temperature: 1.0, seed: 42, ..SamplerSpec::default() }
}

fn choose(row: &[f32], spec: &SamplerSpec, mask: Option<&[u32]>, position: usize) -> StepResult {
    let mut row = row.to_vec();
    Sampler::new().choose(&mut row, &[], spec, mask, position, NoSignals).expect("a token")
}

/// Pearson's statistic of counts against probabilities, and its degrees of freedom.
fn chi_square(counts: &[u32], probabilities: &[f64]) -> (f64, usize) {
    let draws: f64 = counts.iter().map(|count| f64::from(*count)).sum();
    let mut statistic = 0.0;
    let mut cells = 0;
    for (count, p) in counts.iter().zip(probabilities) {
        if *p == 0.0 {
            assert_eq!(*count, 0, "an impossible token was drawn");
            continue;
        }
        statistic += (f64::from(*count) - draws * p).powi(2) / (draws * p);
        cells += 1;
    }
    (statistic, cells - 1)
}

/// The seeds are fixed, so this fails always or never; the bound is the 0.999 quantile for
/// up to 7 degrees of freedom.
fn assert_distributed(counts: &[u32], probabilities: &[f64]) {
    let (statistic, freedom) = chi_square(counts, probabilities);
    let bound = [0.0, 10.83, 13.82, 16.27, 18.47, 20.52, 22.46, 24.32][freedom];
    assert!(statistic < bound, "chi-square {statistic} at {freedom} degrees: {counts:?}");
}

fn share(weights: &[f64]) -> Vec<f64> {
    let total: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / total).collect()
}

#[test]
fn tokens_are_drawn_as_likely_as_the_model_says() {
    let warm = SamplerSpec { temperature: 2.0, ..sampled() };
    let top_three = SamplerSpec { top_k: 3, ..sampled() };
    let roots: Vec<f64> = TARGET.iter().map(|p| f64::from(*p).sqrt()).collect();
    let first_three = [0.30, 0.22, 0.17, 0.0, 0.0, 0.0, 0.0, 0.0];
    let plain: Vec<f64> = TARGET.iter().map(|p| f64::from(*p)).collect();
    for (spec, expected) in [(sampled(), plain), (warm, roots), (top_three, first_three.to_vec())] {
        let mut counts = [0; 8];
        for position in 0..20_000 {
            counts[choose(&logits(&TARGET), &spec, None, position).token as usize] += 1;
        }
        assert_distributed(&counts, &share(&expected));
    }
}

#[test]
fn greedy_takes_the_first_argmax() {
    let greedy = SamplerSpec::default();
    assert_eq!(choose(&[1.0, 5.0, 5.0, 2.0], &greedy, None, 0).token, 1, "ties go to the smaller id");
}

#[test]
fn a_choice_depends_on_its_own_key_only() {
    let row = logits(&TARGET);
    let alone: Vec<_> = (0..64).map(|position| choose(&row, &sampled(), None, position).token).collect();
    let mut shared = Sampler::new();
    let again: Vec<_> = (0..64)
        .rev()
        .map(|position| {
            let other = SamplerSpec { seed: 7, top_k: 2, repetition_penalty: 1.3, ..sampled() };
            shared
                .choose(&mut logits(&TARGET), &[1, 2], &other, Some(&[0b0111]), position, Full)
                .expect("a token");
            shared.choose(&mut row.clone(), &[], &sampled(), None, position, Masked).expect("a token").token
        })
        .collect();
    assert_eq!(alone, again.into_iter().rev().collect::<Vec<_>>());
    let lane: Vec<_> =
        (0..64).map(|at| choose(&row, &SamplerSpec { lane: 1, ..sampled() }, None, at).token).collect();
    assert_ne!(alone, lane);
}

#[test]
fn filters_keep_what_they_say() {
    let row = logits(&[0.1, 0.4, 0.2, 0.3]);
    let spec =
        |temperature, top_k, top_p, min_p| SamplerSpec { temperature, top_k, top_p, min_p, ..sampled() };
    let cases: [(SamplerSpec, &[(TokenId, f32)]); 10] = [
        (spec(1.0, 0, 1.0, 0.0), &[(1, 0.4), (3, 0.3), (2, 0.2), (0, 0.1)]),
        (spec(1.0, 2, 1.0, 0.0), &[(1, 4.0 / 7.0), (3, 3.0 / 7.0)]),
        (spec(1.0, 9, 1.0, 0.0), &[(1, 0.4), (3, 0.3), (2, 0.2), (0, 0.1)]),
        (spec(1.0, 0, 0.65, 0.0), &[(1, 4.0 / 7.0), (3, 3.0 / 7.0)]),
        (spec(1.0, 0, 0.01, 0.0), &[(1, 1.0)]),
        (spec(1.0, 0, 1.0, 0.6), &[(1, 4.0 / 7.0), (3, 3.0 / 7.0)]),
        // The nucleus is that of the three that top-k left: 4/9 + 3/9 reaches 0.75.
        (spec(1.0, 3, 0.75, 0.0), &[(1, 4.0 / 7.0), (3, 3.0 / 7.0)]),
        // Temperature comes first: 16, 9, 4, 1 of 30; 0.3 of 16 drops 4.
        (spec(0.5, 0, 1.0, 0.3), &[(1, 0.64), (3, 0.36)]),
        (spec(0.5, 0, 0.9, 0.3), &[(1, 0.64), (3, 0.36)]),
        (spec(0.0, 0, 1.0, 0.0), &[(1, 1.0)]),
    ];
    for (spec, expected) in cases {
        let found = Sampler::new().distribution(&mut row.clone(), &[], &spec, None).expect("a distribution");
        let near = found.iter().zip(expected).all(|(a, b)| a.0 == b.0 && (a.1 - b.1).abs() < 1e-5);
        assert!(near && found.len() == expected.len(), "{spec:?}: {found:?}");
    }
}

#[test]
fn a_drafted_distribution_has_64_tokens_at_most() {
    let mut row: Vec<f32> = (0..1000).map(|id| (id % 100) as f32 / 50.0).collect();
    let q = Sampler::new().distribution(&mut row, &[], &sampled(), None).expect("a distribution");
    assert_eq!(q.len(), 64);
    assert!((q.iter().map(|pair| pair.1).sum::<f32>() - 1.0).abs() < 1e-5);
    assert!(q.iter().all(|pair| pair.0 % 100 >= 93), "the likeliest");
}

#[test]
fn masks_bind() {
    let row = logits(&TARGET);
    for spec in [SamplerSpec::default(), sampled()] {
        for position in 0..200 {
            let step = choose(&row, &spec, Some(&[0b1010_0000]), position);
            assert!(matches!(step.token, 5 | 7));
            assert!(!step.forced);
            // Over the allowed rows: 0.06 and 0.01.
            let p: f32 = if step.token == 5 { 6.0 / 7.0 } else { 1.0 / 7.0 };
            assert!((step.logprob - p.ln()).abs() < 1e-5);
        }
        let only = choose(&row, &spec, Some(&[0b100]), 0);
        assert_eq!((only.token, only.forced, only.logprob), (2, true, 0.0));
        // Bits past the vocabulary are no tokens.
        for empty in [&[0][..], &[0xFFFF_FF00, u32::MAX], &[]] {
            let dead = Sampler::new().choose(&mut row.clone(), &[], &spec, Some(empty), 0, NoSignals);
            assert_eq!(dead, Err(EngineError::DeadEnd));
        }
    }
    let (spec, mut block) = (sampled(), Block::new(0));
    let context = Context { history: &[], spec: &spec, mask: Some(&[0b10]), signals: NoSignals };
    let judged = block.judge(&mut Sampler::new(), &mut row.clone(), &context, 0, &[(0, 1.0)]);
    assert_eq!(judged, Ok(false));
    let (standing, instead) = block.finish(&spec);
    assert!(standing.is_empty() && instead.is_some_and(|step| step.token == 1 && step.forced));
}

#[test]
fn signals_cover_what_was_asked_for() {
    let row = logits(&[0.5, 0.25, 0.125, 0.125]);
    let signals = |mask: Option<&[u32]>, mode| {
        let mut row = row.clone();
        Sampler::new().choose(&mut row, &[], &sampled(), mask, 0, mode).expect("a token").signals
    };
    let near = |found: Option<Signals>, entropy: f32, margin: f32| {
        let found = found.expect("signals");
        (found.entropy - entropy).abs() < 1e-5 && (found.margin - margin).abs() < 1e-5
    };
    let ln2 = std::f32::consts::LN_2;
    assert_eq!(signals(None, NoSignals), None);
    assert!(near(signals(None, Masked), 1.75 * ln2, 0.25));
    assert!(near(signals(Some(&[0b1100]), Full), 1.75 * ln2, 0.25));
    assert!(near(signals(Some(&[0b1100]), Masked), ln2, 0.0));
    assert!(near(signals(Some(&[0b1]), Masked), 0.0, 1.0));
}

#[test]
fn penalties_change_the_choice_but_not_the_logprob() {
    let row = [2.0, 1.5, -1.0];
    let run = |spec: &SamplerSpec, history: &[TokenId]| {
        Sampler::new().choose(&mut row.to_vec(), history, spec, None, 0, NoSignals).expect("a token")
    };
    let plain = run(&SamplerSpec::default(), &[]);
    let repeated = SamplerSpec { repetition_penalty: 1.5, ..SamplerSpec::default() };
    let frequent = SamplerSpec { frequency_penalty: 0.3, ..SamplerSpec::default() };
    let present = SamplerSpec { presence_penalty: 0.6, ..SamplerSpec::default() };
    let short = SamplerSpec { penalty_window: 1, ..present.clone() };
    assert_eq!(plain.token, 0);
    assert_eq!(run(&repeated, &[0]).token, 1, "2 / 1.5 is less than 1.5");
    assert_eq!(run(&frequent, &[0]).token, 0);
    assert_eq!(run(&frequent, &[0, 0]).token, 1);
    assert_eq!(run(&present, &[0]).token, 1);
    assert_eq!(run(&short, &[0, 2]).token, 0, "outside the window");
    assert_eq!(run(&present, &[7]).token, 0, "ids outside the vocabulary are ignored");
    let total: f32 = row.iter().map(|x: &f32| x.exp()).sum();
    let second = run(&present, &[0, 1, 0]);
    let expected = row[second.token as usize] - total.ln();
    assert!((second.logprob - expected).abs() < 1e-5, "a penalised token keeps the model's own logprob");
}

#[test]
fn a_bias_comes_before_everything() {
    let row = logits(&TARGET);
    let biased = |spec: SamplerSpec| SamplerSpec { logit_bias: [(2, -100.0), (7, 4.0)].into(), ..spec };
    // What a model would say whose own logits these were.
    let mut theirs = row.clone();
    (theirs[2], theirs[7]) = (theirs[2] - 100.0, theirs[7] + 4.0);
    let penalised = SamplerSpec { presence_penalty: 1.0, temperature: 0.7, top_p: 0.9, ..sampled() };
    for spec in [SamplerSpec::default(), sampled(), penalised] {
        for (mask, mode) in [(None, Full), (Some(&[0b1000_0110][..]), Masked), (Some(&[0b100]), NoSignals)] {
            for position in 0..50 {
                let said = |row: &[f32], spec: &SamplerSpec| {
                    Sampler::new().choose(&mut row.to_vec(), &[1, 7], spec, mask, position, mode)
                };
                assert_eq!(said(&row, &biased(spec.clone())), said(&theirs, &spec));
            }
        }
    }
    let banned = SamplerSpec { logit_bias: [(0, -100.0)].into(), ..SamplerSpec::default() };
    assert_eq!(choose(&row, &banned, None, 0).token, 1);
}

#[test]
fn alternatives_are_the_likeliest_with_their_logprobs() {
    let tell = |count, spec: SamplerSpec| SamplerSpec { alternatives: count, ..spec };
    let told = |row: &[f32], spec: &SamplerSpec, mask| {
        choose(row, spec, mask, 3).alternatives.map(|all| all.to_vec())
    };
    let near = |found: Option<Vec<(TokenId, f32)>>, expected: &[(TokenId, f32)]| {
        let found = found.expect("alternatives");
        let same = |(a, b): (&(TokenId, f32), &(TokenId, f32))| a.0 == b.0 && (a.1 - b.1.ln()).abs() < 1e-5;
        assert!(found.len() == expected.len() && found.iter().zip(expected).all(same), "{found:?}");
    };
    let row = logits(&TARGET);
    let warm = SamplerSpec { temperature: 2.0, top_k: 1, presence_penalty: 9.0, ..sampled() };
    for spec in [SamplerSpec::default(), sampled(), warm] {
        near(told(&row, &tell(3, spec.clone()), None), &[(0, 0.30), (1, 0.22), (2, 0.17)]);
        // Over what is allowed: 0.06, 0.03 and 0.01.
        near(told(&row, &tell(20, spec.clone()), Some(&[0b1110_0000])), &[(5, 0.6), (6, 0.3), (7, 0.1)]);
        assert_eq!(told(&row, &tell(2, spec.clone()), Some(&[0b100])), None, "there was no choice");
        assert_eq!(told(&row, &tell(0, spec), None), None, "nobody asked");
    }
    let ties: Vec<TokenId> = told(&[1.0, 3.0, 2.0, 3.0, 2.0], &tell(4, sampled()), None)
        .expect("alternatives")
        .iter()
        .map(|one| one.0)
        .collect();
    assert_eq!(ties, [1, 3, 2, 4], "of equals the smaller id");
}

#[test]
fn defects_are_errors() {
    for bad in [f32::NAN, f32::INFINITY] {
        let row = [0.0, bad, 1.0];
        let choose = |mask, signals| {
            let mut sampler = Sampler::new();
            sampler.choose(&mut row.clone(), &[], &SamplerSpec::default(), mask, 0, signals)
        };
        let defect = Err(EngineError::NonFiniteLogits);
        assert_eq!(choose(None, NoSignals), defect);
        assert_eq!(choose(Some(&[0b11]), NoSignals), defect);
        assert_eq!(choose(Some(&[0b101]), Full), defect);
        assert!(choose(Some(&[0b101]), Masked).is_ok(), "what no mask allows was perhaps never computed");
    }
    let specs = [
        SamplerSpec { temperature: -1.0, ..sampled() },
        SamplerSpec { temperature: f32::NAN, ..sampled() },
        SamplerSpec { top_p: 0.0, ..sampled() },
        SamplerSpec { min_p: 1.5, ..sampled() },
        SamplerSpec { repetition_penalty: 0.0, ..sampled() },
        SamplerSpec { frequency_penalty: f32::INFINITY, ..sampled() },
    ];
    for spec in specs {
        assert!(matches!(validate(&spec), Err(EngineError::InvalidArgument(_))), "{spec:?}");
    }
    let cold = SamplerSpec { temperature: 1e-30, ..sampled() };
    assert_eq!(choose(&[1.0, 2.0, 1.5], &cold, None, 0).token, 1, "nearly greedy stays finite");
}

/// The definition, by a full sort.
fn sorted_definition(row: &[f32], spec: &SamplerSpec) -> Vec<(TokenId, f64)> {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weight = |x: &f32| f64::from((x - max) / spec.temperature).exp();
    let mut all: Vec<(TokenId, f64)> = (0..).zip(row.iter().map(weight)).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    if spec.top_k != 0 {
        all.truncate(spec.top_k as usize);
    }
    let total: f64 = all.iter().map(|pair| pair.1).sum();
    let mut reached = 0.0;
    let mut kept = 0;
    while kept < all.len() && (kept == 0 || spec.top_p == 1.0 || reached < f64::from(spec.top_p) * total) {
        reached += all[kept].1;
        kept += 1;
    }
    all.truncate(kept);
    // What is e^-40 of the likeliest is no choice: less than a step of the random numbers.
    all.retain(|pair| pair.1 >= f64::from(spec.min_p).max((-40.0_f64).exp()));
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn selection_equals_a_full_sort(
        row in prop_oneof![prop::collection::vec(-12_i32..12, 1..3000), prop::collection::vec(-12_i32..12, 1..4)],
        temperature in 0.3_f32..3.0,
        top_k in prop_oneof![Just(0_u32), 1..200_u32],
        top_p in prop_oneof![Just(1.0_f32), 0.05_f32..0.999],
        min_p in prop_oneof![Just(0.0_f32), 0.001_f32..0.9],
    ) {
        // Ties abound, but weights are far from the thresholds' rounding errors.
        let row: Vec<f32> = row.into_iter().map(|x| x as f32 * 0.77).collect();
        let spec = SamplerSpec { temperature, top_k, top_p, min_p, ..sampled() };
        let expected = sorted_definition(&row, &spec);
        let total: f64 = expected.iter().map(|pair| pair.1).sum();
        let found = Sampler::new().distribution(&mut row.clone(), &[], &spec, None).expect("a distribution");
        let shown: f64 = expected.iter().take(64).map(|pair| pair.1).sum();
        prop_assert_eq!(found.len(), expected.len().min(64));
        for (found, expected) in found.iter().zip(&expected) {
            prop_assert_eq!(found.0, expected.0);
            prop_assert!((f64::from(found.1) - expected.1 / shown).abs() < 1e-4);
        }
        let token = choose(&row, &spec, None, 0).token;
        prop_assert!(expected.iter().any(|pair| pair.0 == token && pair.1 / total > 1e-13));
    }
}
