//! The form of a call: what is always the same.

/// Begins a call.
pub(super) const OPEN: &str = "<tool_call>";
/// Between the mark and the tool's name.
pub(super) const BEFORE_NAME: &str = "\n{\"name\": \"";
/// Between the tool's name and its arguments.
pub(super) const BEFORE_ARGUMENTS: &str = "\", \"arguments\": ";
/// After the arguments.
pub(super) const AFTER_ARGUMENTS: &str = "}\n</tool_call>";
/// Before a further call.
pub(super) const BETWEEN: &str = "\n";
/// Ends a call.
pub(super) const CLOSE: &str = "</tool_call>";

/// Around code in Markdown, and so around calls without marks.
pub(super) const FENCE: &str = "```";
/// After the arguments of a call without marks.
pub(super) const END: &str = "}";
/// After the last call in a fence.
pub(super) const END_OF_FENCE: &str = "\n```";
