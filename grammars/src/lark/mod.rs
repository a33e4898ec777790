//! Texts of a grammar in Lark's syntax.
//!
//! | module | what it holds |
//! |---|---|
//! | `syntax` | a grammar as it is written |
//! | `lex`, `parse` | reading it |
//! | `common` | the terminals that can be imported |
//! | `rules` | rules as productions |
//! | `regex`, `terminals` | terminals as lexemes |
//! | `normal` | productions that can be completed |
//! | `follow` | which terminals may come after which |
//! | `spacing` | ignored text between them |
//! | `language` | what the machine reads |
//!
//! Every context-free grammar is taken: left recursion, rules without text, ambiguity, rules that lead
//! to themselves. What is refused are terminals that swallow each other (`spacing`).

mod common;
mod follow;
mod language;
mod lex;
mod normal;
mod parse;
mod regex;
mod rules;
mod spacing;
mod syntax;
mod terminals;

use std::sync::Arc;

use follow::Follow;
use language::Lark;
use normal::Rules;
use spacing::Spacing;
use syntax::Source;
use terminals::Terminals;

use crate::lexeme::Lexeme;
use crate::machine::Choice;
use crate::whitespace::BLANK;
use crate::{Budget, GrammarError, Vocabulary};

/// Texts of the rule `start` of a grammar.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LarkSpec {
    /// The grammar in Lark's syntax.
    pub grammar: String,
}

/// # Errors
/// [`GrammarError::Lark`] with the place of what cannot be used, [`GrammarError::NothingMatches`] where
/// there is no text, or what is beyond the budget.
pub(crate) fn compile(
    spec: &LarkSpec,
    vocabulary: &Arc<Vocabulary>,
    budget: &Budget,
) -> Result<Lark, GrammarError> {
    let source = parse::parse(&spec.grammar)?;
    let productions = rules::lower(&source)?;
    let mut terminals = Terminals::new(&source, vocabulary, budget);
    let mut lexemes = Vec::with_capacity(productions.terminals.len());
    for used in &productions.terminals {
        lexemes.push(terminals.lexeme(&used.expr, &used.shown, used.place)?);
    }
    let ignored = ignored(&source, &mut terminals)?;
    let tokens: Vec<Option<u32>> =
        lexemes.iter().map(|lexeme| tokens_of(lexeme.as_ref()?, vocabulary)).collect();
    let rules = Rules::new(&productions.rules, &productions.places, &tokens)?;
    let follow = Follow::new(&rules, lexemes.len());
    let spacing = Spacing::new(&productions.terminals, &lexemes, ignored, &follow, (vocabulary, budget))?;
    Ok(Lark::new(rules, spacing))
}

/// Tokens of a short text.
fn tokens_of(lexeme: &Arc<Lexeme>, vocabulary: &Vocabulary) -> Option<u32> {
    let text = Choice::new(lexeme).short_text(vocabulary)?;
    Some(vocabulary.spell(&text)?.len() as u32)
}

/// Whitespace, and what else is ignored.
type Ignored = (Option<Arc<Lexeme>>, Vec<Arc<Lexeme>>);

/// Terminals that take usual whitespace are ignored as that only; others as they are.
fn ignored<'a>(source: &'a Source, terminals: &mut Terminals<'a>) -> Result<Ignored, GrammarError> {
    let (mut blank, mut others) = (Vec::new(), Vec::new());
    for (expr, place) in &source.ignored {
        let plain = terminals.resolved(expr, *place)?;
        match terminals.lexeme_within(&plain, BLANK, *place)? {
            Some(_) => blank.push(plain),
            None => others.extend(terminals.lexeme(expr, "of %ignore", *place)?),
        }
    }
    let Some((_, place)) = source.ignored.first().filter(|_| !blank.is_empty()) else {
        return Ok((None, others));
    };
    let Some(blanks) = terminals::any_of(blank) else {
        return Err(place.error("what is ignored is too large"));
    };
    Ok((terminals.lexeme_within(&blanks, BLANK, *place)?, others))
}
