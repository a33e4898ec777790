//! Random numbers without state: a number is a function of what it is for.
//!
//! Replaying a request, on this node or another, needs no generator to be carried along,
//! and one sequence's draws never depend on its neighbours in a batch.

/// What a random number decides. Each purpose has a stream of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A token of the model itself.
    Sample = 0,
    /// Whether a drafted token is accepted.
    Accept = 1,
    /// The token that replaces a rejected one.
    Residual = 2,
    /// A drafted token.
    Draft = 3,
}

/// A number in `[0, 1)` with 53 random bits, for the token at `position` of a sequence.
///
/// Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") with
/// the seed as key and position, lane and purpose as counter.
pub fn uniform(seed: u64, lane: u32, position: u64, purpose: Purpose) -> f64 {
    nth_uniform(seed, lane, position, 0, purpose)
}

/// One of several such numbers for the same position.
///
/// A draft takes its numbers by the position where it begins: what becomes of it depends on the numbers of
/// all its tokens, so the next draft, which may begin among them, must not meet these again.
pub fn nth_uniform(seed: u64, lane: u32, position: u64, index: u32, purpose: Purpose) -> f64 {
    let counter = [position as u32, (position >> 32) as u32, lane, (index << 2) | purpose as u32];
    let [a, b, ..] = philox4x32(counter, [seed as u32, (seed >> 32) as u32]);
    let bits = ((u64::from(a) << 32) | u64::from(b)) >> 11;
    bits as f64 * (1.0 / (1_u64 << 53) as f64)
}

fn philox4x32(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let [a, b, c, d] = counter;
        let (left, right) = (u64::from(a) * 0xD251_1F53, u64::from(c) * 0xCD9E_8D57);
        counter =
            [(right >> 32) as u32 ^ b ^ key[0], right as u32, (left >> 32) as u32 ^ d ^ key[1], left as u32];
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `kat_vectors` of the authors' Random123 library.
    #[test]
    fn philox_gives_the_published_numbers() {
        let cases = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, key, expected) in cases {
            assert_eq!(philox4x32(counter, key), expected);
        }
    }

    #[test]
    fn every_part_of_the_key_matters() {
        let base = uniform(1, 2, 3, Purpose::Sample);
        let others = [
            uniform(2, 2, 3, Purpose::Sample),
            uniform(1 | (1 << 32), 2, 3, Purpose::Sample),
            uniform(1, 3, 3, Purpose::Sample),
            uniform(1, 2, 4, Purpose::Sample),
            uniform(1, 2, 3 | (1 << 32), Purpose::Sample),
            uniform(1, 2, 3, Purpose::Accept),
            nth_uniform(1, 2, 3, 1, Purpose::Sample),
        ];
        assert!(others.iter().all(|other| *other != base && (0.0..1.0).contains(other)));
        assert_eq!(uniform(1, 2, 3, Purpose::Sample), base);
    }
}
