//! Tokens that are found in a text before any other tokenization.

use std::collections::HashMap;

use super::vocabulary::{TokenKind, Vocabulary};
use crate::verbs::TokenId;

/// Control, unknown and user-defined tokens by their texts.
pub(super) struct VerbatimTokens {
    by_text: HashMap<Box<[u8]>, Found>,
    /// Per first byte, the lengths that exist, longest first.
    lengths: Box<[Vec<u32>; 256]>,
}

#[derive(Clone, Copy)]
struct Found {
    id: TokenId,
    /// Recognised in prompts only.
    control: bool,
}

/// A stretch of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fragment<'a> {
    /// A verbatim token.
    Token(TokenId),
    /// What lies between; never empty.
    Text(&'a str),
}

impl VerbatimTokens {
    pub(super) fn new(vocabulary: Vocabulary<'_>) -> Self {
        let mut by_text = HashMap::new();
        let mut lengths: Box<[Vec<u32>; 256]> = Box::new(std::array::from_fn(|_| Vec::new()));
        for (id, text, kind) in vocabulary.verbatim() {
            let Some(first) = text.bytes().next() else {
                continue;
            };
            let control = kind != TokenKind::UserDefined;
            by_text.insert(text.as_bytes().into(), Found { id, control });
            let known = &mut lengths[usize::from(first)];
            // Lengths come from a mapped file's strings; longer ones than this are no tokens.
            let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
            if let Err(at) = known.binary_search_by(|other| length.cmp(other)) {
                known.insert(at, length);
            }
        }
        Self { by_text, lengths }
    }

    /// Splits at the leftmost longest tokens; control tokens count only `with_control`.
    pub(super) fn split<'a>(
        &'a self,
        text: &'a str,
        with_control: bool,
    ) -> impl Iterator<Item = Fragment<'a>> {
        let mut rest = text;
        let mut found = None;
        std::iter::from_fn(move || {
            if let Some(id) = found.take() {
                return Some(Fragment::Token(id));
            }
            if rest.is_empty() {
                return None;
            }
            let Some((start, end, id)) = self.next(rest, with_control) else {
                return Some(Fragment::Text(std::mem::take(&mut rest)));
            };
            let before = rest.get(..start).unwrap_or_default();
            rest = rest.get(end..).unwrap_or_default();
            if before.is_empty() {
                return Some(Fragment::Token(id));
            }
            found = Some(id);
            Some(Fragment::Text(before))
        })
    }

    fn next(&self, text: &str, with_control: bool) -> Option<(usize, usize, TokenId)> {
        let bytes = text.as_bytes();
        for (start, first) in bytes.iter().enumerate() {
            for length in &self.lengths[usize::from(*first)] {
                let end = start + *length as usize;
                let token = bytes.get(start..end).and_then(|text| self.by_text.get(text));
                if let Some(token) = token.filter(|token| with_control || !token.control) {
                    return Some((start, end, token.id));
                }
            }
        }
        None
    }
}
