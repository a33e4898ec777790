//! What may be read where a value is due.

use std::sync::Arc;

use super::SchemaError;
use super::formula::{ALWAYS, F, Formula, KINDS, Kind, NEVER};
use super::language::{Frame, Json};
use super::scalar::{Logic, NumberTest, ScalarError, TextTest, number_automaton, text_automaton};
use super::taken::Taken;
use crate::lexeme::{AnyJsonText, AnyText, Automaton, Both, JsonText, Lexeme, Regular, START, Words};
use crate::machine::{Choice, TextThen};
use crate::{Budget, GrammarError};

/// What a formula allows of a value.
pub(super) struct Value {
    options: Vec<(Choice, Next)>,
}

/// What follows a value's first lexeme.
#[derive(Debug, Clone, Copy)]
enum Next {
    Nothing,
    Object(u32),
    Array(u32),
}

impl Value {
    pub(super) fn choices(&self) -> Vec<Choice> {
        self.options.iter().map(|(choice, _)| choice.clone()).collect()
    }
}

/// A scalar's text at most this long is close enough to the shortest value that no array or object
/// is looked at for a completion.
const SHORT: usize = 5;

/// Items of a list without equal ones of which all kinds of values are tried.
const VARIED: usize = 3;

impl Json {
    /// What a formula allows of a value.
    pub(super) fn value(&mut self, formula: F) -> Arc<Value> {
        if let Some(known) = self.values.get(&formula) {
            return known.clone();
        }
        let mut options: Vec<_> =
            self.scalars(formula).into_iter().map(|choice| (choice, Next::Nothing)).collect();
        if let Some(array) = self.array_of(formula)
            && !self.after_open_array(array).is_empty()
        {
            options.push((Choice::new(&self.punctuation.open_array), Next::Array(array)));
        }
        if let Some(object) = self.object_of(formula)
            && self.is_possible(&Frame::Members(object))
        {
            options.push((Choice::new(&self.punctuation.open_object), Next::Object(object)));
        }
        let value = Arc::new(Value { options });
        self.values.insert(formula, value.clone());
        value
    }

    pub(super) fn after_value(&mut self, value: &Value, choice: usize) -> Vec<Vec<Frame>> {
        match value.options.get(choice).map(|(_, next)| *next) {
            Some(Next::Nothing) => vec![Vec::new()],
            Some(Next::Object(object)) => self.after_open_object(object),
            Some(Next::Array(array)) => self.after_open_array(array),
            None => Vec::new(),
        }
    }

    /// Short ways to complete a value.
    pub(super) fn value_ways(&mut self, formula: F) -> Vec<TextThen<Frame>> {
        let scalars = self.scalars(formula);
        let texts = scalars.iter().filter_map(|choice| choice.short_text(&self.vocabulary));
        let mut ways: Vec<TextThen<Frame>> = texts.map(|text| (text, Vec::new())).collect();
        if ways.iter().any(|(text, _)| text.len() <= SHORT) {
            return ways;
        }
        if let Some(array) = self.array_of(formula) {
            ways.extend(self.first_items(array));
        }
        if let Some(object) = self.object_of(formula) {
            ways.extend(self.first_members(object));
        }
        ways
    }

    fn array_of(&mut self, formula: F) -> Option<u32> {
        let pending = self.narrowed(formula, Kind::Array)?;
        Some(self.begin_array(pending))
    }

    fn object_of(&mut self, formula: F) -> Option<u32> {
        let pending = self.narrowed(formula, Kind::Object)?;
        match self.begin_object(pending) {
            Ok(object) => Some(object),
            Err(error) => {
                self.trouble.get_or_insert(error);
                None
            }
        }
    }

    /// What is left of a formula for a kind, if it allows that kind at all.
    fn narrowed(&mut self, formula: F, kind: Kind) -> Option<F> {
        match self.document.of_kind(&mut self.formulas, formula, kind) {
            Ok(NEVER) => None,
            Ok(pending) => Some(pending),
            Err(error) => {
                self.trouble.get_or_insert(error);
                None
            }
        }
    }

    /// Scalars that a formula allows.
    fn scalars(&mut self, formula: F) -> Vec<Choice> {
        let mut choices = Vec::new();
        for kind in KINDS {
            let Some(left) = self.narrowed(formula, kind) else { continue };
            let choice = match kind {
                Kind::Null => self.literal("null"),
                Kind::True => self.literal("true"),
                Kind::False => self.literal("false"),
                Kind::Number => self.numbers(left).map(|lexeme| Choice::new(&lexeme)),
                Kind::Text => self.texts(left),
                Kind::Array | Kind::Object => continue,
            };
            choices.extend(choice);
        }
        choices
    }

    /// Scalars in one spelling each, to be told from others of their array.
    pub(super) fn distinct_value(&mut self, formula: F) -> Arc<[Choice]> {
        if let Some(known) = self.distinct.get(&formula) {
            return known.clone();
        }
        let choices: Arc<[Choice]> = self.find_distinct_value(formula).into();
        self.distinct.insert(formula, choices.clone());
        choices
    }

    fn find_distinct_value(&mut self, formula: F) -> Vec<Choice> {
        let mut choices = Vec::new();
        for kind in KINDS {
            let Some(left) = self.narrowed(formula, kind) else { continue };
            let lexeme = match kind {
                Kind::Null => self.literal("null").map(|choice| choice.lexeme),
                Kind::True => self.literal("true").map(|choice| choice.lexeme),
                Kind::False => self.literal("false").map(|choice| choice.lexeme),
                Kind::Number => self.plain_numbers(left),
                Kind::Text => self.canonical_texts(left),
                Kind::Array | Kind::Object => {
                    let why = "for arrays and objects as items: only other values are written";
                    self.trouble.get_or_insert(SchemaError::unsupported("uniqueItems", why));
                    continue;
                }
            };
            choices.extend(lexeme.map(|lexeme| Choice::new(&lexeme).captured()));
        }
        choices
    }

    /// Some scalars that a formula allows and that are not `seen`: of each kind one, since of many values
    /// one is as good as another, but of few more, since a later item may need that very one. Where much has been
    /// seen, one of many is enough: which items together are the shortest is not looked for.
    pub(super) fn unseen_scalars(&mut self, formula: F, seen: &Taken) -> Vec<Vec<u8>> {
        let choices = self.distinct_value(formula);
        let each = if self.has_few_values(formula) { seen.texts().len() + 1 } else { 1 };
        let texts = |choice: &Choice| {
            let texts = choice.lexeme.texts(START, None).map(|(text, _)| text);
            texts.filter(|text| !seen.contains(text)).take(each).collect::<Vec<_>>()
        };
        if seen.texts().len() >= VARIED {
            let many = choices.iter().filter(|choice| !choice.lexeme.automaton.is_finite(0));
            let one = many.flat_map(texts).next();
            if one.is_some() {
                return one.into_iter().collect();
            }
        }
        choices.iter().flat_map(texts).collect()
    }

    fn literal(&mut self, word: &str) -> Option<Choice> {
        let lexeme = self.lexeme(&format!("literal {word}"), |json| {
            let words = Words::new([(word.as_bytes(), 0)]);
            Ok(Some(Automaton::build(&words, json.vocabulary.spellable(), &json.budget)?))
        });
        lexeme.map(|lexeme| Choice::new(&lexeme))
    }

    fn numbers(&mut self, left: F) -> Option<Arc<Lexeme>> {
        let logic = self.number_logic(left);
        self.lexeme(&format!("numbers {logic:?}"), |json| {
            number_automaton(&logic, json.vocabulary.spellable(), &json.patience)
        })
    }

    /// Numbers without exponent, sign of zero, or zeros at the end.
    fn plain_numbers(&mut self, left: F) -> Option<Arc<Lexeme>> {
        let all = self.numbers(left)?;
        let logic = self.number_logic(left);
        self.lexeme(&format!("plain numbers {logic:?}"), |json| {
            let plain = Regular::new("-?([1-9][0-9]*(\\.[0-9]*[1-9])?|0\\.[0-9]*[1-9])|0", &json.budget)?;
            let both =
                Automaton::build(&Both(&all.automaton, &plain), json.vocabulary.spellable(), &json.budget);
            or_none(both)
        })
    }

    fn texts(&mut self, left: F) -> Option<Choice> {
        if let Some((fewest, most)) = self.lengths(left) {
            if fewest > LONGEST {
                let why = format!("above {LONGEST}");
                self.trouble.get_or_insert(SchemaError::unsupported("minLength", why));
                return None;
            }
            let lexeme = self.lexeme("any text", |json| {
                Ok(Some(Automaton::build(&AnyJsonText, json.vocabulary.spellable(), &json.budget)?))
            })?;
            return (fewest <= most).then(|| Choice::new(&lexeme).characters(fewest, most));
        }
        self.canonical_texts(left).map(|lexeme| Choice::new(&lexeme))
    }

    fn canonical_texts(&mut self, left: F) -> Option<Arc<Lexeme>> {
        if left == ALWAYS {
            return self.lexeme("any text, canonical", |json| {
                let source = JsonText(AnyText);
                Ok(Some(Automaton::build(&source, json.vocabulary.spellable(), &json.budget)?))
            });
        }
        let logic = self.text_logic(left);
        let whole = self.text_lexeme(&logic);
        // A pattern and a length together count in every state of the pattern: that can be too much.
        if whole.is_none() && longest(&logic).is_some_and(|most| most > SHORTENED) {
            return self.text_lexeme(&shortened(logic));
        }
        whole
    }

    fn text_lexeme(&mut self, logic: &Logic<TextTest>) -> Option<Arc<Lexeme>> {
        self.lexeme(&format!("texts {logic:?}"), |json| {
            text_automaton(logic, json.vocabulary.spellable(), &json.patience)
        })
    }

    /// Fewest and most characters, if nothing else is asked of a text.
    fn lengths(&self, left: F) -> Option<(u32, u32)> {
        let (mut fewest, mut most) = (0, u32::MAX);
        for part in self.formulas.parts(left) {
            match self.formulas.get(part) {
                Formula::Text(TextTest::MinLength(count), true) => fewest = fewest.max(clamped(*count)),
                Formula::Text(TextTest::MaxLength(count), true) => most = most.min(clamped(*count)),
                Formula::Text(TextTest::MaxLength(count), false) => {
                    fewest = fewest.max(clamped(count.saturating_add(1)));
                }
                Formula::Text(TextTest::MinLength(count), false) => {
                    most = most.min(clamped(count.checked_sub(1)?));
                }
                _ => return None,
            }
        }
        Some((fewest, most))
    }

    fn text_logic(&self, formula: F) -> Logic<TextTest> {
        self.logic(formula, |formula| match formula {
            Formula::Text(test, positive) => Some((test.clone(), *positive)),
            _ => None,
        })
    }

    fn number_logic(&self, formula: F) -> Logic<NumberTest> {
        self.logic(formula, |formula| match formula {
            Formula::Number(test, positive) => Some((test.clone(), *positive)),
            _ => None,
        })
    }

    /// A formula about scalars as a combination of what `test` finds in it, negated or not.
    fn logic<T>(&self, formula: F, test: fn(&Formula) -> Option<(T, bool)>) -> Logic<T> {
        let each = |parts: &[F]| parts.iter().map(|part| self.logic(*part, test)).collect();
        match self.formulas.get(formula) {
            Formula::All(parts) => Logic::All(each(parts)),
            Formula::Any(parts) => Logic::Any(each(parts)),
            Formula::Always => Logic::All(Vec::new()),
            other => match test(other) {
                Some((test, true)) => Logic::Is(test),
                Some((test, false)) => Logic::Not(Box::new(Logic::Is(test))),
                None => Logic::Any(Vec::new()),
            },
        }
    }

    /// A lexeme by its definition; `None` where nothing is in it, or where it cannot be made, which
    /// is then noted.
    ///
    /// Both answers are kept: what was offered must stay so though there is less patience now, and what was not
    /// must not come up later because another grammar has made it.
    fn lexeme(
        &mut self,
        definition: &str,
        make: impl FnOnce(&Self) -> Result<Option<Automaton>, ScalarError>,
    ) -> Option<Arc<Lexeme>> {
        if let Some(known) = self.lexemes.get(definition) {
            return known.clone();
        }
        let vocabulary = self.vocabulary.clone();
        let mut trouble = None;
        let made = vocabulary.lexicon().get(definition, || {
            let nothing = || GrammarError::NothingMatches(Vec::new());
            match make(self) {
                Ok(made) => made.ok_or_else(nothing),
                Err(error) => {
                    trouble = Some(error);
                    Err(nothing())
                }
            }
        });
        if let Some(trouble) = trouble {
            self.lose_patience(&trouble);
            self.trouble.get_or_insert(trouble.into());
        }
        self.lexemes.insert(definition.to_owned(), made.as_ref().ok().cloned());
        made.ok()
    }

    /// Conditions that turn out too large leave less for later ones, so that however many a schema has, they take
    /// as long together as a few. States are soon too many; bytes, which sets of them take, only after long.
    pub(super) fn lose_patience(&mut self, trouble: &ScalarError) {
        let Budget { max_states, max_bytes, .. } = &mut self.patience;
        match trouble {
            ScalarError::Budget(GrammarError::TooLarge { what: "states", .. }) => {
                *max_states -= *max_states / 8;
                *max_bytes -= *max_bytes / 8;
            }
            ScalarError::Budget(GrammarError::TooLarge { .. } | GrammarError::TooSlow(_)) => *max_bytes /= 2,
            _ => {}
        }
    }
}

/// Most characters of a text that has to match a pattern and may be longer than this, where both
/// together need too many states.
const SHORTENED: u64 = 200;

/// The most characters that a conjunction allows.
fn longest(logic: &Logic<TextTest>) -> Option<u64> {
    match logic {
        Logic::Is(TextTest::MaxLength(most)) => Some(*most),
        Logic::All(parts) => parts.iter().filter_map(longest).min(),
        _ => None,
    }
}

fn shortened(logic: Logic<TextTest>) -> Logic<TextTest> {
    match logic {
        Logic::Is(TextTest::MaxLength(most)) => Logic::Is(TextTest::MaxLength(most.min(SHORTENED))),
        Logic::All(parts) => Logic::All(parts.into_iter().map(shortened).collect()),
        other => other,
    }
}

/// Most characters that a text may be asked to have at least: a completion of them is kept at hand.
const LONGEST: u32 = 100_000;

fn clamped(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX - 1)
}

fn or_none(made: Result<Automaton, GrammarError>) -> Result<Option<Automaton>, ScalarError> {
    match made {
        Ok(automaton) => Ok(Some(automaton)),
        Err(GrammarError::NothingMatches(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
