//! What follows once something has been read.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::acts::Act;
use super::allowed::position_of;
use super::frame::{
    Block, BlockOf, Callee, Due, Entry, FieldTail, Fragment, Frame, Gap, Level, Scope, ScopeContent, Tail,
    TailOf,
};
use super::schema::{Position, TypeId, TypeRef};
use super::{Graphql, OperationKind};
use crate::machine::{After, Read};

impl Graphql {
    /// The state after an act. A text that is not known stands for a new one; then only
    /// separators are read before it has to be known.
    pub(super) fn step(&mut self, frame: &Frame, act: &Act, read: Read<'_>) -> After<Frame> {
        if frame.document.doubtful && *act != Act::Space {
            return self.step_if_new(frame, act, read);
        }
        let name = read.text.map(|text| String::from_utf8_lossy(text).trim_matches([':', '$']).to_owned());
        let mut next = frame.clone();
        next.document.doubtful |=
            read.text.is_none() && matches!(act, Act::Alias | Act::VariableName | Act::Spread);
        let name: Arc<str> = name.unwrap_or_default().into();
        let index = read.outcome as u16;
        next.gap = Gap::Punctuator;
        match act {
            Act::Space => next.gap = Gap::Space,
            Act::Keyword => {
                next.document.kind = OperationKind::ALL[usize::from(index).min(2)];
                next.due = Due::Tail(Tail::of(TailOf::Operation { named: false, declared: false }));
                next.gap = Gap::Word;
            }
            Act::OperationName => {
                next.due = Due::Tail(Tail::of(TailOf::Operation { named: true, declared: false }));
                next.gap = Gap::Word;
            }
            Act::OpenVariables => next.due = Due::Variables,
            Act::VariableName => {
                if frame.document.variables.iter().any(|variable| variable.name == name) {
                    return After::Ways(Vec::new());
                }
                next.due = Due::VariableType(name);
            }
            Act::VariableType => {
                let Due::VariableType(name) = &frame.due else { return After::Ways(Vec::new()) };
                let kinds = self.declarable(&frame.document);
                let Some(kind) = kinds.get(usize::from(index)) else { return After::Ways(Vec::new()) };
                next.document = frame.document.declaring(name.clone(), *kind);
                next.due = Due::Tail(Tail::of(TailOf::Variable { defaulted: false }));
                next.gap = Gap::Word;
            }
            Act::Default => {
                let Due::Tail(tail) = &frame.due else { return After::Ways(Vec::new()) };
                let kind =
                    frame.document.variables.last().map_or(TypeRef::default(), |variable| variable.kind);
                let tail = Tail { of: TailOf::Variable { defaulted: true }, ..tail.clone() };
                next.path = frame.path.push(Level::Default(tail));
                let kind = if self.needs_default(&frame.document) { kind.required() } else { kind };
                next.due = Due::Value(Position::of(kind));
            }
            Act::CloseVariables => {
                next.due = Due::Tail(Tail::of(TailOf::Operation { named: true, declared: true }))
            }
            Act::Directive => self.directive(frame, index, &mut next),
            Act::OpenArguments => open_arguments(frame, &mut next),
            Act::Argument => {
                let Some(level) = frame.path.top() else { return After::Ways(Vec::new()) };
                let (arguments, one_of) = self.arguments_of(level);
                let position = position_of(arguments, one_of, usize::from(index));
                next.path = frame.path.below().push(level.giving(index));
                next.due = Due::Value(position);
            }
            Act::CloseArguments => {
                let Some(Level::Arguments { tail, .. }) = frame.path.top() else {
                    return After::Ways(Vec::new());
                };
                next.due = Due::Tail(tail.clone());
                next.path = frame.path.below();
            }
            Act::Null | Act::Literal(_) | Act::EnumValue(_) => {
                return After::one([valued(frame, *act != Act::Null)]);
            }
            Act::Variable => {
                let mut next = valued(frame, true);
                next.document.unused &= !(1 << index);
                return After::one([next]);
            }
            Act::OpenList(kind) => {
                next.path = frame.path.push(Level::List(kind.item().unwrap_or(*kind)));
                next.due = Due::Items;
            }
            Act::OpenObject(input) => {
                next.path = frame.path.push(Level::Object { input: *input, given: BTreeSet::new() });
                next.due = Due::Members;
            }
            Act::CloseList | Act::CloseObject => {
                let below = Frame { path: frame.path.below(), ..frame.clone() };
                return After::one([valued(&below, true)]);
            }
            Act::Field => self.field(frame, index, &mut next),
            Act::Alias => {
                let taken = frame.block().is_some_and(|block| block.scope.names.contains_key(&name));
                if taken {
                    return After::Ways(Vec::new());
                }
                next.due = Due::AliasedField(name);
            }
            Act::Dots => next.due = Due::Spread,
            Act::On => next.due = Due::Condition,
            Act::Condition => {
                let kinds = self.condition_kinds(frame);
                let Some(kind) = kinds.get(usize::from(index)) else { return After::Ways(Vec::new()) };
                let of = match &frame.due {
                    Due::FragmentType(name) => TailOf::Fragment(name.clone(), *kind),
                    _ => TailOf::Inline(*kind),
                };
                next.due = Due::Tail(Tail::of(of));
                next.gap = Gap::Word;
            }
            Act::Spread => {
                if &*name == "on" || !name.is_empty() && !self.may_spread(frame, &name) {
                    return After::Ways(Vec::new());
                }
                spread(frame, &name, &mut next);
            }
            Act::KnownSpread => {
                let names = self.known_spreads(frame);
                let Some(name) = names.get(usize::from(index)) else { return After::Ways(Vec::new()) };
                spread(frame, name, &mut next);
            }
            Act::OpenBlock => return self.open_block(frame, next),
            Act::CloseBlock => return close_block(frame, next),
            Act::FragmentWord => next.due = Due::FragmentName,
            Act::FragmentName => {
                let Some((name, _)) = frame.document.pending().nth(usize::from(index)) else {
                    return After::Ways(Vec::new());
                };
                next.due = Due::FragmentOn(name.clone());
            }
            Act::FragmentOn => {
                let Due::FragmentOn(name) = &frame.due else { return After::Ways(Vec::new()) };
                next.due = Due::FragmentType(name.clone());
            }
        }
        After::one([next])
    }

    /// The same after a name that is not known: as if it were a new one.
    fn step_if_new(&mut self, frame: &Frame, act: &Act, read: Read<'_>) -> After<Frame> {
        let mut known = frame.clone();
        known.document.doubtful = false;
        let After::Ways(mut ways) = self.step(&known, act, read) else { return After::Unknown };
        ways.iter_mut().flatten().for_each(|frame| frame.document.doubtful = true);
        After::IfNew(ways)
    }

    fn directive(&self, frame: &Frame, index: u16, next: &mut Frame) {
        let mut tail = match &frame.due {
            Due::Tail(tail) => tail.clone(),
            // `... @include(if: true) {`: on the type that is around it.
            _ => Tail::of(TailOf::Inline(frame.block().map_or(0, |block| block.kind))),
        };
        let directive = &self.schema.directives[usize::from(index)];
        if !directive.repeatable {
            tail.directives.insert(index);
        }
        tail.directed = true;
        let callee = Callee::Directive(index);
        let takes = directive.arguments.iter().any(|argument| !self.hides(callee, argument));
        tail.callee = takes.then_some(callee);
        next.due = Due::Tail(tail);
        next.gap = Gap::Word;
    }

    fn field(&self, frame: &Frame, index: u16, next: &mut Frame) {
        let Some(block) = frame.block() else { return };
        let field = &self.schema.fields(block.kind)[usize::from(index)];
        let composite = self.schema.is_composite(field.kind.name);
        let (response, aliased) = match &frame.due {
            Due::AliasedField(alias) => (alias.clone(), true),
            _ => (field.name.clone(), false),
        };
        let repeats = block.scope.names.contains_key(&response);
        next.path = frame.path.with_block(|block| {
            block.empty = false;
            if !aliased {
                block.written.insert(index);
            }
            if !repeats {
                // What is selected of a composite one is known when its selections are closed.
                let entry = if aliased || composite { Entry::Alone } else { Entry::Leaf(field.kind) };
                block.scope = block.scope.with(|scope| {
                    scope.names.insert(response.clone(), entry);
                });
            }
        });
        let takes = !repeats && !field.arguments.is_empty();
        let tail = FieldTail { parent: block.kind, field: index, response, repeats, merges: !aliased };
        let callee = takes.then_some(Callee::Field(block.kind, index));
        next.due = Due::Tail(Tail { callee, ..Tail::of(TailOf::Field(tail)) });
        next.gap = Gap::Word;
    }

    fn open_block(&self, frame: &Frame, mut next: Frame) -> After<Frame> {
        let empty = Scope::new(ScopeContent::default());
        let around = frame.block();
        let inline = |kind: TypeId| {
            let scope = around.map_or(empty.clone(), |block| block.scope.clone());
            (BlockOf::Inline, kind, scope)
        };
        let mut depth = frame.path.depth() + 1;
        let (of, kind, scope) = match &frame.due {
            Due::Start => (BlockOf::Operation, self.root(&frame.document), empty),
            Due::Spread => inline(around.map_or(0, |block| block.kind)),
            Due::Tail(Tail { of, .. }) => match of {
                TailOf::Inline(kind) => inline(*kind),
                TailOf::Field(field) => {
                    let known = around.and_then(|block| block.scope.names.get(&field.response));
                    let scope = match known {
                        Some(Entry::Node(_, scope)) if field.repeats => scope.clone(),
                        _ => empty,
                    };
                    let kind = self.field_kind(field);
                    let merges = field.merges.then_some(kind);
                    (BlockOf::Field { response: field.response.clone(), merges }, kind.name, scope)
                }
                TailOf::Fragment(name, kind) => {
                    let Some(Fragment::Pending(pending)) = frame.document.fragments.get(name) else {
                        return After::Ways(Vec::new());
                    };
                    depth = pending.depth;
                    let names = pending.names.clone();
                    let scope = Scope::new(ScopeContent { names, spreads: BTreeSet::new() });
                    // From here on it is spread no more.
                    next.document = frame.document.defining(name);
                    (BlockOf::Fragment(pending.beside.clone()), *kind, scope)
                }
                _ => (BlockOf::Operation, self.root(&frame.document), empty),
            },
            _ => return After::Ways(Vec::new()),
        };
        let block = Block { of, kind, scope, written: BTreeSet::new(), empty: true };
        next.path = frame.path.push_at(depth, Level::Block(block));
        next.due = Due::Selection;
        After::one([next])
    }
}

fn open_arguments(frame: &Frame, next: &mut Frame) {
    let Due::Tail(tail) = &frame.due else { return };
    let Some(of) = tail.callee else { return };
    let mut tail = Tail { callee: None, ..tail.clone() };
    if let (Callee::Field(..), TailOf::Field(field)) = (of, &mut tail.of) {
        // With arguments nothing is merged with it.
        field.merges = false;
        let response = field.response.clone();
        next.path = frame.path.with_block(|block| {
            block.scope = block.scope.with(|scope| {
                scope.names.insert(response, Entry::Alone);
            });
        });
    }
    next.path = next.path.push(Level::Arguments { of, given: BTreeSet::new(), tail });
    next.due = Due::Arguments;
}

fn spread(frame: &Frame, name: &Arc<str>, next: &mut Frame) {
    let Some(block) = frame.block() else { return };
    let doubtful = next.document.doubtful;
    next.document = frame.document.spreading(name, block.kind, frame.path.depth() + 1);
    next.document.doubtful = doubtful;
    next.path = frame.path.with_block(|block| {
        block.empty = false;
        block.scope = block.scope.with(|scope| {
            scope.spreads.insert(name.clone());
        });
    });
    next.due = Due::Tail(Tail::of(TailOf::Spread));
    next.gap = Gap::Word;
}

/// The state after a value.
fn valued(frame: &Frame, not_null: bool) -> Frame {
    let mut next = frame.clone();
    next.gap = Gap::Word;
    next.due = match frame.path.top() {
        Some(Level::List(_)) => Due::Items,
        Some(Level::Object { .. }) => Due::Members,
        Some(Level::Default(tail)) => {
            next.path = frame.path.below();
            next.document = frame.document.with_default(not_null);
            Due::Tail(tail.clone())
        }
        _ => Due::Arguments,
    };
    next
}

fn close_block(frame: &Frame, mut next: Frame) -> After<Frame> {
    let Some(block) = frame.block() else { return After::Ways(Vec::new()) };
    next.path = frame.path.below();
    next.due = Due::Selection;
    match &block.of {
        BlockOf::Inline => {
            next.path = next.path.with_block(|around| {
                around.empty = false;
                around.scope = block.scope.clone();
            });
            return After::one([next]);
        }
        BlockOf::Field { response, merges } => {
            next.document = frame.document.settled(&block.scope, &BTreeSet::new());
            next.path = next.path.with_block(|around| {
                let entry = match merges {
                    Some(kind) => Entry::Node(*kind, block.scope.clone()),
                    None => Entry::Alone,
                };
                around.scope = around.scope.with(|scope| {
                    scope.names.insert(response.clone(), entry);
                });
            });
            return After::one([next]);
        }
        BlockOf::Operation => next.document = frame.document.settled(&block.scope, &BTreeSet::new()),
        BlockOf::Fragment(beside) => next.document = frame.document.settled(&block.scope, beside),
    }
    if next.document.pending().next().is_none() {
        return After::nothing();
    }
    next.due = Due::FragmentWord;
    After::one([next])
}
