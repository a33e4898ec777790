//! Results in one spelling, so that equal results are equal texts.

use std::borrow::Cow;

use rusqlite::types::ValueRef;
use sha2::{Digest, Sha256};

/// Reals are equal when they agree to this many digits after the first: sums in another order differ in the last two
/// or three of 17.
const DIGITS: usize = 9;

/// How NULL is spelled.
pub const NULL: &str = "NULL";

/// The rows of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Values by row: texts in quotes, so that `'5'` is not `5`; whole reals as integers; other reals to ten digits.
    pub rows: Vec<Vec<String>>,
    /// The outermost query orders its rows.
    pub is_ordered: bool,
}

impl Table {
    /// Rows such that equal results are equal: sorted unless their order counts. Names of columns say nothing.
    pub fn normal(&self, order_counts: bool) -> Cow<'_, [Vec<String>]> {
        match order_counts {
            true => Cow::Borrowed(&self.rows),
            false => {
                let mut rows = self.rows.clone();
                rows.sort_unstable();
                Cow::Owned(rows)
            }
        }
    }

    /// Digest of the rows, in their order where the statement orders them: results that agree have the same. 16
    /// hexadecimal digits of SHA-256.
    pub fn digest(&self) -> String {
        let mut digest = Sha256::new();
        let mut add = |text: &str| {
            digest.update((text.len() as u64).to_le_bytes());
            digest.update(text);
        };
        for row in self.normal(self.is_ordered).iter() {
            add(&row.len().to_string());
            row.iter().for_each(|cell| add(cell));
        }
        digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Nothing, or nothing but NULL.
    pub fn is_empty(&self) -> bool {
        self.rows.iter().flatten().all(|cell| cell == NULL)
    }
}

/// A value in its one spelling.
pub(super) fn cell(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => NULL.to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => real(number),
        ValueRef::Text(text) => format!("'{}'", String::from_utf8_lossy(text)),
        ValueRef::Blob(bytes) => blob(bytes),
    }
}

/// As SQL spells it. Digits are looked up: values may be long.
fn blob(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let digits: String = digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect();
    format!("x'{digits}'")
}

/// Rounded; a whole number looks like the integer that it equals.
fn real(number: f64) -> String {
    let rounded: f64 = format!("{number:.DIGITS$e}").parse().unwrap_or(number);
    match rounded {
        whole if whole.fract() == 0.0 && whole.abs() < 1e15 => format!("{}", whole as i64),
        other => format!("{other:e}"),
    }
}
