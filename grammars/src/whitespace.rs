//! Whitespace between the tokens of a text.

/// [`BLANK`], where it is a part of another expression.
macro_rules! blank {
    () => {
        r"(?: |\r?\n[ \t]{0,40})"
    };
}

/// How the tokens of a text are set apart: in JSON, and in both formats of Protobuf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Whitespace {
    /// Not at all: the shortest texts, and the most forced tokens. In Protobuf's text format fields are set
    /// apart by one space.
    None,
    /// One space at most, in the same places: all on one line.
    Line,
    /// As printers do it: by a space, or by a new line and up to 40 spaces or tabs; in JSON after `{`, `[`, `,`
    /// and `:` and before `}` and `]`. Where more is allowed, small models wander in it.
    Usual,
}

impl Whitespace {
    /// An expression of what may be where nothing has to be.
    pub(crate) const fn optional(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Line => " ?",
            Self::Usual => concat!(blank!(), "?"),
        }
    }
}

/// A space, or a new line with what indents it.
pub(crate) const BLANK: &str = blank!();

/// The same, where a line may be left empty.
pub(crate) const LOOSE: &str = r"(?: |\r?\n(?:\r?\n)?[ \t]{0,40})";
