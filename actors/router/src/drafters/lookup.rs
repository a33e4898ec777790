//! What followed the last time that the text ended as it ends now.
//!
//! Saxena 2023, "Prompt lookup decoding". Costs nothing but the verification, and is right wherever an
//! answer copies: names of a schema, code that is edited, a document that is quoted.

use async_trait::async_trait;
use understudy_engine::verbs::{Draft, TokenId};

use super::{Drafter, Price};
use crate::candidate::Candidate;
use crate::desk::{Desk, Trouble};
use crate::session::Session;

/// Fewest tokens that have to be the same: one alone is too often chance.
const LEAST_MATCH: usize = 2;
/// Matches of more tokens are not told apart.
const LONGEST_MATCH: usize = 8;

/// Looks in prompt and answer.
#[derive(Default)]
pub(crate) struct Lookup {
    text: Vec<TokenId>,
    /// Where the continuation begins.
    found: Option<usize>,
}

#[async_trait]
impl Drafter for Lookup {
    /// Longer matches are right more often, so each length has a record of its own.
    fn prospect(&mut self, target: &Session) -> Result<Option<String>, Trouble> {
        let (prompt, answer) = target.tokens()?;
        self.text.clear();
        self.text.extend_from_slice(prompt);
        self.text.extend_from_slice(answer);
        let found = last_match(&self.text);
        self.found = found.map(|(_, from)| from);
        Ok(found.map(|(length, _)| format!("lookup of {length}")))
    }

    fn price(&self) -> Price {
        Price::default()
    }

    fn name(&self) -> &str {
        "lookup"
    }

    async fn draft(
        &mut self,
        _: &mut Desk<'_>,
        _: &Candidate,
        _: &Session,
        most: usize,
    ) -> Result<Draft, Trouble> {
        let rest = self.found.and_then(|from| self.text.get(from..)).unwrap_or_default();
        Ok(Draft::certain(rest.iter().take(most).copied().collect()))
    }
}

/// The longest earlier occurrence of the text's end, the latest of several: its length, and where the
/// continuation begins.
fn last_match(text: &[TokenId]) -> Option<(usize, usize)> {
    let length_at = |end: usize| {
        let before = text.get(..end).unwrap_or_default().iter().rev();
        before.zip(text.iter().rev()).take(LONGEST_MATCH).take_while(|(a, b)| a == b).count()
    };
    let ends = (1..text.len()).rev().map(|end| (length_at(end), end));
    // Of equal ones the first seen stays: the latest.
    let best = ends.fold((0, 0), |best, next| if next.0 > best.0 { next } else { best });
    (best.0 >= LEAST_MATCH).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_match_wins_and_the_latest_of_equal_ones() {
        assert_eq!(last_match(&[1, 2, 3, 9, 1, 2]), Some((2, 2)));
        assert_eq!(last_match(&[1, 2, 3, 1, 2, 4, 1, 2]), Some((2, 5)));
        assert_eq!(last_match(&[7, 1, 2, 3, 1, 2, 4, 7, 1, 2]), Some((3, 3)), "a longer one is better");
        assert_eq!(last_match(&[5, 5, 5, 5]), Some((3, 3)), "a run continues itself");
        assert_eq!(last_match(&[1, 2, 3, 4, 2]), None, "one token is chance");
        assert_eq!(last_match(&[]), None);
    }
}
