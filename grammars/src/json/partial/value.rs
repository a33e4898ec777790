//! Values that are not complete.

/// A value so far.
///
/// Within one text it only grows: texts by characters, lists and objects by parts, each of which
/// grows in turn. A literal or a number is there once it is complete, since `1` may become `12`;
/// a member of an object once its value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartialValue {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as it is spelled.
    Number(String),
    /// A string, decoded.
    Text {
        /// What there is of it.
        text: String,
        /// Whether it has its closing quote.
        complete: bool,
    },
    /// An array.
    List {
        /// The elements there are.
        items: Vec<PartialValue>,
        /// Whether it has its closing bracket.
        complete: bool,
    },
    /// An object.
    Object {
        /// Its members in the order of the text; of equal names all are kept.
        members: Vec<(String, PartialValue)>,
        /// Whether it has its closing brace.
        complete: bool,
    },
}

impl PartialValue {
    /// Whether nothing can be added.
    pub fn is_complete(&self) -> bool {
        match self {
            Self::Text { complete, .. } | Self::List { complete, .. } | Self::Object { complete, .. } => {
                *complete
            }
            _ => true,
        }
    }

    /// The last member of this name, of an object.
    pub fn get(&self, name: &str) -> Option<&Self> {
        let Self::Object { members, .. } = self else { return None };
        members.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    pub(super) fn complete(&mut self) {
        if let Self::Text { complete, .. } | Self::List { complete, .. } | Self::Object { complete, .. } =
            self
        {
            *complete = true;
        }
    }

    pub(super) fn last(&mut self) -> Option<&mut Self> {
        match self {
            Self::List { items, .. } => items.last_mut(),
            Self::Object { members, .. } => members.last_mut().map(|(_, value)| value),
            _ => None,
        }
    }
}
