//! Sequences: their tokens, their pages, and the slots they live in.

use std::ops::Range;
use std::sync::Arc;

use crate::EngineError;
use crate::engine::gated::Gated;
use crate::kv::{PAGE_LEN, PageId, PageTable, Parent};
use crate::model::Decoder;
use crate::verbs::{JobId, OpenSpec, SamplerSpec, SeqKey, TokenId};

/// One sequence. `computed <= tokens.len()`; the rest waits for a forward pass.
pub(super) struct Sequence {
    pub tokens: Vec<TokenId>,
    /// How many tokens have their KV.
    pub computed: usize,
    /// Cover at least `computed` tokens.
    pub pages: Vec<PageId>,
    /// Leading pages that are in the prefix tree.
    sealed: usize,
    /// Drafted tokens that are not in the sequence.
    aside: Aside,
    /// Tokens before this were given, not generated: the gate never saw them.
    pub gated_from: usize,
    pub sampler: SamplerSpec,
    pub gate: Option<Gated>,
    /// Pages are shared with sequences of the same one only.
    pub partition: Arc<str>,
    pub busy: Option<JobId>,
}

/// Tokens whose keys and values are in a sequence's pages, whether the sequence has them or not: they were
/// computed after its first `from` tokens.
#[derive(Default)]
struct Aside {
    from: usize,
    ids: Vec<TokenId>,
}

impl Aside {
    /// One past the last position.
    fn end(&self) -> usize {
        if self.ids.is_empty() { 0 } else { self.from + self.ids.len() }
    }

    /// How many of them a sequence of these tokens has.
    fn shared(&self, tokens: &[TokenId]) -> usize {
        let after = tokens.get(self.from..).unwrap_or_default();
        after.iter().zip(&self.ids).take_while(|(a, b)| a == b).count()
    }
}

/// All slots of an engine.
pub(super) struct SequenceTable {
    slots: Vec<Slot>,
}

#[derive(Default)]
struct Slot {
    generation: u32,
    sequence: Option<Sequence>,
}

impl SequenceTable {
    pub fn new(slots: usize) -> Self {
        Self { slots: (0..slots).map(|_| Slot::default()).collect() }
    }

    pub fn open_count(&self) -> usize {
        self.slots.iter().filter(|slot| slot.sequence.is_some()).count()
    }

    pub fn insert(&mut self, sequence: Sequence) -> Option<SeqKey> {
        let index = self.slots.iter().position(|slot| slot.sequence.is_none())?;
        let slot = &mut self.slots[index];
        slot.sequence = Some(sequence);
        Some(SeqKey { slot: index as u32, generation: slot.generation })
    }

    pub fn is_full(&self) -> bool {
        self.slots.iter().all(|slot| slot.sequence.is_some())
    }

    pub fn get(&self, key: SeqKey) -> Result<&Sequence, EngineError> {
        let slot = self.slots.get(key.slot as usize).filter(|slot| slot.generation == key.generation);
        slot.and_then(|slot| slot.sequence.as_ref()).ok_or(EngineError::StaleSeq)
    }

    pub fn get_mut(&mut self, key: SeqKey) -> Result<&mut Sequence, EngineError> {
        let slot = self.slots.get_mut(key.slot as usize).filter(|slot| slot.generation == key.generation);
        slot.and_then(|slot| slot.sequence.as_mut()).ok_or(EngineError::StaleSeq)
    }

    /// The sequence, if no other verb works on it and it has the length the caller expects.
    pub fn expect(&mut self, key: SeqKey, at: Option<usize>) -> Result<&mut Sequence, EngineError> {
        let sequence = self.get_mut(key)?;
        if sequence.busy.is_some() {
            return Err(EngineError::SeqBusy);
        }
        match at {
            Some(expected) if expected != sequence.tokens.len() => {
                Err(EngineError::LengthMismatch { expected, actual: sequence.tokens.len() })
            }
            _ => Ok(sequence),
        }
    }

    pub fn remove(&mut self, key: SeqKey) -> Option<Sequence> {
        let slot = self.slots.get_mut(key.slot as usize).filter(|slot| slot.generation == key.generation)?;
        let sequence = slot.sequence.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        Some(sequence)
    }
}

impl Sequence {
    /// A sequence of a prompt, with whatever the prefix tree has of it and pages for the rest.
    pub fn open(spec: OpenSpec, pages: &mut PageTable) -> Result<Self, EngineError> {
        let OpenSpec { prompt, sampler, gate, partition } = spec;
        let cached = pages.match_prefix(&partition, &prompt);
        let mut sequence = Self {
            computed: cached.len() * PAGE_LEN,
            sealed: cached.len(),
            pages: cached,
            aside: Aside::default(),
            gated_from: prompt.len(),
            tokens: prompt,
            sampler,
            gate: gate.map(Gated::new),
            partition,
            busy: None,
        };
        match sequence.reserve(sequence.tokens.len(), pages) {
            true => Ok(sequence),
            false => {
                let wanted = sequence.tokens.len();
                sequence.release(pages);
                Err(EngineError::OutOfKv(format!(
                    "{wanted} tokens do not fit into the {} free pages of {PAGE_LEN} tokens",
                    pages.available()
                )))
            }
        }
    }

    /// Takes the memory that so many more tokens will need, so that decoding them takes none.
    pub fn expect_more(&mut self, tokens: usize) {
        self.tokens.reserve(tokens);
        let pages = (self.tokens.len() + tokens).div_ceil(PAGE_LEN);
        self.pages.reserve(pages.saturating_sub(self.pages.len()));
    }

    /// The next page's positions, when all before are in the prefix tree and all of it comes
    /// before `limit`.
    pub fn next_page(&self, limit: usize) -> Option<Range<usize>> {
        let page = self.computed..self.computed + PAGE_LEN;
        (page.start == self.sealed * PAGE_LEN && page.end <= limit).then_some(page)
    }

    /// Takes over pages that others have computed meanwhile, up to `limit`; how many tokens
    /// need no computing now.
    pub fn adopt(&mut self, limit: usize, pages: &mut PageTable) -> usize {
        let before = self.computed;
        while let Some(page) = self.next_page(limit) {
            let Some(found) = pages.find(self.parent(), &self.tokens[page.clone()]) else { break };
            pages.adopt(found);
            self.replace_page(self.sealed, found, pages);
            self.sealed += 1;
            self.computed = page.end;
        }
        self.computed - before
    }

    /// What the first page that is not in the prefix tree comes after.
    fn parent(&self) -> Parent<'_> {
        match self.sealed.checked_sub(1) {
            None => Parent::Root(&self.partition),
            Some(last) => Parent::Page(self.pages[last]),
        }
    }

    fn replace_page(&mut self, index: usize, page: PageId, pages: &mut PageTable) {
        match self.pages.get_mut(index) {
            Some(own) => pages.release(std::mem::replace(own, page)),
            None => self.pages.push(page),
        }
    }

    /// Grows the page list to cover `len` tokens; `false` when memory is out.
    pub fn reserve(&mut self, len: usize, pages: &mut PageTable) -> bool {
        while self.pages.len() * PAGE_LEN < len {
            match pages.allocate() {
                Some(page) => self.pages.push(page),
                None => return false,
            }
        }
        true
    }

    /// Makes the pages of positions `from..to`, which are to be written, this sequence's own, copying
    /// shared ones.
    pub fn make_writable(
        &mut self,
        from: usize,
        to: usize,
        pages: &mut PageTable,
        decoder: &mut dyn Decoder,
    ) -> Result<(), EngineError> {
        if to > self.aside.from {
            // From the first other token on, what was set aside is overwritten.
            let same = self.aside.shared(&self.tokens[..to]);
            if same < to - self.aside.from {
                self.aside.ids.truncate(same);
            }
        }
        for index in from / PAGE_LEN..to.div_ceil(PAGE_LEN) {
            let page = self.pages[index];
            if pages.is_writable(page) {
                continue;
            }
            let own = pages.allocate().ok_or_else(|| EngineError::OutOfKv("every page is in use".into()))?;
            if let Err(error) = decoder.copy_page(page, own) {
                pages.release(own);
                return Err(error);
            }
            pages.release(page);
            self.pages[index] = own;
            self.sealed = self.sealed.min(index);
        }
        Ok(())
    }

    /// Notes that positions up to `computed` have their KV, and seals the pages they filled.
    /// Of two pages with the same prefix one is kept.
    pub fn advance(&mut self, computed: usize, pages: &mut PageTable) {
        self.computed = computed;
        while (self.sealed + 1) * PAGE_LEN <= computed {
            let parent = self.parent();
            let tokens = &self.tokens[self.sealed * PAGE_LEN..(self.sealed + 1) * PAGE_LEN];
            match pages.find(parent, tokens) {
                Some(twin) if twin != self.pages[self.sealed] => {
                    pages.share(twin);
                    self.replace_page(self.sealed, twin, pages);
                }
                Some(_) => {}
                None if !pages.is_writable(self.pages[self.sealed]) => return,
                None => pages.seal(self.pages[self.sealed], parent, tokens),
            }
            self.sealed += 1;
        }
    }

    /// Appends a token that the gate has to accept; `false` when it does not.
    pub fn push(&mut self, token: TokenId) -> bool {
        let accepted = self.gate.as_mut().is_none_or(|gate| gate.accept(token));
        if accepted {
            self.tokens.push(token);
        }
        accepted
    }

    /// The gate accepts nothing more.
    pub fn is_complete(&mut self) -> bool {
        self.gate.as_mut().is_some_and(|gate| gate.is_complete())
    }

    /// Appends tokens that are not chosen yet, so that the next pass computes them besides, if there are
    /// pages for them; how many. The gate is not told.
    pub fn look_ahead(&mut self, tokens: &[TokenId], pages: &mut PageTable) -> usize {
        let tokens = match self.reserve(self.tokens.len() + tokens.len(), pages) {
            true => tokens,
            false => &[],
        };
        if let Some(gate) = &mut self.gate {
            gate.look_ahead(tokens);
        }
        self.tokens.extend_from_slice(tokens);
        tokens.len()
    }

    /// Up to `most` tokens that the gate foresees.
    pub fn foreseen(&mut self, most: usize) -> Vec<TokenId> {
        self.gate.as_mut().map(|gate| gate.foreseen(most)).unwrap_or_default()
    }

    /// Takes the last `count` tokens off again; their keys and values stay until
    /// [`keep_computed`](Self::keep_computed) says which are right.
    pub fn take_ahead(&mut self, count: usize) -> Vec<TokenId> {
        if let Some(gate) = &mut self.gate {
            gate.look_ahead(&[]);
        }
        self.tokens.split_off(self.tokens.len() - count)
    }

    /// Forgets what was computed beyond the first `len` tokens.
    pub fn keep_computed(&mut self, len: usize) {
        self.computed = self.computed.min(len);
        self.sealed = self.sealed.min(len / PAGE_LEN);
    }

    /// Drops everything after `len` tokens and rewinds the gate; what is computed of it need not be again
    /// if the same tokens come next.
    pub fn set_aside(&mut self, len: usize, pages: &mut PageTable) {
        let ids = self.tokens.get(len..self.computed).unwrap_or_default().to_vec();
        self.aside = Aside { from: len, ids };
        self.truncate(len, pages);
    }

    /// Takes up what was set aside and has come, before position `limit`.
    pub fn take_up(&mut self, limit: usize, pages: &mut PageTable) {
        let known = (self.aside.from + self.aside.shared(&self.tokens)).min(limit);
        if self.computed >= self.aside.from && self.computed < known {
            self.advance(known, pages);
        }
    }

    /// Drops everything after `len` tokens and rewinds the gate.
    pub fn truncate(&mut self, len: usize, pages: &mut PageTable) {
        let gated = self.tokens.len().saturating_sub(len.max(self.gated_from));
        if let (Some(gate), true) = (&mut self.gate, gated > 0) {
            gate.rollback(gated);
        }
        self.cut(len, pages);
    }

    /// Drops tokens after `len` that the gate never saw.
    pub fn cut(&mut self, len: usize, pages: &mut PageTable) {
        self.tokens.truncate(len);
        self.gated_from = self.gated_from.min(len);
        self.computed = self.computed.min(len);
        if len < self.aside.from {
            self.aside.ids.clear();
        }
        let keep = len.max(self.aside.end()).div_ceil(PAGE_LEN).min(self.pages.len());
        for page in self.pages.drain(keep..) {
            pages.release(page);
        }
        self.sealed = self.sealed.min(len / PAGE_LEN);
    }

    /// A copy that shares every page.
    pub fn fork(&self, lane: u32, pages: &mut PageTable) -> Self {
        self.pages.iter().for_each(|&page| pages.share(page));
        Self {
            tokens: self.tokens.clone(),
            computed: self.computed,
            pages: self.pages.clone(),
            sealed: self.sealed,
            aside: Aside::default(),
            gated_from: self.gated_from,
            sampler: SamplerSpec { lane, ..self.sampler.clone() },
            gate: self.gate.as_ref().map(Gated::fork),
            partition: self.partition.clone(),
            busy: None,
        }
    }

    /// Gives all pages back.
    pub fn release(self, pages: &mut PageTable) {
        // The last first: a prefix without its beginning is worth nothing.
        self.pages.into_iter().rev().for_each(|page| pages.release(page));
    }
}
