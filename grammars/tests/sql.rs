//! SQL against SQLite itself: what the grammar lets a text be, SQLite prepares.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use understudy_grammars::{
    Budget, Constraint, Grammar, GrammarError, Matcher, Pattern, SqlSpec, TokenId, Vocabulary,
};

const END: TokenId = 256;

/// All bytes, an end, and tokens that cross borders of lexemes.
fn vocabulary() -> Arc<Vocabulary> {
    let mut tokens: Vec<Vec<u8>> = (0..=255_u8).map(|byte| vec![byte]).collect();
    tokens.push(Vec::new());
    let longer = [
        "SELECT ",
        "select",
        " FROM",
        " from ",
        " FROM singer",
        "count(*)",
        "(*)",
        " (",
        "((",
        "))",
        ") ",
        "), ",
        ", ",
        " ,",
        " = ",
        " =",
        "='",
        " '",
        "' ",
        "',",
        "')",
        "T1",
        "T1.",
        " T1",
        ".name",
        "name",
        "name,",
        ".id",
        " AS",
        " AS T",
        " AS T1",
        "1 JOIN",
        " JOIN ",
        " ON T1",
        " ON ",
        " ON T",
        "1.",
        "2.",
        " WHERE ",
        " AND ",
        "1)",
        " (SELECT",
        "singer ",
        "er AS",
        "id)",
        "a.",
        " a.",
        "b",
        "*",
        ";",
        "\n",
        "  ",
        " GROUP BY ",
        " ORDER BY ",
        " LIMIT 1",
        "0;",
        "\"",
        "\" ",
        "é",
        "é'",
        " UNION ",
        "ALL ",
        " IN (",
        "NULL",
        "null)",
        " IS NOT NULL",
        "END",
        " END",
        "CASE WHEN ",
        " OVER (",
        "x.",
        " x",
        " x ",
    ];
    tokens.extend(longer.iter().map(|text| text.as_bytes().to_vec()));
    Arc::new(Vocabulary::new("bytes and SQL", tokens, vec![END]))
}

fn spec(schema: &str) -> SqlSpec {
    SqlSpec { schema: schema.into(), ..SqlSpec::default() }
}

fn compile(spec: SqlSpec, vocabulary: &Arc<Vocabulary>) -> Arc<Grammar> {
    Grammar::compile(&Pattern::Sql(spec), vocabulary, &Budget::default()).expect("compiles")
}

/// An empty database that does not take texts in double quotes for strings.
fn database(spec: &SqlSpec) -> Connection {
    let database = Connection::open_in_memory().expect("as it should be");
    database
        .set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, spec.double_quoted_strings)
        .expect("as it should be");
    database.execute_batch(&spec.schema).expect("as it should be");
    database
}

/// Bytes that a text's first byte not in the language is after; `None` for a text of it.
fn refusal(grammar: &Arc<Grammar>, text: &str) -> Option<usize> {
    let mut matcher = grammar.matcher();
    let read = text.bytes().take_while(|byte| matcher.try_accept(TokenId::from(*byte))).count();
    (read < text.len() || !matcher.try_accept(END)).then_some(read)
}

fn allowed(matcher: &mut Matcher, left: u32, vocabulary: &Vocabulary) -> Vec<TokenId> {
    let mut words = vec![0; vocabulary.len().div_ceil(32)];
    matcher.mask_within(&mut words, left);
    let set = |id: &TokenId| words[*id as usize / 32] >> (id % 32) & 1 == 1;
    (0..vocabulary.len() as TokenId).filter(set).collect()
}

/// Whole numbers that look random.
struct Dice(u64);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % count.max(1)
    }
}

/// A text made of random allowed tokens: long ones first, since single letters only make names.
fn wander(grammar: &Arc<Grammar>, vocabulary: &Vocabulary, dice: &mut Dice, tokens: usize) -> String {
    let mut matcher = grammar.matcher();
    let mut text = Vec::new();
    for step in 0..4000 {
        let left = if step < tokens { u32::MAX } else { (4000 - step) as u32 };
        let mut options = if step < tokens {
            allowed(&mut matcher, left, vocabulary)
        } else {
            let path = matcher.close_path();
            let path =
                path.unwrap_or_else(|| panic!("INV-G2: no end after {:?}", String::from_utf8_lossy(&text)));
            path.into_iter().chain([END]).take(1).collect()
        };
        assert!(!options.is_empty(), "INV-G2: a dead end after {:?}", String::from_utf8_lossy(&text));
        if dice.below(3) > 0 {
            let is_long = |id: &TokenId| *id >= END;
            if options.iter().any(is_long) {
                options.retain(is_long);
            }
        }
        if options.len() > 1 && options.contains(&END) && dice.below(3) > 0 {
            options.retain(|id| *id != END);
        }
        let token = options[dice.below(options.len())];
        assert!(
            matcher.try_accept(token),
            "{:?} was allowed after {:?}",
            String::from_utf8_lossy(vocabulary.token(token)),
            String::from_utf8_lossy(&text)
        );
        if token == END {
            return String::from_utf8(text).expect("SQL is text");
        }
        text.extend_from_slice(vocabulary.token(token));
    }
    panic!("no end: {}", String::from_utf8_lossy(&text));
}

const CONCERTS: &str = "
    -- A schema as people write it.
    CREATE TABLE IF NOT EXISTS singer (id INTEGER PRIMARY KEY, name TEXT NOT NULL, country TEXT DEFAULT 'x,y', age INT);
    CREATE TABLE stadium (stadium_id INT, name TEXT, capacity INT, \"Home Town\" TEXT, PRIMARY KEY (stadium_id));
    CREATE TABLE concert (concert_id INT, title TEXT, stadium_id INT REFERENCES stadium(stadium_id), year INT,
        FOREIGN KEY (stadium_id) REFERENCES stadium(stadium_id));
    CREATE TABLE singer_in_concert (concert_id INT, id INT, UNIQUE (concert_id, id));
    CREATE TABLE [order] (`group` INT, \"select\" TEXT, total REAL CHECK (total > 0));
    CREATE INDEX by_name ON singer (name);
";

/// INV-G1 and INV-G2.
#[test]
fn what_the_grammar_allows_prepares() {
    let vocabulary = vocabulary();
    let count: usize =
        std::env::var("UNDERSTUDY_WALKS").ok().and_then(|count| count.parse().ok()).unwrap_or(60);
    for (writes, double_quoted_strings) in [(false, false), (true, true)] {
        let spec = SqlSpec { writes, double_quoted_strings, ..spec(CONCERTS) };
        let database = database(&spec);
        let grammar = compile(spec, &vocabulary);
        for seed in 1..=count as u64 {
            let mut dice = Dice(seed * 0x9E37_79B9_7F4A_7C15);
            let tokens = 10 + dice.below(150);
            let text = wander(&grammar, &vocabulary, &mut dice, tokens);
            if let Err(error) = database.prepare(&text) {
                panic!("{error} in {text}");
            }
        }
    }
}

/// INV-G1: a mask allows what can be accepted, token by token.
#[test]
fn masks_equal_what_is_accepted() {
    let vocabulary = vocabulary();
    let grammar = compile(SqlSpec { writes: true, ..spec(CONCERTS) }, &vocabulary);
    for seed in 1..=25_u64 {
        let mut dice = Dice(seed * 0x9E37_79B9_7F4A_7C15);
        let text = wander(&grammar, &vocabulary, &mut dice, 60);
        let mut matcher = grammar.matcher();
        for (at, byte) in text.bytes().enumerate() {
            let mask = allowed(&mut matcher, u32::MAX, &vocabulary);
            let accepted: Vec<TokenId> =
                (0..vocabulary.len() as TokenId).filter(|id| matcher.clone().try_accept(*id)).collect();
            assert_eq!(mask, accepted, "after {}", &text[..at]);
            assert!(matcher.try_accept(TokenId::from(byte)), "{text}");
        }
    }
}

/// INV-G2 with a budget: what is left always suffices.
#[test]
fn budgets_are_kept() {
    let vocabulary = vocabulary();
    let spec = SqlSpec { writes: true, ..spec(CONCERTS) };
    let database = database(&spec);
    let grammar = compile(spec, &vocabulary);
    for seed in 1..=6_u64 {
        let mut dice = Dice(seed * 0x9E37_79B9_7F4A_7C15);
        let mut matcher = grammar.matcher();
        let least = matcher.close_path().expect("completable").len();
        let (mut text, mut left) = (Vec::new(), least + dice.below(40));
        loop {
            let options = allowed(&mut matcher, left as u32, &vocabulary);
            assert!(!options.is_empty(), "nothing fits {left} after {:?}", String::from_utf8_lossy(&text));
            let token = options[dice.below(options.len())];
            assert!(matcher.try_accept(token));
            if token == END {
                break;
            }
            text.extend_from_slice(vocabulary.token(token));
            left -= 1;
        }
        let text = String::from_utf8(text).expect("as it should be");
        assert!(database.prepare(&text).is_ok(), "{text}");
    }
}

const INSIDE: [&str; 24] = [
    "SELECT name FROM singer",
    "select NAME from SINGER;",
    "SELECT T1.name, T2.year FROM singer AS T1, concert AS T2 WHERE T1.id = T2.concert_id",
    "SELECT title, capacity FROM concert JOIN stadium ON concert.stadium_id = stadium.stadium_id",
    "SELECT title FROM concert NATURAL JOIN stadium WHERE stadium_id IN (1, 2)",
    "SELECT s.*, c.title\nFROM stadium s\n  LEFT JOIN concert c USING (stadium_id)\nORDER BY s.capacity DESC, 1 LIMIT 5 OFFSET 2",
    "SELECT country, count(*) AS n, avg(age) FROM singer GROUP BY country HAVING n > 1 AND max(age) < 50 ORDER BY n DESC",
    "SELECT count(DISTINCT country) FROM singer WHERE name LIKE 'A%' AND age BETWEEN 1 + 1 AND 30 OR age IS NOT NULL",
    "SELECT name FROM singer WHERE age > (SELECT avg(age) FROM singer)",
    "SELECT name FROM singer AS s WHERE EXISTS (SELECT 1 FROM singer_in_concert AS c WHERE c.id = s.id)",
    "SELECT name FROM singer WHERE NOT EXISTS (SELECT * FROM concert WHERE year = age) AND id NOT IN (SELECT id FROM singer_in_concert)",
    "SELECT name FROM singer UNION SELECT title FROM concert EXCEPT SELECT 'x' ORDER BY name",
    "WITH old AS (SELECT id, age * 2 AS twice FROM singer WHERE age > 60), few AS (SELECT id FROM old) \
     SELECT o.twice, name FROM old AS o JOIN singer ON singer.id = o.id JOIN few ON few.id = o.id WHERE twice > 3",
    "SELECT * FROM (SELECT country, count(*) AS n FROM singer GROUP BY country) AS t WHERE t.n > 2 AND n < 5",
    "SELECT name, row_number() OVER (PARTITION BY country ORDER BY age DESC) AS r, sum(age) OVER () FROM singer ORDER BY r",
    "SELECT CASE WHEN age > 3 THEN 'old' ELSE 'young' END, CASE country WHEN 'x' THEN 1 END, CAST(age AS REAL) FROM singer",
    "SELECT `group`, \"select\", [total] FROM \"order\"",
    "SELECT \"Home Town\" FROM stadium WHERE \"Home Town\" = ''",
    "SELECT 1",
    "SELECT 'it''s', -1.5, NULL",
    "SELECT a.name FROM singer AS a JOIN singer AS b ON a.age = b.age AND a.id <> b.id",
    "SELECT round(avg(age), 2), coalesce(max(name), 'none'), length(min(name)) FROM singer",
    "SELECT DISTINCT year FROM concert WHERE stadium_id = 1 INTERSECT SELECT 1",
    "SELECT name FROM singer ORDER BY CASE WHEN age > 1 THEN name ELSE country END",
];

const OUTSIDE: [&str; 24] = [
    "SELECT nam FROM singer",
    "SELECT name FROM singers",
    "SELECT title FROM singer",
    "SELECT T1.title FROM singer AS T1",
    "SELECT T1.name FROM singer AS T2",
    "SELECT name FROM singer JOIN stadium ON 1 = 1",
    "SELECT stadium_id FROM concert JOIN stadium ON 1 = 1",
    "SELECT age FROM singer WHERE capacity = 1",
    "SELECT singer.name FROM singer AS s",
    "SELECT name FROM singer WHERE count(*) > 1",
    "SELECT sum(max(age)) FROM singer",
    "SELECT count(*) AS n FROM singer WHERE n > 1",
    "SELECT count(*) AS n FROM singer GROUP BY n",
    "SELECT name FROM singer HAVING age > 1",
    "SELECT name FROM singer UNION SELECT title, year FROM concert",
    "SELECT name FROM singer WHERE age IN (SELECT id, age FROM singer)",
    "SELECT name FROM singer UNION SELECT title FROM concert ORDER BY age",
    "SELECT name FROM singer ORDER BY 2",
    "SELECT name FROM singer AS t JOIN concert AS T ON 1 = 1",
    "SELECT substr(name) FROM singer",
    "SELECT nosuch(name) FROM singer",
    "SELECT \"nosuch\" FROM singer",
    "SELECT group FROM \"order\"",
    "DELETE FROM singer",
];

#[test]
fn statements_inside_and_outside() {
    let vocabulary = vocabulary();
    let spec = spec(CONCERTS);
    let database = database(&spec);
    let grammar = compile(spec, &vocabulary);
    for text in INSIDE {
        assert!(database.prepare(text).is_ok(), "{text}");
        assert_eq!(refusal(&grammar, text), None, "{text}");
    }
    for text in OUTSIDE {
        assert!(refusal(&grammar, text).is_some(), "{text}");
    }
}

#[test]
fn writes_are_opt_in() {
    let vocabulary = vocabulary();
    let spec = SqlSpec { writes: true, ..spec(CONCERTS) };
    let database = database(&spec);
    let grammar = compile(spec, &vocabulary);
    let texts = [
        "INSERT INTO singer (id, name) VALUES (1, 'a'), (2, lower('B'));",
        "INSERT INTO singer_in_concert(concert_id, id) SELECT concert_id, stadium_id FROM concert",
        "UPDATE singer SET age = age + 1, name = (SELECT max(title) FROM concert WHERE year = age) WHERE id = 3",
        "DELETE FROM singer WHERE id IN (SELECT id FROM singer_in_concert)",
        "DELETE FROM singer",
    ];
    for text in texts {
        assert!(database.prepare(text).is_ok(), "{text}");
        assert_eq!(refusal(&grammar, text), None, "{text}");
    }
    let wrong = [
        "INSERT INTO singer (id, id) VALUES (1, 1)",
        "INSERT INTO singer (id) VALUES (1, 2)",
        "UPDATE singer SET title = 1",
    ];
    for text in wrong {
        assert!(refusal(&grammar, text).is_some(), "{text}");
    }
}

#[test]
fn schemas_that_cannot_be_used_are_refused_soon() {
    let wide: Vec<String> = (0..400_000).map(|number| format!("c{number} INT")).collect();
    let many: String = (0..70_000).map(|number| format!("CREATE TABLE t{number} (a INT);")).collect();
    let schemas = [
        String::new(),
        "CREATE TABLE t".into(),
        "CREATE TABLE t AS SELECT 1".into(),
        "CREATE TABLE t (a INT".into(),
        "CREATE TABLE t (a INT, A TEXT)".into(),
        "CREATE TABLE t (a INT); CREATE VIEW v AS SELECT a FROM t".into(),
        "CREATE TABLE t (a INT); ALTER TABLE t ADD COLUMN b INT".into(),
        "CREATE TABLE t (a INT); DROP TABLE t".into(),
        "CREATE TABLE \"unclosed (a INT)".into(),
        "CREATE TABLE sqlite_sequence (name, seq)".into(),
        format!("CREATE TABLE t (a INT CHECK {}", "(".repeat(10_000)),
        format!("CREATE TABLE t ({})", wide.join(",")),
        many,
    ];
    let vocabulary = vocabulary();
    for schema in schemas {
        let started = Instant::now();
        let shown: String = schema.chars().take(60).collect();
        let found = Grammar::compile(&Pattern::Sql(spec(&schema)), &vocabulary, &Budget::default());
        let error = found.err().unwrap_or_else(|| panic!("{shown} compiles"));
        assert!(
            matches!(error, GrammarError::SqlSchema(_) | GrammarError::TooLarge { .. }),
            "{shown}: {error}"
        );
        assert!(started.elapsed().as_secs() < 5, "{shown} took {:?}", started.elapsed());
    }
}

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
