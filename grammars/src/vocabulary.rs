//! A model's tokens as plain bytes.

/// A token's id: its index in the vocabulary.
pub type TokenId = u32;

/// Tokens in a prefix tree, so that one walk finds every token that an automaton allows.
#[derive(Debug)]
pub struct Vocabulary {
    digest: String,
    ends: Vec<TokenId>,
    bytes: Vec<u8>,
    /// Token `id` is `bytes[offsets[id]..offsets[id + 1]]`.
    offsets: Vec<u32>,
    /// The tree in preorder.
    nodes: Vec<Node>,
    /// Ids in the order of their bytes; nodes point into it.
    ids: Vec<TokenId>,
    longest: usize,
    spellable: [bool; 256],
}

#[derive(Debug)]
struct Node {
    byte: u8,
    /// Length of the prefix before this byte.
    depth: u16,
    /// Nodes of the subtree, this one included.
    size: u32,
    /// Tokens that end here: `ids[first..end]`.
    first: u32,
    end: u32,
}

impl Vocabulary {
    /// Token `i` is the `i`th item. Empty tokens (special ones) are never allowed by a
    /// grammar; `ends` are allowed where a text may end. `digest` names the vocabulary in
    /// caches: two vocabularies of one digest must be equal.
    ///
    /// A token longer than 65,535 bytes is never allowed.
    pub fn new<T: AsRef<[u8]>>(
        digest: impl Into<String>,
        tokens: impl IntoIterator<Item = T>,
        ends: Vec<TokenId>,
    ) -> Self {
        let (mut bytes, mut offsets) = (Vec::new(), vec![0_u32]);
        for token in tokens {
            bytes.extend_from_slice(token.as_ref());
            offsets.push(bytes.len() as u32);
        }
        let mut vocabulary = Self {
            digest: digest.into(),
            ends,
            bytes,
            offsets,
            nodes: Vec::new(),
            ids: Vec::new(),
            longest: 0,
            spellable: [false; 256],
        };
        vocabulary.plant();
        vocabulary
    }

    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name given to [`new`](Self::new).
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Tokens that end a text.
    pub fn ends(&self) -> &[TokenId] {
        &self.ends
    }

    /// A token's bytes; empty for special tokens and unknown ids.
    pub fn token(&self, id: TokenId) -> &[u8] {
        let id = id as usize;
        match (self.offsets.get(id), self.offsets.get(id + 1)) {
            (Some(start), Some(end)) => &self.bytes[*start as usize..*end as usize],
            _ => &[],
        }
    }

    /// Bytes that are tokens by themselves: a text of these can always be spelled.
    pub(crate) fn spellable(&self) -> &[bool; 256] {
        &self.spellable
    }

    /// Calls `allow` for each token that leads from `start` to somewhere; `step` answers
    /// `None` where a byte leads nowhere.
    pub(crate) fn walk(
        &self,
        start: u32,
        step: impl Fn(u32, u8) -> Option<u32>,
        mut allow: impl FnMut(TokenId),
    ) {
        let mut states = vec![start; self.longest + 1];
        let mut at = 0;
        while let Some(node) = self.nodes.get(at) {
            let depth = usize::from(node.depth);
            let Some(state) = step(states[depth], node.byte) else {
                at += node.size as usize;
                continue;
            };
            states[depth + 1] = state;
            self.ids[node.first as usize..node.end as usize].iter().for_each(|id| allow(*id));
            at += 1;
        }
    }

    /// Builds the tree from tokens in the order of their bytes: each adds the nodes that
    /// its predecessor does not share.
    fn plant(&mut self) {
        let usable = |id: &TokenId| {
            (1..=usize::from(u16::MAX)).contains(&self.token(*id).len()) && !self.ends.contains(id)
        };
        let mut order: Vec<TokenId> = (0..self.len() as TokenId).filter(usable).collect();
        order.sort_by(|a, b| self.token(*a).cmp(self.token(*b)));

        let mut nodes: Vec<Node> = Vec::new();
        // Nodes from the root to the last one added.
        let mut path: Vec<usize> = Vec::new();
        let mut previous: &[u8] = &[];
        for (index, id) in order.iter().enumerate() {
            let token = self.token(*id);
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

        self.longest = order.iter().map(|id| self.token(*id).len()).max().unwrap_or(0);
        for id in &order {
            if let [byte] = self.token(*id) {
                let byte = usize::from(*byte);
                self.spellable[byte] = true;
            }
        }
        self.nodes = nodes;
        self.ids = order;
    }
}

/// Leaves the path's nodes beyond `depth`: their subtrees are complete.
fn close(nodes: &mut [Node], path: &mut Vec<usize>, depth: usize) {
    let count = nodes.len();
    for index in path.drain(depth.min(path.len())..) {
        nodes[index].size = (count - index) as u32;
    }
}
