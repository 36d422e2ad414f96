//! Moving: everything that a store holds, into an empty one of either kind, while nobody serves from them.
//!
//! Owns the order of the copy, and its proof: afterwards both stores are read whole once more, and have to hold the same.
//! The source is never changed. A copy that is cut short leaves a destination that nothing but the next one opens.
//! Called by the command `migrate-store`.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::audit::{Event, Filter};
use crate::claims::{instant, instant_of_millis};
use crate::rights::{Group, PermissionEntry};
use crate::store::embedded::Embedded;
use crate::store::postgres::{Address, Postgres};
use crate::store::{
    ApiToken, Challenge, Count, OpenSession, Record, Revocation, SharedStore, Slice, Store, StoreError, Tally, Write,
};
use crate::user::User;

mod folder;

use folder::Unfinished;

/// Records that are read at once, and written in one commit.
const BATCH: usize = 500;

/// Bytes of records that an embedded store keeps in memory meanwhile.
const CACHE_BYTES: u64 = 64 << 20;

/// Where a store is.
#[derive(Debug, Clone)]
pub enum Place {
    /// The embedded one, in this folder.
    Embedded(PathBuf),
    /// The one on PostgreSQL, at this address.
    Postgres(Box<Address>),
}

/// Why nothing was moved: what, why, and how to mend it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotMoved(String);

fn failed(what: impl std::fmt::Display) -> NotMoved {
    NotMoved(what.to_string())
}

/// The kinds of what a store holds, in the order in which they are copied: each after what it refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The catalogue of permissions.
    Permissions,
    /// Groups.
    Groups,
    /// Accounts.
    Users,
    /// Open sessions, API tokens, and what was asked by mail.
    Records,
    /// Revocations and the epoch, counters of attempts, and what else nodes hold in memory.
    Held,
    /// The audit log.
    Events,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Permissions, Self::Groups, Self::Users, Self::Records, Self::Held, Self::Events];

    /// What people call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Permissions => "permissions",
            Self::Groups => "groups",
            Self::Users => "accounts",
            Self::Records => "open sessions, API tokens and questions by mail",
            Self::Held => "revocations and counters",
            Self::Events => "events of the audit log",
        }
    }
}

/// How many records of a kind there are, and the sum of their digests, in whatever order they were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sum {
    /// How many.
    pub count: u64,
    digest: [u64; 4],
}

impl Sum {
    fn add(&mut self, record: &[u8]) {
        let digest = Sha256::digest(record);
        for (sum, word) in self.digest.iter_mut().zip(digest.chunks_exact(8)) {
            *sum = sum.wrapping_add(u64::from_be_bytes(word.try_into().unwrap_or_default()));
        }
        self.count += 1;
    }

    /// The sum as text.
    #[must_use]
    pub fn text(&self) -> String {
        self.digest.iter().map(|word| format!("{word:016x}")).collect()
    }
}

/// Something of a store.
enum Thing {
    Permission(PermissionEntry),
    Group(Group),
    User(Box<User>),
    Record(Box<Record>),
    Revocation(Revocation),
    Tally(Tally),
    LongestLife(u32),
    Event(Box<Event>),
}

/// The instant in whole microseconds: no store keeps more for long.
fn whole(at: DateTime<Utc>) -> DateTime<Utc> {
    at.duration_trunc(TimeDelta::microseconds(1)).unwrap_or(at)
}

/// The instant in whole seconds: what nodes hold and judge by, wherever it is kept.
fn second(at: DateTime<Utc>) -> DateTime<Utc> {
    instant(at.timestamp())
}

impl Thing {
    /// The same in the precision that every store keeps.
    fn rounded(mut self) -> Self {
        match &mut self {
            Self::Group(group) => group.created = whole(group.created),
            Self::User(user) => {
                user.date_joined = whole(user.date_joined);
                user.last_login = user.last_login.map(whole);
            }
            Self::Record(record) => match &mut **record {
                Record::Session(OpenSession { created, ends, .. }) | Record::Token(ApiToken { created, ends, .. }) => {
                    (*created, *ends) = (whole(*created), whole(*ends));
                }
                Record::Challenge { challenge: Challenge { asked, .. }, .. } => *asked = whole(*asked),
                Record::Forgotten(until) => *until = second(*until),
            },
            Self::Revocation(Revocation::Session { until, .. } | Revocation::User { until, .. }) => {
                *until = second(*until);
            }
            Self::Tally(tally) => tally.until = instant_of_millis(tally.until.timestamp_millis()),
            Self::Event(event) => event.at = whole(event.at),
            Self::Permission(_) | Self::Revocation(Revocation::Epoch(_)) | Self::LongestLife(_) => {}
        }
        self
    }

    /// What tells it from every other one.
    fn text(&self) -> Result<Vec<u8>, NotMoved> {
        fn json(of: &impl Serialize) -> Result<Vec<u8>, NotMoved> {
            serde_json::to_vec(of).map_err(failed)
        }
        Ok(match self {
            Self::Permission(permission) => json(permission)?,
            Self::Group(group) => json(group)?,
            Self::User(user) => json(user)?,
            Self::Record(record) => format!("{record:?}").into_bytes(),
            Self::Revocation(revocation) => format!("{revocation:?}").into_bytes(),
            Self::Tally(tally) => format!("{tally:?}").into_bytes(),
            Self::LongestLife(seconds) => format!("life {seconds}").into_bytes(),
            Self::Event(event) => json(event)?,
        })
    }

    fn into_write(self) -> Option<Write> {
        Some(match self {
            Self::Permission(permission) => Write::CreatePermission(permission),
            Self::Group(group) => Write::CreateGroup(group),
            Self::User(user) => Write::CreateUser(user),
            Self::Record(record) => Write::Restore(record),
            Self::Revocation(revocation) => Write::Revoke(revocation),
            Self::Tally(tally) => Write::Count(vec![Count::from(tally)]),
            Self::Event(event) => Write::Record(event),
            Self::LongestLife(_) => return None,
        })
    }
}

/// Everything of a kind, in pages.
struct Pages<'a> {
    store: &'a dyn Store,
    kind: Kind,
    after: Option<String>,
    is_over: bool,
}

impl<'a> Pages<'a> {
    fn of(store: &'a dyn Store, kind: Kind) -> Self {
        Self { store, kind, after: None, is_over: false }
    }

    async fn next(&mut self) -> Result<Option<Vec<Thing>>, StoreError> {
        if self.is_over {
            return Ok(None);
        }
        let slice = Slice { after: self.after.take(), search: None, limit: BATCH };
        let (things, next): (Vec<Thing>, _) = match self.kind {
            Kind::Permissions => {
                let page = self.store.permissions(slice).await?;
                (page.items.into_iter().map(Thing::Permission).collect(), page.next)
            }
            Kind::Groups => {
                let page = self.store.groups(slice).await?;
                (page.items.into_iter().map(Thing::Group).collect(), page.next)
            }
            Kind::Users => {
                let page = self.store.users(slice).await?;
                (page.items.into_iter().map(|user| Thing::User(Box::new(user))).collect(), page.next)
            }
            Kind::Records => {
                let page = self.store.records(slice.after, BATCH).await?;
                (page.items.into_iter().map(|record| Thing::Record(Box::new(record))).collect(), page.next)
            }
            Kind::Events => {
                let page = self.store.events(Filter::default(), slice).await?;
                (page.items.into_iter().map(|event| Thing::Event(Box::new(event))).collect(), page.next)
            }
            Kind::Held => (held(self.store).await?, None),
        };
        self.is_over = next.is_none();
        self.after = next;
        Ok(Some(things.into_iter().map(Thing::rounded).collect()))
    }
}

/// What nodes hold in memory, but the groups.
async fn held(store: &dyn Store) -> Result<Vec<Thing>, StoreError> {
    let state = store.state().await?;
    let is_epoch = |revocation: &&Revocation| matches!(revocation, Revocation::Epoch(_));
    // A new epoch drops what was forgotten before it.
    let epoch = state.revocations.iter().filter(is_epoch).copied().map(Thing::Revocation);
    let forgotten = state.forgotten.map(|until| Thing::Record(Box::new(Record::Forgotten(until))));
    let others = state.revocations.iter().filter(|one| !is_epoch(one)).copied().map(Thing::Revocation);
    let life = std::iter::once(Thing::LongestLife(store.longest_life(0).await?));
    Ok(epoch.chain(forgotten).chain(others).chain(state.tallies.into_iter().map(Thing::Tally)).chain(life).collect())
}

/// What was moved: how many of each kind, and their sums, which are those of both stores.
pub type Moved = Vec<(Kind, Sum)>;

/// Copies everything from one store into the other, which is empty before, and proves that both hold the same. `tell` is
/// told of each kind that is copied, or compared, and how many records of it are done.
///
/// # Errors
/// When a store cannot be opened or is served, the destination is not empty, a record of the source cannot be read, or
/// the source changed meanwhile. The source is as it was; the destination is opened by nothing but another move.
pub async fn migrate(from: &Place, to: &Place, tell: impl Fn(&str, u64)) -> Result<Moved, NotMoved> {
    let source = Source::open(from).await?;
    match to {
        Place::Postgres(address) => {
            let destination = Postgres::open_to_fill(address).await.map_err(|e| failed(format!("to: {e}")))?;
            let moved = copy_and_compare(&*source.store, &destination, &tell).await?;
            source.is_left_alone().await?;
            destination.filled().await.map_err(|e| failed(format!("to: {e}")))?;
            Ok(moved)
        }
        Place::Embedded(folder) => {
            let unfinished = Unfinished::of(folder)?;
            let moved = {
                let destination = Embedded::open_with(unfinished.path(), CACHE_BYTES).map_err(failed)?;
                copy_and_compare(&*source.store, &destination, &tell).await?
            };
            source.is_left_alone().await?;
            unfinished.named()?;
            Ok(moved)
        }
    }
}

/// The store that is read.
struct Source {
    store: SharedStore,
    /// The same, where nodes may serve from it: the embedded one is locked by who has it.
    shared: Option<Arc<Postgres>>,
}

impl Source {
    async fn open(place: &Place) -> Result<Self, NotMoved> {
        match place {
            Place::Embedded(folder) => {
                if !crate::offline::has_store(folder) {
                    return Err(failed(format!("{}: there is no store; name its folder", folder.display())));
                }
                if let Some(refusal) = crate::import::refusal(folder) {
                    return Err(failed(refusal));
                }
                let store = Embedded::open_with(folder, CACHE_BYTES).map_err(failed)?;
                Ok(Self { store: Arc::new(store), shared: None })
            }
            Place::Postgres(address) => {
                let shared = Postgres::open(address).await.map_err(|e| failed(format!("from: {e}")))?;
                let shared = Arc::new(shared);
                let source = Self { store: Arc::clone(&shared) as SharedStore, shared: Some(shared) };
                source.is_left_alone().await?;
                match crate::import::refusal_of(&source.store).await.map_err(failed)? {
                    Some(refusal) => Err(failed(format!("from: {refusal}"))),
                    None => Ok(source),
                }
            }
        }
    }

    /// Nothing when no node serves from it.
    async fn is_left_alone(&self) -> Result<(), NotMoved> {
        let Some(store) = &self.shared else { return Ok(()) };
        if store.is_served().await.map_err(failed)? {
            return Err(failed("from: a node serves from the store; stop all of them, and wait for half a minute"));
        }
        Ok(())
    }
}

async fn copy_and_compare(
    source: &dyn Store,
    destination: &dyn Store,
    tell: &impl Fn(&str, u64),
) -> Result<Moved, NotMoved> {
    let mut copied = Vec::new();
    for kind in Kind::ALL {
        copied.push((kind, copy(source, destination, kind, tell).await?));
    }
    for (kind, sum) in &copied {
        let what = format!("comparing {}", kind.name());
        for (store, whose) in [(source, "source"), (destination, "destination")] {
            let found = summed(store, *kind, &what, tell).await?;
            if found != *sum {
                return Err(failed(format!(
                    "{}: the {whose} holds {} with the sum {}, and {} with {} were copied; see that nobody uses either \
                     store, and run the command again",
                    kind.name(),
                    found.count,
                    found.text(),
                    sum.count,
                    sum.text()
                )));
            }
        }
    }
    Ok(copied)
}

async fn copy(
    source: &dyn Store,
    destination: &dyn Store,
    kind: Kind,
    tell: &impl Fn(&str, u64),
) -> Result<Sum, NotMoved> {
    let (mut sum, mut pages) = (Sum::default(), Pages::of(source, kind));
    let what = format!("copying {}", kind.name());
    tell(&what, 0);
    while let Some(things) = pages.next().await.map_err(failed)? {
        let mut writes = Vec::with_capacity(BATCH);
        for thing in things {
            sum.add(&thing.text()?);
            if let Thing::LongestLife(seconds) = thing {
                destination.longest_life(seconds).await.map_err(failed)?;
            }
            writes.extend(thing.into_write());
            if writes.len() == BATCH {
                destination.commit(std::mem::take(&mut writes)).await.map_err(failed)?;
            }
        }
        destination.commit(writes).await.map_err(failed)?;
        tell(&what, sum.count);
    }
    Ok(sum)
}

async fn summed(store: &dyn Store, kind: Kind, what: &str, tell: &impl Fn(&str, u64)) -> Result<Sum, NotMoved> {
    let (mut sum, mut pages) = (Sum::default(), Pages::of(store, kind));
    while let Some(things) = pages.next().await.map_err(failed)? {
        for thing in things {
            sum.add(&thing.text()?);
        }
        tell(what, sum.count);
    }
    Ok(sum)
}
