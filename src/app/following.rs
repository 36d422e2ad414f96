//! Following a store that other nodes change too: memory hears of it within a stated bound, or is not relied on.
//!
//! Owns when it is read, up to which instant everything is known here, and the bound. What the store can tell is said by
//! [`Follow`]. A verified request asks [`App::judge`], which makes no call of the store.
//!
//! Two ways of reading. A *reading*, every second, proves what is known: it goes back far enough to find what took long
//! to commit, and a node counts as having heard from the instant before it was asked for. A *glance*, when another node
//! calls, proves nothing, and is what makes an ending act everywhere within milliseconds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use rustix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, timeout};

use super::{App, unavailable};
use crate::claims::Claims;
use crate::error::Error;
use crate::revocation::Standing;
use crate::store::{Follow, Moment, News};

/// How often everything is read that was changed lately, at the least four times within the bound.
const READ_EVERY: Duration = Duration::from_secs(1);

/// How long a reading may take, at the most a third of the bound.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// How long a node may have heard nothing until it reads everything, and not only what was changed.
const GAP: Duration = Duration::from_secs(15);

/// How long to wait between two glances, so that many endings at once are seen together.
const GLANCE_PAUSE: Duration = Duration::from_millis(3);

/// The same after one that failed.
const FAILURE_PAUSE: Duration = Duration::from_millis(100);

/// How often what is held is compared with the store.
const COMPARE_EVERY: Duration = Duration::from_mins(5);

/// How often it is tried to see two things at rest.
const TRIES: usize = 4;

/// How far this node is, in a store that others change too.
pub(super) struct Following {
    /// For how long it may rely on what it has heard.
    bound: Duration,
    /// When the latest reading was asked for, by [`uptime`]; 0 before the first.
    heard: AtomicU64,
    moment: Mutex<Moment>,
}

/// Nanoseconds since the machine was started: a clock that nobody sets, and that goes on while the machine or this
/// process sleeps.
fn uptime() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Following {
    pub(super) fn new(bound: Duration) -> Self {
        Self { bound, heard: AtomicU64::new(0), moment: Mutex::default() }
    }

    /// The instant up to which everything was known at this moment.
    fn heard(&self) -> u64 {
        self.heard.load(Ordering::SeqCst)
    }

    fn trusts(&self, heard: u64) -> bool {
        heard != 0 && uptime().saturating_sub(heard) <= nanoseconds(self.bound)
    }

    /// Whether it may be relied on that everything up to this instant is known.
    fn check(&self, heard: u64) -> Result<(), Error> {
        let late = || Error::Unavailable("nothing was heard from the shared store for too long".to_owned());
        if self.trusts(heard) { Ok(()) } else { Err(late()) }
    }

    fn moment(&self) -> Moment {
        *self.moment.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn go_on_from(&self, moment: Moment) {
        *self.moment.lock().unwrap_or_else(PoisonError::into_inner) = moment;
    }

    /// How long what is known here may be out of date; `None` before the first reading.
    pub(super) fn staleness(&self) -> Option<Duration> {
        let heard = Some(self.heard()).filter(|heard| *heard != 0)?;
        Some(Duration::from_nanos(uptime().saturating_sub(heard)))
    }

    fn every(&self) -> Duration {
        READ_EVERY.min(self.bound / 4)
    }

    fn within(&self) -> Duration {
        READ_WITHIN.min(self.bound / 3)
    }
}

impl App {
    /// How a token with these claims stands, by what is known within the bound (`--max-staleness`).
    ///
    /// # Errors
    /// `Unavailable` when the store is shared and this node has not heard from it for longer, or not yet of the epoch
    /// that the token is of.
    pub fn judge(&self, claims: &Claims) -> Result<Standing, Error> {
        let Some(following) = &self.0.following else { return Ok(self.0.revocations.judge(claims)) };
        // Taken before memory is looked at, and held against the time after: this thread may stand still in between.
        let heard = following.heard();
        let epoch = self.0.revocations.epoch();
        let standing = self.0.revocations.judge(claims);
        following.check(heard)?;
        if claims.epoch > epoch {
            return Err(Error::Unavailable("the token is of an epoch that has not arrived here yet".to_owned()));
        }
        Ok(standing)
    }

    /// The epoch that a session is of which begins now.
    ///
    /// # Errors
    /// `Unavailable` when the store is shared and this node has not heard from it for longer than the bound
    /// (`--max-staleness`): the session could be of an epoch that is over, and would end as soon as that is known here.
    pub fn epoch(&self) -> Result<u64, Error> {
        if let Some(following) = &self.0.following {
            following.check(following.heard())?;
        }
        Ok(self.0.revocations.epoch())
    }

    /// Whether what is known here may be relied on: always, unless the store is shared.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.0.following.as_ref().is_none_or(|following| following.trusts(following.heard()))
    }

    /// How long what is known here may be out of date: no time when the store is not shared; `None` before the first reading.
    #[must_use]
    pub fn staleness(&self) -> Option<Duration> {
        self.0.following.as_ref().map_or(Some(Duration::ZERO), Following::staleness)
    }

    /// Everything of before was read.
    pub(super) fn go_on_from(&self, moment: Moment) {
        if let Some(following) = &self.0.following {
            following.go_on_from(moment);
        }
    }

    /// Hears from a shared store now. After `Ok` everything is known here that was acknowledged before the call.
    ///
    /// # Errors
    /// `Unavailable` when the store did not answer in time, or makes nothing durable.
    pub async fn hear(&self) -> Result<(), Error> {
        let (Some(following), Some(follow)) = (&self.0.following, self.0.store.follow()) else { return Ok(()) };
        self.read(following, follow).await
    }

    /// Until dropped: keeps memory in step with a store that is shared. Returns at once when it is not.
    pub(super) async fn follow(&self) {
        let (Some(following), Some(follow)) = (&self.0.following, self.0.store.follow()) else { return };
        // Beside each other: a reading waits until its sign of life is durable, and no ending is to wait for that.
        futures_util::join!(self.keep_reading(following, follow), self.keep_glancing(following, follow));
    }

    async fn keep_reading(&self, following: &Following, follow: &dyn Follow) {
        let mut compared = Instant::now();
        let mut is_hearing = true;
        loop {
            match self.read(following, follow).await {
                Ok(()) if !is_hearing => {
                    is_hearing = true;
                    tracing::info!("heard from the shared store again");
                }
                Err(why) if is_hearing => {
                    is_hearing = false;
                    tracing::warn!(%why, "nothing was heard from the shared store");
                }
                _ => {}
            }
            if is_hearing && compared.elapsed() >= COMPARE_EVERY {
                compared = Instant::now();
                if let Err(why) = self.compare().await {
                    tracing::warn!(%why, "what is held could not be compared with the shared store");
                }
            }
            tokio::time::sleep(following.every()).await;
        }
    }

    async fn keep_glancing(&self, following: &Following, follow: &dyn Follow) {
        loop {
            follow.stirred().await;
            let done = self.glance(following, follow).await;
            if let Err(why) = &done {
                tracing::debug!(%why, "the call of another node was for nothing; the next reading tells");
            }
            // A line that is lost as soon as it is there is not asked for without end.
            tokio::time::sleep(if done.is_ok() { GLANCE_PAUSE } else { FAILURE_PAUSE }).await;
        }
    }

    async fn glance(&self, following: &Following, follow: &dyn Follow) -> Result<(), Error> {
        let news = in_time(following.within(), follow.glance(following.moment())).await?;
        self.heed(&news);
        self.follow_groups(&news, follow).await
    }

    async fn read(&self, following: &Following, follow: &dyn Follow) -> Result<(), Error> {
        let (asked, since) = (uptime(), following.moment());
        let news = in_time(following.within(), follow.news(since)).await?;
        self.heed(&news);
        self.follow_groups(&news, follow).await?;
        // Another server may have taken over whose clock is behind, and what it has stamped lies before what was read.
        let was_away = following.staleness().is_some_and(|staleness| staleness > GAP);
        if news.moment < since || was_away {
            self.load().await?;
        }
        following.go_on_from(news.moment);
        following.heard.fetch_max(asked, Ordering::SeqCst);
        Ok(())
    }

    /// Takes in what was changed, whoever did it.
    fn heed(&self, news: &News) {
        for revocation in &news.revocations {
            self.0.revocations.learn(revocation);
        }
        if let Some(until) = news.forgotten {
            self.0.revocations.has_forgotten(until);
        }
        // Once the users' own, of the same moment, are in force.
        self.0.revocations.cover_known(&news.covered);
        self.0.throttle.learn(&news.tallies, self.now());
    }

    async fn follow_groups(&self, news: &News, follow: &dyn Follow) -> Result<(), Error> {
        for _ in 0..TRIES {
            let before = {
                let feed = self.feed();
                if feed.counted == news.group_changes {
                    return Ok(());
                }
                feed.changes
            };
            let (groups, counted) = follow.groups().await.map_err(unavailable)?;
            if self.replace_groups(groups, counted, before) {
                return Ok(());
            }
        }
        Err(Error::Unavailable("groups are changed faster than they can be read".to_owned()))
    }

    /// Compares what is held with a shared store, and reads everything anew when it is not the same. Done from time to
    /// time by [`App::tend`]: what is held never becomes less by it.
    ///
    /// # Errors
    /// `Unavailable` when the store failed.
    pub async fn compare(&self) -> Result<(), Error> {
        let Some(follow) = self.0.store.follow() else { return Ok(()) };
        if self.differs(follow).await?.is_none() {
            return Ok(());
        }
        self.load().await?;
        match self.differs(follow).await? {
            Some(more) if more > 0 => {
                tracing::error!(
                    more,
                    "the shared store has lost revocations, which hold here until this node stops: begin a new epoch with POST /v1/epoch"
                );
            }
            _ => tracing::info!("everything was read from the shared store anew"),
        }
        Ok(())
    }

    /// How many revocations are held beyond those in the store, when sums differ; `None` when they agree, or when nothing
    /// could be compared.
    async fn differs(&self, follow: &dyn Follow) -> Result<Option<i64>, Error> {
        // What ends this minute may be forgotten on one side.
        let from = self.now() + TimeDelta::minutes(1);
        let mut found = None;
        for _ in 0..TRIES {
            let before = self.0.revocations.feed().position();
            let theirs = follow.sums(from).await.map_err(unavailable)?;
            let app = self.clone();
            let ours = tokio::task::spawn_blocking(move || app.0.revocations.sums(from)).await;
            let ours = ours.map_err(|e| Error::Internal(e.to_string()))?;
            if ours == theirs {
                return Ok(None);
            }
            let count = |of: crate::store::Sums| of.sessions.saturating_add(of.users).cast_signed();
            found = Some(count(ours) - count(theirs));
            if self.0.revocations.feed().position() == before {
                break;
            }
        }
        Ok(found)
    }

    /// This node follows no more: for the orderly end.
    pub(super) async fn leave(&self) -> Result<(), Error> {
        match self.0.store.follow() {
            Some(follow) => follow.leave().await.map_err(unavailable),
            None => Ok(()),
        }
    }
}

async fn in_time<T>(
    within: Duration,
    asked: impl Future<Output = Result<T, crate::store::StoreError>>,
) -> Result<T, Error> {
    let late = |_| Error::Unavailable("the shared store did not answer in time".to_owned());
    timeout(within, asked).await.map_err(late)?.map_err(unavailable)
}
