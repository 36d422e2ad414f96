//! The visit: the record of one request, from its arrival to its answer.
//!
//! Owns who was found to be calling, what was asked of them, and what the answer has to set. `front.rs` opens and
//! closes it, the guards of `caller.rs` ask it, operations tell it what they go on with.

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};

use poem::Request;
use poem::http::{HeaderValue, Method};
use poem_openapi::OpenApi;

use crate::api::origin::Origins;
use crate::api::proxies::Proxies;
use crate::api::scrape::Scrape;
use crate::api::{authorization, cookie};
use crate::api_token::{self, Bearer};
use crate::app::App;
use crate::error::{Error, TokenFault};
use crate::rights::Holder;
use crate::session::{self, Session};

/// What a guard asks of a session.
pub(crate) type Demand = fn(&Session) -> Result<(), Error>;

/// What a guard asks of whoever holds rights.
pub(crate) type HolderDemand = fn(&dyn Holder) -> Result<(), Error>;

/// What a deployment sets for requests.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The origins whose pages may call.
    pub origins: Origins,
    /// Whether browsers are told to come by https only (RFC 6797), for a year, subdomains included.
    pub https_only: bool,
    /// The proxies that are believed when they say whose request it is.
    pub proxies: Proxies,
    /// The page to log in at, as a URL or an absolute path; `None` when proxies have one of their own.
    pub login_url: Option<String>,
    /// Who may read what is measured.
    pub metrics: Scrape,
    /// Whether there are the pages of administration, at `/admin`.
    pub admin: bool,
}

/// The operations that are told apart where requests are counted: all of Signet's, and two places for what is none.
pub(crate) static OPERATIONS: LazyLock<Vec<Named>> = LazyLock::new(|| {
    let ours = |id| Named { path: String::new(), method: Method::GET, id };
    [ours("other"), ours("get_metrics")].into_iter().chain(named(&crate::api::operations())).collect()
});

/// An operation's path as the routes know it, its method and its id.
pub(crate) struct Named {
    path: String,
    method: Method,
    id: &'static str,
}

fn named<T: OpenApi>(_: &T) -> Vec<Named> {
    let paths = T::meta().into_iter().flat_map(|api| api.paths);
    let of_path = |path: poem_openapi::registry::MetaPath| {
        let route = route(&path.path);
        let name = move |operation: poem_openapi::registry::MetaOperation| {
            Some(Named { path: route.clone(), method: operation.method, id: operation.operation_id? })
        };
        path.operations.into_iter().filter_map(name).collect::<Vec<_>>()
    };
    paths.flat_map(of_path).collect()
}

/// The path of the API document as the framework's routes spell it: parameters are numbered.
fn route(path: &str) -> String {
    let mut count = 0;
    let part = |part: &str| {
        if !part.starts_with('{') {
            return part.to_owned();
        }
        count += 1;
        format!(":param{}", count - 1)
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// An operation, by its place in [`OPERATIONS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Operation(u16);

impl Operation {
    /// What is none of Signet's operations.
    const OTHER: Self = Self(0);
    /// Reading what is measured.
    pub(crate) const METRICS: Self = Self(1);

    /// The operation at a path of the routes.
    pub(crate) fn at(path: &str, method: &Method) -> Self {
        let place = OPERATIONS.iter().position(|known| known.path == path && known.method == *method);
        place.and_then(|place| u16::try_from(place).ok()).map_or(Self::OTHER, Self)
    }

    /// Its place in the list.
    pub(crate) fn place(self) -> usize {
        usize::from(self.0)
    }

    /// Its id.
    pub(crate) fn name(self) -> &'static str {
        OPERATIONS.get(self.place()).map_or("other", |known| known.id)
    }
}

/// One request. Clones are the same visit.
#[derive(Clone)]
pub struct Visit(Arc<Record>);

struct Record {
    app: App,
    settings: Arc<Settings>,
    /// The session that the request's cookie is of.
    found: OnceLock<Session>,
    /// The same, when it was others when the body had arrived.
    found_again: OnceLock<Session>,
    /// The API token that the request came with, when an operation takes one; and the same when the body had arrived.
    bearer: OnceLock<Bearer>,
    bearer_again: OnceLock<Bearer>,
    /// The place of the operation that it came to.
    operation: AtomicU16,
    outcome: Mutex<Outcome>,
}

/// What a visit has come to.
#[derive(Default)]
pub(crate) struct Outcome {
    /// The session in force, once somebody asked for it.
    pub(crate) session: Option<Session>,
    /// The session's cookie has to go.
    pub(crate) clear: bool,
    /// An API token was looked at: the answer is for its holder alone.
    pub(crate) is_private: bool,
    /// Whether and when the answer can be given again.
    pub(crate) repeats: Option<Repeats>,
    /// Other cookies to set.
    pub(crate) cookies: Vec<HeaderValue>,
    /// What was asked of the session while a body was still to come.
    demands: Vec<Demand>,
    /// What was asked of a session or an API token meanwhile.
    holder_demands: Vec<HolderDemand>,
}

/// When an answer can be given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeats {
    /// Whenever the same is asked.
    Always,
    /// When the cross-site rule lets the request pass that a proxy asks about.
    ForProxies,
}

impl Visit {
    pub(crate) fn new(app: App, settings: Arc<Settings>) -> Self {
        let (found, found_again) = (OnceLock::new(), OnceLock::new());
        let (bearer, bearer_again) = (OnceLock::new(), OnceLock::new());
        let (operation, outcome) = (AtomicU16::new(Operation::OTHER.0), Mutex::default());
        Self(Arc::new(Record { app, settings, found, found_again, bearer, bearer_again, operation, outcome }))
    }

    /// The request came to this operation.
    pub(crate) fn runs(&self, operation: Operation) {
        self.0.operation.store(operation.0, Ordering::Relaxed);
    }

    /// The operation that the request came to.
    pub(crate) fn operation(&self) -> Operation {
        Operation(self.0.operation.load(Ordering::Relaxed))
    }

    /// Another visit, at which nobody was found yet.
    pub(crate) fn afresh(&self) -> Self {
        Self::new(self.0.app.clone(), Arc::clone(&self.0.settings))
    }

    /// Signet.
    #[must_use]
    pub fn app(&self) -> &App {
        &self.0.app
    }

    /// What the deployment sets.
    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    fn with<T>(&self, act: impl FnOnce(&mut Outcome) -> T) -> T {
        act(&mut self.0.outcome.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Goes on with this session: a successful answer gives its cookie to the client.
    pub fn keep(&self, session: Session) {
        self.with(|outcome| outcome.session = Some(session));
    }

    /// A successful answer to this request rests on nothing but its path, its query, the session's token and what groups
    /// grant: it may be given again to the same token.
    pub(crate) fn repeats(&self, when: Repeats) {
        self.with(|outcome| outcome.repeats = Some(when));
    }

    /// Takes the session's cookie away with the answer.
    pub(crate) fn clear(&self) {
        self.with(|outcome| {
            outcome.session = None;
            outcome.clear = true;
        });
    }

    /// Sets another cookie with the answer.
    pub(crate) fn set_cookie(&self, line: HeaderValue) {
        self.with(|outcome| outcome.cookies.push(line));
    }

    pub(crate) fn close(&self) -> Outcome {
        self.with(std::mem::take)
    }

    /// The session that was found; `None` before anybody asked.
    pub(crate) fn session(&self) -> Option<&Session> {
        self.0.found_again.get().or_else(|| self.0.found.get())
    }

    /// Finds the session of the request's cookie, once, and asks something of it.
    ///
    /// # Errors
    /// As [`session::authenticate`], and what the demand refuses.
    pub(crate) async fn admit(&self, request: &Request, demand: Demand) -> Result<(), Error> {
        if self.session().is_none() {
            let session = self.authenticate(request).await?;
            self.keep(session.clone());
            // Whoever came first has found the same.
            drop(self.0.found.set(session));
        }
        if !request.method().is_safe() {
            self.with(|outcome| outcome.demands.push(demand));
        }
        self.session().map_or(Ok(()), demand)
    }

    /// Whoever was found by [`Visit::admit_holder`].
    pub(crate) fn holder(&self) -> Option<&(dyn Holder + 'static)> {
        let bearer = self.0.bearer_again.get().or_else(|| self.0.bearer.get());
        bearer.map(|bearer| bearer as _).or_else(|| self.session().map(|session| session as _))
    }

    /// Finds the session of the request's cookie or, without a cookie of ours, its API token, and asks something of it.
    ///
    /// # Errors
    /// As [`Visit::admit`] and [`api_token::authenticate`], and what the demand refuses.
    pub(crate) async fn admit_holder(&self, request: &Request, demand: HolderDemand) -> Result<(), Error> {
        match self.bearer(request).await? {
            // Whoever came first has found the same.
            Some(bearer) => {
                self.with(|outcome| outcome.is_private = true);
                drop(self.0.bearer.set(bearer));
            }
            None => self.admit(request, |_| Ok(())).await?,
        }
        if !request.method().is_safe() {
            self.with(|outcome| outcome.holder_demands.push(demand));
        }
        self.holder().map_or(Ok(()), demand)
    }

    /// The API token of a request without a cookie of ours, as it is now. The cookie comes first, dead or alive: what a
    /// browser attaches by itself is judged by the rules for it, whatever else a page adds.
    async fn bearer(&self, request: &Request) -> Result<Option<Bearer>, Error> {
        if cookie::find(request.headers(), cookie::SESSION)?.is_some() {
            return Ok(None);
        }
        match authorization::bearer(request.headers()) {
            Some(text) => api_token::authenticate(&self.0.app, text).await.map(Some),
            None => Ok(None),
        }
    }

    /// Looks again when the body has arrived: it may have taken its time, and what was ended or taken away meanwhile
    /// must not act.
    ///
    /// # Errors
    /// As [`session::authenticate`], and what the guards' demands refuse now.
    pub(crate) async fn look_again(&self, request: &Request) -> Result<(), Error> {
        if let Some(before) = self.0.bearer.get() {
            let now = self.bearer(request).await?.ok_or(Error::NotAuthenticated(TokenFault::Anonymous))?;
            if !now.agrees_with(before) {
                drop(self.0.bearer_again.set(now));
            }
        }
        self.look_again_at_session(request).await?;
        let holder_demands = self.with(|outcome| outcome.holder_demands.clone());
        self.holder().map_or(Ok(()), |holder| holder_demands.iter().try_for_each(|demand| demand(holder)))
    }

    async fn look_again_at_session(&self, request: &Request) -> Result<(), Error> {
        let Some(before) = self.session() else { return Ok(()) };
        if before.stands(self.app()) {
            return Ok(());
        }
        let now = self.authenticate(request).await?;
        if now.agrees_with(before) {
            return Ok(());
        }
        for demand in self.with(|outcome| outcome.demands.clone()) {
            demand(&now)?;
        }
        self.keep(now.clone());
        // A request has one body, so this is the one time.
        drop(self.0.found_again.set(now));
        Ok(())
    }

    /// The session of the request's cookie as it is now.
    ///
    /// # Errors
    /// As [`session::authenticate`], and for a second cookie of the name.
    pub(crate) async fn authenticate(&self, request: &Request) -> Result<Session, Error> {
        let token = cookie::find(request.headers(), cookie::SESSION)?;
        session::authenticate(&self.0.app, token).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use poem_openapi::OpenApi as _;

    use super::{OPERATIONS, Operation};

    #[test]
    fn every_operation_is_known_where_it_is_routed() {
        let mut table = HashMap::new();
        crate::api::operations().add_routes(&mut table);
        let mut places = Vec::new();
        for (path, methods) in &table {
            for method in methods.keys() {
                let operation = Operation::at(path, method);
                assert_ne!(operation, Operation::OTHER, "{method} {path}");
                places.push(operation.place());
            }
        }
        places.sort_unstable();
        assert_eq!(places, (2..OPERATIONS.len()).collect::<Vec<_>>());
    }
}
