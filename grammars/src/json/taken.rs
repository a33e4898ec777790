//! Texts that may not be read again: other keys of an object, items of an array that all differ.

use std::sync::Arc;

/// A set of texts, as they were spelled.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Taken {
    /// Sorted.
    texts: Vec<Arc<[u8]>>,
    /// There is one more that is not known.
    pub(super) unknown: bool,
}

impl Taken {
    pub(super) fn add(&mut self, text: Option<&[u8]>) {
        let Some(text) = text else {
            self.unknown = true;
            return;
        };
        if let Err(place) = self.texts.binary_search_by(|known| (**known).cmp(text)) {
            self.texts.insert(place, text.into());
        }
    }

    pub(super) fn contains(&self, text: &[u8]) -> bool {
        self.texts.binary_search_by(|known| (**known).cmp(text)).is_ok()
    }

    pub(super) fn texts(&self) -> &[Arc<[u8]>] {
        &self.texts
    }
}
