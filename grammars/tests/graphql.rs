//! GraphQL documents against `apollo-compiler`, which knows nothing of ours.

use std::sync::Arc;
use std::time::Instant;

use apollo_compiler::{ExecutableDocument, Schema, validation::Valid};
use understudy_grammars::{
    Budget, Constraint, Grammar, GrammarCache, GrammarError, GraphqlSpec, Matcher, OperationKind, Pattern,
    TokenId, Vocabulary,
};

const END: TokenId = 256;

/// Every feature that documents are checked for.
const ZOO: &str = r#"
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
const ONE_OF: &str = "directive @oneOf on INPUT_OBJECT\n";

const SMALL: [&str; 4] = [
    "type Query { a: Int }",
    "type Query { q(x: Int!): Query y: E } enum E { A }",
    "interface I { i: I } type Query implements I { i: I } type Subscription { s(v: [Int!]!): Int }",
    "type Query { f(i: In!): Int } input In { a: In b: [In!] c: In2! } input In2 { d: Boolean! e: [[Int!]]! }",
];

/// All bytes, an end, names of the schema, and tokens that cross the borders of lexemes.
fn vocabulary(schema: &str) -> Arc<Vocabulary> {
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

fn spec(schema: &str, operation: Option<OperationKind>) -> Pattern {
    Pattern::Graphql(GraphqlSpec { schema: schema.into(), operation })
}

fn compile(schema: &str, operation: Option<OperationKind>, vocabulary: &Arc<Vocabulary>) -> Arc<Grammar> {
    Grammar::compile(&spec(schema, operation), vocabulary, &Budget::default()).expect("compiles")
}

/// Random numbers: xorshift.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides.max(1) as u64) as usize
    }
}

fn allowed(matcher: &mut Matcher, vocabulary: &Vocabulary, left: Option<u32>) -> Vec<TokenId> {
    let mut words = vec![0_u32; vocabulary.len().div_ceil(32)];
    match left {
        Some(left) => matcher.mask_within(&mut words, left),
        None => matcher.mask(&mut words),
    }
    (0..vocabulary.len() as TokenId).filter(|id| words[*id as usize / 32] >> (id % 32) & 1 == 1).collect()
}

/// A token at random: rather whole words and punctuators than letters, of which names would be
/// made that nobody knows, and seldom more of a word.
fn pick(options: &[TokenId], vocabulary: &Vocabulary, text: &[u8], dice: &mut Dice) -> TokenId {
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
fn write(grammar: &Arc<Grammar>, vocabulary: &Vocabulary, free: usize, dice: &mut Dice) -> String {
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

fn oracle(schema: &str) -> Valid<Schema> {
    let schema = if schema.contains("@oneOf") { format!("{ONE_OF}{schema}") } else { schema.to_owned() };
    Schema::parse_and_validate(schema, "schema.graphql").expect("the oracle takes the schema")
}

fn judge(schema: &Valid<Schema>, document: &str) {
    if let Err(error) = ExecutableDocument::parse_and_validate(schema, document, "document.graphql") {
        panic!("not valid:\n{document}\n{}", error.errors);
    }
}

/// How many documents of each kind: `GRAPHQL_DOCUMENTS` asks for more.
fn documents(default: usize) -> usize {
    std::env::var("GRAPHQL_DOCUMENTS").ok().and_then(|count| count.parse().ok()).unwrap_or(default)
}

fn seed() -> u64 {
    std::env::var("GRAPHQL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x9E37_79B9_7F4A_7C15)
}

#[test]
fn what_is_written_is_valid() {
    let mut dice = Dice(seed());
    for (schema, kinds) in [
        (
            ZOO,
            &[
                None,
                Some(OperationKind::Query),
                Some(OperationKind::Mutation),
                Some(OperationKind::Subscription),
            ][..],
        ),
        (SMALL[0], &[None][..]),
        (SMALL[1], &[None][..]),
        (SMALL[2], &[None][..]),
        (SMALL[3], &[None][..]),
    ] {
        let vocabulary = vocabulary(schema);
        let judgement = oracle(schema);
        for kind in kinds {
            let grammar = compile(schema, *kind, &vocabulary);
            for _ in 0..documents(60) {
                let free = dice.roll(120);
                let document = write(&grammar, &vocabulary, free, &mut dice);
                judge(&judgement, &document);
            }
        }
    }
}

/// INV-G2 within a budget: any number of tokens at or above the shortest completion is enough.
#[test]
fn budgets_are_kept() {
    let mut dice = Dice(seed());
    let vocabulary = vocabulary(ZOO);
    let judgement = oracle(ZOO);
    let grammar = compile(ZOO, None, &vocabulary);
    for _ in 0..documents(8) {
        let mut matcher = grammar.matcher();
        let mut left = matcher.min_close_tokens().expect("a shortest document") as u32 + dice.roll(25) as u32;
        let mut text = Vec::new();
        while !matcher.is_stopped() {
            let options = allowed(&mut matcher, &vocabulary, Some(left));
            assert!(!options.is_empty(), "{left} left after {:?}", String::from_utf8_lossy(&text));
            let token = pick(&options, &vocabulary, &text, &mut dice);
            assert!(matcher.try_accept(token));
            if token == END {
                break;
            }
            left -= 1;
            text.extend_from_slice(vocabulary.token(token));
        }
        judge(&judgement, &String::from_utf8(text).expect("UTF-8"));
    }
}

#[test]
fn masks_are_what_can_be_accepted() {
    let mut dice = Dice(seed());
    let vocabulary = vocabulary(ZOO);
    let grammar = compile(ZOO, None, &vocabulary);
    for _ in 0..documents(25) {
        let mut matcher = grammar.matcher();
        let mut text = Vec::new();
        for _ in 0..60 {
            let options = allowed(&mut matcher, &vocabulary, None);
            for id in 0..vocabulary.len() as TokenId {
                let accepted = matcher.fork().try_accept(id);
                let token = String::from_utf8_lossy(vocabulary.token(id)).into_owned();
                assert_eq!(
                    options.contains(&id),
                    accepted,
                    "{token:?} after {:?}",
                    String::from_utf8_lossy(&text)
                );
            }
            let token = pick(&options, &vocabulary, &text, &mut dice);
            if token == END {
                break;
            }
            matcher.try_accept(token);
            text.extend_from_slice(vocabulary.token(token));
        }
    }
}

fn takes(grammar: &Arc<Grammar>, document: &str) -> bool {
    let mut matcher = grammar.matcher();
    document.bytes().all(|byte| matcher.try_accept(TokenId::from(byte))) && matcher.is_accepting()
}

#[test]
fn documents_as_people_write_them_are_taken() {
    let grammar = compile(ZOO, None, &vocabulary(ZOO));
    let judgement = oracle(ZOO);
    for document in [
        "{ version }",
        "query Q($id: ID!, $cold: Boolean = false) @cached {\n  pet(id: $id) {\n    __typename\n    name\n    ... on Dog { barks loud: barks }\n    ... on Cat @skip(if: $cold) { meows(loud: true) }\n    owner { ...Who }\n  }\n}\nfragment Who on Human { name born friends(near: {x: 1.5, label: \"a\\n\"}, also: [[1, null], [2]]) { ...Names } }\nfragment Names on Named { name }",
        "query ($f: Filter, $n: Float!, $c: [Command!]) { find(filter: $f) { __typename } x: find(filter: {near: {x: $n}, commands: $c}, tags: \"one\") { ... on Named { name } } }",
        "mutation { adopt(pet: 7, by: {near: {x: 0}, and: [{near: {x: 1}}]}) { name pets { name ... on Dog { owner { name } } ... on Cat { owner { name born } } } } }",
        "subscription ($id: ID!, $p: Point) { barked(id: $id, at: $p) { name } }",
        "query ($by: ID!) { human(where: {id: $by}) { name } __type(name: \"Dog\") { fields(includeDeprecated: true) { name } } }",
        "query ($v: Boolean = true, $ids: [ID!]!) { human(where: {id: 1}) { pets(ids: $ids) { name @skip(if: $v) } } }",
        "query ($v: ID!) { ...Root } fragment Root on Query { pet(id: $v) { name } }",
    ] {
        judge(&judgement, document);
        assert!(takes(&grammar, document), "{document}");
    }
}

#[test]
fn documents_with_a_mistake_are_not_taken() {
    let grammar = compile(ZOO, None, &vocabulary(ZOO));
    for document in [
        "{ pet(id: 1) }",
        "{ version { name } }",
        "{ pet { name } }",
        "{ pet(id: null) { name } }",
        "{ pet(id: 1, id: 2) { name } }",
        "{ dog }",
        "query ($v: Int) { version }",
        "query ($v: Int) { pet(id: $v) { name } }",
        "query ($v: ID) { pet(id: $v) { name } }",
        "query ($v: Boolean = null) { version @skip(if: $v) }",
        "query ($v: Boolean) { version @skip(if: $v) }",
        "query ($v: ID!, $v: ID!) { pet(id: $v) { name } }",
        "{ count(a: 2147483648) }",
        "{ count(a: $a) }",
        "{ human(where: {}) { name } }",
        "{ human(where: {id: 1, name: \"a\"}) { name } }",
        "{ human(where: {id: null}) { name } }",
        "{ pet(id: 1) { ... on Human { name } } }",
        "{ pet(id: 1) { ...A } }",
        "{ pet(id: 1) { ...A } } fragment A on Human { name }",
        "{ pet(id: 1) { ...A } } fragment A on Pet { ...A }",
        "{ pet(id: 1) { name } } fragment A on Pet { name }",
        "{ a: version a: count }",
        "{ any { ... on Dog { barks } ... on Cat { barks } } }",
        "{ any { ... on Dog { barks } ...A } } fragment A on Cat { barks }",
        "{ version @include(if: true) @include(if: true) }",
        "{ version @noted }",
        "subscription { barked(id: 1) { name } ticks(every: 1) }",
        "subscription { __typename }",
        "subscription { ticks(every: 1) @skip(if: true) }",
        "mutation { sit(command: RUN) }",
    ] {
        assert!(!takes(&grammar, document), "{document}");
    }
}

#[test]
fn schemas_that_are_none_are_refused_with_the_line() {
    let vocabulary = vocabulary(ZOO);
    let refused = |schema: &str| {
        let started = Instant::now();
        let error = Grammar::compile(&spec(schema, None), &vocabulary, &Budget::default()).expect_err(schema);
        assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
        error
    };
    for (schema, line, hint) in [
        ("type Query {\n a: Nope\n}", 2, "`Nope`"),
        ("type Query { a: In }\ninput In { b: Int }", 1, "input type"),
        ("type Query { a(b: Query): Int }", 1, "input type"),
        ("type Query { a: Int }\ntype Query { b: Int }", 2, "twice"),
        ("type Query { a: Int a: Int }", 1, "twice"),
        ("union U = Query | E type Query { a: Int } enum E { A }", 1, "`E`"),
        ("type Query { a(b: A): Int } input A { a: B! } input B { b: A! }", 0, "needs itself"),
        ("type Query { a: Int", 1, "the end"),
        ("type Query { a: Int }\n\n\"\"\"open", 3, "not closed"),
        ("{ a }", 1, "`{`"),
        ("type Mutant { a: Int }", 0, "no root"),
        ("schema { query: Nope }", 1, "`Nope`"),
        ("type Query {}", 1, "no fields"),
        ("type Query { a: Int ~ }", 1, "'~'"),
    ] {
        match refused(schema) {
            GrammarError::Graphql { line: found, problem } => {
                assert_eq!(found, line, "{schema}: {problem}");
                assert!(problem.contains(hint), "{schema}: {problem}");
            }
            other => panic!("{schema}: {other}"),
        }
    }
    let lists = format!("type Query {{ a: {}Int }}", "[".repeat(10_000));
    let open = format!("type Query {{ a(b: Int = {}", "[".repeat(1_000_000));
    let chain: String = (0..20_000).map(|n| format!("input I{n} {{ a: I{}! }}\n", n + 1)).collect();
    let chain = format!("type Query {{ a(b: I0): Int }} {chain} input I20000 {{ a: Int }}");
    let wide: String = (0..200_000).map(|n| format!("f{n}: Int\n")).collect();
    let wide = format!("type Query {{ {wide} }}");
    let many: String = (0..200_000).map(|n| format!("type T{n} {{a: Int}}\n")).collect();
    let many = format!("type Query {{ a: Int }} {many}");
    for hostile in [lists, open, chain, wide, many] {
        refused(&hostile);
    }
}

/// Schemas and documents of others, where they are at hand.
#[test]
fn documents_of_others_are_taken() {
    let Ok(data) = std::env::var("UNDERSTUDY_DATA") else {
        println!("UNDERSTUDY_DATA is not set: nothing to read");
        return;
    };
    let data = std::path::Path::new(&data).join("grammar/graphql");
    let read = |path: std::path::PathBuf| std::fs::read_to_string(path).expect("readable");
    let schema = read(data.join("swapi/schema.graphql"));
    let grammar = compile(&schema, None, &vocabulary(&schema));
    let (mut taken, mut count) = (0, 0);
    for number in 1..=8 {
        let file = std::fs::read_dir(data.join("swapi")).expect("a folder").flatten();
        let file = file.map(|entry| entry.path()).find(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&format!("{number:02}_")))
        });
        let document = without_comments(&read(file.expect("numbered")));
        assert!(takes(&grammar, document.trim()), "{document}");
    }
    let mut files: Vec<_> = std::fs::read_dir(data.join("apollo-ok")).expect("a folder").flatten().collect();
    files.sort_by_key(std::fs::DirEntry::path);
    for file in files {
        let (schema, operations) = split(&without_comments(&read(file.path())));
        if operations.is_empty() {
            continue;
        }
        let vocabulary = vocabulary(&schema);
        let grammar = match Grammar::compile(&spec(&schema, None), &vocabulary, &Budget::default()) {
            Ok(grammar) => grammar,
            Err(error) => {
                println!("{:?}: {error}", file.file_name());
                continue;
            }
        };
        for operation in operations {
            count += 1;
            let good = takes(&grammar, operation.trim());
            taken += usize::from(good);
            if !good {
                println!("{:?} not taken: {operation}", file.file_name());
            }
        }
    }
    println!("{taken} of {count} operations are taken");
    assert!(taken * 10 >= count * 7, "{taken} of {count}");
}

fn without_comments(text: &str) -> String {
    let lines = text.lines().map(|line| line.split_once('#').map_or(line, |(before, _)| before).trim_end());
    lines.collect::<Vec<_>>().join("\n")
}

/// The schema of a file, and each operation with the fragments that it spreads.
fn split(text: &str) -> (String, Vec<String>) {
    let (mut schema, mut operations, mut fragments) = (String::new(), Vec::new(), Vec::new());
    let document = apollo_compiler::ast::Document::parse(text, "file.graphql");
    let document = document.unwrap_or_else(|errors| errors.partial);
    for definition in &document.definitions {
        use apollo_compiler::ast::Definition;
        let written = definition.to_string();
        match definition {
            Definition::OperationDefinition(_) => operations.push(written),
            Definition::FragmentDefinition(fragment) => fragments.push((fragment.name.to_string(), written)),
            _ => schema += &format!("{written}\n"),
        }
    }
    let whole = |operation: String| {
        let (mut whole, mut next) = (operation.clone(), vec![operation]);
        let mut used: Vec<&String> = Vec::new();
        while let Some(text) = next.pop() {
            for (name, fragment) in &fragments {
                let spread = |part: &str| {
                    part.trim_start()
                        .strip_prefix(name.as_str())
                        .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
                };
                if !used.contains(&name) && text.split("...").skip(1).any(spread) {
                    used.push(name);
                    whole += &format!("\n{fragment}");
                    next.push(fragment.clone());
                }
            }
        }
        whole
    };
    (schema, operations.into_iter().map(whole).collect())
}

#[test]
fn a_schema_is_compiled_once() {
    let vocabulary = vocabulary(ZOO);
    let cache = GrammarCache::default();
    let get = || cache.get_or_compile(&spec(ZOO, None), &vocabulary, &Budget::default()).expect("compiles");
    assert!(Arc::ptr_eq(&get(), &get()));
}
