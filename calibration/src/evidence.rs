//! What a judged answer left behind.

use std::collections::BTreeMap;

/// Numbers that speak about an answer, by name: those of its tokens (`p10_logprob`), and those of validators
/// (`validator.sql`, 1 passed, 0 failed). What is not known is absent.
pub type Evidence = BTreeMap<String, f64>;

/// Beginning of the names of validators' evidence.
pub const VALIDATOR: &str = "validator.";

/// Beginning of the names of a vector's numbers.
pub const VECTOR: &str = "embedding.";

/// Name of the evidence that two models' answers come to the same: 1, else 0.
pub const AGREES: &str = "agrees";

/// What an answer took.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Cost {
    /// Tokens written.
    pub tokens: f64,
    /// Bytes of weights read.
    pub bytes: f64,
    /// Milliseconds of wall clock.
    pub ms: f64,
}

impl std::ops::Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { tokens: self.tokens + other.tokens, bytes: self.bytes + other.bytes, ms: self.ms + other.ms }
    }
}

/// One model's judged answer to one item.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Example {
    /// What was seen of it.
    pub evidence: Evidence,
    /// Whether it is right.
    pub ok: bool,
    /// What it took.
    pub cost: Cost,
    /// A normal form of what it means; `None` where it means nothing.
    pub outcome: Option<String>,
}

impl Example {
    /// The example as it looks where no validator was asked.
    pub fn without_validators(&self) -> Self {
        let mut plain = self.clone();
        plain.evidence.retain(|name, _| !name.starts_with(VALIDATOR));
        plain
    }

    /// The example as it looks beside another answer to the same item.
    pub fn beside(&self, other: &Self) -> Self {
        let mut beside = self.clone();
        let agrees = self.outcome.is_some() && self.outcome == other.outcome;
        beside.evidence.insert(AGREES.to_owned(), f64::from(u8::from(agrees)));
        beside
    }
}

/// Both rungs' answers to one item.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pair {
    /// Which item.
    pub item: String,
    /// The smaller model's.
    pub draft: Example,
    /// The bigger model's.
    pub teacher: Example,
}
