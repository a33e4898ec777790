//! Schemas, a small vocabulary, texts written by following masks, and the judge.

use std::sync::Arc;

use apollo_compiler::{ExecutableDocument, Schema, validation::Valid};
use understudy_grammars::{
    Budget, Constraint, Grammar, GraphqlSpec, Matcher, OperationKind, Pattern, TokenId, Vocabulary,
};

pub const END: TokenId = 256;

/// Every feature that documents are checked for.
pub const ZOO: &str = r#"
"""A description with \""" in it."""
schema { query: Query mutation: Mutation subscription: Subscription }
directive @tag(name: String!, more: [Int!]) repeatable on FIELD | FRAGMENT_SPREAD | INLINE_FRAGMENT | FRAGMENT_DEFINITION
directive @cached(seconds: Int = 60) on QUERY | FIELD
directive @noted on VARIABLE_DEFINITION | SUBSCRIPTION | MUTATION
directive @defer(if: Boolean! = true, label: String) on FRAGMENT_SPREAD | INLINE_FRAGMENT
scalar Date @specifiedBy(url: "https://example.org/date")
enum Command { SIT HEEL DOWN }
interface Named { name: String! }
interface Pet implements Named { name: String! owner(first: Int): Human nickname: String }
interface Unborn { id: ID! }
type Dog implements Pet & Named { name: String! owner(first: Int): Human nickname: String barks: Int! knows(command: Command!, at: Date): Boolean! }
type Cat implements Pet & Named { name: String! owner(first: Int): Human nickname: String barks: String meows(loud: Boolean! = true): Int! }
type Human implements Named { name: String! pets(filter: Filter, ids: [ID!]): [Pet!]! born: Date friends(near: Point!, also: [[Float]!]): [Human] }
union Any = Dog | Cat | Human
input Point { x: Float! y: Float! = 0 label: String }
input Filter { near: Point! and: [Filter!] not: Filter commands: [Command!] since: Date = "now" }
input Either @oneOf { id: ID name: String near: Point }
type Query { pet(id: ID!): Pet any: Any named: [Named] human(where: Either!): Human find(filter: Filter = {near: {x: 1}}, tags: [String]): [Any!] unborn: Unborn count(a: Int, b: Int = 3): Int! }
extend type Query { version: String }
type Mutation { adopt(pet: ID!, by: Filter!): Human sit(command: Command = SIT): Boolean }
type Subscription { barked(id: ID!, loud: Boolean, at: Point): Dog ticks(every: Int!, on: Date): Int }
"#;

/// Without the directive definition that the oracle wants for `@oneOf`.
pub const ONE_OF: &str = "directive @oneOf on INPUT_OBJECT\n";

/// All bytes, an end, names of the schema, and tokens that cross the borders of lexemes.
pub fn vocabulary(schema: &str) -> Arc<Vocabulary> {
    let mut tokens: Vec<Vec<u8>> = (0..=255_u8).map(|byte| vec![byte]).collect();
    tokens.push(Vec::new());
    let borders = [
        "  ",
        "\n  ",
        " {",
        "{ ",
        " }",
        "}}",
        "} }",
        "(id",
        "): ",
        ": ",
        "... on ",
        "...on",
        " ...",
        "...",
        "query",
        "query {",
        "mutation ",
        "subscription S",
        "fragment ",
        " on ",
        "query Q($v: ",
        "query(",
        "($a:",
        "$a",
        "$b:",
        ":$a",
        " $",
        "!) {",
        "=",
        " = ",
        "@include(if: ",
        "@skip(if:$",
        " @",
        "true",
        "false",
        "null",
        "\"\"",
        "\"a\"",
        "10",
        "-1.5",
        "[[",
        "]",
        "], ",
        "{x: 1",
        ", ",
        "a:",
        "a: ",
        "b:",
        "F",
        "G",
        " F",
        "...F",
        "...G",
        "__typename",
        "__typename }",
        " __typename}",
        "name name",
        "a: name b: name",
        "x: name\n",
        "F on ",
        "é",
        "_",
        "__",
    ];
    tokens.extend(borders.iter().map(|text| text.as_bytes().to_vec()));
    let mut names: Vec<&str> = schema
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|name| name.len() > 1)
        .collect();
    names.sort_unstable();
    names.dedup();
    tokens.extend(names.iter().map(|name| name.as_bytes().to_vec()));
    Arc::new(Vocabulary::new(format!("{:p}", schema.as_ptr()), tokens, vec![END]))
}

pub fn spec(schema: &str, operation: Option<OperationKind>) -> Pattern {
    Pattern::Graphql(GraphqlSpec { schema: schema.into(), operation })
}

pub fn compile(schema: &str, operation: Option<OperationKind>, vocabulary: &Arc<Vocabulary>) -> Arc<Grammar> {
    Grammar::compile(&spec(schema, operation), vocabulary, &Budget::default()).expect("compiles")
}

/// Random numbers: xorshift.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides.max(1) as u64) as usize
    }
}

pub fn allowed(matcher: &mut Matcher, vocabulary: &Vocabulary, left: Option<u32>) -> Vec<TokenId> {
    let mut words = vec![0_u32; vocabulary.len().div_ceil(32)];
    match left {
        Some(left) => matcher.mask_within(&mut words, left),
        None => matcher.mask(&mut words),
    }
    (0..vocabulary.len() as TokenId).filter(|id| words[*id as usize / 32] >> (id % 32) & 1 == 1).collect()
}

/// A token at random: rather whole words and punctuators than letters, of which names would be
/// made that nobody knows, and seldom more of a word.
pub fn pick(options: &[TokenId], vocabulary: &Vocabulary, text: &[u8], dice: &mut Dice) -> TokenId {
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80;
    let within = text.last().is_some_and(word) || text.iter().filter(|byte| **byte == b'"').count() % 2 == 1;
    let weight = |id: TokenId| match vocabulary.token(id) {
        [] => 40,
        [first, ..] if within && *first != b'"' && word(first) => 1,
        [byte] if word(byte) || *byte < 0x20 && *byte != b'\n' => 1,
        [b' ' | b'\n' | b','] => 8,
        _ => 16,
    };
    let total: usize = options.iter().map(|id| weight(*id)).sum();
    let mut at = dice.roll(total);
    for id in options {
        let weight = weight(*id);
        if at < weight {
            return *id;
        }
        at -= weight;
    }
    options[0]
}

/// Writes a document: some tokens at random, then the shortest way to the end.
pub fn write(grammar: &Arc<Grammar>, vocabulary: &Vocabulary, free: usize, dice: &mut Dice) -> String {
    let mut matcher = grammar.matcher();
    let mut text = Vec::new();
    for _ in 0..free {
        let options = allowed(&mut matcher, vocabulary, None);
        assert!(!options.is_empty(), "a dead end after {:?}", String::from_utf8_lossy(&text));
        let token = pick(&options, vocabulary, &text, dice);
        assert!(matcher.try_accept(token), "{:?} then {token}", String::from_utf8_lossy(&text));
        if token == END {
            return String::from_utf8(text).expect("UTF-8");
        }
        text.extend_from_slice(vocabulary.token(token));
    }
    let path = matcher.close_path();
    let path = path.unwrap_or_else(|| panic!("no way to the end of {:?}", String::from_utf8_lossy(&text)));
    for token in path {
        assert!(
            matcher.try_accept(token),
            "{:?} then {:?}",
            String::from_utf8_lossy(&text),
            vocabulary.token(token)
        );
        text.extend_from_slice(vocabulary.token(token));
    }
    assert!(matcher.is_accepting(), "not the end: {:?}", String::from_utf8_lossy(&text));
    String::from_utf8(text).expect("UTF-8")
}

pub fn oracle(schema: &str) -> Valid<Schema> {
    let schema = if schema.contains("@oneOf") { format!("{ONE_OF}{schema}") } else { schema.to_owned() };
    Schema::parse_and_validate(schema, "schema.graphql").expect("the oracle takes the schema")
}

pub fn judge(schema: &Valid<Schema>, document: &str) {
    if let Err(error) = ExecutableDocument::parse_and_validate(schema, document, "document.graphql") {
        panic!("not valid:\n{document}\n{}", error.errors);
    }
}

pub fn takes(grammar: &Arc<Grammar>, document: &str) -> bool {
    let mut matcher = grammar.matcher();
    document.bytes().all(|byte| matcher.try_accept(TokenId::from(byte))) && matcher.is_accepting()
}
