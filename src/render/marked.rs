//! The text that a reader sees, with where it comes from.

use understudy_proto::v1::DeltaOrigin;

use crate::render::Style;

/// Text that still counts, in runs of one origin.
#[derive(Debug, Default)]
pub struct Marked {
    runs: Vec<(DeltaOrigin, String)>,
}

impl Marked {
    /// More text.
    pub fn push(&mut self, origin: DeltaOrigin, text: &str) {
        match self.runs.last_mut() {
            Some((last, run)) if *last == origin => run.push_str(text),
            _ => self.runs.push((origin, text.to_owned())),
        }
    }

    /// Takes the last `bytes` bytes off, and the rest of a character that this would part.
    pub fn cut(&mut self, bytes: u64) -> String {
        let mut left = usize::try_from(bytes).unwrap_or(usize::MAX);
        let mut cut = String::new();
        while left > 0
            && let Some((origin, mut run)) = self.runs.pop()
        {
            let keep = floor_char_boundary(&run, run.len().saturating_sub(left));
            let end = run.split_off(keep);
            left = left.saturating_sub(end.len());
            cut.insert_str(0, &end);
            self.runs.extend((!run.is_empty()).then_some((origin, run)));
        }
        cut
    }

    /// Whether something stands on the last line.
    pub fn is_within_line(&self) -> bool {
        self.runs.last().is_some_and(|(_, run)| !run.ends_with('\n'))
    }

    /// All of it as it was shown.
    pub fn painted(&self, style: Style) -> String {
        self.runs.iter().map(|(origin, run)| style.origin(*origin, run)).collect()
    }

    /// What its marks mean, if it has some.
    pub fn legend(&self, style: Style) -> Option<String> {
        let marks = [
            (DeltaOrigin::Forced, "forced by the constraint"),
            (DeltaOrigin::Accepted, "accepted from a draft"),
        ];
        let is_there = |origin: DeltaOrigin| self.runs.iter().any(|(own, _)| *own == origin);
        let there = marks.into_iter().filter(|(origin, _)| style.is_enabled() && is_there(*origin));
        let said: Vec<_> = there.map(|(origin, words)| style.origin(origin, words)).collect();
        (!said.is_empty()).then(|| said.join(", "))
    }
}

/// The nearest place at or before `at` where a character begins.
fn floor_char_boundary(text: &str, at: usize) -> usize {
    (0..=at).rev().find(|&index| text.is_char_boundary(index)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use DeltaOrigin::{Accepted, Forced, Unspecified as Written};

    use super::*;

    fn marked(runs: &[(DeltaOrigin, &str)]) -> Marked {
        let mut marked = Marked::default();
        runs.iter().for_each(|(origin, text)| marked.push(*origin, text));
        marked
    }

    #[test]
    fn text_is_taken_off_from_the_end_whatever_its_origin() {
        let all = [(Written, "né"), (Forced, ", "), (Forced, "s"), (Accepted, "ir")];
        for (bytes, cut, left) in [
            (0, "", "né, sir"),
            (1, "r", "né, si"),
            (4, " sir", "né,"),
            // Half of é: no part of it stays.
            (6, "é, sir", "n"),
            (99, "né, sir", ""),
        ] {
            let mut marked = marked(&all);
            assert_eq!(marked.cut(bytes), cut);
            assert_eq!(marked.painted(Style::PLAIN), left);
        }
    }

    #[test]
    fn marks_are_drawn_and_explained_only_where_they_can_be() {
        let text = marked(&[(Written, "n"), (Forced, "o, "), (Accepted, "sir\n")]);
        assert_eq!(text.painted(Style::ENABLED), "n\x1b[4mo, \x1b[0m\x1b[3msir\n\x1b[0m");
        assert_eq!(
            text.legend(Style::ENABLED).as_deref(),
            Some("\x1b[4mforced by the constraint\x1b[0m, \x1b[3maccepted from a draft\x1b[0m")
        );
        assert_eq!((text.painted(Style::PLAIN).as_str(), text.legend(Style::PLAIN)), ("no, sir\n", None));
        assert_eq!(marked(&[(Written, "no")]).legend(Style::ENABLED), None, "no marks, no legend");
        assert!(!text.is_within_line() && marked(&[(Forced, "x")]).is_within_line());
    }
}
