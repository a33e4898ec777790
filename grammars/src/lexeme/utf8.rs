//! UTF-8 byte by byte.

use super::automaton::Source;

/// What the next bytes have to be (Unicode standard, table 3-7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Utf8 {
    /// Bytes of the character that are still due.
    left: u8,
    /// Bounds of the next of them.
    low: u8,
    high: u8,
}

impl Utf8 {
    /// Between two characters.
    pub(crate) const START: Self = Self { left: 0, low: 0, high: 0 };

    /// Classes of bytes.
    pub(crate) const CLASSES: u8 = 12;

    /// Bytes of one class, which is less than [`CLASSES`](Self::CLASSES), lead to the same everywhere.
    pub(crate) fn class(byte: u8) -> u8 {
        match byte {
            0..0x80 => 0,
            0x80..=0x8F => 1,
            0x90..=0x9F => 2,
            0xA0..=0xBF => 3,
            0xC2..=0xDF => 4,
            0xE0 => 5,
            0xED => 6,
            0xE1..=0xEF => 7,
            0xF0 => 8,
            0xF1..=0xF3 => 9,
            0xF4 => 10,
            _ => 11,
        }
    }

    pub(crate) fn step(self, byte: u8) -> Option<Self> {
        let plain = |left| Self { left, low: 0x80, high: 0xBF };
        if self.left > 0 {
            let fits = (self.low..=self.high).contains(&byte);
            return fits.then(|| if self.left == 1 { Self::START } else { plain(self.left - 1) });
        }
        match byte {
            0..0x80 => Some(Self::START),
            0xE0 => Some(Self { low: 0xA0, ..plain(2) }),
            0xED => Some(Self { high: 0x9F, ..plain(2) }),
            0xF0 => Some(Self { low: 0x90, ..plain(3) }),
            0xF4 => Some(Self { high: 0x8F, ..plain(3) }),
            0xC2..=0xDF | 0xE1..=0xEF | 0xF1..=0xF3 => Some(plain(following(byte))),
            _ => None,
        }
    }
}

/// Bytes that follow a first byte.
pub(crate) fn following(first: u8) -> u8 {
    match first {
        0xC2..=0xDF => 1,
        0xE0..=0xEF => 2,
        0xF0..=0xF4 => 3,
        _ => 0,
    }
}

/// Any text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AnyText;

impl Source for AnyText {
    type State = Utf8;

    fn start(&self) -> Utf8 {
        Utf8::START
    }

    fn step(&self, state: &Utf8, byte: u8) -> Option<Utf8> {
        state.step(byte)
    }

    fn ending(&self, state: &Utf8) -> Option<u32> {
        (*state == Utf8::START).then_some(0)
    }
}
