//! The connections that are open, and what each is used for: which of them are the first to go.
//!
//! Pure but for the clock that counts how long. `serving.rs` puts connections in and asks for room.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::{REQUEST_TIME_MAX, SILENCE_MAX};

/// How long a connection may be open without a request that is served: as long as one that is silent and then begins
/// to ask at the last moment. Pings hold none open for longer, nor does an answer that nobody takes.
const USELESS_MAX: Duration = Duration::from_secs(SILENCE_MAX.as_secs() + REQUEST_TIME_MAX.as_secs());

/// The connections that are open.
#[derive(Default)]
pub(super) struct Table {
    open: Mutex<HashMap<u64, Arc<State>>>,
    count: AtomicU64,
}

impl Table {
    fn open(&self) -> MutexGuard<'_, HashMap<u64, Arc<State>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more, until it is dropped.
    pub(super) fn add(table: &Arc<Self>) -> Used {
        let number = table.count.fetch_add(1, Ordering::Relaxed);
        let state = Arc::new(State::default());
        table.open().insert(number, Arc::clone(&state));
        Used { number, state, table: Arc::clone(table) }
    }

    /// Lets up to so many connections end that serve nothing, those first that have not for longest. Gives how many.
    pub(super) fn make_room(&self, most: usize) -> usize {
        let mut idle: Vec<(Instant, Arc<State>)> = {
            let open = self.open();
            let idle = open.values().filter_map(|state| Some((state.idle_since()?, Arc::clone(state))));
            idle.collect()
        };
        if idle.len() > most {
            idle.select_nth_unstable_by_key(most, |(since, _)| *since);
            idle.truncate(most);
        }
        for (_, state) in &idle {
            state.leave.notify_one();
        }
        idle.len()
    }
}

/// A connection's place in the table.
pub(super) struct Used {
    number: u64,
    state: Arc<State>,
    table: Arc<Table>,
}

impl Used {
    /// A request is served until what this gives is dropped.
    pub(super) fn serve(&self) -> Serving {
        self.state.serving.fetch_add(1, Ordering::SeqCst);
        Serving(Arc::clone(&self.state))
    }

    /// Done when it has not served for too long, or serves nothing and somebody else needs the place.
    pub(super) async fn is_useless(&self) {
        loop {
            let since = self.state.idle_since().unwrap_or_else(Instant::now);
            let left = USELESS_MAX.saturating_sub(since.elapsed());
            if left.is_zero() {
                return;
            }
            let is_asked = timeout(left, self.state.leave.notified()).await.is_ok();
            if is_asked && self.state.idle_since().is_some() {
                return;
            }
        }
    }
}

impl Drop for Used {
    fn drop(&mut self) {
        self.table.open().remove(&self.number);
    }
}

/// What a connection is used for.
struct State {
    /// Requests that are served.
    serving: AtomicUsize,
    began: Instant,
    /// Milliseconds after it began that it was of use last.
    last: AtomicU64,
    /// Somebody else needs the place.
    leave: Notify,
}

impl Default for State {
    fn default() -> Self {
        Self { serving: AtomicUsize::new(0), began: Instant::now(), last: AtomicU64::new(0), leave: Notify::new() }
    }
}

impl State {
    /// Since when it serves nothing; `None` while it does.
    fn idle_since(&self) -> Option<Instant> {
        let last = Duration::from_millis(self.last.load(Ordering::SeqCst));
        (self.serving.load(Ordering::SeqCst) == 0).then(|| self.began + last)
    }
}

/// A request that is served.
pub(super) struct Serving(Arc<State>);

impl Drop for Serving {
    fn drop(&mut self) {
        let now = u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last.store(now, Ordering::SeqCst);
        self.0.serving.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use tokio::time::{advance, timeout};

    use super::{Table, USELESS_MAX};

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn those_longest_out_of_use_go_first_and_none_that_serves() {
        let table = Arc::new(Table::default());
        let mut open = Vec::new();
        for _ in 0..4 {
            open.push(Table::add(&table));
            advance(SECOND).await;
        }
        let serving = open[0].serve();
        drop(open[1].serve());
        assert_eq!(table.make_room(2), 2);
        let goes = |n: usize| open[n].is_useless().now_or_never().is_some();
        assert_eq!([goes(0), goes(1), goes(2), goes(3)], [false, false, true, true]);
        assert_eq!(table.make_room(9), 3, "all that serve nothing");
        drop(serving);
        assert_eq!(table.make_room(9), 4);
        // One that was asked to leave and is in use again stays.
        let serving = open[0].serve();
        assert!(open[0].is_useless().now_or_never().is_none());
        drop(serving);
        drop(open);
        assert!(table.open().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_serves_nothing_ends_and_one_that_serves_does_not() {
        let table = Arc::new(Table::default());
        let (idle, busy) = (Table::add(&table), Table::add(&table));
        let _serving = busy.serve();
        assert!(timeout(USELESS_MAX * 9 / 10, idle.is_useless()).await.is_err());
        assert!(timeout(USELESS_MAX / 5, idle.is_useless()).await.is_ok());
        assert!(timeout(10 * USELESS_MAX, busy.is_useless()).await.is_err());
    }
}
