//! What an answer's text says against its question, in any language and form: nothing is run or parsed for it.
//!
//! A small model that misreads a question often leaves a trace: a number of the question that the answer does not
//! have, a quoted text that nobody mentioned, a long question with a short answer. None of these is a proof; a calibration
//! learns what each is worth for a task.

use std::collections::BTreeSet;

use understudy_calibration::Evidence;

use crate::prompt::beginning;

/// Shorter words are in too many others.
const LEAST_WORD: usize = 4;
/// Beginnings so long are the same word: endings differ by grammar.
const BEGINNING: usize = 5;

/// Numbers by name, of an answer to this message. What is asked is its last paragraph.
pub(crate) fn evidence(answer: &str, message: &str) -> Evidence {
    let question = beginning(asked(message)).to_lowercase();
    let answer = beginning(answer).to_lowercase();
    let (asked, said) = (words(&question), words(&answer));
    let beginnings: BTreeSet<&str> = said.iter().map(|word| start(word)).collect();
    let long: BTreeSet<&str> =
        asked.iter().filter(|word| word.chars().count() >= LEAST_WORD).map(|word| start(word)).collect();
    let used = long.iter().filter(|word| beginnings.contains(*word)).count();
    let (numbers_asked, numbers_said) = (numbers(&question), numbers(&answer));
    let quoted = quoted(&answer);
    let mentioned = quoted.iter().filter(|text| question.contains(**text)).count();
    let ln = |count: usize| (count as f64).ln_1p();
    [
        ("question.length", ln(question.len())),
        ("question.words", ln(asked.len())),
        ("text.length", ln(answer.len())),
        ("text.words", ln(said.len())),
        ("text.to_question", ln(answer.len()) - ln(question.len())),
        ("text.words_used", share(used, long.len())),
        ("text.words_unused", (long.len() - used) as f64),
        ("text.numbers", numbers_said.len() as f64),
        ("text.numbers_asked", share(common(&numbers_said, &numbers_asked), numbers_said.len())),
        ("text.numbers_used", share(common(&numbers_asked, &numbers_said), numbers_asked.len())),
        ("text.quoted", quoted.len() as f64),
        ("text.quoted_asked", share(mentioned, quoted.len())),
        ("text.brackets", answer.matches(['{', '[', '(']).count() as f64),
        ("text.fenced", f64::from(u8::from(answer.contains("```")))),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// The last paragraph: what is asked, after whatever it is asked about.
pub(crate) fn asked(message: &str) -> &str {
    message.trim_end().rsplit("\n\n").next().unwrap_or_default()
}

/// Of none, all.
fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

fn words(text: &str) -> Vec<&str> {
    text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()).collect()
}

fn start(word: &str) -> &str {
    word.char_indices().nth(BEGINNING).map_or(word, |(end, _)| word.get(..end).unwrap_or(word))
}

/// Numbers as they are written, without zeros at the end of a fraction.
fn numbers(text: &str) -> Vec<String> {
    let is_number = |letter: char| letter.is_ascii_digit() || letter == '.';
    let parts = text.split(|letter| !is_number(letter)).map(|part| part.trim_matches('.'));
    let numbers = parts.filter(|part| part.contains(|letter: char| letter.is_ascii_digit()));
    let plain = |number: &str| match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => number.to_owned(),
    };
    numbers.map(plain).collect()
}

/// How many of `some` are among `others`.
fn common(some: &[String], others: &[String]) -> usize {
    some.iter().filter(|one| others.contains(one)).count()
}

/// Texts between double or single quotes on one line, empty ones left out.
fn quoted(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find(['"', '\'']) {
        let quote = rest.get(open..=open).unwrap_or_default();
        let inner = rest.get(open + 1..).unwrap_or_default();
        let end = inner.find(quote).filter(|end| !inner.get(..*end).unwrap_or_default().contains('\n'));
        let Some(end) = end else {
            rest = inner;
            continue;
        };
        found.extend(inner.get(..end).filter(|text| !text.is_empty()));
        rest = inner.get(end + 1..).unwrap_or_default();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_of_a_question_are_found_in_its_answer() {
        let message = "Functions: 3 of 4\n\nWhat's the area of the circle with radius 2.50 and the city Ulm?";
        let cases: [(&str, &str, f64); 9] = [
            ("text.numbers_used", r#"{"radius": 2.5}"#, 1.0),
            ("text.numbers_used", r#"{"radius": 5}"#, 0.0),
            ("text.numbers_asked", r#"{"radius": 2.5, "unit": 7}"#, 0.5),
            ("text.quoted_asked", r#"["ulm", 'bonn']"#, 0.5),
            ("text.quoted_asked", "none", 1.0),
            ("text.words_used", "circles, area, city, radii, withdraw", 0.5),
            ("text.words_unused", "", 6.0),
            ("text.brackets", "[{}]", 2.0),
            ("text.fenced", "```sql\nSELECT 1\n```", 1.0),
        ];
        for (name, answer, wanted) in cases {
            let found = evidence(answer, message);
            assert!((found[name] - wanted).abs() < 1e-9, "{name} of {answer}: {}", found[name]);
        }
    }

    #[test]
    fn what_is_asked_comes_after_what_it_is_about() {
        assert_eq!(asked("Schema:\nCREATE TABLE t (a);\n\nQuestion: how many\n"), "Question: how many");
        assert_eq!(asked("how many"), "how many");
    }

    #[test]
    fn any_text_has_finite_evidence() {
        for text in ["", "\"", "'\n'", "...", "é".repeat(20_000).as_str(), "\u{202e}\"日本\""] {
            assert!(evidence(text, text).values().all(|value| value.is_finite()), "{text:?}");
        }
    }
}
