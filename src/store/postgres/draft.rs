//! The writes of one commit, inside its transaction.
//!
//! READ COMMITTED with locks on rows: a condition is judged on a row that is locked until the commit, so that nobody
//! changes it in between. Who waits for a lock sees, with the next statement, what the other one has committed.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use futures_util::future::{join_all, join5};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row};

use super::fault::Fault;
use super::rows;
use crate::claims::{ChallengeKind, SessionId, UserId};
use crate::store::{Count, StoreError, Witness, Write};
use crate::user::{User, address_key};

mod catalogue;
mod forget;
mod plain;
mod restore;
mod token;

use plain::is_plain;

/// A value and its type: statements are not prepared, as a pooler may hand each one to another connection.
pub(super) type Value<'a> = (&'a (dyn ToSql + Sync), Type);

pub(super) type Outcome<T> = Result<T, Fault>;

pub(super) const REVOKED_SESSION: i16 = 1;
pub(super) const REVOKED_USER: i16 = 2;

/// Most writes that are sent before the first one is answered.
const FLIGHT: usize = 16;

pub(super) struct Draft<'a> {
    client: &'a Client,
    /// Users that this commit has changed.
    changed: BTreeSet<UserId>,
    /// Whether an active superuser was lost, and one who may enter administration.
    lost: (bool, bool),
    /// Whether there may be more to forget than this commit has.
    is_more: bool,
}

impl<'a> Draft<'a> {
    pub(super) fn new(client: &'a Client) -> Self {
        Self { client, changed: BTreeSet::new(), lost: (false, false), is_more: false }
    }

    /// Whether there may be more to forget than what was written has.
    pub(super) fn is_more_to_forget(&self) -> bool {
        self.is_more
    }

    async fn rows(&self, text: &str, values: &[Value<'_>]) -> Result<Vec<Row>, Error> {
        self.client.query_typed(text, values).await
    }

    async fn run(&self, text: &str, values: &[Value<'_>]) -> Result<u64, Error> {
        self.client.execute_typed(text, values).await
    }

    /// All of the writes.
    pub(super) async fn apply(&mut self, writes: &[Write]) -> Outcome<()> {
        self.lock_groups(writes).await?;
        let mut rest = writes;
        while let Some((first, others)) = rest.split_first() {
            let plain = rest.iter().take(FLIGHT).take_while(|write| is_plain(write)).count();
            if plain == 0 {
                self.write(first).await?;
                rest = others;
                continue;
            }
            let (flight, others) = rest.split_at(plain);
            // Sent at once, done and answered in order: the first that fails is the reason.
            for done in join_all(flight.iter().map(|write| self.write_plain(write))).await {
                done?;
            }
            rest = others;
        }
        if self.lost == (false, false) {
            return Ok(());
        }
        let left = "select count(*), count(case when is_staff then 1 end) from users where is_superuser and is_active";
        for row in self.rows(left, &[]).await? {
            let left: (i64, i64) = (rows::at(&row, 0)?, rows::at(&row, 1)?);
            if (self.lost.0 && left.0 == 0) || (self.lost.1 && left.1 == 0) {
                return Err(StoreError::LastSuperuser.into());
            }
        }
        Ok(())
    }

    async fn write(&mut self, write: &Write) -> Outcome<()> {
        match write {
            Write::InNameOf(witness) => self.in_name_of(witness).await,
            Write::CreateUser(user) => self.create_user(user).await,
            Write::ChangeUser { user, was } => self.change_user(user, *was).await,
            Write::DeleteUser { id, was } => self.delete_user(*id, *was).await,
            Write::KeepToken { token, most } => self.keep_token(token, *most).await,
            Write::DropToken { owner, id } => self.drop_token(*owner, *id).await,
            Write::DropTokens { owner, ids } => self.drop_tokens(*owner, ids).await,
            Write::Challenge { user, kind, challenge } => self.ask(*user, *kind, challenge).await,
            Write::Answer { user, kind, digest } => self.answer(*user, *kind, digest).await,
            Write::CreateGroup(group) => self.create_group(group).await,
            Write::ChangeGroup { group, was } => self.change_group(group, *was).await,
            Write::DeleteGroup { id, was } => self.delete_group(*id, *was).await,
            Write::CreatePermission(permission) => self.create_permission(permission).await,
            Write::ChangePermission { permission, was } => self.change_permission(permission, *was).await,
            Write::DeletePermission { name, was } => self.delete_permission(name, *was).await,
            Write::DropCovered { user, ids } => self.drop_covered(*user, ids).await,
            Write::Count(counts) => self.count(counts).await,
            Write::Restore(record) => self.restore(record).await,
            Write::Forget(now) => self.forget(*now).await,
            Write::ForgetEvents(before) => self.forget_events(*before).await,
            Write::UpgradePassword { .. }
            | Write::OpenSession { .. }
            | Write::CloseSession { .. }
            | Write::CloseSessions { .. }
            | Write::Revoke(_)
            | Write::Record(_) => self.write_plain(write).await,
        }
    }

    /// The user, locked until the commit.
    async fn locked(&self, user: UserId) -> Outcome<Option<User>> {
        // First the lock, then the record with its groups: a lock that was waited for gives the row anew, and nothing else.
        let values: [Value; 1] = [(&id(user.bytes()), Type::BYTEA)];
        if self.rows("select id from users where id = $1 for no key update", &values).await?.is_empty() {
            return Ok(None);
        }
        let text = format!("select {} from users u where u.id = $1", rows::USER);
        let found = self.rows(&text, &values).await?;
        Ok(found.first().map(rows::user).transpose()?)
    }

    async fn locked_at(&self, user: UserId, was: u64) -> Outcome<User> {
        let old = self.locked(user).await?.filter(|old| old.version == was);
        old.ok_or_else(|| StoreError::Changed.into())
    }

    async fn in_name_of(&self, witness: &Witness) -> Outcome<()> {
        let session = id(witness.session.bytes());
        let lock_user = "select is_active, generation, rights_version from users where id = $1 for no key update";
        // Whoever ends the session or the API token drops its row in the same commit: that waits for this one, or this
        // one for that.
        let lock_session = "select id from sessions where id = $1 for share";
        let lock_token = "select id from api_tokens where id = $1 for share";
        let lock_epoch = "select value from facts where name = 'epoch' for share";
        let ended = "select 1 from revocations where kind = $1 and id = $2";
        let (user_key, key) = ([(&id(witness.user.bytes()) as _, Type::BYTEA)], [(&session as _, Type::BYTEA)]);
        let kind_and_key: [Value; 2] = [(&REVOKED_SESSION, Type::INT2), (&session, Type::BYTEA)];
        // Sent at once, and done in this order: what is seen last is seen with all locks held.
        let (users, in_session, in_token, epochs, ended) = join5(
            self.rows(lock_user, &user_key),
            self.rows(lock_session, &key),
            self.rows(lock_token, &key),
            self.rows(lock_epoch, &[]),
            self.rows(ended, &kind_and_key),
        )
        .await;
        let (users, epochs, ended) = (users?, epochs?, ended?);
        in_session?;
        in_token?;
        let user = users.first().ok_or(StoreError::Ended)?;
        let epoch = epochs.first().map(|row| rows::number(row, 0)).transpose()?.unwrap_or(0);
        let lives = ended.is_empty() && witness.epoch >= epoch;
        if !lives || !rows::at::<bool>(user, 0)? || rows::number(user, 1)? != witness.generation {
            return Err(StoreError::Ended.into());
        }
        let rights_version = rows::number(user, 2)?;
        match witness.rights_version {
            Some(version) if version != rights_version => Err(StoreError::Outdated.into()),
            _ => Ok(()),
        }
    }

    async fn create_user(&mut self, user: &User) -> Outcome<()> {
        let text = "insert into users (id, version, username, name_key, password, first_name, last_name, email, \
            address_key, mentions, email_verified, is_active, is_staff, is_superuser, generation, rights_version, \
            last_login, date_joined) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, \
            $17, $18)";
        self.store(text, user, user.version).await?;
        self.grant(user, None).await
    }

    async fn change_user(&mut self, user: &User, was: u64) -> Outcome<()> {
        let old = self.locked_at(user.id, was).await?;
        let mut new = user.clone();
        new.last_login = old.last_login;
        if new.generation == old.generation {
            new.password.clone_from(&old.password);
        }
        let values: [Value; 1] = [(&id(new.id.bytes()), Type::BYTEA)];
        if old.email != new.email || !new.is_active {
            self.run("delete from challenges where user_id = $1", &values).await?;
        } else if old.password != new.password {
            self.drop_reset(new.id).await?;
        }
        if new.generation != old.generation {
            self.run("delete from api_tokens where owner_id = $1", &values).await?;
        }
        let text = "update users set version = $2, username = $3, name_key = $4, password = $5, first_name = $6, \
            last_name = $7, email = $8, address_key = $9, mentions = $10, email_verified = $11, is_active = $12, \
            is_staff = $13, is_superuser = $14, generation = $15, rights_version = $16, last_login = $17, \
            date_joined = $18 where id = $1";
        self.loses(&old, Some(&new)).await?;
        self.store(text, &new, was + 1).await?;
        self.grant(&new, Some(&old)).await
    }

    async fn delete_user(&mut self, user: UserId, was: u64) -> Outcome<()> {
        let old = self.locked_at(user, was).await?;
        self.loses(&old, None).await?;
        self.run("delete from users where id = $1", &[(&id(user.bytes()), Type::BYTEA)]).await?;
        self.changed.insert(user);
        Ok(())
    }

    async fn store(&mut self, text: &str, user: &User, version: u64) -> Outcome<()> {
        let address = if user.email.is_empty() { String::new() } else { address_key(&user.email) };
        let values: [Value; 18] = [
            (&id(user.id.bytes()), Type::BYTEA),
            (&version.cast_signed(), Type::INT8),
            (&user.username.as_str(), Type::TEXT),
            (&user.username.key(), Type::TEXT),
            (&user.password, Type::TEXT),
            (&user.first_name, Type::TEXT),
            (&user.last_name, Type::TEXT),
            (&user.email, Type::TEXT),
            (&address, Type::TEXT),
            (&rows::mentions(user), Type::TEXT),
            (&user.email_verified, Type::BOOL),
            (&user.is_active, Type::BOOL),
            (&user.is_staff, Type::BOOL),
            (&user.is_superuser, Type::BOOL),
            (&user.generation.cast_signed(), Type::INT8),
            (&user.rights_version.cast_signed(), Type::INT8),
            (&user.last_login.unwrap_or(DateTime::UNIX_EPOCH), Type::TIMESTAMPTZ),
            (&user.date_joined, Type::TIMESTAMPTZ),
        ];
        self.run(text, &values).await?;
        self.changed.insert(user.id);
        Ok(())
    }

    /// Groups and permissions: those that are gone are taken away, and the new ones have to exist.
    async fn grant(&self, new: &User, old: Option<&User>) -> Outcome<()> {
        let user = id(new.id.bytes());
        if let Some(old) = old {
            for group in old.groups.difference(&new.groups) {
                let values: [Value; 2] = [(&user, Type::BYTEA), (&id(group.bytes()), Type::BYTEA)];
                self.run("delete from memberships where user_id = $1 and group_id = $2", &values).await?;
            }
            for permission in old.permissions.difference(&new.permissions) {
                let values: [Value; 2] = [(&user, Type::BYTEA), (&permission.as_str(), Type::TEXT)];
                self.run("delete from user_permissions where user_id = $1 and permission = $2", &values).await?;
            }
        }
        for group in new.groups.iter().filter(|group| old.is_none_or(|old| !old.groups.contains(group))) {
            let values: [Value; 2] = [(&user, Type::BYTEA), (&id(group.bytes()), Type::BYTEA)];
            self.run("insert into memberships (user_id, group_id) values ($1, $2)", &values).await?;
        }
        for permission in new.permissions.iter().filter(|p| old.is_none_or(|old| !old.permissions.contains(p))) {
            let values: [Value; 2] = [(&user, Type::BYTEA), (&permission.as_str(), Type::TEXT)];
            self.run("insert into user_permissions (user_id, permission) values ($1, $2)", &values).await?;
        }
        Ok(())
    }

    /// Notes that a superuser may be lost. Two commits that both lose one do so one after the other.
    async fn loses(&mut self, old: &User, new: Option<&User>) -> Outcome<()> {
        let is = |user: &User| user.is_active && user.is_superuser;
        let staff = |user: &User| is(user) && user.is_staff;
        let lost = (is(old) && !new.is_some_and(is), staff(old) && !new.is_some_and(staff));
        if lost != (false, false) && self.lost == (false, false) {
            self.rows("select value from facts where name = 'superusers' for update", &[]).await?;
        }
        self.lost = (self.lost.0 || lost.0, self.lost.1 || lost.1);
        Ok(())
    }

    async fn drop_reset(&self, user: UserId) -> Result<u64, Error> {
        let reset = rows::kind(ChallengeKind::Reset);
        let values: [Value; 2] = [(&id(user.bytes()), Type::BYTEA), (&reset, Type::INT2)];
        self.run("delete from challenges where user_id = $1 and kind = $2", &values).await
    }

    async fn count(&self, counts: &[Count]) -> Outcome<()> {
        let text = "insert into counters (key, until) values ($1, $2 + $3 * interval '1 millisecond') \
            on conflict (key) do update set changed = clock_timestamp(), \
            until = greatest(counters.until, $2) + $3 * interval '1 millisecond'";
        // One order for all, so that two commits do not wait for each other.
        let mut counts: Vec<&Count> = counts.iter().collect();
        counts.sort_by_key(|count| count.key);
        for count in counts {
            // Whole milliseconds of some days are far from what the number cannot hold.
            #[expect(clippy::cast_precision_loss, reason = "milliseconds of days")]
            let added = count.added.num_milliseconds() as f64;
            let values: [Value; 3] =
                [(&id(&count.key), Type::BYTEA), (&count.from, Type::TIMESTAMPTZ), (&added, Type::FLOAT8)];
            self.run(text, &values).await?;
        }
        Ok(())
    }
}

/// An identifier as a value.
fn id(bytes: &[u8; 16]) -> &[u8] {
    bytes
}

fn ids<'a>(of: impl IntoIterator<Item = &'a SessionId>) -> Vec<Vec<u8>> {
    of.into_iter().map(|id| id.bytes().to_vec()).collect()
}

fn latest(known: Option<DateTime<Utc>>, found: DateTime<Utc>) -> DateTime<Utc> {
    known.map_or(found, |known| known.max(found))
}
