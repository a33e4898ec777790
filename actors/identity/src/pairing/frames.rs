//! Frames out of a stream of bytes.

/// Bytes of a frame at most.
pub const LONGEST_FRAME: usize = 64 * 1024;
const LENGTH: usize = 4;

/// A frame says that it is longer than [`LONGEST_FRAME`]: close the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {0} bytes; the most is {LONGEST_FRAME}")]
pub struct TooLong(usize);

/// Cuts frames out of what arrives. It holds one frame at most: take what is there before giving more.
#[derive(Debug, Default)]
pub struct Frames {
    arrived: Vec<u8>,
}

impl Frames {
    /// Takes what arrived, as far as it belongs to the present frame; says how many bytes that were. Give the
    /// rest after [`next_frame`](Self::next_frame).
    pub fn take_in(&mut self, bytes: &[u8]) -> Result<usize, TooLong> {
        let before = self.arrived.len();
        let rest = self.take_up_to(LENGTH, bytes);
        if let Some(length) = self.length()? {
            self.take_up_to(LENGTH + length, rest);
        }
        Ok(self.arrived.len() - before)
    }

    /// The frame, if all of it is there.
    pub fn next_frame(&mut self) -> Result<Option<Vec<u8>>, TooLong> {
        match self.length()? {
            Some(length) if self.arrived.len() == LENGTH + length => {
                let frame = self.arrived.split_off(LENGTH);
                self.arrived.clear();
                Ok(Some(frame))
            }
            _ => Ok(None),
        }
    }

    fn take_up_to<'a>(&mut self, wanted: usize, bytes: &'a [u8]) -> &'a [u8] {
        let missing = wanted.saturating_sub(self.arrived.len()).min(bytes.len());
        let (taken, rest) = bytes.split_at(missing);
        self.arrived.extend_from_slice(taken);
        rest
    }

    fn length(&self) -> Result<Option<usize>, TooLong> {
        let Some(length) = self.arrived.first_chunk::<LENGTH>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > LONGEST_FRAME { Err(TooLong(length)) } else { Ok(Some(length)) }
    }
}

/// A frame as it goes over the wire.
pub fn framed(frame: &[u8]) -> Vec<u8> {
    // Frames of a pairing are made within the bound: see `Welcome`.
    let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), frame].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_however_they_are_cut(
            sent in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..8),
            cut in 1usize..20,
        ) {
            let stream: Vec<u8> = sent.iter().flat_map(|frame| framed(frame)).collect();
            let (mut frames, mut came) = (Frames::default(), Vec::new());
            for mut part in stream.chunks(cut) {
                while !part.is_empty() {
                    let taken = frames.take_in(part).unwrap();
                    part = &part[taken..];
                    came.extend(frames.next_frame().unwrap());
                }
            }
            prop_assert_eq!(came, sent);
        }
    }

    #[test]
    fn a_frame_that_is_announced_too_long_is_refused_before_it_is_held() {
        for length in [LONGEST_FRAME as u32 + 1, u32::MAX] {
            let mut frames = Frames::default();
            assert!(frames.take_in(&length.to_be_bytes()).is_err());
            assert!(frames.next_frame().is_err());
            assert!(frames.arrived.capacity() < 100);
        }
        let mut frames = Frames::default();
        let longest = framed(&vec![1; LONGEST_FRAME]);
        assert_eq!(frames.take_in(&longest), Ok(longest.len()));
        assert_eq!(frames.next_frame().unwrap().unwrap().len(), LONGEST_FRAME);
    }
}
