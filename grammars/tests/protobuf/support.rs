//! A small vocabulary, messages, and texts written by following masks.

use std::sync::{Arc, OnceLock};

use understudy_grammars::{
    Budget, Constraint, Grammar, GrammarError, Pattern, ProtoFormat, ProtoSource, ProtobufSpec, TokenId,
    Vocabulary, Whitespace,
};

pub const END: TokenId = 256;
pub const FORMATS: [ProtoFormat; 2] = [ProtoFormat::Text, ProtoFormat::Json];

/// All bytes, an end, and longer tokens that cross the borders of lexemes.
pub fn vocabulary() -> Arc<Vocabulary> {
    static VOCABULARY: OnceLock<Arc<Vocabulary>> = OnceLock::new();
    VOCABULARY.get_or_init(make_vocabulary).clone()
}

fn make_vocabulary() -> Arc<Vocabulary> {
    let mut tokens: Vec<Vec<u8>> = (0..=255_u8).map(|byte| vec![byte]).collect();
    tokens.push(Vec::new());
    let longer = [
        ": ",
        "{\"",
        "\"}",
        "}, ",
        " {",
        "\n  ",
        "\n\n",
        "true",
        "name",
        "null",
        "},{",
        "\":\"",
        "\":{",
        "\":",
        "\"]",
        "12",
        "00",
        "\\u",
        "\\u00",
        "0\"",
        "\", \"",
        "\"\"",
        "{}",
        "[]",
        "]}",
        "}}",
        " }",
        "1,",
        "-1",
        "1.5",
        "e1",
        ": \"",
        "\" ",
        "1 ",
        "0}",
        "\"name\": ",
        "\": 1",
        "é",
        "é\"",
        "\"1\"",
        "\"a\"",
        "\"a\":",
        "\"true\"",
        "false",
        "2000-02-29T",
        "Z\"",
        "AAAA",
        "==\"",
        "inf",
        "[{",
        "}]",
        "],\"",
        "key",
        "value",
        "{\n  ",
        "\n}",
        "0,\"1\":",
    ];
    tokens.extend(longer.iter().map(|text| text.as_bytes().to_vec()));
    tokens.push(vec![0xA9, b'"']);
    Arc::new(Vocabulary::new("bytes and pieces", tokens, vec![END]))
}

pub fn sources() -> ProtoSource {
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let files =
        [file("shop.proto", include_str!("shop.proto")), file("form.proto", include_str!("form.proto"))];
    ProtoSource::Files(files.into())
}

pub fn spec(source: &ProtoSource, message: &str, format: ProtoFormat) -> ProtobufSpec {
    let whitespace = Whitespace::Usual;
    ProtobufSpec { source: source.clone(), message: message.to_owned(), format, whitespace }
}

pub fn compile(spec: &ProtobufSpec) -> Result<Arc<Grammar>, GrammarError> {
    Grammar::compile(&Pattern::Protobuf(spec.clone()), &vocabulary(), &Budget::default())
}

/// Numbers that look random (xorshift).
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

pub fn allowed(matcher: &mut dyn Constraint, left: u32) -> Vec<TokenId> {
    let mut words = vec![u32::MAX; vocabulary_words()];
    matcher.mask_within(&mut words, left);
    (0..words.len() as TokenId * 32).filter(|id| words[*id as usize / 32] >> (id % 32) & 1 == 1).collect()
}

pub fn vocabulary_words() -> usize {
    vocabulary().len().div_ceil(32)
}

/// A text of allowed tokens that is complete after `budget` of them at the latest. What does not
/// belong to a long string is liked better, so that there is more than strings.
pub fn wander(
    grammar: &Arc<Grammar>,
    dice: &mut Dice,
    budget: u32,
    each: &mut dyn FnMut(&mut dyn Constraint),
) -> String {
    let vocabulary = vocabulary();
    let mut matcher = grammar.matcher();
    let mut text: Vec<u8> = Vec::new();
    let least = matcher.min_close_tokens().expect("can be complete") as u32;
    let mut left = budget.max(least);
    loop {
        each(&mut matcher);
        let options = allowed(&mut matcher, left);
        assert!(!options.is_empty(), "a dead end after {:?}", String::from_utf8_lossy(&text));
        let structural: Vec<_> = options
            .iter()
            .copied()
            .filter(|id| vocabulary.token(*id).iter().all(|byte| b"\"{}[]:,1ae\n".contains(byte)))
            .collect();
        let some = if structural.is_empty() || dice.below(3) == 0 { &options } else { &structural };
        let token = some[dice.below(some.len())];
        assert!(matcher.try_accept(token));
        if token == END {
            return String::from_utf8(text).expect("UTF-8");
        }
        text.extend_from_slice(vocabulary.token(token));
        left = left.saturating_sub(1);
    }
}

/// How many texts are sampled of each message and format, unless the environment says otherwise.
pub fn samples(usual: usize) -> usize {
    std::env::var("UNDERSTUDY_SAMPLES").ok().and_then(|count| count.parse().ok()).unwrap_or(usual)
}

pub fn accepts(grammar: &Arc<Grammar>, text: &str) -> bool {
    let mut matcher = grammar.matcher();
    text.bytes().all(|byte| matcher.try_accept(TokenId::from(byte))) && matcher.is_accepting()
}
