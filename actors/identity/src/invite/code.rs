//! Codes for people: ten characters that are hard to misread.

use std::{fmt, str::FromStr};

use zeroize::Zeroize as _;

use crate::error::{IdentityError, random};

/// Crockford's base32: no I, L, O and U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const CHARACTERS: usize = 10;
/// With spaces and dashes; nobody types more.
const LONGEST_TEXT: usize = 64;

/// The code of an invite: `K7QF2-M9XTB`. The first character is a label that is said openly, so that a node with
/// several open invites knows which one is meant; the other nine are 45 random bits. That is plenty where nobody
/// can try more than three times and a listener learns nothing to try with (see [`pairing`](crate::pairing)).
///
/// It is read as people write: small letters, `O` for `0`, `I` and `L` for `1`, spaces and dashes anywhere.
#[derive(Clone, PartialEq, Eq)]
pub struct InviteCode([u8; CHARACTERS]);

impl InviteCode {
    /// A new one, with a label (0 to 31) of the caller's choice.
    pub(crate) fn random(label: u8) -> Result<Self, IdentityError> {
        let mut code = random::<CHARACTERS>()?.map(|byte| ALPHABET[usize::from(byte % 32)]);
        code[0] = ALPHABET[usize::from(label % 32)];
        Ok(Self(code))
    }

    /// What is said openly.
    pub(crate) fn label(&self) -> u8 {
        ALPHABET
            .iter()
            .position(|known| *known == self.0[0])
            .and_then(|at| u8::try_from(at).ok())
            .unwrap_or(0)
    }

    /// What both sides must know.
    pub(crate) fn password(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for InviteCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            let dash = if i == CHARACTERS / 2 { "-" } else { "" };
            write!(f, "{dash}{}", char::from(*byte))?;
        }
        Ok(())
    }
}

impl fmt::Debug for InviteCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InviteCode(..)")
    }
}

/// The text is no code. It is not repeated here: it may be one but for a slip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a code has ten letters and digits, as in K7QF2-M9XTB")]
pub struct NotACode;

impl FromStr for InviteCode {
    type Err = NotACode;

    fn from_str(text: &str) -> Result<Self, NotACode> {
        if text.len() > LONGEST_TEXT {
            return Err(NotACode);
        }
        let mut code = Self([0; CHARACTERS]);
        let mut places = code.0.iter_mut();
        for character in text.chars().filter(|c| !c.is_whitespace() && *c != '-') {
            let meant = match character.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            };
            let known = ALPHABET.iter().find(|known| char::from(**known) == meant).ok_or(NotACode)?;
            *places.next().ok_or(NotACode)? = *known;
        }
        if places.next().is_some() { Err(NotACode) } else { Ok(code) }
    }
}

impl Drop for InviteCode {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_as_people_write_them() {
        let code: InviteCode = "K7QF2-M9XT0".parse().unwrap();
        for text in ["k7qf2m9xto", " K7 QF 2 - m9 xt O ", "k7qf2--m9xt0\n"] {
            assert_eq!(text.parse(), Ok(code.clone()), "{text:?}");
        }
        assert_eq!("il1o0-00000".parse::<InviteCode>().unwrap().to_string(), "11100-00000");
        for text in
            ["", "K7QF2-M9XT", "K7QF2-M9XT00", "K7QF2-M9XTU", "K7QF2-M9XT!", "K7QF2_M9XT0", "ſ7QF2-M9XT0"]
        {
            assert_eq!(text.parse::<InviteCode>(), Err(NotACode), "{text:?}");
        }
        assert_eq!("0".repeat(1 << 20).parse::<InviteCode>(), Err(NotACode));
    }

    #[test]
    fn a_code_is_shown_when_asked_and_not_by_accident() {
        let code = InviteCode::random(31).unwrap();
        let text = code.to_string();
        assert!(text.len() == 11 && text.starts_with('Z') && &text[5..6] == "-", "{text}");
        assert_eq!((text.parse(), code.label()), (Ok(code.clone()), 31));
        assert_eq!(format!("{code:?}"), "InviteCode(..)");
        assert_ne!(InviteCode::random(31).unwrap(), code);
    }
}
