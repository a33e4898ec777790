//! Tokens in a prefix tree, so that one walk finds every token that an automaton allows.

use std::ops::Range;

use crate::TokenId;

/// Byte strings, each with the tokens that it stands for, in preorder.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    /// Ids in the order of their bytes; nodes point into it.
    ids: Vec<TokenId>,
    /// Bytes of the longest path.
    depth: usize,
    /// The node of each first byte and the end of its subtree.
    first: Vec<Range<u32>>,
}

/// A byte of one or several tokens.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) byte: u8,
    /// Length of the prefix before this byte.
    pub(crate) depth: u16,
    /// Nodes of the subtree, this one included.
    pub(crate) size: u32,
    /// Tokens that end here: `ids[first..end]`.
    first: u32,
    end: u32,
}

/// Longest token that a tree can hold.
pub(crate) const LONGEST: usize = u16::MAX as usize;

impl Tree {
    /// So many entries, each by its index. They need not be in order; none may be empty or longer than
    /// [`LONGEST`].
    pub(crate) fn new<'a>(count: usize, entry: impl Fn(usize) -> (&'a [u8], TokenId)) -> Self {
        let order = in_order(count, &entry);
        let mut nodes: Vec<Node> = Vec::with_capacity(count);
        // Nodes from the root to the last one added.
        let mut path: Vec<u32> = Vec::new();
        let (mut before, mut deepest) = (Place::default(), 0);
        for (index, place) in order.iter().enumerate() {
            let beginning = place.beginning();
            let token = beginning.get(..place.length()).unwrap_or_else(|| entry(place.index()).0);
            let shared = place.shared(before, token, &entry).min(path.len());
            close(&mut nodes, &path[shared..]);
            path.truncate(shared);
            let (here, next) = (index as u32, nodes.len() as u32);
            path.extend(next..next + (token.len() - shared) as u32);
            let bytes = token[shared..].iter().zip(shared as u16..);
            nodes.extend(bytes.map(|(byte, depth)| Node {
                byte: *byte,
                depth,
                size: 0,
                first: here,
                end: here,
            }));
            if let Some(node) = path.last().and_then(|last| nodes.get_mut(*last as usize)) {
                node.end = here + 1;
            }
            before = *place;
            deepest = deepest.max(token.len());
        }
        close(&mut nodes, &path);
        nodes.shrink_to_fit();
        let mut first = Vec::new();
        let mut at = 0;
        while let Some(node) = nodes.get(at as usize) {
            first.resize(usize::from(node.byte), 0..0);
            first.push(at..at + node.size);
            at += node.size;
        }
        let ids = order.iter().map(|place| entry(place.index()).1).collect();
        Self { nodes, ids, depth: deepest, first }
    }

    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Tokens that end at a node.
    pub(crate) fn ids(&self, node: &Node) -> &[TokenId] {
        &self.ids[node.first as usize..node.end as usize]
    }

    /// Where the tokens at and below the node at `index` are among [`all_ids`](Self::all_ids).
    pub(crate) fn places(&self, index: usize) -> std::ops::Range<usize> {
        let node = &self.nodes[index];
        let last = &self.nodes[index + node.size as usize - 1];
        node.first as usize..last.end as usize
    }

    /// Bytes of the longest path.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    /// The nodes below no byte yet.
    pub(crate) fn root(&self) -> Range<usize> {
        0..self.nodes.len()
    }

    /// Among the nodes below some prefix the one of a next byte, with those below it.
    pub(crate) fn child(&self, below: &Range<usize>, byte: u8) -> Option<Range<usize>> {
        if *below == self.root() {
            let found = self.first.get(usize::from(byte))?;
            return (!found.is_empty()).then_some(found.start as usize..found.end as usize);
        }
        let mut at = below.start;
        while at < below.end {
            let node = &self.nodes[at];
            let end = at + node.size as usize;
            if node.byte == byte {
                return Some(at..end);
            }
            at = end;
        }
        None
    }

    /// Tokens that end at the node that [`child`](Self::child) gave.
    pub(crate) fn ids_at(&self, found: &Range<usize>) -> &[TokenId] {
        self.ids(&self.nodes[found.start])
    }

    pub(crate) fn all_ids(&self) -> &[TokenId] {
        &self.ids
    }

    /// Tokens that `bytes` lead to, through, or past, in either case of their letters if `folds`.
    pub(crate) fn ids_along(&self, bytes: &[u8], folds: bool) -> Vec<TokenId> {
        let mut along = Vec::new();
        self.add_along(self.root(), bytes, folds, &mut along);
        along
    }

    fn add_along(&self, below: Range<usize>, bytes: &[u8], folds: bool, along: &mut Vec<TokenId>) {
        let Some((byte, rest)) = bytes.split_first() else { return };
        let other = match byte.is_ascii_alphabetic() && folds {
            true => Some(byte ^ 0x20),
            false => None,
        };
        for byte in [Some(*byte), other].into_iter().flatten() {
            let Some(found) = self.child(&below, byte) else { continue };
            if rest.is_empty() {
                along.extend_from_slice(&self.ids[self.places(found.start)]);
            } else {
                along.extend_from_slice(self.ids_at(&found));
                self.add_along(found.start + 1..found.end, rest, folds, along);
            }
        }
    }
}

/// These nodes' subtrees are complete.
fn close(nodes: &mut [Node], path: &[u32]) {
    let count = nodes.len() as u32;
    for index in path {
        nodes[*index as usize].size = count - index;
    }
}

/// An entry as a number that sorts as its bytes do: the first of them, padded with zeros, how many there
/// are, and the entry's index. Few tokens are longer; only those are looked up.
///
/// Sorting these takes a quarter of the time of sorting slices, and most tokens are read from them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Place(u128);

/// Bytes of an entry that its [`Place`] holds.
const BEGINNING: usize = 11;

impl Place {
    fn of(token: &[u8], index: usize) -> Self {
        let mut bytes = [0; 16];
        let held = token.len().min(BEGINNING);
        bytes[..held].copy_from_slice(&token[..held]);
        bytes[BEGINNING] = token.len().min(BEGINNING + 1) as u8;
        Self(u128::from_be_bytes(bytes) | index as u128)
    }

    fn index(self) -> usize {
        self.0 as u32 as usize
    }

    fn beginning(self) -> [u8; BEGINNING] {
        let mut bytes = [0; BEGINNING];
        bytes.copy_from_slice(&self.0.to_be_bytes()[..BEGINNING]);
        bytes
    }

    /// Bytes of the token; more than are held here if there are more.
    fn length(self) -> usize {
        usize::from((self.0 >> 32) as u8)
    }

    /// Whether both are longer than what is held and begin alike.
    fn ties(self, other: Self) -> bool {
        self.0 >> 32 == other.0 >> 32
    }

    /// How many bytes the token here has in common with that of the place before.
    fn shared<'a>(self, before: Self, token: &[u8], entry: &impl Fn(usize) -> (&'a [u8], TokenId)) -> usize {
        if self.ties(before) && self.length() > BEGINNING {
            let (other, _) = entry(before.index());
            return token.iter().zip(other).take_while(|(a, b)| a == b).count();
        }
        let alike = (self.0 ^ before.0).leading_zeros() as usize / 8;
        alike.min(token.len())
    }
}

fn in_order<'a>(count: usize, entry: &impl Fn(usize) -> (&'a [u8], TokenId)) -> Vec<Place> {
    let mut order: Vec<Place> = (0..count).map(|index| Place::of(entry(index).0, index)).collect();
    order.sort_unstable();
    for tied in order.chunk_by_mut(|a, b| a.ties(*b)).filter(|tied| tied.len() > 1) {
        tied.sort_unstable_by_key(|place| entry(place.index()));
    }
    order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Of tokens about as long as what is held of them, many alike, with zeros.
        #[test]
        fn tokens_are_in_order_and_found(tokens in prop::collection::vec("[\0\u{1}a]{1,14}|a{9,14}b?", 0..40)) {
            let entry = |at: usize| (tokens[at].as_bytes(), at as TokenId);
            let tree = Tree::new(tokens.len(), entry);
            let mut sorted: Vec<_> = (0..tokens.len()).map(entry).collect();
            sorted.sort();
            let ids: Vec<TokenId> = sorted.iter().map(|(_, id)| *id).collect();
            prop_assert_eq!(tree.all_ids(), &ids[..]);
            prop_assert_eq!(tree.depth(), tokens.iter().map(String::len).max().unwrap_or(0));
            for token in &tokens {
                let same: Vec<TokenId> = sorted.iter().filter(|(bytes, _)| *bytes == token.as_bytes()).map(|(_, id)| *id).collect();
                let begun: Vec<TokenId> = sorted.iter().filter(|(bytes, _)| bytes.starts_with(token.as_bytes())).map(|(_, id)| *id).collect();
                let (mut below, mut at) = (tree.root(), 0);
                for byte in token.bytes() {
                    let found = tree.child(&below, byte).expect("a path of its bytes");
                    (below, at) = (found.start + 1..found.end, found.start);
                }
                let node = &tree.nodes()[at];
                prop_assert_eq!(tree.ids(node), &same[..]);
                prop_assert_eq!(&tree.all_ids()[tree.places(at)], &begun[..]);
            }
        }
    }
}
