//! Ownership of pages: counts, prefix sharing, eviction. No numbers here.
//!
//! A full page is *sealed*: it enters a tree keyed by (parent page's node, its tokens), so
//! that a later prompt with the same beginning finds it. The comparison is on the tokens
//! themselves, never on a hash alone. A sealed page that nobody holds stays until its
//! memory is needed; the one unused for longest goes first. (Idea: prefix trees of
//! SGLang's RadixAttention and vLLM's automatic prefix caching.)

use std::collections::HashMap;

use crate::kv::{PAGE_LEN, PageId};
use crate::verbs::TokenId;

/// Place in the prefix tree; never reused, so a child of an evicted page is unreachable
/// rather than wrong.
type NodeId = u64;

/// The empty prefix.
const ROOT: NodeId = 0;

#[derive(Clone, Default)]
struct Page {
    holders: u32,
    sealed: Option<Sealed>,
}

#[derive(Clone)]
struct Sealed {
    node: NodeId,
    parent: NodeId,
    tokens: PageTokens,
    last_used: u64,
}

/// The tokens of a full page, held in place: sealing a page while decoding takes no memory.
type PageTokens = [TokenId; PAGE_LEN];

/// Every page of a store.
pub struct PageTable {
    pages: Vec<Page>,
    free: Vec<PageId>,
    tree: HashMap<(NodeId, PageTokens), PageId>,
    next_node: NodeId,
    clock: u64,
}

impl PageTable {
    /// `count` free pages.
    pub fn new(count: usize) -> Self {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        Self {
            pages: vec![Page::default(); count as usize],
            free: (0..count).rev().collect(),
            // Twice what it can hold, so that removals never make it grow.
            tree: HashMap::with_capacity(2 * count as usize),
            next_node: ROOT + 1,
            clock: 0,
        }
    }

    /// Pages in all.
    pub fn total(&self) -> usize {
        self.pages.len()
    }

    /// Pages held by sequences.
    pub fn held(&self) -> usize {
        self.pages.iter().filter(|page| page.holders > 0).count()
    }

    /// Pages that `allocate` could hand out now.
    pub fn available(&self) -> usize {
        self.total() - self.held()
    }

    /// A page for one holder, evicting the sealed page unused for longest when none is free.
    pub fn allocate(&mut self) -> Option<PageId> {
        let page = match self.free.pop() {
            Some(page) => page,
            None => self.evict()?,
        };
        self.pages[page as usize].holders = 1;
        Some(page)
    }

    fn evict(&mut self) -> Option<PageId> {
        let idle = self.pages.iter().enumerate().filter(|(_, page)| page.holders == 0);
        let (index, _) = idle
            .filter_map(|(index, page)| page.sealed.as_ref().map(|sealed| (index, sealed.last_used)))
            .min_by_key(|&(_, last_used)| last_used)?;
        self.unseal(index);
        Some(index as PageId)
    }

    fn unseal(&mut self, index: usize) {
        if let Some(sealed) = self.pages[index].sealed.take() {
            self.tree.remove(&(sealed.parent, sealed.tokens));
        }
    }

    /// One more holder of a page.
    pub fn share(&mut self, page: PageId) {
        self.pages[page as usize].holders += 1;
    }

    /// One holder less; an unsealed page without holders is free again.
    pub fn release(&mut self, page: PageId) {
        self.clock += 1;
        let entry = &mut self.pages[page as usize];
        debug_assert!(entry.holders > 0, "a page is released once per holder");
        entry.holders = entry.holders.saturating_sub(1);
        if entry.holders > 0 {
            return;
        }
        match &mut entry.sealed {
            Some(sealed) => sealed.last_used = self.clock,
            None => self.free.push(page),
        }
    }

    /// Whether its only holder may write to it.
    pub fn is_writable(&self, page: PageId) -> bool {
        let page = &self.pages[page as usize];
        page.holders == 1 && page.sealed.is_none()
    }

    /// Puts a full page into the prefix tree behind `parent` (`None` for the first page).
    /// When the same prefix is there already the page stays private, and is no parent.
    /// Returns whether the page is sealed.
    pub fn seal(&mut self, page: PageId, parent: Option<PageId>, tokens: &[TokenId]) -> bool {
        let Ok(tokens) = PageTokens::try_from(tokens) else { return false };
        let Some(parent) = self.node_of(parent) else { return false };
        let key = (parent, tokens);
        if self.pages[page as usize].sealed.is_some() || self.tree.contains_key(&key) {
            return self.pages[page as usize].sealed.is_some();
        }
        let node = self.next_node;
        self.next_node += 1;
        self.pages[page as usize].sealed = Some(Sealed { node, parent, tokens, last_used: self.clock });
        self.tree.insert(key, page);
        true
    }

    fn node_of(&self, page: Option<PageId>) -> Option<NodeId> {
        match page {
            None => Some(ROOT),
            Some(page) => self.pages[page as usize].sealed.as_ref().map(|sealed| sealed.node),
        }
    }

    /// The longest run of sealed pages that `tokens` begins with, each with one holder more.
    /// At least one token is left over, since its logits are wanted.
    pub fn match_prefix(&mut self, tokens: &[TokenId]) -> Vec<PageId> {
        let most = tokens.len().saturating_sub(1) / PAGE_LEN;
        let mut found = Vec::new();
        let mut node = ROOT;
        for chunk in tokens.as_chunks().0.iter().take(most) {
            let Some(&page) = self.tree.get(&(node, *chunk)) else { break };
            self.share(page);
            found.push(page);
            match &self.pages[page as usize].sealed {
                Some(sealed) => node = sealed.node,
                None => break,
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tokens(from: u32) -> Vec<TokenId> {
        (from..from + PAGE_LEN as u32).collect()
    }

    #[test]
    fn a_sealed_prefix_is_found_and_survives_its_holder() {
        let mut table = PageTable::new(4);
        let (first, second) = (table.allocate().unwrap(), table.allocate().unwrap());
        assert!(table.seal(first, None, &tokens(0)));
        assert!(table.seal(second, Some(first), &tokens(100)));
        table.release(first);
        table.release(second);
        let mut prompt = tokens(0);
        prompt.extend(tokens(100));
        assert_eq!(table.match_prefix(&prompt), [first], "one token must be left to compute");
        prompt.push(7);
        assert_eq!(table.match_prefix(&prompt), [first, second]);
        assert!(!table.is_writable(first));
    }

    #[test]
    fn another_parent_is_another_prefix() {
        let mut table = PageTable::new(4);
        let (first, second) = (table.allocate().unwrap(), table.allocate().unwrap());
        table.seal(first, None, &tokens(0));
        table.seal(second, Some(first), &tokens(100));
        let mut prompt = tokens(100);
        prompt.push(1);
        assert!(table.match_prefix(&prompt).is_empty());
    }

    #[test]
    fn eviction_takes_the_page_unused_for_longest_and_only_idle_ones() {
        let mut table = PageTable::new(3);
        let pages: Vec<_> = (0..3).map(|_| table.allocate().unwrap()).collect();
        for (index, &page) in pages.iter().enumerate() {
            table.seal(page, None, &tokens(1000 * index as u32));
        }
        assert_eq!(table.allocate(), None);
        table.release(pages[1]);
        table.release(pages[0]);
        assert_eq!(table.allocate(), Some(pages[1]));
        let mut gone = tokens(1000);
        gone.push(0);
        assert!(table.match_prefix(&gone).is_empty());
    }

    proptest! {
        /// INV-K2: whatever the order of events, holders are counted exactly and no page
        /// is lost or handed out twice.
        #[test]
        fn pages_are_neither_lost_nor_handed_out_twice(ops in prop::collection::vec((0u8..4, 0u32..6), 1..200)) {
            let mut table = PageTable::new(5);
            let mut held: Vec<PageId> = Vec::new();
            for (op, seed) in ops {
                match op {
                    0 => if let Some(page) = table.allocate() {
                        prop_assert!(!held.contains(&page));
                        held.push(page);
                    },
                    1 => if !held.is_empty() {
                        let page = held.swap_remove(seed as usize % held.len());
                        table.release(page);
                    },
                    2 => if !held.is_empty() {
                        let page = held[seed as usize % held.len()];
                        table.seal(page, None, &tokens(seed * 1000));
                    },
                    _ => {
                        let mut prompt = tokens(seed * 1000);
                        prompt.push(0);
                        held.extend(table.match_prefix(&prompt));
                    }
                }
                let mut distinct = held.clone();
                distinct.sort_unstable();
                distinct.dedup();
                prop_assert_eq!(table.held(), distinct.len());
                prop_assert_eq!(table.available(), 5 - distinct.len());
            }
        }
    }
}
