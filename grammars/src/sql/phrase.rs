//! Keywords and known names as lexemes.

use crate::lexeme::Source;

/// Texts with outcomes, in which white space is flexible and letters may be of either case. Of
/// equal texts the first counts.
#[derive(Debug, Default)]
pub(super) struct Phrases {
    phrases: Vec<(Vec<Item>, u32)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    Byte(u8),
    /// A lower-case letter, or its capital.
    Letter(u8),
    /// One white space.
    Blank,
    /// Any number of them.
    Blanks,
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

impl Phrases {
    /// A blank in `pattern` stands for white space, `~` for white space or nothing.
    pub(super) fn add(&mut self, pattern: &str, outcome: u32) {
        self.phrases.push((items(pattern), outcome));
    }

    fn reach(&self, phrase: u32, at: u32, into: &mut Vec<(u32, u32)>) {
        into.push((phrase, at));
        if self.phrases[phrase as usize].0.get(at as usize) == Some(&Item::Blanks) {
            self.reach(phrase, at + 1, into);
        }
    }
}

fn items(pattern: &str) -> Vec<Item> {
    let of = |byte| match byte {
        b' ' => vec![Item::Blank, Item::Blanks],
        b'~' => vec![Item::Blanks],
        b'a'..=b'z' => vec![Item::Letter(byte)],
        _ => vec![Item::Byte(byte)],
    };
    pattern.bytes().flat_map(of).collect()
}

impl Source for Phrases {
    /// Phrases that fit so far, and the item that is due of each.
    type State = Vec<(u32, u32)>;

    fn start(&self) -> Self::State {
        let mut state = Vec::new();
        (0..self.phrases.len() as u32).for_each(|phrase| self.reach(phrase, 0, &mut state));
        state
    }

    fn step(&self, state: &Self::State, byte: u8) -> Option<Self::State> {
        let mut next = Vec::new();
        for (phrase, at) in state {
            let to = match self.phrases[*phrase as usize].0.get(*at as usize) {
                Some(Item::Byte(wanted)) if *wanted == byte => at + 1,
                Some(Item::Letter(wanted)) if *wanted == byte.to_ascii_lowercase() => at + 1,
                Some(Item::Blank) if is_blank(byte) => at + 1,
                Some(Item::Blanks) if is_blank(byte) => *at,
                _ => continue,
            };
            self.reach(*phrase, to, &mut next);
        }
        next.sort_unstable();
        next.dedup();
        (!next.is_empty()).then_some(next)
    }

    fn ending(&self, state: &Self::State) -> Option<u32> {
        let ends = |(phrase, at): &(u32, u32)| {
            let (items, outcome) = &self.phrases[*phrase as usize];
            (*at as usize == items.len()).then_some(*outcome)
        };
        state.iter().find_map(ends)
    }

    fn classes(&self) -> [u8; 256] {
        let (mut exact, mut letters) = ([false; 256], [false; 256]);
        for item in self.phrases.iter().flat_map(|(items, _)| items) {
            match item {
                Item::Byte(byte) => exact[usize::from(*byte)] = true,
                Item::Letter(byte) => letters[usize::from(*byte)] = true,
                Item::Blank | Item::Blanks => {}
            }
        }
        let mut classes = [0_u8; 256];
        let mut count = 1_u8;
        for byte in 0..=u8::MAX {
            let lower = byte.to_ascii_lowercase();
            let shared =
                letters[usize::from(lower)] && !exact[usize::from(byte)] && !exact[usize::from(lower)];
            let first = if shared { byte.to_ascii_uppercase() } else { byte };
            if is_blank(byte) && !exact[usize::from(byte)] {
                classes[usize::from(byte)] = 1;
            } else if shared && first != byte {
                classes[usize::from(byte)] = classes[usize::from(first)];
            } else if exact[usize::from(byte)] || letters[usize::from(lower)] {
                count = count.wrapping_add(1);
                classes[usize::from(byte)] = count;
            }
        }
        classes
    }
}
