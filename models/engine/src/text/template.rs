//! Chat templates: Jinja as transformers sets it up, with a budget.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, Error, ErrorKind, State, context};
use serde::Serialize;

use super::{TextError, flat};
use crate::codec::{ChatMessage, CodecError};

/// Instructions plus 1/64 of the bytes made: a hostile template ends within about a second
/// and 256 MB, a conversation of a million characters spends a tenth.
const FUEL: u64 = 4_000_000;
const NAME: &str = "chat";
/// Longest template; real ones have up to 30 kB. It bounds how deep anything nests that the
/// template spells out, and with it the stack: parsing, rendering and dropping recurse.
const MAX_SOURCE: usize = 64 << 10;
/// Stack for that depth. Reserved, not used, by an ordinary template.
const STACK: usize = 256 << 20;
/// Widest field of `'...'.format()`, in digits: its padding is made before it is paid for.
const WIDTH_DIGITS: usize = 4;

pub(super) struct ChatTemplate {
    environment: Environment<'static>,
    begin: String,
    end: String,
}

impl ChatTemplate {
    /// Parses a template once; `begin` and `end` become `bos_token` and `eos_token`.
    pub(super) fn compile(source: &str, begin: &str, end: &str) -> Result<Self, TextError> {
        if source.len() > MAX_SOURCE {
            return Err(TextError::Template(format!("it has more than {MAX_SOURCE} bytes")));
        }
        let environment = on_large_stack(|| environment(source));
        let environment = environment.map_err(|error| TextError::Template(error.to_string()))?;
        Ok(Self { environment, begin: begin.to_owned(), end: end.to_owned() })
    }

    pub(super) fn render(&self, messages: &[ChatMessage], open_turn: bool) -> Result<String, CodecError> {
        let turns: Vec<_> = messages
            .iter()
            .map(|message| context! { role => message.role.as_str(), content => message.content.as_str() })
            .collect();
        let variables = context! {
            messages => turns,
            add_generation_prompt => open_turn,
            bos_token => self.begin.as_str(),
            eos_token => self.end.as_str(),
        };
        let rendered = on_large_stack(|| self.environment.get_template(NAME)?.render(variables));
        rendered.map_err(|error| {
            CodecError::Template(error.detail().map_or_else(|| error.to_string(), str::to_owned))
        })
    }
}

fn environment(source: &str) -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?;
    environment.set_syntax(syntax.clone());
    environment.set_fuel(Some(FUEL));
    environment.set_unknown_method_callback(method);
    environment.add_filter("tojson", to_json);
    environment.add_filter(flat::FILTER, flat::flat);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", strftime_now);
    environment.add_template_owned(NAME, flat::guarded(source, syntax)?)?;
    Ok(environment)
}

/// Runs on a thread of its own: what a hostile template nests must not end the caller's stack,
/// for that ends the process.
fn on_large_stack<T: Send>(work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("template".to_owned()).stack_size(STACK);
        let thread = thread.spawn_scoped(scope, work).map_err(|error| {
            Error::new(ErrorKind::InvalidOperation, "no thread for the template").with_source(error)
        })?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Python's methods.
fn method(state: &mut State<'_, '_>, value: &Value, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    let is_wide = |text: &str| text.split(|c: char| !c.is_ascii_digit()).any(|run| run.len() > WIDTH_DIGITS);
    if name == "format" && value.as_str().is_some_and(is_wide) {
        return Err(Error::new(ErrorKind::InvalidOperation, "format: a field is too wide"));
    }
    minijinja_contrib::pycompat::unknown_method_callback(state, value, name, arguments)
}

/// What a model without a template gets.
pub(super) fn plain(messages: &[ChatMessage], open_turn: bool) -> String {
    if let [only] = messages {
        return only.content.clone();
    }
    let mut text = String::new();
    for message in messages {
        // Writing to a string cannot fail.
        let _ = write!(text, "{}: {}\n\n", message.role, message.content);
    }
    if open_turn {
        text.push_str("assistant:");
    }
    text
}

fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

/// Python's `json.dumps(value, ensure_ascii=False, indent=indent)`. Jinja's own filter
/// escapes for HTML, which no template was trained with.
fn to_json(value: Value, options: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let mut out = Vec::new();
    let written = match indent {
        Some(indent) => {
            let indent = " ".repeat(indent.min(16));
            let pretty = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, pretty))
        }
        None => value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, Spaced)),
    };
    let invalid = |error: String| Error::new(ErrorKind::BadSerialization, error);
    written.map_err(|error| invalid(error.to_string()))?;
    let text = String::from_utf8(out).map_err(|error| invalid(error.to_string()))?;
    Ok(Value::from_safe_string(text))
}

/// JSON on one line with `, ` and `: `.
struct Spaced;

impl serde_json::ser::Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, out: &mut W) -> std::io::Result<()> {
        out.write_all(b": ")
    }
}

fn strftime_now(format: String) -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    strftime(&format, since.as_secs())
}

/// The directives that chat templates use, in UTC; others are left as they stand.
fn strftime(format: &str, unix_seconds: u64) -> String {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    // 1970-01-01 was a Thursday.
    const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
    let (days, second) = (unix_seconds / 86_400, unix_seconds % 86_400);
    let (year, month, day) = civil_date(days);
    let month_name = MONTHS[(month as usize - 1) % 12];
    let day_name = DAYS[(days % 7) as usize];
    let mut text = String::new();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            text.push(letter);
            continue;
        }
        // Writing to a string cannot fail.
        let _ = match letters.next() {
            Some('Y') => write!(text, "{year}"),
            Some('y') => write!(text, "{:02}", year % 100),
            Some('m') => write!(text, "{month:02}"),
            Some('d') => write!(text, "{day:02}"),
            Some('B') => write!(text, "{month_name}"),
            Some('b') => write!(text, "{}", &month_name[..3]),
            Some('A') => write!(text, "{day_name}"),
            Some('a') => write!(text, "{}", &day_name[..3]),
            Some('H') => write!(text, "{:02}", second / 3600),
            Some('M') => write!(text, "{:02}", second / 60 % 60),
            Some('S') => write!(text, "{:02}", second % 60),
            Some('%') => write!(text, "%"),
            Some(other) => write!(text, "%{other}"),
            None => write!(text, "%"),
        };
    }
    text
}

/// Year, month and day of a count of days since 1970-01-01, in the Gregorian calendar.
/// Algorithm: `civil_from_days`, Hinnant 2013, for days after 1970.
fn civil_date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(role: &str, content: &str) -> ChatMessage {
        ChatMessage { role: role.to_owned(), content: content.to_owned() }
    }

    fn render(source: &str, messages: &[ChatMessage]) -> Result<String, CodecError> {
        ChatTemplate::compile(source, "<s>", "</s>").expect("parses").render(messages, true)
    }

    #[test]
    fn templates_see_what_transformers_gives_them() {
        let hello = [message("user", " <Grüße> \"x\" ")];
        let cases = [
            ("{{ bos_token }}{{ messages[0]['content'].strip() }}{{ eos_token }}", "<s><Grüße> \"x\"</s>"),
            ("{% if add_generation_prompt %}\n  A:\n{% endif %}\n", "  A:\n"),
            ("{{ {'a': [1, messages[0].role]} | tojson }}", r#"{"a": [1, "user"]}"#),
            ("{{ ('<' ~ \"'\") | tojson }}", "\"<'\""),
            ("{{ [1] | tojson(indent=2) }}", "[\n  1\n]"),
            ("{% for m in [1, 2, 3] %}{% if m == 2 %}{% break %}{% endif %}{{ m }}{% endfor %}", "1"),
            ("{{ tools is defined }}{% if tools %}no{% endif %}", "False"),
            ("{{ messages[0].role.upper() }}{{ 'ab'.startswith('a') }}", "USERTrue"),
            (
                "{% set n = namespace(x=1) %}{% for i in [1, 2] -%} {% set n.x = n.x + i if i else 0 -%} {% endfor %}{{ n.x }}",
                "4",
            ),
            ("{% set n = namespace() %}{% set (n.a, b) = [1], {'k': 2} %}{{ n.a }}{{ b.k }}", "[1]2"),
            ("{% set n = namespace() %}{% set n.a | replace('x', 'y') %}=x.{% endset %}{{ n.a }}", "=y."),
            ("{% set n = namespace() %}{% set n.a = messages[0] %}{{ n.a.role }}", "user"),
        ];
        for (source, expected) in cases {
            assert_eq!(render(source, &hello).as_deref(), Ok(expected), "{source}");
        }
    }

    #[test]
    fn a_template_can_refuse() {
        let refused = render("{{ raise_exception('roles must alternate') }}", &[]);
        assert_eq!(refused, Err(CodecError::Template("roles must alternate".to_owned())));
    }

    #[test]
    fn hostile_templates_end() {
        let sources = [
            "{% for a in range(99999) %}{% for b in range(99999) %}{{ a * b }}{% endfor %}{% endfor %}",
            "{% set n = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}",
            "{{ 'a' * 100000000000 }}",
            "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
            "{{ '{:>999999999}'.format(1) }}",
            "{% set n = namespace() %}{% for i in range(90000) %}{% set n.x = [n.x] %}{% endfor %}",
            "{% set n = namespace(x=[1]) %}{% for i in range(90000) %}{% set n.x, y = n.x | batch(1), 1 %}{% endfor %}",
        ];
        for source in sources {
            let start = std::time::Instant::now();
            assert!(matches!(render(source, &[]), Err(CodecError::Template(_))), "{source}");
            assert!(start.elapsed().as_secs() < 5, "{source}");
        }
    }

    /// Each ended the process once: a stack that overflows is no panic.
    #[test]
    fn deep_templates_leave_the_stack_alone() {
        let most = |start: &str, part: &str, end: &str| {
            format!("{start}{}{end}", part.repeat((MAX_SOURCE - start.len() - end.len()) / part.len()))
        };
        let sources = [
            "{% set n = namespace() %}{% set n.x = n %}{{ n }}{{ n | tojson }}{{ n == n }}{{ {n: n} }}"
                .to_owned(),
            most("{{ 1", "+1", " }}"),
            most("{{ a", ".b", " }}"),
            most("{{ 'a'", "|list", " }}"),
            most("{{ ", "not ", "1 }}"),
            most("{{ ", "-", "1 }}"),
            most("{% if a %}", "{% elif a %}", "{% endif %}"),
            most("{% set a = 1 %}", "{%set a=[a]%}", "{{ a }}{{ a | tojson }}{{ a == [a] }}"),
        ];
        for source in sources {
            if let Ok(template) = ChatTemplate::compile(&source, "", "") {
                let _ = template.render(&[message("user", "x")], true);
            }
        }
        assert!(ChatTemplate::compile(&"a".repeat(MAX_SOURCE + 1), "", "").is_err());
    }

    #[test]
    fn without_a_template_one_message_is_plain_text() {
        assert_eq!(plain(&[message("user", "2 + 2 =")], true), "2 + 2 =");
        let two = [message("system", "Be brief."), message("user", "Hi")];
        assert_eq!(plain(&two, true), "system: Be brief.\n\nuser: Hi\n\nassistant:");
    }

    #[test]
    fn dates_are_written_as_python_does() {
        let cases = [
            (0, "%Y-%m-%d %A", "1970-01-01 Thursday"),
            (951_827_696, "%d %b %Y %H:%M:%S", "29 Feb 2000 12:34:56"),
            (1_735_689_599, "%B %d, %y (%a) 100%% %q", "December 31, 24 (Tue) 100% %q"),
        ];
        for (seconds, format, expected) in cases {
            assert_eq!(strftime(format, seconds), expected);
        }
    }
}
