//! The shapes in which users and sessions are shown. No operation is here.

use poem_openapi::Object;
use poem_openapi::types::Example;
use serde::Serialize;
use serde_json::json;

use crate::api::json::{AnyObject, Time};
use crate::api::list;
use crate::app::App;
use crate::claims::instant;
use crate::rights::{GroupTable, Permission};
use crate::session::{self, COOKIE_BYTES_ALLOWED};
use crate::store::{self, NamedSession};
use crate::user;

/// A user, with Django's fields but the hash.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, named as in Django")]
#[derive(Debug, Clone, Object)]
#[oai(example)]
pub struct User {
    /// Never given to anybody else.
    pub id: String,
    /// The name that a log-in takes.
    pub username: String,
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// Address; empty when there is none.
    pub email: String,
    /// Whether the user has shown that mail to this address arrives.
    pub email_verified: bool,
    /// Whether the user may log in.
    pub is_active: bool,
    /// Whether administration is open to the user; grants nothing by itself.
    pub is_staff: bool,
    /// Whether the user has every permission.
    pub is_superuser: bool,
    /// Whether there is a password to log in with.
    pub has_usable_password: bool,
    /// Names of the groups that the user is in.
    pub groups: Vec<String>,
    /// Permissions granted directly.
    pub user_permissions: Vec<String>,
    /// The latest log-in; null when there was none.
    #[oai(nullable)]
    pub last_login: Option<Time>,
    /// When the account was made.
    pub date_joined: Time,
}

impl User {
    pub(crate) fn of(user: &user::User, groups: &GroupTable) -> Self {
        Self {
            id: user.id.to_string(),
            username: user.username.as_str().to_owned(),
            first_name: user.first_name.clone(),
            last_name: user.last_name.clone(),
            email: user.email.clone(),
            email_verified: user.email_verified,
            is_active: user.is_active,
            is_staff: user.is_staff,
            is_superuser: user.is_superuser,
            has_usable_password: user.has_usable_password(),
            groups: groups.names_of(&user.groups),
            user_permissions: names(&user.permissions),
            last_login: user.last_login.map(Time),
            date_joined: Time(user.date_joined),
        }
    }
}

impl Example for User {
    fn example() -> Self {
        Self {
            id: "q3bXcK0aTn2vSgYkPzq1bA".to_owned(),
            username: "alice".to_owned(),
            first_name: "Alice".to_owned(),
            last_name: "Archer".to_owned(),
            email: "alice@example.com".to_owned(),
            email_verified: true,
            is_active: true,
            is_staff: false,
            is_superuser: false,
            has_usable_password: true,
            groups: vec!["editors".to_owned()],
            user_permissions: vec!["polls.vote".to_owned()],
            last_login: Some(Time(instant(1_900_000_000))),
            date_joined: Time(instant(1_890_000_000)),
        }
    }
}

/// Who is logged in to a session, as its token says it.
#[derive(Debug, Clone, Object, Serialize)]
pub struct Identity {
    /// The user.
    pub id: String,
    /// The name that a log-in takes.
    pub username: String,
    /// Whether administration is open to the user.
    pub is_staff: bool,
    /// Whether the user has every permission.
    pub is_superuser: bool,
    /// Names of the groups that the user is in.
    pub groups: Vec<String>,
    /// Permissions granted directly.
    pub permissions: Vec<String>,
}

/// A session.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(example)]
pub struct Session {
    /// Names the session, the same across every re-issue; null before the first write.
    #[oai(nullable)]
    pub id: Option<String>,
    /// Who is logged in; null for nobody.
    #[oai(nullable)]
    pub user: Option<Identity>,
    /// The JSON object that the application keeps here.
    pub data: AnyObject,
    /// When this token was issued; null before the first write.
    #[oai(nullable)]
    pub issued_at: Option<Time>,
    /// When the session ends for want of use; null before the first write.
    #[oai(nullable)]
    pub expires_at: Option<Time>,
    /// When the session ends in any case; null before the first write.
    #[oai(nullable)]
    pub ends_at: Option<Time>,
    /// Bytes that the whole `Set-Cookie` line takes.
    pub bytes_used: u32,
    /// Bytes that it may take.
    pub bytes_allowed: u32,
}

impl Session {
    pub(crate) fn of(session: &session::Session) -> Self {
        let claims = session.claims();
        let user = claims.and_then(|claims| {
            Some(Identity {
                id: claims.sub?.to_string(),
                username: claims.preferred_username.clone()?,
                is_staff: claims.is_staff,
                is_superuser: claims.is_superuser,
                groups: claims.groups.clone(),
                permissions: claims.permissions.clone(),
            })
        });
        let count = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        Self {
            id: claims.map(|claims| claims.sid.to_string()),
            user,
            data: AnyObject(claims.map(|claims| claims.data.clone()).unwrap_or_default()),
            issued_at: claims.map(|claims| Time(instant(claims.iat))),
            expires_at: claims.map(|claims| Time(instant(claims.exp))),
            ends_at: claims.map(|claims| Time(instant(claims.end))),
            bytes_used: count(session.bytes_used()),
            bytes_allowed: count(COOKIE_BYTES_ALLOWED),
        }
    }
}

impl Example for Session {
    fn example() -> Self {
        let user = User::example();
        let data = match json!({ "theme": "dark", "cart": [7, 12] }) {
            serde_json::Value::Object(data) => data,
            _ => serde_json::Map::new(),
        };
        Self {
            id: Some("0d4JZ1mKSzWcQ3hUj6nE9w".to_owned()),
            user: Some(Identity {
                id: user.id,
                username: user.username,
                is_staff: user.is_staff,
                is_superuser: user.is_superuser,
                groups: user.groups,
                permissions: user.user_permissions,
            }),
            data: AnyObject(data),
            issued_at: Some(Time(instant(1_900_000_000))),
            expires_at: Some(Time(instant(1_900_003_600))),
            ends_at: Some(Time(instant(1_901_209_600))),
            bytes_used: 834,
            bytes_allowed: 4096,
        }
    }
}

/// A user and the session that was opened.
#[derive(Debug, Clone, Object)]
#[oai(example)]
pub struct LoggedIn {
    /// Who is logged in.
    pub user: User,
    /// The new session.
    pub session: Session,
}

impl LoggedIn {
    pub(crate) fn of(app: &App, user: &user::User, session: &session::Session) -> Self {
        Self { user: User::of(user, &app.groups()), session: Session::of(session) }
    }
}

impl Example for LoggedIn {
    fn example() -> Self {
        Self { user: User::example(), session: Session::example() }
    }
}

/// An open session of a user: a device.
#[derive(Debug, Clone, Object)]
#[oai(example)]
pub struct Device {
    /// The session.
    pub id: String,
    /// Whether it is the one that asks.
    pub current: bool,
    /// When the log-in was.
    pub created_at: Time,
    /// When it ends in any case.
    pub ends_at: Time,
    /// The address that the log-in came from.
    pub address: String,
    /// The client's own description of itself.
    pub agent: String,
}

impl Device {
    pub(crate) fn of(open: &store::OpenSession, asking: &session::Session) -> Self {
        Self {
            id: open.id.to_string(),
            current: asking.claims().is_some_and(|claims| claims.sid == open.id),
            created_at: Time(open.created),
            ends_at: Time(open.ends),
            address: open.address.clone(),
            agent: open.agent.clone(),
        }
    }
}

impl Example for Device {
    fn example() -> Self {
        Self {
            id: "0d4JZ1mKSzWcQ3hUj6nE9w".to_owned(),
            current: true,
            created_at: Time(instant(1_900_000_000)),
            ends_at: Time(instant(1_901_209_600)),
            address: "192.0.2.7".to_owned(),
            agent: "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0".to_owned(),
        }
    }
}

/// A page of devices.
#[derive(Object)]
pub struct DeviceList {
    /// The newest first.
    pub(crate) items: Vec<Device>,
    /// The cursor of the next page; null when this is the last one.
    #[oai(nullable)]
    pub(crate) next: Option<String>,
}

impl DeviceList {
    pub(crate) fn of(page: store::Page<store::OpenSession>, asking: &session::Session) -> Self {
        let items = page.items.iter().map(|open| Device::of(open, asking)).collect();
        Self { items, next: list::cursor(page.next) }
    }
}

/// Whose a session is.
#[derive(Debug, Clone, Object)]
pub struct Owner {
    /// The user.
    pub id: String,
    /// The name that a log-in takes.
    pub username: String,
}

/// An open session of somebody.
#[derive(Debug, Clone, Object)]
#[oai(example)]
pub struct OpenSession {
    #[oai(flatten)]
    device: Device,
    /// Whose it is.
    user: Owner,
}

impl OpenSession {
    pub(crate) fn of(open: &NamedSession, asking: &session::Session) -> Self {
        let NamedSession { session, username } = open;
        let user = Owner { id: session.user.to_string(), username: username.as_str().to_owned() };
        Self { device: Device::of(session, asking), user }
    }
}

impl Example for OpenSession {
    fn example() -> Self {
        let User { id, username, .. } = User::example();
        Self { device: Device::example(), user: Owner { id, username } }
    }
}

/// A page of the open sessions of everybody.
#[derive(Object)]
pub struct OpenSessionList {
    /// In an order of the store's own.
    pub(crate) items: Vec<OpenSession>,
    /// The cursor of the next page; null when this is the last one.
    #[oai(nullable)]
    pub(crate) next: Option<String>,
}

impl OpenSessionList {
    pub(crate) fn of(page: store::Page<NamedSession>, asking: &session::Session) -> Self {
        let items = page.items.iter().map(|open| OpenSession::of(open, asking)).collect();
        Self { items, next: list::cursor(page.next) }
    }
}

/// The names of permissions, for answers.
pub(crate) fn names<'a>(permissions: impl IntoIterator<Item = &'a Permission>) -> Vec<String> {
    permissions.into_iter().map(|permission| permission.as_str().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use poem_openapi::types::{Example as _, ToJSON as _};

    use super::Session;

    #[test]
    fn a_session_is_written_as_its_schema_says() {
        let empty =
            Session { id: None, user: None, issued_at: None, expires_at: None, ends_at: None, ..Session::example() };
        for session in [Session::example(), empty] {
            assert_eq!(serde_json::to_string(&session).unwrap(), session.to_json_string());
        }
    }
}
