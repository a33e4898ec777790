//! What the rules of validation allow where a text is.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::frame::{
    Block, BlockOf, Callee, Document, Due, Entry, FieldTail, Fragment, Frame, Level, Path, Pending, TailOf,
};
use super::hosts::{Distance, FAR, member};
use super::lexemes::Key;
use super::schema::{Argument, Position, TypeId, TypeRef, TypeSort};
use super::{Graphql, OperationKind};
use crate::lexeme::{Lexeme, Outcomes};

/// Selection sets that are open at most, those around a fragment included.
pub(super) const BLOCKS: u32 = 32;
/// Anything that is open at most: the selection sets, and the levels of a value.
pub(super) const LEVELS: u32 = 72;
/// Variables at most: unused ones are bits of a word.
const VARIABLES: usize = 24;
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

    /// Types of variables.
    pub(super) fn declarable(&mut self, document: &Document) -> Arc<Vec<TypeRef>> {
        let root = self.root(document);
        self.hosts.declarable(&self.schema, root)
    }

    /// Those of which one more can be used. What can be used once can be used again under an
    /// alias, but for the only field of a subscription.
    pub(super) fn declarable_now(&mut self, document: &Document) -> Outcomes {
        let kinds = self.declarable(document);
        if document.kind != OperationKind::Subscription {
            return Outcomes::all(kinds.len() as u32);
        }
        let mut allowed = Outcomes::none(kinds.len() as u32);
        for (index, kind) in kinds.iter().enumerate() {
            let more = document.declaring("".into(), *kind).with_default(true);
            if self.can_use_all(&more, &Path::EMPTY, None) {
                allowed.insert(index as u32);
            }
        }
        allowed
    }

    pub(super) fn may_declare(&mut self, document: &Document) -> bool {
        if document.variables.len() >= VARIABLES {
            return false;
        }
        self.declarable_now(document).iter().next().is_some()
    }

    /// Whether the variable declared last can be used only if it has a default that is not null.
    pub(super) fn needs_default(&mut self, document: &Document) -> bool {
        !self.can_use_all(document, &Path::EMPTY, None)
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

    /// Variables, by index, that a position takes.
    pub(super) fn usable(&mut self, frame: &Frame, position: Position) -> Vec<u32> {
        let variables = frame.document.variables.clone();
        let takes = variables
            .iter()
            .enumerate()
            .filter(|(_, variable)| position.takes(variable.kind, variable.has_default));
        let takes: Vec<u32> = takes.map(|(index, _)| index as u32).collect();
        takes.into_iter().filter(|index| self.may_use(frame, *index)).collect()
    }

    /// At the root of a subscription the arguments that are left must do for the variables that
    /// are left.
    pub(super) fn may_use(&mut self, frame: &Frame, variable: u32) -> bool {
        let Some((kind, field, given)) = frame.subscription_argument() else { return true };
        let mut document = frame.document.clone();
        document.unused &= !(1 << variable);
        self.can_use_all(&document, &frame.path.below(), Some((kind, field, Some(&given))))
    }

    pub(super) fn may_be_literal(&mut self, frame: &Frame) -> bool {
        let Some((kind, field, given)) = frame.subscription_argument() else { return true };
        self.can_use_all(&frame.document, &frame.path.below(), Some((kind, field, Some(&given))))
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

    /// Whether some fragment that is still to be defined can use all variables.
    pub(super) fn can_use_later(&mut self, document: &Document) -> bool {
        let pending: Vec<Pending> = document.pending().map(|(_, pending)| pending.clone()).collect();
        pending.iter().any(|pending| {
            let types = self.common(&pending.parents);
            types.iter().any(|kind| self.can_use_within(document, *kind, pending.depth))
        })
    }

    /// Whether all variables that are left can be used in a selection set of a type.
    pub(super) fn can_use_within(&mut self, document: &Document, kind: TypeId, depth: u32) -> bool {
        document
            .unused()
            .all(|variable| is_within(self.hosts.table(&self.schema, variable).of_type(kind), depth))
    }

    /// Whether all variables can still be used, seen from a path; at the root of a subscription
    /// with the field that is being read and what of its arguments is given (`None`: they are
    /// closed).
    pub(super) fn can_use_all(
        &mut self,
        document: &Document,
        path: &Path,
        field: Option<(TypeId, u16, Option<&BTreeSet<u16>>)>,
    ) -> bool {
        if document.unused == 0 {
            return true;
        }
        let root = self.root(document);
        if let Some((kind, depth)) = path.fragment() {
            return self.can_use_within(document, kind, depth) || self.can_use_later(document);
        }
        if document.kind != OperationKind::Subscription {
            return self.can_use_within(document, root, 1);
        }
        let schema = self.schema.clone();
        match field {
            Some((kind, field, given)) => self.can_use_in_field(document, kind, field, given),
            None => (0..schema.fields(root).len() as u16 - 1)
                .any(|field| self.can_use_in_field(document, root, field, Some(&BTreeSet::new()))),
        }
    }

    /// Whether the only field of a subscription has places for all variables: within its
    /// selections are as many as wanted, of its arguments each takes one.
    pub(super) fn can_use_in_field(
        &mut self,
        document: &Document,
        kind: TypeId,
        field: u16,
        given: Option<&BTreeSet<u16>>,
    ) -> bool {
        let schema = self.schema.clone();
        let field = &schema.fields(kind)[usize::from(field)];
        let mut rest = Vec::new();
        for variable in document.unused() {
            if self.hosts.table(&schema, variable).of_type(field.kind.name) == FAR {
                rest.push(variable);
            }
        }
        let open = |index: &usize| given.is_some_and(|given| !given.contains(&(*index as u16)));
        let open: Vec<&Argument> = field
            .arguments
            .iter()
            .enumerate()
            .filter(|(index, _)| open(index))
            .map(|(_, argument)| argument)
            .collect();
        let mut taken: Vec<Option<usize>> = vec![None; open.len()];
        (0..rest.len()).all(|variable| {
            let takes = |variable: usize, argument: usize| {
                open[argument].position.takes(rest[variable].kind, rest[variable].has_default)
            };
            place(variable, &takes, &mut taken, &mut vec![false; open.len()])
        })
    }

    /// Composite types that overlap with all of some.
    pub(super) fn common(&mut self, parents: &BTreeSet<TypeId>) -> Arc<Vec<TypeId>> {
        if let Some(known) = self.common.get(parents) {
            return known.clone();
        }
        let kinds = (0..self.schema.types.len() as TypeId).filter(|kind| self.schema.is_composite(*kind));
        let fits = |kind: &TypeId| parents.iter().all(|parent| self.schema.overlap(*kind, *parent));
        let found = Arc::new(kinds.filter(fits).collect::<Vec<_>>());
        if self.common.len() >= COMMON {
            self.common.clear();
        }
        self.common.insert(parents.clone(), found.clone());
        found
    }

    /// Types that a fragment may be on here.
    pub(super) fn conditions(&mut self, frame: &Frame) -> (Arc<Lexeme>, Outcomes) {
        let kinds = self.condition_kinds(frame);
        let words: Vec<_> = kinds.iter().map(|kind| self.schema.name(*kind).to_string()).collect();
        let mut allowed = Outcomes::all(words.len() as u32);
        if let Due::FragmentType(name) = &frame.due
            && frame.document.unused != 0
        {
            let depth = frame.document.pending_depth(name);
            let without = frame.document.defining(name);
            if !self.can_use_later(&without) {
                allowed = Outcomes::none(words.len() as u32);
                for (index, kind) in kinds.iter().enumerate() {
                    if self.can_use_within(&frame.document, *kind, depth) {
                        allowed.insert(index as u32);
                    }
                }
            }
        }
        (self.lexemes.words(&words), allowed)
    }

    pub(super) fn condition_kinds(&mut self, frame: &Frame) -> Arc<Vec<TypeId>> {
        let parents = match (&frame.due, frame.path.top()) {
            (Due::FragmentType(name), _) => match frame.document.fragments.get(name) {
                Some(Fragment::Pending(pending)) => pending.parents.clone(),
                _ => BTreeSet::new(),
            },
            (_, Some(Level::Block(block))) => BTreeSet::from([block.kind]),
            _ => BTreeSet::new(),
        };
        self.common(&parents)
    }

    /// Fragments that were spread before and may be spread here too.
    pub(super) fn known_spreads(&mut self, frame: &Frame) -> Vec<Arc<str>> {
        let names: Vec<Arc<str>> = frame.document.pending().map(|(name, _)| name.clone()).collect();
        names.into_iter().filter(|name| self.may_spread(frame, name)).collect()
    }

    pub(super) fn may_spread(&mut self, frame: &Frame, name: &Arc<str>) -> bool {
        let Some(Level::Block(block)) = frame.path.top() else { return false };
        if block.scope.spreads.contains(name) {
            return false;
        }
        let Some(Fragment::Pending(pending)) = frame.document.fragments.get(name) else {
            return !frame.document.fragments.contains_key(name);
        };
        let mut parents = pending.parents.clone();
        parents.insert(block.kind);
        if self.common(&parents).is_empty() {
            return false;
        }
        let spread = frame.document.spreading(name, block.kind, frame.path.depth() + 1);
        self.can_use_all(&spread, &frame.path, None) || !frame.in_fragment()
    }
}

/// Sets of parents of which it is known what they have in common.
const COMMON: usize = 4096;

/// Whether a place is within reach of a selection set at some depth: one level more is for the
/// selections of the field that has the place.
pub(super) fn is_within(distance: Distance, depth: u32) -> bool {
    distance != FAR && depth + u32::from(distance) < BLOCKS
}

/// `@defer` and `@stream`, where a schema has them.
fn is_incremental(name: &str) -> bool {
    matches!(name, "defer" | "stream")
}

pub(super) fn texts(names: &[Arc<str>]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

/// Finds an argument for a variable, moving others where needed (augmenting paths).
fn place(
    variable: usize,
    takes: &impl Fn(usize, usize) -> bool,
    taken: &mut [Option<usize>],
    tried: &mut [bool],
) -> bool {
    for argument in 0..taken.len() {
        if tried[argument] || !takes(variable, argument) {
            continue;
        }
        tried[argument] = true;
        if taken[argument].is_none_or(|other| place(other, takes, taken, tried)) {
            taken[argument] = Some(variable);
            return true;
        }
    }
    false
}

/// Where a member of an input type or an argument is due.
pub(super) fn position_of(arguments: &[Argument], one_of: bool, index: usize) -> Position {
    member(&arguments[index], one_of)
}
