//! Reading a grammar's text.

use std::collections::HashSet;

use super::common;
use super::lex::{Lexer, Token};
use super::syntax::{Definition, Expr, Literal, Place, Source};
use crate::GrammarError;

/// Longest grammar, in bytes.
const LONGEST: usize = 1 << 20;
/// Deepest nesting of parentheses and brackets: recursion is bounded by it.
const DEEPEST: u32 = 64;
/// Most names, literals and groups.
const PARTS: u32 = 50_000;
/// Most repetitions that a count may ask for.
const REPETITIONS: u32 = 10_000;

/// # Errors
/// [`GrammarError::Lark`] with the place where the text is no grammar, or has what is not supported.
pub(super) fn parse(text: &str) -> Result<Source, GrammarError> {
    if text.len() > LONGEST {
        return Err(Place::START.error(format!("the grammar is longer than {LONGEST} bytes")));
    }
    let mut lexer = Lexer::new(text);
    let (token, place) = lexer.next()?;
    let mut parser =
        Parser { lexer, token, place, depth: 0, parts: 0, names: HashSet::new(), source: Source::default() };
    parser.items()?;
    Ok(parser.source)
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    /// The next token and where it stands.
    token: Token<'a>,
    place: Place,
    depth: u32,
    parts: u32,
    names: HashSet<String>,
    source: Source,
}

impl<'a> Parser<'a> {
    fn items(&mut self) -> Result<(), GrammarError> {
        loop {
            match self.token.clone() {
                Token::End => return Ok(()),
                Token::Line => {
                    self.advance()?;
                }
                Token::Directive(word) => self.directive(word)?,
                Token::Sign("?" | "!") => {
                    self.advance()?;
                    if !matches!(self.token, Token::Sign("?" | "!") | Token::Rule(_)) {
                        return Err(self.expected("a rule's name"));
                    }
                }
                Token::Rule(_) | Token::Terminal(_) => self.definition()?,
                _ => return Err(self.expected("a rule, a terminal, %import or %ignore")),
            }
        }
    }

    fn definition(&mut self) -> Result<(), GrammarError> {
        let place = self.place;
        let is_rule = matches!(self.token, Token::Rule(_));
        let name = self.name("a name")?;
        if self.token == Token::Sign("{") {
            return Err(self.place.error("templates are not supported; write the rule out for each use"));
        }
        // A priority chooses among readings, and all of them are followed.
        if self.skip(".")? && !matches!(self.advance()?, Token::Number(_)) {
            return Err(place.error("a priority is a number after the dot"));
        }
        if !self.skip(":")? {
            return Err(self.expected("`:`"));
        }
        let expr = self.either()?;
        self.end_line()?;
        self.define(is_rule, Definition { name, place, expr })
    }

    fn define(&mut self, is_rule: bool, definition: Definition) -> Result<(), GrammarError> {
        if !self.names.insert(definition.name.clone()) {
            let problem = format!("{} is defined twice; join the definitions by `|`", definition.name);
            return Err(definition.place.error(problem));
        }
        match is_rule {
            true => self.source.rules.push(definition),
            false => self.source.terminals.push(definition),
        }
        Ok(())
    }

    fn directive(&mut self, word: &str) -> Result<(), GrammarError> {
        let place = self.place;
        self.advance()?;
        match word {
            "ignore" => {
                let expr = self.either()?;
                self.source.ignored.push((expr, place));
            }
            "import" => self.import(place)?,
            "declare" => {
                return Err(place.error(
                    "%declare names a terminal whose texts only a program knows; define it by a regular expression",
                ));
            }
            _ => {
                let known = "there are %import and %ignore";
                return Err(place.error(format!("%{word} is not supported; {known}")));
            }
        }
        self.end_line()
    }

    fn import(&mut self, place: Place) -> Result<(), GrammarError> {
        let library = match self.advance()? {
            Token::Rule("common") => true,
            Token::Rule(_) | Token::Sign(".") => false,
            _ => return Err(place.error("expected `common.` and a terminal's name after %import")),
        };
        if !library {
            return Err(place.error("only terminals of `common` can be imported: no files are read"));
        }
        if self.skip("(")? {
            loop {
                let place = self.place;
                let name = self.name("a terminal's name")?;
                self.import_as(&name, name.clone(), place)?;
                if !self.skip(",")? {
                    break;
                }
            }
            return match self.skip(")")? {
                true => Ok(()),
                false => Err(self.expected("`,` or `)`")),
            };
        }
        if !self.skip(".")? {
            return Err(self.expected("`.` and a terminal's name"));
        }
        let name = self.name("a terminal's name")?;
        let alias = if self.skip("->")? { self.name("a terminal's name")? } else { name.clone() };
        self.import_as(&name, alias, place)
    }

    fn import_as(&mut self, name: &str, alias: String, place: Place) -> Result<(), GrammarError> {
        let Some(pattern) = common::pattern(name) else {
            let known = common::names().collect::<Vec<_>>().join(", ");
            return Err(place.error(format!("common has no terminal {name}; it has {known}")));
        };
        if !super::syntax::is_terminal(&alias) {
            return Err(place.error(format!("{alias} is no name of a terminal (UPPER CASE)")));
        }
        let literal = Literal::Regex { pattern: pattern.into(), flags: String::new() };
        self.define(false, Definition { name: alias, place, expr: Expr::Literal(literal, place) })
    }

    /// Alternatives.
    fn either(&mut self) -> Result<Expr, GrammarError> {
        let mut options = vec![self.sequence()?];
        while self.skip("|")? {
            self.count()?;
            options.push(self.sequence()?);
        }
        Ok(match options.pop() {
            Some(only) if options.is_empty() => only,
            last => Expr::Either(options.into_iter().chain(last).collect()),
        })
    }

    fn sequence(&mut self) -> Result<Expr, GrammarError> {
        let mut parts = Vec::new();
        while let Some(atom) = self.atom()? {
            self.count()?;
            parts.push(self.repeated(atom)?);
        }
        if self.skip("->")? {
            self.name("the alias's name")?;
        }
        Ok(match parts.pop() {
            Some(only) if parts.is_empty() => only,
            last => Expr::Seq(parts.into_iter().chain(last).collect()),
        })
    }

    fn atom(&mut self) -> Result<Option<Expr>, GrammarError> {
        let place = self.place;
        Ok(Some(match self.token.clone() {
            Token::Rule(name) | Token::Terminal(name) => {
                self.advance()?;
                if self.token == Token::Sign("{") {
                    return Err(place.error("templates are not supported; write the rule out for each use"));
                }
                Expr::Name(name.into(), place)
            }
            Token::Literal(literal) => {
                self.advance()?;
                self.literal_or_range(literal, place)?
            }
            Token::Sign("(") => self.group("(", ")")?,
            Token::Sign("[") => Expr::Repeat { of: Box::new(self.group("[", "]")?), least: 0, most: Some(1) },
            _ => return Ok(None),
        }))
    }

    fn literal_or_range(&mut self, first: Literal, place: Place) -> Result<Expr, GrammarError> {
        if !self.skip("..")? {
            return Ok(Expr::Literal(first, place));
        }
        let last = match self.advance()? {
            Token::Literal(last) => last,
            _ => return Err(place.error("expected a string after `..`")),
        };
        match (single(&first), single(&last)) {
            (Some(first), Some(last)) if first <= last => {
                Ok(Expr::Literal(Literal::Range(first, last), place))
            }
            _ => Err(place.error(format!("the range {first}..{last} is not of two characters in order"))),
        }
    }

    fn group(&mut self, open: &str, close: &str) -> Result<Expr, GrammarError> {
        let place = self.place;
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(place.error(format!(
                "groups are nested deeper than {DEEPEST}; name the inner ones by rules of their own"
            )));
        }
        self.skip(open)?;
        let inner = self.either()?;
        if self.token != Token::Sign(if close == ")" { ")" } else { "]" }) {
            return Err(self.expected(&format!("`{close}` for the `{open}` in line {}", place.line)));
        }
        self.depth -= 1;
        self.advance()?;
        Ok(inner)
    }

    /// An atom with the operator after it.
    fn repeated(&mut self, atom: Expr) -> Result<Expr, GrammarError> {
        let place = self.place;
        let (least, most) = match self.token {
            Token::Sign("?") => (0, Some(1)),
            Token::Sign("*") => (0, None),
            Token::Sign("+") => (1, None),
            Token::Sign("~") => {
                self.advance()?;
                let least = self.repetitions()?;
                let most = if self.skip("..")? { self.repetitions()? } else { least };
                if least > most {
                    return Err(place.error(format!("`~ {least}..{most}` counts down")));
                }
                return Ok(Expr::Repeat { of: Box::new(atom), least, most: Some(most) });
            }
            _ => return Ok(atom),
        };
        self.advance()?;
        if matches!(self.token, Token::Sign("?" | "*" | "+" | "~")) {
            return Err(self
                .place
                .error("two operators follow each other; put parentheses around the first"));
        }
        Ok(Expr::Repeat { of: Box::new(atom), least, most })
    }

    fn repetitions(&mut self) -> Result<u32, GrammarError> {
        let place = self.place;
        match self.advance()? {
            Token::Number(number) if number <= REPETITIONS => Ok(number),
            Token::Number(_) => {
                Err(place
                    .error(format!("at most {REPETITIONS} repetitions can be asked for; use `*` or `+`")))
            }
            other => Err(place.error(format!("expected a number of repetitions, not {}", other.described()))),
        }
    }

    fn count(&mut self) -> Result<(), GrammarError> {
        self.parts += 1;
        match self.parts > PARTS {
            true => Err(self.place.error(format!("the grammar has more than {PARTS} parts"))),
            false => Ok(()),
        }
    }

    /// A rule's or a terminal's name.
    fn name(&mut self, what: &str) -> Result<String, GrammarError> {
        match self.token {
            Token::Rule(name) | Token::Terminal(name) => {
                self.advance()?;
                Ok(name.into())
            }
            _ => Err(self.expected(what)),
        }
    }

    /// The next token, which is then the one before.
    fn advance(&mut self) -> Result<Token<'a>, GrammarError> {
        loop {
            let (token, place) = self.lexer.next()?;
            self.place = place;
            // Within a group lines mean nothing.
            if self.depth == 0 || token != Token::Line {
                return Ok(std::mem::replace(&mut self.token, token));
            }
        }
    }

    fn skip(&mut self, sign: &str) -> Result<bool, GrammarError> {
        let found = matches!(self.token, Token::Sign(next) if next == sign);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn end_line(&mut self) -> Result<(), GrammarError> {
        match self.token {
            Token::Line | Token::End => Ok(()),
            _ => Err(self.expected("the end of the line, or `|` for another alternative")),
        }
    }

    fn expected(&self, what: &str) -> GrammarError {
        self.place.error(format!("expected {what}, not {}", self.token.described()))
    }
}

/// The character of a string that has just one.
fn single(literal: &Literal) -> Option<char> {
    let Literal::Text { text, folds_case: false } = literal else { return None };
    let mut characters = text.chars();
    characters.next().filter(|_| characters.next().is_none())
}
