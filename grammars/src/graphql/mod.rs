//! GraphQL operations that are valid under a schema.
//!
//! | module | what it holds |
//! |---|---|
//! | `sdl` | the type system language, read |
//! | `schema` | a schema with its names resolved |
//! | `resolve` | how they are |
//! | `frame` | where in a document a text is |
//! | `document` | what a state says, and how it changes |
//! | `acts` | what may be read there |
//! | `allowed` | what the rules of validation allow of it |
//! | `uses`, `spreads` | of those, the ones about variables and fragments |
//! | `step` | what follows it |
//! | `hosts` | where variables can be used |
//! | `closing` | the shortest way to the end |
//! | `lexemes` | names, numbers, punctuators |

mod acts;
mod allowed;
mod closing;
mod document;
mod frame;
mod hosts;
mod lexemes;
mod resolve;
mod schema;
mod sdl;
mod spreads;
mod step;
mod uses;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use acts::Act;
use frame::{Document, Due, Fragment, Frame, Gap, Path, Tail, TailOf};
use hosts::Hosts;
use lexemes::Lexemes;
use schema::{Schema, TypeId};

use crate::machine::{After, Language, Offer, Read, TextThen};
use crate::{Budget, GrammarError, Vocabulary};

/// Documents of one operation, with the fragments that it spreads, that are valid under a schema.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GraphqlSpec {
    /// The schema in the type system language.
    pub schema: String,
    /// The operation; any that the schema has a root for, if absent.
    pub operation: Option<OperationKind>,
}

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OperationKind {
    /// Reads.
    Query,
    /// Changes something, then reads.
    Mutation,
    /// Reads whenever something happens.
    Subscription,
}

impl OperationKind {
    const ALL: [Self; 3] = [Self::Query, Self::Mutation, Self::Subscription];
}

/// The language of a specification.
pub(crate) struct Graphql {
    schema: Arc<Schema>,
    operation: Option<OperationKind>,
    lexemes: Lexemes,
    hosts: Hosts,
    /// Types that overlap with all of some.
    common: HashMap<BTreeSet<TypeId>, Arc<Vec<TypeId>>>,
    /// The shortest field without arguments and selections of each type.
    leaves: HashMap<TypeId, Arc<str>>,
}

impl Graphql {
    /// # Errors
    /// [`GrammarError::Graphql`] where the schema is none, or has no root for the operation.
    pub(crate) fn new(
        spec: &GraphqlSpec,
        vocabulary: &Arc<Vocabulary>,
        budget: &Budget,
    ) -> Result<Self, GrammarError> {
        let schema = Arc::new(Schema::read(&spec.schema)?);
        let hosts = Hosts::new(&schema);
        let lexemes = Lexemes::new(&schema, &hosts, vocabulary, budget)?;
        let graphql = Self {
            schema,
            operation: spec.operation,
            lexemes,
            hosts,
            common: HashMap::new(),
            leaves: HashMap::new(),
        };
        if graphql.operations().iter().next().is_none() {
            let problem = "the schema has no root type for the operation".into();
            return Err(GrammarError::Graphql { line: 0, problem });
        }
        Ok(graphql)
    }
}

impl Language for Graphql {
    type Frame = Frame;

    fn start(&mut self) -> Vec<Vec<Frame>> {
        let document = Document::new();
        vec![vec![Frame { document, path: Path::EMPTY, due: Due::Start, gap: Gap::Punctuator }]]
    }

    fn offer(&mut self, frame: &Frame) -> Offer {
        let acts = self.acts(frame);
        Offer::of(acts.iter().map(|act| self.choice(frame, act)).collect::<Vec<_>>())
    }

    fn after(&mut self, frame: &Frame, choice: usize, read: Read<'_>) -> After<Frame> {
        let acts = self.acts(frame);
        match acts.get(choice) {
            Some(act) => self.step(frame, act, read),
            None => After::Ways(Vec::new()),
        }
    }

    fn refused(&mut self, frame: &Frame, choice: usize) -> Vec<Vec<u8>> {
        let acts = self.acts(frame);
        match acts.get(choice) {
            Some(Act::Alias) => {
                let names = frame.block().into_iter().flat_map(|block| block.scope.names.keys());
                names.map(|name| format!("{name}:").into_bytes()).collect()
            }
            Some(Act::VariableName) => {
                let names = frame.document.variables.iter().map(|variable| &variable.name);
                names.map(|name| format!("${name}:").into_bytes()).collect()
            }
            Some(Act::Spread) => {
                let known = frame.document.fragments.clone();
                let refused = known.iter().filter(|(name, fragment)| {
                    matches!(fragment, Fragment::Defined) || !self.may_spread(frame, name)
                });
                let refused = refused.map(|(name, _)| name.as_bytes().to_vec());
                refused.chain([b"on".to_vec()]).collect()
            }
            _ => Vec::new(),
        }
    }

    fn echoes(&self, frame: &Frame) -> bool {
        let variable = |tail: &Tail| matches!(tail.of, TailOf::Variable { .. });
        match &frame.due {
            Due::Variables | Due::Spread => true,
            Due::Tail(tail) => variable(tail),
            _ => false,
        }
    }

    fn ways(&mut self, frame: &Frame) -> Option<Vec<TextThen<Frame>>> {
        Some(self.shortest_way(frame).into_iter().collect())
    }
}
