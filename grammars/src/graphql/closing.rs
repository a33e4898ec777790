//! The shortest way to the end of a document: use the variables that are left, close what is open,
//! define the fragments that are spread.

use std::sync::Arc;

use super::Graphql;
use super::acts::Act;
use super::allowed::position_of;
use super::frame::{Callee, Due, Frame, Gap, Tail, TailOf, Variable};
use super::hosts::{FAR, Toward};
use super::lexemes::Form;
use super::schema::{Field, Position, TypeId, TypeSort};
use super::uses::is_within;
use crate::lexeme::{Outcomes, START};
use crate::machine::{After, Language, Read, TextThen};

/// Texts that are put together to one way.
const STEPS: usize = 8;

impl Graphql {
    /// The next text on the shortest way to the end, and the frames after it.
    pub(super) fn shortest_way(&mut self, frame: &Frame) -> Option<TextThen<Frame>> {
        let mut at = frame.clone();
        // A name that is not known stands for one that is used nowhere else: as good as any.
        at.document.doubtful = false;
        let mut text = Vec::new();
        for _ in 0..STEPS {
            if let Some(end) = self.plain_end(&at) {
                text.extend(end);
                return Some((text, Vec::new()));
            }
            let acts = self.acts(&at);
            let (index, outcome) = self.shortest(&at, &acts)?;
            let read = self.shortest_text(&at, &acts[index], index, outcome)?;
            let After::Ways(mut ways) = self.step(&at, &acts[index], Read { outcome, text: Some(&read) })
            else {
                return None;
            };
            text.extend(read);
            match ways.pop()?.pop() {
                Some(next) => at = next,
                None => return Some((text, Vec::new())),
            }
        }
        Some((text, vec![at]))
    }

    /// The shortest end of a document without variables that are left and without fragments: a field
    /// where there has to be one, and braces.
    fn plain_end(&mut self, frame: &Frame) -> Option<Vec<u8>> {
        let document = &frame.document;
        let mut open = 0;
        for level in frame.path.levels() {
            open += level.block().map(|_| 1)?;
        }
        if document.unused != 0 || document.pending().next().is_some() {
            return None;
        }
        let mut text = Vec::new();
        match &frame.due {
            Due::Selection if !frame.block()?.empty => {}
            Due::Tail(Tail { of: TailOf::Field(field), callee, .. }) => {
                let required = |callee: Callee| {
                    self.arguments(callee).iter().any(|argument| argument.position.is_required())
                };
                if callee.is_some_and(required) || field.repeats {
                    return None;
                }
                let kind = self.field_kind(field).name;
                if self.schema.is_composite(kind) {
                    text.push(b'{');
                    text.extend(self.shortest_leaf(kind).bytes());
                    text.push(b'}');
                }
            }
            _ => return None,
        }
        text.extend(std::iter::repeat_n(b'}', open));
        Some(text)
    }

    /// The shortest name of a field of a type that takes neither arguments nor selections.
    fn shortest_leaf(&mut self, kind: TypeId) -> Arc<str> {
        if let Some(known) = self.leaves.get(&kind) {
            return known.clone();
        }
        let leaf = |field: &&Field| {
            let required = field.arguments.iter().any(|argument| argument.position.is_required());
            !required && !self.schema.is_composite(field.kind.name)
        };
        let leaves = self.schema.fields(kind).iter().filter(leaf);
        let shortest = leaves.min_by_key(|field| field.name.len());
        let name = shortest.map_or_else(|| "__typename".into(), |field| field.name.clone());
        self.leaves.insert(kind, name.clone());
        name
    }

    /// The shortest text of an act that the rules do not refuse.
    fn shortest_text(&mut self, frame: &Frame, act: &Act, index: usize, outcome: u32) -> Option<Vec<u8>> {
        let choice = self.choice(frame, act);
        let only = Outcomes::only(choice.lexeme.automaton.outcomes(), Some(outcome));
        let refused = self.refused(frame, index);
        let mut texts = choice.lexeme.texts(START, Some(&only)).map(|(text, _)| text);
        texts.find(|text| !refused.contains(text))
    }

    /// An act, by index, and the outcome of it that is on the shortest way.
    fn shortest(&mut self, frame: &Frame, acts: &[Act]) -> Option<(usize, u32)> {
        let at = |act: &Act| acts.iter().position(|known| known == act);
        let one = |act: &Act, outcome: u32| at(act).map(|index| (index, outcome));
        let (preferred, otherwise): (Option<(usize, u32)>, &[Act]) = match &frame.due {
            Due::Start => {
                let keyword = self.operations().iter().next().unwrap_or(0);
                (one(&Act::OpenBlock, 0).or(one(&Act::Keyword, keyword)), &[])
            }
            Due::Tail(tail) => {
                let arguments = tail.callee.filter(|callee| self.helps(frame, *callee));
                let helpful = arguments.and_then(|_| one(&Act::OpenArguments, 0));
                let condition = helpful.or_else(|| {
                    let (include, _) = self.hosts.include.filter(|(_, position)| {
                        frame.takes_variables()
                            && !matches!(tail.of, TailOf::Variable { .. } | TailOf::Operation { .. })
                            && frame.document.unused().any(|one| position.takes(one.kind, one.has_default))
                    })?;
                    let index = at(&Act::Directive)?;
                    self.directives(frame).contains(u32::from(include)).then_some((index, u32::from(include)))
                });
                let preferred = condition.or(one(&Act::CloseVariables, 0)).or(one(&Act::CloseBlock, 0));
                if preferred.is_none() && at(&Act::Dots).or(at(&Act::Alias)).is_some() {
                    return self.select(frame, acts);
                }
                (preferred, &[Act::OpenBlock, Act::OpenArguments, Act::Default])
            }
            Due::Variables => (None, &[Act::CloseVariables, Act::VariableName]),
            Due::VariableType(_) => {
                let allowed = self.choice(frame, &Act::VariableType).allowed;
                (allowed.and_then(|allowed| one(&Act::VariableType, allowed.iter().next()?)), &[])
            }
            Due::Arguments | Due::Members => {
                let argument = self.helpful_argument(frame).and_then(|index| one(&Act::Argument, index));
                let closed = argument.or(one(&Act::CloseArguments, 0)).or(one(&Act::CloseObject, 0));
                (closed.or_else(|| one(&Act::Argument, self.needed_argument(frame)?)), &[])
            }
            Due::Value(position) => (self.value(frame, acts, *position), &[]),
            Due::Items => {
                let item = frame.position().filter(|position| self.is_near(frame, *position));
                (item.and_then(|position| self.value(frame, acts, position)), &[Act::CloseList])
            }
            Due::Selection => return self.select(frame, acts),
            Due::AliasedField(_) => {
                let wanted = self.toward(frame).map(|toward| self.field_toward(frame, toward));
                let allowed = self.fields(frame);
                let outcome =
                    wanted.filter(|field| allowed.contains(*field)).or_else(|| self.shortest_field(frame));
                (outcome.and_then(|outcome| one(&Act::Field, outcome)), &[])
            }
            Due::Spread => (None, &[Act::OpenBlock]),
            Due::Condition | Due::FragmentType(_) => {
                let kinds = self.condition_kinds(frame);
                let allowed = self.choice(frame, &Act::Condition).allowed;
                let length =
                    |index: &u32| kinds.get(*index as usize).map_or(0, |kind| self.schema.name(*kind).len());
                (allowed.and_then(|allowed| one(&Act::Condition, allowed.iter().min_by_key(length)?)), &[])
            }
            Due::FragmentWord => (None, &[Act::FragmentWord]),
            // The last one may have all that the others lack: any order leads to an end.
            Due::FragmentName => (None, &[Act::FragmentName]),
            Due::FragmentOn(_) => (None, &[Act::FragmentOn]),
        };
        let fallback = || otherwise.iter().find_map(|act| one(act, 0));
        // Where a name has to come and nothing separates it yet, a separator does.
        preferred.or_else(fallback).or(one(&Act::Space, 0))
    }

    /// In a selection set.
    fn select(&mut self, frame: &Frame, acts: &[Act]) -> Option<(usize, u32)> {
        let one = |act: &Act, outcome: u32| {
            acts.iter().position(|known| known == act).map(|index| (index, outcome))
        };
        if let Some(close) = one(&Act::CloseBlock, 0) {
            return Some(close);
        }
        if frame.gap == Gap::Word {
            return one(&Act::Space, 0);
        }
        if let Some(toward) = self.toward(frame) {
            let field = self.field_toward(frame, toward);
            let free = frame.block().is_some_and(|block| {
                let name = &self.schema.fields(block.kind)[field as usize].name;
                !block.scope.names.contains_key(name)
            });
            let direct = (free && self.fields(frame).contains(field)).then(|| one(&Act::Field, field));
            return direct.flatten().or(one(&Act::Alias, 0));
        }
        let field = self.shortest_field(frame).and_then(|field| one(&Act::Field, field));
        field.or(one(&Act::Alias, 0))
    }

    /// The nearest place for some variable that is left, if there is one within this selection
    /// set.
    fn toward(&mut self, frame: &Frame) -> Option<Toward> {
        let block = frame.block()?;
        if frame.in_subscription_root() {
            return None;
        }
        let depth = frame.path.depth();
        let mut nearest: Option<(u8, Variable)> = None;
        for variable in frame.document.unused() {
            let distance = self.hosts.table(&self.schema, variable).of_type(block.kind);
            if is_within(distance, depth) && nearest.as_ref().is_none_or(|(least, _)| distance < *least) {
                nearest = Some((distance, variable.clone()));
            }
        }
        let (_, variable) = nearest?;
        self.hosts.toward(&self.schema, block.kind, &variable)
    }

    fn field_toward(&self, frame: &Frame, toward: Toward) -> u32 {
        match toward {
            Toward::Field(field) => u32::from(field),
            Toward::Condition => {
                frame.block().map_or(0, |block| self.schema.fields(block.kind).len().saturating_sub(1) as u32)
            }
        }
    }

    /// The field that costs least: a leaf without obligations, and of those the one of the
    /// shortest name.
    fn shortest_field(&mut self, frame: &Frame) -> Option<u32> {
        let allowed = self.fields(frame);
        let fields = self.schema.fields(frame.block()?.kind);
        let cost = |index: &u32| {
            let field = &fields[*index as usize];
            let required = field.arguments.iter().filter(|argument| argument.position.is_required());
            let required: u32 = required.map(|argument| 2 + self.schema.depth(argument.position.kind)).sum();
            let selections = if self.schema.is_composite(field.kind.name) { 3 } else { 0 };
            (required + selections, field.name.len())
        };
        allowed.iter().min_by_key(cost)
    }

    /// Whether a variable that is left can be used at or within a position.
    fn is_near(&mut self, frame: &Frame, position: Position) -> bool {
        frame.takes_variables()
            && frame
                .document
                .unused()
                .any(|one| self.hosts.table(&self.schema, one).of_position(position) != FAR)
    }

    /// Whether the arguments of something can use a variable that is left.
    fn helps(&mut self, frame: &Frame, callee: Callee) -> bool {
        let positions: Vec<Position> =
            self.arguments(callee).iter().map(|argument| argument.position).collect();
        let constant = matches!(&frame.due, Due::Tail(tail) if matches!(tail.of, TailOf::Variable { .. }));
        !constant && positions.into_iter().any(|position| self.is_near(frame, position))
    }

    /// An argument that is not given and can use a variable that is left, the nearest such place.
    fn helpful_argument(&mut self, frame: &Frame) -> Option<u32> {
        if !frame.takes_variables() {
            return None;
        }
        let (positions, _) = self.positions(frame)?;
        let mut best: Option<(u8, u32)> = None;
        for (index, position) in positions {
            for variable in frame.document.unused() {
                let distance = self.hosts.table(&self.schema, variable).of_position(position);
                if distance != FAR && best.is_none_or(|(least, _)| distance < least) {
                    best = Some((distance, index));
                }
            }
        }
        best.map(|(_, index)| index)
    }

    /// An argument that has to be given, or else the cheapest: parentheses hold at least one, and
    /// so do values of one-of types.
    fn needed_argument(&mut self, frame: &Frame) -> Option<u32> {
        let (positions, one_of) = self.positions(frame)?;
        let cost = |(_, position): &(u32, Position)| {
            (!one_of && !position.is_required(), self.schema.depth(position.kind))
        };
        positions.into_iter().min_by_key(cost).map(|(index, _)| index)
    }

    /// Positions of the arguments that are not given.
    fn positions(&self, frame: &Frame) -> Option<(Vec<(u32, Position)>, bool)> {
        let open = self.open_arguments(frame);
        let (arguments, one_of) = self.arguments_of(frame.path.top()?);
        let position = |index: u32| (index, position_of(arguments, one_of, index as usize));
        Some((open.iter().map(position).collect(), one_of))
    }

    fn value(&mut self, frame: &Frame, acts: &[Act], position: Position) -> Option<(usize, u32)> {
        let at = |act: &Act| acts.iter().position(|known| known == act);
        let usable = if at(&Act::Variable).is_some() { self.usable(frame, position) } else { Vec::new() };
        let left = usable.iter().find(|index| frame.document.unused >> **index & 1 == 1);
        if let (Some(index), Some(variable)) = (at(&Act::Variable), left) {
            return Some((index, *variable));
        }
        if self.is_near(frame, position) {
            let open = |act: &Act| matches!(act, Act::OpenList(_) | Act::OpenObject(_));
            let near = |act: &Act| match act {
                Act::OpenList(kind) => kind.item().map(Position::of),
                _ => Some(Position::of(position.kind)),
            };
            for (index, act) in acts.iter().enumerate().filter(|(_, act)| open(act)) {
                if position.kind.lists == 0
                    || near(act)
                        .is_some_and(|inner| matches!(act, Act::OpenList(_)) && self.is_near(frame, inner))
                {
                    return Some((index, 0));
                }
            }
        }
        let cost = |act: &Act| match act {
            Act::Literal(Form::WholeNumber | Form::Int | Form::Float) => Some(0),
            Act::Null | Act::Literal(_) => Some(1),
            Act::EnumValue(_) => Some(2),
            Act::OpenList(_) => Some(3),
            Act::OpenObject(_) => Some(4),
            Act::Variable => Some(5),
            _ => None,
        };
        let (index, act) = acts
            .iter()
            .enumerate()
            .filter(|(_, act)| cost(act).is_some())
            .min_by_key(|(_, act)| cost(act))?;
        let outcome = match act {
            Act::EnumValue(kind) => match &self.schema.types[*kind as usize].sort {
                TypeSort::Enum(values) => {
                    (0..values.len() as u32).min_by_key(|index| values[*index as usize].len())?
                }
                _ => 0,
            },
            Act::Variable => *usable.first()?,
            _ => 0,
        };
        Some((index, outcome))
    }
}
