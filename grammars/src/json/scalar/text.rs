//! What a schema can demand of a string.

use std::collections::BTreeSet;
use std::sync::Arc;

use regex_syntax::hir::ClassUnicode;

use super::logic::Product;
use super::table::Table;
use super::{Logic, ScalarError, format, pattern};
use crate::lexeme::{AnyText, Automaton, JsonText, Source};
use crate::{Budget, GrammarError};

/// What may be demanded of a string.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum TextTest {
    /// A regular expression of ECMA-262 that is found somewhere in the text.
    Pattern(String),
    /// A format; one that is not known constrains nothing.
    Format(String),
    /// Fewest characters (Unicode code points).
    MinLength(u64),
    /// Most characters.
    MaxLength(u64),
    Equals(String),
}

/// JSON strings, quotes included, whose text satisfies a condition, in one spelling of each
/// character ([`JsonText`]); `None` if no text does.
pub(crate) fn text_automaton(
    logic: &Logic<TextTest>,
    spellable: &[bool; 256],
    budget: &Budget,
) -> Result<Option<Automaton>, ScalarError> {
    let TextMatcher { product } = TextMatcher::new(logic, budget)?;
    // First the text, which leaves out what cannot be completed, then its spelling in JSON.
    let built = Automaton::build(&product, &[true; 256], budget)
        .and_then(|text| Automaton::build(&JsonText(text), spellable, budget));
    match built {
        Ok(automaton) => Ok(Some(automaton)),
        Err(GrammarError::NothingMatches(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether a text is sure to satisfy a condition. For many texts make a [`TextMatcher`] once.
#[cfg(test)]
pub(crate) fn text_matches(logic: &Logic<TextTest>, text: &str) -> Result<bool, ScalarError> {
    Ok(TextMatcher::new(logic, &Budget::default())?.matches(text))
}

/// A condition that is ready to be asked of texts.
#[derive(Debug)]
pub(crate) struct TextMatcher {
    product: Product,
}

impl TextMatcher {
    pub(crate) fn new(logic: &Logic<TextTest>, budget: &Budget) -> Result<Self, ScalarError> {
        logic.check_depth()?;
        let mut parts =
            Parts { known: Vec::new(), tables: vec![Arc::new(Table::build(&AnyText, budget)?)], budget };
        let pushed = logic.pushed(true, &mut |tests, must_hold| parts.of(tests, must_hold))?;
        let product = Product { tables: parts.tables, logic: Logic::All(vec![Logic::Is(0), pushed]) };
        Ok(Self { product })
    }

    /// Whether a text is **sure** to satisfy the condition: where a format is known only between
    /// bounds (see [`format`]), neither it nor its negation is.
    #[cfg(test)]
    pub(crate) fn matches(&self, text: &str) -> bool {
        let end = text.bytes().try_fold(self.product.start(), |state, byte| self.product.step(&state, byte));
        end.is_some_and(|end| self.product.ending(&end).is_some())
    }
}

/// Tables, each made once. The first is of any text.
struct Parts<'a> {
    known: Vec<(Part, usize)>,
    tables: Vec<Arc<Table>>,
    budget: &'a Budget,
}

/// What one table decides.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// Anything that is no list of texts, and whether it must hold.
    Test(TextTest, bool),
    /// Texts with one of these characters, of which it is contested whether a pattern matches.
    Contested(ClassUnicode),
    Texts(BTreeSet<String>),
}

impl Parts<'_> {
    /// That any of some tests holds; or that none does.
    fn of(&mut self, tests: &[&TextTest], must_hold: bool) -> Result<Logic<usize>, ScalarError> {
        let mut texts = BTreeSet::new();
        let mut ways = Vec::new();
        for test in tests {
            match test {
                TextTest::Equals(text) => {
                    texts.insert(text.clone());
                }
                test => ways.push(self.of_one(test, must_hold)?),
            }
        }
        if !texts.is_empty() {
            let table = self.table(Part::Texts(texts))?;
            ways.push(if must_hold { table } else { Logic::Not(Box::new(table)) });
        }
        Ok(if must_hold { Logic::Any(ways) } else { Logic::All(ways) })
    }

    fn of_one(&mut self, test: &TextTest, must_hold: bool) -> Result<Logic<usize>, ScalarError> {
        let never = || if must_hold { Logic::Any(Vec::new()) } else { Logic::All(Vec::new()) };
        let always = || if must_hold { Logic::All(Vec::new()) } else { Logic::Any(Vec::new()) };
        let (part, holds) = match test {
            TextTest::MinLength(0) | TextTest::MaxLength(u64::MAX) => return Ok(always()),
            TextTest::Format(name) if !format::is_known(name) => return Ok(always()),
            TextTest::MinLength(u64::MAX) => return Ok(never()),
            // One table for both: at most `n` is not at least `n + 1`.
            TextTest::MaxLength(most) => (Part::Test(TextTest::MinLength(most + 1), true), !must_hold),
            // The bounds of a format differ, the tables of all else do not.
            TextTest::Format(_) => (Part::Test(test.clone(), must_hold), must_hold),
            test => (Part::Test(test.clone(), true), must_hold),
        };
        let table = self.table(part)?;
        let claimed = if holds { table } else { Logic::Not(Box::new(table)) };
        let TextTest::Pattern(pattern) = test else { return Ok(claimed) };
        Ok(match pattern::contested(pattern) {
            Some(class) => {
                let contested = self.table(Part::Contested(class))?;
                Logic::All(vec![claimed, Logic::Not(Box::new(contested))])
            }
            None => claimed,
        })
    }

    fn table(&mut self, part: Part) -> Result<Logic<usize>, ScalarError> {
        if let Some((_, index)) = self.known.iter().find(|(known, _)| *known == part) {
            return Ok(Logic::Is(*index));
        }
        let table = match &part {
            Part::Texts(texts) => {
                Table::build(&Texts(texts.iter().map(String::as_bytes).collect()), self.budget)?
            }
            Part::Test(TextTest::Pattern(pattern), _) => pattern::table(pattern, self.budget)?,
            Part::Contested(class) => pattern::containing(class, self.budget)?,
            Part::Test(TextTest::Format(name), must_hold) => format::table(name, *must_hold, self.budget)?,
            Part::Test(TextTest::MinLength(least) | TextTest::MaxLength(least), _) => {
                let limit = self.budget.max_states;
                let least = usize::try_from(*least).ok().filter(|least| *least < limit);
                Table::build(
                    &AtLeast(least.ok_or(GrammarError::TooLarge { what: "states", limit })?),
                    self.budget,
                )?
            }
            Part::Test(TextTest::Equals(text), _) => {
                Table::build(&Texts(vec![text.as_bytes()]), self.budget)?
            }
        };
        self.tables.push(Arc::new(table));
        Product::check_size(&self.tables, self.budget)?;
        self.known.push((part, self.tables.len() - 1));
        Ok(Logic::Is(self.tables.len() - 1))
    }
}

/// Texts of at least so many characters.
struct AtLeast(usize);

impl Source for AtLeast {
    type State = usize;

    fn start(&self) -> usize {
        0
    }

    fn step(&self, count: &usize, byte: u8) -> Option<usize> {
        // Bytes within a character begin none.
        let begins = !(0x80..0xC0).contains(&byte);
        Some((count + usize::from(begins)).min(self.0))
    }

    fn ending(&self, count: &usize) -> Option<u32> {
        (*count >= self.0).then_some(0)
    }

    fn classes(&self) -> [u8; 256] {
        std::array::from_fn(|byte| u8::from((0x80..0xC0).contains(&byte)))
    }
}

/// Some texts, sorted. A state is which of them begin like what was read, and its length, so that
/// nothing but the texts is held however many they are.
struct Texts<'a>(Vec<&'a [u8]>);

impl Source for Texts<'_> {
    type State = (u32, u32, u32);

    fn start(&self) -> (u32, u32, u32) {
        (0, self.0.len() as u32, 0)
    }

    fn step(&self, (from, to, length): &(u32, u32, u32), byte: u8) -> Option<(u32, u32, u32)> {
        let (first, at) = (*from as usize, *length as usize);
        let texts = &self.0[first..*to as usize];
        let below = texts.partition_point(|text| text.get(at).is_none_or(|next| *next < byte));
        let through = texts.partition_point(|text| text.get(at).is_none_or(|next| *next <= byte));
        (below < through).then_some(((first + below) as u32, (first + through) as u32, length + 1))
    }

    fn ending(&self, (from, to, length): &(u32, u32, u32)) -> Option<u32> {
        // The shortest comes first.
        let text = self.0[*from as usize..*to as usize].first()?;
        (text.len() == *length as usize).then_some(0)
    }

    fn classes(&self) -> [u8; 256] {
        let mut used = [false; 256];
        self.0.iter().flat_map(|text| text.iter()).for_each(|byte| used[usize::from(*byte)] = true);
        let unused = (0..=u8::MAX).find(|byte| !used[usize::from(*byte)]).unwrap_or(0);
        std::array::from_fn(|byte| if used[byte] { byte as u8 } else { unused })
    }
}
