//! Documents that people and printers write, and documents with a mistake.

use crate::support::{ZOO, compile, judge, oracle, takes, vocabulary};

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
fn whitespace_is_what_printers_write() {
    let grammar = compile(ZOO, None, &vocabulary(ZOO));
    let judgement = oracle(ZOO);
    for document in [
        "{version}",
        "{ version, count(a: 1, b: 2) }",
        "query Q(\n  $id: ID!,\n  $n: Int = 1\n) {\n\n  pet(id: $id) {\r\n\t\tname\n  }\n  count(\n    a: $n\n  )\n}",
        "{\n  find(tags: [\n    \"a\",\n    \"b\"\n  ], filter: { near: { x: 1, }, }) {\n    ... on Dog {\n      barks\n    }\n  }\n}",
        "{\n  any {\n    ...A\n  }\n}\n\nfragment A on Any {\n  __typename\n}",
    ] {
        judge(&judgement, document);
        assert!(takes(&grammar, document), "{document}");
    }
    let far = format!("{{\n{}version}}", " ".repeat(41));
    for document in [
        "{  version }",
        "{\n\n\nversion }",
        "{, version }",
        "{ count(, a: 1) }",
        "{ count(a:, 1) }",
        "query, Q { version }",
        "{ version,, count }",
        far.as_str(),
    ] {
        assert!(!takes(&grammar, document), "{document}");
    }
}
