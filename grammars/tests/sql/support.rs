//! A small vocabulary, a schema, and texts written by following masks.

use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use understudy_grammars::{Budget, Constraint, Grammar, Matcher, Pattern, SqlSpec, TokenId, Vocabulary};

pub const END: TokenId = 256;

/// All bytes, an end, and tokens that cross borders of lexemes.
pub fn vocabulary() -> Arc<Vocabulary> {
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

pub fn spec(schema: &str) -> SqlSpec {
    SqlSpec { schema: schema.into(), ..SqlSpec::default() }
}

pub fn compile(spec: SqlSpec, vocabulary: &Arc<Vocabulary>) -> Arc<Grammar> {
    Grammar::compile(&Pattern::Sql(spec), vocabulary, &Budget::default()).expect("compiles")
}

/// An empty database that does not take texts in double quotes for strings.
pub fn database(spec: &SqlSpec) -> Connection {
    let database = Connection::open_in_memory().expect("as it should be");
    database
        .set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, spec.double_quoted_strings)
        .expect("as it should be");
    database.execute_batch(&spec.schema).expect("as it should be");
    database
}

/// Bytes that a text's first byte not in the language is after; `None` for a text of it.
pub fn refusal(grammar: &Arc<Grammar>, text: &str) -> Option<usize> {
    let mut matcher = grammar.matcher();
    let read = text.bytes().take_while(|byte| matcher.try_accept(TokenId::from(*byte))).count();
    (read < text.len() || !matcher.try_accept(END)).then_some(read)
}

pub fn allowed(matcher: &mut Matcher, left: u32, vocabulary: &Vocabulary) -> Vec<TokenId> {
    let mut words = vec![0; vocabulary.len().div_ceil(32)];
    matcher.mask_within(&mut words, left);
    let set = |id: &TokenId| words[*id as usize / 32] >> (id % 32) & 1 == 1;
    (0..vocabulary.len() as TokenId).filter(set).collect()
}

/// Whole numbers that look random.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % count.max(1)
    }
}

/// Texts written by following masks, `UNDERSTUDY_WALKS` of them.
pub fn for_each_walk(grammar: &Arc<Grammar>, vocabulary: &Vocabulary, mut judge: impl FnMut(&str)) {
    let count: u64 =
        std::env::var("UNDERSTUDY_WALKS").ok().and_then(|count| count.parse().ok()).unwrap_or(60);
    for seed in 1..=count {
        let mut dice = Dice(seed * 0x9E37_79B9_7F4A_7C15);
        let tokens = 10 + dice.below(150);
        judge(&wander(grammar, vocabulary, &mut dice, tokens));
    }
}

/// A text made of random allowed tokens: long ones first, since single letters only make names.
pub fn wander(grammar: &Arc<Grammar>, vocabulary: &Vocabulary, dice: &mut Dice, tokens: usize) -> String {
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

pub const CONCERTS: &str = "
    -- A schema as people write it.
    CREATE TABLE IF NOT EXISTS singer (id INTEGER PRIMARY KEY, name TEXT NOT NULL, country TEXT DEFAULT 'x,y', age INT);
    CREATE TABLE stadium (stadium_id INT, name TEXT, capacity INT, \"Home Town\" TEXT, PRIMARY KEY (stadium_id));
    CREATE TABLE concert (concert_id INT, title TEXT, stadium_id INT REFERENCES stadium(stadium_id), year INT,
        FOREIGN KEY (stadium_id) REFERENCES stadium(stadium_id));
    CREATE TABLE singer_in_concert (concert_id INT, id INT, UNIQUE (concert_id, id));
    CREATE TABLE [order] (`group` INT, \"select\" TEXT, total REAL CHECK (total > 0));
    CREATE INDEX by_name ON singer (name);
";
