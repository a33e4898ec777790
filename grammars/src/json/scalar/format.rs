//! The formats that JSON Schema names (2020-12 validation, section 7.3), as regular languages.
//!
//! Each is bounded from both sides: all texts of the *inner* language are valid, all valid texts
//! are in the *outer* one. Where a format must hold the inner language is demanded, where it must
//! not the outer one is excluded, so that either is certain. Most are the same; the table says
//! what is between them. A format that is not listed constrains nothing, as the specification says.
//!
//! | format | valid, and yet not written |
//! |---|---|
//! | `time`, `date-time` | leap seconds outside of `23:59:60` in UTC |
//! | `email`, `idn-email` | quoted local parts, addresses in brackets, and what `hostname` lacks |
//! | `hostname`, `idn-hostname` | labels of Punycode; more than 3 labels, if one is longer than 24 |
//! | `uri`, `iri` and references | addresses of future versions in brackets |
//! | `idn-hostname`, `idn-email` | labels outside of ASCII that are not plain small letters of Latin, Greek, Cyrillic, Hiragana, Katakana or Han |
//! | `regex` | groups within groups within groups; look behind, back references, names |

use super::ScalarError;
use super::table::Table;
use crate::Budget;
use crate::lexeme::Regular;

/// Whether a format constrains anything.
pub(super) fn is_known(format: &str) -> bool {
    bounds(format).is_some()
}

/// The language that a format demands where it must hold, or excludes where it must not.
pub(super) fn table(format: &str, must_hold: bool, budget: &Budget) -> Result<Table, ScalarError> {
    let everything = || Bounds { inner: "(?s:.)*".to_owned(), outer: None };
    let Bounds { inner, outer } = bounds(format).unwrap_or_else(everything);
    let expression = if must_hold { inner } else { outer.unwrap_or(inner) };
    Ok(Table::build(&Regular::new(&expression, budget)?, budget)?)
}

struct Bounds {
    inner: String,
    /// If it is another.
    outer: Option<String>,
}

fn bounds(format: &str) -> Option<Bounds> {
    let exactly = |inner: String| Bounds { inner, outer: None };
    let between = |inner: String, outer: &str| Bounds { inner, outer: Some(outer.to_owned()) };
    Some(match format {
        "date" => exactly(date()),
        "time" => between(time(), TIME_LIKE),
        "date-time" => between(
            format!("(?:{})[Tt](?:{})", date(), time()),
            &format!("(?:{})[Tt](?:{TIME_LIKE})", date()),
        ),
        "duration" => exactly(duration()),
        "email" => between(format!("(?:{})@(?:{})", local(), hostname()), "(?s:.)*@(?s:.)*"),
        "idn-email" => {
            between(format!("(?:{})@(?:{}|{})", local(), hostname(), idn_hostname()), "(?s:.)*@(?s:.)*")
        }
        "hostname" => between(hostname(), "[a-zA-Z0-9.-]+"),
        "idn-hostname" => between(format!("{}|{}", hostname(), idn_hostname()), "(?s:.)+"),
        "ipv4" => exactly(IPV4.to_owned()),
        "ipv6" => exactly(ipv6()),
        "uri" => between(Resource::URI.absolute(), &Resource::URI.like("[a-zA-Z][a-zA-Z0-9+.-]*:")),
        "uri-reference" => between(Resource::URI.reference(), &Resource::URI.like("")),
        "iri" => between(Resource::IRI.absolute(), &Resource::IRI.like("[a-zA-Z][a-zA-Z0-9+.-]*:")),
        "iri-reference" => between(Resource::IRI.reference(), &Resource::IRI.like("")),
        "uri-template" => exactly(uri_template()),
        "uuid" => exactly("[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}".to_owned()),
        "json-pointer" => exactly("(?:/(?:[^/~]|~[01])*)*".to_owned()),
        "relative-json-pointer" => exactly("(?:0|[1-9][0-9]*)(?:#|(?:/(?:[^/~]|~[01])*)*)".to_owned()),
        "regex" => between(regex(), "(?s:.)*"),
        _ => return None,
    })
    .map(|Bounds { inner, outer }| Bounds { inner: dots_of_all(inner), outer: outer.map(dots_of_all) })
}

/// With `[^...]` and `.` of all characters.
fn dots_of_all(expression: String) -> String {
    format!("(?s:{expression})")
}

/// Days of the calendar.
fn date() -> String {
    // Years that 4 divides, as two digits; `00` aside.
    let fours = "(?:0[48]|[2468][048]|[13579][26])";
    let leap = format!("(?:[0-9]{{2}}{fours}|(?:00|{fours})00)");
    format!(
        "[0-9]{{4}}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)\
         |02-(?:0[1-9]|1[0-9]|2[0-8]))|{leap}-02-29"
    )
}

const OFFSET: &str = "(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])";
const TIME_LIKE: &str = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\\.[0-9]+)?(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])";

fn time() -> String {
    format!(
        "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]+)?{OFFSET}\
         |23:59:60(?:\\.[0-9]+)?(?:[Zz]|[+-]00:00)"
    )
}

/// Units follow each other without a gap (RFC 3339, appendix A).
fn duration() -> String {
    let time = "T(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S)";
    let date = "(?:[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?|[0-9]+M(?:[0-9]+D)?|[0-9]+D)";
    format!("P(?:{date}(?:{time})?|{time}|[0-9]+W)")
}

/// Words between dots; 64 characters at most, which one word of 64 is, and 2 of 31, 4 of 15 and
/// 8 of 7 with their dots.
fn local() -> String {
    let word = "[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]";
    let words =
        |count: usize, most: usize| format!("{word}{{1,{most}}}(?:\\.{word}{{1,{most}}}){{0,{}}}", count - 1);
    [words(1, 64), words(2, 31), words(4, 15), words(8, 7)].join("|")
}

/// Labels between dots, together at most 253 characters: letters, digits, and hyphens within, but
/// not two of them at the third place, which would announce Punycode.
fn hostname() -> String {
    let letters = "a-zA-Z0-9";
    let label = |most: usize| {
        // By its first four characters, of which the last two are not both hyphens.
        let (letter, any, rest) = (format!("[{letters}]"), format!("[{letters}-]"), most - 5);
        format!(
            "{letter}(?:{letter}|{any}{letter}|{any}(?:(?:{letter}|-){letter}(?:{any}{{0,{rest}}}{letter})?\
             |{letter}-{any}{{0,{rest}}}{letter}))?"
        )
    };
    let few = label(63);
    let many = label(24);
    format!("(?:{few})(?:\\.(?:{few})){{0,2}}|(?:{many})(?:\\.(?:{many})){{0,9}}")
}

/// Labels of letters that every version of the rules for domain names maps to themselves.
fn idn_hostname() -> String {
    // Short enough to fit when they are spelled in Punycode.
    let label = "(?:[a-z0-9ß-öø-ÿ]{1,12}|[α-ρσ-ω]{1,12}|[а-я]{1,12}|[ぁ-ゖァ-ヺ一-龥]{1,12})";
    format!("{label}(?:\\.{label}){{0,3}}")
}

const IPV4: &str =
    "(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\\.){3}(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";

/// RFC 3986, section 3.2.2.
fn ipv6() -> String {
    let h = "[0-9a-fA-F]{1,4}";
    let last = format!("(?:{h}:{h}|{IPV4})");
    let mut ways = vec![format!("(?:{h}:){{6}}{last}")];
    for after in 0..=7 {
        // What is before `::` may be anything that leaves a group out.
        let most = 7 - after;
        let before = match most {
            0 => String::new(),
            _ => format!("(?:{h}(?::{h}){{0,{}}})?", most - 1),
        };
        let after = match after {
            0 => String::new(),
            1 => h.to_owned(),
            2 => last.clone(),
            _ => format!("(?:{h}:){{{}}}{last}", after - 2),
        };
        ways.push(format!("{before}::{after}"));
    }
    ways.join("|")
}

/// What resources are named with (RFC 3986 and RFC 3987).
struct Resource {
    /// Characters beyond ASCII, and those of queries alone.
    more: &'static str,
    private: &'static str,
}

impl Resource {
    const URI: Self = Self { more: "", private: "" };
    const IRI: Self = Self {
        more: "\u{A0}-\u{D7FF}\u{F900}-\u{FDCF}\u{FDF0}-\u{FFEF}\u{10000}-\u{1FFFD}\u{20000}-\u{2FFFD}\u{30000}-\u{3FFFD}",
        private: "\u{E000}-\u{F8FF}",
    };

    fn characters(&self, others: &str) -> String {
        format!("(?:[a-zA-Z0-9._~!$&'()*+,;={}{others}-]|%[0-9a-fA-F]{{2}})", self.more)
    }

    fn rest(&self) -> String {
        let query = self.characters(&format!(":@/?{}", self.private));
        let fragment = self.characters(":@/?");
        format!("(?:\\?{query}*)?(?:#{fragment}*)?")
    }

    fn authority(&self) -> String {
        let (user, name) = (self.characters(":"), self.characters(""));
        format!("//(?:{user}*@)?(?:{name}*|\\[(?:{})\\])(?::[0-9]*)?", ipv6())
    }

    /// An authority with a path, or a path that cannot be taken for one; it begins with `first`
    /// if it does not begin with a slash.
    fn hierarchy(&self, first: &str) -> String {
        let (authority, segment) = (self.authority(), self.characters(":@"));
        format!(
            "(?:{authority}(?:/{segment}*)*|/(?:{segment}+(?:/{segment}*)*)?|(?:{first}+(?:/{segment}*)*)?)"
        )
    }

    fn absolute(&self) -> String {
        format!("[a-zA-Z][a-zA-Z0-9+.-]*:{}{}", self.hierarchy(&self.characters(":@")), self.rest())
    }

    fn reference(&self) -> String {
        format!("{}|{}{}", self.absolute(), self.hierarchy(&self.characters("@")), self.rest())
    }

    /// All that could be one.
    fn like(&self, before: &str) -> String {
        if self.more.is_empty() {
            format!("{before}[!-~]*")
        } else {
            format!("{before}[!-~\u{A0}-\u{10FFFF}]*")
        }
    }
}

/// RFC 6570.
fn uri_template() -> String {
    let name = "(?:[a-zA-Z0-9_]|%[0-9a-fA-F]{2})+";
    let variable = format!("{name}(?:\\.{name})*(?::[1-9][0-9]{{0,3}}|\\*)?");
    let expression = format!("\\{{[+#./;?&=,!@|]?{variable}(?:,{variable})*\\}}");
    format!("(?:[^\\x00-\\x20\"<>%\\\\^`{{|}}\\x7F]|%[0-9a-fA-F]{{2}}|{expression})*")
}

/// Expressions whose groups are nested twice at most.
fn regex() -> String {
    let punctuation = "[\\^$.*+?()\\[\\]{}|/-]";
    let escape = format!("\\\\(?:[dDsSwWtnrvf]|x[0-9a-fA-F]{{2}}|{punctuation})");
    // Ranges only of letters and digits in their order.
    let class = format!("\\[\\^?(?:a-z|A-Z|0-9|[^\\\\\\]\\-^]|{escape})*\\]");
    let quantifier = "(?:(?:[*+?]|\\{[0-9]{1,3},?\\})\\??)?";
    let of = |inside: Option<String>| {
        let (group, look) = match inside {
            Some(inside) => (format!("|\\((?:\\?:)?{inside}\\)"), format!("|\\(\\?[=!]{inside}\\)")),
            None => Default::default(),
        };
        let atom = format!("(?:[^\\\\^$.*+?()\\[\\]{{}}|]|\\.|{escape}|{class}{group})");
        format!("(?:{atom}{quantifier}|[\\^$]|\\\\[bB]{look}|\\|)*")
    };
    of(Some(of(Some(of(None)))))
}
