//! Names of what a node hands out. They tell things apart and are no secrets.

/// A new name, such as `resp_4c0f…`.
pub(crate) fn new(kind: &str) -> String {
    format!("{kind}_{:032x}", fastrand::u128(..))
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
