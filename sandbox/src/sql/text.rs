//! SQL as text: finding it in an answer, and what its outermost level says.

use crate::fence;

/// One stretch of SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece<'a> {
    /// A keyword or a bare name.
    Word(&'a str),
    /// A quoted text or name, quotes included, or a comment.
    Opaque(&'a str),
    /// Any other character.
    Sign(char),
}

/// The statement of an answer: in the first code fence that has one, else in its text. It
/// starts with SELECT or WITH and ends before the first semicolon.
pub fn extract(answer: &str) -> Option<&str> {
    fence::blocks(answer).find_map(|code| statement(code, false)).or_else(|| statement(answer, true))
}

/// From the first SELECT or WITH to the first semicolon. In prose, a blank line ends it too, unless the statement goes
/// on after it.
fn statement(text: &str, is_prose: bool) -> Option<&str> {
    let starts = |piece: &(usize, Piece<'_>)| match piece.1 {
        Piece::Word(word) => word.eq_ignore_ascii_case("select") || is_start_of_with(text, piece.0, word),
        _ => false,
    };
    // Prose has apostrophes that quote nothing: words are looked for everywhere.
    let start = match is_prose {
        true => words(text).find(|(at, word)| starts(&(*at, Piece::Word(word)))).map(|(at, _)| at)?,
        false => pieces(text).find(starts).map(|(at, _)| at)?,
    };
    let rest = &text[start..];
    let end = pieces(rest).find(|(_, piece)| *piece == Piece::Sign(';')).map_or(rest.len(), |(at, _)| at);
    let blank = if is_prose { paragraph_end(rest) } else { rest.len() };
    let mut found = rest[..end.min(blank)].trim_end();
    // A mark of the prose around it, not the end of a name.
    while found.ends_with('`') && found.matches('`').count() % 2 == 1 {
        found = found[..found.len() - 1].trim_end();
    }
    (!found.is_empty()).then_some(found)
}

/// Words that a statement goes on with.
const GOES_ON: [&str; 18] = [
    "from",
    "where",
    "group",
    "order",
    "having",
    "limit",
    "offset",
    "join",
    "inner",
    "left",
    "cross",
    "on",
    "and",
    "or",
    "union",
    "intersect",
    "except",
    "select",
];

/// Where the paragraph ends that a statement begins with.
fn paragraph_end(text: &str) -> usize {
    let goes_on = |after: &str| {
        let after = after.trim_start();
        let word = take_word(after);
        // A sentence begins with one capital letter.
        let is_keyword = word == word.to_lowercase() || word == word.to_uppercase();
        let is_known = GOES_ON.iter().any(|known| known.eq_ignore_ascii_case(word));
        after.starts_with([')', '(', ',']) || (is_keyword && is_known)
    };
    let mut blank_lines = text.match_indices("\n\n").map(|(at, _)| at);
    blank_lines.find(|at| !goes_on(&text[*at..])).unwrap_or(text.len())
}

/// `WITH name AS (` or `WITH name(`, not the word of a sentence.
fn is_start_of_with(text: &str, at: usize, word: &str) -> bool {
    if !word.eq_ignore_ascii_case("with") {
        return false;
    }
    let mut after = pieces(&text[at + word.len()..]).map(|(_, piece)| piece);
    let mut next = || after.find(|piece| !matches!(piece, Piece::Sign(sign) if sign.is_whitespace()));
    let mut name = next();
    if matches!(name, Some(Piece::Word(word)) if word.eq_ignore_ascii_case("recursive")) {
        name = next();
    }
    matches!(name, Some(Piece::Word(_) | Piece::Opaque(_)))
        && match next() {
            Some(Piece::Sign('(')) => true,
            Some(Piece::Word(word)) => word.eq_ignore_ascii_case("as"),
            _ => false,
        }
}

/// Whether the outermost query orders its rows.
pub fn is_ordered(sql: &str) -> bool {
    let mut depth = 0_usize;
    let mut after_order = false;
    for (_, piece) in pieces(sql) {
        match piece {
            Piece::Sign('(') => depth += 1,
            Piece::Sign(')') => depth = depth.saturating_sub(1),
            Piece::Sign(sign) if sign.is_whitespace() => continue,
            Piece::Opaque(text) if text.starts_with("--") || text.starts_with("/*") => continue,
            Piece::Word(word) if depth == 0 && after_order && word.eq_ignore_ascii_case("by") => return true,
            _ => {}
        }
        after_order = matches!(piece, Piece::Word(word) if word.eq_ignore_ascii_case("order"));
    }
    false
}

/// The statement with `today` (`YYYY-MM-DD`) wherever it asks for the present time.
pub fn freeze_now(sql: &str, today: &str) -> String {
    let date = format!("'{today}'");
    let moment = format!("'{today} 00:00:00'");
    let replaced = pieces(sql).map(|(at, piece)| match piece {
        Piece::Opaque("'now'" | "\"now\"") => date.as_str(),
        Piece::Opaque(text) if text.eq_ignore_ascii_case("'now'") => date.as_str(),
        Piece::Word(word) if word.eq_ignore_ascii_case("current_date") => date.as_str(),
        Piece::Word(word) if word.eq_ignore_ascii_case("current_timestamp") => moment.as_str(),
        Piece::Word(text) | Piece::Opaque(text) => text,
        Piece::Sign(sign) => &sql[at..at + sign.len_utf8()],
    });
    replaced.collect()
}

/// Words of a text, quotes unheeded.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        at += text[at..].find(is_word)?;
        let word = take_word(&text[at..]);
        let found = (at, word);
        at += word.len();
        Some(found)
    })
}

/// Pieces with their offsets; together they are the whole text.
fn pieces(text: &str) -> impl Iterator<Item = (usize, Piece<'_>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = &text[at..];
        let first = rest.chars().next()?;
        let piece = match first {
            '\'' | '"' | '`' => Piece::Opaque(quoted(rest, first)),
            '[' => Piece::Opaque(up_to(rest, "]")),
            '-' if rest.starts_with("--") => Piece::Opaque(up_to(rest, "\n")),
            '/' if rest.starts_with("/*") => Piece::Opaque(up_to(rest, "*/")),
            first if is_word(first) => Piece::Word(take_word(rest)),
            sign => Piece::Sign(sign),
        };
        let found = (at, piece);
        at += match piece {
            Piece::Word(text) | Piece::Opaque(text) => text.len(),
            Piece::Sign(sign) => sign.len_utf8(),
        };
        Some(found)
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn take_word(rest: &str) -> &str {
    &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())]
}

/// Up to and with the closing quote; a doubled quote starts the next piece, which is as good.
fn quoted(rest: &str, quote: char) -> &str {
    rest[1..].find(quote).map_or(rest, |end| &rest[..end + 2])
}

fn up_to<'a>(rest: &'a str, end: &str) -> &'a str {
    rest.find(end).map_or(rest, |at| &rest[..at + end.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_is_found_wherever_it_stands() {
        let cases = [
            ("SELECT 1", Some("SELECT 1")),
            ("select a from b;\nMore text", Some("select a from b")),
            ("```sql\nSELECT 1;\n```\nIt doesn't matter.", Some("SELECT 1")),
            ("Here:\n```\nSELECT a\n\nFROM b\n```", Some("SELECT a\n\nFROM b")),
            ("```sql SELECT 1```", Some("SELECT 1")),
            ("```python\nprint()\n```\n```sql\nSELECT 2\n```", Some("SELECT 2")),
            ("```sqlite\nSELECT 3", Some("SELECT 3")),
            ("I'd say: SELECT x FROM t\n\nThis lists x.", Some("SELECT x FROM t")),
            ("SELECT x\n\nFROM t\n\nWHERE x > 1", Some("SELECT x\n\nFROM t\n\nWHERE x > 1")),
            ("SELECT x FROM t\n\nFrom this follows x.", Some("SELECT x FROM t")),
            ("SELECT a FROM t AS `x`", Some("SELECT a FROM t AS `x`")),
            ("The query is `SELECT 1`", Some("SELECT 1")),
            ("It is `SELECT `a` FROM `t``", Some("SELECT `a` FROM `t`")),
            ("With this query: SELECT 4", Some("SELECT 4")),
            ("with t AS (SELECT 1) SELECT * FROM t;", Some("with t AS (SELECT 1) SELECT * FROM t")),
            (
                "WITH RECURSIVE c(x) AS (SELECT 1) SELECT x FROM c",
                Some("WITH RECURSIVE c(x) AS (SELECT 1) SELECT x FROM c"),
            ),
            ("SELECT ';' FROM t; DROP TABLE t", Some("SELECT ';' FROM t")),
            ("```sql\n-- select nothing; yet\nSELECT 5\n```", Some("SELECT 5")),
            ("selected works", None),
            ("DROP TABLE city", None),
            ("", None),
            ("```", None),
            ("SELECT", Some("SELECT")),
            ("é```sqlé\nSELECT 'é", Some("SELECT 'é")),
        ];
        for (answer, wanted) in cases {
            assert_eq!(extract(answer), wanted, "{answer:?}");
        }
    }

    #[test]
    fn only_the_outermost_order_counts() {
        let cases = [
            ("SELECT a FROM b ORDER BY a", true),
            ("SELECT a FROM b order\n /* by */ by a LIMIT 1", true),
            ("SELECT a FROM (SELECT a FROM b ORDER BY a)", false),
            ("SELECT a, ROW_NUMBER() OVER (ORDER BY a) FROM b", false),
            ("SELECT 'ORDER BY' FROM b -- order by a", false),
            ("SELECT \"order\" by FROM b", false),
            (")) SELECT a ORDER BY a", true),
            ("SELECT a FROM orders", false),
        ];
        for (sql, wanted) in cases {
            assert_eq!(is_ordered(sql), wanted, "{sql}");
        }
    }

    #[test]
    fn the_present_is_frozen_outside_of_other_texts() {
        let cases = [
            ("date('now', '-1 day')", "date('2026-06-15', '-1 day')"),
            ("date('NOW')", "date('2026-06-15')"),
            ("strftime('%Y', \"now\")", "strftime('%Y', '2026-06-15')"),
            ("x > current_date", "x > '2026-06-15'"),
            ("x > CURRENT_TIMESTAMP", "x > '2026-06-15 00:00:00'"),
            ("'right now' = now -- 'now'\n", "'right now' = now -- 'now'\n"),
            ("'it''s' || 'é'", "'it''s' || 'é'"),
        ];
        for (sql, wanted) in cases {
            assert_eq!(freeze_now(sql, "2026-06-15"), wanted);
        }
    }
}
