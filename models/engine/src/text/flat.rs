//! What a template may keep in a namespace: copies of plain data.
//!
//! A namespace is the one thing in a template that outlives a loop's round, so what it holds can
//! grow with every round, or hold itself. Printing, comparing or dropping such a value recurses
//! until the stack ends, which no budget notices. So each `{% set ns.x = ... %}` passes through a
//! filter that copies lists and maps, to a limited depth, and takes nothing that has state.

use std::ops::Range;

use minijinja::machinery::{Span, Token, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind, State};

/// Lists in lists; templates keep a text, a number or a message.
const MAX_DEPTH: usize = 32;

/// The filter's name.
pub(super) const FILTER: &str = "flat";

/// The same template with the filter after every expression that is assigned to a namespace.
pub(super) fn guarded(source: &str, syntax: SyntaxConfig) -> Result<String, Error> {
    let mut tokens = tokenize(source, false, syntax);
    let (mut out, mut copied) = (String::with_capacity(source.len() + 64), 0);
    let piece = |range: Range<usize>| source.get(range).unwrap_or_default();
    while let Some(token) = tokens.next() {
        if !matches!(token?.0, Token::BlockStart) {
            continue;
        }
        if let Some((Token::Ident("set"), _)) = tokens.next().transpose()?
            && let Some(expression) = assigned(&mut tokens)?
        {
            out.extend([piece(copied..expression.start), " (", piece(expression.clone()), ")|", FILTER, " "]);
            copied = expression.end;
        }
    }
    out.push_str(piece(copied..source.len()));
    Ok(out)
}

/// Where the expression lies that the rest of a `set` statement assigns to a namespace.
fn assigned<'s>(
    tokens: &mut impl Iterator<Item = Result<(Token<'s>, Span), Error>>,
) -> Result<Option<Range<usize>>, Error> {
    let (mut in_target, mut is_dotted, mut start) = (true, false, None);
    for token in tokens {
        match token? {
            (Token::Dot, _) => is_dotted |= in_target,
            (Token::Pipe, _) => in_target = false, // the filters of a block, which is a text
            (Token::Assign, span) if in_target => {
                in_target = false;
                start = is_dotted.then_some(span.end_offset as usize);
            }
            (Token::BlockEnd, span) => return Ok(start.map(|start| start..span.start_offset as usize)),
            _ => {}
        }
    }
    Ok(None)
}

/// The filter.
pub(super) fn flat(state: &State<'_, '_>, value: &Value) -> Result<Value, Error> {
    copy(state, value, 0)
}

fn copy(state: &State<'_, '_>, value: &Value, depth: usize) -> Result<Value, Error> {
    state.consume_fuel(1)?;
    let refused = |why: &str| Err(Error::new(ErrorKind::InvalidOperation, why.to_owned()));
    let inner = |value: &Value| copy(state, value, depth + 1);
    match value.kind() {
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable if depth == MAX_DEPTH => {
            refused("a namespace holds no deeper lists")
        }
        ValueKind::Seq | ValueKind::Iterable => {
            value.try_iter()?.map(|item| inner(&item)).collect::<Result<Value, _>>()
        }
        ValueKind::Map => {
            let entries = value.try_iter()?.map(|key| Ok((inner(&key)?, inner(&value.get_item(&key)?)?)));
            Ok(Value::from_pairs(entries.collect::<Result<Vec<_>, Error>>()?))
        }
        ValueKind::Plain => refused("a namespace holds plain data only"),
        _ => Ok(value.clone()),
    }
}
