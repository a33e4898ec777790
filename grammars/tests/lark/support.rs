//! What the tests share.

use std::sync::{Arc, OnceLock};

use understudy_grammars::{
    Budget, Constraint, Grammar, GrammarError, LarkSpec, Pattern, TokenId, Vocabulary,
};

pub const END: TokenId = 256;

/// All bytes, an end, and tokens that cross the borders of lexemes.
pub fn vocabulary() -> Arc<Vocabulary> {
    static VOCABULARY: OnceLock<Arc<Vocabulary>> = OnceLock::new();
    let make = || {
        let borders = [
            "  ", "\n  ", " (", ") ", "))", "((", "a b", "ab", "ba", "aa", "if", "if ", "if x", "else", "1+",
            "12", "1 + 2", "*(", "-1", "\"a\"", "\",\"", "\": ", "{\"", "\"}", "[]", "],[", "true", "null",
            ",,", ",\n", "\"\"", "x=", "x = 1\n", "def ", "f(", "):", "return ", " and ", "not ", "é", "/*",
            "*/", "# ", "0x", ".5", "1e", "e5",
        ];
        let bytes = (0..=u8::MAX).map(|byte| vec![byte]).chain([Vec::new()]);
        let tokens: Vec<Vec<u8>> = bytes.chain(borders.iter().map(|text| text.as_bytes().to_vec())).collect();
        Arc::new(Vocabulary::new("bytes and words", tokens, vec![END]))
    };
    VOCABULARY.get_or_init(make).clone()
}

pub fn pattern(grammar: &str) -> Pattern {
    Pattern::Lark(LarkSpec { grammar: grammar.into() })
}

pub fn compile(grammar: &str) -> Result<Arc<Grammar>, GrammarError> {
    Grammar::compile(&pattern(grammar), &vocabulary(), &Budget::default())
}

/// Bytes of a text that can be read, and whether the text may end after all of them.
pub fn read(grammar: &Arc<Grammar>, text: &str) -> (usize, bool) {
    let mut matcher = grammar.matcher();
    let read = text.bytes().take_while(|byte| matcher.try_accept(TokenId::from(*byte))).count();
    (read, read == text.len() && matcher.is_accepting())
}

#[track_caller]
pub fn check(grammar: &str, taken: &[&str], refused: &[&str]) {
    let compiled = compile(grammar).unwrap_or_else(|error| panic!("{error}\n{grammar}"));
    for (texts, wanted) in [(taken, true), (refused, false)] {
        for text in texts {
            assert_eq!(read(&compiled, text).1, wanted, "{text:?} under\n{grammar}");
        }
    }
}
