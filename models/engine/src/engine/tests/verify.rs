//! Drafts: what stands of them, what it costs, and that nobody could tell.

use std::time::Duration;

use super::masks::{Always, Fence, Seer, packed, said};
use super::*;

/// Leaves a choice at every other token and forces 300 in between.
#[derive(Clone)]
struct Echo {
    seen: usize,
}

impl Echo {
    fn ids(&self) -> std::ops::Range<TokenId> {
        if self.seen % 2 == 1 { 300..301 } else { 0..200 }
    }
}

impl TokenGate for Echo {
    fn mask(&mut self, allowed: &mut [u32]) {
        allowed.fill(0);
        self.ids().for_each(|id| allowed[id as usize / 32] |= 1 << (id % 32));
    }
    fn accept(&mut self, token: TokenId) -> bool {
        let accepted = self.ids().contains(&token);
        self.seen += usize::from(accepted);
        accepted
    }
    fn rollback(&mut self, count: usize) {
        self.seen -= count;
    }
    fn fork(&self) -> Box<dyn TokenGate> {
        Box::new(self.clone())
    }
    fn forced(&mut self) -> Vec<TokenId> {
        if self.seen % 2 == 1 { vec![300] } else { Vec::new() }
    }
    fn is_complete(&mut self) -> bool {
        false
    }
}

fn gates() -> Vec<Option<Box<dyn TokenGate>>> {
    let fence = Fence { opening: vec![400, 401], limit: 200, most: 20, seen: 0 };
    let slow = Always { work: Duration::from_micros(400), ..Always::of((0..512).step_by(9)) };
    let allowed = Always::of((0..512).filter(|id| id % 3 != 0));
    let seer = Seer { allowed, said: vec![5; 40], seen: 0, asked: Arc::default() };
    vec![
        None,
        Some(Box::new(fence)),
        Some(Box::new(slow)),
        Some(Box::new(seer)),
        Some(Box::new(Echo { seen: 0 })),
        Some(Box::new(Always::of([77]))),
    ]
}

fn open_with(
    driver: &mut Driver,
    ids: &[TokenId],
    sampler: &SamplerSpec,
    gate: Option<Box<dyn TokenGate>>,
) -> SeqKey {
    let open = OpenSpec { prompt: ids.to_vec(), sampler: sampler.clone(), gate, ..OpenSpec::default() };
    match driver.ask(Verb::Open(open)) {
        Ok(Outcome::Opened { seq, .. }) => seq,
        other => panic!("{other:?}"),
    }
}

/// All of a token but its signals, which a forced one has where a pass was made for it all the same.
fn told(steps: &[StepResult]) -> Vec<StepResult> {
    steps.iter().map(|step| StepResult { signals: None, ..step.clone() }).collect()
}

/// Makes some tokens likelier and others less so, even where every ninth alone is allowed.
fn bias() -> Arc<[(TokenId, f32)]> {
    (0..490).step_by(9).map(|id| (id, if id % 2 == 0 { 2.5 } else { -2.5 })).collect()
}

/// Drafts of 0 to 7 tokens, most of them right for a while; another row of them for each seed.
fn drafts(right: &[TokenId], seed: usize) -> impl FnMut(usize) -> Vec<TokenId> {
    let mut count = seed;
    move |said| {
        count += 1;
        let len = (count * 5 + seed * 3) % 8;
        let wrong = (count * 7 + seed) % 9;
        let one = |(index, token): (usize, &TokenId)| if index == wrong { (token + 1) % 500 } else { *token };
        right[said..].iter().take(len).enumerate().map(one).collect()
    }
}

#[test]
fn drafts_change_no_token_at_any_temperature() {
    const LEN: usize = 24;
    let ids = prompt(40, 3);
    let biased = SamplerSpec { alternatives: 3, logit_bias: bias(), ..warm() };
    for sampler in [SamplerSpec { temperature: 0.0, ..warm() }, SamplerSpec { temperature: 0.8, ..biased }] {
        let temperature = sampler.temperature;
        for number in 0..gates().len() {
            let gate = |mut gates: Vec<Option<Box<dyn TokenGate>>>| gates.swap_remove(number);
            let mut driver = packed();
            let seq = open_with(&mut driver, &ids, &sampler, gate(gates()));
            let spec = RunSpec { signals: SignalMode::Masked, ..spec(LEN as u32) };
            let job = driver.submit(Verb::Run { seq, at: ids.len(), spec });
            let ran = driver.finish(job);
            let expected = driver.steps(job);
            for seed in 0..4 {
                let seq = open_with(&mut driver, &ids, &sampler, gate(gates()));
                let right = tokens(&expected);
                let mut draft = drafts(&right, seed);
                let (mut steps, mut stop) = (Vec::new(), None);
                while stop.is_none() && steps.len() < LEN {
                    let most = (LEN - steps.len()) as u32;
                    let draft = draft(steps.len());
                    let spec = VerifySpec { most, signals: SignalMode::Masked, ..check(&draft) };
                    let verified = driver.verify(seq, ids.len() + steps.len(), spec);
                    assert!(verified.accepted <= verified.drafted && verified.drafted <= draft.len());
                    assert!(!verified.steps.is_empty() || verified.stop.is_some());
                    steps.extend(verified.steps);
                    stop = verified.stop;
                }
                assert_eq!(told(&steps), told(&expected), "gate {number}, {temperature}, {seed}");
                let Ok(Outcome::Ran { stop: end, len }) = &ran else { panic!("{ran:?}") };
                assert_eq!((stop.unwrap_or(StopReason::Length), ids.len() + steps.len()), (*end, *len));
                driver.ask(Verb::Close { seq }).unwrap();
            }
        }
    }
}

#[test]
fn a_draft_saves_passes_and_masks_are_made_beside_them() {
    let ids = prompt(40, 3);
    let mut driver = packed();
    let allowed = || Some(Box::new(Always::of((0..512).step_by(9))) as Box<dyn TokenGate>);
    let seq = open_with(&mut driver, &ids, &warm(), allowed());
    let right = tokens(&driver.run(seq, ids.len(), 8));
    let seq = open_with(&mut driver, &ids, &warm(), allowed());
    let before = driver.engine.stats();
    let spec = VerifySpec { signals: SignalMode::None, ..check(&right[..7]) };
    let verified = driver.verify(seq, ids.len(), spec);
    assert_eq!((tokens(&verified.steps), verified.accepted), (right, 7));
    let after = driver.engine.stats();
    assert_eq!(after.masks.passes - before.masks.passes, 1);
    assert_eq!(after.total.decode_rows - before.total.decode_rows, 8);
}

#[test]
fn what_is_forced_comes_first_and_last_and_costs_nothing() {
    let mut driver = Driver::new();
    let ids = prompt(20, 1);
    let fence = |most| Box::new(Fence { opening: vec![400, 401], limit: 20, most, seen: 0 });
    let open = |driver: &mut Driver, most| open_with(driver, &ids, &warm(), Some(fence(most)));
    for (draft, drafted) in [(vec![400, 401, 3], 1), (vec![400, 401], 0), (vec![7, 3], 0), (vec![400, 3], 0)]
    {
        let seq = open(&mut driver, 9);
        let verified = driver.verify(seq, 20, check(&draft));
        assert_eq!(tokens(&verified.steps[..2]), [400, 401]);
        assert!(verified.steps[..2].iter().all(|step| step.forced));
        assert_eq!(verified.drafted, drafted, "{draft:?}");
        assert_eq!(verified.steps.len(), 3 + verified.accepted);
        driver.ask(Verb::Close { seq }).unwrap();
    }
    let before = driver.engine.stats().total;
    let seq = open(&mut driver, 9);
    let verified = driver.verify(seq, 20, VerifySpec { most: 2, ..check(&[400, 401, 3]) });
    assert_eq!((tokens(&verified.steps), verified.stop), (vec![400, 401], None));
    let seq = open(&mut driver, 2);
    let verified = driver.verify(seq, 20, check(&[]));
    assert_eq!((tokens(&verified.steps), verified.stop), (vec![400, 401], Some(StopReason::Constraint)));
    assert_eq!(driver.engine.stats().total, before, "no arithmetic");

    let seq = open_with(&mut driver, &ids, &warm(), Some(Box::new(Echo { seen: 0 })));
    let verified = driver.verify(seq, 20, check(&[]));
    assert_eq!((verified.steps.len(), verified.steps[1].token, verified.steps[1].forced), (2, 300, true));
}

#[test]
fn what_the_gate_foresees_takes_the_place_of_a_draft() {
    let ids = prompt(40, 3);
    let mut driver = packed();
    let allowed = || Always::of((0..512).filter(|id| id % 3 != 0 && *id != 510));
    let seq = open_with(&mut driver, &ids, &warm(), Some(Box::new(allowed())));
    let right = tokens(&driver.run(seq, ids.len(), 16));
    let gate = Seer { allowed: allowed(), said: right.clone(), seen: 0, asked: Arc::default() };
    let seq = open_with(&mut driver, &ids, &warm(), Some(Box::new(gate)));
    let verified = driver.verify(seq, ids.len(), check(&[]));
    assert_eq!(tokens(&verified.steps), right[..8]);
    assert_eq!((verified.drafted, verified.accepted, verified.foreseen), (0, 0, 7));
}

#[test]
fn a_verification_ends_where_a_run_would() {
    let options = EngineOptions { context: 60, ..EngineOptions::default() };
    let mut driver = Driver::with(&options);
    let ids = prompt(50, 4);
    let seq = driver.open(&ids, SamplerSpec::default());
    let right = tokens(&driver.run(seq, 50, 10));
    driver.ask(Verb::Truncate { seq, len: 50 }).unwrap();
    let verified = driver.verify(seq, 50, VerifySpec { most: 3, ..check(&right) });
    assert_eq!((tokens(&verified.steps), verified.stop), (right[..3].to_vec(), None));
    let verified = driver.verify(seq, 53, check(&right[3..]));
    assert_eq!(
        (tokens(&verified.steps), verified.stop),
        (right[3..].to_vec(), Some(StopReason::ContextFull))
    );
    let verified = driver.verify(seq, 60, check(&[1]));
    assert_eq!((verified.steps.len(), verified.stop), (0, Some(StopReason::ContextFull)));

    // Token 510 ends a generation; here it is all that may come.
    let seq = open_with(&mut driver, &ids, &warm(), Some(Box::new(Always::of([510]))));
    for draft in [&[510, 3][..], &[3, 510], &[]] {
        let verified = driver.verify(seq, 50, check(draft));
        assert_eq!((verified.steps.len(), verified.stop), (0, Some(StopReason::End)));
        assert_eq!(verified.accepted, usize::from(draft.first() == Some(&510)));
    }
    for refused in [
        VerifySpec { most: 0, ..check(&[1]) },
        VerifySpec { acceptance: Acceptance::Lenient { alpha: 1.5 }, ..check(&[1]) },
        VerifySpec { acceptance: Acceptance::Lenient { alpha: f32::NAN }, ..check(&[1]) },
        VerifySpec { draft: Draft { ids: vec![1, 2], q: vec![vec![(1, 1.0)]] }, ..check(&[]) },
        VerifySpec { draft: Draft { ids: vec![1], q: vec![vec![(2, 1.0)]] }, ..check(&[]) },
        check(&[1; 64]),
    ] {
        let answer = driver.ask(Verb::Verify { seq, at: 50, spec: refused });
        assert!(matches!(answer, Err(EngineError::InvalidArgument(_))), "{answer:?}");
    }
}

#[test]
fn leniency_goes_from_the_favourite_to_anything_that_may_come() {
    let ids = prompt(50, 5);
    let mut driver = Driver::new();
    let seq = driver.open(&ids, SamplerSpec::default());
    let favourite = tokens(&driver.run(seq, 50, 6));
    let other: Vec<TokenId> = favourite.iter().map(|id| (id + 1) % 490).collect();
    for (alpha, drafted, accepted) in [(0.0, &favourite, 6), (0.0, &other, 0), (1.0, &other, 6)] {
        driver.ask(Verb::Truncate { seq, len: 50 }).unwrap();
        let spec = VerifySpec { acceptance: Acceptance::Lenient { alpha }, ..check(drafted) };
        let verified = driver.verify(seq, 50, spec);
        assert_eq!(verified.accepted, accepted);
        let expected = if accepted == 0 { &favourite[..1] } else { &drafted[..] };
        assert_eq!(tokens(&verified.steps)[..expected.len()], *expected);
    }
    // What a constraint forbids never stands.
    let seq = open_with(&mut driver, &ids, &warm(), Some(Box::new(Always::of(0..50))));
    let spec = VerifySpec { acceptance: Acceptance::Lenient { alpha: 1.0 }, ..check(&[60, 61]) };
    assert_eq!(driver.verify(seq, 50, spec).accepted, 0);
}

#[test]
fn drafts_with_distributions_leave_a_sequence_like_any_other() {
    let ids = prompt(45, 6);
    for number in [0, 2, 3, 4] {
        let gate = || gates().swap_remove(number);
        let (mut drafter, mut target) = (packed(), packed());
        let sampler = SamplerSpec { temperature: 1.5, top_k: 40, seed: 11, ..SamplerSpec::default() };
        let hot = SamplerSpec { temperature: 3.0, ..sampler.clone() };
        let draft_seq = open_with(&mut drafter, &ids, &hot, gate());
        let seq = open_with(&mut target, &ids, &sampler, gate());
        let (mut text, mut accepted, mut stop) = (ids.clone(), 0, None);
        while stop.is_none() && text.len() < ids.len() + 18 {
            let proposed = drafter.ask(Verb::Propose { seq: draft_seq, at: text.len(), k: 4 });
            let Ok(Outcome::Proposed(draft)) = proposed else { panic!("{proposed:?}") };
            let verified = target.verify(seq, text.len(), VerifySpec { draft, ..check(&[]) });
            let new = tokens(&verified.steps);
            drafter.ask(Verb::Extend { seq: draft_seq, at: text.len(), ids: new.clone() }).unwrap();
            text.extend(new);
            accepted += verified.accepted;
            stop = verified.stop;
        }
        assert!(accepted > 0, "gate {number}: nothing ever stood");
        if stop.is_none() {
            // Keys, values and the gate are those of the text.
            let more = said(&target.run(seq, text.len(), 4));
            target.ask(Verb::Truncate { seq, len: ids.len() }).unwrap();
            target.ask(Verb::Extend { seq, at: ids.len(), ids: text[ids.len()..].to_vec() }).unwrap();
            assert_eq!(said(&target.run(seq, text.len(), 4)), more, "gate {number}");
        }
    }
}

#[test]
fn what_was_drafted_is_not_computed_again() {
    // The draft goes over the edge of a page.
    let ids = prompt(30, 5);
    let fresh = |text: &[TokenId]| {
        let mut driver = packed();
        let seq = driver.open(text, warm());
        (driver.ask(Verb::Propose { seq, at: text.len(), k: 5 }), said(&driver.run(seq, text.len(), 6)))
    };
    // Of a draft of five, so many come to stand; then another token. The last one's row was not computed.
    for (right, rows) in [(0, 1), (1, 1), (3, 1), (4, 1), (5, 2)] {
        let mut driver = packed();
        let seq = driver.open(&ids, warm());
        let proposed = driver.ask(Verb::Propose { seq, at: 30, k: 5 });
        let Ok(Outcome::Proposed(draft)) = proposed else { panic!("{proposed:?}") };
        let mut new = draft.ids[..right].to_vec();
        new.push(draft.ids.get(right).map_or(9, |id| (id + 1) % 490));
        let text = [&ids[..], &new[..]].concat();
        driver.ask(Verb::Extend { seq, at: 30, ids: new }).unwrap();
        let job = driver.submit(Verb::Propose { seq, at: text.len(), k: 5 });
        let again = driver.finish(job);
        let cost = driver.done(job).unwrap().1;
        assert_eq!(cost.prefill_rows + cost.decode_rows, rows + 4, "{right} right");
        let (expected, said_after) = fresh(&text);
        assert_eq!(again, expected, "bit for bit, {right} right");
        assert_eq!(said(&driver.run(seq, text.len(), 6)), said_after);
    }
}

#[test]
fn what_was_overwritten_is_not_taken_for_the_draft() {
    let ids = prompt(30, 5);
    let mut driver = packed();
    let seq = driver.open(&ids, warm());
    let Ok(Outcome::Proposed(draft)) = driver.ask(Verb::Propose { seq, at: 30, k: 5 }) else { panic!() };
    // Other tokens take the draft's place, then give it back.
    let other: Vec<TokenId> = draft.ids.iter().map(|id| (id + 1) % 490).collect();
    driver.verify(seq, 30, check(&other));
    driver.ask(Verb::Truncate { seq, len: 30 }).unwrap();
    driver.ask(Verb::Extend { seq, at: 30, ids: draft.ids.clone() }).unwrap();
    let mut fresh = packed();
    let text = [&ids[..], &draft.ids[..]].concat();
    let reference = fresh.open(&text, warm());
    assert_eq!(said(&driver.run(seq, 35, 6)), said(&fresh.run(reference, 35, 6)));
}

#[test]
fn only_a_sequence_alone_tells_what_a_draft_costs() {
    let mut driver = Driver::new();
    let (first, second) = (driver.open(&prompt(20, 1), warm()), driver.open(&prompt(20, 2), warm()));
    let jobs = [first, second].map(|seq| driver.submit(Verb::Run { seq, at: 20, spec: spec(8) }));
    jobs.into_iter().for_each(|job| drop(driver.finish(job)));
    assert_eq!(driver.engine.pace().seconds(2), None);
    driver.ask(Verb::Truncate { seq: first, len: 20 }).unwrap();
    driver.verify(first, 20, check(&[1, 2, 3]));
    assert!(driver.engine.pace().seconds(4).is_some_and(|seconds| seconds > 0.0));
    assert_eq!(driver.engine.pace().seconds(5), None);
}
