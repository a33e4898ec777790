//! The tokens of a model: what kind each is and which bytes it stands for.

use super::TextError;
use crate::gguf::Gguf;
use crate::verbs::TokenId;

/// How token texts spell bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// GPT-2's alphabet: one printable character per byte.
    ByteLevel,
    /// UTF-8 with U+2581 for a space; `<0xNN>` for tokens of kind byte.
    SentencePiece,
}

/// `tokenizer.ggml.token_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

impl TokenKind {
    fn from_number(number: i32) -> Option<Self> {
        Some(match number {
            1 => Self::Normal,
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => return None,
        })
    }
}

/// All tokens, their bytes in one arena.
pub(super) struct Vocabulary {
    kinds: Vec<TokenKind>,
    bytes: Vec<u8>,
    /// Token `i` is `bytes[ends[i - 1]..ends[i]]`.
    ends: Vec<u32>,
    /// Texts of control, unknown and user-defined tokens, by ascending id: what their
    /// bytes do not say.
    verbatim: Vec<(TokenId, String)>,
}

impl Vocabulary {
    pub(super) fn from_gguf(file: &Gguf, spelling: Spelling) -> Result<Self, TextError> {
        let texts = file.require_strings("tokenizer.ggml.tokens")?;
        let count = texts.len();
        let kinds = match file.i32s("tokenizer.ggml.token_type") {
            None => vec![TokenKind::Normal; count],
            Some(numbers) if numbers.len() == count => numbers
                .into_iter()
                .map(|number| TokenKind::from_number(number).ok_or(number))
                .collect::<Result<_, _>>()
                .map_err(|number| TextError::Inconsistent(format!("token type {number}")))?,
            Some(numbers) => {
                let found = numbers.len();
                return Err(TextError::Inconsistent(format!("{count} tokens but {found} token types")));
            }
        };
        let mut vocabulary = Self {
            kinds: Vec::with_capacity(count),
            bytes: Vec::with_capacity(count * 8),
            ends: Vec::with_capacity(count),
            verbatim: Vec::new(),
        };
        let alphabet = byte_of_letter();
        for (text, kind) in texts.zip(kinds) {
            vocabulary.push(text, kind, spelling, &alphabet)?;
        }
        if vocabulary.kinds.is_empty() {
            return Err(TextError::Inconsistent("the vocabulary is empty".to_owned()));
        }
        Ok(vocabulary)
    }

    fn push(
        &mut self,
        text: &str,
        kind: TokenKind,
        spelling: Spelling,
        alphabet: &Alphabet,
    ) -> Result<(), TextError> {
        let too_large = || TextError::Inconsistent("the vocabulary exceeds 4 GiB".to_owned());
        let id = TokenId::try_from(self.kinds.len()).map_err(|_| too_large())?;
        match (kind, spelling) {
            (TokenKind::Control | TokenKind::Unknown | TokenKind::Unused, _) => {}
            (TokenKind::UserDefined, _) => self.bytes.extend(text.as_bytes()),
            (TokenKind::Byte, _) => self.bytes.push(named_byte(text).ok_or_else(|| {
                TextError::Inconsistent(format!("byte token {id} is spelt {text:?}, not <0xNN>"))
            })?),
            (TokenKind::Normal, Spelling::SentencePiece) => {
                self.bytes.extend(text.replace('\u{2581}', " ").as_bytes());
            }
            (TokenKind::Normal, Spelling::ByteLevel) => {
                let start = self.bytes.len();
                self.bytes.extend(text.chars().map_while(|letter| byte_of(alphabet, letter)));
                // A letter outside the alphabet: the token cannot have come from merges,
                // its text is meant as it stands.
                if self.bytes.len() - start != text.chars().count() {
                    self.bytes.truncate(start);
                    self.bytes.extend(text.as_bytes());
                }
            }
        }
        if matches!(kind, TokenKind::Control | TokenKind::Unknown | TokenKind::UserDefined) {
            self.verbatim.push((id, text.to_owned()));
        }
        self.ends.push(u32::try_from(self.bytes.len()).map_err(|_| too_large())?);
        self.kinds.push(kind);
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.kinds.len()
    }

    pub(super) fn kind(&self, id: TokenId) -> Option<TokenKind> {
        self.kinds.get(id as usize).copied()
    }

    /// Empty for control, unknown and unused tokens, and outside the vocabulary.
    pub(super) fn bytes(&self, id: TokenId) -> &[u8] {
        let at = id as usize;
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |end| *end as usize);
        let end = self.ends.get(at).map(|end| *end as usize);
        end.and_then(|end| self.bytes.get(start..end)).unwrap_or_default()
    }

    /// Control, unknown and user-defined tokens with their texts.
    pub(super) fn verbatim(&self) -> impl Iterator<Item = (TokenId, &str, TokenKind)> {
        let kind = |id| self.kind(id).unwrap_or(TokenKind::Unused);
        self.verbatim.iter().map(move |(id, text)| (*id, text.as_str(), kind(*id)))
    }

    pub(super) fn controls(&self) -> impl Iterator<Item = (TokenId, &str)> {
        self.verbatim().filter(|token| token.2 == TokenKind::Control).map(|(id, text, _)| (id, text))
    }

    pub(super) fn verbatim_text(&self, id: TokenId) -> Option<&str> {
        let at = self.verbatim.binary_search_by_key(&id, |token| token.0).ok()?;
        self.verbatim.get(at).map(|token| token.1.as_str())
    }

    /// A token id that a metadata key names; an id outside the vocabulary is an error.
    pub(super) fn id_under(&self, file: &Gguf, key: &str) -> Result<Option<TokenId>, TextError> {
        let Some(number) = file.u64(key) else {
            return Ok(None);
        };
        match TokenId::try_from(number) {
            Ok(id) if (id as usize) < self.len() => Ok(Some(id)),
            _ => Err(TextError::Inconsistent(format!("{key} is {number}, outside the vocabulary"))),
        }
    }
}

/// `<0x0A>` to 10.
fn named_byte(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() != 2 {
        return None;
    }
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    u8::from_str_radix(digits, 16).ok()
}

/// The letters are all below U+0144.
type Alphabet = [Option<u8>; 0x144];

fn byte_of(alphabet: &Alphabet, letter: char) -> Option<u8> {
    alphabet.get(letter as usize).copied().flatten()
}

/// Inverse of GPT-2's `bytes_to_unicode`: printable Latin-1 stands for itself, the other
/// bytes, in order, are the letters from U+0100 on.
fn byte_of_letter() -> Alphabet {
    let mut alphabet = [None; 0x144];
    let mut next = 0x100;
    for byte in 0..=u8::MAX {
        let printable = matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
        let letter = if printable { usize::from(byte) } else { next };
        next += usize::from(!printable);
        if let Some(slot) = alphabet.get_mut(letter) {
            *slot = Some(byte);
        }
    }
    alphabet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_spells_every_byte_once() {
        let alphabet = byte_of_letter();
        let mut bytes: Vec<u8> = alphabet.iter().flatten().copied().collect();
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=255).collect::<Vec<u8>>());
        let known = [('Ġ', b' '), ('Ċ', b'\n'), ('A', b'A'), ('ł', 0xA0), ('Ń', 0xAD), ('ÿ', 0xFF)];
        for (letter, byte) in known {
            assert_eq!(byte_of(&alphabet, letter), Some(byte), "{letter}");
        }
    }

    #[test]
    fn byte_tokens_are_hexadecimal() {
        assert_eq!(named_byte("<0x0A>"), Some(10));
        assert_eq!(named_byte("<0x+A>"), None);
        assert_eq!(named_byte("<0x0>"), None);
        assert_eq!(named_byte("A"), None);
    }
}
