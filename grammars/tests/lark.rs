//! Grammars in Lark's syntax: verdicts against Lark's own, random grammars against their texts written
//! out, walks against recognisers written here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use understudy_grammars::measure::Case;
use understudy_grammars::measure::complete::complete;
use understudy_grammars::measure::exact::exact;
use understudy_grammars::{
    Budget, Constraint, Grammar, GrammarError, LarkSpec, Pattern, TokenId, Vocabulary,
};

const END: TokenId = 256;

/// All bytes, an end, and tokens that cross the borders of lexemes.
fn vocabulary() -> Arc<Vocabulary> {
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

fn pattern(grammar: &str) -> Pattern {
    Pattern::Lark(LarkSpec { grammar: grammar.into() })
}

fn compile(grammar: &str) -> Result<Arc<Grammar>, GrammarError> {
    Grammar::compile(&pattern(grammar), &vocabulary(), &Budget::default())
}

/// Bytes of a text that can be read, and whether the text may end after all of them.
fn read(grammar: &Arc<Grammar>, text: &str) -> (usize, bool) {
    let mut matcher = grammar.matcher();
    let read = text.bytes().take_while(|byte| matcher.try_accept(TokenId::from(*byte))).count();
    (read, read == text.len() && matcher.is_accepting())
}

#[track_caller]
fn check(grammar: &str, taken: &[&str], refused: &[&str]) {
    let compiled = compile(grammar).unwrap_or_else(|error| panic!("{error}\n{grammar}"));
    for (texts, wanted) in [(taken, true), (refused, false)] {
        for text in texts {
            assert_eq!(read(&compiled, text).1, wanted, "{text:?} under\n{grammar}");
        }
    }
}

/// Grammars and texts with the verdicts of Lark (Earley, dynamic lexer): `yes`, `no`, and `wider` where
/// Lark takes what is not written here: two separators in a row, or words glued together.
const VERDICTS: &str = include_str!("lark/verdicts.txt");

/// A grammar, and texts each with a verdict.
type Section = (&'static str, Vec<(&'static str, String)>);

fn sections() -> BTreeMap<&'static str, Section> {
    let section = |section: &'static str| {
        let (name, rest) = section.split_once('\n').expect("a name");
        let (grammar, texts) = rest.split_once("---\n").expect("texts");
        let verdict = |line: &'static str| {
            let (verdict, text) = line.split_once(' ').expect("a verdict and a text");
            (verdict, serde_json::from_str(text).expect("a text as JSON"))
        };
        (name, (grammar, texts.lines().map(verdict).collect()))
    };
    VERDICTS.split("\n=== ").skip(1).map(section).collect()
}

fn cases() -> Vec<Case> {
    let case = |(name, (grammar, _)): (&str, (&str, _))| Case {
        name: name.into(),
        pattern: pattern(grammar),
        samples: Vec::new(),
    };
    sections().into_iter().map(case).collect()
}

#[test]
fn verdicts_are_those_of_lark() {
    let mut wrong = Vec::new();
    for (name, (grammar, texts)) in sections() {
        let compiled = compile(grammar).unwrap_or_else(|error| panic!("{name}: {error}"));
        for (verdict, text) in texts {
            if read(&compiled, &text).1 != (verdict == "yes") {
                wrong.push(format!("{name}: {verdict} {text:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn walks_are_complete_within_their_budgets() {
    let cases = cases();
    let completed = complete(&cases, &vocabulary(), cases.len() * 60, 7, false);
    assert_eq!(completed.triples, cases.len() * 60);
    assert_eq!(completed.complete, completed.triples, "{:?}", completed.failed);
}

#[test]
fn masks_equal_trying_each_token() {
    let found = exact(&cases(), &vocabulary(), 100_000, 11);
    assert!(found.pairs >= 100_000 && found.split_characters > 0);
    assert_eq!((found.over, found.under), (0, 0));
}

/// What walks write under some grammars of [`VERDICTS`], judged by recognisers that know nothing of ours.
#[test]
fn what_is_written_is_of_the_language() {
    type Judge = fn(&str) -> bool;
    let judges: [(&str, Judge); 4] =
        [("json", is_json), ("arithmetic", is_sum), ("s-expressions", is_nested), ("csv", is_csv)];
    let sections = sections();
    for (name, judge) in judges {
        let case = Case { name: name.into(), pattern: pattern(sections[name].0), samples: Vec::new() };
        let completed = complete(&[case], &vocabulary(), 250, 3, true);
        assert_eq!(completed.texts.len(), 250, "{name}");
        for (_, text) in completed.texts {
            let text = String::from_utf8(text).expect("UTF-8");
            assert!(judge(&text), "{name}: {text:?}");
        }
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// Sums, products, signs and parentheses, by the positions that each operand may end at.
fn is_sum(text: &str) -> bool {
    fn operand(text: &[u8], mut at: usize) -> Option<usize> {
        while text.get(at) == Some(&b'-') {
            at += 1;
        }
        if text.get(at) == Some(&b'(') {
            let end = sum(text, at + 1)?;
            return (text.get(end) == Some(&b')')).then_some(end + 1);
        }
        let digits = text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        (digits > 0).then_some(at + digits)
    }
    fn sum(text: &[u8], at: usize) -> Option<usize> {
        let mut end = operand(text, at)?;
        while text.get(end).is_some_and(|byte| b"+-*/".contains(byte)) {
            end = operand(text, end + 1)?;
        }
        Some(end)
    }
    let dense: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    // A blank within a number would be lost.
    let parts: Vec<&str> = text.split_ascii_whitespace().collect();
    let digit = |part: &str, last: bool| {
        let byte = if last { part.bytes().last() } else { part.bytes().next() };
        byte.is_some_and(|byte| byte.is_ascii_digit())
    };
    let split = parts.windows(2).any(|pair| digit(pair[0], true) && digit(pair[1], false));
    !split && sum(&dense, 0) == Some(dense.len())
}

fn is_nested(text: &str) -> bool {
    let (mut depth, mut whole, mut in_word) = (0_usize, 0, false);
    for byte in text.bytes() {
        let word = byte.is_ascii_lowercase();
        match byte {
            b'(' => {
                whole += usize::from(depth == 0);
                depth += 1;
            }
            b')' if depth == 0 => return false,
            b')' => depth -= 1,
            _ if word => whole += usize::from(depth == 0 && !in_word),
            _ if byte.is_ascii_whitespace() => {}
            _ => return false,
        }
        in_word = word;
    }
    depth == 0 && whole == 1
}

fn is_csv(text: &str) -> bool {
    let mut rest = text;
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let Some(end) = quoted.replace("\"\"", "__").find('"') else { return false };
            rest = &quoted[end + 1..];
        } else {
            let end = rest.find(['"', ',', '\n']).unwrap_or(rest.len());
            rest = &rest[end..];
        }
        match rest.strip_prefix([',', '\n']) {
            Some(after) => rest = after,
            None => return rest.is_empty(),
        }
    }
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

const PIECES: [&str; 4] = ["a", "b", "ab", "ba"];
const RULES: [&str; 4] = ["start", "x", "y", "z"];
const LENGTH: usize = 6;

/// A random grammar as alternatives of each rule; numbers up to 3 are pieces, others rules.
fn random_rules(dice: &mut Dice) -> Vec<Vec<Vec<usize>>> {
    let sequence = |dice: &mut Dice| (0..dice.roll(4)).map(|_| dice.roll(8)).collect::<Vec<_>>();
    let rule = |dice: &mut Dice| (0..1 + dice.roll(3)).map(|_| sequence(dice)).collect::<Vec<_>>();
    RULES.iter().map(|_| rule(dice)).collect()
}

fn written(rules: &[Vec<Vec<usize>>]) -> String {
    written_by(rules, |symbol| match symbol {
        0..4 => format!("{:?}", PIECES[*symbol]),
        _ => RULES[symbol - 4].to_owned(),
    })
}

fn written_by(rules: &[Vec<Vec<usize>>], symbol: impl Fn(&usize) -> String) -> String {
    let sequence = |sequence: &Vec<usize>| sequence.iter().map(&symbol).collect::<Vec<_>>().join(" ");
    let rule = |options: &Vec<Vec<usize>>| options.iter().map(sequence).collect::<Vec<_>>().join(" | ");
    RULES.iter().zip(rules).map(|(name, options)| format!("{name}: {}\n", rule(options))).collect()
}

/// All texts of `start` up to a length: those of each rule grow until none does.
fn texts(rules: &[Vec<Vec<usize>>]) -> BTreeSet<String> {
    let mut known = vec![BTreeSet::<String>::new(); rules.len()];
    loop {
        let before: usize = known.iter().map(BTreeSet::len).sum();
        for (at, options) in rules.iter().enumerate() {
            for option in options {
                let mut found = BTreeSet::from([String::new()]);
                for symbol in option {
                    let next: Vec<String> = match symbol {
                        0..4 => vec![PIECES[*symbol].to_owned()],
                        _ => known[symbol - 4].iter().cloned().collect(),
                    };
                    let joined =
                        found.iter().flat_map(|text| next.iter().map(move |more| format!("{text}{more}")));
                    found = joined.filter(|text| text.len() <= LENGTH).collect();
                }
                known[at].extend(found);
            }
        }
        if known.iter().map(BTreeSet::len).sum::<usize>() == before {
            return known.swap_remove(0);
        }
    }
}

#[test]
fn random_grammars_have_the_texts_that_their_rules_make() {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let all: Vec<String> = (0..=LENGTH)
        .flat_map(|length| {
            (0..1_u32 << length).map(move |bits| {
                (0..length).map(|at| if bits >> at & 1 == 1 { 'b' } else { 'a' }).collect::<String>()
            })
        })
        .collect();
    let (mut compiled, mut accepted) = (0, 0);
    for _ in 0..400 {
        let rules = random_rules(&mut dice);
        let (grammar, texts) = (written(&rules), texts(&rules));
        let machine = match compile(&grammar) {
            Ok(machine) => machine,
            Err(GrammarError::NothingMatches(_)) => {
                assert!(texts.iter().all(String::is_empty), "{texts:?} under\n{grammar}");
                continue;
            }
            Err(error) => panic!("{error}\n{grammar}"),
        };
        compiled += 1;
        for text in &all {
            let (bytes, taken) = read(&machine, text);
            assert_eq!(taken, texts.contains(text), "{text:?} under\n{grammar}");
            accepted += usize::from(taken);
            if bytes < text.len() {
                assert!(
                    !texts.iter().any(|longer| longer.starts_with(&text[..=bytes])),
                    "{text:?} under\n{grammar}"
                );
            } else {
                check_completion(&machine, text, &texts, &grammar);
            }
        }
    }
    assert!(compiled > 200 && accepted > 2_000, "{compiled} grammars, {accepted} texts");
}

/// What a text can be completed by is one of the language's texts.
fn check_completion(machine: &Arc<Grammar>, text: &str, texts: &BTreeSet<String>, grammar: &str) {
    let mut matcher = machine.matcher();
    assert!(text.bytes().all(|byte| matcher.try_accept(TokenId::from(byte))));
    let path = matcher.close_path().unwrap_or_else(|| panic!("no way from {text:?} under\n{grammar}"));
    let whole: Vec<u8> =
        path.iter().fold(text.into(), |text, token| [&text, vocabulary().token(*token)].concat());
    let whole = String::from_utf8(whole).expect("ASCII");
    assert!(whole.len() > LENGTH || texts.contains(&whole), "{whole:?} under\n{grammar}");
    assert!(
        path.iter().all(|token| matcher.try_accept(*token)) && matcher.is_accepting(),
        "{whole:?}\n{grammar}"
    );
}

/// Terminals that run into each other or may be each other, and a space between them.
const WORDS: [&str; 9] =
    ["NAME", "INT", "\"if\"", "\"(\"", "\"a1\"", "TEXT", "NUMBER", "/[ab]+!?/", "/ x| [0-9]/"];

#[test]
fn random_grammars_of_words_keep_their_budgets() {
    let mut dice = Dice(0x2545_F491_4F6C_DD1D);
    let ends = "NAME: /[a-z_][a-z_0-9]*/\nTEXT: /'[^']*'/\n%import common (INT, NUMBER)\n%ignore /[ \\n]+/\n";
    let mut cases = Vec::new();
    for _ in 0..150 {
        let rules = random_rules(&mut dice);
        let symbol = |symbol: &usize| match symbol {
            0..4 => {
                WORDS[(symbol + rules.len() * rules[0].len() + rules[1].len() * 3) % WORDS.len()].to_owned()
            }
            _ => RULES[symbol - 4].to_owned(),
        };
        let grammar = written_by(&rules, symbol) + ends;
        match compile(&grammar) {
            Ok(_) => {
                cases.push(Case { name: grammar.clone(), pattern: pattern(&grammar), samples: Vec::new() })
            }
            Err(error) => assert!(matches!(error, GrammarError::NothingMatches(_)), "{error}\n{grammar}"),
        }
    }
    assert!(cases.len() > 80, "{}", cases.len());
    let completed = complete(&cases, &vocabulary(), cases.len() * 12, 5, true);
    assert_eq!(completed.triples, cases.len() * 12);
    assert!(completed.failed.is_empty(), "{}", completed.failed[0]);
    for (grammar, text) in completed.texts {
        let text = String::from_utf8(text).expect("UTF-8");
        assert!(read(&compile(&grammar).expect("compiles"), &text).1, "{text:?} under\n{grammar}");
    }
    let found = exact(&cases, &vocabulary(), 100_000, 13);
    assert_eq!((found.over, found.under), (0, 0));
}

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

#[test]
fn hostile_grammars_are_answered_within_a_second() {
    let many = |count: usize, line: fn(usize) -> String| (0..count).map(line).collect::<String>();
    let doubling = |name: fn(usize) -> String| {
        (0..64).map(|at| format!("{}: {} {}\n", name(at), name(at + 1), name(at + 1))).collect::<String>()
    };
    let grammars = [
        "a".repeat(5 << 20),
        format!("start: {}", "\"a\" | ".repeat(700_000)),
        format!("start: {}\"a\"{}", "(".repeat(10_000), ")".repeat(10_000)),
        format!("start: {}\"a\"{}", "[".repeat(10_000), "]".repeat(10_000)),
        "start: \"a\" ~ 1000000".into(),
        "start: (((\"a\" ~ 9999) ~ 9999) ~ 9999) ~ 9999".into(),
        "start: A\nA: ((\"a\" ~ 9999) ~ 9999) ~ 9999".into(),
        "start: \"a\" ~ 0..9999".into(),
        format!("start: r_0\n{}r_64: \"a\"", doubling(|at| format!("r_{at}"))),
        format!("start: T_0\n{}T_64: \"a\"", doubling(|at| format!("T_{at}"))),
        format!("start: T0\n{}T9999: \"a\"", many(9999, |at| format!("T{at}: T{}\n", at + 1))),
        format!("start: r0\n{}r4000: \"a\"", many(4000, |at| format!("r{at}: r{} | \"b\"\n", at + 1))),
        format!("start: r0\n{}r4000: \"a\"", many(4000, |at| format!("r{at}: r{} r0?\n", at + 1))),
        format!(
            "start: r0\n{}",
            many(1500, |at| format!(
                "r{at}: r{} r{} | \"{at}x\" | r0\n",
                (at * 7 + 1) % 1500,
                (at * 11 + 3) % 1500
            ))
        ),
        format!("start: {}", many(1900, |at| format!("\"word{at}\" | ")) + "\"x\""),
        format!("start: {}\"x\"", many(4000, |_| "\"a\"? \"b\"? ".into())),
        format!(
            "start: {}",
            (0..1000).map(|at| format!("/(a|b)*a(a|b){{{}}}c/ | ", at % 13)).collect::<String>() + "\"x\""
        ),
        "start: /(a|b)*a(a|b){40}/".into(),
        "start: /(((\\w{99}){99}){99})/".into(),
        "start: /((a*)*)*b/".into(),
        format!("start: /{}a{}/", "(".repeat(10_000), ")".repeat(10_000)),
        "start: A\nA: B\nB: C\nC: A".into(),
        "start: start".into(),
        "start: start start | start? | \"a\"".into(),
        "%import".repeat(10_000),
        "\"".into(),
        "%".into(),
        "~".into(),
    ];
    for grammar in grammars {
        let started = Instant::now();
        if let Ok(compiled) = compile(&grammar) {
            let mut matcher = compiled.matcher();
            let mut words = vec![0; vocabulary().len().div_ceil(32)];
            matcher.mask_within(&mut words, 100_000);
        }
        let shown: String = grammar.chars().take(60).collect();
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}: {shown}", started.elapsed());
    }
}

#[test]
fn long_ambiguous_texts_stay_cheap() {
    let compiled = compile("start: e\ne: e e | e \"+\" e | \"a\"").expect("compiles");
    let text = "aa+a".repeat(500);
    let started = Instant::now();
    assert_eq!(read(&compiled, &text), (text.len(), true));
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}
