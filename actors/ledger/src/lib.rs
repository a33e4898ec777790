//! The accounts of requests, kept: who answered, at which cost, on what evidence, and whether it was right.
//!
//! | module | what it holds |
//! |---|---|
//! | [`entry`] | [`Entry`]: one request, as it is stored and exported |
//! | `digest` | keyed digests in place of content |
//! | [`handle`] | [`LedgerHandle`]: notes entries and feedback without waiting |
//! | `writer` | the one thread that writes |
//! | [`store`] | [`Store`]: the file, its schema, what is kept and for how long |
//! | [`reader`] | [`Reader`]: entries of a file that a node may be writing |
//! | [`stats`] | [`Stats`]: escalations, the teacher's share, bytes read and saved |
//! | [`replay`] | [`Judged`]: answers with a label, to calibrate on again |
//! | [`error`] | [`LedgerError`] |
//!
//! **Invariants.** A request never waits for its note: what does not fit the queue is dropped and counted. Without
//! [`Options::content`] no word of a prompt or an answer reaches the file: an entry holds names, numbers and digests.
//!
//! ```
//! use understudy_ledger::{Entry, Filter, LedgerHandle, Options, Reader};
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("ledger.db");
//! let ledger = LedgerHandle::open(&path, Options::default())?;
//! ledger.note(Entry { request_id: "r1".into(), text: Some("Paris.".into()), ..Entry::default() });
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! assert!(ledger.feedback("r1", true, "user").await?);
//! # Ok::<(), understudy_ledger::LedgerError>(()) })?;
//!
//! let entries: Vec<Entry> = Reader::open(&path)?.entries(Filter::default()).collect::<Result<_, _>>()?;
//! assert!(entries[0].feedback[0].ok);
//! assert_eq!(entries[0].text, None, "content was not asked for");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod digest;
pub mod entry;
pub mod error;
pub mod handle;
pub mod reader;
pub mod replay;
pub mod stats;
pub mod store;
mod writer;

pub use entry::{
    Account, Candidate, Decision, Entry, Feedback, Message, RungCost, Span, Timing, Usage, Validation,
};
pub use error::LedgerError;
pub use handle::{LedgerHandle, Prompt};
pub use reader::{Filter, Reader};
pub use replay::Judged;
pub use stats::Stats;
pub use store::{Clock, Options, Store};
