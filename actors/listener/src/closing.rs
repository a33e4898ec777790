//! How connections end when the node does.

use std::time::Duration;

use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};

/// Remembers that the node closes, and which connections are open. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Closing {
    asked: CancellationToken,
    now: CancellationToken,
    connections: TaskTracker,
}

impl Closing {
    /// Waits until connections should take no more requests and end with those that run.
    pub async fn asked(&self) {
        self.asked.cancelled().await;
    }

    /// Runs a connection. It is dropped, wherever it is, when patience ends.
    pub fn spawn(&self, connection: impl Future<Output = ()> + Send + 'static) {
        let now = self.now.clone();
        self.connections.spawn(async move {
            tokio::select! {
                () = connection => {}
                () = now.cancelled() => {}
            }
        });
    }

    /// Asks every connection to end, and ends those that did not after `patience`.
    pub async fn close(&self, patience: Duration) {
        self.asked.cancel();
        self.connections.close();
        if tokio::time::timeout(patience, self.connections.wait()).await.is_err() {
            tracing::debug!(left = self.connections.len(), "connections cut");
            self.now.cancel();
            self.connections.wait().await;
        }
    }
}

/// A task that ends with its owner.
pub fn bound(task: impl Future<Output = ()> + Send + 'static) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(task))
}
