//! Every change of a list of statuses, for whoever watches it.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use futures::stream::{self, Stream};
use tokio::sync::watch;
use understudy_backend::{BackendError, RequestCtx};

use crate::{Failure, admission::Place};

/// A watcher that names no deadline comes again after a day.
pub(crate) const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The statuses that `list` makes of what `source` has now, then each one that is another afterwards, until the
/// request's deadline or the end of the source. `name` tells which is which, `gone` what is said last of one that is
/// listed no more.
///
/// A slow reader skips what came in between, so nothing piles up: at most one status of each name waits.
pub(crate) fn changes<T, S>(
    source: watch::Receiver<T>,
    list: impl Fn(&T) -> Vec<S> + Send + 'static,
    name: fn(&S) -> &str,
    gone: fn(S) -> Option<S>,
    ctx: RequestCtx,
    place: Place,
) -> impl Stream<Item = Result<S, Failure>> + Send + 'static
where
    T: Clone + Send + Sync + 'static,
    S: Clone + PartialEq + Send + 'static,
{
    let (shown, news) = Default::default();
    let mut watcher = Watcher { source, list, name, gone, shown, news, ended: false, ctx, _place: place };
    watcher.refresh();
    stream::unfold(watcher, async |mut watcher| watcher.next().await.map(|status| (status, watcher)))
}

struct Watcher<T, S, L> {
    source: watch::Receiver<T>,
    list: L,
    name: fn(&S) -> &str,
    gone: fn(S) -> Option<S>,
    shown: HashMap<String, S>,
    news: VecDeque<S>,
    ended: bool,
    ctx: RequestCtx,
    _place: Place,
}

impl<T: Clone, S: Clone + PartialEq, L: Fn(&T) -> Vec<S>> Watcher<T, S, L> {
    fn refresh(&mut self) {
        let now = self.source.borrow_and_update().clone();
        let listed = (self.list)(&now);
        let is_listed = |name: &str| listed.iter().any(|status| (self.name)(status) == name);
        for (_, last) in self.shown.extract_if(|name, _| !is_listed(name)) {
            self.news.extend((self.gone)(last));
        }
        for status in listed {
            let name = (self.name)(&status);
            if self.shown.get(name) != Some(&status) {
                self.shown.insert(name.to_owned(), status.clone());
                self.news.push_back(status);
            }
        }
    }

    async fn next(&mut self) -> Option<Result<S, Failure>> {
        loop {
            if self.ended {
                return None;
            }
            if let Some(status) = self.news.pop_front() {
                return Some(Ok(status));
            }
            let source = &mut self.source;
            let changed = async { source.changed().await.map_err(|_| BackendError::Cancelled) };
            match self.ctx.bound(changed).await {
                Ok(()) => self.refresh(),
                // The node ends.
                Err(BackendError::Cancelled) => self.ended = true,
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error.into()));
                }
            }
        }
    }
}
