//! What the store on PostgreSQL gives. Each read sees one moment: it is one statement, or one snapshot of several.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use chrono::DateTime;
use futures_util::FutureExt as _;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::{Postgres, Shared, Value, rows};
use crate::audit::{Event, Filter};
use crate::claims::{ChallengeKind, GroupId, UserId};
use crate::rights::{Group, Permission, PermissionEntry};
use crate::store::{
    ApiToken, Challenge, Follow, Ledger, Member, Meters, OpenSession, Page, Reply, Slice, State, Store, StoreError,
    UserOrder, UserQuery, Write,
};
use crate::user::User;

/// Most events that one page looks at before it stops and says where to go on.
const SEARCH_MAX: usize = 20_000;

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

    async fn find_users(&self, query: &UserQuery) -> Outcome<Page<User>> {
        let (filter, slice) = (&query.filter, &query.slice);
        if has_zero(slice) {
            return Ok(Page { items: Vec::new(), next: None });
        }
        let (column, after) = match query.order {
            UserOrder::Username => (None, None),
            UserOrder::DateJoined => (Some("u.date_joined"), slice.after.as_deref().and_then(rows::parse_place)),
            UserOrder::LastLogin => (Some("u.last_login"), slice.after.as_deref().and_then(rows::parse_place)),
        };
        let (beyond, turn) = if query.descending { ("<", " desc") } else { (">", "") };
        let name = slice.after.as_deref().filter(|after| column.is_none() && !after.contains('\0'));
        let search = slice.search.as_ref().map(|text| text.to_lowercase());
        let group = filter.group.map(|group| group.bytes().to_vec());
        let holds = filter.holds.as_ref().map(|held| held.permission.as_str());
        let granted_by: Vec<Vec<u8>> =
            filter.holds.iter().flat_map(|held| &held.granted_by).map(|group| group.bytes().to_vec()).collect();
        let limit = most(slice.limit.saturating_add(1));
        let mut values: Vec<Value<'_>> = Vec::new();
        let mut text = "where true".to_owned();
        // Each condition names its value by the place that it takes.
        macro_rules! when {
            ($value:expr, $kind:expr, $clause:literal $(, $part:expr)*) => {
                if let Some(value) = $value {
                    values.push((value, $kind));
                    // Writing to a text does not fail.
                    let _ = write!(text, $clause, $($part,)* at = values.len());
                }
            };
        }
        when!(filter.is_active.as_ref(), Type::BOOL, " and u.is_active = ${at}");
        when!(filter.is_staff.as_ref(), Type::BOOL, " and u.is_staff = ${at}");
        when!(filter.is_superuser.as_ref(), Type::BOOL, " and u.is_superuser = ${at}");
        when!(search.as_ref(), Type::TEXT, " and strpos(u.mentions, ${at}) > 0");
        when!(
            group.as_ref(),
            Type::BYTEA,
            " and exists (select 1 from memberships m where m.user_id = u.id and m.group_id = ${at})"
        );
        when!(
            holds.as_ref(),
            Type::TEXT,
            " and (u.is_superuser or exists (select 1 from user_permissions p \
             where p.user_id = u.id and p.permission = ${at})"
        );
        if holds.is_some() {
            when!(
                Some(&granted_by),
                Type::BYTEA_ARRAY,
                " or exists (select 1 from memberships m where m.user_id = u.id and m.group_id = any(${at})))"
            );
        }
        when!(name.as_ref(), Type::TEXT, " and u.name_key {} ${at}", beyond);
        if let (Some(column), Some((instant, id))) = (column, &after) {
            values.push((instant, Type::TIMESTAMPTZ));
            values.push((id, Type::BYTEA));
            let (first, second) = (values.len() - 1, values.len());
            let _ = write!(text, " and ({column}, u.id) {beyond} (${first}, ${second})");
        }
        values.push((&limit, Type::INT8));
        let order = match column {
            None => format!("u.name_key{turn}"),
            Some(column) => format!("{column}{turn}, u.id{turn}"),
        };
        let _ = write!(text, " order by {order} limit ${}", values.len());
        let found = self.users_where(&text, &values).await?;
        Ok(page(found, slice.limit, |user| match query.order {
            UserOrder::Username => user.username.key(),
            UserOrder::DateJoined => rows::place(user.date_joined, user.id.bytes()),
            UserOrder::LastLogin => rows::place(user.last_login.unwrap_or(DateTime::UNIX_EPOCH), user.id.bytes()),
        }))
    }

    async fn events(&self, filter: &Filter, slice: &Slice) -> Outcome<Page<Event>> {
        let mut after = slice.after.as_deref().and_then(rows::parse_place);
        let (since, until) = (filter.since.unwrap_or(DateTime::UNIX_EPOCH), filter.until);
        let mut items = Vec::new();
        let mut looked_at = 0;
        loop {
            let (before, id) =
                after.clone().unwrap_or((DateTime::from_timestamp(250_000_000_000, 0).unwrap_or_default(), vec![]));
            let until = until.unwrap_or(before).max(since);
            let limit = most(slice.limit.saturating_add(1).clamp(1, 500));
            let values: [Value; 5] = [
                (&since, Type::TIMESTAMPTZ),
                (&until, Type::TIMESTAMPTZ),
                (&before, Type::TIMESTAMPTZ),
                (&id, Type::BYTEA),
                (&limit, Type::INT8),
            ];
            let bound = if filter.until.is_some() { "at < $2" } else { "at <= $2" };
            let text = format!(
                "select record from events where at >= $1 and {bound} and (at, id) < ($3, $4) \
                 order by at desc, id desc limit $5"
            );
            let found = self.rows(&text, &values).await?;
            for row in &found {
                let event: Event =
                    serde_json::from_str(rows::at(row, 0)?).map_err(|_| rows::damaged("the audit log"))?;
                if items.len() == slice.limit || looked_at == SEARCH_MAX {
                    return Ok(Page { items, next: after.map(|(at, id)| place(at, &id)) });
                }
                looked_at += 1;
                after = Some((event.at, event.id.bytes().to_vec()));
                if filter.wants(&event) {
                    items.push(event);
                }
            }
            if most(found.len()) < limit {
                return Ok(Page { items, next: None });
            }
        }
    }
}

fn place(at: DateTime<chrono::Utc>, id: &[u8]) -> String {
    rows::place(at, id.first_chunk().unwrap_or(&[0; 16]))
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

    fn sessions(&self, user: UserId) -> Reply<'_, Vec<OpenSession>> {
        async move {
            let text = "select id, user_id, created, ends, epoch, address, agent from sessions \
                where user_id = $1 order by created desc, id desc";
            all(&self.shared.rows(text, &[(&user.bytes().to_vec(), Type::BYTEA)]).await?, rows::session)
        }
        .boxed()
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
