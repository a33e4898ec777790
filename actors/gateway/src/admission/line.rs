//! Who waits at one priority. Tenants take turns; of one tenant the earliest deadline goes first, then the earliest arrival.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

/// Where a request stands among those of its tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// When its answer stops being useful; `Duration::MAX` for never.
    pub deadline: Duration,
    /// Grows with each arrival.
    pub number: u64,
}

/// A queue in which tenants take turns: start-time fair queueing with every request as long as any other. Holds nothing
/// of a tenant that does not wait.
pub(super) struct Line<T> {
    tenants: HashMap<Arc<str>, Turns<T>>,
    /// The round of the request that left last.
    round: u64,
    len: usize,
}

struct Turns<T> {
    /// The round in which the tenant's next request goes.
    round: u64,
    waiting: BTreeMap<Rank, T>,
}

impl<T> Line<T> {
    pub(super) fn new() -> Self {
        Self { tenants: HashMap::new(), round: 0, len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A tenant that did not wait begins one round after the present one: coming back each time would otherwise put it before
    /// those who stayed.
    pub(super) fn push(&mut self, tenant: Arc<str>, rank: Rank, waiting: T) {
        let round = self.round + 1;
        let turns = self.tenants.entry(tenant).or_insert(Turns { round, waiting: BTreeMap::new() });
        turns.waiting.insert(rank, waiting);
        self.len += 1;
    }

    /// The next one, with whose it is.
    pub(super) fn pop(&mut self) -> Option<(Arc<str>, Rank, T)> {
        let turn = |(tenant, turns): (&Arc<str>, &Turns<T>)| {
            Some((turns.round, *turns.waiting.first_key_value()?.0, tenant.clone()))
        };
        let (round, rank, tenant) = self.tenants.iter().filter_map(turn).min()?;
        self.round = round;
        let waiting = self.remove(&tenant, rank)?;
        if let Some(turns) = self.tenants.get_mut(&tenant) {
            turns.round = round + 1;
        }
        Some((tenant, rank, waiting))
    }

    pub(super) fn remove(&mut self, tenant: &Arc<str>, rank: Rank) -> Option<T> {
        let turns = self.tenants.get_mut(tenant)?;
        let waiting = turns.waiting.remove(&rank)?;
        if turns.waiting.is_empty() {
            self.tenants.remove(tenant);
        }
        self.len -= 1;
        Some(waiting)
    }

    /// How many of this tenant wait.
    pub(super) fn len_of(&self, tenant: &str) -> usize {
        self.tenants.get(tenant).map_or(0, |turns| turns.waiting.len())
    }

    /// How many would go before a newcomer: those of its tenant with a better rank, and for each of them, and for itself, one of
    /// each other tenant.
    pub(super) fn ahead_of(&self, tenant: &str, rank: Rank) -> usize {
        let own = self.tenants.get(tenant).map_or(0, |turns| turns.waiting.range(..rank).count());
        let others = self.tenants.iter().filter(|(other, _)| other.as_ref() != tenant);
        own + others.map(|(_, turns)| turns.waiting.len().min(own + 1)).sum::<usize>()
    }

    /// The one that would go last: of the tenant with most requests here, the latest deadline.
    pub(super) fn last(&self) -> Option<(Arc<str>, Rank)> {
        let (tenant, turns) = self
            .tenants
            .iter()
            .max_by_key(|(_, turns)| (turns.waiting.len(), turns.waiting.keys().next_back()))?;
        Some((tenant.clone(), *turns.waiting.last_key_value()?.0))
    }

    /// Takes out whatever `leaves`.
    pub(super) fn take_if(&mut self, leaves: impl Fn(&T) -> bool) -> Vec<(Arc<str>, Rank, T)> {
        let mut taken = Vec::new();
        for (tenant, turns) in &mut self.tenants {
            let (out, stay) =
                std::mem::take(&mut turns.waiting).into_iter().partition(|(_, waiting)| leaves(waiting));
            turns.waiting = stay;
            let out: BTreeMap<Rank, T> = out;
            taken.extend(out.into_iter().map(|(rank, waiting)| (tenant.clone(), rank, waiting)));
        }
        self.tenants.retain(|_, turns| !turns.waiting.is_empty());
        self.len -= taken.len();
        taken
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.tenants.values().flat_map(|turns| turns.waiting.values())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(deadline_s: u64, number: u64) -> Rank {
        Rank { deadline: Duration::from_secs(deadline_s), number }
    }

    fn order(mut line: Line<u64>) -> Vec<u64> {
        std::iter::from_fn(|| line.pop().map(|(_, _, waiting)| waiting)).collect()
    }

    #[test]
    fn one_tenant_goes_by_deadline_then_by_arrival() {
        let mut line = Line::new();
        for (deadline, number) in [(9, 0), (3, 1), (9, 2), (1, 3)] {
            line.push("a".into(), rank(deadline, number), number);
        }
        assert_eq!(line.last(), Some(("a".into(), rank(9, 2))));
        assert_eq!(order(line), [3, 1, 0, 2]);
    }

    #[test]
    fn tenants_take_turns_however_many_requests_they_send() {
        let mut line = Line::new();
        (0..6).for_each(|n| line.push("many".into(), rank(1, n), n));
        (10..12).for_each(|n| line.push("few".into(), rank(9, n), n));
        assert_eq!(line.ahead_of("few", rank(9, 12)), 2 + 3);
        assert_eq!(line.ahead_of("third", rank(9, 12)), 2);
        assert_eq!(line.last(), Some(("many".into(), rank(1, 5))));
        assert_eq!(order(line), [0, 10, 1, 11, 2, 3, 4, 5]);
    }

    #[test]
    fn who_comes_back_each_time_does_not_starve_who_stays() {
        let mut line = Line::new();
        (0..10).for_each(|n| line.push("stays".into(), rank(9, n), n));
        let mut served = Vec::new();
        for n in 100..110 {
            if line.len_of("returns") == 0 {
                line.push("returns".into(), rank(1, n), n);
            }
            served.push(line.pop().expect("somebody waits").0);
        }
        assert_eq!(served.iter().filter(|tenant| tenant.as_ref() == "stays").count(), 5, "{served:?}");
    }
}
