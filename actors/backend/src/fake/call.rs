//! What a test sees of the verbs that arrived.

use understudy_engine::verbs::RunSpec;

/// A verb that arrived, as a test wants to see it.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    /// `open` with this prompt as text.
    Open(String),
    /// `extend` by this text.
    Extend(String),
    /// `run`.
    Run(RunSpec),
    /// `propose` of this many tokens.
    Propose(usize),
    /// `verify` of this drafted text.
    Verify(String),
    /// `truncate` to this length.
    Truncate(usize),
    /// `fork` on this lane.
    Fork(u32),
    /// `score` of these texts.
    Score(Vec<String>),
    /// `embed` of this text.
    Embed(String),
    /// `close`, by the caller or because the request was cancelled.
    Close,
}
