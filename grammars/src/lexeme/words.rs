//! Lists of texts as automata.

use super::automaton::Source;

/// A node's children by byte, sorted, and the outcome there.
type Node = (Vec<(u8, u32)>, Option<u32>);

/// Some texts, each with an outcome, in a tree. Of equal texts the first counts.
#[derive(Debug, Clone)]
pub(crate) struct Words {
    nodes: Vec<Node>,
}

impl Words {
    pub(crate) fn new<'a>(words: impl IntoIterator<Item = (&'a [u8], u32)>) -> Self {
        let mut nodes: Vec<Node> = vec![(Vec::new(), None)];
        for (word, outcome) in words {
            let mut at = 0;
            for byte in word {
                at = match nodes[at].0.binary_search_by_key(byte, |(byte, _)| *byte) {
                    Ok(index) => nodes[at].0[index].1 as usize,
                    Err(index) => {
                        let new = nodes.len();
                        nodes.push((Vec::new(), None));
                        nodes[at].0.insert(index, (*byte, new as u32));
                        new
                    }
                };
            }
            nodes[at].1.get_or_insert(outcome);
        }
        Self { nodes }
    }
}

impl Source for Words {
    type State = u32;

    fn start(&self) -> u32 {
        0
    }

    fn step(&self, state: &u32, byte: u8) -> Option<u32> {
        let children = &self.nodes[*state as usize].0;
        children.binary_search_by_key(&byte, |(byte, _)| *byte).ok().map(|index| children[index].1)
    }

    fn ending(&self, state: &u32) -> Option<u32> {
        self.nodes[*state as usize].1
    }

    fn classes(&self) -> [u8; 256] {
        // Class 0 is of bytes that no word has.
        let mut used = [false; 256];
        self.nodes
            .iter()
            .flat_map(|(children, _)| children)
            .for_each(|(byte, _)| used[usize::from(*byte)] = true);
        let mut count = 0_u8;
        std::array::from_fn(|byte| {
            count = count.wrapping_add(u8::from(used[byte]));
            if used[byte] { count } else { 0 }
        })
    }
}
