//! Where variables can be used: a variable is declared only where a use can follow, and the
//! shortest completion goes there.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::frame::Variable;
use super::schema::{Argument, Position, Schema, TypeId, TypeRef, TypeSort};

/// Steps to the nearest place where a variable can be used; [`FAR`] where there is none.
pub(super) type Distance = u8;
pub(super) const FAR: Distance = Distance::MAX;

/// Farther places are not looked for, so that completions stay short and levels few.
const FARTHEST: Distance = 8;

/// What is known of all variables.
#[derive(Debug)]
pub(super) struct Hosts {
    positions: Vec<Position>,
    /// `@include` with its only argument, which is a place for conditions.
    pub(super) include: Option<(u16, Position)>,
    tables: HashMap<(TypeRef, bool), Arc<Table>>,
    declarable: HashMap<TypeId, Arc<Vec<TypeRef>>>,
    composites: Vec<TypeId>,
}

/// Distances for variables of one type.
#[derive(Debug)]
pub(super) struct Table {
    positions: HashMap<Position, Distance>,
    /// From within a selection set of each type.
    types: HashMap<TypeId, Distance>,
}

/// What to do in a selection set to get nearer to a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Toward {
    Field(u16),
    /// A directive on `__typename`.
    Condition,
}

impl Hosts {
    pub(super) fn new(schema: &Schema) -> Self {
        let mut seen = HashSet::new();
        let mut positions = Vec::new();
        let mut add = |mut position: Position| {
            while seen.insert(position) {
                positions.push(position);
                let Some(item) = position.kind.item() else { break };
                position = Position::of(item);
            }
        };
        let mut composites = Vec::new();
        for (id, kind) in schema.types.iter().enumerate() {
            match &kind.sort {
                TypeSort::Composite(fields) => {
                    composites.push(id as TypeId);
                    fields
                        .iter()
                        .flat_map(|field| &field.arguments)
                        .for_each(|argument| add(argument.position));
                }
                TypeSort::Input { fields, one_of, .. } => {
                    fields.iter().for_each(|field| add(member(field, *one_of)));
                }
                _ => {}
            }
        }
        let include = schema.directives.iter().position(|directive| &*directive.name == "include");
        let include = include.and_then(|index| match &schema.directives[index].arguments[..] {
            [only] => Some((index as u16, only.position)),
            _ => None,
        });
        Self { positions, include, tables: HashMap::new(), declarable: HashMap::new(), composites }
    }

    /// Bytes of all types that variables may have.
    pub(super) fn written(&self, schema: &Schema) -> usize {
        let bytes = |position: &Position| {
            schema.name(position.kind.name).len() + 2 * usize::from(position.kind.lists) + 2
        };
        self.positions.iter().map(|position| bytes(position) * position.kind.variants().len()).sum()
    }

    pub(super) fn table(&mut self, schema: &Schema, variable: &Variable) -> Arc<Table> {
        let key = (variable.kind, variable.has_default);
        if let Some(known) = self.tables.get(&key) {
            return known.clone();
        }
        let made = Arc::new(self.find(schema, key));
        self.tables.insert(key, made.clone());
        made
    }

    /// Distances by rounds, each a step farther than the one before.
    fn find(&self, schema: &Schema, (kind, has_default): (TypeRef, bool)) -> Table {
        let mut table = Table { positions: HashMap::new(), types: HashMap::new() };
        for round in 0..FARTHEST {
            let mut found = Vec::new();
            for position in self.positions.iter().filter(|position| !table.positions.contains_key(position)) {
                let near = position.takes(kind, has_default)
                    || inner(schema, *position).iter().any(|inner| table.positions.contains_key(inner));
                if near {
                    found.push((*position, round));
                }
            }
            if found.is_empty() {
                break;
            }
            table.positions.extend(found);
        }
        let conditional = self.include.is_some_and(|(_, position)| position.takes(kind, has_default));
        for round in 0..FARTHEST {
            let mut found = Vec::new();
            for composite in self.composites.iter().filter(|composite| !table.types.contains_key(composite)) {
                let fields = schema.fields(*composite);
                let near = conditional
                    || fields.iter().any(|field| {
                        table.of_arguments(&field.arguments) != FAR
                            || table.types.contains_key(&field.kind.name)
                    });
                if near {
                    found.push((*composite, round));
                }
            }
            if found.is_empty() {
                break;
            }
            table.types.extend(found);
        }
        table
    }

    /// The next step from a selection set of a type towards a place for the variable.
    pub(super) fn toward(&mut self, schema: &Schema, kind: TypeId, variable: &Variable) -> Option<Toward> {
        let table = self.table(schema, variable);
        let own = table.of_type(kind);
        if own == FAR {
            return None;
        }
        let nearer = |field: &super::schema::Field| {
            own == 0 && table.of_arguments(&field.arguments) != FAR
                || own > 0 && table.of_type(field.kind.name) < own
        };
        let field = schema.fields(kind).iter().position(nearer);
        Some(field.map_or(Toward::Condition, |field| Toward::Field(field as u16)))
    }

    /// Types that variables of an operation may have, given a default where one is needed: those
    /// that fit the places that can be reached from its root.
    pub(super) fn declarable(&mut self, schema: &Schema, root: TypeId) -> Arc<Vec<TypeRef>> {
        if let Some(known) = self.declarable.get(&root) {
            return known.clone();
        }
        let mut kinds = BTreeSet::new();
        let mut positions: Vec<Position> = self.include.iter().map(|(_, position)| *position).collect();
        let (mut seen, mut todo) = (HashSet::from([root]), vec![root]);
        for _ in 0..FARTHEST {
            let mut next = Vec::new();
            for field in todo.iter().flat_map(|kind| schema.fields(*kind)) {
                positions.extend(field.arguments.iter().map(|argument| argument.position));
                if schema.is_composite(field.kind.name) && seen.insert(field.kind.name) {
                    next.push(field.kind.name);
                }
            }
            todo = next;
        }
        let mut seen: HashSet<Position> = positions.iter().copied().collect();
        for _ in 0..FARTHEST {
            let mut next = Vec::new();
            for position in positions {
                kinds.extend(position.kind.variants());
                next.extend(inner(schema, position).into_iter().filter(|inner| seen.insert(*inner)));
            }
            positions = next;
        }
        let kinds = Arc::new(kinds.into_iter().collect::<Vec<_>>());
        self.declarable.insert(root, kinds.clone());
        kinds
    }
}

impl Table {
    pub(super) fn of_position(&self, position: Position) -> Distance {
        self.positions.get(&position).copied().unwrap_or(FAR)
    }

    pub(super) fn of_arguments(&self, arguments: &[Argument]) -> Distance {
        arguments.iter().map(|argument| self.of_position(argument.position)).min().unwrap_or(FAR)
    }

    pub(super) fn of_type(&self, kind: TypeId) -> Distance {
        self.types.get(&kind).copied().unwrap_or(FAR)
    }
}

/// Where a field of an input type is due: none of a one-of type may be null.
pub(super) fn member(field: &Argument, one_of: bool) -> Position {
    if one_of { Position::of(field.position.kind.required()) } else { field.position }
}

/// Places within a value.
fn inner(schema: &Schema, position: Position) -> Vec<Position> {
    if let Some(item) = position.kind.item() {
        return vec![Position::of(item)];
    }
    match &schema.types[position.kind.name as usize].sort {
        TypeSort::Input { fields, one_of, .. } => fields.iter().map(|field| member(field, *one_of)).collect(),
        _ => Vec::new(),
    }
}
