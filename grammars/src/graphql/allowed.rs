//! What the rules of validation allow where a text is.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::frame::{Block, BlockOf, Callee, Document, Due, Entry, FieldTail, Frame, Level, TailOf};
use super::hosts::member;
use super::lexemes::Key;
use super::schema::{Argument, Position, TypeId, TypeRef, TypeSort};
use super::{Graphql, OperationKind};
use crate::lexeme::{Lexeme, Outcomes};

/// Selection sets that are open at most, those around a fragment included.
pub(super) const BLOCKS: u32 = 32;
/// Anything that is open at most: the selection sets, and the levels of a value.
pub(super) const LEVELS: u32 = 72;
/// Fragments at most.
pub(super) const FRAGMENTS: usize = 24;

impl Graphql {
    /// Operations that a document may have.
    pub(super) fn operations(&self) -> Outcomes {
        let mut allowed = Outcomes::none(3);
        let wanted = |kind: &OperationKind| self.operation.is_none_or(|operation| operation == *kind);
        for kind in OperationKind::ALL.into_iter().filter(wanted) {
            if self.schema.roots[kind as usize].is_some() {
                allowed.insert(kind as u32);
            }
        }
        allowed
    }

    pub(super) fn root(&self, document: &Document) -> TypeId {
        self.schema.roots[document.kind as usize].unwrap_or_default()
    }

    pub(super) fn field_kind(&self, tail: &FieldTail) -> TypeRef {
        self.schema.fields(tail.parent)[usize::from(tail.field)].kind
    }

    pub(super) fn arguments(&self, callee: Callee) -> &[Argument] {
        self.schema.arguments(callee)
    }

    /// What the innermost level takes by name.
    pub(super) fn arguments_of(&self, level: &Level) -> (&[Argument], bool) {
        match level {
            Level::Arguments { of, .. } => (self.arguments(*of), false),
            Level::Object { input, .. } => match &self.schema.types[*input as usize].sort {
                TypeSort::Input { fields, one_of, .. } => (fields, *one_of),
                _ => (&[], false),
            },
            _ => (&[], false),
        }
    }

    /// Arguments that are not given yet.
    pub(super) fn open_arguments(&self, frame: &Frame) -> Outcomes {
        let Some(level) = frame.path.top() else { return Outcomes::default() };
        let (arguments, one_of) = self.arguments_of(level);
        let mut open = Outcomes::none(arguments.len() as u32);
        let given = level.given();
        if one_of && !given.is_empty() {
            return open;
        }
        let hidden =
            |argument: &Argument| matches!(level, Level::Arguments { of, .. } if self.hides(*of, argument));
        for (index, argument) in arguments.iter().enumerate() {
            if !given.contains(&(index as u16)) && !hidden(argument) {
                open.insert(index as u32);
            }
        }
        open
    }

    /// Labels of deferred parts must differ, which is not kept track of: they are left out.
    pub(super) fn hides(&self, callee: Callee, argument: &Argument) -> bool {
        let Callee::Directive(directive) = callee else { return false };
        is_incremental(&self.schema.directives[usize::from(directive)].name) && &*argument.name == "label"
    }

    pub(super) fn arguments_suffice(&mut self, frame: &Frame) -> bool {
        let Some(level) = frame.path.top() else { return false };
        let (arguments, one_of) = self.arguments_of(level);
        let given = level.given();
        let required = |(index, argument): (usize, &Argument)| {
            argument.position.is_required() && !given.contains(&(index as u16))
        };
        if arguments.iter().enumerate().any(required) {
            return false;
        }
        match level {
            // Empty parentheses are none of the language.
            Level::Arguments { of: Callee::Field(kind, field), given, .. } => {
                !given.is_empty()
                    && (!frame.in_subscription_arguments()
                        || self.can_use_all(
                            &frame.document,
                            &frame.path.below(),
                            Some((*kind, *field, None)),
                        ))
            }
            Level::Arguments { given, .. } => !given.is_empty(),
            _ => !one_of || !given.is_empty(),
        }
    }

    /// Whether what follows is enough for all variables where the arguments are left out.
    pub(super) fn may_skip_arguments(&mut self, frame: &Frame, callee: Callee) -> bool {
        match callee {
            Callee::Field(kind, field) if frame.in_subscription_root() => {
                self.can_use_all(&frame.document, &frame.path, Some((kind, field, None)))
            }
            _ => true,
        }
    }

    pub(super) fn argument_lexeme(&mut self, frame: &Frame) -> Arc<Lexeme> {
        let names =
            |arguments: &[Argument]| arguments.iter().map(|argument| format!("{}:", argument.name)).collect();
        let schema = self.schema.clone();
        match frame.path.top() {
            Some(Level::Object { input, .. }) => {
                self.lexemes.get(Key::Members(*input), || match &schema.types[*input as usize].sort {
                    TypeSort::Input { fields, .. } => names(fields),
                    _ => Vec::new(),
                })
            }
            Some(Level::Arguments { of, .. }) => {
                self.lexemes.get(Key::Arguments(*of), || names(schema.arguments(*of)))
            }
            _ => self.lexemes.punctuator(")"),
        }
    }

    /// Fields that may be selected: in a selection, those whose response name is free or that
    /// merge with what is there; after an alias, all.
    pub(super) fn fields(&mut self, frame: &Frame) -> Outcomes {
        let Some(Level::Block(block)) = frame.path.top() else { return Outcomes::default() };
        let aliased = matches!(frame.due, Due::AliasedField(_));
        let schema = self.schema.clone();
        let fields = schema.fields(block.kind);
        let deep = frame.path.depth() >= BLOCKS;
        let single = frame.in_subscription_root();
        let mut allowed = Outcomes::none(fields.len() as u32);
        for (index, field) in fields.iter().enumerate() {
            if deep && schema.is_composite(field.kind.name) {
                continue;
            }
            let free = aliased
                || !block.written.contains(&(index as u16))
                    && match block.scope.names.get(&field.name) {
                        None => true,
                        Some(Entry::Alone) => false,
                        Some(Entry::Leaf(kind) | Entry::Node(kind, _)) => {
                            *kind == field.kind
                                && !field.arguments.iter().any(|argument| argument.position.is_required())
                        }
                    };
            // The root of a subscription is one field that is not of introspection.
            let fits = !single
                || index + 1 < fields.len()
                    && self.can_use_all(
                        &frame.document,
                        &frame.path,
                        Some((block.kind, index as u16, Some(&BTreeSet::new()))),
                    );
            if free && fits {
                allowed.insert(index as u32);
            }
        }
        allowed
    }

    pub(super) fn has_directives(&self, frame: &Frame) -> bool {
        self.directives(frame).iter().next().is_some()
    }

    /// Directives that may stand here.
    pub(super) fn directives(&self, frame: &Frame) -> Outcomes {
        let none = BTreeSet::new();
        let (location, used) = match &frame.due {
            Due::Spread => ("INLINE_FRAGMENT", &none),
            Due::Tail(tail) => {
                let location = match tail.of {
                    TailOf::Operation { .. } => {
                        ["QUERY", "MUTATION", "SUBSCRIPTION"][frame.document.kind as usize]
                    }
                    TailOf::Variable { .. } => "VARIABLE_DEFINITION",
                    TailOf::Field(_) => "FIELD",
                    TailOf::Spread => "FRAGMENT_SPREAD",
                    TailOf::Inline(_) => "INLINE_FRAGMENT",
                    TailOf::Fragment(..) => "FRAGMENT_DEFINITION",
                };
                (location, &tail.directives)
            }
            _ => return Outcomes::default(),
        };
        let root = frame.in_subscription_root();
        let mut allowed = Outcomes::none(self.schema.directives.len() as u32);
        for (index, directive) in self.schema.directives.iter().enumerate() {
            let name = &*directive.name;
            let fits = !used.contains(&(index as u16))
                && directive.locations.iter().any(|known| &**known == location)
                && !(root && matches!(name, "skip" | "include"))
                && !(is_incremental(name)
                    && (frame.document.kind != OperationKind::Query
                        || directive
                            .arguments
                            .iter()
                            .any(|argument| &*argument.name == "label" && argument.position.is_required())));
            if fits {
                allowed.insert(index as u32);
            }
        }
        allowed
    }

    pub(super) fn may_close(&mut self, frame: &Frame, block: &Block) -> bool {
        if block.empty {
            return false;
        }
        match &block.of {
            _ if frame.document.unused == 0 => true,
            BlockOf::Operation => match frame.document.kind {
                OperationKind::Subscription => true,
                _ => self.can_use_later(&frame.document),
            },
            BlockOf::Fragment(_) => self.can_use_later(&frame.document),
            BlockOf::Field { .. }
                if frame.document.kind == OperationKind::Subscription && frame.path.depth() == 2 =>
            {
                frame.in_fragment() || self.can_use_later(&frame.document)
            }
            _ => true,
        }
    }
}

/// `@defer` and `@stream`, where a schema has them.
fn is_incremental(name: &str) -> bool {
    matches!(name, "defer" | "stream")
}

pub(super) fn texts(names: &[Arc<str>]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

/// Where a member of an input type or an argument is due.
pub(super) fn position_of(arguments: &[Argument], one_of: bool, index: usize) -> Position {
    member(&arguments[index], one_of)
}
