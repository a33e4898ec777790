//! Spider's schemas and questions, where they are at hand.

use std::collections::BTreeMap;

use understudy_grammars::SqlSpec;

use crate::support::{Dice, compile, database, refusal, spec, vocabulary, wander};

/// Spider's schemas and gold queries, where they are at hand.
#[test]
fn gold_queries_are_in_the_language() {
    let Ok(data) = std::env::var("UNDERSTUDY_DATA") else {
        eprintln!("left out: UNDERSTUDY_DATA is not set");
        return;
    };
    let folder = std::path::Path::new(&data).join("grammar/sql/spider");
    let schemas = spider(&std::fs::read_to_string(folder.join("tables.json")).expect("as it should be"));
    let gold = std::fs::read_to_string(folder.join("gold.tsv")).expect("as it should be");
    let vocabulary = vocabulary();
    for double_quoted_strings in [true, false] {
        let mut grammars = BTreeMap::new();
        let (mut inside, mut prepared, mut all) = (0, 0, 0);
        for (query, name) in gold.lines().filter_map(|line| line.split_once('\t')) {
            let spec = SqlSpec { double_quoted_strings, ..spec(&schemas[name]) };
            let (grammar, database) =
                grammars.entry(name).or_insert_with(|| (compile(spec.clone(), &vocabulary), database(&spec)));
            all += 1;
            let valid = database.prepare(query).is_ok();
            prepared += usize::from(valid);
            match refusal(grammar, query.trim_end()) {
                None => {
                    assert!(valid, "{query}");
                    inside += 1;
                }
                Some(at) if valid => eprintln!("{name}: {} ## {}", &query[..at], &query[at..]),
                Some(_) => {}
            }
        }
        eprintln!(
            "strings in double quotes {double_quoted_strings}: {inside} of {prepared} that prepare, of {all}"
        );
        assert!(inside * 100 >= prepared * 95);
    }
}

/// INV-G1 on each of Spider's schemas.
#[test]
fn what_the_grammar_allows_prepares_on_all_schemas() {
    let Ok(data) = std::env::var("UNDERSTUDY_DATA") else {
        eprintln!("left out: UNDERSTUDY_DATA is not set");
        return;
    };
    let tables = std::path::Path::new(&data).join("grammar/sql/spider/tables.json");
    let vocabulary = vocabulary();
    let count: usize =
        std::env::var("UNDERSTUDY_WALKS").ok().and_then(|count| count.parse().ok()).unwrap_or(1);
    for (number, (name, schema)) in
        spider(&std::fs::read_to_string(tables).expect("as it should be")).iter().enumerate()
    {
        let spec = spec(schema);
        let (grammar, database) = (compile(spec.clone(), &vocabulary), database(&spec));
        for walk in 0..count {
            let mut dice = Dice((number * 1000 + walk + 1) as u64 * 0x9E37_79B9_7F4A_7C15);
            let tokens = 10 + dice.below(100);
            let text = wander(&grammar, &vocabulary, &mut dice, tokens);
            if let Err(error) = database.prepare(&text) {
                panic!("{name}: {error} in {text}");
            }
        }
    }
}

/// The schemas of Spider's `tables.json` as DDL.
fn spider(json: &str) -> BTreeMap<String, String> {
    let databases: serde_json::Value = serde_json::from_str(json).expect("as it should be");
    let mut schemas = BTreeMap::new();
    for database in databases.as_array().expect("as it should be") {
        let mut schema = String::new();
        let columns = database["column_names_original"].as_array().expect("as it should be");
        for (number, table) in
            database["table_names_original"].as_array().expect("as it should be").iter().enumerate()
        {
            let own = columns.iter().filter(|column| column[0] == number as i64);
            let own: Vec<String> =
                own.map(|column| format!("\"{}\"", column[1].as_str().expect("as it should be"))).collect();
            // SQLite keeps these names for itself.
            if !table.as_str().expect("as it should be").starts_with("sqlite_") {
                schema += &format!(
                    "CREATE TABLE \"{}\" ({});\n",
                    table.as_str().expect("as it should be"),
                    own.join(", ")
                );
            }
        }
        schemas.insert(database["db_id"].as_str().expect("as it should be").to_owned(), schema);
    }
    schemas
}
