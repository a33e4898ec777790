//! Compiled constraints as gates of the sampler.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use understudy_engine::{codec::Codec, gate::TokenGate, verbs::TokenId};
use understudy_grammars::{Budget, Constraint, GrammarCache, GrammarError, Pattern, Vocabulary};

use crate::{ConstraintSpec, RouterError};

/// Vocabularies kept. A node has few models; one of 151,936 tokens is about 8 MiB. When
/// full, the oldest is dropped (grammars that use it keep it alive).
const VOCABULARY_CAPACITY: usize = 8;

impl From<&ConstraintSpec> for Pattern {
    fn from(spec: &ConstraintSpec) -> Self {
        match spec {
            ConstraintSpec::Regex(expression) => Self::Regex(expression.clone()),
            ConstraintSpec::Choice(options) => Self::Choice(options.clone()),
        }
    }
}

/// Grammars compiled so far, shared by all requests.
#[derive(Default)]
pub(crate) struct Constraints {
    grammars: GrammarCache,
    vocabularies: Mutex<Vec<Arc<Vocabulary>>>,
}

impl Constraints {
    /// The gate of `spec` for a model's vocabulary, after `emitted` tokens of the answer.
    /// Compiles on a blocking thread; when `limit` passes the caller is free, and the
    /// thread ends by itself soon after (the budget bounds memory and time of each step).
    pub(crate) async fn gate(
        self: &Arc<Self>,
        spec: &ConstraintSpec,
        codec: Arc<dyn Codec>,
        emitted: &[TokenId],
        limit: Duration,
    ) -> Result<Box<dyn TokenGate>, RouterError> {
        let (store, pattern) = (self.clone(), Pattern::from(spec));
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
        Ok(Box::new(Gate(Box::new(matcher) as Box<dyn Constraint>)))
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

/// A constraint as the sampler sees it.
struct Gate(Box<dyn Constraint>);

impl TokenGate for Gate {
    fn mask(&mut self, allowed: &mut [u32]) {
        self.0.mask(allowed);
    }

    fn accept(&mut self, token: TokenId) -> bool {
        self.0.try_accept(token)
    }

    fn rollback(&mut self, count: usize) {
        self.0.rollback(count);
    }

    fn fork(&self) -> Box<dyn TokenGate> {
        Box::new(Self(self.0.fork()))
    }

    fn forced(&mut self) -> Vec<TokenId> {
        self.0.forced()
    }

    fn is_complete(&mut self) -> bool {
        self.0.is_stopped()
    }
}
