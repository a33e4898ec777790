//! Values kept once and named by number.

use std::collections::HashMap;
use std::hash::Hash;

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

/// Stacks of frames, which share their lower parts.
#[derive(Debug)]
pub(super) struct Stacks {
    /// Top frame and the stack below; the first is a stand-in for [`EMPTY`].
    nodes: Vec<(FrameId, StackId)>,
    ids: HashMap<(FrameId, StackId), StackId>,
}

impl Default for Stacks {
    fn default() -> Self {
        Self { nodes: vec![(FrameId::MAX, EMPTY)], ids: HashMap::new() }
    }
}

impl Stacks {
    pub(super) fn push(&mut self, frame: FrameId, below: StackId) -> StackId {
        *self.ids.entry((frame, below)).or_insert_with(|| {
            self.nodes.push((frame, below));
            self.nodes.len() as u32 - 1
        })
    }

    /// The top frame and what is below it.
    pub(super) fn top(&self, stack: StackId) -> (FrameId, StackId) {
        self.nodes[stack as usize]
    }
}

/// The text of a lexeme that is not captured.
pub(super) const UNCAPTURED: TextId = 0;
/// A captured text that is not known, since many share the state.
pub(super) const UNKNOWN: TextId = 1;
/// A captured text that has just begun.
pub(super) const BEGUN: TextId = 2;

/// Captured texts, which share their beginnings.
#[derive(Debug)]
pub(super) struct Texts {
    nodes: Vec<(TextId, u8)>,
    ids: HashMap<(TextId, u8), TextId>,
}

impl Default for Texts {
    fn default() -> Self {
        Self { nodes: vec![(UNCAPTURED, 0); 3], ids: HashMap::new() }
    }
}

impl Texts {
    /// The text with a byte more.
    pub(super) fn push(&mut self, text: TextId, byte: u8) -> TextId {
        if text < BEGUN {
            return text;
        }
        *self.ids.entry((text, byte)).or_insert_with(|| {
            self.nodes.push((text, byte));
            self.nodes.len() as u32 - 1
        })
    }

    /// The bytes of a text, where it is known.
    pub(super) fn get(&self, mut text: TextId) -> Option<Vec<u8>> {
        if text < BEGUN {
            return None;
        }
        let mut bytes = Vec::new();
        while text != BEGUN {
            let (before, byte) = self.nodes[text as usize];
            bytes.push(byte);
            text = before;
        }
        bytes.reverse();
        Some(bytes)
    }
}
