//! Exact decimals.

use std::cmp::Ordering;
use std::fmt;

/// A number of JSON, exactly. Equal values are equal, however they were spelled.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Decimal {
    negative: bool,
    /// Without zeros at either end; none for zero.
    digits: Vec<u8>,
    /// The value is `0.digits` times ten to this power.
    point: i64,
}

/// Most significant digits. More are refused: calculating with them is quadratic.
const MOST_DIGITS: usize = 1000;

impl Decimal {
    /// The value of a JSON number (RFC 8259, section 6). `None` for any other text, and for more
    /// than 1,000 significant digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (text, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (mantissa, ""),
        };
        let leading_zero = whole.starts_with('0') && whole.len() > 1;
        let digits = || whole.bytes().chain(fraction.bytes());
        if whole.is_empty() || leading_zero || !digits().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        Self::of(negative, digits().map(|digit| digit - b'0').collect(), whole.len() as i64 + exponent)
    }

    /// `0.digits` times ten to the power of `point`.
    fn of(negative: bool, mut digits: Vec<u8>, point: i64) -> Option<Self> {
        let zeros = digits.iter().take_while(|digit| **digit == 0).count();
        digits.drain(..zeros);
        let length = digits.len() - digits.iter().rev().take_while(|digit| **digit == 0).count();
        digits.truncate(length);
        if digits.is_empty() {
            return Some(Self::zero());
        }
        (length <= MOST_DIGITS).then_some(Self { negative, digits, point: point - zeros as i64 })
    }

    pub(crate) fn zero() -> Self {
        Self { negative: false, digits: Vec::new(), point: 0 }
    }

    pub(crate) fn is_negative(&self) -> bool {
        self.negative
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    pub(crate) fn is_integer(&self) -> bool {
        self.places() == 0
    }

    /// Digits before the point; 0 for values below 1.
    pub(super) fn whole_digits(&self) -> i64 {
        self.point.max(0)
    }

    /// Digits that the fraction needs.
    pub(super) fn places(&self) -> i64 {
        (self.digits.len() as i64 - self.point).max(0)
    }

    pub(super) fn significant(&self) -> usize {
        self.digits.len()
    }

    /// The digit of ten to the power of `power`.
    pub(super) fn digit(&self, power: i64) -> u8 {
        let index = usize::try_from(self.point - 1 - power).ok();
        index.and_then(|index| self.digits.get(index)).copied().unwrap_or(0)
    }

    /// The nearest 64-bit float.
    pub(super) fn nearest(&self) -> f64 {
        // Any decimal parses; those beyond all floats are infinite.
        self.scientific().parse().unwrap_or(f64::NAN)
    }

    /// A float's value; `None` unless it is finite.
    pub(super) fn of_float(float: f64) -> Option<Self> {
        // All digits of a float are written, 1,074 after the point at most, trailing zeros aside.
        float.is_finite().then(|| Self::parse(&format!("{float}"))).flatten()
    }

    /// The exact value of a whole float.
    pub(super) fn of_whole_float(float: f64) -> Option<Self> {
        float.is_finite().then(|| Self::parse(&format!("{float:.0}"))).flatten()
    }

    /// The next value with so many digits that is not larger, or not smaller.
    pub(super) fn rounded(&self, digits: usize, up: bool) -> Option<Self> {
        if self.digits.len() <= digits {
            return Some(self.clone());
        }
        let mut kept = self.digits[..digits].to_vec();
        let mut point = self.point;
        if up != self.negative {
            match kept.iter().rposition(|digit| *digit < 9) {
                Some(index) => {
                    kept[index] += 1;
                    kept.truncate(index + 1);
                }
                None => (kept, point) = (vec![1], point + 1),
            }
        }
        Self::of(self.negative, kept, point)
    }

    /// Whether this is an integer times `divisor`.
    pub(crate) fn is_multiple_of(&self, divisor: &Self) -> bool {
        if self.is_zero() || divisor.is_zero() {
            return self.is_zero();
        }
        // Both as integers times a power of ten.
        let shift = (self.point - self.digits.len() as i64) - (divisor.point - divisor.digits.len() as i64);
        if shift < 0 {
            // The last digit is no zero, so ten does not divide it.
            return false;
        }
        // A divisor of n digits has fewer than 4 n factors 2 and 5: further tens change nothing.
        let tens = shift.min(4 * divisor.digits.len() as i64) as usize;
        let mut rest: Vec<u8> = Vec::new();
        for digit in self.digits.iter().copied().chain(std::iter::repeat_n(0, tens)) {
            rest.push(digit);
            reduce(&mut rest, &divisor.digits);
        }
        rest.iter().all(|digit| *digit == 0)
    }

    /// Its digits without an exponent. For values of reasonable size.
    pub(super) fn plain(&self) -> String {
        let sign = if self.negative { "-" } else { "" };
        let digit = |power| char::from(b'0' + self.digit(power));
        let whole: String = (0..self.whole_digits().max(1)).rev().map(digit).collect();
        let fraction: String = (1..=self.places()).map(|place| digit(-place)).collect();
        if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
    }

    /// Its digits with an exponent.
    pub(super) fn scientific(&self) -> String {
        let Some((first, rest)) = self.digits.split_first() else { return "0".into() };
        let sign = if self.negative { "-" } else { "" };
        let rest: String = rest.iter().map(|digit| char::from(b'0' + digit)).collect();
        let point = if rest.is_empty() { "" } else { "." };
        format!("{sign}{first}{point}{rest}e{}", self.point - 1)
    }
}

/// An exponent with its sign; `None` when it is none, or so large that no checker reads it.
fn parse_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let exponent: i32 = text.strip_prefix('+').unwrap_or(text).parse().ok()?;
    Some(i64::from(exponent))
}

/// Subtracts `divisor` from `rest`, both integers by their digits, as often as it can.
fn reduce(rest: &mut Vec<u8>, divisor: &[u8]) {
    let zeros = rest.iter().take_while(|digit| **digit == 0).count();
    rest.drain(..zeros);
    while (rest.len(), rest.as_slice()) >= (divisor.len(), divisor) {
        let mut borrow = 0;
        for index in 0..rest.len() {
            let at = rest.len() - 1 - index;
            let minus = borrow + divisor.len().checked_sub(index + 1).map_or(0, |place| divisor[place]);
            borrow = u8::from(rest[at] < minus);
            rest[at] = rest[at] + 10 * borrow - minus;
        }
        let zeros = rest.iter().take_while(|digit| **digit == 0).count();
        rest.drain(..zeros);
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |of: &Self| if of.is_zero() { 0 } else { 1 - 2 * i8::from(of.negative) };
        let size = |a: &Self, b: &Self| (a.point, &a.digits).cmp(&(b.point, &b.digits));
        sign(self).cmp(&sign(other)).then_with(|| match self.negative {
            true => size(other, self),
            false => size(self, other),
        })
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = self.whole_digits() <= 21 && self.places() <= 21;
        f.write_str(&if short { self.plain() } else { self.scientific() })
    }
}
