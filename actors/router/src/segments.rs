//! Where an answer may change hands: clauses of SQL, values of JSON, lines of code, sentences.
//!
//! All by the text alone. A boundary that is missed or seen twice costs a turn and breaks nothing.

use understudy_grammars::Pattern;

use crate::candidate::Candidate;
use crate::writers::Until;

/// A segment without end is handed back after so many tokens.
const LONGEST_SEGMENT: usize = 64;

/// What a segment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Segments {
    /// A clause of SQL, its keyword included.
    Clause,
    /// A value of JSON, or of what looks like it.
    Value,
    /// A line.
    Line,
    /// A sentence or a line.
    Sentence,
}

/// Words that begin a clause, or a condition of one.
const CLAUSES: [&str; 18] = [
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP",
    "ORDER",
    "HAVING",
    "LIMIT",
    "JOIN",
    "ON",
    "AND",
    "OR",
    "UNION",
    "INTERSECT",
    "EXCEPT",
    "BY",
    "DISTINCT",
    "IN",
    "VALUES",
];

impl Segments {
    /// Words for [`named`](Self::named).
    pub(crate) const WORDS: [&'static str; 4] = ["clause", "value", "line", "sentence"];

    /// By one of the words.
    pub(crate) fn named(word: &str) -> Option<Self> {
        match word {
            "clause" => Some(Self::Clause),
            "value" => Some(Self::Value),
            "line" => Some(Self::Line),
            "sentence" => Some(Self::Sentence),
            _ => None,
        }
    }

    /// What suits an answer under this constraint.
    pub(crate) fn of(constraint: Option<&Pattern>) -> Self {
        match constraint {
            Some(Pattern::Sql(_)) => Self::Clause,
            Some(Pattern::Json(_) | Pattern::Graphql(_) | Pattern::Protobuf(_)) => Self::Value,
            Some(_) => Self::Line,
            None => Self::Sentence,
        }
    }

    /// Whether a segment begins with `next`, after `before`.
    pub(crate) fn begins(self, before: &str, next: &str) -> bool {
        let at_start = before.trim().is_empty();
        match self {
            Self::Clause => at_start || is_clause(first_word(next)) || is_clause(last_word(before)),
            Self::Value => at_start || before.trim_end().ends_with([':', '[', '(']),
            Self::Line => at_start || before.ends_with('\n'),
            Self::Sentence => at_start || before.ends_with('\n') || ends_sentence(before),
        }
    }

    /// Whether a segment is complete that ends the text so.
    pub(crate) fn ends(self, segment: &str) -> bool {
        match self {
            // The keyword of the next clause is its last word: what comes next was decided with it.
            Self::Clause => {
                let last = last_word(segment);
                let has_more = segment.trim().len() > last.len();
                (has_more && is_clause(last)) || segment.trim_end().ends_with(';')
            }
            Self::Value => segment.trim_end().ends_with([',', '}', ']', ')']),
            Self::Line => segment.ends_with('\n'),
            Self::Sentence => segment.ends_with('\n') || ends_sentence(segment),
        }
    }
}

/// Stops an author at the end of its segment.
pub(crate) struct SegmentEnd<'a> {
    author: &'a str,
    segments: Segments,
    tokens: usize,
    read: Option<usize>,
}

impl<'a> SegmentEnd<'a> {
    /// `read`: the author has a segment of others to read that ends after so many tokens; where it takes nothing
    /// back, one token is all it says.
    pub(crate) fn of(author: &'a str, segments: Segments, read: Option<usize>) -> Self {
        Self { author, segments, tokens: 0, read }
    }

    /// Tokens that the author has written.
    pub(crate) fn tokens(&self) -> usize {
        self.tokens
    }
}

impl Until for SegmentEnd<'_> {
    fn reached(&mut self, candidate: &Candidate) -> bool {
        self.tokens += 1;
        let tokens = candidate.tokens();
        if self.tokens == 1 && self.read.is_some_and(|before| tokens.len() > before) {
            return true;
        }
        let others = tokens.iter().rposition(|token| &*token.author.model != self.author);
        let begin = others.and_then(|at| tokens.get(at)).map_or(0, |token| token.end);
        let segment = candidate.bytes().get(begin..).unwrap_or_default();
        self.segments.ends(&String::from_utf8_lossy(segment)) || self.tokens >= LONGEST_SEGMENT
    }
}

fn is_clause(word: &str) -> bool {
    CLAUSES.iter().any(|clause| clause.eq_ignore_ascii_case(word))
}

fn first_word(text: &str) -> &str {
    let text = text.trim_start();
    text.split(|letter: char| !letter.is_ascii_alphabetic()).next().unwrap_or_default()
}

/// The word that ends the text, an opening parenthesis after it or not.
fn last_word(text: &str) -> &str {
    let text = text.trim_end_matches([' ', '\n', '\t', '(']);
    text.rsplit(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').next().unwrap_or_default()
}

fn ends_sentence(text: &str) -> bool {
    text.trim_end_matches([' ', '"', '\'', ')', '*']).ends_with(['.', '!', '?'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_begin_where_something_is_decided() {
        for (segments, before, next, begins) in [
            (Segments::Clause, "", "SELECT", true),
            (Segments::Clause, "SELECT ", "name", true),
            (Segments::Clause, "SELECT name", ",", false),
            (Segments::Clause, "SELECT name", " FROM", true),
            (Segments::Clause, "SELECT from_year", " x", false),
            (Segments::Clause, "x = (SELECT", " max", true),
            (Segments::Clause, "WHERE a IN (", "1", true),
            (Segments::Value, r#"{"a":"#, " 1", true),
            (Segments::Value, r#"{"a": "x"#, "y", false),
            (Segments::Line, "x = 1\n", "y", true),
            (Segments::Line, "x = ", "1", false),
            (Segments::Sentence, "It is so. ", "But", true),
            (Segments::Sentence, "It is", " so", false),
        ] {
            assert_eq!(segments.begins(before, next), begins, "{segments:?} {before:?} {next:?}");
        }
    }

    #[test]
    fn segments_end_before_the_next_decision() {
        for (segments, segment, ends) in [
            (Segments::Clause, " WHERE", false),
            (Segments::Clause, " WHERE a = 1", false),
            (Segments::Clause, " WHERE a = 1 ORDER", true),
            (Segments::Clause, " WHERE a = 1;", true),
            (Segments::Clause, " name FROM", true),
            (Segments::Value, r#""abc""#, false),
            (Segments::Value, r#""abc","#, true),
            (Segments::Line, "return x", false),
            (Segments::Line, "return x\n", true),
            (Segments::Sentence, "Done.", true),
        ] {
            assert_eq!(segments.ends(segment), ends, "{segments:?} {segment:?}");
        }
    }
}
