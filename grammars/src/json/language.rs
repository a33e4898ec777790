//! JSON values of a schema as a [`Language`].

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};

use super::SchemaError;
use super::array::Array;
use super::formula::{ALWAYS, F, Formulas, Kind, NEVER};
use super::keys::{Key, Keys};
use super::object::Object;
use super::schema::Document;
use super::value::Value;
use crate::lexeme::{Automaton, Lexeme, Outcomes, Regular};
use crate::machine::{After, Choice, ENDLESS, Language, Offer, Read, Store, TextThen, Way, solve};
use crate::{Budget, GrammarError, Vocabulary, Whitespace};

/// Something that is due in a JSON text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Frame {
    /// A value that satisfies a formula.
    Value(F),
    /// An item of an array whose items all differ, and the array after it.
    Item(F, u32),
    /// `}` right after `{`.
    NoMember,
    /// A member's key.
    Key(u32),
    Colon,
    /// After a member: another one or the end.
    Members(u32),
    /// `]` right after `[`.
    NoItem,
    /// After an item: another one or the end.
    Items(u32),
}

/// The language of a schema.
pub(crate) struct Json {
    pub(super) document: Document,
    pub(super) formulas: Formulas,
    pub(super) vocabulary: Arc<Vocabulary>,
    pub(super) budget: Budget,
    /// What is left of it for one condition on scalars after those that took too much.
    pub(super) patience: Budget,
    pub(super) punctuation: Punctuation,
    whitespace: Whitespace,
    /// Values are objects, whatever the schema says.
    only_objects: bool,
    root: F,
    pub(super) keys: Vec<Arc<Keys>>,
    /// Which of them a formula says something of.
    pub(super) mentioned: HashMap<(u32, F), Arc<Outcomes>>,
    pub(super) keys_of: HashMap<F, Result<u32, SchemaError>>,
    pub(super) key_lexemes: HashMap<(u32, bool), Option<Arc<Lexeme>>>,
    pub(super) objects: Store<Object>,
    pub(super) arrays: Store<Array>,
    pub(super) allowed_keys: HashMap<u32, Option<Outcomes>>,
    /// Keys whose values are possible, by keys and pending formula, where nothing else matters.
    pub(super) plain_keys: HashMap<(u32, F), Outcomes>,
    pub(super) few_keys: HashMap<(u32, u32), bool>,
    pub(super) few_values: HashMap<F, bool>,
    /// Lexemes of scalars by their definitions; `None` where there is none.
    pub(super) lexemes: HashMap<String, Option<Arc<Lexeme>>>,
    pub(super) values: HashMap<F, Arc<Value>>,
    /// The same of values that are told from others of their array.
    pub(super) distinct: HashMap<F, Arc<[Choice]>>,
    closes: HashMap<Frame, Way<Frame>>,
    /// Steps and combinations of the look for a value that is under way.
    work: usize,
    /// The first reason why something was not offered: for the message when nothing is left.
    pub(super) trouble: Option<SchemaError>,
}

/// The lexemes between values. Each takes the whitespace beside it.
pub(super) struct Punctuation {
    pub(super) open_object: Arc<Lexeme>,
    pub(super) open_array: Arc<Lexeme>,
    no_member: Arc<Lexeme>,
    no_item: Arc<Lexeme>,
    close_object: Arc<Lexeme>,
    close_array: Arc<Lexeme>,
    comma: Arc<Lexeme>,
    colon: Arc<Lexeme>,
}

impl Punctuation {
    fn new(
        whitespace: Whitespace,
        vocabulary: &Arc<Vocabulary>,
        budget: &Budget,
    ) -> Result<Self, GrammarError> {
        let space = whitespace.optional();
        let lexeme = |expression: String| {
            vocabulary.lexicon().get(&format!("punctuation {expression}"), || {
                Automaton::build(&Regular::new(&expression, budget)?, vocabulary.spellable(), budget)
            })
        };
        Ok(Self {
            open_object: lexeme(format!("\\{{{space}"))?,
            open_array: lexeme(format!("\\[{space}"))?,
            no_member: lexeme("\\}".into())?,
            no_item: lexeme("\\]".into())?,
            close_object: lexeme(format!("{space}\\}}"))?,
            close_array: lexeme(format!("{space}\\]"))?,
            comma: lexeme(format!(",{space}"))?,
            colon: lexeme(format!(":{space}"))?,
        })
    }
}

impl Json {
    pub(super) fn new(
        document: Document,
        whitespace: Whitespace,
        only_objects: bool,
        vocabulary: &Arc<Vocabulary>,
        budget: &Budget,
    ) -> Result<Self, GrammarError> {
        let mut json = Self {
            document,
            formulas: Formulas::default(),
            vocabulary: vocabulary.clone(),
            budget: *budget,
            patience: *budget,
            punctuation: Punctuation::new(whitespace, vocabulary, budget)?,
            whitespace,
            only_objects,
            root: ALWAYS,
            keys: Vec::new(),
            mentioned: HashMap::new(),
            keys_of: HashMap::new(),
            key_lexemes: HashMap::new(),
            objects: Store::default(),
            arrays: Store::default(),
            allowed_keys: HashMap::new(),
            plain_keys: HashMap::new(),
            few_keys: HashMap::new(),
            few_values: HashMap::new(),
            lexemes: HashMap::new(),
            values: HashMap::new(),
            distinct: HashMap::new(),
            closes: HashMap::new(),
            work: 0,
            trouble: None,
        };
        json.root = json.document.part(&mut json.formulas, "");
        if only_objects {
            let object = json.formulas.kinds(&[Kind::Object]);
            json.root = json.formulas.all([json.root, object]);
        }
        json.document.check(&mut json.formulas, json.root)?;
        if !json.is_possible(&Frame::Value(json.root)) {
            return Err(json.trouble.take().unwrap_or(SchemaError::Unsatisfiable).into());
        }
        Ok(json)
    }

    /// What a member or an item makes due, of its value and of those after it, if each part of a
    /// conjunction says so by itself: one way for every choice among the ways of the parts.
    pub(super) fn ways_of_parts(
        &mut self,
        parts: Vec<F>,
        mut ways_of: impl FnMut(&mut Self, F) -> Vec<(F, F)>,
    ) -> Vec<(F, F)> {
        let (mut values, mut rests) = (Vec::new(), Vec::new());
        let mut choices = vec![(ALWAYS, ALWAYS)];
        let mut combined = 0;
        for part in parts {
            let options = ways_of(self, part);
            if let [(value, rest)] = options[..] {
                values.push(value);
                rests.push(rest);
                continue;
            }
            combined += choices.len() * options.len();
            self.work += choices.len() * options.len();
            if combined > COMBINED {
                let limit = COMBINED;
                self.trouble
                    .get_or_insert(SchemaError::TooLarge { what: "combinations of alternatives", limit });
                return Vec::new();
            }
            let mut next = Vec::new();
            for (value, rest) in &choices {
                for (more_value, more_rest) in &options {
                    let value = self.formulas.all([*value, *more_value]);
                    let rest = self.formulas.all([*rest, *more_rest]);
                    if value != NEVER && rest != NEVER && !next.contains(&(value, rest)) && next.len() < WAYS
                    {
                        next.push((value, rest));
                    }
                }
            }
            choices = next;
        }
        let (certain_value, certain_rest) = (self.formulas.all(values), self.formulas.all(rests));
        let mut ways = Vec::new();
        for (value, rest) in choices {
            let value = self.formulas.all([certain_value, value]);
            let rest = self.formulas.all([certain_rest, rest]);
            if value != NEVER && rest != NEVER && !ways.contains(&(value, rest)) {
                ways.push((value, rest));
            }
        }
        ways
    }

    /// Whether something can be completed.
    pub(super) fn is_possible(&mut self, frame: &Frame) -> bool {
        if !self.closes.contains_key(frame) {
            let known = std::mem::take(&mut self.closes);
            self.work = 0;
            let found = solve(frame, &known, |frame| {
                // What is not looked at any more is not possible, now or later.
                self.work += 1;
                if self.work > WORK {
                    let limit = WORK;
                    self.trouble.get_or_insert(SchemaError::TooLarge { what: "steps to a value", limit });
                    return Vec::new();
                }
                let ways = self.ways_of(frame).into_iter();
                ways.map(|(text, then)| Way { cost: text.len() as u32, text, then }).collect()
            });
            self.closes = known;
            self.closes.extend(found);
        }
        self.closes[frame].cost != ENDLESS
    }

    /// Formulas and answers that are kept.
    pub(crate) fn known(&self) -> usize {
        self.formulas.len() + self.closes.len() + self.allowed_keys.len() + self.mentioned.len()
    }

    /// Begins afresh; whether it did.
    pub(crate) fn forget_all(&mut self) -> bool {
        let document = self.document.afresh();
        match Self::new(document, self.whitespace, self.only_objects, &self.vocabulary, &self.budget) {
            Ok(fresh) => {
                *self = fresh;
                true
            }
            // It could be made before; only its budget of time can have run out.
            Err(_) => false,
        }
    }

    /// What is left of the budget for one condition on scalars.
    pub(crate) fn left(&self) -> Budget {
        self.patience
    }

    /// What is due of a whole text.
    pub(crate) fn whole(&self) -> Frame {
        Frame::Value(self.root)
    }

    pub(super) fn keys(&self, keys: u32) -> &Arc<Keys> {
        &self.keys[keys as usize]
    }

    /// Short ways to complete something. They use no whitespace.
    fn ways_of(&mut self, frame: &Frame) -> Vec<TextThen<Frame>> {
        match frame {
            Frame::Value(formula) => self.value_ways(*formula),
            Frame::Item(formula, array) => {
                let seen = self.arrays.get(*array).seen.clone();
                let texts = self.unseen_scalars(*formula, &seen).into_iter();
                let with_rest = |text: Vec<u8>| {
                    let next = self.with_seen(*array, Some(&text));
                    (text, vec![Frame::Items(next)])
                };
                texts.map(with_rest).collect()
            }
            Frame::NoMember => vec![(b"}".to_vec(), Vec::new())],
            Frame::NoItem => vec![(b"]".to_vec(), Vec::new())],
            Frame::Colon => vec![(b":".to_vec(), Vec::new())],
            Frame::Key(object) => self.member_ways(*object, b""),
            Frame::Members(object) => {
                if self.object_may_end(self.objects.get(*object).pending) {
                    return vec![(b"}".to_vec(), Vec::new())];
                }
                self.member_ways(*object, b",")
            }
            Frame::Items(array) => {
                if self.array_may_end(self.arrays.get(*array).pending) {
                    return vec![(b"]".to_vec(), Vec::new())];
                }
                self.helpful_items(*array).into_iter().map(|frames| (b",".to_vec(), frames)).collect()
            }
        }
    }
}

/// Ways to read a member or an item that are looked at. What is more is not offered.
pub(super) const WAYS: usize = 256;

/// Combinations of ways of the parts of one conjunction. Where there are more, nothing is offered.
const COMBINED: usize = 10_000;

/// Steps and combinations after which no value is looked for any more.
const WORK: usize = 100_000;

/// Formulas and answers kept. Most take some 100 bytes; a conjunction of hundreds of required keys
/// takes 1 KiB.
const KNOWN: usize = 200_000;

impl Language for Json {
    type Frame = Frame;

    fn start(&mut self) -> Vec<Vec<Frame>> {
        vec![vec![self.whole()]]
    }

    fn offer(&mut self, frame: &Frame) -> Offer {
        let one = |lexeme: &Arc<Lexeme>| Offer::of([Choice::new(lexeme)]);
        match frame {
            Frame::Value(formula) => Offer::of(self.value(*formula).choices()),
            Frame::Item(formula, _) => Offer::of(self.distinct_value(*formula).to_vec()),
            Frame::NoMember => one(&self.punctuation.no_member),
            Frame::NoItem => one(&self.punctuation.no_item),
            Frame::Colon => one(&self.punctuation.colon),
            Frame::Key(object) => Offer::of(self.key_choice(*object)),
            Frame::Members(object) => {
                let mut choices = Vec::new();
                if self.object_may_end(self.objects.get(*object).pending) {
                    choices.push(Choice::new(&self.punctuation.close_object));
                }
                if self.key_choice(*object).is_some() {
                    choices.push(Choice::new(&self.punctuation.comma));
                }
                Offer::of(choices)
            }
            Frame::Items(array) => {
                let mut choices = Vec::new();
                if self.array_may_end(self.arrays.get(*array).pending) {
                    choices.push(Choice::new(&self.punctuation.close_array));
                }
                if !self.possible_items(*array).is_empty() {
                    choices.push(Choice::new(&self.punctuation.comma));
                }
                Offer::of(choices)
            }
        }
    }

    fn after(&mut self, frame: &Frame, choice: usize, read: Read<'_>) -> After<Frame> {
        match frame {
            Frame::Value(formula) => {
                let value = self.value(*formula);
                After::Ways(self.after_value(&value, choice))
            }
            Frame::Item(formula, array) => {
                let state = self.arrays.get(*array).clone();
                match read.text {
                    Some(text) if state.seen.contains(text) => After::Ways(Vec::new()),
                    _ if state.seen.unknown => After::Unknown,
                    // Of so many values one may be the last.
                    None if self.has_few_values(*formula) => After::Unknown,
                    text => After::one([Frame::Items(self.with_seen(*array, text))]),
                }
            }
            Frame::NoMember | Frame::NoItem | Frame::Colon => After::nothing(),
            Frame::Key(object) => {
                let state = self.objects.get(*object).clone();
                let key = self.keys(state.keys).key(read.outcome);
                let other = matches!(key, Key::Other(_));
                match read.text {
                    Some(text) if other && state.others.contains(text) => After::Ways(Vec::new()),
                    _ if other && state.others.unknown => After::Unknown,
                    None if other && self.has_few_keys(state.keys, read.outcome) => After::Unknown,
                    text => After::Ways(self.possible_after_key(*object, key, text)),
                }
            }
            Frame::Members(object) => {
                let ends = self.object_may_end(self.objects.get(*object).pending);
                if ends && choice == 0 { After::nothing() } else { After::one([Frame::Key(*object)]) }
            }
            Frame::Items(array) => {
                let ends = self.array_may_end(self.arrays.get(*array).pending);
                if ends && choice == 0 { After::nothing() } else { After::Ways(self.possible_items(*array)) }
            }
        }
    }

    fn refused(&mut self, frame: &Frame, _choice: usize) -> Vec<Vec<u8>> {
        let taken = match frame {
            Frame::Key(object) => &self.objects.get(*object).others,
            Frame::Item(_, array) => &self.arrays.get(*array).seen,
            _ => return Vec::new(),
        };
        taken.texts().iter().map(|text| text.to_vec()).collect()
    }

    fn forget(&mut self) -> bool {
        self.known() > KNOWN && self.forget_all()
    }

    fn ways(&mut self, frame: &Frame) -> Option<Vec<TextThen<Frame>>> {
        Some(self.ways_of(frame))
    }
}
