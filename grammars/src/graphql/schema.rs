//! A schema with its names resolved: what a document may speak of.

use std::collections::HashSet;
use std::sync::Arc;

use super::OperationKind;
use super::frame::Callee;
use super::resolve::{Resolver, problem};
use super::sdl;
use crate::GrammarError;

/// Index of a type.
pub(super) type TypeId = u32;

#[derive(Debug)]
pub(super) struct Schema {
    pub(super) types: Vec<Type>,
    pub(super) directives: Vec<Directive>,
    /// By [`OperationKind`].
    pub(super) roots: [Option<TypeId>; 3],
}

#[derive(Debug)]
pub(super) struct Type {
    pub(super) name: Arc<str>,
    pub(super) sort: TypeSort,
    /// Objects that a value of this type can be, sorted.
    pub(super) possible: Vec<TypeId>,
}

#[derive(Debug)]
pub(super) enum TypeSort {
    Scalar(Scalar),
    Enum(Vec<Arc<str>>),
    /// Objects, interfaces and unions. `__typename` is the last field.
    Composite(Vec<Field>),
    Input {
        fields: Vec<Argument>,
        one_of: bool,
        depth: u32,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    Int,
    Float,
    String,
    Boolean,
    Id,
    Custom,
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: Arc<str>,
    pub(super) kind: TypeRef,
    pub(super) arguments: Vec<Argument>,
}

/// An argument of a field or directive, or a field of an input type.
#[derive(Debug)]
pub(super) struct Argument {
    pub(super) name: Arc<str>,
    pub(super) position: Position,
}

/// Where a value is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Position {
    pub(super) kind: TypeRef,
    pub(super) has_default: bool,
}

#[derive(Debug)]
pub(super) struct Directive {
    pub(super) name: Arc<str>,
    pub(super) arguments: Vec<Argument>,
    pub(super) repeatable: bool,
    pub(super) locations: Vec<Arc<str>>,
}

/// A named type within lists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct TypeRef {
    pub(super) name: TypeId,
    pub(super) lists: u8,
    /// Bit `n`: level `n` is not null; level 0 is the outermost.
    pub(super) required: u16,
}

impl TypeRef {
    pub(super) fn is_required(self) -> bool {
        self.required & 1 == 1
    }

    pub(super) fn required(self) -> Self {
        Self { required: self.required | 1, ..self }
    }

    /// The types whose values fit, and those that would with a default: null may be refused where
    /// this type allows it, item by item in short lists.
    pub(super) fn variants(self) -> Vec<Self> {
        let levels = if self.lists <= 2 { self.lists } else { 0 };
        let added = (0..2_u16 << levels).map(|bits| Self { required: self.required | bits, ..self });
        added.flat_map(|kind| [kind, kind.nullable()]).collect()
    }

    fn nullable(self) -> Self {
        Self { required: self.required & !1, ..self }
    }

    /// What a list of this type holds.
    pub(super) fn item(self) -> Option<Self> {
        (self.lists > 0).then(|| Self { lists: self.lists - 1, required: self.required >> 1, ..self })
    }

    /// Whether every value of this type is one of `other` (the specification's
    /// `AreTypesCompatible`).
    fn fits(self, other: Self) -> bool {
        let same = (self.name, self.lists) == (other.name, other.lists);
        same && self.required & other.required == other.required
    }
}

impl Position {
    pub(super) fn of(kind: TypeRef) -> Self {
        Self { kind, has_default: false }
    }

    /// A value has to be given.
    pub(super) fn is_required(self) -> bool {
        self.kind.is_required() && !self.has_default
    }

    /// Whether a variable may stand here (`IsVariableUsageAllowed`).
    pub(super) fn takes(self, variable: TypeRef, has_default: bool) -> bool {
        if self.kind.is_required() && !variable.is_required() {
            return (has_default || self.has_default) && variable.fits(self.kind.nullable());
        }
        variable.fits(self.kind)
    }
}

/// Levels of input objects that must be nested at most; a deeper one is refused.
pub(super) const INPUT_DEPTH: u32 = 24;

impl Schema {
    /// # Errors
    /// [`GrammarError::Graphql`] where the text is no schema.
    pub(super) fn read(text: &str) -> Result<Self, GrammarError> {
        let mut document = sdl::parse(text)?;
        let own = document.types.len();
        let own_directives = document.directives.len();
        let built_in = sdl::parse(include_str!("introspection.graphql"))?;
        document.types.extend(built_in.types);
        document.directives.extend(built_in.directives);
        let mut resolver = Resolver::default();
        resolver.collect(document.types, own)?;

        let mut types = resolver.types()?;
        resolver.find_possible(&mut types)?;
        let mut directives: Vec<Directive> = Vec::new();
        let mut seen = HashSet::new();
        for (index, definition) in document.directives.into_iter().enumerate() {
            if !seen.insert(definition.name) {
                if index < own_directives {
                    return problem(definition.line, format!("@{} is defined twice", definition.name));
                }
                continue;
            }
            directives.push(Directive {
                name: definition.name.into(),
                arguments: resolver.arguments(&definition.arguments)?,
                repeatable: definition.repeatable,
                locations: definition.locations.into_iter().map(Arc::from).collect(),
            });
        }
        let roots = resolver.roots(&document.roots, document.has_schema)?;
        let mut schema = Self { types, directives, roots };
        schema.add_introspection(&resolver);
        schema.find_input_depths()?;
        Ok(schema)
    }

    pub(super) fn name(&self, kind: TypeId) -> &Arc<str> {
        &self.types[kind as usize].name
    }

    /// Fields of a composite type; none of others.
    pub(super) fn fields(&self, kind: TypeId) -> &[Field] {
        match &self.types[kind as usize].sort {
            TypeSort::Composite(fields) => fields,
            _ => &[],
        }
    }

    pub(super) fn arguments(&self, callee: Callee) -> &[Argument] {
        match callee {
            Callee::Field(kind, field) => &self.fields(kind)[usize::from(field)].arguments,
            Callee::Directive(directive) => &self.directives[usize::from(directive)].arguments,
        }
    }

    pub(super) fn is_composite(&self, kind: TypeId) -> bool {
        matches!(self.types[kind as usize].sort, TypeSort::Composite(_))
    }

    /// Whether some object is of both types, so that a fragment on one may be spread in the other.
    pub(super) fn overlap(&self, one: TypeId, other: TypeId) -> bool {
        let (one_can, other_can) = (&self.types[one as usize].possible, &self.types[other as usize].possible);
        let (few, many) =
            if one_can.len() < other_can.len() { (one_can, other_can) } else { (other_can, one_can) };
        one == other || few.iter().any(|object| many.binary_search(object).is_ok())
    }

    /// Levels that the shortest value of a type nests.
    pub(super) fn depth(&self, kind: TypeRef) -> u32 {
        match &self.types[kind.name as usize].sort {
            _ if !kind.is_required() => 0,
            _ if kind.lists > 0 => 1,
            TypeSort::Input { depth, .. } => *depth,
            _ => 0,
        }
    }

    /// As a document writes it: `[Name!]!`.
    pub(super) fn write(&self, kind: TypeRef) -> String {
        let mut text = "[".repeat(usize::from(kind.lists)) + self.name(kind.name);
        for level in (0..=kind.lists).rev() {
            text += if kind.required >> level & 1 == 1 { "!" } else { "" };
            text += if level > 0 { "]" } else { "" };
        }
        text
    }

    /// `__schema` and `__type` at the root of queries.
    fn add_introspection(&mut self, resolver: &Resolver<'_>) {
        let source = resolver.ids["__Root"] as usize;
        let Some(query) = self.roots[OperationKind::Query as usize] else { return };
        let TypeSort::Composite(added) =
            std::mem::replace(&mut self.types[source].sort, TypeSort::Composite(Vec::new()))
        else {
            return;
        };
        if let TypeSort::Composite(fields) = &mut self.types[query as usize].sort {
            // Both end with `__typename`.
            fields.pop();
            fields.extend(added);
        }
    }

    /// How deep the shortest value of each input type is: a least fixed point, of which so many
    /// rounds find all that is not too deep.
    fn find_input_depths(&mut self) -> Result<(), GrammarError> {
        let inputs: Vec<usize> = (0..self.types.len())
            .filter(|index| matches!(self.types[*index].sort, TypeSort::Input { .. }))
            .collect();
        for _ in 0..=INPUT_DEPTH {
            for index in &inputs {
                let TypeSort::Input { fields, one_of, .. } = &self.types[*index].sort else { continue };
                let depths =
                    fields.iter().filter(|field| *one_of || field.position.is_required()).map(|field| {
                        let kind = if *one_of { field.position.kind.required() } else { field.position.kind };
                        self.depth(kind)
                    });
                let needed = if *one_of { depths.min() } else { depths.max() }.unwrap_or(0);
                let needed = needed.saturating_add(1);
                if let TypeSort::Input { depth, .. } = &mut self.types[*index].sort {
                    *depth = needed;
                }
            }
        }
        for kind in &self.types {
            if let TypeSort::Input { depth, .. } = kind.sort
                && depth > INPUT_DEPTH
            {
                let name = &kind.name;
                let deep =
                    format!("input type `{name}` needs itself, or more than {INPUT_DEPTH} levels of others");
                return problem(0, deep);
            }
        }
        Ok(())
    }
}
