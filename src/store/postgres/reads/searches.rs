//! Pages of users that a filter wants, in any order, of open sessions, and of the audit log.

use std::fmt::Write as _;

use chrono::DateTime;
use tokio_postgres::types::Type;

use super::{Outcome, has_zero, most, page};
use crate::audit::{Event, Filter};
use crate::store::postgres::{Shared, Value, rows};
use crate::store::{Alive, NamedSession, Page, Slice, UserOrder, UserQuery};
use crate::user::User;

/// Most events or sessions that one page looks at before it stops and says where to go on.
const SEARCH_MAX: usize = 20_000;

/// Sessions that are read at once where the first ones have not filled the page.
const STRIDE: usize = 1_000;

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

    /// By their ids. Most are alive: the first reading usually fills the page.
    pub(super) async fn open_sessions(&self, alive: Alive, slice: &Slice) -> Outcome<Page<NamedSession>> {
        // The inner limit holds, whatever is known of the tables.
        const TEXT: &str = "select s.id, s.user_id, s.created, s.ends, s.epoch, s.address, s.agent, u.username \
            from (select * from sessions where id > $1 order by id limit $2) s join users u on u.id = s.user_id \
            order by s.id";
        let mut after = slice.after.as_deref().map(rows::from_text).unwrap_or_default();
        let mut items = Vec::new();
        let (mut looked_at, mut limit) = (0, slice.limit.saturating_add(1));
        loop {
            let found = self.rows(TEXT, &[(&after, Type::BYTEA), (&most(limit), Type::INT8)]).await?;
            for row in &found {
                if items.len() == slice.limit || looked_at == SEARCH_MAX {
                    return Ok(Page { items, next: Some(rows::to_text(&after)) });
                }
                looked_at += 1;
                let session = rows::session(row)?;
                after = session.id.bytes().to_vec();
                if alive.has(&session) {
                    items.push(NamedSession { session, username: rows::username(rows::at(row, 7)?)? });
                }
            }
            if found.len() < limit {
                return Ok(Page { items, next: None });
            }
            limit = STRIDE;
        }
    }

    pub(super) async fn events(&self, filter: &Filter, slice: &Slice) -> Outcome<Page<Event>> {
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
