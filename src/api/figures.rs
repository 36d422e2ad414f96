//! What the server is doing, in numbers, for the pages of administration.
//!
//! Owns no counter: all of it is counted for `/metrics` anyway, and read when somebody asks.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use poem::web::Data;
use poem_openapi::payload::Json;
use poem_openapi::registry::MetaOperation;
use poem_openapi::types::Example;
use poem_openapi::{Enum, Object, OpenApi};

use crate::api::Group;
use crate::api::caller::StaffRequired;
use crate::api::json::Time;
use crate::api::problem::Problem;
use crate::api::visit::Visit;
use crate::app::App;
use crate::claims::instant;

/// Where everything durable is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub enum StoreKind {
    /// In a folder of this server, which has it alone.
    Embedded,
    /// On a PostgreSQL that several nodes share.
    Postgres,
}

/// Log-ins since the start.
#[derive(Debug, Clone, Object)]
pub struct LoginFigures {
    /// Those that were let in.
    succeeded: u64,
    /// Those that were refused.
    failed: u64,
}

/// The threads that hash passwords.
#[derive(Debug, Clone, Object)]
pub struct PoolFigures {
    /// How many there are.
    workers: u64,
    /// How many of them are hashing.
    busy: u64,
    /// Passwords that wait for one of them.
    waiting: u64,
}

/// A key.
#[derive(Debug, Clone, Object)]
pub struct KeyFigures {
    /// Its name.
    kid: String,
    /// What it is used for: `signs`, `could_sign` or `verifies`; `seals`, `could_seal` or `opens`.
    state: String,
    /// How long ago it was made; null where that is not known.
    #[oai(nullable)]
    age_seconds: Option<u64>,
}

/// What the server is doing, in numbers. What is counted is counted since its start.
#[derive(Debug, Clone, Object)]
#[oai(example)]
pub struct Figures {
    /// The version of the program.
    version: String,
    /// What the shared store calls this node, until it is started again; null when the store is not shared.
    #[oai(nullable)]
    node: Option<String>,
    /// How long ago the server was started.
    uptime_seconds: u64,
    /// Requests that were answered with success by an operation that looks at the session or the API token they come
    /// with; entering and leaving is not among them.
    verified_requests: u64,
    /// Log-ins.
    logins: LoginFigures,
    /// What was ended before its time and is remembered: sessions, API tokens, and users whose older tokens ended.
    revocations: u64,
    /// The threads that hash passwords.
    pool: PoolFigures,
    /// How long what other nodes have changed may be unknown here: 0 when the store is not shared, null before anything
    /// was heard from it.
    #[oai(nullable)]
    staleness_seconds: Option<f64>,
    /// Where everything durable is kept.
    store: StoreKind,
    /// The keys, those for signatures first.
    keys: Vec<KeyFigures>,
    /// When this was so.
    at: Time,
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

impl Figures {
    fn of(app: &App) -> Self {
        let now = app.now();
        let figures = app.figures();
        let since = |then: DateTime<Utc>| u64::try_from((now - then).num_seconds()).unwrap_or(0);
        let keyring = app.tokens().keyring();
        let keys = keyring.inventory().map(|key| KeyFigures {
            kid: key.kid.to_owned(),
            state: key.role.name().to_owned(),
            age_seconds: key.created.map(since),
        });
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: since(figures.started),
            verified_requests: app.meters().requests.sum(is_verified),
            logins: LoginFigures { succeeded: figures.log_ins, failed: figures.log_ins_refused },
            revocations: count(figures.revocations),
            pool: PoolFigures {
                workers: count(figures.pool.workers),
                busy: figures.pool.busy,
                waiting: figures.pool.waiting,
            },
            staleness_seconds: figures.staleness.map(|staleness| staleness.as_secs_f64()),
            store: if figures.node.is_some() { StoreKind::Postgres } else { StoreKind::Embedded },
            node: figures.node,
            keys: keys.collect(),
            at: Time(now),
        }
    }
}

impl Example for Figures {
    fn example() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node: None,
            uptime_seconds: 86_400,
            verified_requests: 1_250_000,
            logins: LoginFigures { succeeded: 3_120, failed: 41 },
            revocations: 57,
            pool: PoolFigures { workers: 2, busy: 1, waiting: 0 },
            staleness_seconds: Some(0.0),
            store: StoreKind::Embedded,
            keys: vec![KeyFigures {
                kid: "20261122T120000Z".to_owned(),
                state: "signs".to_owned(),
                age_seconds: Some(172_800),
            }],
            at: Time(instant(1_900_000_000)),
        }
    }
}

/// Whether a series of requests is of those that came with something to verify, and passed.
fn is_verified(labels: &[(&str, &str)]) -> bool {
    static LOOKING: LazyLock<HashSet<&'static str>> = LazyLock::new(|| looking(&crate::api::operations()));
    let has =
        |wanted: &str, fits: &dyn Fn(&str) -> bool| labels.iter().any(|(label, value)| *label == wanted && fits(value));
    has("status", &|status| status == "2xx") && has("operation", &|operation| LOOKING.contains(operation))
}

/// The operations that look at who is calling. Those of an account that take anybody are ways in and out.
fn looking<T: OpenApi>(_: &T) -> HashSet<&'static str> {
    let operations = T::meta().into_iter().flat_map(|api| api.paths).flat_map(|path| path.operations);
    let looks = |operation: &MetaOperation| {
        let takes_anybody = operation.security.iter().any(HashMap::is_empty);
        let asks = !operation.security.iter().all(HashMap::is_empty);
        asks && !(takes_anybody && operation.tags.contains(&"Account"))
    };
    operations.filter(looks).filter_map(|operation| operation.operation_id).collect()
}

/// The operation on figures.
pub struct FiguresApi;

#[OpenApi(tag = "Group::Machine")]
impl FiguresApi {
    /// Show what the server is doing
    ///
    /// Numbers of this very server, since its start. For staff; Prometheus reads `/metrics`.
    #[oai(path = "/v1/figures", method = "get", operation_id = "get_figures")]
    async fn get_figures(&self, visit: Data<&Visit>, _staff: StaffRequired) -> Result<Json<Figures>, Problem> {
        Ok(Json(Figures::of(visit.app())))
    }
}
