//! Tool calls in an answer: as a constraint, and as a reader of what was written.
//!
//! All models write a call in one form, several with one line break between them:
//!
//! ```text
//! <tool_call>
//! {"name": "weather", "arguments": {"city": "Paris"}}
//! </tool_call>
//! ```
//!
//! Where text is allowed too, an answer may be the object alone, or in a code fence.
//!
//! | module | what it holds |
//! |---|---|
//! | `form` | the form's fixed parts |
//! | `tools` | what can be wrong with tools, and the arguments of each as JSON |
//! | `opening` | how a call without marks begins, for constraint and reader alike |
//! | `prose` | free text, up to where a call begins |
//! | `language` | texts with calls as a `Language` of the machine |
//! | `unmarked` | of that, answers that may begin as text: text, or calls without marks |
//! | `reader`, `scan` | [`CallReader`]: text and calls out of a text that comes in pieces |

mod form;
mod language;
mod opening;
mod prose;
mod reader;
mod scan;
mod tools;
mod unmarked;

pub(crate) use language::Calls;
pub use reader::{CallPiece, CallReader};

use crate::GrammarError;

/// Which tools may be called, and whether something else may be said.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CallsSpec {
    /// The tools, of different names; at most [`CallsSpec::MOST_TOOLS`].
    pub tools: Vec<ToolSpec>,
    /// Whether text may come before the first call, and there need be no call; or calls come without their marks. Else
    /// there is at least one, and nothing beside the calls.
    pub text: bool,
    /// Whether there may be several calls.
    pub many: bool,
}

/// A tool.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ToolSpec {
    /// Letters, digits, `_`, `-` and `.`, at most 64.
    pub name: String,
    /// A JSON Schema of the arguments, which are an object whatever it says; empty: any object. A schema whose
    /// `properties` are empty and which says nothing else about members is of a tool without parameters: `{}`.
    pub parameters: String,
}

impl CallsSpec {
    /// Most tools. Each may cost what a JSON Schema costs.
    pub const MOST_TOOLS: usize = 128;

    /// Whether tools are well named. Cheap: no schema is read.
    ///
    /// # Errors
    /// [`GrammarError::Tools`].
    pub fn check(&self) -> Result<(), GrammarError> {
        tools::check(&self.tools)
    }
}
