//! Characters of a string, and the spelling of numbers.

/// Where in a string a text is: what is there of a character that is not complete.
#[derive(Debug, Clone, Default)]
pub(super) struct Characters {
    /// Bytes of UTF-8, or of an escape with its backslash.
    begun: Vec<u8>,
}

pub(super) enum Piece {
    Nothing,
    Character(char),
    End,
}

impl Characters {
    /// What one more byte makes; `None` if it cannot follow.
    pub(super) fn next(&mut self, byte: u8) -> Option<Piece> {
        if self.begun.is_empty() {
            match byte {
                b'"' => return Some(Piece::End),
                0..0x20 => return None,
                0x20..0x80 if byte != b'\\' => return Some(Piece::Character(char::from(byte))),
                _ => {}
            }
        }
        self.begun.push(byte);
        let character = match self.begun.as_slice() {
            [b'\\', rest @ ..] => escaped(rest)?,
            bytes => match std::str::from_utf8(bytes) {
                Ok(text) => text.chars().next(),
                Err(error) if error.error_len().is_none() => None,
                Err(_) => return None,
            },
        };
        Some(match character {
            Some(character) => {
                self.begun.clear();
                Piece::Character(character)
            }
            None => Piece::Nothing,
        })
    }
}

/// The character of an escape, after its backslash; `Some(None)` while it is not complete.
#[allow(clippy::option_option, reason = "no escape, one that is not complete, and its character")]
fn escaped(rest: &[u8]) -> Option<Option<char>> {
    let (digits, second) = match rest {
        [] => return Some(None),
        [b'"' | b'\\' | b'/'] => return Some(Some(char::from(rest[0]))),
        [b'b'] => return Some(Some('\u{8}')),
        [b'f'] => return Some(Some('\u{c}')),
        [b'n'] => return Some(Some('\n')),
        [b'r'] => return Some(Some('\r')),
        [b't'] => return Some(Some('\t')),
        [b'u', digits @ ..] => digits.split_at(digits.len().min(4)),
        _ => return None,
    };
    let hex = |digits: &[u8]| {
        let valid = digits.iter().all(u8::is_ascii_hexdigit);
        let text = std::str::from_utf8(digits).ok().filter(|_| valid)?;
        if text.is_empty() { Some(0) } else { u32::from_str_radix(text, 16).ok() }
    };
    let first = hex(digits)?;
    if digits.len() < 4 {
        return Some(None);
    }
    if !(0xD800..0xDC00).contains(&first) {
        return Some(Some(char::from_u32(first)?));
    }
    // The second half of a pair of surrogates.
    let second = match second {
        [] | [b'\\'] => return Some(None),
        [b'\\', b'u', digits @ ..] if digits.len() < 4 => return hex(digits).map(|_| None),
        [b'\\', b'u', digits @ ..] => hex(digits)?,
        _ => return None,
    };
    let low = (0xDC00..0xE000).contains(&second);
    let code = low.then(|| 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00))?;
    Some(Some(char::from_u32(code)?))
}

/// Whether a text is a number (RFC 8259, section 6).
pub(super) fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let mantissa = mantissa.strip_prefix('-').unwrap_or(mantissa);
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let exponent =
        exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)));
    digits(whole) && (whole.len() == 1 || !whole.starts_with('0')) && fraction.is_none_or(digits) && exponent
}
