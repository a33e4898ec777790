//! Texts as JSON strings (RFC 8259, section 7).

use foldhash::{HashMap, HashMapExt};

use super::automaton::{Character, Source};
use super::utf8::{self, Utf8};

/// JSON strings, quotes included, whose text a source accepts, in **one spelling of each
/// character**: itself, or a short escape, or `\u00xx` for other control characters. Two such
/// strings are equal when their bytes are.
///
/// The source must accept nothing but UTF-8.
#[derive(Debug)]
pub(crate) struct JsonText<S>(pub(crate) S);

/// Where in a string a text is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Place<S> {
    Outside,
    /// After the opening quote.
    Opened(S),
    /// After a character.
    Between(S),
    /// Within a character's bytes: how many are left.
    Within(S, u8),
    /// After a backslash.
    Escape(S),
    /// Within `\u00xx`: digits read and their value.
    Digits(S, u8, u8),
    Closed(u32),
}

impl<S: Source> Source for JsonText<S> {
    type State = Place<S::State>;

    fn start(&self) -> Self::State {
        Place::Outside
    }

    fn step(&self, place: &Self::State, byte: u8) -> Option<Self::State> {
        let character = |state, byte| self.0.step(state, byte).map(Place::Between);
        match place {
            Place::Outside => (byte == b'"').then(|| Place::Opened(self.0.start())),
            Place::Opened(state) | Place::Between(state) => match byte {
                b'"' => self.0.ending(state).map(Place::Closed),
                b'\\' if self.has_escape(state) => Some(Place::Escape(state.clone())),
                b'\\' | 0..0x20 => None,
                0x20..0x80 => character(state, byte),
                _ => self.0.step(state, byte).map(|state| Place::Within(state, utf8::following(byte))),
            },
            Place::Within(state, left) => {
                let state = self.0.step(state, byte)?;
                Some(if *left <= 1 { Place::Between(state) } else { Place::Within(state, left - 1) })
            }
            Place::Escape(state) => match byte {
                b'u' => self.has_control(state).then(|| Place::Digits(state.clone(), 0, 0)),
                _ => character(state, short_escape(byte)?),
            },
            Place::Digits(state, count, value) => {
                let digit = match byte {
                    b'0'..=b'9' => byte - b'0',
                    b'a'..=b'f' => byte - b'a' + 10,
                    _ => return None,
                };
                match count {
                    0 | 1 if digit == 0 => Some(Place::Digits(state.clone(), count + 1, 0)),
                    2 if digit <= 1 => Some(Place::Digits(state.clone(), 3, digit << 4)),
                    3 if !matches!(value | digit, 0x8 | 0x9 | 0xA | 0xC | 0xD) => {
                        character(state, value | digit)
                    }
                    _ => None,
                }
            }
            Place::Closed(_) => None,
        }
    }

    fn ending(&self, place: &Self::State) -> Option<u32> {
        match place {
            Place::Closed(outcome) => Some(*outcome),
            _ => None,
        }
    }

    /// Bytes that JSON reads alike and the text too.
    fn classes(&self) -> [u8; 256] {
        let own = self.0.classes();
        let mut known: HashMap<(u8, u8, u8), u8> = HashMap::new();
        std::array::from_fn(|byte| {
            let byte = byte as u8;
            let key = match byte {
                0..0x20 => (0, 1, 0),
                b'"' | b'\\' | b'n' | b'r' | b't' | b'u' | b'0'..=b'9' | b'a'..=b'f' => (0, byte, 0),
                _ => (own[usize::from(byte)], 0, utf8::following(byte)),
            };
            let count = known.len() as u8;
            *known.entry(key).or_insert(count)
        })
    }
}

impl<S: Source> JsonText<S> {
    /// Whether a character that needs a backslash may come.
    fn has_escape(&self, state: &S::State) -> bool {
        [b'"', b'\\'].iter().any(|byte| self.0.step(state, *byte).is_some())
            || (0..0x20).any(|byte| self.0.step(state, byte).is_some())
    }

    /// Whether one may come that has no short escape.
    fn has_control(&self, state: &S::State) -> bool {
        let short = [0x8, 0x9, 0xA, 0xC, 0xD];
        (0..0x20).any(|byte| !short.contains(&byte) && self.0.step(state, byte).is_some())
    }
}

/// The character that a backslash and this byte stand for.
fn short_escape(byte: u8) -> Option<u8> {
    Some(match byte {
        b'"' | b'\\' => byte,
        b'b' => 0x8,
        b'f' => 0xC,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        _ => return None,
    })
}

/// `text` as [`JsonText`] spells it, without quotes.
pub(crate) fn spelled(text: &str) -> String {
    let mut spelled = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' => spelled.push_str("\\\""),
            '\\' => spelled.push_str("\\\\"),
            '\u{8}' => spelled.push_str("\\b"),
            '\u{C}' => spelled.push_str("\\f"),
            '\n' => spelled.push_str("\\n"),
            '\r' => spelled.push_str("\\r"),
            '\t' => spelled.push_str("\\t"),
            '\0'..'\u{20}' => spelled.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => spelled.push(character),
        }
    }
    spelled
}

/// Any JSON string with every escape there is, surrogates in pairs. Characters are counted.
#[derive(Debug)]
pub(crate) struct AnyJsonText;

/// Where in any string a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum AnyPlace {
    Outside,
    Opened,
    Between,
    Within(Utf8),
    Escape,
    /// Within `\uXXXX` of no surrogate: digits left.
    Digits(u8),
    /// After `\u`, and after `\ud`.
    First,
    FirstD,
    /// Within the last two digits of a first surrogate, then `\`, `u`, `d`, and one of `c` to `f`.
    High(u8),
    Second(u8),
    Closed,
}

impl Source for AnyJsonText {
    type State = AnyPlace;

    fn start(&self) -> AnyPlace {
        AnyPlace::Outside
    }

    fn step(&self, place: &AnyPlace, byte: u8) -> Option<AnyPlace> {
        let digit = byte.is_ascii_hexdigit();
        Some(match place {
            AnyPlace::Outside if byte == b'"' => AnyPlace::Opened,
            AnyPlace::Opened | AnyPlace::Between => match byte {
                b'"' => AnyPlace::Closed,
                b'\\' => AnyPlace::Escape,
                0..0x20 => return None,
                0x20..0x80 => AnyPlace::Between,
                _ => AnyPlace::Within(Utf8::START.step(byte)?),
            },
            AnyPlace::Within(state) => match state.step(byte)? {
                Utf8::START => AnyPlace::Between,
                state => AnyPlace::Within(state),
            },
            AnyPlace::Escape => match byte {
                b'u' => AnyPlace::First,
                b'/' => AnyPlace::Between,
                _ => short_escape(byte).map(|_| AnyPlace::Between)?,
            },
            AnyPlace::First if matches!(byte, b'd' | b'D') => AnyPlace::FirstD,
            AnyPlace::First if digit => AnyPlace::Digits(3),
            AnyPlace::FirstD if matches!(byte, b'0'..=b'7') => AnyPlace::Digits(2),
            AnyPlace::FirstD if matches!(byte, b'8' | b'9' | b'a' | b'b' | b'A' | b'B') => AnyPlace::High(2),
            AnyPlace::Digits(1) if digit => AnyPlace::Between,
            AnyPlace::Digits(left) if digit => AnyPlace::Digits(left - 1),
            AnyPlace::High(1) if digit => AnyPlace::Second(0),
            AnyPlace::High(left) if digit => AnyPlace::High(left - 1),
            AnyPlace::Second(0) if byte == b'\\' => AnyPlace::Second(1),
            AnyPlace::Second(1) if byte == b'u' => AnyPlace::Second(2),
            AnyPlace::Second(2) if matches!(byte, b'd' | b'D') => AnyPlace::Second(3),
            AnyPlace::Second(3) if digit && matches!(byte.to_ascii_lowercase(), b'c'..=b'f') => {
                AnyPlace::Digits(2)
            }
            _ => return None,
        })
    }

    fn ending(&self, place: &AnyPlace) -> Option<u32> {
        (*place == AnyPlace::Closed).then_some(0)
    }

    fn character(&self, place: &AnyPlace) -> Character {
        match place {
            AnyPlace::Between => Character::Completed,
            AnyPlace::Outside | AnyPlace::Opened | AnyPlace::Closed => Character::Uncounted,
            _ => Character::Within,
        }
    }
}
