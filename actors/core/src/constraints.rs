//! Compiled constraints as gates of the sampler: of requests of this node, and of those that come from others.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use understudy_engine::{codec::Codec, gate::TokenGate, verbs::TokenId};
use understudy_grammars::{Budget, Constraint, Grammar, GrammarCache, GrammarError, Pattern, Vocabulary};

/// Why there is no gate.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ConstraintError {
    /// The pattern cannot be compiled for the model.
    #[error("constraint: {0}")]
    Grammar(#[from] GrammarError),
    /// A text that satisfies it needs more tokens of the model's vocabulary.
    #[error("{left} tokens are too few to complete what the constraint asks for: it needs {needed}")]
    TooFewTokens {
        /// Tokens that the text may have.
        left: u32,
        /// Tokens of the shortest text that is known.
        needed: usize,
    },
    /// A defect of ours.
    #[error("internal error while making a constraint: {0}")]
    Internal(String),
}

/// Vocabularies kept. A node has few models; one of 151,936 tokens is about 8 MiB. When
/// full, the oldest is dropped (grammars that use it keep it alive).
const VOCABULARY_CAPACITY: usize = 8;

/// Grammars compiled so far, shared by all requests.
pub struct Constraints {
    grammars: GrammarCache,
    vocabularies: Mutex<Vec<Arc<Vocabulary>>>,
    /// One token per byte: of texts that are judged and not written.
    bytes: Arc<Vocabulary>,
}

impl Default for Constraints {
    fn default() -> Self {
        let tokens = (0..=u8::MAX).map(|byte| vec![byte]).chain([Vec::new()]);
        let end = TokenId::from(u8::MAX) + 1;
        Self {
            grammars: GrammarCache::default(),
            vocabularies: Mutex::default(),
            bytes: Arc::new(Vocabulary::new("bytes", tokens, vec![end])),
        }
    }
}

impl Constraints {
    /// The gate of `pattern` for a model's vocabulary, after `emitted` tokens of the answer, with `left`
    /// tokens to complete it. Compiles on a blocking thread; when `limit` passes the caller is free, and
    /// the thread ends by itself soon after (what each step may cost is bounded).
    ///
    /// # Errors
    /// [`ConstraintError::TooFewTokens`] where an answer begins that `left` tokens cannot complete, and
    /// what compiling says.
    pub async fn gate(
        self: &Arc<Self>,
        pattern: &Pattern,
        codec: Arc<dyn Codec>,
        emitted: &[TokenId],
        left: u32,
        limit: Duration,
    ) -> Result<Box<dyn TokenGate>, ConstraintError> {
        let (store, pattern, emitted) = (self.clone(), pattern.clone(), emitted.to_vec());
        let budget = Budget { time: limit, ..Budget::default() };
        let make = tokio::task::spawn_blocking(move || {
            let vocabulary = store.vocabulary(codec.as_ref());
            let grammar = store.grammars.get_or_compile(&pattern, &vocabulary, &budget)?;
            gate(&grammar, codec, &emitted, left)
        });
        let made = tokio::time::timeout(limit, make).await.map_err(|_| GrammarError::TooSlow(limit))?;
        made.map_err(|failed| ConstraintError::Internal(failed.to_string()))?
    }

    /// Whether a text is one of the pattern's, whoever wrote it; else the byte from which on it is not.
    ///
    /// # Errors
    /// What compiling says.
    pub fn accepts(&self, pattern: &Pattern, text: &[u8]) -> Result<Option<usize>, GrammarError> {
        let grammar = self.grammars.get_or_compile(pattern, &self.bytes, &Budget::default())?;
        let mut matcher = grammar.matcher();
        let tokens: Vec<TokenId> = text.iter().map(|byte| TokenId::from(*byte)).collect();
        let accepted = matcher.validate(&tokens);
        let is_whole = accepted == tokens.len() && matcher.is_accepting();
        Ok((!is_whole).then_some(accepted))
    }

    fn vocabulary(&self, codec: &dyn Codec) -> Arc<Vocabulary> {
        let digest = codec.digest();
        let known = |kept: &Vec<Arc<Vocabulary>>| kept.iter().find(|one| one.digest() == digest).cloned();
        if let Some(known) = known(&self.vocabularies.lock().unwrap_or_else(PoisonError::into_inner)) {
            return known;
        }
        let made = Arc::new(vocabulary_of(codec));
        let mut kept = self.vocabularies.lock().unwrap_or_else(PoisonError::into_inner);
        if known(&kept).is_none() {
            if kept.len() >= VOCABULARY_CAPACITY {
                kept.remove(0);
            }
            kept.push(made.clone());
        }
        made
    }
}

/// The gate of a text under a grammar, after `emitted` of its tokens, with `left` tokens to complete it.
///
/// # Errors
/// [`ConstraintError::TooFewTokens`] where a text begins that `left` tokens cannot complete.
pub fn gate(
    grammar: &Arc<Grammar>,
    codec: Arc<dyn Codec>,
    emitted: &[TokenId],
    left: u32,
) -> Result<Box<dyn TokenGate>, ConstraintError> {
    let mut matcher = grammar.matcher();
    if matcher.validate(emitted) < emitted.len() {
        return Err(ConstraintError::Internal("the constraint refuses the text it made".into()));
    }
    let needed = matcher.min_close_tokens().unwrap_or(usize::MAX);
    // What has begun goes on: another way to its end was known when it did.
    if emitted.is_empty() && needed > left as usize {
        return Err(ConstraintError::TooFewTokens { left, needed });
    }
    Ok(Box::new(Gate { constraint: Box::new(matcher), codec, left }))
}

/// A model's tokens as constraints need them.
pub fn vocabulary_of(codec: &dyn Codec) -> Vocabulary {
    let ids = 0..codec.vocab_size() as TokenId;
    let ends = ids.clone().filter(|id| codec.is_end(*id)).collect();
    Vocabulary::new(codec.digest(), ids.map(|id| codec.token_bytes(id)), ends)
}

/// A constraint as the sampler sees it: what it allows can be completed with the tokens that are
/// left.
struct Gate {
    constraint: Box<dyn Constraint>,
    /// Spells what is foreseen as the model would.
    codec: Arc<dyn Codec>,
    left: u32,
}

impl TokenGate for Gate {
    fn mask(&mut self, allowed: &mut [u32]) {
        self.constraint.mask_within(allowed, self.left);
    }

    fn accept(&mut self, token: TokenId) -> bool {
        let accepted = self.constraint.try_accept(token);
        self.left = self.left.saturating_sub(u32::from(accepted));
        accepted
    }

    fn rollback(&mut self, count: usize) {
        self.constraint.rollback(count);
        self.left = self.left.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
    }

    fn fork(&self) -> Box<dyn TokenGate> {
        Box::new(Self { constraint: self.constraint.fork(), codec: self.codec.clone(), left: self.left })
    }

    fn forced(&mut self) -> Vec<TokenId> {
        let mut forced = self.constraint.forced();
        forced.truncate(self.left as usize);
        forced
    }

    /// The next bytes, where they are known or likely, in the spelling that models learn: which of its tokens
    /// spell them stays the model's choice. A blank at their end is left off: models write it with the word
    /// after it.
    fn foreseen(&mut self, most: usize) -> Vec<TokenId> {
        let bytes = self.constraint.likely_bytes();
        let whole = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        let text = whole.strip_suffix(' ').unwrap_or(whole);
        let mut tokens = self.codec.encode_text(text).unwrap_or_default();
        tokens.truncate(most);
        tokens
    }

    fn is_complete(&mut self) -> bool {
        self.constraint.is_stopped()
    }
}
