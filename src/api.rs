//! HTTP: the list of operations, how they are reached, and the document that describes them.
//!
//! Owns no behaviour: each group of operations is a room below, and calls the rooms without HTTP.

use std::collections::HashMap;

use bytes::Bytes;
use poem::endpoint::BoxEndpoint;
use poem::http::{HeaderValue, Method, header};
use poem::{Endpoint, EndpointExt as _, Request, Response, Route};
use poem_openapi::__private::UrlQuery;
use poem_openapi::{OpenApi, Tags};

pub mod account;
pub mod admin;
mod again;
pub mod audit;
pub mod authorization;
pub mod bearer;
pub mod body;
pub mod caller;
pub mod cookie;
pub mod cookies;
pub mod docs;
pub mod document;
pub mod figures;
mod files;
pub mod front;
pub mod groups;
pub mod imports;
pub mod json;
pub mod list;
pub mod machine;
mod measure;
pub mod metrics;
pub mod origin;
pub mod pages;
pub mod permissions;
pub mod postman;
pub mod problem;
pub mod proxies;
pub mod recovery;
pub mod revocations;
pub mod rights;
pub mod scrape;
pub mod session;
pub mod sessions;
pub mod shown;
pub mod tokens;
pub mod users;
pub mod verify;
pub mod visit;

use problem::{Code, Problem};
use visit::{Operation, Visit};

/// The groups of operations, in the order in which a newcomer needs them.
#[derive(Debug, Clone, Copy, Tags)]
pub enum Group {
    /// Register, log in and out, one's own profile and password.
    Account,
    /// The session: its data, its expiry, its end.
    Session,
    /// The open sessions of whoever is logged in.
    Devices,
    /// Tokens for machines, which act in the name of whoever is logged in.
    Tokens,
    /// Signed preference cookies.
    Cookies,
    /// Asking for rights.
    Rights,
    /// Administration of users.
    Users,
    /// Administration of groups.
    Groups,
    /// Administration of the catalogue of permissions.
    Permissions,
    /// What was done, by whom, to what.
    Audit,
    /// What machines ask for.
    Machine,
}

/// The names of the groups, in their order.
pub const GROUPS: [&str; 11] = [
    "Account",
    "Session",
    "Devices",
    "Tokens",
    "Cookies",
    "Rights",
    "Users",
    "Groups",
    "Permissions",
    "Audit",
    "Machine",
];

/// All operations.
pub(crate) fn operations() -> impl OpenApi {
    (
        account::AccountApi,
        recovery::RecoveryApi,
        session::SessionApi,
        sessions::SessionsApi,
        tokens::TokensApi,
        cookies::CookiesApi,
        rights::RightsApi,
        verify::VerifyApi,
        users::UsersApi,
        imports::ImportsApi,
        groups::GroupsApi,
        permissions::PermissionsApi,
        audit::AuditApi,
        figures::FiguresApi,
        revocations::RevocationsApi,
        machine::MachineApi,
    )
}

/// All of Signet's routes, to be put behind [`front::Front`]. Programs that embed Signet add their own beside.
#[must_use]
pub fn routes() -> Route {
    let mut table: HashMap<String, HashMap<Method, BoxEndpoint<'static>>> = HashMap::new();
    operations().add_routes(&mut table);
    let place = |route: Route, (path, methods): (String, _)| {
        let resource = Resource::new(&path, methods);
        if path == proxies::VERIFY { route.at(path, verify::Plain(resource)) } else { route.at(path, resource) }
    };
    let route = table.into_iter().fold(Route::new(), place);
    metrics::add(admin::add(pages::add(docs::add(route))))
}

/// One path and its methods: what the framework's own routing by method does, and `Allow` where it is due.
struct Resource {
    methods: Vec<(Method, Operation, BoxEndpoint<'static>)>,
    allow: String,
}

impl Resource {
    fn new(path: &str, methods: HashMap<Method, BoxEndpoint<'static>>) -> Self {
        let mut names: Vec<&str> = methods.keys().map(Method::as_str).collect();
        if methods.contains_key(&Method::GET) {
            names.push("HEAD");
        }
        names.sort_unstable();
        let allow = names.join(", ");
        let named = |(method, endpoint)| {
            let operation = Operation::at(path, &method);
            (method, operation, endpoint)
        };
        Self { allow, methods: methods.into_iter().map(named).collect() }
    }
}

impl Endpoint for Resource {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let method = match *request.method() {
            Method::HEAD => &Method::GET,
            ref method => method,
        };
        let Some((_, operation, endpoint)) = self.methods.iter().find(|(known, ..)| known == method) else {
            return Err(Problem::method_not_allowed(&self.allow).into());
        };
        if let Some(visit) = request.extensions().get::<Visit>() {
            visit.runs(*operation);
        }
        let query = query(&request)?;
        request.extensions_mut().insert(UrlQuery(query));
        endpoint.call(request).await
    }
}

/// More parameters than any operation has.
const PARAMETERS_MAX: usize = 32;

/// The parameters of the query, each of them once.
fn query(request: &Request) -> Result<Vec<(String, String)>, Problem> {
    let Some(query) = request.uri().query() else { return Ok(Vec::new()) };
    if query.bytes().filter(|byte| *byte == b'&').count() >= PARAMETERS_MAX {
        return Err(Problem::with_detail(Code::InvalidParameter, "There are too many parameters."));
    }
    let pairs: Vec<(String, String)> = request.params().map_err(|_| Problem::new(Code::InvalidParameter))?;
    let twice = |at: usize| pairs[..at].iter().any(|(name, _)| *name == pairs[at].0);
    if (1..pairs.len()).any(twice) {
        return Err(Problem::with_detail(Code::InvalidParameter, "A parameter comes twice. Send each one once."));
    }
    Ok(pairs)
}

/// An endpoint that answers every GET with these bytes, under a policy of its own.
pub(crate) fn fixed(kind: &'static str, policy: Option<&'static str>, content: fn() -> Bytes) -> impl Endpoint {
    got(move |_| {
        let mut response = Response::builder().content_type(kind).body(content());
        if let Some(policy) = policy {
            let policy = HeaderValue::from_static(policy);
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        response
    })
}

/// An endpoint that answers every GET, and nothing else.
fn got(answer: impl Fn(&Request) -> Response + Send + Sync + 'static) -> impl Endpoint {
    let get = poem::endpoint::make_sync(move |request: Request| answer(&request)).boxed();
    Resource::new("", HashMap::from([(Method::GET, get)]))
}
