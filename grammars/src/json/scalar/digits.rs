//! The digits of a number, read one by one: how it is spelled, compares, and divides.

use std::cmp::Ordering;

use super::{Decimal, ScalarError};
use crate::lexeme::Source;

/// Digits that every float tells apart.
pub(super) const EXACT: usize = 15;

/// Numbers as they are written where something is demanded of them.
#[derive(Debug)]
pub(super) struct Spelling {
    /// Most digits of a whole number.
    pub(super) whole: usize,
}

/// Where in a number a text is. `negative`: it has a minus and nothing but zeros so far.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Spelled {
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
pub(super) struct Compare<'a> {
    pub(super) bound: &'a Decimal,
    pub(super) wanted: Ordering,
}

/// Digits compared so far, signs aside. Where the order is decided, digits are counted no more.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Compared {
    /// Against as many digits of the bound's whole part.
    Whole {
        negative: bool,
        digits: i64,
        order: Ordering,
    },
    Fraction {
        negative: bool,
        place: i64,
        order: Ordering,
    },
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
            (Compared::Whole { digits, order, .. }, b'-') => {
                Some(Compared::Whole { negative: true, digits, order })
            }
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
pub(super) struct Multiple {
    divisor: u64,
    zeros: i64,
    places: i64,
}

impl Multiple {
    pub(super) fn of(divisor: &Decimal) -> Result<Self, ScalarError> {
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
pub(super) enum Divided {
    Whole {
        rest: u64,
        zeros: i64,
    },
    Fraction {
        rest: u64,
        places: i64,
    },
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
