//! Compiled grammars, kept.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{Budget, Grammar, GrammarError, Pattern, Vocabulary};

/// The last [`GrammarCache::CAPACITY`] grammars used, by vocabulary digest and pattern.
///
/// Looking up is a scan: at this capacity that is nothing next to a mask.
#[derive(Debug, Default)]
pub struct GrammarCache {
    /// Least recently used first.
    entries: Mutex<Vec<Entry>>,
}

#[derive(Debug)]
struct Entry {
    digest: String,
    pattern: Pattern,
    grammar: Arc<Grammar>,
}

impl GrammarCache {
    /// Grammars kept. Callers repeat a handful of patterns; at the default budget the
    /// worst case is about 20 MiB each. When full, the least recently used one is dropped
    /// (texts that still use it keep it alive).
    pub const CAPACITY: usize = 32;

    /// The compiled pattern, from the cache or compiled now. Two callers who miss at the
    /// same time both compile; neither waits for the other.
    ///
    /// # Errors
    /// As [`Grammar::compile`]. Failures are not kept.
    pub fn get_or_compile(
        &self,
        pattern: &Pattern,
        vocabulary: &Arc<Vocabulary>,
        budget: &Budget,
    ) -> Result<Arc<Grammar>, GrammarError> {
        if let Some(known) = self.get(pattern, vocabulary.digest()) {
            return Ok(known);
        }
        let grammar = Grammar::compile(pattern, vocabulary, budget)?;
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|entry| !entry.is(pattern, vocabulary.digest()));
        if entries.len() >= Self::CAPACITY {
            entries.remove(0);
        }
        let (digest, pattern) = (vocabulary.digest().to_owned(), pattern.clone());
        entries.push(Entry { digest, pattern, grammar: grammar.clone() });
        Ok(grammar)
    }

    /// The compiled pattern if it is kept; it becomes the most recently used one.
    pub fn get(&self, pattern: &Pattern, digest: &str) -> Option<Arc<Grammar>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let at = entries.iter().position(|entry| entry.is(pattern, digest))?;
        entries[at..].rotate_left(1);
        entries.last().map(|entry| entry.grammar.clone())
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Entry {
    fn is(&self, pattern: &Pattern, digest: &str) -> bool {
        self.digest == digest && &self.pattern == pattern
    }
}
