//! What is enough is enough, whatever is written.

use std::sync::Arc;

use super::super::{Dialect, SqlSpec};
use crate::machine::{DEAD, Machine};
use crate::sql::Sql;
use crate::{Budget, Vocabulary, bits};

const SCHEMA: &str = "CREATE TABLE concert (id INT, name TEXT, year INT);
    CREATE TABLE \"singer of songs\" (id INT, \"stage name\" TEXT, age INT, born INT);
    CREATE TABLE sang (singer_id INT, concert_id INT);";

/// All bytes, and tokens with words, with parentheses, and with several of both.
fn vocabulary() -> Arc<Vocabulary> {
    let mut tokens: Vec<Vec<u8>> = (0..=255_u8).map(|byte| vec![byte]).collect();
    let words = "select|from|where|union|all|with|as|exists|case|when|then|between|not|in|cast|count|sum|substr|over|on|\
        join|natural|using|name|id|age|concert|sang|T1|T2|insert|into|update|set|values|order|by|group|limit|row_number";
    let others = [
        "(",
        "((",
        "((((",
        ")",
        "))",
        "(*)",
        " (",
        ", (",
        "), (",
        ", ",
        "*",
        "1",
        " = ",
        "T1.",
        ".id",
        " in (",
        "(select ",
        "exists(",
        " between ",
        " union select ",
        "case when ",
        " from concert",
        " cross join ",
        "1.5",
        "''",
    ];
    tokens.extend(
        words.split('|').flat_map(|word| [word.to_owned(), format!(" {word} ")]).map(String::into_bytes),
    );
    tokens.extend(others.iter().map(|text| text.as_bytes().to_vec()));
    let end = tokens.len() as u32;
    tokens.push(Vec::new());
    Arc::new(Vocabulary::new("words of SQL", tokens, vec![end]))
}

#[test]
fn what_is_ample_completes_the_text_after_any_token() {
    let vocabulary = vocabulary();
    for dialect in [Dialect::Sqlite, Dialect::Postgres, Dialect::Mysql] {
        let schema = SCHEMA.replace('"', if dialect == Dialect::Mysql { "`" } else { "\"" });
        let spec = SqlSpec { schema, dialect, writes: true, double_quoted_strings: true };
        let sql = Sql::new(&spec, &vocabulary, &Budget::default()).expect("compiles");
        let mut machine = Machine::new(sql, vocabulary.clone());
        for seed in 1..=12_u64 {
            let mut dice = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let mut below = |count: usize| {
                dice ^= dice << 13;
                dice ^= dice >> 7;
                dice ^= dice << 17;
                (dice >> 11) as usize % count
            };
            let (mut state, mut text) = (machine.start(), Vec::new());
            for _ in 0..40 {
                let ample = machine.enough(state).expect("SQL says it");
                let mask = machine.mask(state);
                let allowed: Vec<u32> =
                    bits::each(&mask.words).filter(|id| !vocabulary.token(*id).is_empty()).collect();
                for id in &allowed {
                    let token = vocabulary.token(*id);
                    let next = machine.step_all(state, token);
                    assert_ne!(next, DEAD);
                    let needed = machine.bound(next).unwrap_or(u32::MAX);
                    let needed = if needed <= ample {
                        needed
                    } else {
                        machine.plan(next).map_or(u32::MAX, |plan| plan.len() as u32)
                    };
                    let text = String::from_utf8_lossy(&text);
                    let token = String::from_utf8_lossy(token);
                    assert!(
                        needed <= ample,
                        "{needed} tokens are needed, not {ample}, after {text:?} and {token:?}"
                    );
                }
                if allowed.is_empty() {
                    break;
                }
                // Longer tokens lead to more.
                let picked = [allowed[below(allowed.len())], allowed[below(allowed.len())]];
                let id = picked.into_iter().max_by_key(|id| vocabulary.token(*id).len()).expect("two");
                state = machine.step_all(state, vocabulary.token(id));
                text.extend_from_slice(vocabulary.token(id));
            }
        }
    }
}
