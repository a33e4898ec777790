//! What a schema can demand of a number.
//!
//! **What is written**, so that a checker that reads 64-bit floats and one that reads decimals
//! agree (integers of up to 64 bits are exact to both):
//! - where nothing is demanded, any number of up to 32 digits on either side of its point, or
//!   with an exponent below 300;
//! - otherwise no exponent and no `-0`; whole numbers of up to 20 digits (as many as a bound has,
//!   up to 32; 18 where divisibility is demanded, 15 if by a fraction), or, with a fraction, up to
//!   15 digits in all, which every float tells apart. `1.0` is an integer, as in JSON Schema;
//! - where only certain values are left, those, with one zero at the end of their fraction at most.
//!
//! A bound that no float has is moved inwards to where both readings of it agree.

use std::cmp::Ordering;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};

use super::digits::{Compare, EXACT, Multiple, Spelling};
use super::logic::Product;
use super::table::Table;
use super::{Decimal, Logic, ScalarError};
use crate::lexeme::{Automaton, Regular};
use crate::{Budget, GrammarError};

/// What may be demanded of a number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum NumberTest {
    Integer,
    Minimum(Decimal),
    ExclusiveMinimum(Decimal),
    Maximum(Decimal),
    ExclusiveMaximum(Decimal),
    MultipleOf(Decimal),
    Equals(Decimal),
}

impl NumberTest {
    fn holds(&self, number: &Decimal) -> bool {
        match self {
            Self::Integer => number.is_integer(),
            Self::Minimum(bound) => number >= bound,
            Self::ExclusiveMinimum(bound) => number > bound,
            Self::Maximum(bound) => number <= bound,
            Self::ExclusiveMaximum(bound) => number < bound,
            Self::MultipleOf(divisor) => number.is_multiple_of(divisor),
            Self::Equals(value) => number == value,
        }
    }

    /// The same of numbers as floats have them.
    fn holds_of_floats(&self, number: &Decimal) -> bool {
        let float = number.nearest();
        match self {
            Self::Minimum(bound) => float >= bound.nearest(),
            Self::ExclusiveMinimum(bound) => float > bound.nearest(),
            Self::Maximum(bound) => float <= bound.nearest(),
            Self::ExclusiveMaximum(bound) => float < bound.nearest(),
            Self::Equals(value) => float == value.nearest(),
            _ => Decimal::of_float(float).is_some_and(|number| self.holds(&number)),
        }
    }

    fn value(&self) -> Option<&Decimal> {
        match self {
            Self::Integer => None,
            Self::Minimum(value)
            | Self::ExclusiveMinimum(value)
            | Self::Maximum(value)
            | Self::ExclusiveMaximum(value)
            | Self::MultipleOf(value)
            | Self::Equals(value) => Some(value),
        }
    }
}

/// Whether a number satisfies a condition, calculated with decimals.
pub(crate) fn number_matches(logic: &Logic<NumberTest>, number: &Decimal) -> bool {
    logic.holds(&|test: &NumberTest| test.holds(number))
}

/// JSON numbers that satisfy a condition, without anything around them; `None` if none does that
/// could be written.
pub(crate) fn number_automaton(
    logic: &Logic<NumberTest>,
    spellable: &[bool; 256],
    budget: &Budget,
) -> Result<Option<Automaton>, ScalarError> {
    logic.check_depth()?;
    let mut tests = Vec::new();
    gather(logic, &mut tests);
    tests.iter().try_for_each(|test| check(test))?;
    let built = if tests.is_empty() {
        let all = number_matches(logic, &Decimal::zero());
        if !all {
            return Ok(None);
        }
        Automaton::build(&Regular::new(ANY, budget)?, spellable, budget)
    } else if let Some(values) = candidates(logic) {
        let certain = |value: &&Decimal| {
            number_matches(logic, value)
                && (value.significant() <= EXACT
                    || logic.holds(&|test: &NumberTest| test.holds_of_floats(value)))
        };
        let mut spellings: Vec<_> = values.iter().copied().filter(certain).filter_map(spellings).collect();
        spellings.sort_unstable();
        spellings.dedup();
        if spellings.is_empty() {
            return Ok(None);
        }
        Automaton::build(&Regular::new(&spellings.join("|"), budget)?, spellable, budget)
    } else {
        Automaton::build(&product(logic, &tests, budget)?, spellable, budget)
    };
    match built {
        Ok(automaton) => Ok(Some(automaton)),
        Err(GrammarError::NothingMatches(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Numbers that every checker can read: below the largest float by their length alone.
const ANY: &str = "-?(?:0|[1-9][0-9]{0,31})(?:\\.[0-9]{1,32})?\
     |-?(?:0|[1-9][0-9]{0,7})(?:\\.[0-9]{1,32})?[eE][+-]?(?:[0-9]{1,2}|[12][0-9]{2})";

fn gather<'a>(logic: &'a Logic<NumberTest>, tests: &mut Vec<&'a NumberTest>) {
    match logic {
        Logic::All(parts) | Logic::Any(parts) => parts.iter().for_each(|part| gather(part, tests)),
        Logic::Not(part) => gather(part, tests),
        Logic::Is(test) => tests.push(test),
    }
}

fn check(test: &NumberTest) -> Result<(), ScalarError> {
    match test {
        NumberTest::MultipleOf(divisor)
            if divisor.is_zero() || divisor.is_negative() || divisor.significant() > EXACT =>
        {
            Err(ScalarError::Divisor(divisor.to_string()))
        }
        _ => Ok(()),
    }
}

/// The only values that can satisfy a condition, where it says which.
fn candidates(logic: &Logic<NumberTest>) -> Option<Vec<&Decimal>> {
    match logic {
        Logic::Is(NumberTest::Equals(value)) => Some(vec![value]),
        Logic::Is(_) | Logic::Not(_) => None,
        Logic::All(parts) => parts.iter().find_map(candidates),
        Logic::Any(parts) => {
            parts.iter().map(candidates).collect::<Option<Vec<_>>>().map(|lists| lists.concat())
        }
    }
}

/// An expression of a value's spellings. `None` if it is larger than every float.
fn spellings(value: &Decimal) -> Option<String> {
    if value.whole_digits() > 32 || value.places() > 32 {
        return value.nearest().is_finite().then(|| regex_syntax::escape(&value.scientific()));
    }
    let zeros =
        match (value.is_integer(), value.significant() <= EXACT && value.whole_digits() <= EXACT as i64) {
            (_, false) => "",
            (true, true) => "(?:\\.0)?",
            (false, true) => "0?",
        };
    Some(format!("{}{zeros}", regex_syntax::escape(&value.plain())))
}

fn product(
    logic: &Logic<NumberTest>,
    tests: &[&NumberTest],
    budget: &Budget,
) -> Result<Product, ScalarError> {
    let mut parts: HashMap<Part, usize> = HashMap::new();
    let mut index = |part: Part| {
        // The first table is of how numbers are written.
        let next = parts.len() + 1;
        Logic::Is(*parts.entry(part).or_insert(next))
    };
    let pushed = logic.pushed(true, &mut |tests: &[&NumberTest], must_hold| {
        let of_one = |test: &&NumberTest| translated(test, must_hold, &mut index);
        let all: Vec<_> = tests.iter().map(of_one).collect();
        Ok::<_, ScalarError>(if must_hold { Logic::Any(all) } else { Logic::All(all) })
    })?;
    let mut parts: Vec<(usize, Part)> = parts.into_iter().map(|(part, index)| (index, part)).collect();
    parts.sort_unstable_by_key(|(index, _)| *index);
    let mut tables = vec![Arc::new(Table::build(&spelling(tests), budget)?)];
    for (_, part) in &parts {
        tables.push(Arc::new(part.table(budget)?));
        Product::check_size(&tables, budget)?;
    }
    Ok(Product { tables, logic: Logic::All(vec![Logic::Is(0), pushed]) })
}

/// What one table decides.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Part {
    Integer,
    Less(Decimal),
    Greater(Decimal),
    MultipleOf(Decimal),
}

impl Part {
    fn table(&self, budget: &Budget) -> Result<Table, ScalarError> {
        // Remainders are many before equal ones are merged.
        let wide = Budget { max_states: budget.max_states.saturating_mul(10), ..*budget };
        Ok(match self {
            Self::Integer => {
                Table::build(&Multiple::of(&Decimal::parse("1").unwrap_or(Decimal::zero()))?, budget)?
            }
            Self::MultipleOf(divisor) => Table::build(&Multiple::of(divisor)?, &wide)?,
            Self::Less(bound) => Table::build(&Compare { bound, wanted: Ordering::Less }, budget)?,
            Self::Greater(bound) => Table::build(&Compare { bound, wanted: Ordering::Greater }, budget)?,
        })
    }
}

/// A test as parts, so that both readings of numbers satisfy it.
fn translated(
    test: &NumberTest,
    must_hold: bool,
    index: &mut impl FnMut(Part) -> Logic<usize>,
) -> Logic<usize> {
    let not = |logic| Logic::Not(Box::new(logic));
    let below = |bound: &Decimal, strict: bool, index: &mut dyn FnMut(Part) -> Logic<usize>| {
        let (bound, strict) = inward(bound, strict, false);
        if strict { index(Part::Less(bound)) } else { not(index(Part::Greater(bound))) }
    };
    let above = |bound: &Decimal, strict: bool, index: &mut dyn FnMut(Part) -> Logic<usize>| {
        let (bound, strict) = inward(bound, strict, true);
        if strict { index(Part::Greater(bound)) } else { not(index(Part::Less(bound))) }
    };
    match test {
        NumberTest::Integer if must_hold => index(Part::Integer),
        NumberTest::Integer => not(index(Part::Integer)),
        NumberTest::MultipleOf(divisor) if must_hold => index(Part::MultipleOf(divisor.clone())),
        NumberTest::MultipleOf(divisor) => not(index(Part::MultipleOf(divisor.clone()))),
        NumberTest::Minimum(bound) if must_hold => above(bound, false, index),
        NumberTest::Minimum(bound) => below(bound, true, index),
        NumberTest::ExclusiveMinimum(bound) if must_hold => above(bound, true, index),
        NumberTest::ExclusiveMinimum(bound) => below(bound, false, index),
        NumberTest::Maximum(bound) if must_hold => below(bound, false, index),
        NumberTest::Maximum(bound) => above(bound, true, index),
        NumberTest::ExclusiveMaximum(bound) if must_hold => below(bound, true, index),
        NumberTest::ExclusiveMaximum(bound) => above(bound, false, index),
        NumberTest::Equals(value) if must_hold => {
            Logic::All(vec![not(index(Part::Less(value.clone()))), not(index(Part::Greater(value.clone())))])
        }
        NumberTest::Equals(value) => Logic::Any(vec![below(value, true, index), above(value, true, index)]),
    }
}

/// From here on, whole numbers are floats to a checker that has integers of 64 bits.
const WIDE: f64 = 9_223_372_036_854_775_808.0;

/// A bound, and whether it is excluded, that numbers as they are written satisfy exactly where
/// they satisfy the given one in decimals and in floats alike; or, if there is none, the nearest
/// that is narrower. `up`: a lower bound, which narrows upwards.
fn inward(bound: &Decimal, strict: bool, up: bool) -> (Decimal, bool) {
    let narrower = |a: Decimal, b: Decimal| if up { a.max(b) } else { a.min(b) };
    let mut moved = bound.clone();
    if !bound.is_integer() {
        moved = bound.rounded(EXACT, up).unwrap_or(moved);
    }
    let float = bound.nearest();
    if float.abs() < (1_u64 << 53) as f64 || float.is_infinite() {
        return (moved, strict);
    }
    if strict && float.abs() >= WIDE {
        let next = if up { float.next_up() } else { float.next_down() };
        return (Decimal::of_whole_float(next).map_or(moved.clone(), |next| narrower(moved, next)), false);
    }
    (Decimal::of_whole_float(float).map_or(moved.clone(), |float| narrower(moved, float)), strict)
}

/// Numbers as they are written under some tests.
fn spelling(tests: &[&NumberTest]) -> Spelling {
    let divisors = tests.iter().filter_map(|test| match test {
        NumberTest::MultipleOf(divisor) => Some(if divisor.is_integer() { 18 } else { EXACT }),
        _ => None,
    });
    let longest = tests.iter().filter_map(|test| test.value()).map(Decimal::whole_digits).max().unwrap_or(0);
    Spelling { whole: divisors.min().unwrap_or(longest.clamp(20, 32) as usize) }
}
