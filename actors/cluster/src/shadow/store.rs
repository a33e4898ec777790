//! What is known of requests, in bounds. No sockets and no clock here: time is given.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use understudy_proto::node::v1::{Begun, Told};

/// Requests kept; the oldest go first.
const MOST_RECORDS: usize = 1024;
/// Bytes kept, over all requests; the oldest go first.
const MOST_BYTES: usize = 64 << 20;
/// How long a request is kept that has ended: its caller may have missed the end.
const KEEP_ENDED: Duration = Duration::from_secs(60);
/// How long a request is kept whose gateway is gone.
const KEEP_ORPHANED: Duration = Duration::from_secs(600);
/// What a record takes besides its texts.
const RECORD_BYTES: usize = 512;
/// What a step takes besides its text.
const STEP_BYTES: usize = size_of::<Step>();

/// Whose request, and its id.
type Key = (String, String);

/// Who notes: this node, or a stream of another one. Never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Source(pub(super) u64);

impl Source {
    /// This node's own requests.
    pub(super) const OWN: Self = Self(0);
}

/// A request, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recalled {
    /// An encoded [`GenerateRequest`](understudy_proto::v1::GenerateRequest).
    pub request: Vec<u8>,
    /// The last event that is known.
    pub sequence: u64,
    /// The text as of the caller's last event, or as of [`sequence`](Self::sequence) if that came before.
    pub text: String,
}

/// The requests. One id of one tenant is one request: a newer one takes the older one's place.
#[derive(Debug, Default)]
pub(super) struct Store {
    records: HashMap<Key, Record>,
    /// Keys in the order in which they came.
    ages: BTreeMap<u64, Key>,
    /// Keys by the numbers that their sources gave them.
    numbers: HashMap<(Source, u64), Key>,
    bytes: usize,
    next_age: u64,
}

#[derive(Debug)]
struct Record {
    source: Source,
    number: u64,
    age: u64,
    request: Vec<u8>,
    /// Every piece that was told, in order, retracted ones too.
    told: String,
    /// How the text came to be, so that it can be had as of any event.
    steps: Vec<Step>,
    /// Length of the text now.
    length: usize,
    sequence: u64,
    life: Life,
}

/// An event that changed the text.
#[derive(Debug)]
struct Step {
    sequence: u64,
    /// Bytes of the text before it that stand.
    kept: usize,
    /// Bytes of the piece that follows them.
    piece: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Running,
    Ended(Duration),
    Orphaned(Duration),
}

impl Store {
    /// A request begins.
    pub(super) fn begin(&mut self, now: Duration, source: Source, number: u64, begun: Begun) {
        self.forget(now);
        let key = (begun.tenant, begun.request_id);
        self.remove(&key);
        let age = self.next_age;
        self.next_age += 1;
        let record = Record {
            source,
            number,
            age,
            request: begun.request,
            told: String::new(),
            steps: Vec::new(),
            length: 0,
            sequence: 0,
            life: Life::Running,
        };
        self.bytes += record.bytes(&key);
        self.ages.insert(age, key.clone());
        self.numbers.insert((source, number), key.clone());
        self.records.insert(key, record);
        self.shrink();
    }

    /// An event of it. One that does not fit what came before is left out: a text that is wrong is worse than none.
    pub(super) fn tell(&mut self, source: Source, number: u64, told: &Told) {
        let key = self.numbers.get(&(source, number));
        let Some(record) = key.and_then(|key| self.records.get_mut(key)) else { return };
        let taken = record.told.capacity() + record.steps.capacity() * STEP_BYTES;
        if record.tell(told) {
            self.bytes += record.told.capacity() + record.steps.capacity() * STEP_BYTES;
            self.bytes -= taken;
            self.shrink();
        }
    }

    /// It is over.
    pub(super) fn end(&mut self, now: Duration, source: Source, number: u64) {
        let key = self.numbers.get(&(source, number));
        if let Some(record) = key.and_then(|key| self.records.get_mut(key)) {
            record.life = Life::Ended(now);
        }
    }

    /// Nothing more comes from there.
    pub(super) fn source_gone(&mut self, now: Duration, source: Source) {
        for record in self.records.values_mut() {
            if record.source == source && record.life == Life::Running {
                record.life = Life::Orphaned(now);
            }
        }
    }

    /// What is known of a request, for a caller who has everything up to `last_sequence`.
    pub(super) fn recall(
        &mut self,
        now: Duration,
        tenant: &str,
        request_id: &str,
        last_sequence: u64,
    ) -> Option<Recalled> {
        self.forget(now);
        let record = self.records.get(&(tenant.to_owned(), request_id.to_owned()))?;
        let text = record.text_at(last_sequence);
        Some(Recalled { request: record.request.clone(), sequence: record.sequence, text })
    }

    /// Numbers of this node's requests that run, the oldest first.
    pub(super) fn running(&self) -> Vec<u64> {
        let records = self.ages.values().filter_map(|key| self.records.get(key));
        let own = records.filter(|record| record.source == Source::OWN && record.life == Life::Running);
        own.map(|record| record.number).collect()
    }

    /// All that was noted of one of this node's requests.
    pub(super) fn whole(&self, number: u64) -> Option<(Begun, Vec<Told>)> {
        let key = self.numbers.get(&(Source::OWN, number))?;
        let record = self.records.get(key)?;
        let (tenant, request_id) = key.clone();
        Some((Begun { request_id, tenant, request: record.request.clone() }, record.events()))
    }

    /// What has been kept for long enough.
    fn forget(&mut self, now: Duration) {
        let is_over = |record: &Record| match record.life {
            Life::Running => false,
            Life::Ended(at) => now.saturating_sub(at) >= KEEP_ENDED,
            Life::Orphaned(at) => now.saturating_sub(at) >= KEEP_ORPHANED,
        };
        let over: Vec<Key> =
            self.records.iter().filter(|(_, record)| is_over(record)).map(|(key, _)| key.clone()).collect();
        over.iter().for_each(|key| self.remove(key));
    }

    /// Makes room: answers that have ended go first, for their callers most likely have them.
    fn shrink(&mut self) {
        while (self.records.len() > MOST_RECORDS || self.bytes > MOST_BYTES)
            && let Some(key) = self.oldest()
        {
            self.remove(&key);
        }
    }

    fn oldest(&self) -> Option<Key> {
        let has_ended =
            |key: &&Key| self.records.get(*key).is_some_and(|record| matches!(record.life, Life::Ended(_)));
        self.ages.values().find(has_ended).or_else(|| self.ages.values().next()).cloned()
    }

    fn remove(&mut self, key: &Key) {
        if let Some(record) = self.records.remove(key) {
            self.bytes -= record.bytes(key);
            self.ages.remove(&record.age);
            self.numbers.remove(&(record.source, record.number));
        }
    }
}

impl Record {
    fn bytes(&self, (tenant, request_id): &Key) -> usize {
        let texts = tenant.len() + request_id.len() + self.request.len() + self.told.capacity();
        RECORD_BYTES + texts + self.steps.capacity() * STEP_BYTES
    }

    /// Whether it fitted.
    fn tell(&mut self, told: &Told) -> bool {
        let Some(kept) = usize::try_from(told.kept).ok().filter(|kept| *kept <= self.length) else {
            return false;
        };
        if told.sequence <= self.sequence || self.life != Life::Running {
            return false;
        }
        self.sequence = told.sequence;
        if kept < self.length || !told.text.is_empty() {
            self.steps.push(Step { sequence: told.sequence, kept, piece: told.text.len() });
            self.told.push_str(&told.text);
            self.length = kept + told.text.len();
        }
        true
    }

    fn text_at(&self, sequence: u64) -> String {
        let (mut text, mut rest) = (String::new(), self.told.as_str());
        for step in self.steps.iter().take_while(|step| step.sequence <= sequence) {
            let (piece, after) = rest.split_at(step.piece);
            // A peer may have said that half a character stands.
            let kept = (0..=step.kept).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.truncate(kept);
            text.push_str(piece);
            rest = after;
        }
        text
    }

    fn events(&self) -> Vec<Told> {
        let mut rest = self.told.as_str();
        let mut events: Vec<Told> = Vec::with_capacity(self.steps.len() + 1);
        for step in &self.steps {
            let (piece, after) = rest.split_at(step.piece);
            events.push(Told { sequence: step.sequence, kept: step.kept as u64, text: piece.to_owned() });
            rest = after;
        }
        if events.last().is_none_or(|last| last.sequence < self.sequence) && self.sequence > 0 {
            events.push(Told { sequence: self.sequence, kept: self.length as u64, text: String::new() });
        }
        events
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
