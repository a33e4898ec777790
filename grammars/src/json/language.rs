//! JSON values of a schema as a [`Language`].

use std::collections::HashMap;
use std::sync::Arc;

use super::array::Array;
use super::formula::{ALWAYS, F, Formula, Formulas, NEVER};
use super::keys::{Key, Keys};
use super::object::Object;
use super::scalar::ScalarError;
use super::schema::Document;
use super::value::Value;
use super::{SchemaError, Whitespace};
use crate::lexeme::{Automaton, JsonText, Lexeme, Outcomes, Regular};
use crate::machine::{After, Choice, ENDLESS, Language, Offer, Read, Store, Way, solve};
use crate::{Budget, GrammarError, Vocabulary};

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
    pub(super) punctuation: Punctuation,
    whitespace: Whitespace,
    root: F,
    keys: Vec<Arc<Keys>>,
    keys_of: HashMap<F, u32>,
    key_lexemes: HashMap<(u32, bool), Arc<Lexeme>>,
    objects: Store<Object>,
    arrays: Store<Array>,
    allowed_keys: HashMap<u32, Option<Outcomes>>,
    /// Keys whose values are possible, by keys and pending formula, where nothing else matters.
    plain_keys: HashMap<(u32, F), Outcomes>,
    few_keys: HashMap<(u32, u32), bool>,
    few_values: HashMap<F, bool>,
    pub(super) values: HashMap<F, Arc<Value>>,
    closes: HashMap<Frame, Way<Frame>>,
    /// The first reason why something was not offered: for the message when nothing is left.
    pub(super) trouble: Option<SchemaError>,
}

/// The lexemes between values. Each takes the whitespace on both its sides where any is allowed.
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
        let (before, after) = match whitespace {
            Whitespace::None => ("", ""),
            Whitespace::Any => ("[ \\t\\n\\r]*", "[ \\t\\n\\r]*"),
        };
        let lexeme = |expression: String| {
            vocabulary.lexicon().get(&format!("punctuation {expression}"), || {
                Automaton::build(&Regular::new(&expression, budget)?, vocabulary.spellable(), budget)
            })
        };
        Ok(Self {
            open_object: lexeme(format!("\\{{{after}"))?,
            open_array: lexeme(format!("\\[{after}"))?,
            no_member: lexeme("\\}".into())?,
            no_item: lexeme("\\]".into())?,
            close_object: lexeme(format!("{before}\\}}"))?,
            close_array: lexeme(format!("{before}\\]"))?,
            comma: lexeme(format!("{before},{after}"))?,
            colon: lexeme(format!("{before}:{after}"))?,
        })
    }
}

impl Json {
    pub(super) fn new(
        document: Document,
        whitespace: Whitespace,
        vocabulary: &Arc<Vocabulary>,
        budget: &Budget,
    ) -> Result<Self, GrammarError> {
        let mut json = Self {
            document,
            formulas: Formulas::default(),
            vocabulary: vocabulary.clone(),
            budget: *budget,
            punctuation: Punctuation::new(whitespace, vocabulary, budget)?,
            whitespace,
            root: ALWAYS,
            keys: Vec::new(),
            keys_of: HashMap::new(),
            key_lexemes: HashMap::new(),
            objects: Store::default(),
            arrays: Store::default(),
            allowed_keys: HashMap::new(),
            plain_keys: HashMap::new(),
            few_keys: HashMap::new(),
            few_values: HashMap::new(),
            values: HashMap::new(),
            closes: HashMap::new(),
            trouble: None,
        };
        json.root = json.document.part(&mut json.formulas, "");
        json.document.check(&mut json.formulas, json.root)?;
        if !json.is_possible(&Frame::Value(json.root)) {
            return Err(json.trouble.take().unwrap_or(SchemaError::Unsatisfiable(String::new())).into());
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
        for part in parts {
            let options = ways_of(self, part);
            if let [(value, rest)] = options[..] {
                values.push(value);
                rests.push(rest);
                continue;
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
            let found = solve(frame, &known, |frame| {
                let ways = self.ways_of(frame).into_iter();
                ways.map(|(text, then)| Way { cost: text.len() as u32, text, then }).collect()
            });
            self.closes = known;
            self.closes.extend(found);
        }
        self.closes[frame].cost != ENDLESS
    }

    pub(super) fn keys(&self, keys: u32) -> &Arc<Keys> {
        &self.keys[keys as usize]
    }

    /// An object before its first member.
    pub(super) fn begin_object(&mut self, pending: F) -> Result<u32, SchemaError> {
        let keys = match self.keys_of.get(&pending) {
            Some(known) => *known,
            None => {
                let keys = Keys::of(&mut self.document, &mut self.formulas, pending)?;
                self.keys.push(Arc::new(keys));
                self.keys_of.insert(pending, self.keys.len() as u32 - 1);
                self.keys.len() as u32 - 1
            }
        };
        let used = Outcomes::none(self.keys(keys).names.len() as u32);
        Ok(self.objects.id(Object { keys, pending, used, others: Vec::new(), unknown: false }))
    }

    pub(super) fn begin_array(&mut self, pending: F) -> u32 {
        self.arrays.id(Array { pending, seen: Vec::new(), unknown: false })
    }

    /// What is due after a key: the ways to read its value and the members after it.
    fn after_key(&mut self, object: u32, key: Key, text: Option<&[u8]>) -> Vec<Vec<Frame>> {
        let object = self.objects.get(object).clone();
        let ways = self.read_key(object.keys, object.pending, key);
        let mut next = object;
        match key {
            Key::Named(name) => next.used.insert(name as u32),
            Key::Other(_) => match text {
                Some(text) => {
                    if let Err(place) = next.others.binary_search_by(|known| (**known).cmp(text)) {
                        next.others.insert(place, text.into());
                    }
                }
                None => next.unknown = true,
            },
        }
        let ways = ways.into_iter().map(|(value, pending)| {
            let members = self.objects.id(Object { pending, ..next.clone() });
            vec![Frame::Colon, Frame::Value(value), Frame::Members(members)]
        });
        ways.collect()
    }

    /// The ways after a key that can be completed.
    fn possible_after_key(&mut self, object: u32, key: Key, text: Option<&[u8]>) -> Vec<Vec<Frame>> {
        let plain = self.is_plain(self.objects.get(object).pending);
        let mut ways = self.after_key(object, key, text);
        ways.retain(|frames| {
            let checked = if plain { &frames[..2] } else { &frames[..] };
            checked.iter().all(|frame| self.is_possible(frame))
        });
        ways
    }

    /// Which keys may be read next; `None` for none.
    fn keys_allowed(&mut self, object: u32) -> Option<Outcomes> {
        if let Some(known) = self.allowed_keys.get(&object) {
            return known.clone();
        }
        let Object { keys, pending, used, .. } = self.objects.get(object).clone();
        let allowed = if self.is_plain(pending) {
            self.plain_keys(object, keys, pending)
        } else {
            self.possible_keys(object, keys, true)
        };
        let mut left = Outcomes::none(self.keys(keys).outcomes());
        allowed.iter().filter(|outcome| !used.contains(*outcome)).for_each(|outcome| left.insert(outcome));
        let some = left.iter().next().is_some();
        let answer = some.then_some(left);
        self.allowed_keys.insert(object, answer.clone());
        answer
    }

    /// Keys of an object that nothing but rules for values and required keys is said of: required
    /// ones that were read make no difference.
    fn plain_keys(&mut self, object: u32, keys: u32, pending: F) -> Outcomes {
        let rules: Vec<F> = self
            .formulas
            .parts(pending)
            .into_iter()
            .filter(|part| matches!(self.formulas.get(*part), Formula::Properties(_)))
            .collect();
        let rules = self.formulas.all(rules);
        if let Some(known) = self.plain_keys.get(&(keys, rules)) {
            return known.clone();
        }
        // The object can be completed, so it can be with one of its own keys read: only values matter.
        let allowed = self.possible_keys(object, keys, false);
        self.plain_keys.insert((keys, rules), allowed.clone());
        allowed
    }

    /// Keys that may be read: those whose value is possible, and the members after it if asked for.
    fn possible_keys(&mut self, object: u32, keys: u32, and_members: bool) -> Outcomes {
        let tell = self.keys(keys).clone();
        let mut allowed = Outcomes::none(tell.outcomes());
        for outcome in 0..tell.outcomes() {
            let ways = self.after_key(object, tell.key(outcome), None);
            let due = |way: &Vec<Frame>| if and_members { way.clone() } else { way[..2].to_vec() };
            if ways.iter().any(|way| due(way).iter().all(|frame| self.is_possible(frame))) {
                allowed.insert(outcome);
            }
        }
        allowed
    }

    /// The lexeme of an object's keys. `None` where it cannot be made.
    fn key_lexeme(&mut self, keys: u32, others: bool) -> Option<Arc<Lexeme>> {
        if let Some(known) = self.key_lexemes.get(&(keys, others)) {
            return Some(known.clone());
        }
        let tell = self.keys(keys).clone();
        let budget = Budget { max_states: self.budget.max_states * 10, ..self.budget };
        let definition = format!("keys {others} {:?} {:?}", tell.names, tell.patterns);
        let (vocabulary, mut trouble) = (self.vocabulary.clone(), None);
        let made = vocabulary.lexicon().get(&definition, || {
            let source = tell.source(others).map_err(|error| {
                trouble = Some(error);
                GrammarError::NothingMatches(Vec::new())
            })?;
            Automaton::build(&JsonText(source), vocabulary.spellable(), &budget)
        });
        match made {
            Ok(lexeme) => {
                self.key_lexemes.insert((keys, others), lexeme.clone());
                Some(lexeme)
            }
            Err(error) => {
                self.trouble.get_or_insert(trouble.unwrap_or(ScalarError::Budget(error).into()));
                None
            }
        }
    }

    fn key_choice(&mut self, object: u32) -> Option<Choice> {
        let allowed = self.keys_allowed(object)?;
        let keys = self.objects.get(object).keys;
        let names = self.keys(keys).names.len() as u32;
        let others = allowed.iter().any(|outcome| outcome >= names);
        let choice = Choice::new(&self.key_lexeme(keys, others)?).allowing(allowed);
        Some(if others { choice.captured() } else { choice })
    }

    /// The ways to read a first member or none.
    pub(super) fn after_open_object(&mut self, object: u32) -> Vec<Vec<Frame>> {
        let mut ways = Vec::new();
        if self.key_choice(object).is_some() {
            ways.push(vec![Frame::Key(object)]);
        }
        if self.object_may_end(self.objects.get(object).pending) {
            ways.push(vec![Frame::NoMember]);
        }
        ways
    }

    /// The ways to read an item and what follows it.
    fn items(&mut self, array: u32) -> Vec<Vec<Frame>> {
        let state = self.arrays.get(array).clone();
        let unique = self.is_unique(state.pending);
        let ways = self.read_item(state.pending);
        let ways = ways.into_iter().map(|(item, pending)| {
            let next = self.arrays.id(Array { pending, ..state.clone() });
            if unique { vec![Frame::Item(item, next)] } else { vec![Frame::Value(item), Frame::Items(next)] }
        });
        ways.collect()
    }

    fn possible_items(&mut self, array: u32) -> Vec<Vec<Frame>> {
        let mut ways = self.items(array);
        ways.retain(|frames| frames.iter().all(|frame| self.is_possible(frame)));
        ways
    }

    /// The ways to read a first item or none.
    pub(super) fn after_open_array(&mut self, array: u32) -> Vec<Vec<Frame>> {
        let mut ways = self.possible_items(array);
        if self.array_may_end(self.arrays.get(array).pending) {
            ways.push(vec![Frame::NoItem]);
        }
        ways
    }

    /// Ways to complete an array from its beginning.
    pub(super) fn first_items(&mut self, array: u32) -> Vec<(Vec<u8>, Vec<Frame>)> {
        if self.array_may_end(self.arrays.get(array).pending) {
            return vec![(b"[]".to_vec(), Vec::new())];
        }
        self.items(array).into_iter().map(|frames| (b"[".to_vec(), frames)).collect()
    }

    /// Ways to complete an object from its beginning.
    pub(super) fn first_members(&mut self, object: u32) -> Vec<(Vec<u8>, Vec<Frame>)> {
        if self.object_may_end(self.objects.get(object).pending) {
            return vec![(b"{}".to_vec(), Vec::new())];
        }
        self.member_ways(object, b"{")
    }

    /// The array after an item that was read as `text`.
    fn with_seen(&mut self, array: u32, text: Option<&[u8]>) -> u32 {
        let mut array = self.arrays.get(array).clone();
        match text {
            Some(text) => {
                if let Err(place) = array.seen.binary_search_by(|known| (**known).cmp(text)) {
                    array.seen.insert(place, text.into());
                }
            }
            None => array.unknown = true,
        }
        self.arrays.id(array)
    }

    /// Short ways to complete something. They use no whitespace.
    fn ways_of(&mut self, frame: &Frame) -> Vec<(Vec<u8>, Vec<Frame>)> {
        match frame {
            Frame::Value(formula) => self.value_ways(*formula),
            Frame::Item(formula, array) => {
                let seen = self.arrays.get(*array).seen.clone();
                let mut ways = Vec::new();
                for text in self.scalar_texts(*formula, seen.len() + 1) {
                    if !seen.iter().any(|known| **known == *text) {
                        let next = self.with_seen(*array, Some(&text));
                        ways.push((text, vec![Frame::Items(next)]));
                    }
                }
                ways
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
                self.items(*array).into_iter().map(|frames| (b",".to_vec(), frames)).collect()
            }
        }
    }

    /// Ways to bring an object nearer to its end, by a member or by settling on an alternative: whatever
    /// the first unmet part of it needs, or any member where nothing is unmet but one is due.
    fn member_ways(&mut self, object: u32, before: &[u8]) -> Vec<(Vec<u8>, Vec<Frame>)> {
        let state = self.objects.get(object).clone();
        let tell = self.keys(state.keys).clone();
        let unmet = self.first_unmet(state.pending);
        let unused = |index: usize| (!state.used.contains(index as u32)).then_some(Key::Named(index));
        let others = (tell.names.len() as u32..tell.outcomes()).map(|outcome| tell.key(outcome));
        let keys: Vec<Key> = match self.formulas.get(unmet.unwrap_or(ALWAYS)).clone() {
            Formula::Any(alternatives) => {
                let parts = self.formulas.parts(state.pending).into_iter();
                let rest: Vec<F> = parts.filter(|part| Some(*part) != unmet).collect();
                let mut ways = Vec::new();
                for alternative in alternatives {
                    let pending = self.formulas.all(rest.iter().copied().chain([alternative]));
                    let settled = self.objects.id(Object { pending, ..state.clone() });
                    ways.extend(self.member_ways(settled, before));
                }
                return ways;
            }
            Formula::Required(name) => {
                tell.names.iter().position(|known| *known == name).and_then(unused).into_iter().collect()
            }
            Formula::SomeProperty(rules) => {
                let named =
                    |(index, name): (usize, &Arc<str>)| rules.named.contains_key(name).then_some(index);
                let named = tell.names.iter().enumerate().filter_map(named).filter_map(unused);
                named.chain((0..tell.names.len()).filter_map(unused).take(HELPFUL)).chain(others).collect()
            }
            _ => (0..tell.names.len()).filter_map(unused).take(HELPFUL).chain(others).collect(),
        };
        let mut ways = Vec::new();
        for key in keys {
            let Some(text) = self.key_text(&state, key) else { continue };
            for frames in self.after_key(object, key, Some(&text)) {
                let Some(Frame::Members(next)) = frames.last() else { continue };
                // A member that leaves the part as it was brings the end no nearer.
                let left = self.formulas.parts(self.objects.get(*next).pending);
                if unmet.is_none_or(|unmet| !left.contains(&unmet)) {
                    ways.push(([before, &text, b":"].concat(), frames[1..].to_vec()));
                }
            }
        }
        ways
    }

    /// A part of what is pending that keeps an object from ending; a required key before others.
    fn first_unmet(&self, pending: F) -> Option<F> {
        let parts = self.formulas.parts(pending);
        let mut unmet = parts.into_iter().filter(|part| !self.object_may_end(*part)).peekable();
        let first = unmet.peek().copied();
        unmet.find(|part| matches!(self.formulas.get(*part), Formula::Required(_))).or(first)
    }

    /// Whether there are only so many other keys of a kind.
    fn has_few_keys(&mut self, keys: u32, outcome: u32) -> bool {
        if let Some(known) = self.few_keys.get(&(keys, outcome)) {
            return *known;
        }
        let few = self.key_lexeme(keys, true).is_none_or(|lexeme| lexeme.automaton.is_finite(outcome));
        self.few_keys.insert((keys, outcome), few);
        few
    }

    /// Whether only so many scalars satisfy a formula.
    fn has_few_values(&mut self, formula: F) -> bool {
        if let Some(known) = self.few_values.get(&formula) {
            return *known;
        }
        let few = self.distinct_value(formula).iter().all(|choice| choice.lexeme.automaton.is_finite(0));
        self.few_values.insert(formula, few);
        few
    }

    /// A key as it is spelled, and not one that was read.
    fn key_text(&mut self, object: &Object, key: Key) -> Option<Vec<u8>> {
        let tell = self.keys(object.keys).clone();
        if let Key::Named(name) = key {
            return Some(format!("\"{}\"", crate::lexeme::spelled(&tell.names[name])).into_bytes());
        }
        let lexeme = self.key_lexeme(object.keys, true)?;
        let only = Outcomes::only(tell.outcomes(), Some(tell.outcome(key)));
        let texts = lexeme.automaton.some_texts(crate::lexeme::START, Some(&only), object.others.len() + 1);
        texts
            .into_iter()
            .map(|(text, _)| text)
            .find(|text| !object.others.iter().any(|known| **known == **text))
    }
}

/// Ways to read a member or an item that are looked at. What is more is not offered.
const WAYS: usize = 256;

/// Formulas and answers kept. Most take some 100 bytes; a conjunction of hundreds of required keys
/// takes 1 KiB.
const KNOWN: usize = 200_000;

/// Names tried where an object needs more members of any name.
const HELPFUL: usize = 16;

impl Language for Json {
    type Frame = Frame;

    fn start(&mut self) -> Vec<Vec<Frame>> {
        vec![vec![Frame::Value(self.root)]]
    }

    fn offer(&mut self, frame: &Frame) -> Offer {
        let one = |lexeme: &Arc<Lexeme>| Offer::of([Choice::new(lexeme)]);
        match frame {
            Frame::Value(formula) => Offer::of(self.value(*formula).choices()),
            Frame::Item(formula, _) => Offer::of(self.distinct_value(*formula)),
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
                    Some(text) if state.seen.iter().any(|known| **known == *text) => After::Ways(Vec::new()),
                    _ if state.unknown => After::Unknown,
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
                    Some(text) if other && state.others.iter().any(|known| **known == *text) => {
                        After::Ways(Vec::new())
                    }
                    _ if other && state.unknown => After::Unknown,
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
        match frame {
            Frame::Key(object) => self.objects.get(*object).others.iter().map(|text| text.to_vec()).collect(),
            Frame::Item(_, array) => self.arrays.get(*array).seen.iter().map(|text| text.to_vec()).collect(),
            _ => Vec::new(),
        }
    }

    fn forget(&mut self) -> bool {
        if self.formulas.len() + self.closes.len() + self.allowed_keys.len() <= KNOWN {
            return false;
        }
        let document = self.document.afresh();
        match Self::new(document, self.whitespace, &self.vocabulary, &self.budget) {
            Ok(fresh) => {
                *self = fresh;
                true
            }
            // It could be made before; only its budget of time can have run out.
            Err(_) => false,
        }
    }

    fn ways(&mut self, frame: &Frame) -> Option<Vec<(Vec<u8>, Vec<Frame>)>> {
        Some(self.ways_of(frame))
    }
}
