//! Chat templates: Jinja as transformers sets it up, with a budget.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, Value};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, context, machinery};
use serde::Serialize;

use super::tools;
use super::{TextError, flat, guard};
use crate::codec::{ChatMessage, CodecError, Tool};

/// Instructions plus 1/64 of the bytes made: a hostile template ends within about a second
/// and 256 MB, a conversation of a million characters spends a tenth.
const FUEL: u64 = 4_000_000;
const BYTES_OF_FUEL: u64 = 64;
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
    /// It says itself how tools are told of and called.
    knows_tools: bool,
}

impl ChatTemplate {
    /// Parses a template once; `begin` and `end` become `bos_token` and `eos_token`.
    pub(super) fn compile(source: &str, begin: &str, end: &str) -> Result<Self, TextError> {
        if source.len() > MAX_SOURCE {
            return Err(TextError::Template(format!("it has more than {MAX_SOURCE} bytes")));
        }
        let parsed = on_large_stack(|| {
            let environment = environment(source)?;
            let knows_tools = environment.get_template(NAME)?.undeclared_variables(false).contains("tools");
            Ok((environment, knows_tools))
        });
        let (environment, knows_tools) = parsed.map_err(|error| TextError::Template(error.to_string()))?;
        Ok(Self { environment, begin: begin.to_owned(), end: end.to_owned(), knows_tools })
    }

    pub(super) fn render(
        &self,
        messages: &[ChatMessage],
        tools: &[Tool],
        open_turn: bool,
    ) -> Result<String, CodecError> {
        let in_words = match self.knows_tools {
            true => Cow::Borrowed(messages),
            false => tools::in_words(messages, tools)?,
        };
        let told = if self.knows_tools { tools } else { &[] };
        let functions = match told {
            // What is not there is not defined: templates ask for it.
            [] => Value::UNDEFINED,
            told => Value::from(Serde(tools::functions(told)?)),
        };
        let variables = context! {
            messages => Value::from(Serde(tools::turns(&in_words)?)),
            tools => functions,
            add_generation_prompt => open_turn,
            bos_token => self.begin.as_str(),
            eos_token => self.end.as_str(),
        };
        let rendered = on_large_stack(|| self.run(variables));
        rendered.map_err(|error| {
            CodecError::Template(error.detail().map_or_else(|| error.to_string(), str::to_owned))
        })
    }

    fn run(&self, variables: Value) -> Result<String, Error> {
        let template = self.environment.get_template(NAME)?;
        let compiled = machinery::get_compiled_template(&template);
        let main = guard::guarded(&compiled.instructions);
        let blocks = compiled.blocks.iter().map(|(name, block)| (*name, guard::guarded(block))).collect();
        let mut text = String::with_capacity(compiled.buffer_size_hint);
        let mut out = machinery::make_string_output(&mut text);
        machinery::eval(&self.environment, &main, variables, &blocks, &mut out, AutoEscape::None)?;
        Ok(text)
    }
}

fn environment(source: &str) -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?;
    environment.set_syntax(syntax);
    environment.set_fuel(Some(FUEL));
    environment.set_unknown_method_callback(method);
    // `include` and the like would run the template without its guard.
    environment.set_path_join_callback(|_, _| "another template".into());
    // Jinja has no `chain`; pretty printing indents without end. No template that is right uses them.
    environment.remove_filter("chain");
    environment.remove_filter("pprint");
    environment.remove_global("debug");
    environment.add_filter("sum", sum);
    environment.add_filter("tojson", to_json);
    environment.add_filter(guard::PAID, flat::paid);
    environment.add_filter(guard::LISTED, flat::listed);
    environment.add_filter(guard::FLAT, flat::flat);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", strftime_now);
    environment.add_template_owned(NAME, source.to_owned())?;
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

/// Numbers only: a sum of lists would be a chain that nobody has paid for.
fn sum(
    state: &State<'_, '_>,
    values: Value,
    attribute: Option<&str>,
    start: Option<Value>,
    options: Kwargs,
) -> Result<Value, Error> {
    let named: Option<Value> = options.peek("start")?;
    if start.as_ref().or(named.as_ref()).is_some_and(|start| !start.is_number()) {
        return Err(Error::new(ErrorKind::InvalidOperation, "sum: only numbers are added"));
    }
    minijinja::filters::sum(state, values, attribute, start, options)
}

/// Python's methods, each paid for where its result may be much longer than what it was given.
fn method(state: &mut State<'_, '_>, value: &Value, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    let is_wide = |text: &str| text.split(|c: char| !c.is_ascii_digit()).any(|run| run.len() > WIDTH_DIGITS);
    if name == "format" && value.as_str().is_some_and(is_wide) {
        return Err(Error::new(ErrorKind::InvalidOperation, "format: a field is too wide"));
    }
    let text = |at: usize| arguments.get(at).and_then(Value::as_str);
    let made = match (name, value.as_str(), text(0), text(1)) {
        ("replace", Some(from), Some(old), Some(new)) => from.matches(old).count().saturating_mul(new.len()),
        ("join", Some(joint), ..) => {
            joint.len().saturating_mul(arguments.first().and_then(Value::len).unwrap_or(0))
        }
        _ => 0,
    };
    state.consume_fuel(made as u64 / BYTES_OF_FUEL)?;
    minijinja_contrib::pycompat::unknown_method_callback(state, value, name, arguments)
}

/// What a model without a template gets, its tools in words.
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
fn to_json(state: &State<'_, '_>, value: Value, options: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let mut out = PaidText { state, bytes: Vec::new(), owed: 0 };
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
    let text = String::from_utf8(out.bytes).map_err(|error| invalid(error.to_string()))?;
    Ok(Value::from_safe_string(text))
}

/// A text that is paid for while it grows: indentation makes much of little.
struct PaidText<'a, 't, 'e> {
    state: &'a State<'t, 'e>,
    bytes: Vec<u8>,
    owed: usize,
}

impl std::io::Write for PaidText<'_, '_, '_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.owed += bytes.len();
        self.state.consume_fuel(self.owed as u64 / BYTES_OF_FUEL).map_err(std::io::Error::other)?;
        self.owed %= BYTES_OF_FUEL as usize;
        self.bytes.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// JSON on one line with `, ` and `: `.
pub(super) struct Spaced;

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
mod tests;
