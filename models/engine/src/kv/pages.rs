//! Ownership of pages: counts, prefix sharing, eviction. No numbers here.
//!
//! A full page is *sealed*: it enters a tree keyed by (parent page's node, its tokens), so
//! that a later prompt with the same beginning finds it. The comparison is on the tokens
//! themselves, never on a hash alone. A sealed page that nobody holds stays until its
//! memory is needed. (Idea: prefix trees of SGLang's RadixAttention and vLLM's automatic prefix
//! caching.)
//!
//! The page goes first whose loss costs least: what it saves is its tokens, the same for every
//! page, times how often it is found again. Counts age, since each page starts from the worth of
//! the last one that went (greedy-dual; Cao and Irani 1997); of equals the one unused for longest
//! goes. A page is found at least as often as those behind it, so a prefix goes from its end.

use std::collections::HashMap;
use std::sync::Arc;

use crate::kv::{PAGE_LEN, PageId};
use crate::verbs::TokenId;

/// Place in the prefix tree; never reused, so a child of an evicted page is unreachable
/// rather than wrong.
type NodeId = u64;

/// What a page comes after in the tree.
#[derive(Debug, Clone, Copy)]
pub enum Parent<'a> {
    /// Nothing: it is the first of a prefix in this partition.
    Root(&'a Arc<str>),
    /// A page that is in the tree.
    Page(PageId),
}

/// The empty prefix of a partition. There while any page comes right after it, so there are no more roots
/// than pages, however many tenants come and go.
struct Root {
    node: NodeId,
    pages: usize,
}

#[derive(Clone, Default)]
struct Page {
    holders: u32,
    sealed: Option<Sealed>,
}

#[derive(Clone)]
struct Sealed {
    node: NodeId,
    parent: NodeId,
    /// The partition, of a page that comes first.
    first_of: Option<Arc<str>>,
    tokens: PageTokens,
    last_used: u64,
    /// How often it was found again.
    hits: u64,
    /// Its turn to go when memory is needed, least first.
    worth: u64,
}

/// The tokens of a full page, held in place: sealing a page while decoding takes no memory.
type PageTokens = [TokenId; PAGE_LEN];
/// More hits than this make a page no dearer: else one in use for a day would stay for a day after.
const MOST_HITS: u64 = 32;

/// Every page of a store.
pub struct PageTable {
    pages: Vec<Page>,
    free: Vec<PageId>,
    tree: HashMap<(NodeId, PageTokens), PageId>,
    /// Of each partition that has pages in the tree.
    roots: HashMap<Arc<str>, Root>,
    next_node: NodeId,
    clock: u64,
    /// Worth of the page that went last.
    floor: u64,
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
            roots: HashMap::with_capacity(2 * count as usize),
            next_node: 0,
            clock: 0,
            floor: 0,
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

    /// A page for one holder, evicting the idle sealed page of least worth when none is free.
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
            .filter_map(|(index, page)| Some((index, page.sealed.as_ref()?)))
            .min_by_key(|(_, sealed)| (sealed.worth, sealed.last_used))?;
        let sealed = self.pages[index].sealed.take()?;
        self.floor = sealed.worth;
        self.tree.remove(&(sealed.parent, sealed.tokens));
        if let Some(partition) = sealed.first_of {
            self.leave_root(&partition);
        }
        Some(index as PageId)
    }

    fn leave_root(&mut self, partition: &Arc<str>) {
        if let Some(root) = self.roots.get_mut(partition) {
            root.pages -= 1;
            if root.pages == 0 {
                self.roots.remove(partition);
            }
        }
    }

    fn new_node(&mut self) -> NodeId {
        self.next_node += 1;
        self.next_node
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
            Some(sealed) => {
                sealed.last_used = self.clock;
                sealed.worth = self.floor + 1 + sealed.hits.min(MOST_HITS);
            }
            None => self.free.push(page),
        }
    }

    /// Whether its only holder may write to it.
    pub fn is_writable(&self, page: PageId) -> bool {
        let page = &self.pages[page as usize];
        page.holders == 1 && page.sealed.is_none()
    }

    /// Puts a full page into the prefix tree, in a place that [`find`](Self::find) has found empty.
    pub fn seal(&mut self, page: PageId, parent: Parent<'_>, tokens: &[TokenId]) {
        let Ok(tokens) = PageTokens::try_from(tokens) else { return };
        let node = self.new_node();
        let (parent, first_of) = match parent {
            Parent::Root(partition) => (self.enter_root(partition), Some(partition.clone())),
            Parent::Page(_) => match self.node_of(parent) {
                Some(parent) => (parent, None),
                None => return,
            },
        };
        self.tree.insert((parent, tokens), page);
        let (last_used, worth) = (self.clock, self.floor + 1);
        self.pages[page as usize].sealed =
            Some(Sealed { node, parent, first_of, tokens, last_used, hits: 0, worth });
    }

    fn enter_root(&mut self, partition: &Arc<str>) -> NodeId {
        let node = self.new_node();
        let root = self.roots.entry(partition.clone()).or_insert(Root { node, pages: 0 });
        root.pages += 1;
        root.node
    }

    /// The page of these tokens after `parent`.
    pub fn find(&self, parent: Parent<'_>, tokens: &[TokenId]) -> Option<PageId> {
        let tokens = PageTokens::try_from(tokens).ok()?;
        self.tree.get(&(self.node_of(parent)?, tokens)).copied()
    }

    /// One more holder of a page that was found.
    pub fn adopt(&mut self, page: PageId) {
        self.share(page);
        if let Some(sealed) = &mut self.pages[page as usize].sealed {
            sealed.hits += 1;
        }
    }

    fn node_of(&self, parent: Parent<'_>) -> Option<NodeId> {
        match parent {
            Parent::Root(partition) => self.roots.get(partition).map(|root| root.node),
            Parent::Page(page) => self.pages[page as usize].sealed.as_ref().map(|sealed| sealed.node),
        }
    }

    /// The longest run of a partition's sealed pages that `tokens` begins with, each with one holder
    /// more. At least one token is left over, since its logits are wanted.
    pub fn match_prefix(&mut self, partition: &Arc<str>, tokens: &[TokenId]) -> Vec<PageId> {
        let most = tokens.len().saturating_sub(1) / PAGE_LEN;
        let mut found: Vec<PageId> = Vec::new();
        for chunk in tokens.chunks_exact(PAGE_LEN).take(most) {
            let parent = found.last().map_or(Parent::Root(partition), |last| Parent::Page(*last));
            let Some(page) = self.find(parent, chunk) else { break };
            self.adopt(page);
            found.push(page);
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

    fn ours() -> Arc<str> {
        "ours".into()
    }

    fn after<'a>(last: Option<&PageId>, partition: &'a Arc<str>) -> Parent<'a> {
        last.map_or(Parent::Root(partition), |last| Parent::Page(*last))
    }

    #[test]
    fn a_partition_sees_no_other_and_leaves_nothing_behind() {
        let mut table = PageTable::new(2);
        let mut prompt = tokens(0);
        prompt.push(7);
        for partition in ["a", "b", "c", "d"].map(Arc::from) {
            assert!(table.match_prefix(&partition, &prompt).is_empty(), "{partition} is new");
            let page = table.allocate().unwrap();
            table.seal(page, Parent::Root(&partition), &tokens(0));
            table.release(page);
            let found = table.match_prefix(&partition, &prompt);
            assert_eq!(found, [page], "{partition} finds its own");
            table.release(page);
        }
        assert_eq!(table.roots.len(), 2, "partitions whose pages are gone are forgotten");
    }

    #[test]
    fn a_sealed_prefix_is_found_and_survives_its_holder() {
        let mut table = PageTable::new(4);
        let (first, second) = (table.allocate().unwrap(), table.allocate().unwrap());
        table.seal(first, Parent::Root(&ours()), &tokens(0));
        table.seal(second, Parent::Page(first), &tokens(100));
        table.release(first);
        table.release(second);
        let mut prompt = tokens(0);
        prompt.extend(tokens(100));
        assert_eq!(table.match_prefix(&ours(), &prompt), [first], "one token must be left to compute");
        prompt.push(7);
        assert_eq!(table.match_prefix(&ours(), &prompt), [first, second]);
        assert!(!table.is_writable(first));
    }

    #[test]
    fn another_parent_is_another_prefix() {
        let mut table = PageTable::new(4);
        let (first, second) = (table.allocate().unwrap(), table.allocate().unwrap());
        table.seal(first, Parent::Root(&ours()), &tokens(0));
        table.seal(second, Parent::Page(first), &tokens(100));
        let mut prompt = tokens(100);
        prompt.push(1);
        assert!(table.match_prefix(&ours(), &prompt).is_empty());
    }

    /// Runs a prompt of whole pages through the table, as a sequence would: how many of them
    /// were there.
    fn serve(table: &mut PageTable, pages: &[u32]) -> usize {
        let mut prompt: Vec<TokenId> = pages.iter().flat_map(|&from| tokens(from)).collect();
        prompt.push(0);
        let mut held = table.match_prefix(&ours(), &prompt);
        let found = held.len();
        for &from in &pages[found..] {
            let page = table.allocate().unwrap();
            table.seal(page, after(held.last(), &ours()), &tokens(from));
            held.push(page);
        }
        held.into_iter().rev().for_each(|page| table.release(page));
        found
    }

    #[test]
    fn a_prefix_in_use_outlives_prompts_that_come_once() {
        let mut table = PageTable::new(8);
        let system = [0, 100, 200, 300];
        for _ in 0..5 {
            serve(&mut table, &system);
        }
        for once in 0..6 {
            serve(&mut table, &[10_000 + 1000 * once, 10_100 + 1000 * once]);
        }
        assert_eq!(serve(&mut table, &system), 4, "found again after 12 pages that nobody asks for twice");
    }

    #[test]
    fn a_prefix_out_of_use_goes_in_the_end_and_from_its_end() {
        let mut table = PageTable::new(6);
        let system = [0, 100, 200, 300];
        for _ in 0..100 {
            serve(&mut table, &system);
        }
        let mut kept = vec![4];
        for once in 0..200 {
            serve(&mut table, &[10_000 + 1000 * once, 10_100 + 1000 * once]);
            let prompt: Vec<TokenId> = system.iter().flat_map(|&from| tokens(from)).chain([0]).collect();
            let pages = prompt.chunks_exact(PAGE_LEN).scan(None, |parent, chunk| {
                *parent = table.find(after(parent.as_ref(), &ours()), chunk);
                *parent
            });
            kept.push(pages.count());
        }
        assert!(kept.is_sorted_by(|before, after| before >= after), "{kept:?}");
        assert_eq!(kept.last(), Some(&0));
    }

    #[test]
    fn eviction_takes_the_page_unused_for_longest_and_only_idle_ones() {
        let mut table = PageTable::new(3);
        let pages: Vec<_> = (0..3).map(|_| table.allocate().unwrap()).collect();
        for (index, &page) in pages.iter().enumerate() {
            table.seal(page, Parent::Root(&ours()), &tokens(1000 * index as u32));
        }
        assert_eq!(table.allocate(), None);
        table.release(pages[1]);
        table.release(pages[0]);
        assert_eq!(table.allocate(), Some(pages[1]));
        let mut gone = tokens(1000);
        gone.push(0);
        assert!(table.match_prefix(&ours(), &gone).is_empty());
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
                        let root = ours();
                        let root = Parent::Root(&root);
                        if table.find(root, &tokens(seed * 1000)).is_none() && table.is_writable(page) {
                            table.seal(page, root, &tokens(seed * 1000));
                        }
                    },
                    _ => {
                        let mut prompt = tokens(seed * 1000);
                        prompt.push(0);
                        held.extend(table.match_prefix(&ours(), &prompt));
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
