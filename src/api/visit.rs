//! The visit: the record of one request, from its arrival to its answer.
//!
//! Owns who was found to be calling, what was asked of them, and what the answer has to set. `front.rs` opens and
//! closes it, the guards of `caller.rs` ask it, operations tell it what they go on with.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use poem::Request;
use poem::http::HeaderValue;

use crate::api::cookie;
use crate::api::origin::Origins;
use crate::api::proxies::Proxies;
use crate::app::App;
use crate::error::Error;
use crate::session::{self, Session};

/// What a guard asks of a session.
pub(crate) type Demand = fn(&Session) -> Result<(), Error>;

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
    outcome: Mutex<Outcome>,
}

/// What a visit has come to.
#[derive(Default)]
pub(crate) struct Outcome {
    /// The session in force, once somebody asked for it.
    pub(crate) session: Option<Session>,
    /// The session's cookie has to go.
    pub(crate) clear: bool,
    /// Other cookies to set.
    pub(crate) cookies: Vec<HeaderValue>,
    /// What was asked of the session while a body was still to come.
    demands: Vec<Demand>,
}

impl Visit {
    pub(crate) fn new(app: App, settings: Arc<Settings>) -> Self {
        let (found, found_again) = (OnceLock::new(), OnceLock::new());
        Self(Arc::new(Record { app, settings, found, found_again, outcome: Mutex::default() }))
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

    /// Looks again when the body has arrived: it may have taken its time, and what was ended or taken away meanwhile
    /// must not act.
    ///
    /// # Errors
    /// As [`session::authenticate`], and what the guards' demands refuse now.
    pub(crate) async fn look_again(&self, request: &Request) -> Result<(), Error> {
        let Some(before) = self.session() else { return Ok(()) };
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
