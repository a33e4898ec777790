//! Values kept once and named by number.

use std::hash::Hash;

use foldhash::{HashMap, HashMapExt};

pub(super) type FrameId = u32;
pub(super) type StackId = u32;
pub(super) type TextId = u32;

/// Values by number.
#[derive(Debug)]
pub(crate) struct Store<T> {
    values: Vec<T>,
    ids: HashMap<T, u32>,
}

impl<T> Default for Store<T> {
    fn default() -> Self {
        Self { values: Vec::new(), ids: HashMap::new() }
    }
}

impl<T: Clone + Eq + Hash> Store<T> {
    pub(crate) fn id(&mut self, value: T) -> u32 {
        *self.ids.entry(value).or_insert_with_key(|value| {
            self.values.push(value.clone());
            self.values.len() as u32 - 1
        })
    }

    pub(crate) fn get(&self, id: u32) -> &T {
        &self.values[id as usize]
    }
}

/// The stack without frames: the text is complete.
pub(super) const EMPTY: StackId = 0;

/// Stacks of frames, which share their lower parts: a top frame and the stack below.
#[derive(Debug)]
pub(super) struct Stacks(Store<(FrameId, StackId)>);

impl Default for Stacks {
    fn default() -> Self {
        let mut nodes = Store::default();
        // A stand-in, so that no other stack is [`EMPTY`].
        nodes.id((FrameId::MAX, EMPTY));
        Self(nodes)
    }
}

impl Stacks {
    pub(super) fn push(&mut self, frame: FrameId, below: StackId) -> StackId {
        self.0.id((frame, below))
    }

    /// The top frame and what is below it.
    pub(super) fn top(&self, stack: StackId) -> (FrameId, StackId) {
        *self.0.get(stack)
    }
}

/// The text of a lexeme that is not captured.
pub(super) const UNCAPTURED: TextId = 0;
/// A captured text that is not known, since many share the state.
pub(super) const UNKNOWN: TextId = 1;
/// A captured text that has just begun.
pub(super) const BEGUN: TextId = 2;

/// Captured texts, which share their beginnings: a text and the byte after it.
#[derive(Debug)]
pub(super) struct Texts(Store<(TextId, u8)>);

impl Default for Texts {
    fn default() -> Self {
        let mut nodes = Store::default();
        // Stand-ins for the three above.
        (UNCAPTURED..=BEGUN).for_each(|number| {
            nodes.id((TextId::MAX, number as u8));
        });
        Self(nodes)
    }
}

impl Texts {
    /// The text with a byte more.
    pub(super) fn push(&mut self, text: TextId, byte: u8) -> TextId {
        if text < BEGUN { text } else { self.0.id((text, byte)) }
    }

    /// The bytes of a text, where it is known.
    pub(super) fn get(&self, mut text: TextId) -> Option<Vec<u8>> {
        if text < BEGUN {
            return None;
        }
        let mut bytes = Vec::new();
        while text != BEGUN {
            let (before, byte) = *self.0.get(text);
            bytes.push(byte);
            text = before;
        }
        bytes.reverse();
        Some(bytes)
    }
}
