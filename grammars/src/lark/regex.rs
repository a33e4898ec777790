//! Regular expressions as Python writes them.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::Hir;

use super::syntax::Place;
use crate::GrammarError;

/// Deepest nesting of groups.
pub(super) const DEEPEST: u32 = 60;

/// # Errors
/// [`GrammarError::Lark`] for what does not parse, or looks at what is beside its text.
pub(super) fn parse(expression: &str, flags: &str, place: Place) -> Result<Hir, GrammarError> {
    let parsed = ParserBuilder::new()
        .nest_limit(DEEPEST)
        .case_insensitive(flags.contains('i'))
        .multi_line(flags.contains('m'))
        .dot_matches_new_line(flags.contains('s'))
        .ignore_whitespace(flags.contains('x'))
        .build()
        .parse(expression)
        .map_err(|error| {
            place.error(format!("the regular expression is not usable: {}", last_line(&error)))
        })?;
    if !parsed.properties().look_set().is_empty() {
        let advice = "a terminal's text ends where the next character cannot continue it";
        return Err(place.error(format!(
            "the anchors ^, $ and \\b cannot be used in terminals; leave them out: {advice}"
        )));
    }
    Ok(parsed)
}

/// What is wrong, without the picture of the expression that comes before it.
fn last_line(error: &regex_syntax::Error) -> String {
    let shown = error.to_string();
    let last = shown.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}

/// The expression with what the syntax of the `regex` crate gives another meaning written out: brackets and
/// doubled signs within classes, and blanks there if others are left out (`verbose`); `\w` and `\S`.
pub(super) fn as_rust(pattern: &str, verbose: bool) -> String {
    let mut written = String::with_capacity(pattern.len());
    let mut characters = pattern.chars().peekable();
    // Characters of the class being read, its own brackets and negation left out.
    let mut class: Option<usize> = None;
    let mut last = ' ';
    while let Some(character) = characters.next() {
        let before = std::mem::replace(&mut last, character);
        match (character, class) {
            ('\\', _) => {
                match (characters.next(), class) {
                    (Some('/'), _) => written.push('/'),
                    // Marks are no parts of words there, and separators of files are blank.
                    (Some('w'), None) => written.push_str(r"[_\p{L}\p{N}]"),
                    (Some('w'), Some(_)) => written.push_str(r"_\p{L}\p{N}"),
                    (Some('W'), _) => written.push_str(r"[^_\p{L}\p{N}]"),
                    (Some('S'), _) => written.push_str(r"[^\s\x1C-\x1F]"),
                    (escaped, _) => written.extend(['\\'].into_iter().chain(escaped)),
                }
                last = ' ';
                class = class.map(|length| length + 1);
            }
            ('[', None) => {
                written.push('[');
                class = Some(0);
                if characters.next_if_eq(&'^').is_some() {
                    written.push('^');
                }
            }
            (']', Some(1..)) => {
                written.push(']');
                class = None;
            }
            (_, None) => written.push(character),
            (_, Some(length)) => {
                class = Some(length + 1);
                match character {
                    '[' | ']' => written.extend(['\\', character]),
                    '&' | '~' | '-' if before == character && length > 0 => written.extend(['\\', character]),
                    '#' if verbose => written.push_str("\\#"),
                    blank if verbose && blank.is_whitespace() => {
                        written.push_str(&format!("\\x{{{:x}}}", u32::from(blank)));
                    }
                    other => written.push(other),
                }
            }
        }
    }
    written
}
