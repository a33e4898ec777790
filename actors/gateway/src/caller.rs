//! Who calls, and what they may.

use serde::{Deserialize, Serialize};
use understudy_backend::Priority;

use crate::admission::tenant::TenantLimits;

/// Whoever sent a call. The transport puts it into the extensions of each request; a call without one is the local
/// user's, who may do everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Caller {
    /// Whose requests they are; empty for the local user.
    pub tenant: String,
    /// The best priority that their requests may have.
    pub priority: Priority,
    /// What they may use.
    pub scopes: Scopes,
    /// What their tenant may take.
    pub limits: TenantLimits,
}

/// A part of a node that a key may open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Asking: generate, embed, score, tokenize, and the lists that a client needs for it.
    Inference,
    /// Loading and unloading models.
    Models,
    /// Metrics, log level, the cluster.
    Admin,
}

impl Scope {
    /// All, in the order of what they give away.
    pub const ALL: [Self; 3] = [Self::Inference, Self::Models, Self::Admin];

    /// Its name, as in files and flags.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inference => "inference",
            Self::Models => "models",
            Self::Admin => "admin",
        }
    }
}

impl std::str::FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|scope| scope.as_str() == text);
        known.ok_or_else(|| format!("{text:?} is none of inference, models, admin"))
    }
}

/// A set of scopes; all of them unless said otherwise, as the local user has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// Whether this one is among them.
    pub fn has(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u8) != 0
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |set, scope| set | (1 << scope as u8)))
    }
}

impl Default for Scopes {
    fn default() -> Self {
        Scope::ALL.into_iter().collect()
    }
}
