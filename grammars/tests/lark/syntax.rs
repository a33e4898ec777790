//! What the syntax means, what is refused, and how that is told.

use understudy_grammars::GrammarError;
use understudy_grammars::measure::Case;
use understudy_grammars::measure::complete::complete;
use understudy_grammars::measure::exact::exact;

use crate::support::{check, compile, pattern, vocabulary};

#[test]
fn the_syntax_has_its_meaning() {
    check("start: \"a\" ~ 2..3 \"b\" ~ 2", &["aabb", "aaabb"], &["abb", "aaaabb", "aab"]);
    check("start: \"a\" ~ 0..2", &["", "a", "aa"], &["aaa"]);
    check("?start: [\"x\"] (\"y\" | \"z\")+ -> named\n", &["y", "xzy"], &["x", "xx"]);
    check("!start: _r*\n_r.2: \"a\"i // comment\n   | \"b\"\n# another\n", &["", "aAb"], &["B"]);
    check("start: A\nA.-3: /[a-c]/i \"-\" \"0\"..\"3\"\n", &["a-0", "C-3"], &["d-0", "a-4"]);
    check("start: /a#b  # c\n /x", &["a"], &["a#b"]);
    check(r#"start: "\"\\\n\u00e9\x41" "/" /\//"#, &["\"\\\néA//"], &["\"\\\néA/"]);
    check("start: /[[a]+/ /[+--]/", &["[a+", "a-", "[,"], &["a", "b+"]);
    check(r"start: /\w+[\w-]\W/", &["aé-!", "a_\u{301}"], &["a\u{301}-!", "é-b"]);
    check("%import common (INT, CNAME)\n%import common.INT -> N\nstart: N CNAME", &["12a_1"], &["a", "1"]);
    check("start:\n  | \"a\"\n", &["", "a"], &["aa"]);
}

#[test]
fn lazy_expressions_end_as_soon_as_they_can() {
    check("start: /\".*?\"/ \"x\"?", &["\"a\"", "\"\"x"], &["\"a\"b\"", "\"a"]);
    check("start: C \"x\"\nC: \"/*\" /(.|\\n)*?/ \"*/\"", &["/* a\n*/x"], &["/**/*/x"]);
    check("start: /\".*\"/", &["\"a\"b\""], &[]);
}

#[test]
fn a_separator_is_required_where_words_would_run_together() {
    let grammar = "start: \"if\" NAME NAME? \"(\" INT \")\"\nNAME: /[a-z]+/\nINT: /[0-9]+/\n%ignore /\\s+/\n";
    let taken = ["if a(1)", "if a b ( 1 )", "if\n  a(1)"];
    check(grammar, &taken, &["ifa(1)", "if  a(1)", " if a(1)", "if a(1) ", "if a(1 2)"]);
    // Where a number and a name cannot be mistaken none is.
    check("start: INT NAME\nNAME: /[a-z]+/\nINT: /[0-9]+/\n%ignore \" \"", &["1a", "1 a"], &["1  a"]);
    // Without ignored text a word is where it is.
    check("start: \"if\" NAME\nNAME: /[a-z]+/", &["ifa"], &["if a"]);
}

#[test]
fn words_may_also_be_names() {
    let grammar = "start: \"if\" NAME | NAME \"=\"\nNAME: /[a-z]+/\n%ignore \" \"";
    check(grammar, &["if x", "if if", "if =", "ifx="], &["if", "ifx"]);
}

#[test]
fn ignored_text_is_whitespace_as_printed_or_one_match() {
    let grammar = "start: \"a\" \"b\" \"\\n\"?\n%ignore / /\n%ignore /\\n/\n%ignore /#[^\\n]*/\n%ignore /\\/\\*c\\*\\//";
    check(
        grammar,
        &["ab", "a b", "a\nb", "a\n  b", "a/*c*/b", "ab#x\n"],
        &["a  b", "a /*c*/b", "a#x\nb", "ab#x", "ab #\n", " ab"],
    );
}

/// Indentation would be a part of the text, names have to be parted.
#[test]
fn what_begins_with_blanks_does_not_come_after_ignored_ones() {
    let grammar = "start: (NAME NAME | NAME TEXT \";\")+\nNAME: /[a-z]+/\nTEXT: / [0-9]/\n%ignore /\\s+/\n";
    check(grammar, &["a b", "a\n b", "a 1;", "a 1 ;b c"], &["a\n 1;", "ab"]);
    let case = Case { name: "blanks".into(), pattern: pattern(grammar), samples: Vec::new() };
    let completed = complete(std::slice::from_ref(&case), &vocabulary(), 300, 9, false);
    assert_eq!((completed.triples, completed.complete), (300, 300));
    let found = exact(&[case], &vocabulary(), 20_000, 9);
    assert_eq!((found.over, found.under), (0, 0));
}

#[test]
fn terminals_that_swallow_each_other_are_refused() {
    let error = |grammar: &str| compile(grammar).expect_err(grammar).to_string();
    let glued = error("start: A \"ab\"\nA: /a+/");
    assert!(
        glued.contains("\"ab\" may come directly after A (/a+/)") && glued.contains("%ignore"),
        "{glued}"
    );
    let swallowed = error("start: TEXT NAME NAME\nTEXT: /[^;]+;*/\nNAME: /[a-z]+/\n%ignore \" \"");
    assert!(swallowed.contains("NAME (/[a-z]+/) may come directly after"), "{swallowed}");
    // With ignored text between them, or where nothing has to come, they are not.
    check("start: A \"ab\"\nA: /a+/\n%ignore \" \"", &["a ab", "aaa ab"], &["aab"]);
    check("start: (TEXT | TAG)*\nTEXT: /[^<]+/\nTAG: /<[a-z]>/", &["x<a>y", "", "<b><a>"], &["<a"]);
    check("start: A B\nA: /a+/\nB: /[ab]c/", &["abc", "aabc"], &["aac", "bc"]);
    check("start: \"<\" \"=\" | \"<=\" \"=\"", &["<=", "<=="], &["<"]);
}

#[test]
fn errors_say_where_and_what() {
    let cases = [
        ("a: \"x\"", "no rule `start`", 1, 1),
        ("start: b", "b is not defined", 1, 8),
        ("start: \"a\"\nx: Y\n", "Y is not defined", 2, 4),
        ("start: A\nA: b\nb: \"x\"", "the rule b is used within a terminal", 2, 4),
        ("start: A\nA: \"x\" B\nB: A?", "made of itself", 2, 8),
        ("start: \"a\"\nstart: \"b\"", "start is defined twice", 2, 1),
        ("start: (\"a\" | \"b\"", "expected `)` for the `(` in line 1, not the end", 1, 18),
        ("start: \"a", "not closed on its line", 1, 10),
        ("start: /a", "no closing `/`", 1, 8),
        ("start: /(a/", "unclosed group", 1, 8),
        ("start: /a(?=b)/", "look-around", 1, 8),
        ("start: /a\\b/", "leave them out", 1, 8),
        ("start: A\nA: /a*/", "takes the empty text", 2, 1),
        ("start: \"a\" ~ 3..2", "counts down", 1, 12),
        ("start: \"a\"?*", "two operators", 1, 12),
        ("start: \"\"", "empty", 1, 8),
        ("start: x{\"a\"}", "templates", 1, 8),
        ("start{x}: x", "templates", 1, 6),
        ("%declare X", "%declare", 1, 1),
        ("%json {}", "%json is not supported", 1, 1),
        ("%import .other.X", "no files are read", 1, 1),
        ("%import common.NOPE", "ESCAPED_STRING", 1, 1),
        ("start: Ab", "neither of a rule", 1, 8),
        ("start: \"a\" = 1", "'=' is not part", 1, 12),
        ("start: \"a\" x:", "expected the end of the line", 1, 13),
    ];
    for (grammar, problem, line, column) in cases {
        let error = compile(grammar).expect_err(grammar);
        let GrammarError::Lark { line: at, column: character, .. } = error else {
            panic!("{error:?}: {grammar}")
        };
        assert!(error.to_string().contains(problem), "{error}: {grammar}");
        assert_eq!((at, character), (line, column), "{error}: {grammar}");
    }
    for nothing in ["start: ", "start: x\nx: x \"a\"", "start: x?\nx: y\ny: x"] {
        assert!(matches!(compile(nothing), Err(GrammarError::NothingMatches(_))), "{nothing}");
    }
}
