//! What a statement's text says about whether it answers the question: nothing is run for it.
//!
//! A small model that misreads a question often leaves a trace: a column that the question names and the
//! statement does not, a text that is in no question, "how many" without a count. Words of a superlative are
//! English; in other languages that number says nothing and a calibration gives it no weight.

use std::collections::BTreeSet;

/// Words that ask for an extreme.
const SUPERLATIVES: [&str; 12] = [
    "most", "least", "largest", "biggest", "longest", "highest", "smallest", "lowest", "shortest", "oldest",
    "youngest", "latest",
];
/// Words of DDL that name nothing.
const DDL: [&str; 30] = [
    "create",
    "table",
    "index",
    "view",
    "unique",
    "primary",
    "foreign",
    "key",
    "references",
    "constraint",
    "check",
    "default",
    "not",
    "null",
    "if",
    "exists",
    "on",
    "delete",
    "update",
    "cascade",
    "text",
    "integer",
    "int",
    "real",
    "numeric",
    "decimal",
    "varchar",
    "char",
    "double",
    "date",
];
/// Shorter words are in too many others.
const LEAST_WORD: usize = 4;

/// Numbers by name, about a statement that is to answer `question` on a database created by `ddl`.
pub(super) fn read(statement: &str, question: &str, ddl: &str) -> Vec<(&'static str, f64)> {
    let upper = statement.to_uppercase();
    let flag = |set: bool| f64::from(u8::from(set));
    let asked: Vec<String> = words(question);
    let used: BTreeSet<String> = words(statement).into_iter().collect();
    let named: BTreeSet<String> = words(ddl)
        .into_iter()
        .flat_map(|name| name.split('_').map(str::to_owned).collect::<Vec<_>>())
        .filter(|word| word.len() >= LEAST_WORD && !DDL.contains(&word.as_str()))
        .map(|word| stem(&word).to_owned())
        .collect();
    let is_used = |word: &str| used.iter().any(|name| name.contains(stem(word)));
    let unused = asked.iter().filter(|word| named.contains(stem(word)) && !is_used(word)).count();
    let long = asked.iter().filter(|word| word.len() >= LEAST_WORD);
    let found = long.clone().filter(|word| is_used(word)).count();
    let literals = literals(statement);
    let lower = question.to_lowercase();
    let quoted = literals.iter().filter(|literal| lower.contains(literal.trim_matches('%'))).count();
    let extreme = asked.iter().any(|word| SUPERLATIVES.contains(&word.as_str()));
    let sorts = ["LIMIT", "MAX(", "MIN("].iter().any(|word| upper.contains(word));
    let count = |word: &str| upper.matches(word).count() as f64;
    vec![
        ("schema_words_unused", unused as f64),
        ("words_used", found as f64 / long.count().max(1) as f64),
        ("literals", literals.len() as f64),
        (
            "literals_in_question",
            if literals.is_empty() { 1.0 } else { quoted as f64 / literals.len() as f64 },
        ),
        ("how_many_counts", flag(lower.contains("how many") == upper.contains("COUNT("))),
        ("superlative_matches", flag(extreme == sorts)),
        ("question_words", asked.len() as f64),
        ("joins", count("JOIN")),
        ("subqueries", (count("SELECT") - 1.0).max(0.0)),
        ("limits", flag(upper.contains("LIMIT"))),
        ("groups", flag(upper.contains("GROUP BY"))),
    ]
}

fn words(text: &str) -> Vec<String> {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let words = text.split(|letter| !is_word(letter)).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

/// Singular and plural of a name are the same.
fn stem(word: &str) -> &str {
    word.strip_suffix("ies")
        .or_else(|| word.strip_suffix('y'))
        .or_else(|| word.strip_suffix('s'))
        .unwrap_or(word)
}

/// Texts in quotes, in lower case.
fn literals(statement: &str) -> Vec<String> {
    let mut literals = Vec::new();
    let mut rest = statement;
    while let Some(start) = rest.find(['\'', '"']) {
        let quote = rest.get(start..=start).unwrap_or("'");
        let inner = rest.get(start + 1..).unwrap_or_default();
        let Some(end) = inner.find(quote) else { break };
        literals.extend(inner.get(..end).filter(|literal| !literal.is_empty()).map(str::to_lowercase));
        rest = inner.get(end + 1..).unwrap_or_default();
    }
    literals
}

#[cfg(test)]
mod tests {
    use super::*;

    const DDL: &str = "CREATE TABLE shop (shop_name TEXT, city TEXT, opening_year INTEGER);";

    fn number(name: &str, statement: &str, question: &str) -> f64 {
        read(statement, question, DDL).into_iter().find(|(known, _)| *known == name).unwrap().1
    }

    #[test]
    fn traces_of_a_misread_question() {
        let sql = "SELECT shop_name FROM shop WHERE city = 'Rome' ORDER BY opening_year DESC LIMIT 1";
        for (name, question, value) in [
            ("schema_words_unused", "which shop in Rome is the newest", 0.0),
            ("superlative_matches", "which shop in Rome is the oldest", 1.0),
            ("superlative_matches", "which shops are in Rome", 0.0),
            ("how_many_counts", "which shops are in Rome", 1.0),
            ("how_many_counts", "how many shops are in Rome", 0.0),
            ("literals_in_question", "shops in Rome", 1.0),
            ("literals_in_question", "shops in Oslo", 0.0),
            ("words_used", "shop city", 1.0),
        ] {
            assert_eq!(number(name, sql, question), value, "{name}: {question}");
        }
        assert_eq!(
            number("schema_words_unused", "SELECT shop_name FROM shop", "opening year of a city's shop"),
            3.0
        );
    }

    #[test]
    fn quotes_that_do_not_close_are_no_literals() {
        assert_eq!(literals(r#"a = 'x' AND b = "Y" AND c = 'open"#), ["x", "y"]);
        assert_eq!(literals("é = 'ü' '"), ["ü"]);
    }
}
