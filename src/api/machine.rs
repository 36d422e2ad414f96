//! What machines ask for: the public keys, life and readiness, what a problem means.

use poem::web::Data;
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde_json::Value;

use crate::api::Group;
use crate::api::json::AnyObject;
use crate::api::problem::{Code, Problem};
use crate::api::visit::Visit;
use crate::error::Error;

/// How the server is.
#[derive(Object)]
#[oai(example)]
pub struct Health {
    /// Always `ok`; a server that is not says so with a problem.
    status: String,
}

impl Health {
    fn ok() -> Json<Self> {
        Json(Self { status: "ok".to_owned() })
    }
}

impl Example for Health {
    fn example() -> Self {
        Self { status: "ok".to_owned() }
    }
}

/// Public keys (RFC 7517, section 5).
#[derive(Object)]
pub struct KeySet {
    /// The keys that tokens may be signed with; secrets are never here.
    keys: Vec<AnyObject>,
}

/// Public keys, which may be kept for a while.
#[derive(ApiResponse)]
pub enum KeySetReply {
    /// The keys.
    #[oai(status = 200)]
    Ok(
        Json<KeySet>,
        /// For how long they may be kept.
        #[oai(header = "Cache-Control")]
        String,
    ),
}

/// What a kind of problem means.
#[derive(Object)]
#[oai(example)]
pub struct ProblemKind {
    /// The kind, as problems name it.
    code: Code,
    /// The HTTP status that goes with it.
    status: u16,
    /// What it means.
    title: String,
    /// How to mend it.
    remedy: String,
}

impl ProblemKind {
    fn of(code: Code) -> Self {
        Self { code, status: code.status().as_u16(), title: code.title().to_owned(), remedy: code.remedy().to_owned() }
    }
}

impl Example for ProblemKind {
    fn example() -> Self {
        Self::of(Code::NotAuthenticated)
    }
}

/// Machine operations.
pub struct MachineApi;

#[OpenApi(tag = "Group::Machine")]
impl MachineApi {
    /// Show the public keys
    ///
    /// As a JSON Web Key Set (RFC 7517): with it a service checks tokens by itself. Kept for as long as `Cache-Control` says.
    /// A session's claim `data` is an object, or a text where the server seals it: nobody else can read that.
    #[oai(path = "/.well-known/jwks.json", method = "get", operation_id = "get_jwks")]
    async fn get_jwks(&self, visit: Data<&Visit>) -> Result<KeySetReply, Problem> {
        let keys = visit.app().tokens().keyring().jwks().keys;
        let shown = keys.iter().filter_map(|key| match serde_json::to_value(key) {
            Ok(Value::Object(key)) => Some(AnyObject(key)),
            _ => None,
        });
        Ok(KeySetReply::Ok(Json(KeySet { keys: shown.collect() }), "public, max-age=300".to_owned()))
    }

    /// Tell whether the server lives
    ///
    /// 200 for as long as the process answers. It asks nothing of the store.
    #[oai(path = "/livez", method = "get", operation_id = "get_liveness")]
    async fn get_liveness(&self) -> Json<Health> {
        Health::ok()
    }

    /// Tell whether the server can do its work
    ///
    /// 503 while it cannot, or is about to stop; `errors` names each part that is not ready: `store`, `memory`,
    /// `following`, `passwords` or `server`.
    #[oai(path = "/readyz", method = "get", operation_id = "get_readiness")]
    async fn get_readiness(&self, visit: Data<&Visit>) -> Result<Json<Health>, Problem> {
        let lacking = visit.app().not_ready();
        if lacking.is_empty() { Ok(Health::ok()) } else { Err(Problem::not_ready(&lacking)) }
    }

    /// Explain a problem
    ///
    /// What the `type` of a problem leads to.
    #[oai(path = "/problems/:code", method = "get", operation_id = "get_problem_kind")]
    async fn get_problem_kind(
        &self,
        /// The kind, as problems name it.
        code: Path<String>,
    ) -> Result<Json<ProblemKind>, Problem> {
        let known = Code::ALL.iter().find(|known| known.name() == code.as_str());
        known.map(|code| Json(ProblemKind::of(*code))).ok_or_else(|| Error::NotFound("kind of problem").into())
    }
}
