//! A smaller model guesses.
//!
//! With the target's vocabulary its tokens and their distribution are the draft. With another one its
//! text is: encoded anew, as point masses. The last token is left off where the text may go on within
//! it, since the target would spell it otherwise.

use std::time::Duration;

use async_trait::async_trait;
use understudy_backend::Backend;
use understudy_engine::codec::Codec;
use understudy_engine::verbs::{Draft, TokenId};

use super::{Drafter, Price};
use crate::candidate::Candidate;
use crate::desk::{Desk, Trouble};
use crate::session::Session;

/// How often a draft goes there and back: to tell what stands, and to ask for what may follow.
const WAYS: f64 = 2.0;

/// One that was lost is looked for once more after so many tokens: by then it is known who else has it.
const LOOKS_AGAIN_AFTER: usize = 32;

/// A draft that takes so many times as long as expected, and longer than [`SHORT`], is not waited for: the target could
/// have written those tokens itself. Whether its node is dead is known much later.
const LATE: f64 = 10.0;
/// What a target can always spare. The first draft of one that is looked for again may take no longer.
const SHORT: Duration = Duration::from_millis(250);

/// Drafts with a sequence of its own.
pub(crate) struct ModelDrafter {
    session: Session,
    price: Price,
    /// How long the answer was when it was lost.
    lost_at: Option<usize>,
}

impl ModelDrafter {
    pub(crate) fn new(session: Session) -> Self {
        Self { session, price: Price::default(), lost_at: None }
    }
}

#[async_trait]
impl Drafter for ModelDrafter {
    fn prospect(&mut self, target: &Session) -> Result<Option<String>, Trouble> {
        let (_, answer) = target.tokens()?;
        let rests = self.lost_at.is_some_and(|at| answer.len() < at + LOOKS_AGAIN_AFTER);
        Ok((!rests).then(|| self.session.model().to_owned()))
    }

    fn price(&self) -> Price {
        self.price
    }

    async fn draft(
        &mut self,
        desk: &mut Desk<'_>,
        candidate: &Candidate,
        target: &Session,
        most: usize,
    ) -> Result<Draft, Trouble> {
        let patience = self.patience(most);
        let guess = self.guess(desk, candidate, target, most);
        let guessed = match patience {
            None => guess.await,
            Some(patience) => tokio::time::timeout(patience, guess)
                .await
                .unwrap_or_else(|_| Err(Trouble::Lost(format!("it said nothing for {patience:?}")))),
        };
        match guessed {
            Err(Trouble::Lost(why)) if self.lost_at.is_none() => {
                tracing::info!(request = %desk.job.ctx.request_id, drafter = self.session.model(), why, "a drafter is lost");
                self.lost_at = Some(target.tokens()?.1.len());
                self.session = Session::new(self.session.model());
                self.price = Price::default();
                Ok(Draft::default())
            }
            guessed => guessed,
        }
    }

    fn model(&self) -> Option<&str> {
        Some(self.session.model())
    }

    fn name(&self) -> &str {
        self.session.model()
    }
}

impl ModelDrafter {
    /// How long a draft may take. The first one may take any time: its model may have to be loaded, and the prompt be read.
    fn patience(&self, most: usize) -> Option<Duration> {
        let expected = self.price.per_draft + self.price.per_token * most as f64;
        let is_known = expected > 0.0 || self.lost_at.is_some();
        is_known.then(|| Duration::from_secs_f64(LATE * expected).max(SHORT))
    }

    async fn guess(
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
        self.price = price(self.session.backend()?.as_ref());
        let (own, theirs) = (self.session.codec()?, target.codec()?);
        if own.digest() == theirs.digest() {
            return Ok(draft);
        }
        let mut ids = translated(own.as_ref(), theirs.as_ref(), &draft.ids);
        ids.truncate(most);
        Ok(Draft::certain(ids))
    }
}

/// The way there and back is paid by the draft, however long that is.
fn price(backend: &dyn Backend) -> Price {
    let way = backend.round_trip();
    let per_token = backend.pace().seconds(1).map_or(0.0, |pass| (pass - way).max(0.0));
    Price { per_draft: WAYS * way, per_token }
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
