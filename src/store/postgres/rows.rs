//! How records lie in rows, and how rows become records again.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use crate::claims::{ChallengeKind, GroupId, SessionId, UserId};
use crate::rights::{Group, Permission, PermissionEntry};
use crate::store::{ApiToken, Challenge, OpenSession, StoreError};
use crate::user::{User, Username};

/// What [`user`] reads, of the table `users` under the name `u`.
pub(super) const USER: &str = "u.id, u.version, u.username, u.password, u.first_name, u.last_name, u.email, \
    u.email_verified, u.is_active, u.is_staff, u.is_superuser, u.generation, u.rights_version, u.last_login, \
    u.date_joined, array(select m.group_id from memberships m where m.user_id = u.id), \
    array(select p.permission from user_permissions p where p.user_id = u.id)";

/// What [`group`] reads, of the table `groups` under the name `g`.
pub(super) const GROUP: &str = "g.id, g.name, g.created, g.version, \
    array(select p.permission from group_permissions p where p.group_id = g.id)";

pub(super) fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(format!("a record of {what} is damaged"))
}

/// The column at a place.
pub(super) fn at<'a, T: FromSql<'a>>(row: &'a Row, place: usize) -> Result<T, StoreError> {
    row.try_get(place).map_err(|_| damaged("the store"))
}

pub(super) fn bytes<const N: usize>(row: &Row, place: usize) -> Result<[u8; N], StoreError> {
    at::<&[u8]>(row, place)?.try_into().map_err(|_| damaged("the store"))
}

pub(super) fn number(row: &Row, place: usize) -> Result<u64, StoreError> {
    at::<i64>(row, place).map(i64::cast_unsigned)
}

/// The number of a kind of challenge.
pub(super) fn kind(of: ChallengeKind) -> i16 {
    match of {
        ChallengeKind::Reset => 1,
        ChallengeKind::Verification => 2,
    }
}

/// The kind of challenge with a number.
pub(super) fn parse_kind(number: i16) -> Result<ChallengeKind, StoreError> {
    let kinds = [ChallengeKind::Reset, ChallengeKind::Verification];
    kinds.into_iter().find(|of| kind(*of) == number).ok_or_else(|| damaged("a challenge"))
}

/// Bytes as text that a cursor can carry, and back; nothing for what is no such text.
pub(super) fn to_text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn from_text(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap_or_default()
}

fn permissions(row: &Row, place: usize) -> Result<std::collections::BTreeSet<Permission>, StoreError> {
    let names: Vec<String> = at(row, place)?;
    names.iter().map(|name| permission_name(name)).collect()
}

fn permission_name(name: &str) -> Result<Permission, StoreError> {
    Permission::parse("name", name).map_err(|_| damaged("a permission"))
}

/// A stored name. It was parsed before, and is read as it is: the rule for new names may have become narrower.
pub(super) fn username(text: String) -> Result<Username, StoreError> {
    serde_json::from_value(text.into()).map_err(|_| damaged("a user"))
}

pub(super) fn user(row: &Row) -> Result<User, StoreError> {
    let text = |place| at::<String>(row, place);
    let groups: Vec<Vec<u8>> = at(row, 15)?;
    let group = |id: Vec<u8>| <[u8; 16]>::try_from(id).map(GroupId::from_bytes).map_err(|_| damaged("a user"));
    let last_login: DateTime<Utc> = at(row, 13)?;
    Ok(User {
        id: UserId::from_bytes(bytes(row, 0)?),
        version: number(row, 1)?,
        username: username(text(2)?)?,
        password: text(3)?,
        first_name: text(4)?,
        last_name: text(5)?,
        email: text(6)?,
        email_verified: at(row, 7)?,
        is_active: at(row, 8)?,
        is_staff: at(row, 9)?,
        is_superuser: at(row, 10)?,
        generation: number(row, 11)?,
        rights_version: number(row, 12)?,
        last_login: (last_login > DateTime::UNIX_EPOCH).then_some(last_login),
        date_joined: at(row, 14)?,
        groups: groups.into_iter().map(group).collect::<Result<_, _>>()?,
        permissions: permissions(row, 16)?,
    })
}

/// All that a search looks at. What separates the fields is in none of them.
pub(super) fn mentions(of: &User) -> String {
    [of.username.as_str(), &of.email, &of.first_name, &of.last_name].join("\u{1}").to_lowercase()
}

pub(super) fn group(row: &Row) -> Result<Group, StoreError> {
    Ok(Group {
        id: GroupId::from_bytes(bytes(row, 0)?),
        name: at(row, 1)?,
        created: at(row, 2)?,
        version: number(row, 3)?,
        permissions: permissions(row, 4)?,
    })
}

pub(super) fn permission(row: &Row) -> Result<PermissionEntry, StoreError> {
    Ok(PermissionEntry { name: permission_name(at(row, 0)?)?, description: at(row, 1)?, version: number(row, 2)? })
}

pub(super) fn session(row: &Row) -> Result<OpenSession, StoreError> {
    Ok(OpenSession {
        id: SessionId::from_bytes(bytes(row, 0)?),
        user: UserId::from_bytes(bytes(row, 1)?),
        created: at(row, 2)?,
        ends: at(row, 3)?,
        epoch: number(row, 4)?,
        address: at(row, 5)?,
        agent: at(row, 6)?,
    })
}

pub(super) fn token(row: &Row) -> Result<ApiToken, StoreError> {
    Ok(ApiToken {
        id: SessionId::from_bytes(bytes(row, 0)?),
        owner: UserId::from_bytes(bytes(row, 1)?),
        name: at(row, 2)?,
        scope: permissions(row, 3)?,
        created: at(row, 4)?,
        ends: at(row, 5)?,
        epoch: number(row, 6)?,
    })
}

pub(super) fn challenge(row: &Row) -> Result<Challenge, StoreError> {
    Ok(Challenge { digest: bytes(row, 0)?, address: at(row, 1)?, asked: at(row, 2)? })
}

/// A place in an order of instants, as text that a cursor can carry.
pub(super) fn place(instant: DateTime<Utc>, id: &[u8; 16]) -> String {
    URL_SAFE_NO_PAD.encode([&instant.timestamp_micros().to_be_bytes()[..], id].concat())
}

/// The place in such text; `None` when it is none.
pub(super) fn parse_place(text: &str) -> Option<(DateTime<Utc>, Vec<u8>)> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (micros, id) = bytes.split_first_chunk::<8>()?;
    let instant = DateTime::from_timestamp_micros(i64::from_be_bytes(*micros))?;
    (id.len() == 16).then(|| (instant, id.to_vec()))
}
