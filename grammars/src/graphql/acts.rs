//! What may be read where a text is.

use super::allowed::{BLOCKS, FRAGMENTS, LEVELS, texts};
use super::frame::{Due, Frame, Gap, Level, Tail, TailOf};
use super::lexemes::{Form, Key};
use super::schema::{Position, Scalar, TypeId, TypeRef, TypeSort};
use super::{Graphql, OperationKind};
use crate::lexeme::Outcomes;
use crate::machine::Choice;

/// Something that may be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Act {
    Space,
    Keyword,
    OperationName,
    OpenBlock,
    CloseBlock,
    OpenArguments,
    CloseArguments,
    OpenVariables,
    CloseVariables,
    VariableName,
    VariableType,
    Default,
    Directive,
    Argument,
    Field,
    Alias,
    Dots,
    On,
    Condition,
    /// The name of a fragment; of any, or of one that is known.
    Spread,
    KnownSpread,
    FragmentWord,
    FragmentName,
    FragmentOn,
    Null,
    /// A number, string or truth value.
    Literal(Form),
    EnumValue(TypeId),
    Variable,
    /// A list, or a value of an input type.
    OpenList(TypeRef),
    OpenObject(TypeId),
    CloseList,
    CloseObject,
}

impl Graphql {
    pub(super) fn acts(&mut self, frame: &Frame) -> Vec<Act> {
        let mut acts = Vec::new();
        let space = frame.gap != Gap::Space;
        let word = frame.gap != Gap::Word;
        // Separators come first, since they are what a completion needs least.
        let spaced = !matches!(
            frame.due,
            Due::Start | Due::Condition | Due::FragmentName | Due::FragmentOn(_) | Due::FragmentType(_)
        );
        if space && spaced {
            acts.push(Act::Space);
        }
        match &frame.due {
            Due::Start => {
                acts.push(Act::Keyword);
                if self.operations().contains(OperationKind::Query as u32) {
                    acts.push(Act::OpenBlock);
                }
            }
            Due::Tail(tail) => self.tail_acts(frame, tail, &mut acts),
            Due::Variables => {
                if word && self.may_declare(&frame.document) {
                    acts.push(Act::VariableName);
                }
                if !frame.document.variables.is_empty() {
                    acts.push(Act::CloseVariables);
                }
            }
            Due::VariableType(_) => acts.push(Act::VariableType),
            Due::Arguments => {
                if word && self.open_arguments(frame).iter().next().is_some() {
                    acts.push(Act::Argument);
                }
                if self.arguments_suffice(frame) {
                    acts.push(Act::CloseArguments);
                }
            }
            Due::Members => {
                if word && self.open_arguments(frame).iter().next().is_some() {
                    acts.push(Act::Argument);
                }
                if self.arguments_suffice(frame) {
                    acts.push(Act::CloseObject);
                }
            }
            Due::Value(position) => self.value_acts(frame, *position, &mut acts),
            Due::Items => {
                if let Some(Level::List(item)) = frame.path.top()
                    && word
                {
                    self.value_acts(frame, Position::of(*item), &mut acts);
                }
                acts.push(Act::CloseList);
            }
            Due::Selection => self.selection_acts(frame, &mut acts),
            Due::AliasedField(_) => acts.push(Act::Field),
            Due::Spread => {
                acts.push(Act::OpenBlock);
                if frame.document.fragments.len() < FRAGMENTS {
                    acts.push(Act::Spread);
                } else if !self.known_spreads(frame).is_empty() {
                    acts.push(Act::KnownSpread);
                }
                acts.push(Act::On);
                if self.has_directives(frame) {
                    acts.push(Act::Directive);
                }
            }
            Due::Condition | Due::FragmentType(_) => acts.push(Act::Condition),
            Due::FragmentWord => acts.push(Act::FragmentWord),
            Due::FragmentName => acts.push(Act::FragmentName),
            Due::FragmentOn(_) => acts.push(Act::FragmentOn),
        }
        acts
    }

    fn tail_acts(&mut self, frame: &Frame, tail: &Tail, acts: &mut Vec<Act>) {
        if let Some(callee) = tail.callee {
            acts.push(Act::OpenArguments);
            let required = self.arguments(callee).iter().any(|argument| argument.position.is_required());
            if required || !self.may_skip_arguments(frame, callee) {
                return;
            }
        }
        let undefaulted = matches!(tail.of, TailOf::Variable { defaulted: false }) && !tail.directed;
        if undefaulted && self.needs_default(&frame.document) {
            acts.push(Act::Default);
            return;
        }
        if self.has_directives(frame) {
            acts.push(Act::Directive);
        }
        match &tail.of {
            TailOf::Operation { named, declared } => {
                if !named && !tail.directed && frame.gap == Gap::Space {
                    acts.push(Act::OperationName);
                }
                if !declared && !tail.directed && self.may_declare(&frame.document) {
                    acts.push(Act::OpenVariables);
                }
                acts.push(Act::OpenBlock);
            }
            TailOf::Variable { defaulted } => {
                if !defaulted && !tail.directed {
                    acts.push(Act::Default);
                }
                if frame.gap != Gap::Word && self.may_declare(&frame.document) {
                    acts.push(Act::VariableName);
                }
                acts.push(Act::CloseVariables);
            }
            TailOf::Field(field) => {
                if self.schema.is_composite(self.field_kind(field).name) {
                    acts.push(Act::OpenBlock);
                } else {
                    self.selection_acts(frame, acts);
                }
            }
            TailOf::Spread => self.selection_acts(frame, acts),
            TailOf::Inline(_) | TailOf::Fragment(..) => acts.push(Act::OpenBlock),
        }
    }

    fn selection_acts(&mut self, frame: &Frame, acts: &mut Vec<Act>) {
        let Some(Level::Block(block)) = frame.path.top() else { return };
        if self.may_close(frame, block) {
            acts.push(Act::CloseBlock);
        }
        let single = frame.in_subscription_root();
        if single && !block.empty {
            return;
        }
        if frame.gap != Gap::Word {
            if self.fields(frame).iter().next().is_some() {
                acts.push(Act::Field);
            }
            acts.push(Act::Alias);
        }
        if !single && frame.path.depth() < BLOCKS {
            acts.push(Act::Dots);
        }
    }

    fn value_acts(&mut self, frame: &Frame, position: Position, acts: &mut Vec<Act>) {
        if frame.takes_variables() && !self.usable(frame, position).is_empty() {
            acts.push(Act::Variable);
        }
        if !self.may_be_literal(frame) {
            return;
        }
        let kind = position.kind;
        if !kind.is_required() {
            acts.push(Act::Null);
        }
        let room = LEVELS - frame.path.depth().min(LEVELS);
        if kind.lists > 0 && room > 1 {
            acts.push(Act::OpenList(kind));
        }
        // A list of one item may be written as the item.
        if kind.lists > 1 {
            return;
        }
        match &self.schema.types[kind.name as usize].sort {
            TypeSort::Scalar(scalar) => {
                let forms: &[Form] = match scalar {
                    Scalar::Int => &[Form::Int],
                    Scalar::Float => &[Form::Float],
                    Scalar::String => &[Form::Text],
                    Scalar::Boolean => &[Form::Boolean],
                    Scalar::Id => &[Form::WholeNumber, Form::Text],
                    Scalar::Custom => &[Form::Float, Form::Text, Form::Boolean],
                };
                acts.extend(forms.iter().map(|form| Act::Literal(*form)));
            }
            TypeSort::Enum(_) => acts.push(Act::EnumValue(kind.name)),
            TypeSort::Input { depth, .. } if *depth < room => acts.push(Act::OpenObject(kind.name)),
            _ => {}
        }
    }

    /// The lexeme of an act, and which outcomes of it are allowed.
    pub(super) fn choice(&mut self, frame: &Frame, act: &Act) -> Choice {
        match act {
            Act::Space => Choice::new(&self.lexemes.form(if frame.takes_comma() {
                Form::Separator
            } else {
                Form::Blank
            })),
            Act::Keyword => Choice::new(&self.lexemes.form(Form::Keyword)).allowing(self.operations()),
            Act::OperationName => Choice::new(&self.lexemes.form(Form::Name)),
            Act::OpenBlock | Act::OpenObject(_) => Choice::new(&self.lexemes.punctuator("{")),
            Act::CloseBlock | Act::CloseObject => Choice::new(&self.lexemes.punctuator("}")),
            Act::OpenArguments | Act::OpenVariables => Choice::new(&self.lexemes.punctuator("(")),
            Act::CloseArguments | Act::CloseVariables => Choice::new(&self.lexemes.punctuator(")")),
            Act::OpenList(_) => Choice::new(&self.lexemes.punctuator("[")),
            Act::CloseList => Choice::new(&self.lexemes.punctuator("]")),
            Act::Default => Choice::new(&self.lexemes.punctuator("=")),
            Act::Dots => Choice::new(&self.lexemes.punctuator("...")),
            Act::VariableName => Choice::new(&self.lexemes.form(Form::Variable)).captured(),
            Act::Alias => Choice::new(&self.lexemes.form(Form::Alias)).captured(),
            Act::Spread => Choice::new(&self.lexemes.form(Form::Name)).captured(),
            Act::On => Choice::new(&self.lexemes.form(Form::On)),
            Act::FragmentWord => Choice::new(&self.lexemes.form(Form::FragmentWord)),
            Act::FragmentOn => Choice::new(&self.lexemes.form(Form::FragmentOn)),
            Act::Null => Choice::new(&self.lexemes.form(Form::Null)),
            Act::Literal(form) => Choice::new(&self.lexemes.form(*form)),
            Act::VariableType => {
                let kinds = self.declarable(&frame.document);
                let words: Vec<_> = kinds.iter().map(|kind| self.schema.write(*kind)).collect();
                let allowed = self.declarable_now(&frame.document);
                Choice::new(&self.lexemes.words(&words)).allowing(allowed)
            }
            Act::Directive => {
                let schema = self.schema.clone();
                let words =
                    || schema.directives.iter().map(|directive| format!("@{}", directive.name)).collect();
                let allowed = self.directives(frame);
                Choice::new(&self.lexemes.get(Key::Directives, words)).allowing(allowed)
            }
            Act::Argument => {
                let allowed = self.open_arguments(frame);
                Choice::new(&self.argument_lexeme(frame)).allowing(allowed)
            }
            Act::Field => {
                let kind = frame.path.top().and_then(Level::block).map_or(0, |block| block.kind);
                let schema = self.schema.clone();
                let words = || schema.fields(kind).iter().map(|field| field.name.to_string()).collect();
                let allowed = self.fields(frame);
                Choice::new(&self.lexemes.get(Key::Fields(kind), words)).allowing(allowed)
            }
            Act::EnumValue(kind) => {
                let schema = self.schema.clone();
                let words = || match &schema.types[*kind as usize].sort {
                    TypeSort::Enum(values) => values.iter().map(|value| value.to_string()).collect(),
                    _ => Vec::new(),
                };
                Choice::new(&self.lexemes.get(Key::Values(*kind), words))
            }
            Act::Variable => {
                let variables = frame.document.variables.clone();
                let words: Vec<_> = variables.iter().map(|variable| format!("${}", variable.name)).collect();
                let position = frame.position().unwrap_or(Position::of(TypeRef::default()));
                let usable = self.usable(frame, position);
                let mut allowed = Outcomes::none(words.len() as u32);
                usable.into_iter().for_each(|index| allowed.insert(index));
                Choice::new(&self.lexemes.words(&words)).allowing(allowed)
            }
            Act::Condition => {
                let (lexeme, allowed) = self.conditions(frame);
                Choice::new(&lexeme).allowing(allowed)
            }
            Act::KnownSpread => {
                let names = self.known_spreads(frame);
                Choice::new(&self.lexemes.words(&texts(&names)))
            }
            Act::FragmentName => {
                let names: Vec<_> = frame.document.pending().map(|(name, _)| name.clone()).collect();
                Choice::new(&self.lexemes.words(&texts(&names)))
            }
        }
    }
}
