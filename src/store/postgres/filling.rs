//! A store that is filled from another one: empty before, whole after, and of no use in between.
//!
//! Owns the mark of a store that is being filled, which keeps everybody else out, also when whoever fills it is gone.

use tokio_postgres::types::Type;

use super::{Address, CannotOpen, Postgres};
use crate::store::StoreError;

/// What reads the mark.
pub(super) const MARK: &str = "select 1 from facts where name = 'filling'";

/// What is said of a store with the mark.
pub(super) const UNFINISHED: &str = "the store is being filled from another one, or that was cut short; run signet migrate-store \
    to its end, again if need be";

/// The tables, each before those that it refers to.
const TABLES: [&str; 15] = [
    "sessions",
    "api_tokens",
    "challenges",
    "memberships",
    "user_permissions",
    "group_permissions",
    "users",
    "groups",
    "permissions",
    "revocations",
    "counters",
    "events",
    "nodes",
    "journal",
    "facts where name not in ('epoch', 'life', 'superusers', 'groups', 'filling')",
];

/// How long ago a node that runs was last heard of, at the most.
const ALIVE: &str = "select 1 from nodes where beat > clock_timestamp() - interval '30 seconds'";

/// Whether anything is there that a filling could come upon.
const HOLDS: &str = "select 1 from users union all select 1 from groups union all select 1 from permissions \
    union all select 1 from events union all select 1 from revocations union all select 1 from counters \
    union all select 1 from journal \
    union all select 1 from facts where name = 'forgotten' or name = 'epoch' and value > 0 limit 1";

impl Postgres {
    /// Whether a node that serves from it was heard of lately.
    ///
    /// # Errors
    /// `Failed`.
    pub async fn is_served(&self) -> Result<bool, StoreError> {
        Ok(!self.shared.rows(ALIVE, &[]).await?.is_empty())
    }

    /// The store at the address, empty and marked: nobody else opens it until [`Postgres::filled`]. What is left of a
    /// filling that was cut short is dropped.
    ///
    /// # Errors
    /// When it cannot be opened, is served, or holds anything else.
    pub async fn open_to_fill(address: &Address) -> Result<Self, CannotOpen> {
        let store = Self::open_at_version(address).await?;
        let failed = |e: StoreError| CannotOpen(e.to_string());
        if store.is_served().await.map_err(failed)? {
            return Err(CannotOpen(
                "a node serves from the store; stop all of them, and wait for half a minute".to_owned(),
            ));
        }
        // One that was cut short is taken over, and so is one that goes on: that one does not come to its end then.
        let mine = store.run();
        let take = "update facts set value = $1 where name = 'filling' returning 1";
        let taken = store.shared.durable_rows(take, &[(&mine, Type::INT8)]).await.map_err(failed)?;
        if taken.is_empty() {
            if !store.shared.rows(HOLDS, &[]).await.map_err(failed)?.is_empty() {
                let why = "the store is not empty; name an empty database, with the schema that signet migrate makes";
                return Err(CannotOpen(why.to_owned()));
            }
            let mark = "insert into facts (name, value) values ('filling', $1) \
                on conflict (name) do update set value = excluded.value";
            store.shared.durable_rows(mark, &[(&mine, Type::INT8)]).await.map_err(failed)?;
        } else {
            for table in TABLES {
                store.shared.durable_rows(&format!("delete from {table}"), &[]).await.map_err(failed)?;
            }
            let zero = "update facts set value = 0 where name <> 'filling'";
            store.shared.durable_rows(zero, &[]).await.map_err(failed)?;
        }
        Ok(store)
    }

    /// What tells this filling from any other.
    fn run(&self) -> i64 {
        let (first, _) = self.node.split_at(8);
        i64::from_be_bytes(first.try_into().unwrap_or_default())
    }

    /// The store is whole: everybody may open it.
    ///
    /// # Errors
    /// `Failed`, also when another filling has taken it over.
    pub async fn filled(&self) -> Result<(), StoreError> {
        let mine = "delete from facts where name = 'filling' and value = $1";
        self.shared.durable_rows(mine, &[(&self.run(), Type::INT8)]).await?;
        if self.shared.rows(MARK, &[]).await?.is_empty() {
            return Ok(());
        }
        Err(StoreError::Failed("another move fills the store; see that only one does, and run it again".to_owned()))
    }
}
