//! The answer is, or has, a text.

use crate::eval::judge::Verdict;

/// Judges by text. White space at the ends never counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextJudge {
    /// Any of these is right.
    pub expected: Vec<String>,
    /// How.
    pub matching: Matching,
}

/// How an answer has to match.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Matching {
    /// It is the text.
    #[default]
    Exact,
    /// It has the text somewhere, in upper or lower case.
    Contains,
}

impl TextJudge {
    /// Judges.
    pub fn verdict(&self, answer: &str) -> Verdict {
        let answer = answer.trim();
        let right = self.expected.iter().map(|text| text.trim()).any(|text| match self.matching {
            Matching::Exact => answer == text,
            Matching::Contains => answer.to_lowercase().contains(&text.to_lowercase()),
        });
        Verdict::when(right, || match self.matching {
            Matching::Exact => "is another text".into(),
            Matching::Contains => "lacks the text".into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_and_contains() {
        let cases = [
            (Matching::Exact, " Paris\n", true),
            (Matching::Exact, "paris", false),
            (Matching::Exact, "Paris.", false),
            (Matching::Exact, "Lutetia", true),
            (Matching::Contains, "It is PARIS.", true),
            (Matching::Contains, "Rome", false),
        ];
        for (matching, answer, right) in cases {
            let judge = TextJudge { expected: vec!["Paris".into(), "Lutetia".into()], matching };
            assert_eq!(judge.verdict(answer) == Verdict::Right, right, "{matching:?} {answer}");
        }
    }
}
