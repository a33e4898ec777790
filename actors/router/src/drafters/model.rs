//! A smaller model guesses.
//!
//! With the target's vocabulary its tokens and their distribution are the draft. With another one its
//! text is: encoded anew, as point masses. The last token is left off where the text may go on within
//! it, since the target would spell it otherwise.

use async_trait::async_trait;
use understudy_engine::codec::Codec;
use understudy_engine::verbs::{Draft, TokenId};

use super::Drafter;
use crate::candidate::Candidate;
use crate::desk::{Desk, Trouble};
use crate::session::Session;

/// Drafts with a sequence of its own.
pub(crate) struct ModelDrafter {
    session: Session,
    seconds_per_token: f64,
}

impl ModelDrafter {
    pub(crate) fn new(session: Session) -> Self {
        Self { session, seconds_per_token: 0.0 }
    }
}

#[async_trait]
impl Drafter for ModelDrafter {
    fn prospect(&mut self, _: &Session) -> Result<Option<String>, Trouble> {
        Ok(Some(self.session.model().to_owned()))
    }

    fn seconds_per_token(&self) -> f64 {
        self.seconds_per_token
    }

    async fn draft(
        &mut self,
        desk: &mut Desk<'_>,
        candidate: &Candidate,
        target: &Session,
        most: usize,
    ) -> Result<Draft, Trouble> {
        self.session.ready(desk, candidate).await?;
        if !self.session.holds(candidate)? {
            return Ok(Draft::default());
        }
        let draft = self.session.propose(desk, most).await?;
        self.seconds_per_token = self.session.backend()?.pace().seconds(1).unwrap_or(0.0);
        let (own, theirs) = (self.session.codec()?, target.codec()?);
        if own.digest() == theirs.digest() {
            return Ok(draft);
        }
        let mut ids = translated(own.as_ref(), theirs.as_ref(), &draft.ids);
        ids.truncate(most);
        Ok(Draft::certain(ids))
    }

    fn model(&self) -> Option<&str> {
        Some(self.session.model())
    }

    fn name(&self) -> &str {
        self.session.model()
    }
}

/// The text of these tokens in another vocabulary; empty where it has none.
fn translated(from: &dyn Codec, to: &dyn Codec, ids: &[TokenId]) -> Vec<TokenId> {
    let ends = ids.iter().any(|&id| from.is_end(id));
    let bytes: Vec<u8> = ids.iter().flat_map(|&id| from.token_bytes(id)).copied().collect();
    let text = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let mut encoded = match text {
        "" => Vec::new(),
        // A text without an encoding is no draft.
        text => to.encode_text(text).unwrap_or_default(),
    };
    let is_whole = ends || text.ends_with(|last: char| last.is_ascii_punctuation() || last == '\n');
    if !is_whole {
        encoded.pop();
    }
    encoded
}
