//! The syntax of regular expressions in ECMA-262 (2024, section 22.2.1, with the leniency of
//! annex B where it has one meaning).

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, Hir, HirKind};

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expression {
    Class(ClassUnicode),
    Concat(Vec<Expression>),
    Either(Vec<Expression>),
    Repeat {
        least: u32,
        most: Option<u32>,
        of: Box<Expression>,
    },
    /// `^`.
    Start,
    /// `$`.
    End,
    /// `\b`, or `\B` if negated.
    Boundary {
        negated: bool,
    },
    Look(Box<Look>),
}

/// What has to, or must not, be ahead or behind.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Look {
    pub(super) behind: bool,
    pub(super) negated: bool,
    pub(super) body: Expression,
}

/// Deepest nesting of groups: recursion over an expression is bounded by it.
const DEEPEST: u32 = 100;

/// Most that a count may say; larger ones would only run into the budget more slowly.
const MOST: u32 = 100_000;

/// Parses an expression.
///
/// # Errors
/// What of it is not understood, or has no automaton.
pub(super) fn parse(pattern: &str) -> Result<Parsed, String> {
    let mut parser = Parser { rest: pattern, depth: 0, contested: ClassUnicode::empty() };
    let expression = parser.either()?;
    match parser.rest.is_empty() {
        true => Ok(Parsed { expression, contested: parser.contested }),
        false => Err("a `)` has no `(`".into()),
    }
}

/// An expression, and characters that are in one of its classes under ECMA-262 and not in the
/// class of that name under Unicode, or the other way round.
pub(super) struct Parsed {
    pub(super) expression: Expression,
    pub(super) contested: ClassUnicode,
}

/// Characters that are only in one of two classes.
fn between(ecma: &ClassUnicode, unicode: &str) -> ClassUnicode {
    let mut difference = ecma.clone();
    if let Ok(HirKind::Class(Class::Unicode(unicode))) = regex_syntax::parse(unicode).map(Hir::into_kind) {
        difference.symmetric_difference(&unicode);
    }
    difference
}

/// Any character at all.
pub(super) fn anything() -> ClassUnicode {
    ranges([('\0', char::MAX)])
}

fn ranges(of: impl IntoIterator<Item = (char, char)>) -> ClassUnicode {
    ClassUnicode::new(of.into_iter().map(|(first, last)| ClassUnicodeRange::new(first, last)))
}

fn negated(mut class: ClassUnicode) -> ClassUnicode {
    class.negate();
    class
}

/// `\w`.
pub(super) fn word() -> ClassUnicode {
    ranges([('a', 'z'), ('A', 'Z'), ('0', '9'), ('_', '_')])
}

/// `\s`: white space and ends of lines.
fn space() -> ClassUnicode {
    ranges([
        ('\t', '\r'),
        (' ', ' '),
        ('\u{a0}', '\u{a0}'),
        ('\u{1680}', '\u{1680}'),
        ('\u{2000}', '\u{200a}'),
        ('\u{2028}', '\u{2029}'),
        ('\u{202f}', '\u{202f}'),
        ('\u{205f}', '\u{205f}'),
        ('\u{3000}', '\u{3000}'),
        ('\u{feff}', '\u{feff}'),
    ])
}

/// `.`: all but ends of lines.
fn dot() -> ClassUnicode {
    negated(ranges([('\n', '\n'), ('\r', '\r'), ('\u{2028}', '\u{2029}')]))
}

fn digit() -> ClassUnicode {
    ranges([('0', '9')])
}

struct Parser<'a> {
    rest: &'a str,
    depth: u32,
    contested: ClassUnicode,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.rest = &self.rest[next.len_utf8()..];
        Some(next)
    }

    fn eat(&mut self, text: &str) -> bool {
        self.rest.strip_prefix(text).map(|rest| self.rest = rest).is_some()
    }

    /// A class that others read in another way.
    fn contest(&mut self, class: ClassUnicode, unicode: &str) -> ClassUnicode {
        self.contested.union(&between(&class, unicode));
        class
    }

    fn either(&mut self) -> Result<Expression, String> {
        let mut ways = vec![self.concat()?];
        while self.eat("|") {
            ways.push(self.concat()?);
        }
        Ok(if ways.len() == 1 { ways.remove(0) } else { Expression::Either(ways) })
    }

    fn concat(&mut self) -> Result<Expression, String> {
        let mut parts = Vec::new();
        while self.peek().is_some_and(|next| next != '|' && next != ')') {
            let part = self.term()?;
            parts.push(self.repeated(part)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expression::Concat(parts) })
    }

    fn repeated(&mut self, of: Expression) -> Result<Expression, String> {
        let (least, most) = match self.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => match counts(self.rest)? {
                Some((least, most, length)) => {
                    self.rest = &self.rest[length - 1..];
                    (least, most)
                }
                None => return Ok(of),
            },
            _ => return Ok(of),
        };
        self.next();
        self.eat("?"); // Which of several matches is found first makes no difference.
        if matches!(self.peek(), Some('*' | '+' | '?'))
            || self.peek() == Some('{') && counts(self.rest)?.is_some()
        {
            return Err("a quantifier follows another".into());
        }
        match of {
            Expression::Start | Expression::End | Expression::Boundary { .. } | Expression::Look(_) => {
                Err("a quantifier follows an assertion".into())
            }
            of => Ok(Expression::Repeat { least, most, of: Box::new(of) }),
        }
    }

    fn term(&mut self) -> Result<Expression, String> {
        let Some(next) = self.next() else { return Ok(Expression::Concat(Vec::new())) };
        Ok(match next {
            '^' => Expression::Start,
            '$' => Expression::End,
            '.' => Expression::Class(self.contest(dot(), ".")),
            '(' => self.group()?,
            '[' => Expression::Class(self.class()?),
            '*' | '+' | '?' => return Err(format!("nothing is before `{next}`")),
            '\\' if self.rest.starts_with(['b', 'B']) => {
                self.contest(word(), "\\w");
                let negated = self.next() == Some('B');
                if self.rest.starts_with('{') {
                    return Err("a `{` follows `\\b`, which some read as one".into());
                }
                Expression::Boundary { negated }
            }
            '\\' if self.rest.starts_with(['<', '>']) => {
                return Err(
                    "some read `\\<` and `\\>` as ends of words; write them without the backslash".into()
                );
            }
            '\\' => Expression::Class(self.escape(false)?),
            // Braces and brackets that are nothing else stand for themselves.
            _ => Expression::Class(ranges([(next, next)])),
        })
    }

    /// A group, after its parenthesis.
    fn group(&mut self) -> Result<Expression, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(format!("its groups are nested more than {DEEPEST} deep"));
        }
        let look = |behind, negated| Some((behind, negated));
        let look = if self.eat("?:") {
            None
        } else if self.eat("?=") {
            look(false, false)
        } else if self.eat("?!") {
            look(false, true)
        } else if self.eat("?<=") {
            look(true, false)
        } else if self.eat("?<!") {
            look(true, true)
        } else if self.eat("?<") || self.eat("?P<") {
            let end = self.rest.find('>').ok_or("the name of a group has no end")?;
            self.rest = &self.rest[end + 1..];
            None
        } else if self.rest.starts_with('?') {
            return Err(format!(
                "`({}` is no kind of group that is known here",
                self.rest.chars().take(3).collect::<String>()
            ));
        } else {
            None
        };
        let body = self.either()?;
        if !self.eat(")") {
            return Err("a `(` has no `)`".into());
        }
        self.depth -= 1;
        Ok(match look {
            Some((behind, negated)) => Expression::Look(Box::new(Look { behind, negated, body })),
            None => body,
        })
    }

    /// A class, after its bracket.
    fn class(&mut self) -> Result<ClassUnicode, String> {
        let complement = self.eat("^");
        let mut class = ClassUnicode::empty();
        loop {
            if self.eat("]") {
                return Ok(if complement { negated(class) } else { class });
            }
            let first = self.class_atom()?;
            // A hyphen is a range between two characters, and itself anywhere else.
            let ranges_on = self.rest.starts_with('-') && !self.rest.starts_with("-]");
            let Some(start) = only(&first).filter(|_| ranges_on) else {
                class.union(&first);
                continue;
            };
            self.next();
            let last = self.class_atom()?;
            match only(&last) {
                Some(end) if end < start => return Err(format!("the range {start}-{end} is empty")),
                Some(end) => class.union(&ranges([(start, end)])),
                None => [&first, &last, &ranges([('-', '-')])].iter().for_each(|part| class.union(part)),
            }
        }
    }

    fn class_atom(&mut self) -> Result<ClassUnicode, String> {
        match self.next().ok_or("a `[` has no `]`")? {
            '\\' => self.escape(true),
            next => Ok(ranges([(next, next)])),
        }
    }

    /// What follows a backslash.
    fn escape(&mut self, in_class: bool) -> Result<ClassUnicode, String> {
        let next = self.next().ok_or("it ends in a backslash")?;
        let one = |character| Ok(ranges([(character, character)]));
        match next {
            'd' => Ok(self.contest(digit(), "\\d")),
            'D' => Ok(negated(self.contest(digit(), "\\d"))),
            'w' => Ok(self.contest(word(), "\\w")),
            'W' => Ok(negated(self.contest(word(), "\\w"))),
            's' => Ok(self.contest(space(), "\\s")),
            'S' => Ok(negated(self.contest(space(), "\\s"))),
            't' => one('\t'),
            'n' => one('\n'),
            'r' => one('\r'),
            'v' => one('\u{b}'),
            'f' => one('\u{c}'),
            'b' if in_class => one('\u{8}'),
            '0' if !self.rest.starts_with(|next: char| next.is_ascii_digit()) => one('\0'),
            '0'..='9' | 'k' => Err("it refers back to a group, which no automaton can".into()),
            'c' => match self.next() {
                Some(letter) if letter.is_ascii_alphabetic() => one(char::from(letter as u8 % 32)),
                _ => Err("`\\c` needs a letter".into()),
            },
            'x' => {
                let code = self.hex(2).ok_or("`\\x` needs two digits")?;
                one(char::from_u32(code).ok_or("`\\x` needs two digits")?)
            }
            'u' => one(self.code_point()?),
            'p' | 'P' => self.property(next == 'P'),
            next if next.is_ascii_alphanumeric() => Err(format!("ECMA-262 knows no escape `\\{next}`")),
            next => one(next),
        }
    }

    fn hex(&mut self, digits: usize) -> Option<u32> {
        let text =
            self.rest.get(..digits).filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        let value = u32::from_str_radix(text, 16).ok()?;
        self.rest = &self.rest[digits..];
        Some(value)
    }

    /// After `\u`: `{...}`, or four digits, or a pair of surrogates.
    fn code_point(&mut self) -> Result<char, String> {
        if self.eat("{") {
            let end = self.rest.find('}').ok_or("`\\u{` needs a `}`")?;
            let code = u32::from_str_radix(&self.rest[..end], 16).ok().and_then(char::from_u32);
            self.rest = &self.rest[end + 1..];
            return code.ok_or_else(|| "`\\u{...}` needs the number of a character".into());
        }
        let first = self.hex(4).ok_or("`\\u` needs four digits")?;
        if !(0xD800..0xDC00).contains(&first) {
            return char::from_u32(first).ok_or_else(|| "it has half of a surrogate pair".into());
        }
        let second = self.eat("\\u").then(|| self.hex(4)).flatten();
        second
            .filter(|second| (0xDC00..0xE000).contains(second))
            .and_then(|second| char::from_u32(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)))
            .ok_or_else(|| "it has half of a surrogate pair".into())
    }

    /// After `\p` or `\P`.
    fn property(&mut self, complement: bool) -> Result<ClassUnicode, String> {
        let name = self.rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let (name, rest) = name.ok_or("`\\p` needs a property in braces")?;
        self.rest = rest;
        // Names are those of Unicode in both syntaxes.
        let plain = name.chars().all(|next| next.is_ascii_alphanumeric() || matches!(next, '_' | '='));
        let parsed = plain.then(|| regex_syntax::parse(&format!("\\p{{{name}}}")).ok()).flatten();
        let class = match parsed.map(Hir::into_kind) {
            Some(HirKind::Class(Class::Unicode(class))) => class,
            _ => return Err(format!("the property `{name}` is not known")),
        };
        Ok(if complement { negated(class) } else { class })
    }
}

/// The character of a class of one.
fn only(class: &ClassUnicode) -> Option<char> {
    match class.ranges() {
        [range] if range.start() == range.end() => Some(range.start()),
        _ => None,
    }
}

/// A quantifier in braces: its numbers and its length. `None` where the brace is no quantifier.
fn counts(text: &str) -> Result<Option<(u32, Option<u32>, usize)>, String> {
    let Some((inside, _)) = text.strip_prefix('{').and_then(|text| text.split_once('}')) else {
        return Ok(None);
    };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // Too many digits for a number are too large a number.
        digits.then(|| text.parse().unwrap_or(u32::MAX))
    };
    let (least, most) = match inside.split_once(',') {
        None => (number(inside), Some(number(inside))),
        Some((least, "")) => (number(least), Some(None)),
        Some((least, most)) => (number(least), number(most).map(Some)),
    };
    let (Some(least), Some(most)) = (least, most) else { return Ok(None) };
    if most.is_some_and(|most| most < least) {
        return Err(format!("the count {{{inside}}} is empty"));
    }
    if least > MOST || most.is_some_and(|most| most > MOST) {
        return Err(format!("the count {{{inside}}} is larger than {MOST}"));
    }
    Ok(Some((least, most, inside.len() + 2)))
}
