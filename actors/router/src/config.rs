//! The routing table.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use understudy_calibration::LadderProfile;

use crate::RouterError;
use crate::confidence::Weights;
use crate::rules::Rules;

/// One model of the ladder.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rung {
    /// Model name, as the slots know it.
    pub model: String,
    /// Confidence from which its answer stays; absent: [`RouterConfig::default_threshold`].
    #[serde(default)]
    pub threshold: Option<f32>,
}

/// When a draft is given up before it is complete.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EarlyExit {
    /// Never before this many tokens. Default 24.
    pub min_tokens: usize,
    /// Give up when the confidence so far is below this share of the threshold; 0 never
    /// does. Default 0.5: half as sure as needed, with a beginning's worth of evidence.
    pub share: f32,
}

impl Default for EarlyExit {
    fn default() -> Self {
        Self { min_tokens: 24, share: 0.5 }
    }
}

/// Which SQLite files a validator may read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Databases {
    /// Files in these folders and below.
    Below(Vec<PathBuf>),
    /// Any file: for callers who could read it themselves.
    Anywhere,
}

impl Default for Databases {
    fn default() -> Self {
        Self::Below(Vec::new())
    }
}

impl Databases {
    /// Whether a file may be read. Links are followed first.
    pub(crate) fn allows(&self, file: &Path) -> bool {
        let Self::Below(folders) = self else { return true };
        let Ok(file) = file.canonicalize() else { return false };
        folders.iter().filter_map(|folder| folder.canonicalize().ok()).any(|folder| file.starts_with(folder))
    }
}

/// Ladder, thresholds and limits. Every field has a default, so a file names only what differs.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RouterConfig {
    /// Rungs, cheapest first; used by requests that name none.
    pub ladder: Vec<Rung>,
    /// Threshold of rungs that have none of their own. Default 0.5: the answer is more
    /// likely right than wrong, as far as [`Weights`] are calibrated.
    pub default_threshold: f32,
    /// For callers whose own request states no budget. Default 512.
    pub default_max_tokens: u32,
    /// The largest budget a request may ask. Default 32,768.
    pub max_tokens_limit: u32,
    /// Most stop texts. Default 16.
    pub max_stops: usize,
    /// Requests that run at once; one more is refused. Read at start. Default 256.
    pub max_requests: usize,
    /// How long a lost model is waited for before its request ends as interrupted.
    /// Milliseconds; default 20,000.
    pub resume_wait_ms: u64,
    /// Longest time to compile a constraint. Milliseconds; default 10,000.
    pub constraint_budget_ms: u64,
    /// When drafts are given up.
    pub early_exit: EarlyExit,
    /// How token signals become a confidence where no profile says.
    pub weights: Weights,
    /// Calibrated confidences and thresholds, by task.
    #[serde(skip)]
    pub profiles: Vec<Arc<LadderProfile>>,
    /// What was learned of prompts, by task: each rung's probability of being right before it writes.
    #[serde(skip)]
    pub routes: Vec<Arc<LadderProfile>>,
    /// Rules of the policy `route`, tried before anything learned.
    #[serde(skip)]
    pub rules: Rules,
    /// The model whose vectors of questions are evidence for `route`. Default: none.
    pub embedder: Option<String>,
    /// Which files validators may read.
    pub databases: Databases,
}

impl Default for RouterConfig {
    fn default() -> Self {
        Self {
            ladder: Vec::new(),
            default_threshold: 0.5,
            default_max_tokens: 512,
            max_tokens_limit: 32_768,
            max_stops: 16,
            max_requests: 256,
            resume_wait_ms: 20_000,
            constraint_budget_ms: 10_000,
            early_exit: EarlyExit::default(),
            weights: Weights::default(),
            profiles: Vec::new(),
            routes: Vec::new(),
            rules: Rules::default(),
            embedder: None,
            databases: Databases::default(),
        }
    }
}

impl RouterConfig {
    /// The default configuration with these models, cheapest first.
    pub fn with_ladder<M: Into<String>>(models: impl IntoIterator<Item = M>) -> Self {
        let ladder = models.into_iter().map(|model| Rung { model: model.into(), threshold: None }).collect();
        Self { ladder, ..Self::default() }
    }

    /// The threshold at which an answer of `model` stays.
    pub fn threshold_of(&self, model: &str) -> f32 {
        let rung = self.ladder.iter().find(|rung| rung.model == model);
        rung.and_then(|rung| rung.threshold).unwrap_or(self.default_threshold)
    }

    /// The profile of a task.
    pub fn profile_of(&self, task: &str) -> Option<&Arc<LadderProfile>> {
        self.profiles.iter().find(|profile| profile.task == task)
    }

    /// Checks every value.
    ///
    /// # Errors
    /// [`RouterError::Invalid`] naming the first field that is out of range. An empty
    /// ladder is allowed: requests then name their models.
    pub fn check(&self) -> Result<(), RouterError> {
        let thresholds = self.ladder.iter().filter_map(|rung| rung.threshold).chain([self.default_threshold]);
        for threshold in thresholds {
            check_share("threshold", threshold)?;
        }
        check_share("early_exit.share", self.early_exit.share)?;
        check_ladder(self.ladder.iter().map(|rung| rung.model.as_str()))?;
        if !self.weights.is_finite() {
            return Err(RouterError::invalid("weights", "every weight must be a finite number"));
        }
        for (field, value) in [
            ("default_max_tokens", self.default_max_tokens as usize),
            ("max_tokens_limit", self.max_tokens_limit as usize),
            ("max_requests", self.max_requests),
        ] {
            if value == 0 {
                return Err(RouterError::invalid(field, "must be at least 1"));
            }
        }
        Ok(())
    }
}

/// Names must be there and differ.
pub(crate) fn check_ladder<'a>(models: impl Iterator<Item = &'a str>) -> Result<(), RouterError> {
    let mut seen = Vec::new();
    for model in models {
        if model.trim().is_empty() {
            return Err(RouterError::invalid("ladder", "a model name is empty"));
        }
        if seen.contains(&model) {
            return Err(RouterError::invalid("ladder", format!("{model:?} is there twice")));
        }
        seen.push(model);
    }
    Ok(())
}

pub(crate) fn check_share(field: &str, value: f32) -> Result<(), RouterError> {
    if (0.0..=1.0).contains(&value) {
        Ok(())
    } else {
        Err(RouterError::invalid(field, format!("{value} is not between 0 and 1")))
    }
}
