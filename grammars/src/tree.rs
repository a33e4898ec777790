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
    /// Entries need not be in order; none may be empty or longer than [`LONGEST`].
    pub(crate) fn new<'a>(entries: impl IntoIterator<Item = (&'a [u8], TokenId)>) -> Self {
        let mut entries: Vec<_> = entries.into_iter().collect();
        entries.sort_unstable();
        let mut nodes: Vec<Node> = Vec::new();
        // Nodes from the root to the last one added.
        let mut path: Vec<usize> = Vec::new();
        let mut previous: &[u8] = &[];
        for (index, (token, _)) in entries.iter().enumerate() {
            let shared = token.iter().zip(previous).take_while(|(a, b)| a == b).count();
            close(&mut nodes, &mut path, shared);
            for (depth, byte) in token.iter().enumerate().skip(shared) {
                path.push(nodes.len());
                let here = index as u32;
                nodes.push(Node { byte: *byte, depth: depth as u16, size: 0, first: here, end: here });
            }
            if let Some(node) = path.last().and_then(|last| nodes.get_mut(*last)) {
                node.end = index as u32 + 1;
            }
            previous = token;
        }
        close(&mut nodes, &mut path, 0);
        let depth = entries.iter().map(|(token, _)| token.len()).max().unwrap_or(0);
        let mut first = Vec::new();
        let mut at = 0;
        while let Some(node) = nodes.get(at as usize) {
            first.resize(usize::from(node.byte), 0..0);
            first.push(at..at + node.size);
            at += node.size;
        }
        Self { nodes, ids: entries.into_iter().map(|(_, id)| id).collect(), depth, first }
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

/// Leaves the path's nodes beyond `depth`: their subtrees are complete.
fn close(nodes: &mut [Node], path: &mut Vec<usize>, depth: usize) {
    let count = nodes.len();
    for index in path.drain(depth.min(path.len())..) {
        nodes[index].size = (count - index) as u32;
    }
}
