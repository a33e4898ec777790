//! Who gets rows when several want them.

use super::*;

/// Opens a sequence for each prompt, then submits all runs before the first pass.
fn submit_together(driver: &mut Driver, prompts: &[Vec<TokenId>], max_tokens: u32) -> Vec<JobId> {
    let opened: Vec<_> = prompts.iter().map(|ids| (driver.open(ids, warm()), ids.len())).collect();
    let runs = opened.into_iter().map(|(seq, at)| Verb::Run { seq, at, spec: spec(max_tokens) });
    runs.collect::<Vec<_>>().into_iter().map(|run| driver.submit(run)).collect()
}

/// The same beginning, and an end of its own.
fn with_beginning(beginning: u32, salt: u32) -> Vec<TokenId> {
    [prompt(beginning, 99), prompt(20, salt)].concat()
}

fn alone(ids: &[TokenId], max_tokens: u32) -> Vec<StepResult> {
    let mut driver = Driver::new();
    let seq = driver.open(ids, warm());
    driver.run(seq, ids.len(), max_tokens)
}

#[test]
fn a_beginning_that_eight_prompts_share_is_computed_once_when_they_come_together() {
    let prompts: Vec<_> = (0..8).map(|salt| with_beginning(1500, salt)).collect();
    let mut driver = Driver::new();
    let jobs = submit_together(&mut driver, &prompts, 4);
    for (job, ids) in jobs.into_iter().zip(&prompts) {
        driver.finish(job).unwrap();
        assert_eq!(driver.steps(job), alone(ids, 4), "bit-equal");
    }
    let (whole, whole_pages) = (1520, 1500 / 32 * 32);
    let total = driver.engine.stats().total;
    assert_eq!(total.prefill_rows, (whole - 1) + 7 * (whole - 1 - whole_pages));
    assert_eq!(total.adopted_rows, 7 * whole_pages);
    let costs = driver.events.iter().filter_map(|(_, event)| match event {
        JobEvent::Done { cost, .. } => Some(cost.adopted_rows),
        JobEvent::Step(_) => None,
    });
    assert_eq!(costs.sum::<u64>(), total.adopted_rows, "and each is told what it was spared");
}

#[test]
fn who_waits_for_a_beginning_goes_on_when_its_maker_is_cancelled_or_paused() {
    for pause in [false, true] {
        let prompts: Vec<_> = (0..3).map(|salt| with_beginning(400, salt)).collect();
        let mut driver = Driver::new();
        let jobs = submit_together(&mut driver, &prompts, 6);
        for _ in 0..3 {
            driver.engine.tick(&mut driver.events);
        }
        match pause {
            true => driver.engine.set_paused(jobs[0], true),
            false => driver.engine.cancel(jobs[0]),
        }
        for (&job, ids) in jobs.iter().zip(&prompts).skip(1) {
            driver.finish(job).unwrap();
            assert_eq!(driver.steps(job), alone(ids, 6));
        }
        assert!(driver.engine.stats().total.prefill_rows < 2 * 420);
    }
}

#[test]
fn running_streams_get_a_token_from_every_pass_of_a_long_prompt() {
    let mut driver = Driver::new();
    let mut streams = submit_together(&mut driver, &[prompt(20, 1), prompt(30, 2), prompt(40, 3)], 4000);
    while streams.iter().any(|&job| driver.steps(job).is_empty()) {
        driver.engine.tick(&mut driver.events);
    }
    let long = submit_together(&mut driver, &[prompt(1000, 4)], 1)[0];
    streams.retain(|&job| driver.done(job).is_none());
    let mut passes = 0;
    while driver.done(long).is_none() {
        driver.events.clear();
        driver.engine.tick(&mut driver.events);
        // The random model may end a stream by itself.
        streams.retain(|&job| driver.done(job).is_none());
        streams.iter().for_each(|&job| assert_eq!(driver.steps(job).len(), 1));
        passes += usize::from(!streams.is_empty());
    }
    assert!(passes > 7, "a prompt of 1000 tokens does not fit a few passes: {passes}");
}

#[test]
fn a_short_prompt_passes_a_long_one() {
    let mut driver = Driver::new();
    let jobs = submit_together(&mut driver, &[prompt(2000, 1), prompt(12, 2)], 1);
    driver.finish(jobs[1]).unwrap();
    assert!(driver.done(jobs[0]).is_none());
    assert!(driver.engine.stats().total.prefill_rows < 600, "it did not wait for the long one");
}

#[test]
fn a_stream_of_short_prompts_does_not_starve_a_long_one() {
    let mut driver = Driver::new();
    let long = submit_together(&mut driver, &[prompt(600, 0)], 1)[0];
    for salt in 1..=400 {
        let ids = prompt(40, salt);
        let seq = driver.open(&ids, warm());
        driver.submit(Verb::Run { seq, at: ids.len(), spec: spec(1) });
        driver.engine.tick(&mut driver.events);
        driver.submit(Verb::Close { seq });
        if driver.done(long).is_some() {
            return;
        }
    }
    panic!("400 short prompts later the long one has no token");
}
