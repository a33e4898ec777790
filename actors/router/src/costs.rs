//! What answers of each model have cost lately: what routing weighs against being right.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::RungCost;
use crate::plan::Cast;

/// Weight of the latest answer.
const LATEST: f64 = 0.1;
/// Where a rung's cost is not known yet: each is so many times as dear as the one below.
const ASSUMED_STEP: f64 = 3.0;
/// Models remembered. When there are more, all are forgotten.
const MODELS: usize = 256;

/// Averages over the last answers, by model.
#[derive(Debug, Default)]
pub(crate) struct Costs {
    models: Mutex<HashMap<String, Mean>>,
}

#[derive(Debug, Clone, Copy)]
struct Mean {
    bytes: f64,
    ms: f64,
}

impl Costs {
    /// Notes what an answer has cost.
    pub(crate) fn note(&self, rungs: &[RungCost]) {
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        if models.len() >= MODELS {
            models.clear();
        }
        for rung in rungs.iter().filter(|rung| rung.tokens_kept + rung.tokens_wasted > 0) {
            let now = Mean { bytes: rung.cost.bytes_read as f64, ms: rung.wall_ms };
            let mean = models.entry(rung.model.clone()).or_insert(now);
            mean.bytes += LATEST * (now.bytes - mean.bytes);
            mean.ms += LATEST * (now.ms - mean.ms);
        }
    }

    /// How long an answer takes, if one was seen.
    pub(crate) fn time_of(&self, model: &str) -> Option<Duration> {
        self.mean(model).map(|mean| Duration::from_secs_f64(mean.ms.max(0.0) / 1e3))
    }

    /// Bytes that an answer of this rung reads, as a share of the last one's.
    pub(crate) fn share_of(&self, cast: &Cast, rung: usize) -> f32 {
        let last = cast.last();
        match (self.mean(cast.model(rung)), self.mean(cast.model(last))) {
            (Some(own), Some(of_last)) if of_last.bytes > 0.0 => (own.bytes / of_last.bytes) as f32,
            _ => ASSUMED_STEP.powi(rung as i32 - last as i32) as f32,
        }
    }

    fn mean(&self, model: &str) -> Option<Mean> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner).get(model).copied()
    }
}
