//! Compiled constraints as gates of the sampler.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use understudy_engine::{codec::Codec, gate::TokenGate, verbs::TokenId};
use understudy_grammars::{Budget, Constraint, GrammarCache, GrammarError, Pattern, Vocabulary};

use crate::RouterError;

/// Vocabularies kept. A node has few models; one of 151,936 tokens is about 8 MiB. When
/// full, the oldest is dropped (grammars that use it keep it alive).
const VOCABULARY_CAPACITY: usize = 8;

/// Grammars compiled so far, shared by all requests.
#[derive(Default)]
pub(crate) struct Constraints {
    grammars: GrammarCache,
    vocabularies: Mutex<Vec<Arc<Vocabulary>>>,
}

impl Constraints {
    /// The gate of `pattern` for a model's vocabulary, after `emitted` tokens of the answer, with `left`
    /// tokens to complete it: fewer than it needs are refused with the number needed.
    /// Compiles on a blocking thread; when `limit` passes the caller is free, and the
    /// thread ends by itself soon after (the budget bounds memory and time of each step).
    pub(crate) async fn gate(
        self: &Arc<Self>,
        pattern: &Pattern,
        codec: Arc<dyn Codec>,
        emitted: &[TokenId],
        left: u32,
        limit: Duration,
    ) -> Result<Box<dyn TokenGate>, RouterError> {
        let (store, pattern) = (self.clone(), pattern.clone());
        let budget = Budget { time: limit, ..Budget::default() };
        let compile = tokio::task::spawn_blocking(move || {
            let vocabulary = store.vocabulary(codec.as_ref());
            store.grammars.get_or_compile(&pattern, &vocabulary, &budget)
        });
        let compiled =
            tokio::time::timeout(limit, compile).await.map_err(|_| GrammarError::TooSlow(limit))?;
        let grammar = compiled.map_err(|failed| RouterError::Internal(failed.to_string()))??;
        let mut matcher = grammar.matcher();
        if !emitted.iter().all(|token| matcher.try_accept(*token)) {
            return Err(RouterError::Internal("the constraint refuses the text it made".into()));
        }
        let needed = matcher.min_close_tokens().unwrap_or(usize::MAX);
        if needed > left as usize {
            let why =
                format!("{left} are too few to complete what the constraint asks for: it needs {needed}");
            return Err(RouterError::invalid("max_tokens", why));
        }
        Ok(Box::new(Gate { constraint: Box::new(matcher), left }))
    }

    fn vocabulary(&self, codec: &dyn Codec) -> Arc<Vocabulary> {
        let digest = codec.digest();
        let known = |kept: &Vec<Arc<Vocabulary>>| kept.iter().find(|one| one.digest() == digest).cloned();
        if let Some(known) = known(&self.vocabularies.lock().unwrap_or_else(PoisonError::into_inner)) {
            return known;
        }
        let ids = 0..codec.vocab_size() as TokenId;
        let ends = ids.clone().filter(|id| codec.is_end(*id)).collect();
        let made = Arc::new(Vocabulary::new(digest, ids.map(|id| codec.token_bytes(id)), ends));
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

/// A constraint as the sampler sees it: what it allows can be completed with the tokens that are
/// left.
struct Gate {
    constraint: Box<dyn Constraint>,
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
        Box::new(Self { constraint: self.constraint.fork(), left: self.left })
    }

    fn forced(&mut self) -> Vec<TokenId> {
        let mut forced = self.constraint.forced();
        forced.truncate(self.left as usize);
        forced
    }

    fn is_complete(&mut self) -> bool {
        self.constraint.is_stopped()
    }
}
