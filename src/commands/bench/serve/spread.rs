//! Percentiles of what was measured, in milliseconds.

use serde::Serialize;

/// Half of the values are at most `p50`, 99 of 100 at most `p99`.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Spread {
    pub count: usize,
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

impl Spread {
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let rank = (share * values.len() as f64).ceil() as usize;
            values.get(rank.saturating_sub(1)).copied().unwrap_or_default()
        };
        Self { count: values.len(), p50: at(0.5), p99: at(0.99), max: at(1.0) }
    }

    pub fn cells(&self) -> Vec<String> {
        let cell = |value: f64| format!("{value:.3}");
        vec![self.count.to_string(), cell(self.p50), cell(self.p99), cell(self.max)]
    }
}
