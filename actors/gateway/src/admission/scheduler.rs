//! Who runs, who waits and who is refused. No clock, no channel, no lock: the caller brings the time, and `T` is whatever it
//! tells a waiting request with.
//!
//! **Rules.** Interactive goes before agent, agent before batch; within a priority see [`line`](super::line). Batch holds at most
//! 3/4 of the places, batch and agent together at most 7/8, at least one each: an answer takes as long as it takes, nobody is
//! thrown out of a place, so that a person finds one at once only where some are kept free of what can wait. Batch that has
//! waited for [`AGING`] counts as agent, or agents could keep it out for ever.
//!
//! **Invariants.** INV-A1: no priority holds more places than its share. INV-A2: never more requests than `requests`, whatever
//! they do. INV-A3: nobody waits while a place is free that they may have (after [`start`](Scheduler::start) said `None`).
//! INV-A4: every arrival is answered once: started, refused, displaced, or gone by itself.

use std::{sync::Arc, time::Duration};

use understudy_backend::Priority;

use super::line::{Line, Rank};

/// Batch that has waited so long counts as agent.
pub(super) const AGING: Duration = Duration::from_secs(10);

/// Best first.
const PRIORITIES: [Priority; 3] = [Priority::Interactive, Priority::Agent, Priority::Batch];

/// How many, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rules {
    /// Requests that run at the same time.
    pub places: usize,
    /// Requests that run, wait or visit.
    pub requests: usize,
    /// Nobody is let in to wait longer.
    pub longest_wait: Duration,
}

/// A request at the door.
#[derive(Debug, Clone)]
pub(super) struct Arrival {
    pub tenant: Arc<str>,
    pub priority: Priority,
    /// As times of the scheduler's clock.
    pub deadline: Option<Duration>,
}

/// A request that waits, or did.
#[derive(Debug, Clone)]
pub(super) struct Ticket {
    tenant: Arc<str>,
    rank: Rank,
}

/// Why a request was not let in, or lost its place in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub why: Why,
    /// When a place is expected.
    pub expected: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// As many requests are here as may be, none of them worse.
    Full,
    /// The expected wait goes beyond the deadline, or beyond what the node allows.
    TooLong,
    /// A better one came when all places in the queue were taken.
    Displaced,
}

pub(super) struct Scheduler<T> {
    rules: Rules,
    lines: [Line<Waiting<T>>; 3],
    running: [usize; 3],
    visiting: usize,
    /// How long a place is held, smoothed; none was given back yet.
    service: Option<Duration>,
    arrivals: u64,
    /// No batch request ages before.
    next_aging: Duration,
}

struct Waiting<T> {
    since: Duration,
    tell: T,
}

impl<T> Scheduler<T> {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            lines: [Line::new(), Line::new(), Line::new()],
            running: [0; 3],
            visiting: 0,
            service: None,
            arrivals: 0,
            next_aging: Duration::MAX,
        }
    }

    /// Lets a request wait; [`start`](Self::start) then says who runs, perhaps this one at once. May push another one out, who
    /// has to be told.
    ///
    /// # Errors
    /// Full, or too long a wait; nothing changed then.
    pub(super) fn arrive(
        &mut self,
        now: Duration,
        arrival: Arrival,
        tell: T,
    ) -> Result<(Ticket, Option<(T, Refusal)>), Refusal> {
        let Arrival { tenant, priority, deadline } = arrival;
        let rank = Rank { deadline: deadline.unwrap_or(Duration::MAX), number: self.arrivals };
        let expected = self.wait_of(priority, &tenant, rank);
        let patience = self.rules.longest_wait.min(rank.deadline.saturating_sub(now));
        if expected > patience {
            return Err(Refusal { why: Why::TooLong, expected });
        }
        let displaced = match self.held() < self.rules.requests {
            true => None,
            false => Some(self.displace(priority, &tenant).ok_or(Refusal { why: Why::Full, expected })?),
        };
        self.arrivals += 1;
        self.lines[priority as usize].push(tenant.clone(), rank, Waiting { since: now, tell });
        if priority == Priority::Batch {
            self.next_aging = self.next_aging.min(now + AGING);
        }
        Ok((Ticket { tenant, rank }, displaced))
    }

    /// Takes the last one of the worst priority out of the queue, if it is worse than a newcomer of this priority and tenant:
    /// of a lower priority, or of a tenant with at least two more requests in the same queue.
    fn displace(&mut self, priority: Priority, tenant: &str) -> Option<(T, Refusal)> {
        let worst = PRIORITIES.into_iter().rev().find(|&worst| !self.lines[worst as usize].is_empty())?;
        let line = &self.lines[worst as usize];
        let (victim, rank) = line.last()?;
        let worse =
            worst > priority || (worst == priority && line.len_of(&victim) >= line.len_of(tenant) + 2);
        if !worse {
            return None;
        }
        let expected = self.wait_of(worst, &victim, rank);
        let waiting = self.lines[worst as usize].remove(&victim, rank)?;
        Some((waiting.tell, Refusal { why: Why::Displaced, expected }))
    }

    /// Gives a free place to whoever is next; `None` when nobody may have one.
    pub(super) fn start(&mut self, now: Duration) -> Option<(Priority, T)> {
        self.age(now);
        let next = PRIORITIES
            .into_iter()
            .find(|&priority| !self.lines[priority as usize].is_empty() && self.has_place_for(priority))?;
        let (_, _, waiting) = self.lines[next as usize].pop()?;
        self.running[next as usize] += 1;
        Some((next, waiting.tell))
    }

    fn age(&mut self, now: Duration) {
        if now < self.next_aging {
            return;
        }
        let [_, agent, batch] = &mut self.lines;
        for (tenant, rank, waiting) in batch.take_if(|waiting| waiting.since + AGING <= now) {
            agent.push(tenant, rank, waiting);
        }
        let oldest = batch.iter().map(|waiting| waiting.since).min();
        self.next_aging = oldest.map_or(Duration::MAX, |since| since + AGING);
    }

    /// A place that was held so long is free again.
    pub(super) fn done(&mut self, priority: Priority, held: Duration) {
        self.running[priority as usize] -= 1;
        self.service = Some(self.service.map_or(held, |smoothed| smoothed * 7 / 8 + held / 8));
    }

    /// A waiting request goes away; whether it was still there.
    pub(super) fn leave(&mut self, ticket: &Ticket) -> bool {
        // Batch may have aged into the line of agents.
        self.lines.iter_mut().any(|line| line.remove(&ticket.tenant, ticket.rank).is_some())
    }

    /// Something short that needs no place but counts as a request.
    pub(super) fn visit(&mut self) -> Result<(), Refusal> {
        if self.held() >= self.rules.requests {
            return Err(Refusal { why: Why::Full, expected: self.expected_wait(Priority::Interactive) });
        }
        self.visiting += 1;
        Ok(())
    }

    pub(super) fn visited(&mut self) {
        self.visiting -= 1;
    }

    /// Empties the queue.
    pub(super) fn clear(&mut self) -> Vec<T> {
        let all = self.lines.iter_mut().flat_map(|line| line.take_if(|_| true));
        all.map(|(_, _, waiting)| waiting.tell).collect()
    }

    /// Requests that run.
    pub(super) fn running(&self) -> usize {
        self.running.iter().sum()
    }

    /// Requests that wait, by priority; batch that has aged is among agents.
    pub(super) fn waiting(&self) -> [usize; 3] {
        self.lines.each_ref().map(Line::len)
    }

    /// Requests that run, wait or visit.
    pub(super) fn held(&self) -> usize {
        self.running() + self.waiting().iter().sum::<usize>() + self.visiting
    }

    /// The wait of a request without a deadline of a tenant that has none here.
    pub(super) fn expected_wait(&self, priority: Priority) -> Duration {
        self.wait_of(priority, "", Rank { deadline: Duration::MAX, number: u64::MAX })
    }

    /// Places that this priority, with what is worse, may hold.
    fn share(&self, priority: Priority) -> usize {
        let places = self.rules.places;
        match priority {
            Priority::Interactive => places,
            Priority::Agent => (places * 7 / 8).max(1),
            Priority::Batch => (places * 3 / 4).max(1),
        }
    }

    fn has_place_for(&self, priority: Priority) -> bool {
        let held_with_worse = |priority: Priority| self.running[priority as usize..].iter().sum::<usize>();
        PRIORITIES[..=priority as usize].iter().all(|&better| held_with_worse(better) < self.share(better))
    }

    /// Queue ahead times smoothed service time over places. Nothing is known before the first place was given back: nobody is
    /// refused for that.
    fn wait_of(&self, priority: Priority, tenant: &str, rank: Rank) -> Duration {
        let better: usize = self.lines[..priority as usize].iter().map(Line::len).sum();
        let ahead = better + self.lines[priority as usize].ahead_of(tenant, rank);
        if ahead == 0 && self.has_place_for(priority) {
            return Duration::ZERO;
        }
        let service = self.service.unwrap_or_default().as_secs_f64();
        Duration::from_secs_f64(service * (ahead + 1) as f64 / self.share(priority) as f64)
    }
}

#[cfg(test)]
#[path = "scheduler_tests.rs"]
mod tests;
