//! The scheduler in simulated time.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn rules(places: usize, requests: usize) -> Rules {
    Rules { places, requests, longest_wait: 30 * SECOND }
}

fn arrival(tenant: &str, priority: Priority) -> Arrival {
    Arrival { tenant: tenant.into(), priority, deadline: None }
}

/// A scheduler that has learned how long a place is held.
fn learned(rules: Rules, service: Duration) -> Scheduler<u64> {
    let mut scheduler = Scheduler::new(rules);
    scheduler.arrive(Duration::ZERO, arrival("", Priority::Interactive), 0).unwrap();
    scheduler.start(Duration::ZERO).unwrap();
    scheduler.done(Priority::Interactive, service);
    scheduler
}

/// Lets in as many as come, and starts whom it can.
fn fill(scheduler: &mut Scheduler<u64>, priority: Priority, number: u64) -> usize {
    (0..number).for_each(|n| drop(scheduler.arrive(Duration::ZERO, arrival("", priority), n)));
    std::iter::from_fn(|| scheduler.start(Duration::ZERO)).count()
}

#[test]
fn what_can_wait_leaves_places_for_whom_it_cannot() {
    for (places, batch, with_agents) in [(1, 1, 1), (2, 1, 1), (4, 3, 3), (8, 6, 7), (16, 12, 14)] {
        let mut scheduler = Scheduler::new(rules(places, 100));
        assert_eq!(fill(&mut scheduler, Priority::Batch, 20), batch, "batch of {places}");
        assert_eq!(fill(&mut scheduler, Priority::Agent, 20), with_agents - batch, "agents of {places}");
        assert_eq!(fill(&mut scheduler, Priority::Interactive, 20), places - with_agents);
    }
}

#[test]
fn a_wait_beyond_the_deadline_is_refused_at_once() {
    let mut scheduler = learned(rules(2, 100), SECOND);
    fill(&mut scheduler, Priority::Interactive, 4);
    // Two run and two wait; the third in the queue waits for 3 x 1 s / 2.
    let mut with = |deadline_ms| {
        let deadline = Some(Duration::from_millis(deadline_ms));
        scheduler.arrive(Duration::ZERO, Arrival { deadline, ..arrival("", Priority::Agent) }, 9)
    };
    let refusal = with(1400).unwrap_err();
    assert_eq!(refusal, Refusal { why: Why::TooLong, expected: Duration::from_millis(3000) });
    assert!(with(3100).is_ok());
    // By deadline it would go before all others.
    let early = Arrival { deadline: Some(600 * SECOND / 1000), ..arrival("", Priority::Interactive) };
    assert!(scheduler.arrive(Duration::ZERO, early, 9).is_ok());
}

#[test]
fn nobody_waits_longer_than_the_node_allows() {
    let mut scheduler = learned(rules(1, 100), 20 * SECOND);
    fill(&mut scheduler, Priority::Interactive, 1);
    assert!(scheduler.arrive(Duration::ZERO, arrival("", Priority::Interactive), 1).is_ok());
    let refusal = scheduler.arrive(Duration::ZERO, arrival("", Priority::Interactive), 2).unwrap_err();
    assert_eq!(refusal, Refusal { why: Why::TooLong, expected: 40 * SECOND });
}

#[test]
fn a_better_request_displaces_the_last_of_the_worst_and_never_one_that_runs() {
    let mut scheduler = Scheduler::new(rules(1, 4));
    assert_eq!(fill(&mut scheduler, Priority::Batch, 1), 1);
    for (n, priority) in [(1, Priority::Agent), (2, Priority::Batch), (3, Priority::Batch)] {
        scheduler.arrive(Duration::ZERO, arrival("", priority), n).unwrap();
    }
    let mut come = |priority| {
        let came = scheduler.arrive(Duration::ZERO, arrival("", priority), 9);
        came.map(|(_, displaced)| displaced.map(|(n, refusal)| (n, refusal.why)))
            .map_err(|refusal| refusal.why)
    };
    assert_eq!(come(Priority::Batch), Err(Why::Full));
    assert_eq!(come(Priority::Agent), Ok(Some((3, Why::Displaced))));
    assert_eq!(come(Priority::Interactive), Ok(Some((2, Why::Displaced))));
    assert_eq!(come(Priority::Agent), Err(Why::Full));
    assert_eq!(come(Priority::Interactive), Ok(Some((9, Why::Displaced))));
    assert_eq!(come(Priority::Interactive), Ok(Some((1, Why::Displaced))));
    assert_eq!(come(Priority::Interactive), Err(Why::Full));
    assert_eq!((scheduler.running(), scheduler.held()), (1, 4));
}

#[test]
fn a_tenant_cannot_fill_the_queue_against_others() {
    let mut scheduler = Scheduler::new(rules(1, 5));
    assert_eq!(fill(&mut scheduler, Priority::Agent, 1), 1);
    (1..5).for_each(|n| drop(scheduler.arrive(Duration::ZERO, arrival("greedy", Priority::Agent), n)));
    let mut come = |tenant| scheduler.arrive(Duration::ZERO, arrival(tenant, Priority::Agent), 9);
    assert_eq!(come("greedy").unwrap_err().why, Why::Full);
    assert_eq!(come("modest").unwrap().1.unwrap().0, 4);
    assert_eq!(come("modest").unwrap().1.unwrap().0, 3);
    assert_eq!(come("modest").unwrap_err().why, Why::Full, "two each");
}

#[test]
fn batch_ages_out_of_the_shadow_of_agents() {
    let mut scheduler = Scheduler::new(rules(1, 100));
    let at = |s| s * SECOND;
    scheduler.arrive(at(0), arrival("", Priority::Agent), 0).unwrap();
    scheduler.start(at(0)).unwrap();
    let early = Arrival { deadline: Some(at(60)), ..arrival("", Priority::Batch) };
    scheduler.arrive(at(0), early, 1).unwrap();
    let mut started = Vec::new();
    for second in 1..=12_u32 {
        let agent = Arrival { deadline: Some(at(100)), ..arrival("", Priority::Agent) };
        scheduler.arrive(at(second), agent, 100 + u64::from(second)).unwrap();
        scheduler.done(Priority::Agent, SECOND);
        started.push(scheduler.start(at(second)).unwrap().1);
    }
    let turn = started.iter().position(|&n| n == 1);
    assert_eq!(turn, Some(9), "after ten seconds, by its deadline: {started:?}");
}

#[test]
fn visits_need_no_place_but_count() {
    let mut scheduler = Scheduler::<u64>::new(rules(1, 2));
    scheduler.visit().unwrap();
    assert_eq!(fill(&mut scheduler, Priority::Interactive, 1), 1);
    assert_eq!(scheduler.visit().unwrap_err().why, Why::Full);
    scheduler.visited();
    assert_eq!(scheduler.held(), 1);
}

/// What may happen next.
#[derive(Debug, Clone)]
enum Step {
    Arrive {
        tenant: u8,
        priority: Priority,
        deadline_ms: Option<u64>,
    },
    /// The n-th that runs is done.
    Done(usize),
    /// The n-th that waits gives up.
    Leave(usize),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let priority = prop_oneof![Just(Priority::Interactive), Just(Priority::Agent), Just(Priority::Batch)];
    let arrive = (0..4_u8, priority, proptest::option::of(0..20_000_u64))
        .prop_map(|(tenant, priority, deadline_ms)| Step::Arrive { tenant, priority, deadline_ms });
    let step = prop_oneof![
        5 => arrive,
        3 => (0..64_usize).prop_map(Step::Done),
        1 => (0..64_usize).prop_map(Step::Leave),
        2 => (0..8_000_u64).prop_map(Step::Pass),
    ];
    proptest::collection::vec(step, 0..300)
}

/// A request as the test knows it.
struct Known {
    tenant: u8,
    priority: Priority,
    rank: Rank,
    since: Duration,
    ticket: Ticket,
}

/// The scheduler beside a plain account of what it was told and said.
struct Model {
    scheduler: Scheduler<u64>,
    rules: Rules,
    now: Duration,
    next: u64,
    waiting: HashMap<u64, Known>,
    running: Vec<(Priority, Duration)>,
}

impl Model {
    fn step(&mut self, step: Step) {
        match step {
            Step::Arrive { tenant, priority, deadline_ms } => self.arrive(tenant, priority, deadline_ms),
            Step::Done(n) if !self.running.is_empty() => {
                let (priority, since) = self.running.swap_remove(n % self.running.len());
                self.scheduler.done(priority, self.now - since);
            }
            Step::Leave(n) if !self.waiting.is_empty() => {
                let mut numbers: Vec<_> = self.waiting.keys().copied().collect();
                numbers.sort_unstable();
                let left = self.waiting.remove(&numbers[n % numbers.len()]).unwrap();
                assert!(self.scheduler.leave(&left.ticket), "it was there");
                assert!(!self.scheduler.leave(&left.ticket), "once");
            }
            Step::Done(_) | Step::Leave(_) => {}
            Step::Pass(ms) => self.now += Duration::from_millis(ms),
        }
        while let Some((priority, number)) = self.scheduler.start(self.now) {
            self.started(priority, number);
        }
        self.check();
    }

    fn arrive(&mut self, tenant: u8, priority: Priority, deadline_ms: Option<u64>) {
        let number = self.next;
        self.next += 1;
        let deadline = deadline_ms.map(|ms| self.now + Duration::from_millis(ms));
        let arrival = Arrival { tenant: tenant.to_string().into(), priority, deadline };
        let full = self.scheduler.held() == self.rules.requests;
        match self.scheduler.arrive(self.now, arrival, number) {
            Ok((ticket, displaced)) => {
                assert_eq!(displaced.is_some(), full, "somebody has to go exactly when all is full");
                if let Some((number, _)) = displaced {
                    let victim = self.waiting.remove(&number).expect("it waited");
                    assert!(self.seen(&victim) >= priority, "nobody better is displaced");
                }
                let rank = ticket.rank;
                self.waiting.insert(number, Known { tenant, priority, rank, since: self.now, ticket });
            }
            Err(Refusal { why: Why::TooLong, expected }) => {
                let patience = deadline.map_or(Duration::MAX, |deadline| deadline - self.now);
                assert!(expected > patience.min(self.rules.longest_wait));
            }
            Err(refusal) => assert!(full && refusal.why == Why::Full),
        }
    }

    /// The priority that it counts as.
    fn seen(&self, known: &Known) -> Priority {
        let aged = known.priority == Priority::Batch && known.since + AGING <= self.now;
        if aged { Priority::Agent } else { known.priority }
    }

    fn started(&mut self, priority: Priority, number: u64) {
        let started = self.waiting.remove(&number).expect("it waited");
        assert_eq!(priority, self.seen(&started));
        for other in self.waiting.values() {
            assert!(self.seen(other) >= priority, "a better one waits");
            let earlier = other.tenant == started.tenant && self.seen(other) == priority;
            assert!(!earlier || other.rank > started.rank, "an earlier one of the same tenant waits");
        }
        self.running.push((priority, self.now));
    }

    fn check(&self) {
        let held = |from: Priority| self.running.iter().filter(|(priority, _)| *priority >= from).count();
        let places = self.rules.places;
        let shares = [places, (places * 7 / 8).max(1), (places * 3 / 4).max(1)];
        for (priority, share) in PRIORITIES.into_iter().zip(shares) {
            assert!(held(priority) <= share, "INV-A1: {priority:?}");
        }
        assert!(self.running.len() + self.waiting.len() <= self.rules.requests, "INV-A2");
        assert_eq!(self.scheduler.held(), self.running.len() + self.waiting.len(), "INV-A4");
        for known in self.waiting.values() {
            let better = PRIORITIES.into_iter().zip(shares).take(self.seen(known) as usize + 1);
            let free = better.into_iter().all(|(priority, share)| held(priority) < share);
            assert!(!free, "INV-A3: {:?} waits beside a free place", known.priority);
        }
    }
}

proptest! {
    #[test]
    fn the_invariants_hold_whatever_happens(places in 1..20_usize, more in 0..20_usize, steps in steps()) {
        let rules = rules(places, places + more);
        let (scheduler, now) = (Scheduler::new(rules), Duration::ZERO);
        let mut model = Model { scheduler, rules, now, next: 0, waiting: HashMap::new(), running: Vec::new() };
        steps.into_iter().for_each(|step| model.step(step));
    }
}
