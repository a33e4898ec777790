//! A small vocabulary, and texts written by following masks.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use understudy_grammars::{Constraint, Grammar, Matcher, TokenId, Vocabulary};

pub const END: TokenId = 256;

/// All bytes, an end, and tokens that cross the borders of lexemes.
pub fn vocabulary() -> Arc<Vocabulary> {
    static VOCABULARY: OnceLock<Arc<Vocabulary>> = OnceLock::new();
    let make = || {
        let mut tokens: Vec<Vec<u8>> = (0..=255_u8).map(|byte| vec![byte]).collect();
        tokens.push(Vec::new());
        let longer = [
            "{\"",
            "\"}",
            "\":",
            "\": ",
            "\",",
            "\", \"",
            "\",\"",
            "\":\"",
            "{\"a\":",
            "{\"a",
            "a\":",
            "[]",
            "{}",
            "[[",
            "]]",
            "],",
            "],[",
            "},{",
            "true",
            "false",
            "null",
            "tru",
            "ue,",
            "1,",
            "12",
            "0.5",
            "-1",
            "1]",
            "2}",
            "e1",
            "ab",
            "abc",
            "yes",
            "\"a\":1,\"a\":1",
            "a\":1,\"b\":",
            "\",\"a\":1,\"a\":",
            "é",
            "é\"",
            "\\n",
            "\\\"",
            "\\u00",
            "\\ud83d\\ude00",
            "  ",
            "\n  ",
            " \"",
            "null,null",
            "\"x\"",
            "x\"}",
            "\"\"",
            "\"\",\"\"",
            "1,2,1",
            ":null",
            "-12",
            "2024-",
            "-02",
            "3-",
        ];
        tokens.extend(longer.iter().map(|text| text.as_bytes().to_vec()));
        tokens.push(vec![0xA9, b'"']);
        tokens.push(vec![b'a', 0xC3]);
        Arc::new(Vocabulary::new("bytes and JSON", tokens, vec![END]))
    };
    VOCABULARY.get_or_init(make).clone()
}

fn set(words: &[u32]) -> BTreeSet<TokenId> {
    (0..words.len() as TokenId * 32).filter(|id| words[*id as usize / 32] >> (id % 32) & 1 == 1).collect()
}

pub fn allowed(matcher: &mut Matcher) -> BTreeSet<TokenId> {
    let mut words = vec![u32::MAX; vocabulary().len().div_ceil(32) + 1];
    matcher.mask(&mut words);
    set(&words)
}

/// Writes a text of at most `budget` tokens, choosing among allowed tokens by `choices`, then the
/// first ones. The error says what went wrong.
pub fn walk(grammar: &Arc<Grammar>, choices: &[u32], budget: u32) -> Result<Vec<u8>, String> {
    let mut matcher = grammar.matcher();
    let (mut text, mut choices) = (Vec::new(), choices.iter());
    for left in (0..=budget).rev() {
        let mut words = vec![0; vocabulary().len().div_ceil(32)];
        matcher.mask_within(&mut words, left);
        let options = set(&words);
        let so_far = || String::from_utf8_lossy(&text).into_owned();
        let Some(first) = options.first() else {
            return Err(format!("a dead end with {left} left after {:?}", so_far()));
        };
        let token = match choices.next() {
            Some(choice) => *options.iter().nth(*choice as usize % options.len()).unwrap_or(first),
            None if options.contains(&END) => END,
            None => *first,
        };
        if options.contains(&END) != matcher.is_accepting() {
            return Err(format!("the end is allowed where the text may not end, after {:?}", so_far()));
        }
        if !matcher.try_accept(token) {
            return Err(format!("token {token} was allowed and is refused after {:?}", so_far()));
        }
        if token == END {
            return Ok(text);
        }
        text.extend_from_slice(vocabulary().token(token));
    }
    Err(format!("not complete within {budget} tokens: {:?}", String::from_utf8_lossy(&text)))
}

/// Random choices that a seed decides.
pub struct Choices(u64);

impl Choices {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `count` (SplitMix64).
    pub fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((bits ^ (bits >> 31)) % count as u64) as usize
    }
}
