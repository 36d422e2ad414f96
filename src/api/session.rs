//! The session itself: its data, its expiry, its renewal, its end.

use poem::Request;
use poem::web::Data;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::types::{Any, Example};
use poem_openapi::{ApiResponse, Enum, Object, OpenApi};
use serde_json::Value;

use crate::api::Group;
use crate::api::body::Body;
use crate::api::caller::{Caller, client};
use crate::api::json::{AnyObject, Time, Written};
use crate::api::problem::Problem;
use crate::api::shown::Session;
use crate::api::visit::{Repeats, Visit};
use crate::claims::{Claims, Expiry};
use crate::error::Error;
use crate::session;

/// A session, with its entity tag.
#[derive(ApiResponse)]
pub enum SessionReply {
    /// The session.
    #[oai(status = 200)]
    Ok(
        Written<Session>,
        /// Names this state of the session, for `If-Match`; absent before the first write.
        #[oai(header = "ETag")]
        Option<String>,
    ),
}

/// There is nothing more to say.
#[derive(ApiResponse)]
pub enum Done {
    /// It is gone.
    #[oai(status = 204)]
    Gone,
}

/// A value of the session's data.
#[derive(Object)]
#[oai(example)]
pub struct DataValue {
    /// The key.
    key: String,
    /// The value; the default when there is none, and null without a default.
    value: Any<Value>,
    /// Whether the key is there.
    found: bool,
}

impl Example for DataValue {
    fn example() -> Self {
        Self { key: "theme".to_owned(), value: Any("dark".into()), found: true }
    }
}

/// A value to keep.
#[derive(Object)]
#[oai(example)]
pub struct NewValue {
    /// Any JSON value.
    value: Any<Value>,
}

impl Example for NewValue {
    fn example() -> Self {
        Self { value: Any("dark".into()) }
    }
}

/// When a session ends for want of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub enum ExpiryKind {
    /// After the server's usual time of inactivity.
    Default,
    /// After `seconds` of inactivity.
    Inactivity,
    /// At the instant `at`.
    Instant,
    /// When the browser closes.
    Browser,
}

/// When the session ends. Never later than the session's absolute end.
#[derive(Object)]
#[oai(example)]
pub struct NewExpiry {
    /// Which rule.
    kind: ExpiryKind,
    /// For `inactivity`: how many seconds.
    seconds: Option<u32>,
    /// For `instant`: when.
    at: Option<Time>,
}

impl Example for NewExpiry {
    fn example() -> Self {
        Self { kind: ExpiryKind::Inactivity, seconds: Some(1800), at: None }
    }
}

impl NewExpiry {
    fn rule(&self) -> Result<Expiry, Error> {
        match (self.kind, self.seconds, self.at) {
            (ExpiryKind::Default, None, None) => Ok(Expiry::Default),
            (ExpiryKind::Browser, None, None) => Ok(Expiry::Browser),
            (ExpiryKind::Inactivity, Some(seconds), None) => Ok(Expiry::Inactivity(seconds)),
            (ExpiryKind::Instant, None, Some(at)) => Ok(Expiry::At(at.0.timestamp())),
            (ExpiryKind::Inactivity, None, _) => Err(Error::invalid("seconds", "missing", "inactivity needs seconds")),
            (ExpiryKind::Instant, _, None) => Err(Error::invalid("at", "missing", "instant needs at")),
            (ExpiryKind::Inactivity | ExpiryKind::Default | ExpiryKind::Browser, _, Some(_)) => {
                Err(Error::invalid("at", "unexpected", "only instant takes at"))
            }
            (_, Some(_), _) => Err(Error::invalid("seconds", "unexpected", "only inactivity takes seconds")),
        }
    }
}

/// Session operations.
pub struct SessionApi;

/// Goes on with the next issue of the session, and shows it.
fn kept(visit: &Visit, session: session::Session) -> SessionReply {
    let reply = shown(&session);
    visit.keep(session);
    reply
}

fn shown(session: &session::Session) -> SessionReply {
    SessionReply::Ok(Written(Session::of(session)), session.claims().map(Claims::etag))
}

#[OpenApi(tag = "Group::Session")]
impl SessionApi {
    /// Show the session
    ///
    /// Without a cookie it is the empty session, and none is made.
    #[oai(path = "/v1/session", method = "get", operation_id = "get_session")]
    async fn get_session(&self, visit: Data<&Visit>, caller: Caller) -> SessionReply {
        visit.repeats(Repeats::Always);
        shown(&caller)
    }

    /// Replace the session's data
    ///
    /// The body is the data itself. The first write begins an anonymous session.
    #[oai(path = "/v1/session", method = "put", operation_id = "replace_session")]
    async fn replace_session(
        &self,
        visit: Data<&Visit>,
        caller: Caller,
        /// The entity tag of the state that the change was made from.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        Body(data): Body<AnyObject>,
    ) -> Result<SessionReply, Problem> {
        let next = session::write(visit.app(), &caller, if_match.as_deref(), |claims| claims.data = data.0)?;
        Ok(kept(&visit, next))
    }

    /// Merge into the session's data
    ///
    /// A JSON merge patch (RFC 7396): members replace or merge, `null` removes. Independent keys do not collide.
    #[oai(path = "/v1/session", method = "patch", operation_id = "update_session")]
    async fn update_session(
        &self,
        visit: Data<&Visit>,
        caller: Caller,
        /// The entity tag of the state that the change was made from.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        Body(patch): Body<AnyObject>,
    ) -> Result<SessionReply, Problem> {
        let merge = |claims: &mut Claims| session::merge(&mut claims.data, patch.0);
        Ok(kept(&visit, session::write(visit.app(), &caller, if_match.as_deref(), merge)?))
    }

    /// Flush the session
    ///
    /// Ends it, data and log-in together: every token of it is dead from the next request on.
    #[oai(path = "/v1/session", method = "delete", operation_id = "delete_session")]
    async fn delete_session(&self, visit: Data<&Visit>, caller: Caller, request: &Request) -> Result<Done, Problem> {
        session::end(visit.app(), &caller, &client(request)).await?;
        if caller.claims().is_some() {
            visit.clear();
        }
        Ok(Done::Gone)
    }

    /// Read a value
    ///
    /// A key that is not there gives `default`, or null, and `found` says so.
    #[oai(path = "/v1/session/data/:key", method = "get", operation_id = "get_session_data")]
    async fn get_session_data(
        &self,
        caller: Caller,
        /// The key.
        key: Path<String>,
        /// The value to answer when the key is not there: taken as JSON, or as a text when it is no JSON.
        default: Query<Option<String>>,
    ) -> Json<DataValue> {
        let found = caller.get(&key).cloned();
        let is_found = found.is_some();
        let default = || default.0.map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text)));
        let value = found.or_else(default).unwrap_or_default();
        Json(DataValue { key: key.0, value: Any(value), found: is_found })
    }

    /// Keep a value
    ///
    /// The first write begins an anonymous session. The other keys stay as they are.
    #[oai(path = "/v1/session/data/:key", method = "put", operation_id = "set_session_data")]
    async fn set_session_data(
        &self,
        visit: Data<&Visit>,
        caller: Caller,
        /// The key.
        key: Path<String>,
        Body(new): Body<NewValue>,
    ) -> Result<Json<DataValue>, Problem> {
        let Any(value) = new.value;
        let set = |claims: &mut Claims| drop(claims.data.insert(key.0.clone(), value.clone()));
        visit.keep(session::write(visit.app(), &caller, None, set)?);
        Ok(Json(DataValue { key: key.0, value: Any(value), found: true }))
    }

    /// Delete a value
    ///
    /// Succeeds also when the key is not there.
    #[oai(path = "/v1/session/data/:key", method = "delete", operation_id = "delete_session_data")]
    async fn delete_session_data(
        &self,
        visit: Data<&Visit>,
        caller: Caller,
        /// The key.
        key: Path<String>,
    ) -> Result<Done, Problem> {
        if caller.get(&key).is_some() {
            let remove = |claims: &mut Claims| drop(claims.data.remove(&key.0));
            visit.keep(session::write(visit.app(), &caller, None, remove)?);
        }
        Ok(Done::Gone)
    }

    /// Set when the session ends
    ///
    /// After so many seconds without use, at an instant, when the browser closes, or as the server has it. Never later than the
    /// absolute end.
    #[oai(path = "/v1/session/expiry", method = "put", operation_id = "set_session_expiry")]
    async fn set_session_expiry(
        &self,
        visit: Data<&Visit>,
        caller: Caller,
        Body(expiry): Body<NewExpiry>,
    ) -> Result<SessionReply, Problem> {
        let next = session::set_expiry(visit.app(), &caller, expiry.rule()?)?;
        Ok(kept(&visit, next))
    }

    /// Renew the session
    ///
    /// A new token of the same session, valid for its full time of inactivity. Needs a session.
    #[oai(path = "/v1/session/renew", method = "post", operation_id = "renew_session")]
    async fn renew_session(&self, visit: Data<&Visit>, caller: Caller) -> Result<SessionReply, Problem> {
        let next = session::renew(visit.app(), &caller)?;
        Ok(kept(&visit, next))
    }
}
