//! What the store on PostgreSQL gives. Each read sees one moment: it is one statement, or one snapshot of several.

use std::sync::atomic::Ordering;

use futures_util::FutureExt as _;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::{Postgres, Shared, Value, rows};
use crate::audit::{Event, Filter};
use crate::claims::{ChallengeKind, GroupId, SessionId, UserId};
use crate::rights::{Group, Permission, PermissionEntry};
use crate::store::{
    Alive, ApiToken, Challenge, Follow, Ledger, Member, Meters, NamedSession, OpenSession, Page, Record, Reply, Slice,
    State, Store, StoreError, UserQuery, Write,
};
use crate::user::User;

mod records;
mod searches;

type Outcome<T> = Result<T, StoreError>;

fn all<T>(found: &[Row], read: impl Fn(&Row) -> Outcome<T>) -> Outcome<Vec<T>> {
    found.iter().map(read).collect()
}

/// A text with a zero is in no record, and PostgreSQL takes none.
fn has_zero(slice: &Slice) -> bool {
    [&slice.after, &slice.search].into_iter().flatten().any(|text| text.contains('\0'))
}

fn most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// A page of what was read with a limit of one more.
fn page<T>(mut items: Vec<T>, limit: usize, key: impl Fn(&T) -> String) -> Page<T> {
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(key);
    Page { items, next }
}

impl Shared {
    async fn users_where(&self, rest: &str, values: &[Value<'_>]) -> Outcome<Vec<User>> {
        all(&self.rows(&format!("select {} from users u {rest}", rows::USER), values).await?, rows::user)
    }

    async fn member_where(&self, condition: &str, values: &[Value<'_>]) -> Outcome<Option<Member>> {
        let text = format!(
            "select {}, array(select g.name from memberships m join groups g on g.id = m.group_id \
             where m.user_id = u.id) from users u where {condition}",
            rows::USER
        );
        let found = self.rows(&text, values).await?;
        let Some(row) = found.first() else { return Ok(None) };
        let mut groups: Vec<String> = rows::at(row, 17)?;
        groups.sort_unstable();
        Ok(Some(Member { user: rows::user(row)?, groups }))
    }

    /// A page of a list with a name as its key, which comes first in `text`'s order. `$1` is the key to go on from, `$2`
    /// the text that is searched, `$3` the limit.
    async fn listed<T>(
        &self,
        text: &str,
        slice: &Slice,
        read: impl Fn(&Row) -> Outcome<T>,
        key: impl Fn(&T) -> String,
    ) -> Outcome<Page<T>> {
        if has_zero(slice) {
            return Ok(Page { items: Vec::new(), next: None });
        }
        let search = slice.search.as_ref().map(|text| text.to_lowercase()).unwrap_or_default();
        let values: [Value; 3] = [
            (&slice.after.as_deref().unwrap_or_default(), Type::TEXT),
            (&search, Type::TEXT),
            (&most(slice.limit.saturating_add(1)), Type::INT8),
        ];
        Ok(page(all(&self.rows(text, &values).await?, read)?, slice.limit, key))
    }
}

impl Store for Postgres {
    fn commit(&self, writes: Vec<Write>) -> Reply<'_, ()> {
        self.shared.measured_commit(writes).boxed()
    }

    fn user(&self, id: UserId) -> Reply<'_, Option<User>> {
        async move {
            let id = id.bytes().to_vec();
            Ok(self.shared.users_where("where u.id = $1", &[(&id, Type::BYTEA)]).await?.pop())
        }
        .boxed()
    }

    fn member(&self, id: UserId) -> Reply<'_, Option<Member>> {
        async move { self.shared.member_where("u.id = $1", &[(&id.bytes().to_vec(), Type::BYTEA)]).await }.boxed()
    }

    fn user_named<'a>(&'a self, key: &'a str) -> Reply<'a, Option<User>> {
        async move {
            if key.contains('\0') {
                return Ok(None);
            }
            Ok(self.shared.users_where("where u.name_key = $1", &[(&key, Type::TEXT)]).await?.pop())
        }
        .boxed()
    }

    fn member_named<'a>(&'a self, key: &'a str) -> Reply<'a, Option<Member>> {
        async move {
            if key.contains('\0') {
                return Ok(None);
            }
            self.shared.member_where("u.name_key = $1", &[(&key, Type::TEXT)]).await
        }
        .boxed()
    }

    fn users_at<'a>(&'a self, key: &'a str, limit: usize) -> Reply<'a, Vec<User>> {
        async move {
            if key.contains('\0') || key.is_empty() {
                return Ok(Vec::new());
            }
            let rest = "where u.address_key = $1 and u.address_key <> '' \
                order by u.email_verified desc, u.date_joined, u.id limit $2";
            self.shared.users_where(rest, &[(&key, Type::TEXT), (&most(limit), Type::INT8)]).await
        }
        .boxed()
    }

    fn challenge(&self, user: UserId, kind: ChallengeKind) -> Reply<'_, Option<Challenge>> {
        async move {
            let text = "select digest, address, asked from challenges where user_id = $1 and kind = $2";
            let values: [Value; 2] = [(&user.bytes().to_vec(), Type::BYTEA), (&rows::kind(kind), Type::INT2)];
            self.shared.rows(text, &values).await?.first().map(rows::challenge).transpose()
        }
        .boxed()
    }

    fn users(&self, slice: Slice) -> Reply<'_, Page<User>> {
        async move {
            let text = format!(
                "select {} from users u where u.name_key > $1 and ($2 = '' or strpos(u.mentions, $2) > 0) \
                 order by u.name_key limit $3",
                rows::USER
            );
            self.shared.listed(&text, &slice, rows::user, |user| user.username.key()).await
        }
        .boxed()
    }

    fn find_users(&self, query: UserQuery) -> Reply<'_, Page<User>> {
        async move { self.shared.find_users(&query).await }.boxed()
    }

    fn members(&self, group: GroupId) -> Reply<'_, Vec<User>> {
        async move {
            let rest = "join memberships j on j.user_id = u.id where j.group_id = $1 order by u.id";
            self.shared.users_where(rest, &[(&group.bytes().to_vec(), Type::BYTEA)]).await
        }
        .boxed()
    }

    fn holders<'a>(&'a self, permission: &'a Permission) -> Reply<'a, Vec<User>> {
        async move {
            let rest = "join user_permissions j on j.user_id = u.id where j.permission = $1 order by u.id";
            self.shared.users_where(rest, &[(&permission.as_str(), Type::TEXT)]).await
        }
        .boxed()
    }

    fn group(&self, id: GroupId) -> Reply<'_, Option<Group>> {
        async move {
            let text = format!("select {} from groups g where g.id = $1", rows::GROUP);
            let found = self.shared.rows(&text, &[(&id.bytes().to_vec(), Type::BYTEA)]).await?;
            found.first().map(rows::group).transpose()
        }
        .boxed()
    }

    fn groups(&self, slice: Slice) -> Reply<'_, Page<Group>> {
        async move {
            let text = format!(
                "select {} from groups g where g.name > $1 and ($2 = '' or strpos(g.mentions, $2) > 0) \
                 order by g.name limit $3",
                rows::GROUP
            );
            self.shared.listed(&text, &slice, rows::group, |group| group.name.clone()).await
        }
        .boxed()
    }

    fn permission<'a>(&'a self, name: &'a Permission) -> Reply<'a, Option<PermissionEntry>> {
        async move {
            let text = "select name, description, version from permissions where name = $1";
            let found = self.shared.rows(text, &[(&name.as_str(), Type::TEXT)]).await?;
            found.first().map(rows::permission).transpose()
        }
        .boxed()
    }

    fn permissions(&self, slice: Slice) -> Reply<'_, Page<PermissionEntry>> {
        async move {
            let text = "select name, description, version from permissions where name > $1 \
                and ($2 = '' or strpos(mentions, $2) > 0) \
                order by name limit $3";
            self.shared.listed(text, &slice, rows::permission, |entry| entry.name.to_string()).await
        }
        .boxed()
    }

    fn session(&self, user: UserId, id: SessionId) -> Reply<'_, Option<OpenSession>> {
        async move {
            let text = "select id, user_id, created, ends, epoch, address, agent from sessions \
                where user_id = $1 and id = $2";
            let values: [Value; 2] = [(&user.bytes().to_vec(), Type::BYTEA), (&id.bytes().to_vec(), Type::BYTEA)];
            self.shared.rows(text, &values).await?.first().map(rows::session).transpose()
        }
        .boxed()
    }

    fn sessions(&self, user: UserId, alive: Alive, slice: Slice) -> Reply<'_, Page<OpenSession>> {
        async move { self.shared.sessions(user, alive, &slice).await }.boxed()
    }

    fn open_sessions(&self, alive: Alive, slice: Slice) -> Reply<'_, Page<NamedSession>> {
        async move { self.shared.open_sessions(alive, &slice).await }.boxed()
    }

    fn api_tokens(&self, owner: UserId) -> Reply<'_, Vec<ApiToken>> {
        async move {
            let text = "select id, owner_id, name, scope, created, ends, epoch from api_tokens \
                where owner_id = $1 order by created desc, id desc";
            all(&self.shared.rows(text, &[(&owner.bytes().to_vec(), Type::BYTEA)]).await?, rows::token)
        }
        .boxed()
    }

    fn events(&self, filter: Filter, slice: Slice) -> Reply<'_, Page<Event>> {
        async move { self.shared.events(&filter, &slice).await }.boxed()
    }

    fn records(&self, after: Option<String>, limit: usize) -> Reply<'_, Page<Record>> {
        async move { self.shared.records(after.as_deref(), limit).await }.boxed()
    }

    fn state(&self) -> Reply<'_, State> {
        self.shared.everything().boxed()
    }

    fn longest_life(&self, seconds: u32) -> Reply<'_, u32> {
        async move {
            let text = "update facts set value = greatest(value, $1) where name = 'life' returning value";
            let found = self.shared.durable_rows(text, &[(&i64::from(seconds), Type::INT8)]).await?;
            let row = found.first().ok_or_else(|| rows::damaged("the store"))?;
            u32::try_from(rows::at::<i64>(row, 0)?).map_err(|_| rows::damaged("the store"))
        }
        .boxed()
    }

    fn incarnation(&self) -> u64 {
        self.shared.incarnation.load(Ordering::SeqCst)
    }

    fn is_ready(&self) -> bool {
        self.shared.is_ready.load(Ordering::SeqCst)
    }

    fn meters(&self) -> Option<&Meters> {
        Some(&self.shared.meters)
    }

    fn follow(&self) -> Option<&dyn Follow> {
        Some(self)
    }

    fn ledger(&self) -> Option<&dyn Ledger> {
        Some(self)
    }
}
