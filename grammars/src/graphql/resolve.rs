//! Names in the type system language become types.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::schema::{Argument, Field, Position, Scalar, Type, TypeId, TypeRef, TypeSort};
use super::sdl::{FieldDefinition, Sort, TypeDefinition, TypeText};
use crate::GrammarError;

/// Definitions by name, extensions merged.
#[derive(Default)]
pub(super) struct Resolver<'a> {
    pub(super) ids: HashMap<&'a str, TypeId>,
    sorts: Vec<Sort>,
    definitions: Vec<TypeDefinition<'a>>,
}

impl<'a> Resolver<'a> {
    /// Numbers the types; of those built in (after the first `own`) only what is not defined.
    pub(super) fn collect(&mut self, types: Vec<TypeDefinition<'a>>, own: usize) -> Result<(), GrammarError> {
        let mut extensions = Vec::new();
        for (index, definition) in types.into_iter().enumerate() {
            if definition.extends {
                extensions.push(definition);
            } else if !self.ids.contains_key(definition.name) {
                self.ids.insert(definition.name, self.definitions.len() as TypeId);
                self.sorts.push(definition.sort);
                self.definitions.push(definition);
            } else if index < own {
                return problem(definition.line, format!("type `{}` is defined twice", definition.name));
            }
        }
        for extension in extensions {
            let target = self.ids.get(extension.name).map(|id| &mut self.definitions[*id as usize]);
            let Some(target) = target.filter(|target| target.sort == extension.sort) else {
                return problem(
                    extension.line,
                    format!("`{}` is extended but not defined so", extension.name),
                );
            };
            target.parts.extend(extension.parts);
            target.fields.extend(extension.fields);
            target.values.extend(extension.values);
            target.one_of |= extension.one_of;
        }
        Ok(())
    }

    pub(super) fn types(&self) -> Result<Vec<Type>, GrammarError> {
        self.definitions.iter().map(|definition| self.kind(definition)).collect()
    }

    fn kind(&self, definition: &TypeDefinition<'a>) -> Result<Type, GrammarError> {
        let sort = match definition.sort {
            Sort::Scalar => TypeSort::Scalar(match definition.name {
                "Int" => Scalar::Int,
                "Float" => Scalar::Float,
                "String" => Scalar::String,
                "Boolean" => Scalar::Boolean,
                "ID" => Scalar::Id,
                _ => Scalar::Custom,
            }),
            Sort::Enum => {
                unique(definition, definition.values.iter().copied())?;
                let values: Vec<_> = definition.values.iter().map(|value| Arc::from(*value)).collect();
                nonempty(definition, values.len(), "values")?;
                TypeSort::Enum(values)
            }
            Sort::Input => {
                nonempty(definition, definition.fields.len(), "fields")?;
                let fields = self.arguments(&definition.fields)?;
                TypeSort::Input { fields, one_of: definition.one_of, depth: u32::MAX }
            }
            Sort::Object | Sort::Interface => {
                nonempty(definition, definition.fields.len(), "fields")?;
                unique(definition, definition.fields.iter().map(|field| field.name))?;
                let fields = definition.fields.iter().filter(|field| field.name != "__typename");
                let mut fields: Vec<_> = fields.map(|field| self.field(field)).collect::<Result<_, _>>()?;
                fields.push(self.typename());
                TypeSort::Composite(fields)
            }
            Sort::Union => TypeSort::Composite(vec![self.typename()]),
        };
        Ok(Type { name: definition.name.into(), sort, possible: Vec::new() })
    }

    fn typename(&self) -> Field {
        let kind = TypeRef { name: self.ids["String"], lists: 0, required: 1 };
        Field { name: "__typename".into(), kind, arguments: Vec::new() }
    }

    fn field(&self, field: &FieldDefinition<'a>) -> Result<Field, GrammarError> {
        let (kind, sort) = self.kind_of(field)?;
        if sort == Sort::Input {
            return problem(field.line, format!("field `{}` cannot be of an input type", field.name));
        }
        Ok(Field { name: field.name.into(), kind, arguments: self.arguments(&field.arguments)? })
    }

    fn kind_of(&self, field: &FieldDefinition<'a>) -> Result<(TypeRef, Sort), GrammarError> {
        let TypeText { name, lists, required } = field.kind;
        let Some(id) = self.ids.get(name) else {
            return problem(field.line, format!("type `{name}` of `{}` is not defined", field.name));
        };
        Ok((TypeRef { name: *id, lists, required }, self.sorts[*id as usize]))
    }

    pub(super) fn arguments(&self, fields: &[FieldDefinition<'a>]) -> Result<Vec<Argument>, GrammarError> {
        let mut seen = HashSet::new();
        let one = |field: &FieldDefinition<'a>| {
            let (kind, sort) = self.kind_of(field)?;
            if !matches!(sort, Sort::Scalar | Sort::Enum | Sort::Input) {
                return problem(field.line, format!("`{}` must be of an input type", field.name));
            }
            if !seen.insert(field.name) {
                return problem(field.line, format!("`{}` is there twice", field.name));
            }
            let position = Position { kind, has_default: field.has_default };
            Ok(Argument { name: field.name.into(), position })
        };
        fields.iter().map(one).collect()
    }

    /// The objects that each composite type can be.
    pub(super) fn find_possible(&self, types: &mut [Type]) -> Result<(), GrammarError> {
        let of_sort = |name: &str, sort: Sort| {
            self.ids.get(name).copied().filter(|id| self.sorts[*id as usize] == sort)
        };
        for (id, definition) in self.definitions.iter().enumerate() {
            match definition.sort {
                Sort::Object => {
                    types[id].possible.push(id as TypeId);
                    for interface in &definition.parts {
                        let Some(interface) = of_sort(interface, Sort::Interface) else {
                            return problem(definition.line, format!("`{interface}` is not an interface"));
                        };
                        types[interface as usize].possible.push(id as TypeId);
                    }
                }
                Sort::Union => {
                    nonempty(definition, definition.parts.len(), "members")?;
                    for member in &definition.parts {
                        let Some(member) = of_sort(member, Sort::Object) else {
                            return problem(definition.line, format!("`{member}` is not an object type"));
                        };
                        types[id].possible.push(member);
                    }
                    types[id].possible.sort_unstable();
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn roots(
        &self,
        stated: &[(&str, &str, u32)],
        has_schema: bool,
    ) -> Result<[Option<TypeId>; 3], GrammarError> {
        let mut roots = [None; 3];
        let names = ["query", "mutation", "subscription"];
        if !has_schema || stated.is_empty() {
            let implied = ["Query", "Mutation", "Subscription"];
            for (root, name) in roots.iter_mut().zip(implied) {
                let id = self.ids.get(name).copied();
                *root = id.filter(|id| self.sorts[*id as usize] == Sort::Object);
            }
            return Ok(roots);
        }
        for (operation, name, line) in stated {
            let Some(index) = names.iter().position(|known| known == operation) else {
                return problem(*line, format!("`{operation}` is not an operation"));
            };
            match self.ids.get(name) {
                Some(id) if self.sorts[*id as usize] == Sort::Object => roots[index] = Some(*id),
                _ => return problem(*line, format!("`{name}` is not an object type")),
            }
        }
        Ok(roots)
    }
}

fn nonempty(definition: &TypeDefinition<'_>, count: usize, what: &str) -> Result<(), GrammarError> {
    if count > 0 { Ok(()) } else { problem(definition.line, format!("`{}` has no {what}", definition.name)) }
}

fn unique<'a>(
    definition: &TypeDefinition<'_>,
    names: impl Iterator<Item = &'a str>,
) -> Result<(), GrammarError> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return problem(definition.line, format!("`{name}` is there twice in `{}`", definition.name));
        }
    }
    Ok(())
}

pub(super) fn problem<T>(line: u32, problem: String) -> Result<T, GrammarError> {
    Err(GrammarError::Graphql { line, problem })
}
