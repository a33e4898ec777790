//! Merging neighbours of a text, best first: what byte pair encoding and SentencePiece share.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::verbs::TokenId;

/// A stretch of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Symbol {
    pub(super) start: usize,
    pub(super) end: usize,
    /// The token it is, where the caller uses that.
    pub(super) id: TokenId,
}

/// No neighbour.
const NONE: usize = usize::MAX;

/// Joins neighbours until none can be: `join` says what two become and how good that is. Of two
/// equally good joins the leftmost comes first. O(n log n).
pub(super) fn merge<P: Ord>(
    symbols: Vec<Symbol>,
    join: impl Fn(&Symbol, &Symbol) -> Option<(P, TokenId)>,
) -> impl Iterator<Item = Symbol> {
    let mut chain = Chain::new(symbols);
    let mut queue: BinaryHeap<Candidate<P>> = BinaryHeap::with_capacity(chain.links.len());
    for left in 0..chain.links.len() {
        queue.extend(chain.candidate(left, &join));
    }
    while let Some(candidate) = queue.pop() {
        if let Some(before) = chain.carry_out(&candidate) {
            queue.extend(chain.candidate(candidate.left, &join));
            queue.extend(chain.candidate(before, &join));
        }
    }
    chain.links.into_iter().filter(|link| !link.merged).map(|link| link.symbol)
}

/// Two neighbours that could be joined; stale once either has changed, which `middle` and `end` tell.
struct Candidate<P> {
    priority: P,
    left: usize,
    middle: usize,
    end: usize,
    id: TokenId,
}

impl<P: Ord> Ord for Candidate<P> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.priority.cmp(&other.priority).then(Reverse(self.left).cmp(&Reverse(other.left)))
    }
}

impl<P: Ord> PartialOrd for Candidate<P> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<P: Ord> PartialEq for Candidate<P> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<P: Ord> Eq for Candidate<P> {}

/// Symbols as a doubly linked list.
struct Chain {
    links: Vec<Link>,
}

struct Link {
    symbol: Symbol,
    /// Part of the symbol before it now.
    merged: bool,
    before: usize,
    after: usize,
}

impl Chain {
    fn new(symbols: Vec<Symbol>) -> Self {
        let count = symbols.len();
        let link = |(at, symbol): (usize, Symbol)| Link {
            symbol,
            merged: false,
            before: at.checked_sub(1).unwrap_or(NONE),
            after: if at + 1 == count { NONE } else { at + 1 },
        };
        Self { links: symbols.into_iter().enumerate().map(link).collect() }
    }

    fn candidate<P>(
        &self,
        left: usize,
        join: impl Fn(&Symbol, &Symbol) -> Option<(P, TokenId)>,
    ) -> Option<Candidate<P>> {
        let link = self.links.get(left)?;
        let next = self.links.get(link.after)?;
        let (priority, id) = join(&link.symbol, &next.symbol)?;
        Some(Candidate { priority, left, middle: link.symbol.end, end: next.symbol.end, id })
    }

    /// Joins the two and answers the neighbour before them; `None` when the candidate is stale.
    fn carry_out<P>(&mut self, candidate: &Candidate<P>) -> Option<usize> {
        let left = self.links.get(candidate.left)?;
        let (before, right) = (left.before, left.after);
        let next = self.links.get(right)?;
        let is_fresh =
            !left.merged && left.symbol.end == candidate.middle && next.symbol.end == candidate.end;
        if !is_fresh {
            return None;
        }
        let after = next.after;
        self.links[right].merged = true;
        let left = &mut self.links[candidate.left];
        left.symbol.end = candidate.end;
        left.symbol.id = candidate.id;
        left.after = after;
        if let Some(next) = self.links.get_mut(after) {
            next.before = candidate.left;
        }
        Some(before)
    }
}
