//! Drafts leave the distribution as it is, or bend it as far as was asked for.

use super::*;
use crate::verbs::Draft;

/// A model of a small vocabulary whose next token depends on the last.
type Chain = [[f32; 4]; 4];

const TARGET_CHAIN: Chain =
    [[0.5, 0.2, 0.2, 0.1], [0.1, 0.6, 0.1, 0.2], [0.3, 0.3, 0.2, 0.2], [0.05, 0.15, 0.4, 0.4]];
const DRAFTER_CHAIN: Chain =
    [[0.2, 0.5, 0.1, 0.2], [0.3, 0.2, 0.3, 0.2], [0.25, 0.25, 0.25, 0.25], [0.6, 0.2, 0.1, 0.1]];

/// The logits after a text.
fn after(chain: &Chain, text: &[TokenId]) -> Vec<f32> {
    logits(&chain[text.last().copied().unwrap_or(0) as usize])
}

/// The distribution after a text, by token.
fn exact(text: &[TokenId], spec: &SamplerSpec) -> [f64; 4] {
    let mut shares = [0.0; 4];
    let mut row = after(&TARGET_CHAIN, text);
    let found = Sampler::new().distribution(&mut row, text, spec, None).expect("a distribution");
    found.iter().for_each(|(id, share)| shares[*id as usize] = f64::from(*share));
    shares
}

/// A draft of `k` tokens after a text, checked: the new text, how many drafted tokens stand, and how many
/// would on average if each was judged by itself (Leviathan et al. 2023).
fn speculate(
    sampler: &mut Sampler,
    text: &[TokenId],
    k: usize,
    drafter: &SamplerSpec,
    target: &SamplerSpec,
) -> (Vec<TokenId>, usize, f64) {
    let (base, mut drafted, mut draft) = (text.len(), text.to_vec(), Draft::default());
    for _ in 0..k {
        let mut row = after(&DRAFTER_CHAIN, &drafted);
        let (token, q) = sampler.draft(&mut row, &drafted, drafter, None, base).expect("a draft");
        draft.ids.push(token);
        draft.q.push(q);
        drafted.push(token);
    }
    check_draft(&mut draft).expect("a distribution");
    let mut block = Block::new(base);
    let (mut reach, mut by_token) = (1.0, 0.0);
    for (index, (token, q)) in draft.ids.iter().zip(&draft.q).enumerate() {
        let text = &drafted[..base + index];
        let share = q.iter().find(|entry| entry.0 == *token).expect("its share").1;
        reach *= (exact(text, target)[*token as usize] / f64::from(share)).min(1.0);
        by_token += reach;
        let context = Context { history: text, spec: target, mask: None, signals: NoSignals };
        let mut row = after(&TARGET_CHAIN, text);
        if !block.judge(sampler, &mut row, &context, *token, q).expect("a verdict") {
            break;
        }
    }
    let (standing, instead) = block.finish(target);
    let mut said = text.to_vec();
    said.extend(standing.iter().map(|step| step.token));
    let next = instead.map_or_else(
        || {
            let mut row = after(&TARGET_CHAIN, &said);
            sampler.choose(&mut row, &said, target, None, said.len(), NoSignals).expect("a token").token
        },
        |step| step.token,
    );
    said.push(next);
    (said, standing.len(), by_token)
}

#[test]
fn checked_blocks_are_distributed_as_the_target_and_stand_longer_than_tokens() {
    const TEXTS: u32 = 30_000;
    let plain = sampled();
    let nucleus = SamplerSpec { temperature: 0.8, top_p: 0.85, ..sampled() };
    let biased = SamplerSpec { logit_bias: [(1, 1.0), (3, -0.5)].into(), ..sampled() };
    for (k, target) in [(1, &plain), (2, &plain), (3, &plain), (4, &nucleus), (3, &biased)] {
        let mut sampler = Sampler::new();
        let mut counts = [0_u32; 64];
        let (mut stood, mut by_token) = (0, 0.0);
        for lane in 0..TEXTS {
            let (target, drafter) =
                (SamplerSpec { lane, ..target.clone() }, SamplerSpec { lane, ..sampled() });
            // Three tokens may take three drafts: they must not know of each other.
            let mut text = vec![0];
            while text.len() < 4 {
                let (said, standing, expected) = speculate(&mut sampler, &text, k, &drafter, &target);
                (text, stood, by_token) = (said, stood + standing, by_token + expected);
            }
            counts[(text[1] * 16 + text[2] * 4 + text[3]) as usize] += 1;
        }
        let mut joint = [0.0; 64];
        for (cell, share) in joint.iter_mut().enumerate() {
            let text = [0, cell as u32 / 16, cell as u32 / 4 % 4, cell as u32 % 4];
            *share = (1..4).map(|at| exact(&text[..at], target)[text[at] as usize]).product();
        }
        let (statistic, freedom) = chi_square(&counts, &joint);
        // Wilson and Hilferty 1931: the 0.999 quantile.
        let spread = 2.0 / (9.0 * freedom as f64);
        let bound = freedom as f64 * (1.0 - spread + 3.0902 * spread.sqrt()).powi(3);
        assert!(statistic < bound, "{k}: chi-square {statistic} at {freedom} degrees, bound {bound}");
        let gain = f64::from(stood as u32) / by_token;
        match k {
            1 => assert!((gain - 1.0).abs() < 0.02, "one token is a block of one: {gain}"),
            _ => assert!(gain > 1.01, "{k}: {gain} as many as token by token"),
        }
    }
}

#[test]
fn a_drafter_that_is_the_target_is_never_refused() {
    let mut sampler = Sampler::new();
    for lane in 0..2000 {
        let spec = SamplerSpec { lane, ..sampled() };
        let mut draft = Draft::default();
        for _ in 0..5 {
            let text: Vec<TokenId> = draft.ids.clone();
            let drafted = sampler.draft(&mut logits(&TARGET), &text, &spec, None, 0).expect("a draft");
            draft.ids.push(drafted.0);
            draft.q.push(drafted.1);
        }
        check_draft(&mut draft).expect("a distribution");
        let mut block = Block::new(0);
        for (index, (token, q)) in draft.ids.iter().zip(&draft.q).enumerate() {
            let context =
                Context { history: &draft.ids[..index], spec: &spec, mask: None, signals: NoSignals };
            block.judge(&mut sampler, &mut logits(&TARGET), &context, *token, q).expect("a verdict");
        }
        assert_eq!(block.finish(&spec).0.len(), 5);
    }
}

#[test]
fn leniency_is_a_share_of_the_favourites_probability() {
    let greedy = SamplerSpec::default();
    let nucleus = SamplerSpec { top_p: 0.5, ..sampled() };
    let stands = |spec: &SamplerSpec, token, alpha| {
        let context = Context { history: &[], spec, mask: None, signals: NoSignals };
        let step =
            Sampler::new().choose_leniently(&mut logits(&TARGET), &context, token, alpha).expect("a token");
        step.token == token
    };
    // 0.30 and 0.22: the second has 0.733 of the first.
    for spec in [&greedy, &nucleus] {
        assert!(stands(spec, 0, 0.0) && stands(spec, 1, 0.27) && stands(spec, 1, 1.0));
    }
    assert!(!stands(&greedy, 1, 0.26), "greedy: the favourite instead");
    // 0.17 is outside of the nucleus: it cannot come, however lenient one is.
    assert!(stands(&greedy, 2, 1.0) && !stands(&nucleus, 2, 1.0));
    // What falls gives way to what would be said anyway.
    for position in 0..200 {
        let history = vec![0; position];
        let context = Context { history: &history, spec: &sampled(), mask: None, signals: NoSignals };
        let step = Sampler::new().choose_leniently(&mut logits(&TARGET), &context, 7, 0.5).expect("a token");
        assert_eq!(step, choose(&logits(&TARGET), &sampled(), None, position));
    }
}

#[test]
fn drafts_that_are_no_distribution_are_refused() {
    let check = |q: &[(TokenId, f32)]| check_draft(&mut Draft { ids: vec![1], q: vec![q.to_vec()] });
    let refused: [&[(TokenId, f32)]; 6] =
        [&[], &[(2, 1.0)], &[(1, 0.5)], &[(1, f32::NAN)], &[(1, 0.5), (1, 0.5)], &[(1, 2.0), (2, -1.0)]];
    for q in refused {
        assert!(matches!(check(q), Err(EngineError::InvalidArgument(_))), "{q:?}");
    }
    assert!(check(&[(900, 0.5), (1, 0.5)]).is_ok(), "ids that the target lacks have no weight in it");
    assert!(check_draft(&mut Draft::certain(vec![1, 2])).is_ok());
}
