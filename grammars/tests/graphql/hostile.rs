//! Schemas that are none, and schemas that mean harm: each is refused or compiled soon.

use understudy_grammars::{Budget, Constraint, Grammar, GrammarError};

use crate::soon::all_end_soon;
use crate::support::{END, ZOO, allowed, spec, vocabulary};

#[test]
fn schemas_that_are_none_are_refused_with_the_line() {
    let vocabulary = vocabulary(ZOO);
    let refused = |schema: &str| {
        Grammar::compile(&spec(schema, None), &vocabulary, &Budget::default()).expect_err(schema)
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
}

fn schemas() -> Vec<(&'static str, String)> {
    let each = |count: usize, one: &dyn Fn(usize) -> String| (0..count).map(one).collect::<String>();
    let query = "type Query { a: Int }";
    vec![
        ("nested lists", format!("type Query {{ a: {}Int }}", "[".repeat(10_000))),
        ("nested values", format!("type Query {{ a(b: Int = {}", "[".repeat(1_000_000))),
        (
            "nested objects",
            format!("type Query {{ a(b: Int = {}1{}): Int }}", "{a:".repeat(10_000), "}".repeat(10_000)),
        ),
        (
            "a chain of input types",
            format!(
                "type Query {{ a(b: I0): Int }} {} input I20000 {{ a: Int }}",
                each(20_000, &|n| format!("input I{n} {{ a: I{}! }}\n", n + 1))
            ),
        ),
        (
            "a circle of input types",
            format!(
                "type Query {{ a(b: I0): Int }} {}",
                each(20_000, &|n| format!("input I{n} {{ a: I{} }}\n", (n + 1) % 20_000))
            ),
        ),
        (
            "a circle of required input types",
            format!(
                "type Query {{ a(b: I0): Int }} {}",
                each(20_000, &|n| format!("input I{n} {{ a: I{}! }}\n", (n + 1) % 20_000))
            ),
        ),
        (
            "a circle of types",
            format!(
                "type Query {{ a: T0 }} {}",
                each(20_000, &|n| format!("type T{n} {{ a: T{} }}\n", (n + 1) % 20_000))
            ),
        ),
        (
            "interfaces that implement each other",
            "interface A implements B { a: Int } interface B implements A { a: Int } type Query { a: A }"
                .into(),
        ),
        ("many fields", format!("type Query {{ {} }}", each(200_000, &|n| format!("f{n}: Int\n")))),
        (
            "many arguments",
            format!("type Query {{ a({}): Int }}", each(200_000, &|n| format!("f{n}: Int\n"))),
        ),
        ("many types", format!("{query} {}", each(200_000, &|n| format!("type T{n} {{a: Int}}\n")))),
        (
            "many values of an enum",
            format!("type Query {{ a: E }} enum E {{ {} }}", each(400_000, &|n| format!("V{n}\n"))),
        ),
        ("many directives", format!("{query} {}", each(100_000, &|n| format!("directive @d{n} on FIELD\n")))),
        (
            "many members of a union",
            format!(
                "type Query {{ u: U }} union U = {} {}",
                each(100_000, &|n| format!("|T{n}")),
                each(100_000, &|n| format!("type T{n} {{a: Int}}\n"))
            ),
        ),
        (
            "many types of many interfaces",
            format!(
                "type Query {{ i: I0 }} {} {}",
                each(300, &|n| format!("interface I{n} {{a: Int}}\n")),
                each(2_000, &|n| format!(
                    "type T{n} implements {} {{a: Int}}\n",
                    each(300, &|n| format!("&I{n}"))
                ))
            ),
        ),
        (
            "many extensions",
            format!("{query} scalar S {}", each(200_000, &|_| "extend scalar S @x\n".into())),
        ),
        ("a long name", format!("type Query {{ {}: Int }}", "a".repeat(5 << 20))),
        ("a long description", format!("\"\"\"{}\"\"\" {query}", "x\\\"\"\"".repeat(1 << 20))),
        ("a long comment", format!("#{}\n{query}", "#".repeat(5 << 20))),
        ("quotes", format!("{query} {}", "\"".repeat((5 << 20) + 1))),
        ("braces", "{".repeat(5 << 20)),
        ("a string that does not end", format!("\"{}", "x".repeat(5 << 20))),
        ("a description that does not end", format!("\"\"\"{}", "\\\"\"".repeat(5 << 18))),
    ]
}

fn compile_and_write(schema: String) -> Result<(), GrammarError> {
    let vocabulary = vocabulary(ZOO);
    let grammar = Grammar::compile(&spec(&schema, None), &vocabulary, &Budget::default())?;
    let mut matcher = grammar.matcher();
    for _ in 0..3 {
        let token = allowed(&mut matcher, &vocabulary, None).into_iter().find(|token| *token != END);
        assert!(token.is_none_or(|token| matcher.try_accept(token)));
    }
    assert!(matcher.min_close_tokens().is_some(), "cannot be completed");
    Ok(())
}

#[test]
fn hostile_schemas_are_dealt_with_soon() {
    all_end_soon(schemas(), compile_and_write);
}
