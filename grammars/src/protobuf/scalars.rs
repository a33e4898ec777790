//! Scalar values as each format writes them.

use std::cmp::Ordering;
use std::sync::Arc;

use prost_reflect::Kind;

use super::ProtoFormat;
use crate::lexeme::{AnyJsonText, AnyText, Automaton, JsonText, Lexeme, Regular, Source};
use crate::{Budget, GrammarError, Vocabulary};

/// Makes the lexemes of scalars; those of one vocabulary are shared by all grammars.
pub(super) struct Scalars<'a> {
    pub(super) vocabulary: &'a Arc<Vocabulary>,
    pub(super) budget: &'a Budget,
}

/// Seconds of a span of at most 10,000 years, as `Duration` has them, and up to nine more digits.
const DURATION: &str = concat!(
    r#""-?(?:(?:0|[1-9][0-9]{0,10}|[12][0-9]{11}|30[0-9]{10}|31[0-4][0-9]{9}|315[0-4][0-9]{8}"#,
    r#"|3155[0-6][0-9]{7}|31557[0-5][0-9]{6})(?:\.[0-9]{1,9})?|315576000000)s""#,
);
/// Days that exist, from year 1 to 9999. Offsets only where they cannot lead out of these years.
const TIMESTAMP: &str = concat!(
    r#""(?:(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"#,
    r#"-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"#,
    r#"|02-(?:0[1-9]|1[0-9]|2[0-8]))|"#,
    r#"(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)-02-29)"#,
    r#"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?Z""#,
);
const OFFSET_TIMESTAMP: &str = concat!(
    r#""[12][0-9]{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"#,
    r#"(?:\.[0-9]{1,9})?[+-](?:[01][0-9]|2[0-3]):[0-5][0-9]""#,
);
/// Paths whose camel case is undone without loss.
const FIELD_MASK: &str =
    r#""(?:[a-z][a-zA-Z0-9]*(?:\.[a-z][a-zA-Z0-9]*)*(?:,[a-z][a-zA-Z0-9]*(?:\.[a-z][a-zA-Z0-9]*)*)*)?""#;
/// The one spelling of each sequence of bytes: padded, no bits left over.
const BASE64: &str =
    r#""(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?""#;

/// Strings of the text format, without the escapes that make bytes beyond ASCII.
const TEXT: &str = concat!(
    r#""(?:[^"\\\x00-\x1f\x7f]|\\(?:[abfnrtv?"'\\]|x[0-7][0-9a-fA-F]|[01][0-7]{2}"#,
    r#"|u(?:[0-9a-cA-CefEF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2})))*""#,
);
const BYTES: &str = r#""(?:[^"\\\x00-\x1f\x7f]|\\(?:[abfnrtv?"'\\]|x[0-9a-fA-F]{2}|[0-3][0-7]{2}))*""#;

impl Scalars<'_> {
    pub(super) fn regex(&self, expression: &str) -> Result<Arc<Lexeme>, GrammarError> {
        self.kept(expression, || Regular::new(expression, self.budget))
    }

    /// Lexemes of which each writes a value of a scalar kind; none for messages and enums.
    pub(super) fn of(&self, kind: &Kind, format: ProtoFormat) -> Result<Vec<Arc<Lexeme>>, GrammarError> {
        let json = format == ProtoFormat::Json;
        Ok(match kind {
            Kind::Double | Kind::Float => self.number(matches!(kind, Kind::Float), format)?,
            Kind::Bool => vec![self.regex("true|false")?],
            Kind::String if json => vec![self.json_string()?],
            Kind::String => vec![self.regex(TEXT)?],
            Kind::Bytes => vec![self.regex(if json { BASE64 } else { BYTES })?],
            Kind::Message(_) | Kind::Enum(_) => Vec::new(),
            integer => {
                let mut lexemes = vec![self.integer(integer, false)?];
                // JSON readers that know nothing but doubles need quotes around large integers.
                if json && matches!(range(integer), Some((_, most)) if most.len() > 10) {
                    lexemes.push(self.integer(integer, true)?);
                }
                lexemes
            }
        })
    }

    /// A floating-point number, finite or by name.
    fn number(&self, single: bool, format: ProtoFormat) -> Result<Vec<Arc<Lexeme>>, GrammarError> {
        let named = match format {
            ProtoFormat::Text => "-?inf|nan",
            ProtoFormat::Json => r#""-?Infinity"|"NaN""#,
        };
        Ok(vec![self.regex(&format!("{}|{named}", finite(single)))?])
    }

    /// A finite double.
    pub(super) fn json_number(&self) -> Result<Arc<Lexeme>, GrammarError> {
        self.regex(&finite(false))
    }

    /// Any JSON string.
    pub(super) fn json_string(&self) -> Result<Arc<Lexeme>, GrammarError> {
        self.kept("any JSON string", || Ok(AnyJsonText))
    }

    /// A JSON key of a map in its one spelling; `None` where the kind is none of a key.
    pub(super) fn json_key(&self, kind: &Kind) -> Result<Option<Arc<Lexeme>>, GrammarError> {
        Ok(Some(match kind {
            Kind::String => self.kept("JSON string, one spelling", || Ok(JsonText(AnyText)))?,
            Kind::Bool => self.regex(r#""(?:true|false)""#)?,
            Kind::Double | Kind::Float | Kind::Bytes | Kind::Message(_) | Kind::Enum(_) => return Ok(None),
            integer => self.integer(integer, true)?,
        }))
    }

    pub(super) fn timestamp(&self) -> Result<Vec<Arc<Lexeme>>, GrammarError> {
        Ok(vec![self.regex(TIMESTAMP)?, self.regex(OFFSET_TIMESTAMP)?])
    }

    pub(super) fn duration(&self) -> Result<Arc<Lexeme>, GrammarError> {
        self.regex(DURATION)
    }

    pub(super) fn field_mask(&self) -> Result<Arc<Lexeme>, GrammarError> {
        self.regex(FIELD_MASK)
    }

    fn integer(&self, kind: &Kind, quoted: bool) -> Result<Arc<Lexeme>, GrammarError> {
        let (least, most) = range(kind).unwrap_or_default();
        self.kept(&format!("{least} to {most}, quoted: {quoted}"), || Ok(Integer { least, most, quoted }))
    }

    fn kept<S: Source>(
        &self,
        definition: &str,
        source: impl FnOnce() -> Result<S, GrammarError>,
    ) -> Result<Arc<Lexeme>, GrammarError> {
        self.vocabulary.lexicon().get(&format!("protobuf {definition}"), || {
            Automaton::build(&source()?, self.vocabulary.spellable(), self.budget)
        })
    }
}

/// Decimal numbers that a double, or a float, holds without becoming infinite. After the point there
/// are no more digits than tell any two of them apart, so that a number ends: small models write
/// zeros for as long as they may.
fn finite(single: bool) -> String {
    // Digits after the point, and largest powers of ten: of one digit before it, and of up to eight.
    let (places, one, eight, largest) = match single {
        true => (9, "[0-9]|[12][0-9]|3[0-7]", "[0-9]|[12][0-9]|30", r"[12](?:\.[0-9]{1,9})?[eE]\+?38"),
        false => (
            17,
            "[0-9]|[1-9][0-9]|[12][0-9]{2}|30[0-7]",
            "[0-9]|[1-9][0-9]|1[0-9]{2}|2[0-8][0-9]|29[0-9]|300",
            r"1(?:\.[0-6][0-9]{0,16}|\.7976931348623157)?[eE]\+?308",
        ),
    };
    let fraction = format!(r"(?:\.[0-9]{{1,{places}}})?");
    let small = "[0-9]|[1-9][0-9]|[12][0-9]{2}|30[0-8]";
    // Larger ones than of 21 digits are usually written with an exponent.
    let plain = format!("(?:0|[1-9][0-9]{{0,20}}){fraction}");
    let of_one = format!(r"[0-9]{fraction}[eE](?:\+?(?:{one})|-(?:{small}))");
    let of_eight = format!(r"[1-9][0-9]{{1,7}}{fraction}[eE](?:\+?(?:{eight})|-(?:{small}))");
    format!("-?(?:{plain}|{of_one}|{of_eight}|{largest})")
}

/// The least and the most of an integer kind, the least without its sign.
fn range(kind: &Kind) -> Option<(String, String)> {
    Some(match kind {
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            (i32::MIN.unsigned_abs().to_string(), i32::MAX.to_string())
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            (i64::MIN.unsigned_abs().to_string(), i64::MAX.to_string())
        }
        Kind::Uint32 | Kind::Fixed32 => (String::new(), u32::MAX.to_string()),
        Kind::Uint64 | Kind::Fixed64 => (String::new(), u64::MAX.to_string()),
        _ => return None,
    })
}

/// Decimal integers between two bounds, each in one spelling: no leading zeros, no negative zero.
#[derive(Debug)]
struct Integer {
    /// Digits of the least one's magnitude; none if negative ones are not in the range.
    least: String,
    most: String,
    quoted: bool,
}

/// Where in an integer a text is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Place {
    Outside,
    Begun,
    Minus,
    Zero,
    /// How many digits there are, and how they compare with as many of the bound.
    Digits {
        negative: bool,
        count: usize,
        order: Ordering,
    },
    Closed,
}

impl Integer {
    fn digit(&self, negative: bool, count: usize, order: Ordering, byte: u8) -> Option<Place> {
        let bound = if negative { &self.least } else { &self.most };
        let limit = bound.as_bytes().get(count)?;
        let order = order.then(byte.cmp(limit));
        let fits = byte.is_ascii_digit() && (count + 1 < bound.len() || order != Ordering::Greater);
        fits.then_some(Place::Digits { negative, count: count + 1, order })
    }
}

impl Source for Integer {
    type State = Place;

    fn start(&self) -> Place {
        if self.quoted { Place::Outside } else { Place::Begun }
    }

    fn step(&self, place: &Place, byte: u8) -> Option<Place> {
        match *place {
            Place::Outside => (byte == b'"').then_some(Place::Begun),
            Place::Begun if byte == b'-' => (!self.least.is_empty()).then_some(Place::Minus),
            Place::Begun if byte == b'0' => Some(Place::Zero),
            Place::Begun => self.digit(false, 0, Ordering::Equal, byte),
            Place::Minus if byte == b'0' => None,
            Place::Minus => self.digit(true, 0, Ordering::Equal, byte),
            Place::Zero | Place::Digits { .. } if byte == b'"' => self.quoted.then_some(Place::Closed),
            Place::Digits { negative, count, order } => self.digit(negative, count, order, byte),
            Place::Zero | Place::Closed => None,
        }
    }

    fn ending(&self, place: &Place) -> Option<u32> {
        match place {
            Place::Closed => Some(0),
            Place::Zero | Place::Digits { .. } if !self.quoted => Some(0),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(automaton: &Automaton, text: &str) -> bool {
        let mut state = crate::lexeme::START;
        text.bytes().all(|byte| automaton.step(state, byte).inspect(|next| state = *next).is_some())
            && automaton.ending(state).is_some()
    }

    #[test]
    fn integers_are_those_of_their_type_and_no_others() {
        let of = |kind: &Kind| {
            let (least, most) = range(kind).expect("an integer kind");
            let source = Integer { least, most, quoted: false };
            Automaton::build(&source, &[true; 256], &Budget::default()).expect("small")
        };
        let near = |bound: i128| (-12..=12).map(move |step| bound + step);
        let cases: [(Kind, i128, i128); 4] = [
            (Kind::Sint32, i32::MIN.into(), i32::MAX.into()),
            (Kind::Int64, i64::MIN.into(), i64::MAX.into()),
            (Kind::Fixed32, 0, u32::MAX.into()),
            (Kind::Uint64, 0, u64::MAX.into()),
        ];
        for (kind, least, most) in cases {
            let automaton = of(&kind);
            let shorter = [least / 10, most / 10, least * 10, most * 10].into_iter().flat_map(near);
            for value in near(least).chain(near(most)).chain(near(0)).chain(shorter) {
                let text = value.to_string();
                assert_eq!(accepts(&automaton, &text), (least..=most).contains(&value), "{kind:?} {text}");
            }
            for text in ["", "-", "-0", "00", "01", "-01", "+1", "1.0", "1e3", "\"1\""] {
                assert!(!accepts(&automaton, text), "{kind:?} {text:?}");
            }
        }
    }
}
