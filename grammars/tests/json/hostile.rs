//! Schemas that mean harm: each is refused or compiled soon, whatever it says.

use serde_json::{Value, json};
use understudy_grammars::{Budget, Constraint, Grammar, GrammarError, JsonSpec, Pattern};

use crate::soon::all_end_soon;
use crate::support::{allowed, vocabulary};

fn many(count: usize, one: impl Fn(usize) -> Value) -> Vec<Value> {
    (0..count).map(one).collect()
}

fn schemas() -> Vec<(&'static str, String)> {
    let chain = |count: usize| {
        let link = |at: usize| (format!("d{at}"), json!({"$ref": format!("#/$defs/d{}", at + 1)}));
        let mut links: serde_json::Map<String, Value> = (0..count).map(link).collect();
        links.insert(format!("d{count}"), json!({"type": "null"}));
        json!({"$defs": links, "$ref": "#/$defs/d0"})
    };
    let wide: serde_json::Map<String, Value> =
        (0..20_000).map(|at| (format!("property{at}"), json!({"type": "integer"}))).collect();
    let keys: Vec<String> = wide.keys().take(250).cloned().collect();
    let schemas = vec![
        (
            "a circle of oneOf",
            json!({"$defs": {"a": {"oneOf": [{"$ref": "#/$defs/a"}, {"type": "null"}]}}, "$ref": "#/$defs/a"}),
        ),
        (
            "a circle of allOf",
            json!({"$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"}),
        ),
        ("a circle of not", json!({"$defs": {"a": {"not": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"})),
        ("a long chain", chain(5_000)),
        ("many properties", json!({"type": "object", "properties": wide})),
        ("many required", json!({"type": "object", "required": keys})),
        (
            "too many required",
            json!({"type": "object", "required": many(2_000, |at| json!(format!("k{at}")))}),
        ),
        ("a large enum", json!({"enum": many(50_000, |at| json!(format!("value number {at}")))})),
        ("enormous bounds", json!({"type": "array", "minItems": 1_000_000_000_000_u64})),
        ("long texts", json!({"type": "string", "minLength": 1_000_000_000})),
        ("many alternatives", json!({"oneOf": many(60, |at| json!({"required": [format!("k{at}")]}))})),
        (
            "many conditions",
            json!({"allOf": many(60, |at| json!({"anyOf": [{"required": [format!("a{at}")]}, {"required": [format!("b{at}")]}]}))}),
        ),
        ("repetitions", json!({"type": "string", "pattern": "((a{1,99}){1,99}){1,99}$"})),
        ("backtracking", json!({"type": "string", "pattern": "^(a+)+$"})),
        ("numbers", json!({"multipleOf": 1e-300})),
        (
            "unsatisfiable depths",
            json!({"$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}, "minItems": 1}}, "$ref": "#/$defs/a"}),
        ),
    ];
    let mut schemas: Vec<(&str, String)> =
        schemas.into_iter().map(|(name, schema)| (name, schema.to_string())).collect();
    schemas.push(("nesting", format!("{}true{}", "{\"items\":".repeat(10_000), "}".repeat(10_000))));
    schemas.push(("no JSON", "{\"type\": ".into()));
    schemas.push(("five megabytes", json!({"enum": ["x".repeat(5 << 20)]}).to_string()));
    schemas.extend(deep());
    schemas.extend(large());
    schemas.extend(patterns());
    schemas
}

/// A schema that leads through 5,000 others before anything is read.
fn row(link: impl Fn(Value, usize) -> Value) -> String {
    let next = |at: usize| json!({"$ref": format!("#/$defs/d{}", at + 1)});
    let mut links: serde_json::Map<String, Value> =
        (0..5_000).map(|at| (format!("d{at}"), link(next(at), at))).collect();
    links.insert("d5000".into(), json!({"type": "null"}));
    // Those near the end are met first, so that what is known of them cannot make the row look short.
    let known: Vec<Value> = (1..100).map(|at| json!({"$ref": format!("#/$defs/d{}", at * 50)})).collect();
    json!({"$defs": links, "type": "array", "prefixItems": known, "items": {"$ref": "#/$defs/d0"}})
        .to_string()
}

/// What leads to recursion.
fn deep() -> Vec<(&'static str, String)> {
    let nested =
        |open: &str, close: &str, within: &str| format!("{}{within}{}", open.repeat(60), close.repeat(60));
    let tree = |at: usize| json!({"properties": {"a": {"$ref": "#"}, "b": {"const": at}}, "required": ["a"]});
    vec![
        ("a row of oneOf", row(|next, at| json!({"oneOf": [next, {"const": at}]}))),
        ("a row of anyOf", row(|next, at| json!({"anyOf": [next, {"const": at}]}))),
        ("a row of allOf", row(|next, at| json!({"allOf": [next, {"not": {"const": at}}]}))),
        ("a row of not", row(|next, _| json!({"not": next}))),
        ("a row of if", row(|next, at| json!({"if": {"const": at}, "else": next}))),
        (
            "a row of required keys and alternatives",
            row(
                |next, at| json!({"required": [format!("a{at}")], "anyOf": [next, {"required": [format!("b{at}")]}]}),
            ),
        ),
        (
            "a row of evaluated keys",
            row(
                |next, at| json!({"anyOf": [next, {"properties": {format!("k{at}"): true}}], "unevaluatedProperties": false}),
            ),
        ),
        ("nested oneOf", nested("{\"oneOf\":[{\"type\":\"null\"},", "]}", "{\"type\":\"string\"}")),
        ("nested not", nested("{\"not\":", "}", "{\"not\":{\"type\":\"null\"}}")),
        ("nested values", format!("{{\"not\":{{\"const\":{}}}}}", nested("[", "]", "1"))),
        ("nested objects as values", format!("{{\"const\":{}}}", nested("{\"a\":", "}", "1"))),
        ("a tree of oneOf", json!({"oneOf": many(20, tree), "type": "object"}).to_string()),
    ]
}

/// What is five megabytes large, or copied often.
fn large() -> Vec<(&'static str, String)> {
    let numbers = |count: usize| (0..count).map(|at| at.to_string()).collect::<Vec<_>>().join(",");
    let empty = |count: usize| vec!["{}"; count].join(",");
    let references = vec!["{\"$ref\":\"#/$defs/d\"}"; 100_000].join(",");
    let levels = 100;
    vec![
        ("a remote reference", json!({"$ref": "https://example.com/schema.json"}).to_string()),
        ("many values", format!("{{\"enum\":[{}]}}", numbers(700_000))),
        ("many lists as values", format!("{{\"enum\":[{}]}}", vec!["[[1],[2]]"; 400_000].join(","))),
        (
            "many alternatives of one kind",
            format!("{{\"anyOf\":[{}]}}", vec!["{\"minLength\":1}"; 250_000].join(",")),
        ),
        (
            "many alternatives that differ",
            json!({"anyOf": many(20_000, |at| json!({"minLength": at}))}).to_string(),
        ),
        ("many options", json!({"oneOf": many(3_000, |at| json!({"const": at}))}).to_string()),
        (
            "many options as objects",
            json!({"oneOf": many(500, |at| json!({"properties": {"k": {"const": at}}, "required": ["k"]}))})
                .to_string(),
        ),
        (
            "many references",
            format!("{{\"$defs\":{{\"d\":{{\"type\":\"null\"}}}},\"anyOf\":[{references}]}}"),
        ),
        (
            "a large part within many",
            format!(
                "{}{{\"enum\":[{}]}}{}",
                "{\"items\":".repeat(levels),
                numbers(500_000),
                "}".repeat(levels)
            ),
        ),
        (
            "a long key over many parts",
            format!(
                "{{\"properties\":{{\"{}\":{{\"anyOf\":[{}]}}}}}}",
                "k".repeat(1 << 20),
                empty(1_000_000)
            ),
        ),
        (
            "a long identifier over many references",
            format!(
                "{{\"$id\":\"http://a/{}\",\"$defs\":{{\"d\":{{}}}},\"anyOf\":[{references}]}}",
                "i".repeat(1 << 20)
            ),
        ),
        (
            "many identifiers",
            format!(
                "{{\"anyOf\":[{}]}}",
                (0..200_000).map(|at| format!("{{\"$id\":\"i{at}\"}}")).collect::<Vec<_>>().join(",")
            ),
        ),
        (
            "many objects",
            format!(
                "{{\"$defs\":{{{}}}}}",
                (0..200_000).map(|at| format!("\"d{at}\":{{\"a\":{{}}}}")).collect::<Vec<_>>().join(",")
            ),
        ),
        ("a long name of a key", json!({"required": ["k".repeat(5 << 20)]}).to_string()),
        ("a long pattern", json!({"pattern": "a".repeat(5 << 20)}).to_string()),
        ("a long number", format!("{{\"const\":1{}}}", "0".repeat(5 << 20))),
        ("a long fraction", format!("{{\"multipleOf\":0.{}1}}", "0".repeat(5 << 20))),
        ("five megabytes of brackets", "[".repeat(5 << 20)),
        ("five megabytes of properties", {
            let properties: Vec<String> =
                (0..150_000).map(|at| format!("\"property{at}\":{{\"type\":\"null\"}}")).collect();
            format!("{{\"properties\":{{{}}}}}", properties.join(","))
        }),
    ]
}

/// Expressions that are slow to search for, or have many states.
fn patterns() -> Vec<(&'static str, String)> {
    let text = |pattern: &str| json!({"type": "string", "pattern": pattern}).to_string();
    let explosive: serde_json::Map<String, Value> =
        (0..8).map(|at| (format!("[a-{}]{{9}}.*x{at}.{{9}}y", char::from(b'b' + at)), json!(true))).collect();
    vec![
        ("stars within stars", text("^((a*)*)*b$")),
        ("alternatives of the same", text("^(a|a|aa|aaa)*$")),
        ("a letter far from the end", text("[ab]*a[ab]{25}$")),
        ("a letter far from the end, counted", text("^(?:[^a]|a){0,50}a.{50}$")),
        ("a letter farther from the end", text("^(?:[^a]|a){0,500}a.{500}$")),
        ("repetitions within repetitions", text("^(?:(?:\\w|\\d){1,60}(?:\\w|[-.]){1,60}){1,60}$")),
        ("classes that overlap", text("^(?:[a-m]|[h-z]|[e-p]x){0,300}[g-k].{300}$")),
        ("looks far ahead", text("^(?=.{0,300}a.{300}b)(?!.{0,300}c.{300}d)")),
        ("looks far behind", text("(?<=a.{300})b(?<=c.{300}d)")),
        ("many large patterns", {
            let properties = many_large(|pattern| json!({"anyOf": [{"type": "string", "pattern": pattern}, {"type": "null"}]}));
            json!({"type": "object", "required": properties.keys().collect::<Vec<_>>(), "properties": properties})
                .to_string()
        }),
        ("many large patterns of keys", {
            let properties = many_large(|pattern| json!({"type": "object", "patternProperties": {pattern: false}}));
            json!({"type": "object", "required": properties.keys().collect::<Vec<_>>(), "properties": properties})
                .to_string()
        }),
        ("repetitions of classes", text("^(?:\\p{L}{1,100}\\p{N}{1,100}){1,100}$")),
        ("looks ahead", text(&(0..12).map(|at| format!("(?=.*{}.{{{at}}}b)", char::from(b'a' + at))).collect::<String>())),
        ("looks behind", text(&(0..12).map(|at| format!("(?<=a.{{{at}}})b*")).collect::<String>())),
        ("nested groups", text(&format!("{}a{}", "(".repeat(10_000), ")".repeat(10_000)))),
        ("many alternatives of words", text(&(0..20_000).map(|at| format!("word{at}|")).collect::<String>())),
        ("patterns of keys", json!({"type": "object", "patternProperties": explosive}).to_string()),
        (
            "a pattern, a length and a format",
            json!({"type": "string", "pattern": "^(?:a|b|cd)*$", "maxLength": 100_000, "minLength": 99_999, "format": "email"}).to_string(),
        ),
        (
            "many divisors",
            json!({"allOf": many(20, |at| json!({"multipleOf": 7 + 2 * at}))}).to_string(),
        ),
    ]
}

/// Properties of which each has patterns of its own: too many states, and sets of states that are too large.
fn many_large(of_pattern: fn(String) -> Value) -> serde_json::Map<String, Value> {
    let words = (0..20).map(|at| format!("^(\\w{{1,200}}\\s){{1,{}}}$", 100 + at));
    let far = (0..20).map(|at| format!("^(?:[^a]|a){{0,500}}a.{{{}}}$", 400 + at));
    words.chain(far).enumerate().map(|(at, pattern)| (format!("k{at}"), of_pattern(pattern))).collect()
}

fn compile_and_write(schema: String) -> Result<(), GrammarError> {
    let pattern = Pattern::Json(JsonSpec::new(schema));
    let grammar = Grammar::compile(&pattern, &vocabulary(), &Budget::default())?;
    let mut matcher = grammar.matcher();
    for _ in 0..3 {
        let Some(token) = allowed(&mut matcher).into_iter().next() else { break };
        assert!(matcher.try_accept(token));
    }
    assert!(matcher.min_close_tokens().is_some(), "cannot be completed");
    Ok(())
}

/// Whatever a schema says, a small stack is enough.
#[test]
fn hostile_schemas_are_dealt_with_soon() {
    let _ = vocabulary();
    all_end_soon(schemas(), compile_and_write);
}

/// Lists whose items all differ, written until they have to end: what may come is told soon before each token.
#[test]
fn lists_of_different_items_are_written_soon() {
    let _ = vocabulary();
    let lists = [
        ("one of them given", json!({"uniqueItems": true, "contains": {"const": 1}})),
        (
            "some of them given",
            json!({"uniqueItems": true, "contains": {"type": "string"}, "minContains": 3}),
        ),
        ("one of forty given", json!({"uniqueItems": true, "contains": {"const": 2}, "maxItems": 40})),
        ("at least twelve", json!({"uniqueItems": true, "minItems": 12})),
        (
            "at least five of few kinds",
            json!({"uniqueItems": true, "minItems": 5, "items": {"enum": [1, 2, "a", null, 3, 4]}}),
        ),
    ];
    let lists = lists.map(|(name, mut list)| {
        list["type"] = json!("array");
        (name, list.to_string())
    });
    all_end_soon(lists, |schema| {
        let vocabulary = vocabulary();
        let grammar =
            Grammar::compile(&Pattern::Json(JsonSpec::new(schema)), &vocabulary, &Budget::default())?;
        let mut matcher = grammar.matcher();
        let least = matcher.min_close_tokens().expect("INV-G2") as u32;
        for left in (1..least + 30).rev() {
            let mut words = vec![0; vocabulary.len().div_ceil(32)];
            matcher.mask_within(&mut words, left);
            let is_set = |id: &u32| words[*id as usize / 32] >> (id % 32) & 1 == 1;
            let options: Vec<u32> = (0..vocabulary.len() as u32).filter(is_set).collect();
            assert!(!options.is_empty(), "INV-G2");
            assert!(matcher.try_accept(options[left as usize * 7 % options.len()]));
            if matcher.is_stopped() {
                break;
            }
        }
        Ok(())
    });
}
