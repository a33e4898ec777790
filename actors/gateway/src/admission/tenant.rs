//! What one tenant may take: requests and tokens per minute, and requests at the same time.

use std::{collections::HashMap, sync::Arc, time::Duration};

/// So many tenants are remembered before idle ones are forgotten. Those with requests here or with a bucket that is not full
/// stay; there are at most as many as tenants were configured.
const MOST_IDLE: usize = 1024;

/// What a tenant may take; the default is everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TenantLimits {
    /// Requests per minute in the long run. Those that are refused for another reason count too: trying again in a loop costs
    /// whoever does it.
    pub requests_per_minute: Option<u32>,
    /// Requests at once after a pause; 0 is as good as 1.
    pub burst: u32,
    /// Tokens of prompts and of answers per minute in the long run. What a request costs is known when it ends, so it may leave
    /// a debt; until that is paid off, no other comes in. After a pause there is room for those of a minute.
    pub tokens_per_minute: Option<u32>,
    /// Requests that run or wait at the same time.
    pub concurrency: Option<usize>,
}

/// A limit that a request would go beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beyond {
    Rate { per_minute: u32, retry: Duration },
    Tokens { per_minute: u32, retry: Duration },
    Concurrency { most: usize },
}

/// The tenants with limits. Whoever was not [met](Self::meet) has none, such as the local user.
#[derive(Default)]
pub(super) struct Tenants {
    known: HashMap<Arc<str>, Tenant>,
}

struct Tenant {
    limits: TenantLimits,
    requests: Bucket,
    tokens: Bucket,
    /// Requests here.
    inside: usize,
}

impl Tenants {
    /// Notes what a tenant may take from now on.
    pub(super) fn meet(&mut self, now: Duration, name: &str, limits: TenantLimits) {
        if let Some(tenant) = self.known.get_mut(name) {
            tenant.limits = limits;
            return;
        }
        if limits == TenantLimits::default() {
            return;
        }
        if self.known.len() >= MOST_IDLE {
            self.known.retain(|_, tenant| !tenant.is_idle(now));
        }
        let full = |pace: Option<Pace>| Bucket { level: pace.map_or(0, |pace| pace.depth), filled: now };
        let (requests, tokens) = (full(limits.requests()), full(limits.tokens()));
        self.known.insert(name.into(), Tenant { limits, requests, tokens, inside: 0 });
    }

    /// One more request of this tenant.
    ///
    /// # Errors
    /// The limit that it would go beyond; nothing was taken then.
    pub(super) fn enter(&mut self, now: Duration, name: &str) -> Result<(), Beyond> {
        let Some(tenant) = self.known.get_mut(name) else { return Ok(()) };
        if let Some(most) = tenant.limits.concurrency.filter(|&most| tenant.inside >= most) {
            return Err(Beyond::Concurrency { most });
        }
        if let Some(pace) = tenant.limits.tokens() {
            let retry = tenant.tokens.wait(now, pace, 0);
            retry.map_or(Ok(()), |retry| Err(Beyond::Tokens { per_minute: pace.per_minute, retry }))?;
        }
        if let Some(pace) = tenant.limits.requests() {
            let retry = tenant.requests.wait(now, pace, 1);
            retry.map_or(Ok(()), |retry| Err(Beyond::Rate { per_minute: pace.per_minute, retry }))?;
            tenant.requests.take(1);
        }
        tenant.inside += 1;
        Ok(())
    }

    /// A request of this tenant has cost so many tokens.
    pub(super) fn charge(&mut self, now: Duration, name: &str, tokens: u64) {
        let Some(tenant) = self.known.get_mut(name) else { return };
        if let Some(pace) = tenant.limits.tokens() {
            tenant.tokens.fill(now, pace);
            tenant.tokens.take(tokens);
        }
    }

    /// A request of this tenant has ended.
    pub(super) fn leave(&mut self, name: &str) {
        if let Some(tenant) = self.known.get_mut(name) {
            tenant.inside = tenant.inside.saturating_sub(1);
        }
    }
}

impl TenantLimits {
    fn requests(&self) -> Option<Pace> {
        self.requests_per_minute.map(|per_minute| Pace::new(per_minute, self.burst))
    }

    fn tokens(&self) -> Option<Pace> {
        self.tokens_per_minute.map(|per_minute| Pace::new(per_minute, per_minute))
    }
}

impl Tenant {
    fn is_idle(&mut self, now: Duration) -> bool {
        let requests = self.limits.requests().is_none_or(|pace| self.requests.is_full(now, pace));
        let tokens = self.limits.tokens().is_none_or(|pace| self.tokens.is_full(now, pace));
        self.inside == 0 && requests && tokens
    }
}

/// How fast a bucket fills, and how much it holds, in [`PARTS`].
#[derive(Debug, Clone, Copy)]
struct Pace {
    per_minute: u32,
    depth: i128,
}

impl Pace {
    fn new(per_minute: u32, depth: u32) -> Self {
        Self { per_minute: per_minute.max(1), depth: i128::from(depth.max(1)) * PARTS }
    }
}

/// Parts of one request, or token: so many fill in a microsecond as the pace has per minute, without a remainder.
const PARTS: i128 = 60_000_000;

/// What a tenant may take at once, in [`PARTS`], as of `filled`; below 0 it is a debt.
#[derive(Debug)]
struct Bucket {
    level: i128,
    filled: Duration,
}

impl Bucket {
    fn take(&mut self, count: u64) {
        self.level -= i128::from(count) * PARTS;
    }

    fn fill(&mut self, now: Duration, pace: Pace) {
        let passed = now.saturating_sub(self.filled).as_micros();
        let gained = i128::try_from(passed).unwrap_or(i128::MAX).saturating_mul(pace.per_minute.into());
        self.level = self.level.saturating_add(gained).min(pace.depth);
        self.filled = now;
    }

    /// How long until it holds so many, in whole milliseconds; none where it does.
    fn wait(&mut self, now: Duration, pace: Pace, wanted: u32) -> Option<Duration> {
        self.fill(now, pace);
        let missing =
            u128::try_from(i128::from(wanted) * PARTS - self.level).ok().filter(|&parts| parts > 0)?;
        let ms = missing.div_ceil(u128::from(pace.per_minute) * 1000);
        Some(Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX)))
    }

    fn is_full(&mut self, now: Duration, pace: Pace) -> bool {
        self.fill(now, pace);
        self.level >= pace.depth
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn met(limits: TenantLimits) -> Tenants {
        let mut tenants = Tenants::default();
        tenants.meet(at(0), "a", limits);
        tenants
    }

    #[test]
    fn a_bucket_allows_a_burst_then_the_rate_and_says_when_to_retry() {
        let mut tenants = met(TenantLimits { requests_per_minute: Some(60), burst: 3, ..Default::default() });
        (0..3).for_each(|_| tenants.enter(at(0), "a").unwrap());
        let retry = at(750);
        assert_eq!(tenants.enter(at(250), "a"), Err(Beyond::Rate { per_minute: 60, retry }));
        // Trying too early takes nothing.
        tenants.enter(at(1000), "a").unwrap();
        assert!(tenants.enter(at(1000), "a").is_err());
        // A long pause fills no more than the burst.
        (0..3).for_each(|_| tenants.enter(at(100_000), "a").unwrap());
        assert!(tenants.enter(at(100_000), "a").is_err());
    }

    #[test]
    fn a_debt_of_tokens_is_paid_off_by_waiting() {
        let mut tenants = met(TenantLimits { tokens_per_minute: Some(600), ..Default::default() });
        tenants.charge(at(0), "a", 600);
        tenants.enter(at(0), "a").unwrap();
        tenants.charge(at(0), "a", 25);
        let refused = |ms| Err(Beyond::Tokens { per_minute: 600, retry: at(ms) });
        assert_eq!(tenants.enter(at(0), "a"), refused(2500));
        assert_eq!(tenants.enter(at(2499), "a"), refused(1));
        tenants.enter(at(2500), "a").unwrap();
        // A long pause fills no more than a minute's.
        tenants.charge(at(1_000_000), "a", 601);
        assert_eq!(tenants.enter(at(1_000_000), "a"), refused(100));
        tenants.charge(at(1_000_000), "nobody", u64::MAX);
        tenants.enter(at(1_000_000), "nobody").unwrap();
    }

    #[test]
    fn concurrency_counts_what_is_inside() {
        let mut tenants = met(TenantLimits { concurrency: Some(2), ..Default::default() });
        (0..2).for_each(|_| tenants.enter(at(0), "a").unwrap());
        assert_eq!(tenants.enter(at(0), "a"), Err(Beyond::Concurrency { most: 2 }));
        (0..9).for_each(|_| tenants.enter(at(0), "another").unwrap());
        tenants.leave("a");
        tenants.enter(at(0), "a").unwrap();
    }

    #[test]
    fn limits_change_for_a_tenant_who_is_here() {
        let mut tenants = met(TenantLimits { concurrency: Some(1), ..Default::default() });
        tenants.enter(at(0), "a").unwrap();
        assert!(tenants.enter(at(0), "a").is_err());
        tenants.meet(at(0), "a", TenantLimits { concurrency: Some(2), ..Default::default() });
        tenants.enter(at(0), "a").unwrap();
    }

    #[test]
    fn idle_tenants_are_forgotten_and_busy_ones_are_not() {
        let limits = TenantLimits {
            requests_per_minute: Some(1),
            burst: 1,
            concurrency: Some(1),
            ..TenantLimits::default()
        };
        let mut tenants = met(limits);
        tenants.enter(at(0), "a").unwrap();
        (0..10 * MOST_IDLE).for_each(|n| tenants.meet(at(0), &format!("t{n}"), limits));
        assert!(tenants.known.len() <= MOST_IDLE);
        assert_eq!(tenants.enter(at(0), "a"), Err(Beyond::Concurrency { most: 1 }));
        tenants.leave("a");
        (0..MOST_IDLE).for_each(|n| tenants.meet(at(1), &format!("u{n}"), limits));
        assert!(matches!(tenants.enter(at(1), "a"), Err(Beyond::Rate { .. })), "its bucket is remembered");
    }
}
