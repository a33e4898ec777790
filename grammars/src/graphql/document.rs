//! What a state says, and how a document's own part of it changes.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::OperationKind;
use super::frame::{
    Block, BlockOf, Callee, Document, Due, Entry, Fragment, Frame, Level, Names, Path, Pending, Scope,
    Shared, TailOf, Variable,
};
use super::schema::{Position, TypeId, TypeRef};

impl Document {
    pub(super) fn new() -> Self {
        Self {
            kind: OperationKind::Query,
            variables: Shared::new(Vec::new()),
            unused: 0,
            fragments: Shared::new(std::collections::BTreeMap::new()),
            doubtful: false,
        }
    }

    pub(super) fn declaring(&self, name: Arc<str>, kind: TypeRef) -> Self {
        let bit = 1 << self.variables.len();
        let variables =
            self.variables.with(|variables| variables.push(Variable { name, kind, has_default: false }));
        Self { variables, unused: self.unused | bit, ..self.clone() }
    }

    pub(super) fn with_default(&self, not_null: bool) -> Self {
        let variables = self.variables.with(|variables| {
            if let Some(last) = variables.last_mut() {
                last.has_default = not_null;
            }
        });
        Self { variables, ..self.clone() }
    }

    pub(super) fn defining(&self, name: &Arc<str>) -> Self {
        let fragments = self.fragments.with(|fragments| {
            fragments.insert(name.clone(), Fragment::Defined);
        });
        Self { fragments, ..self.clone() }
    }

    pub(super) fn spreading(&self, name: &Arc<str>, kind: TypeId, depth: u32) -> Self {
        let fragments = self.fragments.with(|fragments| {
            let fragment = fragments.entry(name.clone()).or_insert(Fragment::Pending(Pending::default()));
            if let Fragment::Pending(pending) = fragment {
                pending.parents.insert(kind);
                pending.depth = pending.depth.max(depth);
            }
        });
        Self { fragments, ..self.clone() }
    }

    pub(super) fn pending_depth(&self, name: &Arc<str>) -> u32 {
        match self.fragments.get(name) {
            Some(Fragment::Pending(pending)) => pending.depth,
            _ => 0,
        }
    }

    /// After a scope is complete: fragments in it, and those beside it, get to know its names and
    /// each other.
    pub(super) fn settled(&self, scope: &Scope, beside: &BTreeSet<Arc<str>>) -> Self {
        let met: BTreeSet<Arc<str>> = scope.spreads.union(beside).cloned().collect();
        if met.is_empty() {
            return self.clone();
        }
        let fragments = self.fragments.with(|fragments| {
            for name in &met {
                let Some(Fragment::Pending(pending)) = fragments.get_mut(name) else { continue };
                add_names(&mut pending.names, &scope.names);
                pending.beside.extend(met.iter().filter(|other| *other != name).cloned());
            }
        });
        Self { fragments, ..self.clone() }
    }
}

/// Adds names that a fragment has to get on with. What two of its scopes have in different ways
/// it cannot have at all; selections within fields are not merged across fragments.
fn add_names(names: &mut Names, added: &Names) {
    for (name, entry) in added {
        let entry = match entry {
            Entry::Leaf(kind) => Entry::Leaf(*kind),
            Entry::Alone | Entry::Node(..) => Entry::Alone,
        };
        names
            .entry(name.clone())
            .and_modify(|known| {
                if *known != entry {
                    *known = Entry::Alone
                }
            })
            .or_insert(entry);
    }
}

impl Level {
    pub(super) fn block(&self) -> Option<&Block> {
        match self {
            Self::Block(block) => Some(block),
            _ => None,
        }
    }

    /// What is given of arguments or members.
    pub(super) fn given(&self) -> BTreeSet<u16> {
        match self {
            Self::Arguments { given, .. } | Self::Object { given, .. } => given.clone(),
            _ => BTreeSet::new(),
        }
    }

    pub(super) fn giving(&self, index: u16) -> Self {
        let mut level = self.clone();
        if let Self::Arguments { given, .. } | Self::Object { given, .. } = &mut level {
            given.insert(index);
        }
        level
    }
}

impl Path {
    /// The type of the fragment that is being defined, and how deep its selections are.
    pub(super) fn fragment(&self) -> Option<(TypeId, u32)> {
        let outermost = self.levels().last()?.block()?;
        matches!(outermost.of, BlockOf::Fragment(_)).then(|| (outermost.kind, self.bottom_depth()))
    }
}

impl Frame {
    pub(super) fn block(&self) -> Option<&Block> {
        self.path.top()?.block()
    }

    pub(super) fn in_fragment(&self) -> bool {
        self.path.fragment().is_some()
    }

    pub(super) fn position(&self) -> Option<Position> {
        match (&self.due, self.path.top()) {
            (Due::Value(position), _) => Some(*position),
            (Due::Items, Some(Level::List(item))) => Some(Position::of(*item)),
            _ => None,
        }
    }

    /// Whether values may be variables: not in what belongs to the declaration of one.
    pub(super) fn takes_variables(&self) -> bool {
        !self.path.levels().any(|level| match level {
            Level::Default(_) => true,
            Level::Arguments { tail, .. } => matches!(tail.of, TailOf::Variable { .. }),
            _ => false,
        })
    }

    /// In the outermost selection set of a subscription, or at a name in it.
    pub(super) fn in_subscription_root(&self) -> bool {
        self.document.kind == OperationKind::Subscription
            && self.block().is_some_and(|block| block.of == BlockOf::Operation)
    }

    /// In the arguments of the only field there.
    pub(super) fn in_subscription_arguments(&self) -> bool {
        let around = Self { path: self.path.below(), ..self.clone() };
        matches!(self.path.top(), Some(Level::Arguments { of: Callee::Field(..), .. }))
            && around.in_subscription_root()
    }

    /// At the value of one of them: the field, and the arguments that are given.
    pub(super) fn subscription_argument(&self) -> Option<(TypeId, u16, BTreeSet<u16>)> {
        match self.path.top() {
            Some(Level::Arguments { of: Callee::Field(kind, field), given, .. })
                if self.document.unused != 0 && self.in_subscription_arguments() =>
            {
                Some((*kind, *field, given.clone()))
            }
            _ => None,
        }
    }
}
