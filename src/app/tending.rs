//! What is done beside the requests, without end: memory follows the store, what is over is dropped, keys take turns.
//!
//! Owns when each is done. `server.rs` lets it run, and settles it at the orderly end.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::TimeDelta;

use super::watch::Watch;
use super::{App, unavailable};
use crate::audit;
use crate::claims::{LIFE_MAX, after};
use crate::error::Error;
use crate::keys::{KeyFaults, Keyring};
use crate::password::format;
use crate::store::{Slice, Write};

/// How often memory is compared with the store and rid of what is over.
const TEND_EVERY: Duration = Duration::from_secs(1);

/// How many rounds pass until a store that several nodes share is rid of what is over again, and at most how many more:
/// the nodes do not all come at once.
const SHARED_FORGET_ROUNDS: u64 = 20;
const SHARED_FORGET_SPREAD: u64 = 20;

/// How many rounds of tending pass between two sweeps of memory.
const SWEEP_ROUNDS: u64 = 600;

/// How long after its end something is forgotten: clocks are set back, and two nodes differ.
const FORGET_AFTER: TimeDelta = TimeDelta::hours(1);

/// Where in the alphabet users are taken from, to see which kinds of password hashes there are; and how many.
const CALIBRATE_FROM: &str = "0123456789acegikmoqsuwy\u{80}\u{3a9}\u{4e00}";
const CALIBRATE_EACH: usize = 16;
/// Counters that are made durable in one commit: fewer than are dropped meanwhile, however many are made.
const COUNTS_AT_ONCE: usize = 1_000;

impl App {
    /// Makes the counters of attempts durable, all that have grown, and tells a shared store that this node is gone: for the orderly end. Otherwise [`App::tend`] does,
    /// within about a second, so that a killed process forgets the attempts of its last second.
    ///
    /// # Errors
    /// `Unavailable` when the store failed.
    pub async fn settle(&self) -> Result<(), Error> {
        while self.keep_counts().await? {}
        self.leave().await
    }

    /// Makes some of the counters durable; false when there are none.
    async fn keep_counts(&self) -> Result<bool, Error> {
        let grown = self.0.throttle.grown(self.now(), COUNTS_AT_ONCE);
        if grown.is_empty() {
            return Ok(false);
        }
        let kept = self.0.store.commit(vec![Write::Count(grown.clone())]).await;
        kept.inspect_err(|_| self.0.throttle.not_kept(&grown)).map_err(unavailable)?;
        Ok(true)
    }

    /// Until dropped: keeps memory in step with the store, keeps the counters of attempts in the
    /// store, drops what is over, lets keys sign whose time has come, and begins a new epoch when the clock was set so far back that nothing new would count.
    pub async fn tend(self) {
        futures_util::join!(self.follow(), self.tend_alone());
    }

    async fn tend_alone(&self) {
        let (mut rounds, mut forget_at) = (0u64, self.next_forgetting(0));
        if let Err(why) = self.look_at_the_clock().await {
            tracing::warn!(%why, "the audit log could not be read, to judge the clock by it");
        }
        let mut watch = Watch::begun(self.now());
        let mut tick = tokio::time::interval(TEND_EVERY);
        loop {
            tick.tick().await;
            watch.look(self.now());
            let store = &self.0.store;
            if store.incarnation() != self.0.loaded.load(Ordering::SeqCst)
                && store.is_ready()
                && let Err(why) = self.load().await
            {
                tracing::error!(%why, "memory could not be loaded from the store");
            }
            if store.is_ready()
                && let Err(why) = self.doubt_the_past().await
            {
                tracing::error!(%why, "what the clock had made over could not be ended");
            }
            if store.is_ready() && rounds >= forget_at {
                forget_at = self.next_forgetting(rounds);
                if let Err(why) = self.forget_some().await {
                    tracing::warn!(%why, "what is over could not be dropped");
                }
            }
            if store.is_ready()
                && let Err(why) = self.keep_counts().await
            {
                tracing::warn!(%why, "counters of attempts could not be kept");
            }
            let keyring = self.tokens().keyring();
            if self.choose_keys(&keyring) {
                tracing::info!(signer = keyring.signer().kid(), "a key that was made before signs or seals now");
            }
            if rounds.is_multiple_of(SWEEP_ROUNDS) {
                let app = self.clone();
                // Of ten millions it takes its time. Whoever waits here hears of no ending meanwhile.
                let swept = tokio::task::spawn_blocking(move || app.0.revocations.forget(app.now() - FORGET_AFTER));
                if let Err(why) = swept.await {
                    tracing::error!(%why, "what is over could not be forgotten");
                }
            }
            rounds += 1;
        }
    }

    /// The round in which the store is rid of what is over, after this one.
    fn next_forgetting(&self, round: u64) -> u64 {
        if self.0.store.follow().is_none() {
            return round;
        }
        round + SHARED_FORGET_ROUNDS + getrandom::u64().unwrap_or_default() % SHARED_FORGET_SPREAD
    }

    /// Drops, in the store, the oldest of what covers nothing any more.
    async fn forget_some(&self) -> Result<(), Error> {
        let (over, old) = (self.now() - FORGET_AFTER, self.now() - self.0.audit.keep);
        self.0.store.commit(vec![Write::Forget(over), Write::ForgetEvents(old)]).await.map_err(unavailable)
    }

    /// Drops revocations and open sessions that cover nothing any more, in memory and, when they are not too many,
    /// in the store.
    ///
    /// # Errors
    /// `Unavailable` when the store failed.
    pub async fn forget(&self) -> Result<(), Error> {
        self.forget_some().await?;
        self.0.revocations.forget(self.now() - FORGET_AFTER);
        Ok(())
    }

    /// Ends everything when the clock has come back from so far ahead that not even a new session would count: what
    /// had ended is forgotten, and cannot be told from what had not.
    async fn doubt_the_past(&self) -> Result<(), Error> {
        let now = self.now();
        if !self.0.revocations.doubts(after(now, self.0.life.end.min(LIFE_MAX))) {
            return Ok(());
        }
        if self.0.following.is_some() {
            // Those of the other nodes are right, or it would be them who say so.
            tracing::error!("this node's clock is far behind that of others: no session that begins here counts");
            return Ok(());
        }
        tracing::error!("the clock was set far back: every session ends, as what had ended before is forgotten");
        let event = audit::Event::new(now, audit::Action::EndEverything, &audit::Client::default());
        self.end_everything(vec![Write::Record(Box::new(event))]).await
    }

    /// Reads the folder of keys again. When it is not sound, the keys in use stay.
    ///
    /// # Errors
    /// The faults of the folder; one is that no key can seal, when data is to be sealed.
    pub fn reload_keys(&self, folder: &Path) -> Result<(), KeyFaults> {
        let read = || {
            let next = self.0.tokens.keyring().load_again(folder)?;
            if self.0.tokens.seals() {
                next.must_seal(folder)?;
            }
            Ok(next)
        };
        let next = read().inspect_err(|_| self.0.meters.keys_not_reloaded())?;
        self.choose_keys(&next);
        self.0.tokens.replace_keyring(next);
        Ok(())
    }

    /// Lets those keys sign and seal that are old enough. Whether others do so now.
    pub(super) fn choose_keys(&self, keyring: &Keyring) -> bool {
        let lead = self.0.key_lead;
        keyring.choose((!lead.is_zero()).then(|| self.now() - lead))
    }

    /// Lets the hash workers learn what failures take against the kinds of hashes that some hundreds of users have,
    /// taken from all over the alphabet, so that a failed log-in tells nothing from the first one on. Ends early
    /// when the store fails; failures are learned from in any case.
    pub async fn calibrate(&self) {
        let mut known = HashSet::new();
        let starts = std::iter::once(None).chain(CALIBRATE_FROM.chars().map(|c| Some(c.to_string())));
        for after in starts {
            let Ok(page) = self.0.store.users(Slice { after, search: None, limit: CALIBRATE_EACH }).await else {
                return;
            };
            for user in page.items {
                let Ok(price) = format::price(&user.password) else { continue };
                if known.insert(price)
                    && let Err(why) = self.0.pool.calibrate(user.password).await
                {
                    tracing::debug!(%why, "the time of a kind of password hash was not learned");
                }
            }
        }
    }
}
