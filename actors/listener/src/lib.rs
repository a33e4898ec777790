//! Takes connections of strangers, within bounds: for the sockets of clients and for the port of the cluster.
//!
//! | item | what it holds |
//! |---|---|
//! | [`accept()`] | takes connections, and goes on when the system refuses to give any |
//! | [`Places`] | how many connections at once, over all and per peer |
//! | [`Closing`] | how connections end when the node does |
//! | [`socket`] | sockets as servers want them |
//!
//! **Invariants.** Whatever a peer does or leaves undone, the loop goes on accepting. Whoever is beyond a cap is
//! closed at once and counted; nobody waits for a place. A place is freed when its connection ends, however it ends.
//!
//! ```
//! use understudy_listener::{Closing, Places, accept, socket};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let socket = socket::listen("127.0.0.1:0".parse().unwrap()).unwrap();
//! let closing = Closing::default();
//! let serve = |_stream, peer| async move { println!("{peer} came and went") };
//! let accepting = tokio::spawn(accept(socket, Places::new(100, 10), closing.clone(), serve));
//! closing.close(std::time::Duration::from_secs(1)).await;
//! accepting.await.unwrap();
//! # });
//! ```

mod accept;
mod closing;
mod places;
pub mod socket;

pub use accept::accept;
pub use closing::{Closing, bound};
pub use places::{Place, Places, Turned};
