//! What one tenant may take: requests per minute, and at the same time.

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
    /// Requests that run or wait at the same time.
    pub concurrency: Option<usize>,
}

/// A limit that a request would go beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beyond {
    Rate { per_minute: u32, retry: Duration },
    Concurrency { most: usize },
}

/// The tenants with limits. Whoever was not [met](Self::meet) has none, such as the local user.
#[derive(Default)]
pub(super) struct Tenants {
    known: HashMap<Arc<str>, Tenant>,
}

struct Tenant {
    limits: TenantLimits,
    /// Requests that may come at once, as of `filled`.
    tokens: f64,
    filled: Duration,
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
        self.known.insert(name.into(), Tenant { limits, tokens: limits.depth(), filled: now, inside: 0 });
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
        if let Some(per_minute) = tenant.limits.requests_per_minute {
            tenant.fill(now);
            if tenant.tokens < 1.0 {
                let missing = (1.0 - tenant.tokens) * 60.0 / f64::from(per_minute.max(1));
                return Err(Beyond::Rate { per_minute, retry: Duration::from_secs_f64(missing) });
            }
            tenant.tokens -= 1.0;
        }
        tenant.inside += 1;
        Ok(())
    }

    /// A request of this tenant has ended.
    pub(super) fn leave(&mut self, name: &str) {
        if let Some(tenant) = self.known.get_mut(name) {
            tenant.inside = tenant.inside.saturating_sub(1);
        }
    }
}

impl TenantLimits {
    fn depth(&self) -> f64 {
        f64::from(self.burst.max(1))
    }
}

impl Tenant {
    fn fill(&mut self, now: Duration) {
        let rate = f64::from(self.limits.requests_per_minute.unwrap_or(0)) / 60.0;
        let gained = now.saturating_sub(self.filled).as_secs_f64() * rate;
        self.tokens = (self.tokens + gained).min(self.limits.depth());
        self.filled = now;
    }

    fn is_idle(&mut self, now: Duration) -> bool {
        self.fill(now);
        self.inside == 0 && (self.limits.requests_per_minute.is_none() || self.tokens >= self.limits.depth())
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
        let limits = TenantLimits { requests_per_minute: Some(1), burst: 1, concurrency: Some(1) };
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
