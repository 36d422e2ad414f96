//! My devices: the open sessions of whoever is logged in.

use poem::Request;
use poem::web::Data;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Enum, OpenApi};

use crate::account;
use crate::api::Group;
use crate::api::caller::{LoginRequired, client};
use crate::api::list::slice;
use crate::api::problem::Problem;
use crate::api::session::Done;
use crate::api::shown::DeviceList;
use crate::api::visit::Visit;
use crate::error::Error;
use crate::session;

/// Which session stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub enum Keep {
    /// The one that asks.
    Current,
}

/// Device operations.
pub struct SessionsApi;

#[OpenApi(tag = "Group::Devices")]
impl SessionsApi {
    /// List my devices
    ///
    /// The sessions in which you are logged in, the newest first; `current` marks the one that asks. In pages: `next` is
    /// the `cursor` of the page that follows, null on the last. A page may be empty and still have a next one.
    #[oai(path = "/v1/sessions", method = "get", operation_id = "list_sessions")]
    async fn list_sessions(
        &self,
        visit: Data<&Visit>,
        caller: LoginRequired,
        /// The `next` of the page before.
        cursor: Query<Option<String>>,
        /// Sessions on a page: 1 to 200; 50 when it is left out.
        limit: Query<Option<u32>>,
    ) -> Result<Json<DeviceList>, Problem> {
        let slice = slice(None, cursor.as_deref(), limit.0)?;
        let page = session::devices(visit.app(), caller.id()?, slice).await?;
        Ok(Json(DeviceList::of(page, &caller)))
    }

    /// Log out one device
    ///
    /// Somebody else's session is as good as none: 404.
    #[oai(path = "/v1/sessions/:sid", method = "delete", operation_id = "delete_session_by_id")]
    async fn delete_session_by_id(
        &self,
        visit: Data<&Visit>,
        caller: LoginRequired,
        request: &Request,
        /// The session.
        sid: Path<String>,
    ) -> Result<Done, Problem> {
        let id = sid.parse().map_err(|_| Error::NotFound("session"))?;
        session::end_one(visit.app(), &caller, id, &client(request)).await?;
        if caller.claims().is_some_and(|claims| claims.sid == id) {
            visit.clear();
        }
        Ok(Done::Gone)
    }

    /// Log out everywhere
    ///
    /// All sessions and API tokens of the account end; with `keep=current` the session that asks goes on with a new
    /// cookie.
    #[oai(path = "/v1/sessions", method = "delete", operation_id = "delete_sessions")]
    async fn delete_sessions(
        &self,
        visit: Data<&Visit>,
        caller: LoginRequired,
        request: &Request,
        /// Which session stays; none without it.
        keep: Query<Option<Keep>>,
    ) -> Result<Done, Problem> {
        match account::end_own_sessions(visit.app(), &caller, keep.is_some(), &client(request)).await? {
            Some(session) => visit.keep(session),
            None => visit.clear(),
        }
        Ok(Done::Gone)
    }
}
