//! Who calls, and what they may.

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
    /// What their tenant may take.
    pub limits: TenantLimits,
}
