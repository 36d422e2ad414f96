//! Pages of users that a filter wants, in any order, of open sessions, and of the audit log.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;

use super::{Outcome, has_zero, most, page};
use crate::audit::{Event, Filter};
use crate::claims::UserId;
use crate::store::postgres::{Shared, Value, rows};
use crate::store::{Alive, NamedSession, OpenSession, Page, Slice, UserOrder, UserQuery};
use crate::user::User;

/// Most events or sessions that one page looks at before it stops and says where to go on.
const SEARCH_MAX: usize = 20_000;

/// Rows that are read at once where the first ones have not filled the page.
const STRIDE: usize = 1_000;

/// A page in the making, of rows of which not all are wanted.
struct Leaf<T> {
    items: Vec<T>,
    limit: usize,
    looked_at: usize,
}

impl<T> Leaf<T> {
    fn new(limit: usize) -> Self {
        Self { items: Vec::new(), limit, looked_at: 0 }
    }

    /// How many rows to read: most are wanted, so that the first reading usually fills the page.
    fn stride(&self) -> usize {
        if self.looked_at == 0 { self.limit.saturating_add(1).min(STRIDE) } else { STRIDE }
    }

    fn is_full(&self) -> bool {
        self.items.len() == self.limit || self.looked_at == SEARCH_MAX
    }

    fn take(&mut self, item: Option<T>) {
        self.looked_at += 1;
        self.items.extend(item);
    }

    fn ends(self, next: Option<String>) -> Page<T> {
        Page { items: self.items, next }
    }
}

impl Shared {
    pub(super) async fn find_users(&self, query: &UserQuery) -> Outcome<Page<User>> {
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

    /// By the time of the log-in, the newest first.
    pub(super) async fn sessions(&self, user: UserId, alive: Alive, slice: &Slice) -> Outcome<Page<OpenSession>> {
        const TEXT: &str = "select id, user_id, created, ends, epoch, address, agent from sessions \
            where user_id = $1 and (created, id) < ($2, $3) order by created desc, id desc limit $4";
        let user = user.bytes().to_vec();
        let mut after = Place::read(slice);
        let mut leaf = Leaf::new(slice.limit);
        loop {
            let stride = leaf.stride();
            let (before, id) = Place::or_the_end(after.as_ref());
            let values: [Value; 4] =
                [(&user, Type::BYTEA), (&before, Type::TIMESTAMPTZ), (&id, Type::BYTEA), (&most(stride), Type::INT8)];
            let found = self.rows(TEXT, &values).await?;
            for row in &found {
                if leaf.is_full() {
                    return Ok(leaf.ends(after.map(Place::text)));
                }
                let session = rows::session(row)?;
                after = Some(Place(session.created, session.id.bytes().to_vec()));
                leaf.take(alive.has(&session).then_some(session));
            }
            if found.len() < stride {
                return Ok(leaf.ends(None));
            }
        }
    }

    /// By their ids.
    pub(super) async fn open_sessions(&self, alive: Alive, slice: &Slice) -> Outcome<Page<NamedSession>> {
        // The inner limit holds, whatever is known of the tables.
        const TEXT: &str = "select s.id, s.user_id, s.created, s.ends, s.epoch, s.address, s.agent, u.username \
            from (select * from sessions where id > $1 order by id limit $2) s join users u on u.id = s.user_id \
            order by s.id";
        let mut after = slice.after.as_deref().map(rows::from_text).unwrap_or_default();
        let mut leaf = Leaf::new(slice.limit);
        loop {
            let stride = leaf.stride();
            let found = self.rows(TEXT, &[(&after, Type::BYTEA), (&most(stride), Type::INT8)]).await?;
            for row in &found {
                if leaf.is_full() {
                    return Ok(leaf.ends(Some(rows::to_text(&after))));
                }
                let session = rows::session(row)?;
                after = session.id.bytes().to_vec();
                let username = rows::username(rows::at(row, 7)?)?;
                leaf.take(alive.has(&session).then_some(NamedSession { session, username }));
            }
            if found.len() < stride {
                return Ok(leaf.ends(None));
            }
        }
    }

    pub(super) async fn events(&self, filter: &Filter, slice: &Slice) -> Outcome<Page<Event>> {
        let (since, until) = (filter.since.unwrap_or(DateTime::UNIX_EPOCH), filter.until);
        let mut after = Place::read(slice);
        let mut leaf = Leaf::new(slice.limit);
        loop {
            let stride = leaf.stride();
            let (before, id) = Place::or_the_end(after.as_ref());
            let until = until.unwrap_or(before).max(since);
            let values: [Value; 5] = [
                (&since, Type::TIMESTAMPTZ),
                (&until, Type::TIMESTAMPTZ),
                (&before, Type::TIMESTAMPTZ),
                (&id, Type::BYTEA),
                (&most(stride), Type::INT8),
            ];
            let bound = if filter.until.is_some() { "at < $2" } else { "at <= $2" };
            let text = format!(
                "select record from events where at >= $1 and {bound} and (at, id) < ($3, $4) \
                 order by at desc, id desc limit $5"
            );
            let found = self.rows(&text, &values).await?;
            for row in &found {
                if leaf.is_full() {
                    return Ok(leaf.ends(after.map(Place::text)));
                }
                let event: Event =
                    serde_json::from_str(rows::at(row, 0)?).map_err(|_| rows::damaged("the audit log"))?;
                after = Some(Place(event.at, event.id.bytes().to_vec()));
                leaf.take(filter.wants(&event).then_some(event));
            }
            if found.len() < stride {
                return Ok(leaf.ends(None));
            }
        }
    }
}

/// A place in an order of instants, and of ids where they are the same.
struct Place(DateTime<Utc>, Vec<u8>);

impl Place {
    /// Where to go on from.
    fn read(slice: &Slice) -> Option<Self> {
        slice.after.as_deref().and_then(rows::parse_place).map(|(at, id)| Self(at, id))
    }

    /// What everything comes before, when nothing else is said.
    fn or_the_end(after: Option<&Self>) -> (DateTime<Utc>, Vec<u8>) {
        let end = || (DateTime::from_timestamp(250_000_000_000, 0).unwrap_or_default(), Vec::new());
        after.map_or_else(end, |Self(at, id)| (*at, id.clone()))
    }

    fn text(self) -> String {
        rows::place(self.0, self.1.first_chunk().unwrap_or(&[0; 16]))
    }
}
