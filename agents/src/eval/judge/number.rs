//! The last number of an answer.

use std::sync::LazyLock;

use regex::Regex;

use crate::eval::judge::Verdict;

/// Judges by the last number.
#[derive(Debug, Clone, PartialEq)]
pub struct NumberJudge {
    expected: f64,
}

impl NumberJudge {
    /// `None` when the text has no number.
    pub fn new(expected: &str) -> Option<Self> {
        last_number(expected).map(|expected| Self { expected })
    }

    /// Judges.
    pub fn verdict(&self, answer: &str) -> Verdict {
        match last_number(answer) {
            None => Verdict::Wrong("no number in the answer".into()),
            Some(found) => {
                // Decimal texts of the same number parse to the same float.
                Verdict::when(found == self.expected, || format!("{found}, not {}", self.expected))
            }
        }
    }
}

/// The last number of a text. Thousands separators are skipped; a minus counts unless it
/// follows a digit, a letter or a bracket, as in `10-5`.
fn last_number(text: &str) -> Option<f64> {
    #[allow(clippy::unwrap_used, reason = "a constant expression, compiled by every test of this module")]
    static NUMBER: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"[-\u{2212}]?(?:\d+(?:,\d{3})*(?:\.\d+)?|\.\d+)").unwrap());
    let found = NUMBER.find_iter(text).last()?;
    let digits = found.as_str().trim_start_matches(['-', '\u{2212}']).replace(',', "");
    let has_sign = found.as_str().starts_with(['-', '\u{2212}']);
    let before = text[..found.start()].chars().next_back();
    let subtracts = before.is_some_and(|c| c.is_alphanumeric() || c == ')' || c == ']');
    let number: f64 = digits.parse().ok()?;
    Some(if has_sign && !subtracts { -number } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_number_counts() {
        let cases = [
            ("72", "So 24 + 48 = 72.\n#### 72", true),
            ("72", "**72**", true),
            ("72", "72.00 dollars", true),
            ("72", "The answer is 72. I am sure of 1 thing.", false),
            ("1000", "$1,000", true),
            ("1234567", "1,234,567.0", true),
            ("1,000", "1000", true),
            ("-5", "It is -5 degrees", true),
            ("-5", "\u{2212}5", true),
            ("5", "10-5", true),
            ("5", "10 -5", false),
            ("0.5", "half, .5", true),
            ("2", "1, 2", true),
            ("72", "seventy-two", false),
            ("72", "", false),
            ("72", "٧٢", false),
        ];
        for (expected, answer, right) in cases {
            let judge = NumberJudge::new(expected).unwrap();
            assert_eq!(judge.verdict(answer) == Verdict::Right, right, "{expected} in {answer:?}");
        }
        assert_eq!(NumberJudge::new("none"), None);
        let endless = "9".repeat(100_000);
        assert_ne!(NumberJudge::new("9").unwrap().verdict(&endless), Verdict::Right);
    }
}
