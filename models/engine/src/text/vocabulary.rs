//! The tokens of a model: what kind each is and which bytes it stands for.

use super::TextError;
use super::tables::{Block, Section, Tables};
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

/// `tokenizer.ggml.token_type`, by its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    Normal = 1,
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

/// All tokens, their bytes in one arena, as they are read from a model's file.
pub(super) struct Tokens {
    kinds: Vec<TokenKind>,
    bytes: Vec<u8>,
    /// Token `i` is `bytes[ends[i - 1]..ends[i]]`.
    ends: Vec<u32>,
    /// Texts of control, unknown and user-defined tokens, by ascending id: what their
    /// bytes do not say.
    verbatim: Vec<(TokenId, String)>,
}

impl Tokens {
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
        let mut tokens = Self {
            kinds: Vec::with_capacity(count),
            bytes: Vec::with_capacity(count * 8),
            ends: Vec::with_capacity(count),
            verbatim: Vec::new(),
        };
        let alphabet = byte_of_letter();
        for (text, kind) in texts.zip(kinds) {
            tokens.push(text, kind, spelling, &alphabet)?;
        }
        if tokens.kinds.is_empty() {
            return Err(TextError::Inconsistent("the vocabulary is empty".to_owned()));
        }
        Ok(tokens)
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

    pub(super) fn bytes(&self, id: TokenId) -> &[u8] {
        let at = id as usize;
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |end| *end as usize);
        let end = self.ends.get(at).map(|end| *end as usize);
        end.and_then(|end| self.bytes.get(start..end)).unwrap_or_default()
    }

    pub(super) fn tabulate(self, block: &mut Block) {
        block.put(Section::Kinds, self.kinds.iter().map(|kind| *kind as u8).collect());
        block.put_numbers(Section::Ends, self.ends);
        block.put(Section::Bytes, self.bytes);
        block.put_numbers(Section::VerbatimIds, self.verbatim.iter().map(|token| token.0));
        let mut texts = String::new();
        let ends = self.verbatim.iter().map(|(_, text)| {
            texts.push_str(text);
            // A part of a file that is mapped, with a vocabulary below 4 GiB.
            u32::try_from(texts.len()).unwrap_or(u32::MAX)
        });
        block.put_numbers(Section::VerbatimEnds, ends);
        block.put(Section::VerbatimTexts, texts.into_bytes());
    }
}

/// The tokens of a model's tables.
#[derive(Clone, Copy)]
pub(super) struct Vocabulary<'a>(pub(super) &'a Tables);

impl<'a> Vocabulary<'a> {
    pub(super) fn len(self) -> usize {
        self.0.bytes(Section::Kinds).len()
    }

    fn kind(self, id: TokenId) -> Option<TokenKind> {
        TokenKind::from_number((*self.0.bytes(Section::Kinds).get(id as usize)?).into())
    }

    /// Empty for control, unknown and unused tokens, and outside the vocabulary.
    pub(super) fn bytes(self, id: TokenId) -> &'a [u8] {
        part(self.0, Section::Ends, Section::Bytes, id as usize)
    }

    /// Control, unknown and user-defined tokens with their texts.
    pub(super) fn verbatim(self) -> impl Iterator<Item = (TokenId, &'a str, TokenKind)> {
        let ids = self.0.numbers(Section::VerbatimIds);
        (0..ids.len()).filter_map(move |at| {
            let (id, text) = (ids.get(at)?, part(self.0, Section::VerbatimEnds, Section::VerbatimTexts, at));
            Some((id, std::str::from_utf8(text).ok()?, self.kind(id)?))
        })
    }

    pub(super) fn controls(self) -> impl Iterator<Item = (TokenId, &'a str)> {
        self.verbatim().filter(|token| token.2 == TokenKind::Control).map(|(id, text, _)| (id, text))
    }

    pub(super) fn verbatim_text(self, id: TokenId) -> Option<&'a str> {
        self.verbatim().find(|token| token.0 == id).map(|token| token.1)
    }

    /// A token id that a metadata key names; an id outside the vocabulary is an error.
    pub(super) fn id_under(self, file: &Gguf, key: &str) -> Result<Option<TokenId>, TextError> {
        let Some(number) = file.u64(key) else {
            return Ok(None);
        };
        match TokenId::try_from(number) {
            Ok(id) if (id as usize) < self.len() => Ok(Some(id)),
            _ => Err(TextError::Inconsistent(format!("{key} is {number}, outside the vocabulary"))),
        }
    }
}

/// The bytes `at` of those that lie one after the other, each up to its end.
fn part(tables: &Tables, ends: Section, bytes: Section, at: usize) -> &[u8] {
    let ends = tables.numbers(ends);
    let start = at.checked_sub(1).map_or(Some(0), |before| ends.get(before));
    let range = start.zip(ends.get(at)).map(|(start, end)| start as usize..end as usize);
    range.and_then(|range| tables.bytes(bytes).get(range)).unwrap_or_default()
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

/// The letter that spells a byte in GPT-2's alphabet.
pub(super) fn letter_of(byte: u8) -> char {
    let at = byte_of_letter().iter().position(|found| *found == Some(byte));
    at.and_then(|at| char::from_u32(at as u32)).unwrap_or_default()
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
