//! Definitions (GraphQL specification, section 3).

use super::lex::{Lexer, Token};
use super::{DirectiveDefinition, Document, FieldDefinition, Sort, TypeDefinition, TypeText};
use crate::GrammarError;

type Parsed<T> = Result<T, GrammarError>;

/// Lists within lists; no schema in use has more than three.
const LISTS: u8 = 15;

/// Reads a whole schema.
///
/// # Errors
/// [`GrammarError::Graphql`] with the line.
pub(in crate::graphql) fn parse(text: &str) -> Parsed<Document<'_>> {
    let mut parser = Parser { lexer: Lexer::new(text), next: Token::End, line: 1 };
    parser.advance()?;
    let mut document = Document::default();
    while parser.next != Token::End {
        parser.definition(&mut document)?;
    }
    Ok(document)
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    next: Token<'a>,
    /// Where `next` is.
    line: u32,
}

impl<'a> Parser<'a> {
    /// The next token, which is thereby behind.
    fn advance(&mut self) -> Parsed<Token<'a>> {
        let following = self.lexer.next()?;
        self.line = self.lexer.line;
        Ok(std::mem::replace(&mut self.next, following))
    }

    fn error<T>(&self, wanted: &str) -> Parsed<T> {
        let found = match self.next {
            Token::Punctuator(byte) => format!("`{}`", char::from(byte)),
            Token::Spread => "`...`".into(),
            Token::Name(name) => format!("`{name}`"),
            Token::Number => "a number".into(),
            Token::Text => "a string".into(),
            Token::End => "the end".into(),
        };
        self.lexer.error(format!("{found} where {wanted} was expected"))
    }

    fn is(&self, punctuator: u8) -> bool {
        self.next == Token::Punctuator(punctuator)
    }

    /// Takes a punctuator if it is next.
    fn take(&mut self, punctuator: u8) -> Parsed<bool> {
        let there = self.is(punctuator);
        if there {
            self.advance()?;
        }
        Ok(there)
    }

    fn take_word(&mut self, word: &str) -> Parsed<bool> {
        let there = self.next == Token::Name(word);
        if there {
            self.advance()?;
        }
        Ok(there)
    }

    fn expect(&mut self, punctuator: u8) -> Parsed<()> {
        if self.take(punctuator)? { Ok(()) } else { self.error(&format!("`{}`", char::from(punctuator))) }
    }

    fn name(&mut self) -> Parsed<&'a str> {
        let Token::Name(name) = self.next else { return self.error("a name") };
        self.advance()?;
        Ok(name)
    }

    fn description(&mut self) -> Parsed<()> {
        if self.next == Token::Text {
            self.advance()?;
        }
        Ok(())
    }

    fn definition(&mut self, document: &mut Document<'a>) -> Parsed<()> {
        self.description()?;
        let extends = self.take_word("extend")?;
        let line = self.line;
        let sort = match self.next {
            Token::Name("scalar") => Sort::Scalar,
            Token::Name("type") => Sort::Object,
            Token::Name("interface") => Sort::Interface,
            Token::Name("union") => Sort::Union,
            Token::Name("enum") => Sort::Enum,
            Token::Name("input") => Sort::Input,
            Token::Name("schema") => return self.schema(document),
            Token::Name("directive") if !extends => return self.directive_definition(document),
            _ => return self.error("a definition of the type system"),
        };
        self.advance()?;
        let name = self.name()?;
        let mut parts = Vec::new();
        if matches!(sort, Sort::Object | Sort::Interface) && self.take_word("implements")? {
            parts = self.separated(b'&')?;
        }
        let one_of = self.directives()?;
        if sort == Sort::Union && self.take(b'=')? {
            parts = self.separated(b'|')?;
        }
        let (mut fields, mut values) = (Vec::new(), Vec::new());
        match sort {
            Sort::Object | Sort::Interface => fields = self.fields(b'{', b'}', true)?,
            Sort::Input => fields = self.fields(b'{', b'}', false)?,
            Sort::Enum => values = self.values()?,
            Sort::Scalar | Sort::Union => {}
        }
        document.types.push(TypeDefinition { sort, name, line, extends, parts, fields, values, one_of });
        Ok(())
    }

    /// `A & B`, with or without the separator in front.
    fn separated(&mut self, separator: u8) -> Parsed<Vec<&'a str>> {
        self.take(separator)?;
        let mut names = vec![self.name()?];
        while self.take(separator)? {
            names.push(self.name()?);
        }
        Ok(names)
    }

    fn schema(&mut self, document: &mut Document<'a>) -> Parsed<()> {
        self.advance()?;
        document.has_schema = true;
        self.directives()?;
        if self.take(b'{')? {
            while !self.take(b'}')? {
                let line = self.line;
                let operation = self.name()?;
                self.expect(b':')?;
                document.roots.push((operation, self.name()?, line));
            }
        }
        Ok(())
    }

    fn directive_definition(&mut self, document: &mut Document<'a>) -> Parsed<()> {
        self.advance()?;
        self.expect(b'@')?;
        let line = self.line;
        let name = self.name()?;
        let arguments = self.fields(b'(', b')', false)?;
        let repeatable = self.take_word("repeatable")?;
        if !self.take_word("on")? {
            return self.error("`on`");
        }
        let locations = self.separated(b'|')?;
        document.directives.push(DirectiveDefinition { name, line, arguments, repeatable, locations });
        Ok(())
    }

    /// Fields, input fields or arguments between brackets; none where there are no brackets.
    fn fields(&mut self, open: u8, close: u8, output: bool) -> Parsed<Vec<FieldDefinition<'a>>> {
        let mut fields = Vec::new();
        if !self.take(open)? {
            return Ok(fields);
        }
        while !self.take(close)? {
            self.description()?;
            let line = self.line;
            let name = self.name()?;
            // Arguments have none themselves, so this is as deep as it gets.
            let arguments = if output { self.fields(b'(', b')', false)? } else { Vec::new() };
            self.expect(b':')?;
            let kind = self.type_text()?;
            let has_default = !output && self.take(b'=')?;
            if has_default {
                self.skip_value()?;
            }
            self.directives()?;
            fields.push(FieldDefinition { name, line, kind, has_default, arguments });
        }
        Ok(fields)
    }

    fn values(&mut self) -> Parsed<Vec<&'a str>> {
        let mut values = Vec::new();
        if self.take(b'{')? {
            while !self.take(b'}')? {
                self.description()?;
                values.push(self.name()?);
                self.directives()?;
            }
        }
        Ok(values)
    }

    fn type_text(&mut self) -> Parsed<TypeText<'a>> {
        let mut lists = 0;
        while self.take(b'[')? {
            lists += 1;
            if lists > LISTS {
                return self.lexer.error(format!("lists are nested more than {LISTS} deep"));
            }
        }
        let name = self.name()?;
        let mut required = u16::from(self.take(b'!')?) << lists;
        for level in (0..lists).rev() {
            self.expect(b']')?;
            required |= u16::from(self.take(b'!')?) << level;
        }
        Ok(TypeText { name, lists, required })
    }

    /// Applied directives; whether `@oneOf` is among them.
    fn directives(&mut self) -> Parsed<bool> {
        let mut one_of = false;
        while self.take(b'@')? {
            one_of |= self.name()? == "oneOf";
            if self.is(b'(') {
                self.skip_value()?;
            }
        }
        Ok(one_of)
    }

    /// A value, or whatever is between brackets.
    fn skip_value(&mut self) -> Parsed<()> {
        let mut open: Vec<u8> = Vec::new();
        loop {
            match self.next {
                Token::Punctuator(byte @ (b'(' | b'[' | b'{')) => open.push(byte),
                Token::Punctuator(byte @ (b')' | b']' | b'}')) => {
                    let matching = match byte {
                        b')' => b'(',
                        b']' => b'[',
                        _ => b'{',
                    };
                    if open.pop() != Some(matching) {
                        return self.error("a value");
                    }
                }
                Token::Name(_) | Token::Number | Token::Text => {}
                Token::Punctuator(b':' | b'$') if !open.is_empty() => {}
                _ => return self.error("a value"),
            }
            self.advance()?;
            if open.is_empty() {
                return Ok(());
            }
        }
    }
}
