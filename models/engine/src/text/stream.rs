//! Bytes of tokens in, text for the user out.

/// Text that is certain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Piece {
    /// May be empty while a character or a stop string is undecided.
    pub text: String,
    /// Which stop string was found, as an index into those given; the text ends before it.
    pub stopped: Option<usize>,
}

/// Joins token bytes to text, piece by piece, and watches for stop strings.
///
/// The concatenation of all pieces does not depend on how the bytes were split: it is the
/// bytes decoded as UTF-8, every ill-formed sequence replaced by U+FFFD, cut before the
/// stop string that is complete first (of several that end together, the longest). No
/// piece is ever taken back, so what may yet become part of a character or a stop string
/// is held.
///
/// ```
/// use understudy_engine::text::TextStream;
///
/// let mut stream = TextStream::new(&["\n\n".to_owned()]);
/// assert_eq!(stream.push(b"caf\xC3").text, "caf");
/// assert_eq!(stream.push(b"\xA9\n").text, "é");
/// let last = stream.push(b"\nmore");
/// assert_eq!((last.text.as_str(), last.stopped), ("", Some(0)));
/// ```
#[derive(Debug, Clone)]
pub struct TextStream {
    stops: Vec<String>,
    /// An incomplete UTF-8 sequence, at most three bytes.
    bytes: Vec<u8>,
    /// Decoded text that a stop string may begin in; shorter than the longest one.
    held: String,
    stopped: Option<usize>,
}

impl TextStream {
    /// A stream that ends at any of `stops`; empty ones never match.
    pub fn new(stops: &[String]) -> Self {
        Self { stops: stops.to_vec(), bytes: Vec::with_capacity(4), held: String::new(), stopped: None }
    }

    /// Adds a token's bytes. After a stop nothing more comes out.
    pub fn push(&mut self, bytes: &[u8]) -> Piece {
        if self.stopped.is_none() {
            self.bytes.extend_from_slice(bytes);
            self.decode();
        }
        self.release()
    }

    /// Everything still held: the end of the text. An incomplete character is replaced.
    pub fn finish(&mut self) -> Piece {
        if !std::mem::take(&mut self.bytes).is_empty() {
            self.held.push(char::REPLACEMENT_CHARACTER);
        }
        let mut piece = self.release();
        piece.text.push_str(&std::mem::take(&mut self.held));
        piece
    }

    /// Moves whole characters, and replacements for what can never be one, to `held`.
    fn decode(&mut self) {
        let mut incomplete = 0;
        let mut chunks = self.bytes.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            self.held.push_str(chunk.valid());
            if chunk.invalid().is_empty() {
                continue;
            }
            let may_grow =
                std::str::from_utf8(chunk.invalid()).is_err_and(|error| error.error_len().is_none());
            if may_grow && chunks.peek().is_none() {
                incomplete = chunk.invalid().len();
            } else {
                self.held.push(char::REPLACEMENT_CHARACTER);
            }
        }
        self.bytes.drain(..self.bytes.len() - incomplete);
    }

    fn release(&mut self) -> Piece {
        if self.stopped.is_some() {
            return Piece { text: String::new(), stopped: self.stopped };
        }
        if let Some((start, stop)) = self.first_stop() {
            self.stopped = Some(stop);
            self.bytes.clear();
            let mut text = std::mem::take(&mut self.held);
            text.truncate(start);
            return Piece { text, stopped: self.stopped };
        }
        let rest = self.held.split_off(self.held.len() - self.possible_stop());
        Piece { text: std::mem::replace(&mut self.held, rest), stopped: None }
    }

    /// Start and index of the stop string that is complete first.
    fn first_stop(&self) -> Option<(usize, usize)> {
        let stops = self.stops.iter().enumerate().filter(|(_, stop)| !stop.is_empty());
        let found = stops.filter_map(|(index, stop)| {
            let start = self.held.find(stop.as_str())?;
            Some((start + stop.len(), start, index))
        });
        found.min().map(|(_, start, index)| (start, index))
    }

    /// Length of the longest end of `held` that a stop string begins with.
    fn possible_stop(&self) -> usize {
        let held = self.held.as_bytes();
        let longest = |stop: &String| {
            let stop = stop.as_bytes();
            let limit = stop.len().saturating_sub(1).min(held.len());
            // A match cannot split a character: both sides are valid UTF-8.
            (1..=limit).rev().find(|length| stop.get(..*length).is_some_and(|begin| held.ends_with(begin)))
        };
        self.stops.iter().filter_map(longest).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Pushes the bytes cut at `cuts`; returns all text, and what stopped it.
    fn stream(bytes: &[u8], cuts: &[prop::sample::Index], stops: &[String]) -> (String, Option<usize>) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        let mut stream = TextStream::new(stops);
        let mut text = String::new();
        let mut start = 0;
        for cut in cuts.into_iter().chain([bytes.len()]) {
            text += &stream.push(&bytes[start..cut]).text;
            start = cut;
        }
        let last = stream.finish();
        (text + &last.text, last.stopped)
    }

    /// What the documentation promises, computed on the whole text at once.
    fn expected(bytes: &[u8], stops: &[String]) -> (String, Option<usize>) {
        let text = String::from_utf8_lossy(bytes).into_owned();
        for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
            let ending =
                stops.iter().enumerate().filter(|(_, stop)| !stop.is_empty() && text[..end].ends_with(*stop));
            if let Some((index, stop)) =
                ending.max_by_key(|(index, stop)| (stop.len(), std::cmp::Reverse(*index)))
            {
                return (text[..end - stop.len()].to_owned(), Some(index));
            }
        }
        (text, None)
    }

    #[test]
    fn a_character_waits_for_its_last_byte() {
        let mut stream = TextStream::new(&[]);
        let pieces: Vec<_> = "a🚀b".as_bytes().iter().map(|byte| stream.push(&[*byte]).text).collect();
        assert_eq!(pieces, ["a", "", "", "", "🚀", "b"]);
    }

    #[test]
    fn ill_formed_bytes_are_replaced_once_certain() {
        let mut stream = TextStream::new(&[]);
        assert_eq!(stream.push(b"\xE2\x82").text, "");
        assert_eq!(stream.push(b"x").text, "\u{FFFD}x");
        assert_eq!(stream.push(b"\xFF").text, "\u{FFFD}");
        assert_eq!(stream.push(b"\xF0\x9F").text, "");
        assert_eq!(stream.finish().text, "\u{FFFD}");
    }

    #[test]
    fn the_start_of_a_stop_string_is_held_and_let_go() {
        let mut stream = TextStream::new(&["</s>".to_owned(), "END".to_owned()]);
        assert_eq!(stream.push(b"1 <").text, "1 ");
        assert_eq!(stream.push(b"/b>").text, "</b>");
        assert_eq!(stream.push(b"EN").text, "");
        assert_eq!(stream.finish(), Piece { text: "EN".to_owned(), stopped: None });
    }

    #[test]
    fn nothing_follows_a_stop() {
        let mut stream = TextStream::new(&["abc".to_owned(), "b".to_owned()]);
        assert_eq!(stream.push(b"xabc"), Piece { text: "xa".to_owned(), stopped: Some(1) });
        assert_eq!(stream.push(b"more"), Piece { text: String::new(), stopped: Some(1) });
        assert_eq!(stream.finish(), Piece { text: String::new(), stopped: Some(1) });
    }

    proptest! {
        #[test]
        fn pieces_do_not_depend_on_the_split(
            text in "[ab<>/é€🚀\n]{0,24}",
            noise in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
            stops in prop::collection::vec("[ab<>/é€🚀\n]{0,4}", 0..4),
        ) {
            let mut bytes = text.into_bytes();
            for (at, byte) in noise {
                bytes.insert(at.index(bytes.len() + 1), byte);
            }
            prop_assert_eq!(stream(&bytes, &cuts, &stops), expected(&bytes, &stops));
        }

        #[test]
        fn a_stop_string_is_found_wherever_it_is_cut(
            before in "[a-z]{0,12}",
            after in "[a-z]{0,12}",
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let stop = "<|é|>".to_owned();
            let bytes = format!("{before}{stop}{after}").into_bytes();
            prop_assert_eq!(stream(&bytes, &cuts, &[stop]), (before, Some(0)));
        }
    }
}
