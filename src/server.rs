//! The server: bind, run, stop. And what runs beside the requests.
//!
//! Owns the order of starting: the address is taken before anything is made, what is there is judged before it is
//! added to, and the first request is served when every revocation is in memory.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use chrono::Utc;
use poem::EndpointExt as _;
use poem::listener::BoxAcceptor;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::account;
use crate::api::front::{Front, Settings};
use crate::api::origin::Origins;
use crate::api::scrape::Scrape;
use crate::app::{App, Parts};
use crate::audit::{self, Event, Sink};
use crate::config::{Config, Tls};
use crate::connection;
use crate::mail::{Links, Post};
use crate::metrics::gauge;
use crate::password::Password;
use crate::store::SharedStore;
use crate::store::embedded::Embedded;
use crate::store::postgres::Postgres;

mod keyring;

/// How long running requests may take after the signal to stop.
const DRAIN: Duration = Duration::from_secs(10);

/// How long mails that are on their way may take after that.
const DRAIN_MAIL: Duration = Duration::from_secs(5);

/// Connections at once to read what is measured.
const READERS_MAX: usize = 64;

/// Why the server could not start or go on: what, why, and how to mend it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CannotServe(String);

fn cannot(what: impl std::fmt::Display) -> CannotServe {
    CannotServe(what.to_string())
}

/// A server that is bound and loaded, and serves when it is run.
pub struct Server {
    app: App,
    acceptor: BoxAcceptor,
    address: SocketAddr,
    base: String,
    settings: Settings,
    keys: keyring::Folder,
    hangup: Signal,
    admin_password: Option<Password>,
    mail: String,
    metrics: Option<Metrics>,
    stop_delay: Duration,
    most: usize,
}

/// The listener for whoever reads what is measured.
struct Metrics {
    acceptor: BoxAcceptor,
    address: SocketAddr,
    scrape: Scrape,
}

impl Metrics {
    async fn start(listen: &str, scrape: Scrape) -> Result<Self, CannotServe> {
        let (listener, address) = bind("metrics-listen", listen).await?;
        let uncounted = gauge("signet_metrics_connections", "Connections that are open to read this");
        let acceptor = connection::acceptor(listener, &Tls::Off, Path::new(""), &uncounted).map_err(cannot)?;
        // A token that was given is asked for everywhere.
        let scrape = if matches!(scrape, Scrape::Closed) { Scrape::Open } else { scrape };
        Ok(Self { acceptor, address, scrape })
    }

    /// Serves until it is dropped.
    async fn serve(self, app: App) {
        let settings = Settings { metrics: self.scrape, ..Settings::default() };
        let endpoint = crate::api::metrics::alone().with(Front::new(app, settings));
        connection::run(self.acceptor, endpoint, READERS_MAX, std::future::pending(), DRAIN).await;
    }
}

/// Takes the address that a flag names.
async fn bind(flag: &str, listen: &str) -> Result<(tokio::net::TcpListener, SocketAddr), CannotServe> {
    let listener = tokio::net::TcpListener::bind(listen).await;
    let listener = listener.map_err(|e| {
        cannot(format!("cannot listen on {listen}: {e}; stop what listens there, or give another --{flag}"))
    })?;
    let address = listener.local_addr().map_err(cannot)?;
    Ok((listener, address))
}

impl Server {
    /// Binds, makes what is missing (a key, the store, the first superuser), and loads the state.
    ///
    /// # Errors
    /// When the address is taken, a key is not sound, or the store does not open.
    pub async fn start(config: Config) -> Result<Self, CannotServe> {
        let (listener, address) = bind("listen", &config.listen).await?;
        let metrics = match &config.metrics_listen {
            Some(listen) => Some(Metrics::start(listen, config.metrics.clone()).await?),
            None => None,
        };
        let scheme = if config.tls == Tls::Off { "http" } else { "https" };
        let host = config.listen.rsplit_once(':').map_or("", |(host, _)| host);
        let base = match host {
            "localhost" => format!("{scheme}://localhost:{}", address.port()),
            _ => format!("{scheme}://{address}"),
        };
        if config.store.is_none()
            && let Some(refusal) = crate::import::refusal(&config.data)
        {
            return Err(cannot(refusal));
        }
        let most = connection::room(config.max_connections).map_err(cannot)?;
        let hangup = signal(SignalKind::hangup()).map_err(cannot)?;
        let (keyring, keys) = keyring::open(&config.keys, config.seal_data)?;
        let store: SharedStore = match &config.store {
            Some(address) => Arc::new(Postgres::open(address).await.map_err(cannot)?),
            None => Arc::new(Embedded::open(&config.data).map_err(cannot)?),
        };
        if let Some(refusal) = crate::import::refusal_of(&store).await.map_err(cannot)? {
            return Err(cannot(refusal));
        }
        let links = Links {
            origin: config.origins.first().unwrap_or(&base).clone(),
            reset_page: config.reset_page,
            verify_page: config.verify_page,
        };
        let mail = config.mail.to_string();
        let post = Post::open(&config.mail, config.mail_from, links).map_err(cannot)?;
        let parts = Parts {
            issuer: config.issuer,
            audience: config.audience,
            life: config.life,
            registration_open: config.registration_open,
            hash_cost: config.hash_cost,
            throttle: config.throttle,
            seal_data: config.seal_data,
            key_lead: config.key_lead,
            max_staleness: config.max_staleness,
            policy: config.policy,
            post: Some(post),
            audit: audit::Log { keep: config.audit_keep, sink: config.audit_stdout.then(|| lines(std::io::stdout())) },
            ..Parts::new(store, keyring, Arc::new(now))
        };
        let app = App::open(parts).await.map_err(cannot)?;
        app.hear().await.map_err(cannot)?;
        let given = config.admin_password.as_ref().map(|secret| secret.0.as_str());
        let admin_password = account::first_superuser(&app, given).await.map_err(cannot)?;
        let origins = if config.origins.is_empty() {
            let here = |host| format!("{scheme}://{host}:{}", address.port());
            ["localhost", "127.0.0.1", "[::1]"].map(here).into()
        } else {
            config.origins
        };
        // Not for the certificate made for localhost: browsers remember it for the host, not for the port.
        let https_only =
            config.tls != Tls::Dev && (scheme == "https" || origins.iter().all(|o| o.starts_with("https://")));
        let acceptor =
            connection::acceptor(listener, &config.tls, &config.keys, &app.meters().connections).map_err(cannot)?;
        Ok(Self {
            app,
            acceptor,
            address,
            base,
            settings: Settings {
                origins: Origins::new(origins),
                https_only,
                login_url: config.login_url,
                proxies: config.proxies,
                metrics: config.metrics,
                admin: config.admin,
            },
            keys,
            hangup,
            admin_password,
            mail,
            metrics,
            stop_delay: config.stop_delay,
            most,
        })
    }

    /// The address that is listened on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the server is found: scheme, host and port.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Whether there are the pages of administration.
    #[must_use]
    pub fn has_admin(&self) -> bool {
        self.settings.admin
    }

    /// Where mails go, for a person to look for them.
    #[must_use]
    pub fn mail(&self) -> &str {
        &self.mail
    }

    /// The address that is listened on for whoever reads what is measured.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|metrics| metrics.address)
    }

    /// The random password of the superuser `admin`, when one was made just now.
    #[must_use]
    pub fn admin_password(&self) -> Option<&Password> {
        self.admin_password.as_ref()
    }

    /// Serves until `stop` is done, then lets running requests finish. The keys are read again when their folder changes,
    /// and on SIGHUP.
    ///
    /// # Errors
    /// None at present.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), CannotServe> {
        let following = tokio::spawn(keyring::follow(self.keys, self.hangup, self.app.clone()));
        let app = self.app.clone();
        let calibrating = tokio::spawn(async move { app.calibrate().await });
        let measuring = self.metrics.map(|metrics| tokio::spawn(metrics.serve(self.app.clone())));
        let app = self.app.clone();
        let stop = async move {
            stop.await;
            app.prepare_to_stop();
            // Whoever asks whether the server is ready sends nobody here any more.
            if let Ok(told_again) = stop_signal() {
                drop(tokio::time::timeout(self.stop_delay, told_again).await);
            }
        };
        serve_at_most(self.most, self.app, self.acceptor, self.settings, stop).await;
        if let Some(measuring) = measuring {
            measuring.abort();
        }
        calibrating.abort();
        following.abort();
        Ok(())
    }
}

/// Serves all of Signet's operations on the connections, until `stop` is done, running requests have finished and
/// mails that are on their way have had a little time. At most [`connection::USUAL`] connections at once.
///
/// # Errors
/// None at present.
pub async fn serve(
    app: App,
    acceptor: BoxAcceptor,
    settings: Settings,
    stop: impl Future<Output = ()>,
) -> Result<(), CannotServe> {
    serve_at_most(connection::USUAL, app, acceptor, settings, stop).await;
    Ok(())
}

async fn serve_at_most(
    most: usize,
    app: App,
    acceptor: BoxAcceptor,
    settings: Settings,
    stop: impl Future<Output = ()>,
) {
    let tending = tokio::spawn(app.clone().tend());
    let endpoint = crate::api::routes().with(Front::new(app.clone(), settings).answering_again());
    let ending = app.clone();
    let stop = async move {
        stop.await;
        ending.prepare_to_stop();
        // Streams have no end of their own, and running requests are waited for.
        ending.revocations().feed().close();
    };
    connection::run(acceptor, endpoint, most, stop, DRAIN).await;
    if let Some(post) = app.post() {
        post.finish(DRAIN_MAIL).await;
    }
    tending.abort();
    if let Err(why) = app.settle().await {
        tracing::warn!(%why, "the latest counters of attempts could not be kept");
    }
}

/// Done at the next SIGTERM or Ctrl-C.
pub(crate) fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// The real clock, read nowhere else.
#[expect(clippy::disallowed_methods, reason = "the one place where the real clock is read")]
pub(crate) fn now() -> chrono::DateTime<Utc> {
    Utc::now()
}

/// Events that may wait for a slow reader of standard output.
const LINES_WAITING: usize = 10_000;

/// Writes each event as a line of JSON, on a thread of its own: whoever reads may be slow, and requests do not wait.
fn lines(mut out: impl Write + Send + 'static) -> Sink {
    let (sender, events) = mpsc::sync_channel::<Event>(LINES_WAITING);
    std::thread::spawn(move || {
        for event in events {
            let line = serde_json::to_string(&event).unwrap_or_default();
            // Nobody reads any more: the store has every event all the same.
            if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
                return;
            }
        }
    });
    Arc::new(move |event| {
        if sender.try_send(event.clone()).is_err() {
            tracing::warn!("an event of the audit log was not written to standard output; the store has it");
        }
    })
}
