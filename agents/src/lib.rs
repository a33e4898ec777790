//! Clients of Understudy's public API: nothing here sees more than any other program could.
//!
//! | module | what it holds |
//! |---|---|
//! | [`client`] | [`Client`]: every call of a node, each with a timeout |
//! | [`events`] | [`Events`]: a server stream that ends on time |
//! | [`heard`] | [`Heard`]: what a caller has of an answer, to go on with at another node |
//! | [`error`] | [`ClientError`]: a status decoded into code, message, help and retry |
//! | [`account`] | usage, timing and ledger of an answer as the JSON that scripts rely on |
//! | [`eval`] | measures a node on a suite of tasks |
//! | [`load`] | measures a node under several answers at once |
//! | [`tls`] | [`Tls`]: whom a client trusts, and what it shows |
//! | [`report`] | rows of `eval` as one HTML file |
//!
//! ```no_run
//! use std::time::Duration;
//! use tokio_stream::StreamExt as _;
//! use understudy_agents::{Client, ClientError};
//! use understudy_proto::v1::{GenerateRequest, generate_event::Event};
//!
//! # async fn ask() -> Result<(), ClientError> {
//! let client = Client::connect("127.0.0.1:7861", Duration::from_secs(2)).await?;
//! let request = GenerateRequest { prompt: "What is 2+2?".into(), ..Default::default() };
//! let mut events = client.generate(request, Duration::from_secs(60)).await?;
//! while let Some(event) = events.next().await {
//!     if let Some(Event::Finished(finished)) = event?.event {
//!         assert!(finished.text.contains('4'));
//!     }
//! }
//! # Ok(())
//! # }
//! ```

pub mod account;
pub mod client;
pub mod error;
pub mod eval;
pub mod events;
pub mod heard;
pub mod load;
pub mod report;
pub mod tls;

pub use client::Client;
pub use error::ClientError;
pub use events::Events;
pub use heard::Heard;
pub use tls::Tls;
