//! GraphQL's type system language, read into plain definitions.
//!
//! Nothing here recurses, so that nesting costs nothing but time.

mod lex;
mod parse;

pub(super) use parse::parse;

/// A schema as its text states it.
#[derive(Debug, Default)]
pub(super) struct Document<'a> {
    pub(super) types: Vec<TypeDefinition<'a>>,
    pub(super) directives: Vec<DirectiveDefinition<'a>>,
    /// Operation and type of `schema { query: Query }`, and whether there is such a definition.
    pub(super) roots: Vec<(&'a str, &'a str, u32)>,
    pub(super) has_schema: bool,
}

/// What a type definition defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Scalar,
    Object,
    Interface,
    Union,
    Enum,
    Input,
}

/// A definition of a type, or an extension of one.
#[derive(Debug)]
pub(super) struct TypeDefinition<'a> {
    pub(super) sort: Sort,
    pub(super) name: &'a str,
    pub(super) line: u32,
    pub(super) extends: bool,
    /// Interfaces of an object or interface; members of a union.
    pub(super) parts: Vec<&'a str>,
    /// Fields of an object, interface or input type.
    pub(super) fields: Vec<FieldDefinition<'a>>,
    pub(super) values: Vec<&'a str>,
    pub(super) one_of: bool,
}

/// A field, an input field or an argument.
#[derive(Debug)]
pub(super) struct FieldDefinition<'a> {
    pub(super) name: &'a str,
    pub(super) line: u32,
    pub(super) kind: TypeText<'a>,
    pub(super) has_default: bool,
    pub(super) arguments: Vec<FieldDefinition<'a>>,
}

/// A type as written: `[Name!]!`.
#[derive(Debug, Clone, Copy)]
pub(super) struct TypeText<'a> {
    pub(super) name: &'a str,
    pub(super) lists: u8,
    /// Bit `n`: level `n` is not null; level 0 is the outermost.
    pub(super) required: u16,
}

#[derive(Debug)]
pub(super) struct DirectiveDefinition<'a> {
    pub(super) name: &'a str,
    pub(super) line: u32,
    pub(super) arguments: Vec<FieldDefinition<'a>>,
    pub(super) repeatable: bool,
    pub(super) locations: Vec<&'a str>,
}
