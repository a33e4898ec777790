//! Where in a document a text is, and what of it matters to the rest.
//!
//! The whole state is one frame: which variables are still to be used and which fragments are
//! still to be defined is decided deep inside and wanted at the end, and a stack of frames tells
//! nothing upwards. So that equal futures are equal frames, all sets are sorted.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use super::OperationKind;
use super::schema::{Position, TypeId, TypeRef};

/// A shared value whose hash is known.
#[derive(Debug)]
pub(super) struct Shared<T> {
    hash: u64,
    value: Arc<T>,
}

impl<T: Hash> Shared<T> {
    pub(super) fn new(value: T) -> Self {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        Self { hash: hasher.finish(), value: Arc::new(value) }
    }
}

impl<T: Hash + Clone> Shared<T> {
    /// A changed copy.
    pub(super) fn with(&self, change: impl FnOnce(&mut T)) -> Self {
        let mut value = T::clone(&self.value);
        change(&mut value);
        Self::new(value)
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self { hash: self.hash, value: self.value.clone() }
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Hash for Shared<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl<T: PartialEq> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.value, &other.value) || self.hash == other.hash && self.value == other.value
    }
}

impl<T: Eq> Eq for Shared<T> {}

/// The state of a document.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Frame {
    pub(super) document: Document,
    pub(super) path: Path,
    pub(super) due: Due,
    pub(super) gap: Gap,
}

impl Frame {
    /// Whether a comma may come, which sets apart members of lists: they are whitespace to the language, but
    /// printers put them nowhere else, and some parsers do not take them everywhere.
    pub(super) fn takes_comma(&self) -> bool {
        match &self.due {
            Due::Arguments | Due::Members | Due::Items => self.gap == Gap::Word,
            Due::Selection => self.block().is_some_and(|block| !block.empty),
            Due::Tail(tail) => {
                matches!(tail.of, TailOf::Variable { .. } | TailOf::Field(_) | TailOf::Spread)
            }
            _ => false,
        }
    }
}

/// What was read last, which decides whether a name may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Gap {
    /// A name or value: a separator must come before another one.
    Word,
    /// Separators, which are one lexeme: no more of them.
    Space,
    Punctuator,
}

/// What holds for the whole document.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Document {
    pub(super) kind: OperationKind,
    pub(super) variables: Shared<Vec<Variable>>,
    /// Bit by index: declared and not used yet.
    pub(super) unused: u32,
    pub(super) fragments: Shared<BTreeMap<Arc<str>, Fragment>>,
    /// Some name in here is not known: see [`Read::text`](crate::machine::Read::text).
    pub(super) doubtful: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Variable {
    pub(super) name: Arc<str>,
    pub(super) kind: TypeRef,
    /// With a default that is not null.
    pub(super) has_default: bool,
}

impl Document {
    pub(super) fn unused(&self) -> impl Iterator<Item = &Variable> {
        let bits = self.unused;
        self.variables
            .iter()
            .enumerate()
            .filter(move |(index, _)| bits >> index & 1 == 1)
            .map(|(_, variable)| variable)
    }

    /// Fragments that are spread and not defined yet.
    pub(super) fn pending(&self) -> impl Iterator<Item = (&Arc<str>, &Pending)> {
        self.fragments.iter().filter_map(|(name, fragment)| match fragment {
            Fragment::Pending(pending) => Some((name, pending)),
            Fragment::Defined => None,
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Fragment {
    Pending(Pending),
    /// Or being defined. Spread no more: so fragments make no cycle.
    Defined,
}

/// A fragment that has been spread.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Pending {
    /// Types in which it is spread; its own must overlap with each.
    pub(super) parents: BTreeSet<TypeId>,
    /// Response names of the scopes that it becomes part of.
    pub(super) names: Names,
    /// Other fragments that are part of those.
    pub(super) beside: BTreeSet<Arc<str>>,
    /// The deepest level at which it is spread.
    pub(super) depth: u32,
}

/// Response names and what they stand for.
pub(super) type Names = BTreeMap<Arc<str>, Entry>;

/// What a response name stands for, as far as another field of that name may be merged with it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Entry {
    /// An alias, or a field with arguments: nothing is merged with it.
    Alone,
    /// A field of that name without arguments and selections.
    Leaf(TypeRef),
    /// A field of that name without arguments, and what is selected of it.
    Node(TypeRef, Scope),
}

/// A selection set together with all fragments in it: response names share one room.
pub(super) type Scope = Shared<ScopeContent>;

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct ScopeContent {
    pub(super) names: Names,
    pub(super) spreads: BTreeSet<Arc<str>>,
}

/// What is open, innermost first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Path(Option<Shared<Node>>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Node {
    level: Level,
    below: Path,
    depth: u32,
}

impl Path {
    pub(super) const EMPTY: Self = Self(None);

    pub(super) fn push(&self, level: Level) -> Self {
        self.push_at(self.depth() + 1, level)
    }

    /// At a depth of its own: a fragment is as deep as where it is spread.
    pub(super) fn push_at(&self, depth: u32, level: Level) -> Self {
        Self(Some(Shared::new(Node { level, below: self.clone(), depth })))
    }

    /// How deep the outermost level is.
    pub(super) fn bottom_depth(&self) -> u32 {
        let mut node = self.0.as_ref();
        let mut depth = 0;
        while let Some(present) = node {
            depth = present.depth;
            node = present.below.0.as_ref();
        }
        depth
    }

    pub(super) fn depth(&self) -> u32 {
        self.0.as_ref().map_or(0, |node| node.depth)
    }

    pub(super) fn top(&self) -> Option<&Level> {
        self.0.as_ref().map(|node| &node.level)
    }

    pub(super) fn below(&self) -> Self {
        self.0.as_ref().map_or(Self::EMPTY, |node| node.below.clone())
    }

    /// With the innermost selection set changed, which must be on top.
    pub(super) fn with_block(&self, change: impl FnOnce(&mut Block)) -> Self {
        let Some(Level::Block(block)) = self.top() else { return self.clone() };
        let mut block = block.clone();
        change(&mut block);
        self.below().push_at(self.depth(), Level::Block(block))
    }

    /// From the innermost to the outermost.
    pub(super) fn levels(&self) -> impl Iterator<Item = &Level> {
        let mut next = self.0.as_ref();
        std::iter::from_fn(move || {
            let node = next?;
            next = node.below.0.as_ref();
            Some(&node.level)
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Level {
    Block(Block),
    /// Arguments; what comes after them.
    Arguments {
        of: Callee,
        given: BTreeSet<u16>,
        tail: Tail,
    },
    /// The default of a variable.
    Default(Tail),
    List(TypeRef),
    Object {
        input: TypeId,
        given: BTreeSet<u16>,
    },
}

/// An open selection set.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Block {
    pub(super) of: BlockOf,
    pub(super) kind: TypeId,
    pub(super) scope: Scope,
    /// Fields without an alias between these very braces: they are not repeated.
    pub(super) written: BTreeSet<u16>,
    pub(super) empty: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum BlockOf {
    Operation,
    /// Of a fragment; those that are beside it.
    Fragment(BTreeSet<Arc<str>>),
    /// Of a field; its type where another field may be merged with it.
    Field {
        response: Arc<str>,
        merges: Option<TypeRef>,
    },
    /// Of an inline fragment, which shares the scope of what is around it.
    Inline,
}

/// Who takes arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Callee {
    Field(TypeId, u16),
    Directive(u16),
}

/// What may follow a name: arguments, directives, and then what it is a name of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Tail {
    pub(super) of: TailOf,
    /// Arguments of this may come next.
    pub(super) callee: Option<Callee>,
    /// Directives there, of those that may not be repeated.
    pub(super) directives: BTreeSet<u16>,
    /// A directive has been read.
    pub(super) directed: bool,
}

impl Tail {
    pub(super) fn of(of: TailOf) -> Self {
        Self { of, callee: None, directives: BTreeSet::new(), directed: false }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum TailOf {
    Operation { named: bool, declared: bool },
    Variable { defaulted: bool },
    Field(FieldTail),
    Spread,
    Inline(TypeId),
    Fragment(Arc<str>, TypeId),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct FieldTail {
    pub(super) parent: TypeId,
    pub(super) field: u16,
    pub(super) response: Arc<str>,
    /// To be merged with one of the same name, so without arguments.
    pub(super) repeats: bool,
    /// Another one may be merged with it.
    pub(super) merges: bool,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Due {
    Start,
    Tail(Tail),
    Variables,
    VariableType(Arc<str>),
    Arguments,
    Value(Position),
    Items,
    Members,
    Selection,
    AliasedField(Arc<str>),
    /// After `...`.
    Spread,
    /// The type of an inline fragment, after `on `.
    Condition,
    FragmentWord,
    FragmentName,
    FragmentOn(Arc<str>),
    FragmentType(Arc<str>),
}
