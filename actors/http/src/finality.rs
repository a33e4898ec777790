//! Which text can no longer be withdrawn.
//!
//! An answer under a policy that judges may be retracted. Readers that cannot take text back get only what stays:
//!
//! | policy | text stays |
//! |---|---|
//! | pens alone (`direct`, `speculate`, `speculative-cascade`), also under `route` | as it is written |
//! | `cascade` | from the decision `stay` on, or once the last rung's own words come |
//! | `friend`, `best-of-n`, `select=best` | when the answer is finished |

use std::collections::VecDeque;

use understudy_gateway::{Failure, codes};
use understudy_proto::v1::{Decision, Delta, TokenLogprob};
use understudy_router::Settles;

/// Text, with the tokens behind it where they were asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Piece {
    pub(crate) text: String,
    pub(crate) logprobs: Vec<TokenLogprob>,
}

/// Holds text back until it stays.
#[derive(Debug)]
pub(crate) struct Finality {
    rule: Rule,
    /// The last rung, once the ladder is known.
    last: String,
    held: VecDeque<Piece>,
}

#[derive(Debug, PartialEq)]
enum Rule {
    Stays,
    /// A cascade's: a draft is shown.
    Drafts,
    /// A cascade's: the last rung is asked, and the draft stands until it says something.
    LastRung,
    AtEnd,
}

impl Finality {
    /// Of answers whose text settles so.
    pub(crate) fn of(settles: Settles) -> Self {
        let rule = match settles {
            Settles::AsWritten => Rule::Stays,
            Settles::OnceJudged => Rule::Drafts,
            Settles::AtEnd => Rule::AtEnd,
        };
        Self { rule, last: String::new(), held: VecDeque::new() }
    }

    /// The rungs are known.
    pub(crate) fn climbs(&mut self, ladder: &[String]) {
        self.last = ladder.last().cloned().unwrap_or_default();
        if ladder.len() < 2 && self.rule == Rule::Drafts {
            self.rule = Rule::Stays;
        }
    }

    /// A policy decided something.
    pub(crate) fn decided(&mut self, decision: &Decision) {
        let is_last = decision.to == self.last;
        match (&self.rule, decision.kind.as_str()) {
            (Rule::Drafts, "stay") => self.rule = Rule::Stays,
            (Rule::Drafts, "escalate") if is_last => self.rule = Rule::LastRung,
            // The last rung begins: there is no draft.
            (Rule::Drafts, "route") if is_last => self.rule = Rule::Stays,
            (Rule::LastRung, "stay") => self.rule = Rule::Stays,
            _ => {}
        }
    }

    /// More text. Whatever was withdrawn for it has been withdrawn before.
    pub(crate) fn wrote(&mut self, delta: Delta) {
        if self.rule == Rule::LastRung {
            self.rule = Rule::Stays;
        }
        self.held.push_back(Piece { text: delta.text, logprobs: delta.logprobs });
    }

    /// The end of the text is withdrawn, and so many of its tokens.
    ///
    /// # Errors
    /// `INTERNAL` where that text was given away already: a reader would go on with a text that is none.
    pub(crate) fn withdrew(&mut self, bytes: u64, tokens: u32) -> Result<(), Failure> {
        let mut bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let mut tokens = tokens as usize;
        for piece in self.held.iter_mut().rev() {
            let (text, told) =
                (piece.text.len().saturating_sub(bytes), piece.logprobs.len().saturating_sub(tokens));
            bytes -= piece.text.len() - text;
            tokens -= piece.logprobs.len() - told;
            // Whole characters are withdrawn.
            piece.text = piece.text.get(..text).unwrap_or_default().to_owned();
            piece.logprobs.truncate(told);
        }
        self.held.retain(|piece| !(piece.text.is_empty() && piece.logprobs.is_empty()));
        if bytes > 0 {
            return Err(Failure::new(codes::INTERNAL, "text that had been sent was withdrawn"));
        }
        Ok(())
    }

    /// Nothing can be withdrawn any more.
    pub(crate) fn end(&mut self) {
        self.rule = Rule::Stays;
    }

    /// The next text that stays.
    pub(crate) fn next(&mut self) -> Option<Piece> {
        if self.rule == Rule::Stays { self.held.pop_front() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use understudy_router::PolicySpec;

    use super::*;

    fn wrote(text: &str) -> Delta {
        Delta { text: text.into(), ..Default::default() }
    }

    fn decided(kind: &str, to: &str) -> Decision {
        Decision { kind: kind.into(), to: to.into(), ..Default::default() }
    }

    fn given(finality: &mut Finality) -> String {
        std::iter::from_fn(|| finality.next()).map(|piece| piece.text).collect()
    }

    fn over_two(policy: &str) -> Finality {
        let policy: PolicySpec = policy.parse().unwrap();
        let mut finality = Finality::of(policy.settles());
        finality.climbs(&["small".into(), "large".into()]);
        finality
    }

    #[test]
    fn pens_are_shown_as_they_write() {
        for policy in ["direct:model=m", "speculate", "route+speculative-cascade:alpha=0.1", "route"] {
            let mut finality = over_two(policy);
            finality.wrote(wrote("a"));
            assert_eq!(given(&mut finality), "a", "{policy}");
        }
    }

    #[test]
    fn a_draft_waits_for_its_judgement() {
        let mut finality = over_two("cascade:threshold=0.6+speculate");
        finality.wrote(wrote("draft"));
        assert_eq!(given(&mut finality), "");
        finality.decided(&decided("stay", ""));
        assert_eq!(given(&mut finality), "draft");
    }

    #[test]
    fn the_last_rung_is_shown_from_its_first_word_on() {
        let mut finality = over_two("route+cascade");
        finality.wrote(wrote("dräft"));
        finality.decided(&decided("escalate", "large"));
        assert_eq!(given(&mut finality), "", "the draft would stand if the last rung failed");
        finality.withdrew(6, 0).unwrap();
        finality.wrote(wrote("better"));
        assert_eq!(given(&mut finality), "better");
        assert_eq!(finality.withdrew(1, 0).unwrap_err().code, codes::INTERNAL);
    }

    #[test]
    fn a_rung_between_is_a_draft_too() {
        let mut finality = Finality::of(Settles::OnceJudged);
        finality.climbs(&["a".into(), "b".into(), "c".into()]);
        finality.decided(&decided("escalate", "b"));
        finality.wrote(wrote("draft"));
        assert_eq!(given(&mut finality), "");
    }

    #[test]
    fn who_may_take_back_anything_is_shown_at_the_end() {
        for policy in ["cascade+friend", "friend", "best-of-n+cascade", "cascade:select=best"] {
            let mut finality = over_two(policy);
            finality.wrote(wrote("text"));
            finality.decided(&decided("stay", ""));
            assert_eq!(given(&mut finality), "", "{policy}");
            finality.end();
            assert_eq!(given(&mut finality), "text", "{policy}");
        }
    }

    #[test]
    fn a_part_of_a_piece_can_be_withdrawn() {
        let token = |text: &str| TokenLogprob { token: text.into(), ..Default::default() };
        let mut finality = over_two("cascade");
        let logprobs = vec![token("one"), token(" two"), token(" three")];
        finality.wrote(Delta { logprobs, ..wrote("one two three") });
        finality.withdrew(6, 1).unwrap();
        finality.end();
        let piece = finality.next().unwrap();
        assert_eq!((piece.text.as_str(), piece.logprobs.len()), ("one two", 2));
    }
}
