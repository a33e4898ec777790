//! Responses that may be asked for again.
//!
//! Kept in memory, each for its tenant alone, and gone with the process. What does not fit pushes the oldest out: first
//! the tenant's own, then anyone's.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use understudy_proto::v1::Message;

/// How long a response is kept.
const RETENTION: Duration = Duration::from_secs(24 * 3600);

/// Most responses of a tenant.
const MOST_OF_TENANT: usize = 256;

/// Most bytes of a tenant's responses.
const BYTES_OF_TENANT: usize = 16 << 20;

/// Most bytes of all responses.
const BYTES: usize = 128 << 20;

/// A response with the conversation that it ends.
#[derive(Debug)]
pub(super) struct Stored {
    object: Value,
    conversation: Vec<Message>,
    /// There, while it is made in the background.
    cancel: Option<CancellationToken>,
    /// Roughly what it takes.
    bytes: usize,
}

/// All of them, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Store {
    entries: Mutex<VecDeque<Entry>>,
}

#[derive(Debug)]
struct Entry {
    tenant: String,
    id: String,
    since: Instant,
    stored: Stored,
}

impl Stored {
    /// One that is being made: `cancel` ends that.
    pub(super) fn in_the_making(object: Value, cancel: CancellationToken) -> Self {
        Self { cancel: Some(cancel), ..Self::new(object, Vec::new()) }
    }

    pub(super) fn new(object: Value, conversation: Vec<Message>) -> Self {
        let of_message = |message: &Message| {
            let calls = message.tool_calls.iter().map(|call| call.name.len() + call.arguments.len() + 96);
            message.content.len() + 96 + calls.sum::<usize>()
        };
        let bytes = object.to_string().len() * 2 + conversation.iter().map(of_message).sum::<usize>();
        Self { object, conversation, cancel: None, bytes }
    }
}

impl Store {
    /// Keeps a response.
    pub(super) fn insert(&self, tenant: &str, id: &str, stored: Stored) {
        let mut entries = self.lock();
        let (tenant, id) = (tenant.to_owned(), id.to_owned());
        entries.push_back(Entry { tenant: tenant.clone(), id, since: Instant::now(), stored });
        make_room(&mut entries, &tenant);
    }

    /// Keeps how a response stands now, unless it was cancelled, deleted or pushed out meanwhile.
    pub(super) fn replace(&self, tenant: &str, id: &str, stored: Stored) {
        let mut entries = self.lock();
        if let Some(entry) = find(&mut entries, tenant, id).filter(|entry| entry.stored.cancel.is_some()) {
            entry.stored = stored;
            make_room(&mut entries, tenant);
        }
    }

    /// The response.
    pub(super) fn object(&self, tenant: &str, id: &str) -> Option<Value> {
        find(&mut self.lock(), tenant, id).map(|entry| entry.stored.object.clone())
    }

    /// The turns up to its end; `None` too while it is being made.
    pub(super) fn conversation(&self, tenant: &str, id: &str) -> Option<Vec<Message>> {
        let mut entries = self.lock();
        let entry = find(&mut entries, tenant, id)?;
        (!entry.stored.conversation.is_empty()).then(|| entry.stored.conversation.clone())
    }

    /// Forgets it; whether it was there.
    pub(super) fn remove(&self, tenant: &str, id: &str) -> bool {
        let mut entries = self.lock();
        let before = entries.len();
        entries.retain(|entry| {
            let is_it = entry.is(tenant, id);
            if is_it {
                entry.stop();
            }
            !is_it
        });
        entries.len() < before
    }

    /// Ends it, if it is being made in the background; `None`: it is not there.
    pub(super) fn cancel(&self, tenant: &str, id: &str) -> Option<bool> {
        let mut entries = self.lock();
        let entry = find(&mut entries, tenant, id)?;
        let is_cancelled = entry.stored.object["status"] == "cancelled";
        let Some(cancel) = entry.stored.cancel.take() else { return Some(is_cancelled) };
        cancel.cancel();
        entry.stored.object["status"] = "cancelled".into();
        Some(true)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        while entries.front().is_some_and(|oldest| oldest.since.elapsed() >= RETENTION) {
            entries.pop_front().iter().for_each(Entry::stop);
        }
        entries
    }
}

impl Entry {
    fn is(&self, tenant: &str, id: &str) -> bool {
        self.tenant == tenant && self.id == id
    }

    /// What nobody can ask for any more need not be finished.
    fn stop(&self) {
        self.stored.cancel.iter().for_each(CancellationToken::cancel);
    }
}

fn find<'a>(entries: &'a mut VecDeque<Entry>, tenant: &str, id: &str) -> Option<&'a mut Entry> {
    entries.iter_mut().find(|entry| entry.is(tenant, id))
}

fn make_room(entries: &mut VecDeque<Entry>, tenant: &str) {
    let own = |entry: &&Entry| entry.tenant == tenant;
    let bytes = |entry: &Entry| entry.stored.bytes;
    loop {
        let (count, of_tenant) =
            entries.iter().filter(own).fold((0, 0), |(count, sum), entry| (count + 1, sum + bytes(entry)));
        let all: usize = entries.iter().map(bytes).sum();
        let oldest = match () {
            () if count > MOST_OF_TENANT || of_tenant > BYTES_OF_TENANT => {
                entries.iter().position(|entry| own(&entry))
            }
            () if all > BYTES => Some(0),
            () => return,
        };
        let Some(pushed_out) = oldest.and_then(|at| entries.remove(at)) else { return };
        pushed_out.stop();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stored(text: &str) -> Stored {
        let turn = Message { role: "user".into(), content: text.into(), ..Message::default() };
        Stored::new(json!({"status": "completed"}), vec![turn])
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_is_its_tenants_alone() {
        let store = Store::default();
        store.insert("a", "r", stored("x"));
        assert!(store.object("b", "r").is_none() && store.conversation("b", "r").is_none());
        assert_eq!((store.remove("b", "r"), store.cancel("b", "r")), (false, None));
        assert!(store.object("a", "r").is_some());
        assert_eq!(store.cancel("a", "r"), Some(false), "it is complete");
        assert!(store.remove("a", "r") && store.object("a", "r").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_fit_pushes_out_the_oldest_of_its_tenant() {
        let store = Store::default();
        store.insert("other", "first", stored("x"));
        for n in 0..=MOST_OF_TENANT {
            store.insert("a", &n.to_string(), stored("x"));
        }
        assert!(store.object("a", "0").is_none() && store.object("a", "1").is_some());
        store.insert("a", "large", stored(&"x".repeat(BYTES_OF_TENANT)));
        assert!(store.object("a", "large").is_none(), "no response is larger than what a tenant may keep");
        for n in 0..9 {
            store.insert(&format!("t{n}"), "r", stored(&"x".repeat(BYTES_OF_TENANT - 4096)));
        }
        assert!(store.object("other", "first").is_none() && store.object("t8", "r").is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_is_kept_for_a_day() {
        let store = Store::default();
        store.insert("a", "r", stored("x"));
        tokio::time::advance(RETENTION - Duration::from_secs(1)).await;
        assert!(store.object("a", "r").is_some());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(store.object("a", "r").is_none());
    }
}
