//! What a schema can demand of a number.
//!
//! **What is written**, so that a checker that reads 64-bit floats and one that reads decimals
//! agree (integers of up to 64 bits are exact to both):
//! - where nothing is demanded, any number of up to 32 digits on either side of its point, or
//!   with an exponent below 300;
//! - otherwise no exponent and no `-0`; whole numbers of up to 20 digits (as many as a bound has,
//!   up to 32; 18 where divisibility is demanded, 15 if by a fraction), or, with a fraction, up to
//!   15 digits in all, which every float tells apart. `1.0` is an integer, as in JSON Schema;
//! - where only certain values are left, those, with any zeros at the end of their fraction.
//!
//! A bound that no float has is moved inwards to where both readings of it agree.

use std::cmp::Ordering;
use std::sync::Arc;

use super::logic::Product;
use super::table::Table;
use super::{Decimal, Logic, ScalarError};
use crate::lexeme::{Automaton, Regular, Source};
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

/// Digits that every float tells apart.
const EXACT: usize = 15;

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
                && (value.significant() <= EXACT || logic.holds(&|test: &NumberTest| test.holds_of_floats(value)))
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
        Logic::Any(parts) => parts.iter().map(candidates).collect::<Option<Vec<_>>>().map(|lists| lists.concat()),
    }
}

/// An expression of a value's spellings. `None` if it is larger than every float.
fn spellings(value: &Decimal) -> Option<String> {
    if value.whole_digits() > 32 || value.places() > 32 {
        return value.nearest().is_finite().then(|| regex_syntax::escape(&value.scientific()));
    }
    let zeros = match (value.is_integer(), value.significant() <= EXACT && value.whole_digits() <= EXACT as i64) {
        (_, false) => "",
        (true, true) => "(?:\\.0+)?",
        (false, true) => "0*",
    };
    Some(format!("{}{zeros}", regex_syntax::escape(&value.plain())))
}

fn product(logic: &Logic<NumberTest>, tests: &[&NumberTest], budget: &Budget) -> Result<Product, ScalarError> {
    let mut parts: Vec<Part> = Vec::new();
    let mut index = |part: Part| {
        let known = parts.iter().position(|known| *known == part);
        Logic::Is(known.unwrap_or_else(|| {
            parts.push(part);
            parts.len() - 1
        }))
    };
    let pushed = logic.pushed(true, &mut |tests: &[&NumberTest], must_hold| {
        let of_one = |test: &&NumberTest| translated(test, must_hold, &mut index);
        let all: Vec<_> = tests.iter().map(of_one).collect();
        Ok::<_, ScalarError>(if must_hold { Logic::Any(all) } else { Logic::All(all) })
    })?;
    let mut tables = vec![Arc::new(Table::build(&Spelling::of(tests), budget)?)];
    for part in &parts {
        tables.push(Arc::new(part.table(budget)?));
    }
    Ok(Product { tables, logic: Logic::All(vec![Logic::Is(0), shifted(pushed)]) })
}

/// With room for one more table before all others.
fn shifted(logic: Logic<usize>) -> Logic<usize> {
    let all = |parts: Vec<Logic<usize>>| parts.into_iter().map(shifted).collect();
    match logic {
        Logic::All(parts) => Logic::All(all(parts)),
        Logic::Any(parts) => Logic::Any(all(parts)),
        Logic::Not(part) => Logic::Not(Box::new(shifted(*part))),
        Logic::Is(table) => Logic::Is(table + 1),
    }
}

/// What one table decides.
#[derive(Debug, Clone, PartialEq, Eq)]
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
            Self::Integer => Table::build(&Multiple::of(&Decimal::parse("1").unwrap_or(Decimal::zero()))?, budget)?,
            Self::MultipleOf(divisor) => Table::build(&Multiple::of(divisor)?, &wide)?,
            Self::Less(bound) => Table::build(&Compare { bound, wanted: Ordering::Less }, budget)?,
            Self::Greater(bound) => Table::build(&Compare { bound, wanted: Ordering::Greater }, budget)?,
        })
    }
}

/// A test as parts, so that both readings of numbers satisfy it.
fn translated(test: &NumberTest, must_hold: bool, index: &mut impl FnMut(Part) -> Logic<usize>) -> Logic<usize> {
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
    if float.abs() <= (1_u64 << 53) as f64 || float.is_infinite() {
        return (moved, strict);
    }
    if strict && float.abs() >= WIDE {
        let next = if up { float.next_up() } else { float.next_down() };
        return (Decimal::of_whole_float(next).map_or(moved.clone(), |next| narrower(moved, next)), false);
    }
    (Decimal::of_whole_float(float).map_or(moved.clone(), |float| narrower(moved, float)), strict)
}

/// Numbers as they are written where something is demanded of them.
#[derive(Debug)]
struct Spelling {
    /// Most digits of a whole number.
    whole: usize,
}

impl Spelling {
    fn of(tests: &[&NumberTest]) -> Self {
        let divisors = tests.iter().filter_map(|test| match test {
            NumberTest::MultipleOf(divisor) => Some(if divisor.is_integer() { 18 } else { EXACT }),
            _ => None,
        });
        let longest = tests.iter().filter_map(|test| test.value()).map(Decimal::whole_digits).max().unwrap_or(0);
        Self { whole: divisors.min().unwrap_or(longest.clamp(20, 32) as usize) }
    }
}

/// Where in a number a text is. `negative`: it has a minus and nothing but zeros so far.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Spelled {
    Start,
    Minus,
    Zero { negative: bool },
    Whole { digits: usize },
    Point { digits: usize, negative: bool },
    Fraction { digits: usize, negative: bool },
}

impl Source for Spelling {
    type State = Spelled;

    fn start(&self) -> Spelled {
        Spelled::Start
    }

    fn step(&self, state: &Spelled, byte: u8) -> Option<Spelled> {
        let zero = byte == b'0';
        match (state, byte) {
            (Spelled::Start, b'-') => Some(Spelled::Minus),
            (Spelled::Start, b'0') => Some(Spelled::Zero { negative: false }),
            (Spelled::Minus, b'0') => Some(Spelled::Zero { negative: true }),
            (Spelled::Start | Spelled::Minus, b'1'..=b'9') => Some(Spelled::Whole { digits: 1 }),
            (Spelled::Zero { negative }, b'.') => Some(Spelled::Point { digits: 0, negative: *negative }),
            (Spelled::Whole { digits }, b'0'..=b'9') if *digits < self.whole => {
                Some(Spelled::Whole { digits: digits + 1 })
            }
            (Spelled::Whole { digits }, b'.') if *digits < EXACT => {
                Some(Spelled::Point { digits: *digits, negative: false })
            }
            (Spelled::Point { digits, negative } | Spelled::Fraction { digits, negative }, b'0'..=b'9')
                if *digits < EXACT =>
            {
                Some(Spelled::Fraction { digits: digits + 1, negative: *negative && zero })
            }
            _ => None,
        }
    }

    fn ending(&self, state: &Spelled) -> Option<u32> {
        match state {
            Spelled::Zero { negative } | Spelled::Fraction { negative, .. } => (!negative).then_some(0),
            Spelled::Whole { .. } => Some(0),
            _ => None,
        }
    }

    fn classes(&self) -> [u8; 256] {
        classes()
    }
}

/// Digits, the point and the minus are told apart, all else is not.
fn classes() -> [u8; 256] {
    std::array::from_fn(|byte| match byte as u8 {
        b'0'..=b'9' | b'.' | b'-' => byte as u8,
        _ => 0,
    })
}

/// Numbers that are less or greater than a bound.
#[derive(Debug)]
struct Compare<'a> {
    bound: &'a Decimal,
    wanted: Ordering,
}

/// Digits compared so far, signs aside. Where the order is decided, digits are counted no more.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Compared {
    /// Against as many digits of the bound's whole part.
    Whole { negative: bool, digits: i64, order: Ordering },
    Fraction { negative: bool, place: i64, order: Ordering },
}

impl Compare<'_> {
    /// Whole digits that the bound is taken to have: more than any number is written with are too
    /// many to be told apart.
    fn length(&self) -> i64 {
        self.bound.whole_digits().min(64)
    }

    /// How a number of which only the whole part is read compares.
    fn whole_order(&self, digits: i64, order: Ordering) -> Ordering {
        digits.cmp(&self.length()).then(order)
    }
}

impl Source for Compare<'_> {
    type State = Compared;

    fn start(&self) -> Compared {
        Compared::Whole { negative: false, digits: 0, order: Ordering::Equal }
    }

    fn step(&self, state: &Compared, byte: u8) -> Option<Compared> {
        let digit = byte.wrapping_sub(b'0');
        match (state.clone(), byte) {
            (Compared::Whole { digits, order, .. }, b'-') => Some(Compared::Whole { negative: true, digits, order }),
            (Compared::Whole { negative, digits, order }, b'.') => {
                Some(Compared::Fraction { negative, place: 0, order: self.whole_order(digits, order) })
            }
            // A zero before the point is no digit.
            (Compared::Whole { digits: 0, .. }, b'0') => Some(state.clone()),
            (Compared::Whole { negative, digits, order }, b'0'..=b'9') => {
                let length = self.length();
                let order = order.then(digit.cmp(&self.bound.digit(length - 1 - digits)));
                let digits = digits + 1;
                // Longer than the bound is greater, however many more there are.
                let order = if digits > length { Ordering::Greater } else { order };
                Some(Compared::Whole { negative, digits: digits.min(length + 1), order })
            }
            (Compared::Fraction { negative, place, order: Ordering::Equal }, b'0'..=b'9') => {
                let place = place + 1;
                let order = digit.cmp(&self.bound.digit(-place));
                let place = if order.is_eq() { place.min(self.bound.places()) } else { 0 };
                Some(Compared::Fraction { negative, place, order })
            }
            (Compared::Fraction { .. }, b'0'..=b'9') => Some(state.clone()),
            _ => None,
        }
    }

    fn ending(&self, state: &Compared) -> Option<u32> {
        let (negative, place, order) = match *state {
            Compared::Whole { negative, digits, order } => (negative, 0, self.whole_order(digits, order)),
            Compared::Fraction { negative, place, order } => (negative, place, order),
        };
        // Digits of the bound that are left make it the larger one.
        let order = order.then(place.cmp(&self.bound.places()));
        let order = match (negative, self.bound.is_negative()) {
            (false, false) => order,
            (true, true) => order.reverse(),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        };
        (order == self.wanted).then_some(0)
    }

    fn classes(&self) -> [u8; 256] {
        classes()
    }
}

/// Multiples of `divisor` times ten to the power of `zeros`, or divided by ten to that of `places`.
#[derive(Debug)]
struct Multiple {
    divisor: u64,
    zeros: i64,
    places: i64,
}

impl Multiple {
    fn of(divisor: &Decimal) -> Result<Self, ScalarError> {
        let too_many = || ScalarError::Divisor(divisor.to_string());
        let significant = divisor.significant() as i64;
        let (zeros, places) = ((divisor.whole_digits() - significant).max(0), divisor.places());
        // Up to 15 digits; more zeros than numbers have digits leave only zero, and more places
        // than numbers have are no more than those.
        let digits = |count: i64, last: i64| (0..count).rev().map(move |power| divisor.digit(last + power));
        let last = if places > 0 { -places } else { zeros };
        let value = digits(significant, last).fold(0_u64, |value, digit| value * 10 + u64::from(digit));
        if value == 0 {
            return Err(too_many());
        }
        Ok(Self { divisor: value, zeros: zeros.min(64), places: places.min(64) })
    }

    fn remainder(&self, of: u64, digit: u8) -> u64 {
        ((u128::from(of) * 10 + u128::from(digit)) % u128::from(self.divisor)) as u64
    }
}

/// The remainder of the digits so far, without the last zeros, which are counted apart; and
/// places after the point.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Divided {
    Whole { rest: u64, zeros: i64 },
    Fraction { rest: u64, places: i64 },
    /// After all places that a multiple can have.
    Beyond,
}

impl Source for Multiple {
    type State = Divided;

    fn start(&self) -> Divided {
        // Zero is a multiple of everything.
        Divided::Whole { rest: 0, zeros: self.zeros }
    }

    fn step(&self, state: &Divided, byte: u8) -> Option<Divided> {
        let digit = byte.wrapping_sub(b'0');
        match (state, byte) {
            (Divided::Whole { .. }, b'-') => Some(state.clone()),
            (Divided::Whole { rest, zeros }, b'0') if *zeros < self.zeros => {
                Some(Divided::Whole { rest: *rest, zeros: zeros + 1 })
            }
            (Divided::Whole { rest, zeros }, b'0') => {
                Some(Divided::Whole { rest: self.remainder(*rest, 0), zeros: *zeros })
            }
            (Divided::Whole { rest, zeros }, b'1'..=b'9') => {
                let rest = (0..*zeros).fold(*rest, |rest, _| self.remainder(rest, 0));
                Some(Divided::Whole { rest: self.remainder(rest, digit), zeros: 0 })
            }
            (Divided::Whole { rest, zeros }, b'.') if *zeros == self.zeros => match self.places {
                0 => (*rest == 0).then_some(Divided::Beyond),
                _ => Some(Divided::Fraction { rest: *rest, places: 0 }),
            },
            (Divided::Fraction { rest, places }, b'0'..=b'9') => {
                let rest = self.remainder(*rest, digit);
                if places + 1 < self.places {
                    Some(Divided::Fraction { rest, places: places + 1 })
                } else {
                    (rest == 0).then_some(Divided::Beyond)
                }
            }
            (Divided::Beyond, b'0') => Some(Divided::Beyond),
            _ => None,
        }
    }

    fn ending(&self, state: &Divided) -> Option<u32> {
        let divides = match state {
            // `zeros` or `places` is zero.
            Divided::Whole { rest, zeros } => *zeros == self.zeros && self.scaled(*rest, self.places) == 0,
            Divided::Fraction { rest, places } => self.scaled(*rest, self.places - places) == 0,
            Divided::Beyond => true,
        };
        divides.then_some(0)
    }

    fn classes(&self) -> [u8; 256] {
        classes()
    }
}

impl Multiple {
    /// The remainder of a number with so many zeros more.
    fn scaled(&self, rest: u64, zeros: i64) -> u64 {
        (0..zeros).fold(rest, |rest, _| self.remainder(rest, 0))
    }
}
