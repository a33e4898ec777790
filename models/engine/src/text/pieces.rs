//! Tokens found by their bytes.

use std::cmp::Ordering;

use super::tables::{Block, Section, Tables, search};
use super::vocabulary::{TokenKind, Tokens, Vocabulary};
use crate::verbs::TokenId;

/// The token that text of these bytes becomes; of several the last.
pub(super) fn find(tables: &Tables, bytes: &[u8]) -> Option<TokenId> {
    let buckets = tables.numbers(Section::PieceFirsts).len().checked_sub(1)?;
    let pieces = tables.numbers(Section::Pieces);
    let vocabulary = Vocabulary(tables);
    let piece = |at: usize| vocabulary.bytes(pieces.get(at).unwrap_or(TokenId::MAX));
    let bucket = tables.bucket(Section::PieceFirsts, bucket(bytes, buckets));
    pieces.get(search(bucket, |at| piece(at).cmp(bytes))?)
}

/// Puts all tokens that text can become into buckets. Sorted ones, so that a file whose tokens all
/// meet in one bucket costs its reader a logarithm and not a hang.
pub(super) fn tabulate(tokens: &Tokens, block: &mut Block) {
    let is_piece = |id: &TokenId| {
        matches!(tokens.kind(*id), Some(TokenKind::Normal | TokenKind::UserDefined))
            && !tokens.bytes(*id).is_empty()
    };
    let mut pieces: Vec<(usize, TokenId)> =
        (0..tokens.len() as TokenId).filter(is_piece).map(|id| (0, id)).collect();
    let buckets = pieces.len().next_power_of_two();
    for (at, id) in &mut pieces {
        *at = bucket(tokens.bytes(*id), buckets);
    }
    let text_order = |a: &(usize, TokenId), b: &(usize, TokenId)| -> Ordering {
        a.0.cmp(&b.0).then_with(|| tokens.bytes(a.1).cmp(tokens.bytes(b.1)))
    };
    pieces.sort_by(|a, b| text_order(a, b).then(b.1.cmp(&a.1)));
    // The last of equal ones is the first now.
    pieces.dedup_by(|later, earlier| text_order(later, earlier) == Ordering::Equal);
    block.put_numbers(Section::PieceFirsts, firsts(buckets, pieces.iter().map(|piece| piece.0)));
    block.put_numbers(Section::Pieces, pieces.iter().map(|piece| piece.1));
}

/// Where each bucket begins in an ascending list of buckets, and where the last one ends.
pub(super) fn firsts(buckets: usize, of: impl Iterator<Item = usize>) -> Vec<u32> {
    let mut firsts = vec![0_u32; buckets + 1];
    for bucket in of {
        firsts[bucket + 1] += 1;
    }
    let mut sum = 0;
    for first in &mut firsts {
        sum += *first;
        *first = sum;
    }
    firsts
}

/// FNV-1a, 64 bits: kept tables need one that never changes. `buckets` is a power of two.
fn bucket(bytes: &[u8], buckets: usize) -> usize {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
    let hash = bytes.iter().fold(0xCBF2_9CE4_8422_2325, mix);
    (hash ^ (hash >> 32)) as usize & buckets.wrapping_sub(1)
}
