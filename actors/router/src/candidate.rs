//! An answer in the making: tokens, who wrote each, and the text that they are.
//!
//! A request may have several: a cascade drafts one per rung, best-of-n several at once. One of them
//! is shown ([`crate::screen`]) and one becomes the answer, which need not be the same until the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use understudy_engine::text::TextStream;
use understudy_engine::verbs::{StepResult, TokenId};

use crate::{FinishReason, Origin, TokenLogprob};

static MADE: AtomicU64 = AtomicU64::new(0);

/// Who writes, and in which vocabulary its token ids are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Author {
    pub(crate) model: Arc<str>,
    pub(crate) vocabulary: Arc<str>,
}

/// A token of a candidate.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) author: Author,
    pub(crate) step: StepResult,
    pub(crate) origin: Origin,
    /// Why this author wrote it; empty where the policy has one reason for all.
    pub(crate) why: Arc<str>,
    /// Bytes of all tokens up to and with this one.
    pub(crate) end: usize,
    /// Bytes of text that were certain once it was there.
    pub(crate) shown: usize,
    /// What is told of it, where the request asks for log-probabilities.
    pub(crate) told: Option<Arc<TokenLogprob>>,
}

/// What is judged: a candidate, and how often it was over and went on after all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Revision {
    pub(crate) candidate: u64,
    count: u32,
}

/// An answer, complete or not.
pub(crate) struct Candidate {
    /// Tells candidates of all requests apart.
    pub(crate) id: u64,
    revisions: u32,
    tokens: Vec<Written>,
    bytes: Vec<u8>,
    stops: Vec<String>,
    stream: TextStream,
    text: String,
    /// A stop text was found: nothing more belongs to the answer.
    stopped: bool,
    /// Why the author has the pen now.
    why: Arc<str>,
    /// How it ended, once it has.
    pub(crate) end: Option<FinishReason>,
}

impl Candidate {
    /// Nothing written. The text ends before any of `stops`.
    pub(crate) fn new(stops: &[String]) -> Self {
        Self {
            id: MADE.fetch_add(1, Ordering::Relaxed),
            revisions: 0,
            tokens: Vec::new(),
            bytes: Vec::new(),
            stops: stops.to_vec(),
            stream: TextStream::new(stops),
            text: String::new(),
            stopped: false,
            why: "".into(),
            end: None,
        }
    }

    pub(crate) fn revision(&self) -> Revision {
        Revision { candidate: self.id, count: self.revisions }
    }

    pub(crate) fn tokens(&self) -> &[Written] {
        &self.tokens
    }

    /// Bytes of the tokens, which may end inside a character.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The text that is certain.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped
    }

    pub(crate) fn steps(&self) -> impl Iterator<Item = &StepResult> {
        self.tokens.iter().map(|token| &token.step)
    }

    /// Token ids, where all of them are of this vocabulary.
    pub(crate) fn ids_in(&self, vocabulary: &str) -> Option<Vec<TokenId>> {
        let ours = self.tokens.iter().all(|token| &*token.author.vocabulary == vocabulary);
        ours.then(|| self.tokens.iter().map(|token| token.step.token).collect())
    }

    /// From now on tokens are written for this reason.
    pub(crate) fn because(&mut self, why: &str) {
        self.why = why.into();
    }

    /// Appends a token.
    pub(crate) fn push(&mut self, author: &Author, step: StepResult, origin: Origin, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        let piece = self.stream.push(bytes);
        self.text.push_str(&piece.text);
        self.stopped = piece.stopped.is_some();
        self.tokens.push(Written {
            author: author.clone(),
            step,
            origin,
            why: self.why.clone(),
            end: self.bytes.len(),
            shown: self.text.len(),
            told: None,
        });
    }

    /// Keeps what is to be told of the last token.
    pub(crate) fn tell(&mut self, told: TokenLogprob) {
        if let Some(last) = self.tokens.last_mut() {
            last.told = Some(Arc::new(told));
        }
    }

    /// Keeps the first `count` tokens. The text that is certain then is a beginning of what it was.
    pub(crate) fn truncate(&mut self, count: usize) {
        if count >= self.tokens.len() {
            return;
        }
        self.tokens.truncate(count);
        let end = self.tokens.last().map_or(0, |token| token.end);
        self.bytes.truncate(end);
        self.reopen();
    }

    /// It is not over after all. What is undecided then is no text again.
    pub(crate) fn reopen(&mut self) {
        self.revisions += u32::from(self.end.is_some());
        self.stream = TextStream::new(&self.stops);
        let piece = self.stream.push(&self.bytes);
        (self.text, self.stopped, self.end) = (piece.text, piece.stopped.is_some(), None);
    }

    /// The answer is over: what was undecided is text now. Where it was cut off, the beginning of a
    /// character is dropped instead of shown as a replacement.
    pub(crate) fn finish(&mut self, end: FinishReason) {
        let mut rest = self.stream.finish().text;
        if end != FinishReason::Stop && rest.ends_with(char::REPLACEMENT_CHARACTER) {
            rest.pop();
        }
        self.text.push_str(&rest);
        if let Some(last) = self.tokens.last_mut() {
            last.shown = self.text.len();
        }
        self.end = Some(end);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn author(model: &str) -> Author {
        Author { model: model.into(), vocabulary: "bytes".into() }
    }

    fn step(token: TokenId) -> StepResult {
        StepResult { token, logprob: -0.1, signals: None, forced: false, alternatives: None }
    }

    #[test]
    fn a_character_belongs_to_the_token_that_completes_it() {
        let mut candidate = Candidate::new(&[]);
        candidate.push(&author("a"), step(1), Origin::Written, b"caf\xC3");
        candidate.push(&author("b"), step(2), Origin::Written, b"\xA9!");
        assert_eq!(candidate.text(), "café!");
        let shown: Vec<_> = candidate.tokens().iter().map(|token| token.shown).collect();
        assert_eq!(shown, [3, 6]);
        candidate.truncate(1);
        assert_eq!((candidate.text(), candidate.bytes()), ("caf", &b"caf\xC3"[..]));
        candidate.finish(FinishReason::Length);
        assert_eq!(candidate.text(), "caf", "half a character is not shown where the answer was cut off");
    }

    proptest! {
        /// Taking tokens back and writing them again gives what writing them once does.
        #[test]
        fn what_was_taken_back_leaves_no_trace(
            pieces in prop::collection::vec("[a-zé🚀#]{0,3}", 0..12),
            keep in any::<prop::sample::Index>(),
            stop in "[a-z#]{1,2}",
        ) {
            let stops = [stop];
            let write = |candidate: &mut Candidate, pieces: &[String]| {
                for (id, piece) in pieces.iter().enumerate() {
                    candidate.push(&author("m"), step(id as TokenId), Origin::Written, piece.as_bytes());
                }
            };
            let mut once = Candidate::new(&stops);
            write(&mut once, &pieces);
            let mut twice = Candidate::new(&stops);
            write(&mut twice, &pieces);
            let keep = keep.index(pieces.len() + 1);
            twice.truncate(keep);
            prop_assert!(once.text().starts_with(twice.text()));
            write(&mut twice, &pieces[keep..]);
            prop_assert_eq!(once.text(), twice.text());
            prop_assert_eq!(once.is_stopped(), twice.is_stopped());
        }
    }
}
