//! Wakes a flush that sled would leave asleep.
//!
//! sled writes on threads of its own. When a write fails that began with the end of a batch, it is noted, but whoever
//! waits for it is not woken (sled 0.34.7, `Log::exit_reservation`): a flush beside it would never end, although the
//! disk works again. Another flush finds the note, ends with the error, and wakes all the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often it is looked whether a flush is still the one of the look before, usually.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Watches over flushes until it is dropped.
pub(super) struct Watch {
    /// The number of the flush that is going on; zero when there is none.
    current: Arc<AtomicU64>,
    begun: u64,
    /// The watching thread, and what ends it when it is dropped.
    thread: Option<(mpsc::Sender<()>, JoinHandle<()>)>,
}

impl Watch {
    /// A watch that calls `nudge` on a thread of its own when a flush lasts: after one look, and after twice as many
    /// each time, as a nudge may itself come to wait for a slow disk.
    pub(super) fn start(look_every: Duration, nudge: impl Fn() + Clone + Send + 'static) -> std::io::Result<Self> {
        let (alive, over) = mpsc::channel();
        let current = Arc::new(AtomicU64::new(0));
        let watched = Arc::clone(&current);
        let watch = move || {
            let (mut last, mut looks) = (0, 0_u64);
            while over.recv_timeout(look_every) == Err(RecvTimeoutError::Timeout) {
                let now = watched.load(Ordering::SeqCst);
                looks = if now != 0 && now == last { looks + 1 } else { 0 };
                last = now;
                if looks.is_power_of_two() {
                    tracing::warn!(looks, "the disk takes long, or a write failed unheard");
                    // Without a thread there is another look.
                    drop(std::thread::Builder::new().name("signet-nudge".to_owned()).spawn(nudge.clone()));
                }
            }
        };
        let thread = std::thread::Builder::new().name("signet-watch".to_owned()).spawn(watch)?;
        Ok(Self { current, begun: 0, thread: Some((alive, thread)) })
    }

    /// What `flush` gives, watched.
    pub(super) fn over<T>(&mut self, flush: impl FnOnce() -> T) -> T {
        self.begun += 1;
        self.current.store(self.begun, Ordering::SeqCst);
        let done = flush();
        self.current.store(0, Ordering::SeqCst);
        done
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some((alive, thread)) = self.thread.take() {
            drop(alive);
            // It holds what it nudges, and with it the folder's lock.
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_flush_that_lasts_is_nudged() {
        let (wake, woken) = mpsc::channel();
        let mut watch = Watch::start(LOOK_EVERY / 100, move || wake.send(()).unwrap_or_default()).unwrap();
        let ten = Duration::from_secs(10);
        for _ in 0..2 {
            assert!(watch.over(|| woken.recv_timeout(ten)).is_ok(), "each that lasts is nudged");
        }
        drop(watch);
        while woken.try_recv().is_ok() {}
        assert_eq!(woken.recv_timeout(ten), Err(RecvTimeoutError::Disconnected), "the watch has ended");
    }

    #[test]
    fn many_short_flushes_are_not_a_long_one() {
        let (wake, woken) = mpsc::channel();
        let mut watch = Watch::start(LOOK_EVERY / 20, move || wake.send(()).unwrap_or_default()).unwrap();
        let begun = Instant::now();
        while begun.elapsed() < LOOK_EVERY / 4 {
            watch.over(|| ());
        }
        assert!(woken.try_recv().is_err());
    }
}
