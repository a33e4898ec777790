//! The filters of `guard`.

use minijinja::value::{Value, ValueKind, ValueOrKwargs};
use minijinja::{Error, ErrorKind, State};

/// Lists in lists in a namespace; templates keep a text, a number or a message.
const MAX_DEPTH: usize = 32;
/// Elements, or 16 bytes of text each, that are walked for one instruction's price.
const STEPS: usize = 4;

/// Walks over a value as an instruction might, and pays for it.
pub(super) fn paid(state: &State<'_, '_>, value: ValueOrKwargs) -> Result<Value, Error> {
    let value = value.into_value();
    let mut steps = 0;
    let mut open = if is_container(&value) { vec![value.clone()] } else { vec![] };
    while let Some(container) = open.pop() {
        let is_map = container.kind() == ValueKind::Map;
        for item in container.try_iter().into_iter().flatten() {
            let held = if is_map { container.get_item(&item)? } else { Value::UNDEFINED };
            for value in [item, held] {
                steps += 1 + value.as_str().map_or(0, |text| text.len() / 16);
                open.extend(Some(value).filter(is_container));
            }
            state.consume_fuel((steps / STEPS) as u64)?;
            steps %= STEPS;
        }
    }
    Ok(value)
}

fn is_container(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::Iterable)
}

/// A list in place of something that makes its elements when it is asked.
pub(super) fn listed(state: &State<'_, '_>, value: &Value) -> Result<Value, Error> {
    if value.kind() != ValueKind::Iterable {
        return Ok(value.clone());
    }
    let paid = |item| state.consume_fuel(1).map(|()| item);
    value.try_iter()?.map(paid).collect()
}

/// What a template may keep in a namespace: copies of plain data.
///
/// A namespace is the one thing in a template that outlives a loop's round, so what it holds can
/// grow with every round, or hold itself. Printing, comparing or dropping such a value recurses
/// until the stack ends, which no budget notices. So lists and maps are copied, to a limited depth,
/// and what has state is refused.
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
