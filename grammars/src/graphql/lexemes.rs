//! The lexemes of documents.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::frame::Callee;
use super::hosts::Hosts;
use super::schema::{Argument, Schema, Type, TypeId, TypeSort};
use crate::lexeme::{Automaton, Lexeme, Regular, Source, Words};
use crate::whitespace::{BLANK, LOOSE};
use crate::{Budget, GrammarError, Vocabulary, Whitespace};

/// Lexemes that a schema gives rise to, made when a text first gets there.
#[derive(Debug)]
pub(super) struct Lexemes {
    vocabulary: Arc<Vocabulary>,
    known: HashMap<Key, Arc<Lexeme>>,
}

/// What a lexeme is the names of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Form(Form),
    Punctuator(&'static str),
    Fields(TypeId),
    Values(TypeId),
    Arguments(Callee),
    Members(TypeId),
    Directives,
}

/// Lexemes that every schema has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Form {
    /// What printers put between tokens, a comma included.
    Separator,
    /// The same without a comma.
    Blank,
    Name,
    Alias,
    Variable,
    On,
    FragmentWord,
    FragmentOn,
    Int,
    WholeNumber,
    Float,
    Text,
    Null,
    Boolean,
    Keyword,
}

impl Form {
    /// Separators end some of them, so that the next name cannot be glued to it. Numbers have
    /// as many digits as their type surely holds. Names that begin with `__` are reserved, so no
    /// alias hides `__typename`.
    fn expression(self) -> String {
        let plain = match self {
            Self::Separator => return format!("(?:,{}|{LOOSE})", Whitespace::Usual.optional()),
            Self::Blank => LOOSE,
            Self::Name => r"[_A-Za-z][_0-9A-Za-z]*",
            Self::Alias => r"(?:[A-Za-z]|_[0-9A-Za-z])[_0-9A-Za-z]*:",
            Self::Variable => r"\$[_A-Za-z][_0-9A-Za-z]*:",
            Self::On => return format!("on{BLANK}"),
            Self::FragmentWord => return format!("fragment{BLANK}"),
            Self::FragmentOn => return format!("{BLANK}on{BLANK}"),
            Self::Int => {
                r"-?(?:0|[1-9][0-9]{0,8}|1[0-9]{9}|20[0-9]{8}|21[0-3][0-9]{7}|214[0-6][0-9]{6}|2147[0-3][0-9]{5}|21474[0-7][0-9]{4}|214748[0-2][0-9]{3}|2147483[0-5][0-9]{2}|21474836[0-3][0-9]|214748364[0-7])"
            }
            Self::WholeNumber => r"-?(?:0|[1-9][0-9]*)",
            Self::Float => r"-?(?:0|[1-9][0-9]{0,19})(?:\.[0-9]{1,19})?(?:[eE][+-]?[0-9]{1,2})?",
            Self::Text => {
                r#""(?:[^"\\\x00-\x1F]|\\["\\/bfnrt]|\\u(?:[0-9a-cA-CefEF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2}))*""#
            }
            Self::Null => "null",
            Self::Boolean => "true|false",
            Self::Keyword => "",
        };
        plain.to_owned()
    }
}

/// Operations, in the order of [`OperationKind`](super::OperationKind).
const KEYWORDS: [&str; 3] = ["query", "mutation", "subscription"];

/// How many times the states of other lexemes that of all types may have.
const TYPES: usize = 10;

/// Bytes that no document can do without, whatever the schema.
const NEEDED: &str = "_{}()[]:!$@\".,= \n-";

impl Lexemes {
    /// # Errors
    /// A vocabulary that lacks bytes of the language, or lists of names over the budget. Nothing
    /// is to fail when a lexeme is made later.
    pub(super) fn new(
        schema: &Schema,
        hosts: &Hosts,
        vocabulary: &Arc<Vocabulary>,
        budget: &Budget,
    ) -> Result<Self, GrammarError> {
        let letters = (b'A'..=b'Z').chain(b'a'..=b'z').chain(b'0'..=b'9');
        let missing = |byte: &u8| !vocabulary.spellable()[usize::from(*byte)];
        let missing: Vec<u8> = NEEDED.bytes().chain(letters).filter(missing).collect();
        if !missing.is_empty() {
            return Err(GrammarError::NothingMatches(missing));
        }
        let length =
            |names: &mut dyn Iterator<Item = &Arc<str>>| names.map(|name| name.len() + 2).sum::<usize>();
        let arguments = |arguments: &[Argument]| length(&mut arguments.iter().map(|argument| &argument.name));
        let longest = |kind: &Type| match &kind.sort {
            TypeSort::Scalar(_) => 0,
            TypeSort::Enum(values) => length(&mut values.iter()),
            TypeSort::Input { fields, .. } => arguments(fields),
            TypeSort::Composite(fields) => {
                let longest = fields.iter().map(|field| arguments(&field.arguments)).max().unwrap_or(0);
                longest.max(length(&mut fields.iter().map(|field| &field.name)))
            }
        };
        let longest = schema.types.iter().map(longest).max().unwrap_or(0);
        let longest = longest.max(length(&mut schema.directives.iter().map(|directive| &directive.name)));
        // Names of types are more than those of one type's fields, and one lexeme may have them all.
        let types = length(&mut schema.types.iter().map(|kind| &kind.name)) + hosts.written(schema);
        if longest > budget.max_states || types > TYPES * budget.max_states {
            return Err(GrammarError::TooLarge { what: "states", limit: budget.max_states });
        }
        Ok(Self { vocabulary: vocabulary.clone(), known: HashMap::new() })
    }

    pub(super) fn form(&mut self, form: Form) -> Arc<Lexeme> {
        if form == Form::Keyword {
            return self.get(Key::Form(form), || KEYWORDS.map(String::from).to_vec());
        }
        if let Some(known) = self.known.get(&Key::Form(form)) {
            return known.clone();
        }
        let expression = form.expression();
        let made =
            make(&self.vocabulary, &format!("graphql {form:?}"), || Regular::new(&expression, &UNBOUNDED));
        self.known.insert(Key::Form(form), made.clone());
        made
    }

    pub(super) fn punctuator(&mut self, text: &'static str) -> Arc<Lexeme> {
        self.get(Key::Punctuator(text), || vec![text.to_owned()])
    }

    /// The lexeme of a key, whose words `words` gives: the outcome is a word's index.
    pub(super) fn get(&mut self, key: Key, words: impl FnOnce() -> Vec<String>) -> Arc<Lexeme> {
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let made = self.words(&words());
        self.known.insert(key, made.clone());
        made
    }

    /// A lexeme of words that is not kept here, since texts decide what they are.
    pub(super) fn words(&self, words: &[String]) -> Arc<Lexeme> {
        let definition = format!("graphql words {}", words.join(" "));
        let source = || Ok(Words::new(words.iter().zip(0..).map(|(word, index)| (word.as_bytes(), index))));
        make(&self.vocabulary, &definition, source)
    }
}

const UNBOUNDED: Budget = Budget { max_states: usize::MAX, max_bytes: 64 << 20, time: Duration::MAX };

/// Both ways to fail are excluded beforehand: the bytes can be spelled, and expressions are ours.
#[expect(clippy::expect_used, reason = "see above")]
fn make<S: Source>(
    vocabulary: &Arc<Vocabulary>,
    definition: &str,
    source: impl FnOnce() -> Result<S, GrammarError>,
) -> Arc<Lexeme> {
    let make = || Automaton::build(&source()?, vocabulary.spellable(), &UNBOUNDED);
    vocabulary.lexicon().get(definition, make).expect("lexemes were checked when the grammar was compiled")
}
