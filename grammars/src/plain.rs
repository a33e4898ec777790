//! Texts that are one lexeme: regular expressions and choices.

use std::sync::Arc;

use crate::lexeme::{Automaton, Lexeme, Regular, Words};
use crate::machine::{After, Choice, Language, Offer, Read};
use crate::{Budget, GrammarError, Vocabulary};

/// A language of one lexeme.
pub(crate) struct Plain {
    lexeme: Arc<Lexeme>,
}

/// The lexeme is due.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Due;

impl Plain {
    pub(crate) fn regex(
        expression: &str,
        vocabulary: &Vocabulary,
        budget: &Budget,
    ) -> Result<Self, GrammarError> {
        let source = Regular::new(expression, budget)?;
        Ok(Self { lexeme: Lexeme::new(Automaton::build(&source, vocabulary.spellable(), budget)?) })
    }

    pub(crate) fn choice(
        options: &[String],
        vocabulary: &Vocabulary,
        budget: &Budget,
    ) -> Result<Self, GrammarError> {
        let source = Words::new(options.iter().map(|option| (option.as_bytes(), 0)));
        Ok(Self { lexeme: Lexeme::new(Automaton::build(&source, vocabulary.spellable(), budget)?) })
    }
}

impl Language for Plain {
    type Frame = Due;

    fn start(&mut self) -> Vec<Vec<Due>> {
        vec![vec![Due]]
    }

    fn offer(&mut self, _due: &Due) -> Offer {
        let offer = Offer::of([Choice::new(&self.lexeme)]);
        // An empty text is one that nothing is read of.
        Offer { optional: self.lexeme.automaton.ending(crate::lexeme::START).is_some(), ..offer }
    }

    fn after(&mut self, _due: &Due, _choice: usize, _read: Read<'_>) -> After<Due> {
        After::nothing()
    }
}
