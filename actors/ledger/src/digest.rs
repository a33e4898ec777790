//! Keyed digests. They tell that two texts of one file are equal and nothing of texts in other files: the key is
//! random and never leaves its file. Whoever has the file has the key, and can try texts that are easy to guess.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::Entry;

/// Bytes of a file's key.
pub(crate) const KEY_BYTES: usize = 32;

/// Takes digests with a file's key, and content out of entries.
#[derive(Clone)]
pub(crate) struct Sealer {
    key: [u8; KEY_BYTES],
    keeps_content: bool,
}

impl Sealer {
    pub(crate) fn new(key: [u8; KEY_BYTES], keeps_content: bool) -> Self {
        Self { key, keeps_content }
    }

    pub(crate) fn keeps_content(&self) -> bool {
        self.keeps_content
    }

    /// SHA-256 over the key and the text, in hexadecimal. The key has one length, so no other split of the same
    /// bytes into key and text is meant.
    pub(crate) fn text(&self, text: &str) -> String {
        hex(Sha256::new_with_prefix(self.key).chain_update(text))
    }

    /// Of a conversation: each text after its length, so that turns cannot run into each other.
    pub(crate) fn messages<'a>(&self, messages: impl Iterator<Item = (&'a str, &'a str)>) -> String {
        let mut digest = Sha256::new_with_prefix(self.key);
        for text in messages.flat_map(|(role, content)| [role, content]) {
            digest.update((text.len() as u64).to_le_bytes());
            digest.update(text);
        }
        hex(digest)
    }

    /// Makes the entry fit to be stored: with the digest of its answer, and without what quotes prompt or answer
    /// unless content is kept.
    pub(crate) fn seal(&self, entry: &mut Entry) {
        entry.answer_digest = self.text(entry.text.as_deref().unwrap_or_default());
        for judged in &mut entry.ledger.candidates {
            // JSON has no other numbers.
            judged.evidence.retain(|_, value| value.is_finite());
        }
        if !self.keeps_content {
            self.take_content(entry);
        }
    }

    fn take_content(&self, entry: &mut Entry) {
        (entry.messages, entry.text) = (None, None);
        entry.ledger.spans.iter_mut().for_each(|span| span.why.clear());
        entry.ledger.decisions.iter_mut().for_each(|decision| decision.reason.clear());
        for judged in &mut entry.ledger.candidates {
            judged.outcome = judged.outcome.take().map(|outcome| self.text(&outcome));
            judged.validators.iter_mut().for_each(|found| found.detail.clear());
        }
    }
}

fn hex(digest: Sha256) -> String {
    let mut text = String::with_capacity(64);
    for byte in digest.finalize() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_tell_turns_and_files_apart() {
        let (one, other) = (Sealer::new([1; KEY_BYTES], false), Sealer::new([2; KEY_BYTES], false));
        assert_eq!(one.text("a"), one.text("a"));
        assert_ne!(one.text("a"), other.text("a"), "each file has its own");
        let conversation = |turns: &[(&'static str, &'static str)]| one.messages(turns.iter().copied());
        assert_ne!(conversation(&[("user", "ab")]), conversation(&[("usera", "b")]));
        assert_ne!(conversation(&[("user", "")]), conversation(&[("user", ""), ("", "")]));
    }
}
