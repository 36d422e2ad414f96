//! Starts Signet on a free port, with a folder, keys and a clock of its own, and calls it.
//!
//! Every answer that a [`Client`] gets is held to the promises that all answers keep: security headers, problems
//! of the one shape, cookies with every attribute. Tests say what is special.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::BoxFuture;
use poem::listener::{AcceptorExt as _, TcpAcceptor};
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use signet::account;
use signet::api::front::Settings;
use signet::api::origin::Origins;
use signet::api::problem::Code;
use signet::api::proxies::Proxies;
use signet::api::scrape::Scrape;
use signet::app::{App, Parts};
use signet::audit;
use signet::claims::{ChallengeKind, GroupId, Lifetime, SessionId, UserId};
use signet::keys::{self, Keyring};
use signet::mail::{Links, Post, Route};
use signet::password::{Cost, Policy};
use signet::rights::{Group, Permission, PermissionEntry};
use signet::store::embedded::Embedded;
use signet::store::{
    Alive, ApiToken, Challenge, Follow, Ledger, Member, Meters, NamedSession, OpenSession, Page, Record, Reply,
    SharedStore, Slice, State, Store, UserQuery, Write,
};
use signet::user::User;
use tempfile::TempDir;
use tokio::sync::oneshot;

/// The password of `admin` and of every user that [`Server::user`] makes.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// The origin whose pages may call a test's server.
pub(crate) const ORIGIN: &str = "https://app.example";

/// A hash that costs nothing to speak of.
pub(crate) const CHEAP: Cost = Cost { memory: 8, passes: 1, lanes: 1 };

/// What a test can set before the start.
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub(crate) struct Options {
    pub(crate) life: Lifetime,
    pub(crate) registration_open: bool,
    pub(crate) hash_cost: Cost,
    pub(crate) policy: Policy,
    pub(crate) hash_workers: usize,
    pub(crate) issuer: String,
    pub(crate) audience: String,
    pub(crate) audit: audit::Log,
    pub(crate) login_url: Option<String>,
    /// Off unless a test is about it: the others log in as often as they like, from one address.
    pub(crate) throttle: bool,
    /// Whether the data of sessions is sealed. As `SIGNET_SEAL_DATA` says, so that all tests can be run with it on.
    pub(crate) seal_data: bool,
    /// How long a new key waits before it signs.
    pub(crate) key_lead: TimeDelta,
    pub(crate) proxies: Proxies,
    pub(crate) metrics: Scrape,
    /// Whether there are the pages of administration.
    pub(crate) admin: bool,
    /// A folder with `data` and `keys`, to go on from; a new one without.
    pub(crate) folder: Option<TempDir>,
    /// The store in place of the one in the folder.
    pub(crate) store: Option<SharedStore>,
    pub(crate) max_staleness: Duration,
}

static SEAL_DATA: LazyLock<bool> = LazyLock::new(|| signet::config::Flags::default().seal_data);

impl Default for Options {
    fn default() -> Self {
        Self {
            life: Lifetime { age: 3600, end: 14 * 24 * 3600 },
            registration_open: true,
            hash_cost: CHEAP,
            policy: Policy::default(),
            hash_workers: 2,
            issuer: "signet".to_owned(),
            audience: "signet".to_owned(),
            audit: audit::Log::default(),
            login_url: None,
            throttle: false,
            seal_data: *SEAL_DATA,
            key_lead: TimeDelta::zero(),
            proxies: Proxies::default(),
            metrics: Scrape::default(),
            admin: true,
            folder: None,
            store: None,
            max_staleness: Duration::from_secs(15),
        }
    }
}

/// A running Signet.
pub(crate) struct Server {
    pub(crate) app: App,
    pub(crate) base: String,
    pub(crate) store: Arc<Counting>,
    clock: Arc<AtomicI64>,
    folder: Option<TempDir>,
    stop: Option<oneshot::Sender<()>>,
    served: Option<tokio::task::JoinHandle<()>>,
    http: reqwest::Client,
}

/// A client of what listens on this machine, unencrypted: it reads no certificates, which takes a test as long as all the
/// rest of it.
pub(crate) fn plain_http() -> reqwest::ClientBuilder {
    reqwest::Client::builder().tls_certs_only([])
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    pub(crate) async fn start_with(options: Options) -> Self {
        let folder = options.folder.unwrap_or_else(|| TempDir::new().unwrap());
        let keys = folder.path().join("keys");
        let clock = Arc::new(AtomicI64::new(0));
        if !keys.exists() {
            std::fs::create_dir(&keys).unwrap();
            keys::generate(&keys, "eddsa", None, present(&clock)).unwrap();
        }
        if options.seal_data && Keyring::load(&keys).unwrap().sealing_keys().is_empty() {
            keys::generate_sealing(&keys, None, present(&clock)).unwrap();
        }
        let inner = options.store.unwrap_or_else(|| Arc::new(Embedded::open(&folder.path().join("data")).unwrap()));
        let store = Arc::new(Counting { inner, calls: AtomicUsize::new(0), unready: AtomicBool::new(false) });
        let links =
            Links { origin: ORIGIN.to_owned(), reset_page: "/reset".to_owned(), verify_page: "/verify".to_owned() };
        let sender = "Signet <signet@signet.example>".parse().unwrap();
        let post = Post::open(&Route::Folder(folder.path().join("mail")), sender, links).unwrap();
        let app = App::open(Parts {
            store: Arc::clone(&store) as _,
            keyring: Keyring::load(&keys).unwrap(),
            issuer: options.issuer,
            audience: options.audience,
            life: options.life,
            registration_open: options.registration_open,
            hash_workers: options.hash_workers,
            hash_cost: options.hash_cost,
            audit: options.audit,
            post: Some(post),
            policy: options.policy,
            throttle: options.throttle,
            seal_data: options.seal_data,
            key_lead: options.key_lead,
            max_staleness: options.max_staleness,
            clock: Arc::new({
                let clock = Arc::clone(&clock);
                move || present(&clock)
            }),
        })
        .await
        .unwrap();
        app.hear().await.unwrap();
        account::first_superuser(&app, Some(PASSWORD)).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let acceptor = TcpAcceptor::from_tokio(listener).unwrap().boxed();
        let settings = Settings {
            origins: Origins::new(vec![ORIGIN.to_owned()]),
            https_only: false,
            login_url: options.login_url,
            proxies: options.proxies,
            metrics: options.metrics,
            admin: options.admin,
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = signet::server::serve(app.clone(), acceptor, settings, async {
            stopped.await.ok();
        });
        let served = tokio::spawn(async { serving.await.unwrap() });
        let http = plain_http().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { app, base, store, clock, folder: Some(folder), stop: Some(stop), served: Some(served), http }
    }

    /// Lets the server's clock run ahead by so many seconds.
    pub(crate) fn pass(&self, seconds: i64) {
        self.clock.fetch_add(seconds, Ordering::SeqCst);
    }

    /// The present instant of the server's clock.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.app.now()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.as_ref().unwrap().path()
    }

    /// Ends the server, and gives its folder to go on from.
    pub(crate) async fn stop(mut self) -> TempDir {
        self.stop.take().unwrap().send(()).unwrap();
        // Connections that are kept alive would make it wait.
        self.http = plain_http().build().unwrap();
        self.served.take().unwrap().await.unwrap();
        let folder = self.folder.take().unwrap();
        drop(self);
        folder
    }

    /// Somebody without a cookie.
    pub(crate) fn anonymous(&self) -> Client {
        Client { http: self.http.clone(), base: self.base.clone(), cookie: None }
    }

    /// Somebody with this cookie.
    pub(crate) fn with_cookie(&self, token: &str) -> Client {
        Client { cookie: Some(token.to_owned()), ..self.anonymous() }
    }

    /// The superuser, logged in.
    pub(crate) async fn admin(&self) -> Client {
        self.log_in("admin").await
    }

    /// A known user, logged in anew.
    pub(crate) async fn log_in(&self, username: &str) -> Client {
        let mut client = self.anonymous();
        client.post("/v1/login", json!({ "username": username, "password": PASSWORD })).await.is(StatusCode::OK);
        client
    }

    /// A new user with these members, logged in; and the user's id.
    pub(crate) async fn user(&self, username: &str, members: Value) -> (Client, String) {
        let mut new = json!({ "username": username, "password": PASSWORD });
        for (name, value) in members.as_object().unwrap() {
            new[name] = value.clone();
        }
        let made = self.admin().await.post("/v1/users", new).await.is(StatusCode::CREATED);
        (self.log_in(username).await, made.text("id"))
    }

    /// Adds permissions to the catalogue.
    pub(crate) async fn permissions(&self, names: &[&str]) {
        let mut admin = self.admin().await;
        for name in names {
            admin.post("/v1/permissions", json!({ "name": name })).await.is(StatusCode::CREATED);
        }
    }

    /// Makes a group, and gives its id.
    pub(crate) async fn group(&self, name: &str, permissions: &[&str]) -> String {
        let new = json!({ "name": name, "permissions": permissions });
        self.admin().await.post("/v1/groups", new).await.is(StatusCode::CREATED).text("id")
    }
}

/// The real clock, run ahead by so many seconds.
#[expect(clippy::disallowed_methods, reason = "a test's server runs on the real clock, run ahead at will")]
fn present(ahead: &AtomicI64) -> DateTime<Utc> {
    Utc::now() + TimeDelta::seconds(ahead.load(Ordering::SeqCst))
}

/// A caller that keeps the session's cookie itself.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    /// The session's token.
    pub(crate) cookie: Option<String>,
}

impl Client {
    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.call(Method::GET, path, None, &[]).await
    }

    pub(crate) async fn delete(&mut self, path: &str) -> Answer {
        self.call(Method::DELETE, path, None, &[]).await
    }

    pub(crate) async fn post(&mut self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, Some(body), &[]).await
    }

    pub(crate) async fn put(&mut self, path: &str, body: Value) -> Answer {
        self.call(Method::PUT, path, Some(body), &[]).await
    }

    pub(crate) async fn patch(&mut self, path: &str, body: Value) -> Answer {
        self.call(Method::PATCH, path, Some(body), &[]).await
    }

    /// Any request. A body of null is none.
    pub(crate) async fn call(
        &mut self,
        method: Method,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let content =
            body.filter(|body| !body.is_null()).map(|body| ("application/json", body.to_string().into_bytes()));
        self.send(method, path, content, headers).await
    }

    /// Any request with any content.
    pub(crate) async fn send(
        &mut self,
        method: Method,
        path: &str,
        content: Option<(&str, Vec<u8>)>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.base));
        if let Some((kind, content)) = content {
            request = request.header("content-type", kind).body(content);
        }
        if let Some(token) = &self.cookie {
            request = request.header("cookie", format!("__Host-signet={token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        // A stream has no end to wait for.
        let is_endless =
            headers.get("content-type").is_some_and(|kind| kind == "text/event-stream") && !path.contains("seconds=");
        let body = if is_endless { Vec::new() } else { response.bytes().await.unwrap().to_vec() };
        let answer = Answer { context: format!("{method} {path}"), status, headers, body };
        answer.keeps_the_promises();
        match answer.session_cookie().as_deref() {
            Some("") => self.cookie = None,
            Some(token) => self.cookie = Some(token.to_owned()),
            None => {}
        }
        answer
    }

    /// Status of `GET /v1/me`: whether the cookie is somebody's.
    pub(crate) async fn is_somebody(&mut self) -> bool {
        match self.get("/v1/me").await.status {
            StatusCode::OK => true,
            StatusCode::UNAUTHORIZED => false,
            status => panic!("GET /v1/me: {status}"),
        }
    }

    /// Whether the session has the permission.
    pub(crate) async fn may(&mut self, permission: &str) -> bool {
        let asked = self.post("/v1/permissions/check", json!({ "permissions": [permission] })).await;
        asked.is(StatusCode::OK).json()["all"].as_bool().unwrap()
    }
}

/// An answer.
pub(crate) struct Answer {
    context: String,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Goes on when the status is the expected one.
    #[track_caller]
    pub(crate) fn is(self, status: StatusCode) -> Self {
        assert_eq!(self.status, status, "{}: {}", self.context, String::from_utf8_lossy(&self.body));
        self
    }

    /// Goes on when it is a problem of this code.
    #[track_caller]
    pub(crate) fn is_problem(self, code: &str) -> Self {
        assert!(self.status.as_u16() >= 400, "{}: {}", self.context, self.status);
        assert_eq!(self.json()["code"], code, "{}: {}", self.context, String::from_utf8_lossy(&self.body));
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{}: not JSON ({e}): {}", self.context, String::from_utf8_lossy(&self.body)))
    }

    /// A member that is a text.
    #[track_caller]
    pub(crate) fn text(&self, member: &str) -> String {
        self.json()[member].as_str().unwrap_or_else(|| panic!("{}: no text {member}", self.context)).to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The codes of a problem's errors, with their fields.
    #[track_caller]
    pub(crate) fn errors(&self) -> Vec<(String, String)> {
        let errors = self.json()["errors"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        errors.iter().map(|error| (text(&error["field"]), text(&error["code"]))).collect()
    }

    /// All `Set-Cookie` lines.
    pub(crate) fn set_cookies(&self) -> Vec<&str> {
        self.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap()).collect()
    }

    /// The session's token that the answer sets; empty when it takes the cookie away.
    pub(crate) fn session_cookie(&self) -> Option<String> {
        let lines = self.set_cookies();
        let mut ours = lines.iter().filter_map(|line| line.strip_prefix("__Host-signet="));
        let token = ours.next()?.split(';').next().unwrap_or_default().to_owned();
        assert!(ours.next().is_none(), "{}: two cookies of one name", self.context);
        Some(token)
    }

    /// What holds for every answer.
    #[track_caller]
    fn keeps_the_promises(&self) {
        let context = &self.context;
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
        ] {
            assert_eq!(self.header(name), Some(value), "{context}: {name}");
        }
        let policy = self.header("content-security-policy").unwrap_or_default();
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{context}: {policy}"
        );
        assert!(!policy.contains("unsafe"), "{context}: {policy}");
        assert_eq!(self.header("access-control-allow-origin"), None, "{context}");
        assert_eq!(self.header("server"), None, "{context}");
        assert!(self.header("cache-control").is_some(), "{context}");
        for line in self.set_cookies() {
            assert!(line.starts_with("__Host-signet"), "{context}: {line}");
            assert!(line.ends_with("; Path=/; HttpOnly; Secure; SameSite=Strict"), "{context}: {line}");
            assert_eq!(line.contains("Max-Age="), line.contains("Expires="), "{context}: {line}");
            assert!("Set-Cookie: ".len() + line.len() <= 4096, "{context}: {} bytes", line.len());
            assert_eq!(self.header("cache-control"), Some("no-store"), "{context}");
            assert_eq!(self.header("vary"), Some("Cookie"), "{context}");
            assert!(self.status.is_success(), "{context}: {} with a cookie", self.status);
        }
        if self.status == StatusCode::NO_CONTENT {
            assert!(self.body.is_empty() && self.header("content-type").is_none(), "{context}");
        }
        if self.status.as_u16() >= 400 && !context.starts_with("HEAD") {
            self.is_a_whole_problem();
        }
    }

    #[track_caller]
    fn is_a_whole_problem(&self) {
        let context = &self.context;
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{context}: {:?}", self.body);
        let problem = self.json();
        let code = problem["code"].as_str().unwrap();
        let known = Code::ALL.iter().find(|known| known.name() == code).unwrap_or_else(|| panic!("{context}: {code}"));
        assert_eq!(self.status.as_u16(), known.status().as_u16(), "{context}: {code}");
        assert_eq!(problem["status"], self.status.as_u16(), "{context}");
        assert_eq!(problem["type"], format!("/problems/{code}"), "{context}");
        assert_eq!(problem["title"], known.title(), "{context}");
        assert!(is_documented(context, self.status, code), "{context}: {code} is not in the API document");
        assert!(problem["detail"].is_string() && problem["request_id"].is_string(), "{context}: {problem}");
        match self.status {
            StatusCode::UNAUTHORIZED => assert!(self.header("www-authenticate").is_some(), "{context}"),
            StatusCode::METHOD_NOT_ALLOWED => assert!(self.header("allow").is_some(), "{context}"),
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                assert!(self.header("retry-after").is_some(), "{context}");
            }
            _ => {}
        }
    }
}

/// Whether the API document says that the operation, `METHOD path`, can answer the code. What is none can answer all.
fn is_documented(context: &str, status: StatusCode, code: &str) -> bool {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(signet::api::document::document);
    let (method, path) = context.split_once(' ').unwrap();
    let path: Vec<&str> = path.split('?').next().unwrap().split('/').collect();
    let is_it = |template: &str| {
        let parts: Vec<&str> = template.split('/').collect();
        parts.len() == path.len() && parts.iter().zip(&path).all(|(part, named)| part.starts_with('{') || part == named)
    };
    let mut paths: Vec<_> = DOCUMENT["paths"].as_object().unwrap().iter().filter(|(path, _)| is_it(path)).collect();
    // A path that is spelt out comes before one with a parameter.
    paths.sort_by_key(|(path, _)| path.contains('{'));
    let known = method.to_uppercase() == method;
    let operation = paths.first().filter(|_| known).and_then(|(_, methods)| methods.get(method.to_lowercase()));
    operation.is_none_or(|operation| {
        let answers = &operation["responses"][status.as_str()]["content"]["application/problem+json"]["examples"];
        answers[code]["value"]["code"] == code
    })
}

/// A store that counts its calls.
pub(crate) struct Counting {
    inner: Arc<dyn Store>,
    calls: AtomicUsize,
    /// Says that it is not ready, whatever it is.
    pub(crate) unready: AtomicBool,
}

impl Counting {
    /// Calls so far.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn counted(&self) -> &dyn Store {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.inner.as_ref()
    }
}

impl Store for Counting {
    fn commit(&self, writes: Vec<Write>) -> Reply<'_, ()> {
        // Forgetting and keeping counters is the work of the task that tends memory, never of a request.
        let tending =
            writes.iter().all(|write| matches!(write, Write::Forget(_) | Write::ForgetEvents(_) | Write::Count(_)));
        if tending { self.inner.commit(writes) } else { self.counted().commit(writes) }
    }
    fn find_users(&self, query: UserQuery) -> Reply<'_, Page<User>> {
        self.counted().find_users(query)
    }
    fn events(&self, filter: audit::Filter, slice: Slice) -> Reply<'_, Page<audit::Event>> {
        self.counted().events(filter, slice)
    }
    fn user(&self, id: UserId) -> Reply<'_, Option<User>> {
        self.counted().user(id)
    }
    fn member(&self, id: UserId) -> Reply<'_, Option<Member>> {
        self.counted().member(id)
    }
    fn user_named<'a>(&'a self, key: &'a str) -> Reply<'a, Option<User>> {
        self.counted().user_named(key)
    }
    fn member_named<'a>(&'a self, key: &'a str) -> Reply<'a, Option<Member>> {
        self.counted().member_named(key)
    }
    fn users_at<'a>(&'a self, key: &'a str, limit: usize) -> Reply<'a, Vec<User>> {
        self.counted().users_at(key, limit)
    }
    fn challenge(&self, user: UserId, kind: ChallengeKind) -> Reply<'_, Option<Challenge>> {
        self.counted().challenge(user, kind)
    }
    fn users(&self, slice: Slice) -> Reply<'_, Page<User>> {
        self.counted().users(slice)
    }
    fn members(&self, group: GroupId) -> Reply<'_, Vec<User>> {
        self.counted().members(group)
    }
    fn holders<'a>(&'a self, permission: &'a Permission) -> Reply<'a, Vec<User>> {
        self.counted().holders(permission)
    }
    fn group(&self, id: GroupId) -> Reply<'_, Option<Group>> {
        self.counted().group(id)
    }
    fn groups(&self, slice: Slice) -> Reply<'_, Page<Group>> {
        self.counted().groups(slice)
    }
    fn permission<'a>(&'a self, name: &'a Permission) -> Reply<'a, Option<PermissionEntry>> {
        self.counted().permission(name)
    }
    fn permissions(&self, slice: Slice) -> Reply<'_, Page<PermissionEntry>> {
        self.counted().permissions(slice)
    }
    fn session(&self, user: UserId, id: SessionId) -> Reply<'_, Option<OpenSession>> {
        self.counted().session(user, id)
    }
    fn sessions(&self, user: UserId, alive: Alive, slice: Slice) -> Reply<'_, Page<OpenSession>> {
        self.counted().sessions(user, alive, slice)
    }
    fn open_sessions(&self, alive: Alive, slice: Slice) -> Reply<'_, Page<NamedSession>> {
        self.counted().open_sessions(alive, slice)
    }
    fn api_tokens(&self, owner: UserId) -> Reply<'_, Vec<ApiToken>> {
        self.counted().api_tokens(owner)
    }
    fn records(&self, after: Option<String>, limit: usize) -> Reply<'_, Page<Record>> {
        self.counted().records(after, limit)
    }
    fn state(&self) -> Reply<'_, State> {
        self.counted().state()
    }
    fn longest_life(&self, seconds: u32) -> Reply<'_, u32> {
        self.counted().longest_life(seconds)
    }
    // Asked every second by the task that tends memory, never by a request.
    fn incarnation(&self) -> u64 {
        self.inner.incarnation()
    }
    fn is_ready(&self) -> bool {
        self.inner.is_ready() && !self.unready.load(Ordering::SeqCst)
    }
    fn meters(&self) -> Option<&Meters> {
        self.inner.meters()
    }
    // Read by the task that tends memory, never by a request.
    fn follow(&self) -> Option<&dyn Follow> {
        self.inner.follow()
    }
    fn ledger(&self) -> Option<&dyn Ledger> {
        self.inner.ledger()
    }
}

/// Runs `times` of a job at once, and gives what they come to.
pub(crate) async fn at_once<T: Send + 'static>(times: usize, job: impl Fn(usize) -> BoxFuture<'static, T>) -> Vec<T> {
    let running: Vec<_> = (0..times).map(|n| tokio::spawn(job(n))).collect();
    let mut results = Vec::new();
    for job in running {
        results.push(job.await.unwrap());
    }
    results
}

/// A folder with these keys (name and algorithm), to start a server from.
pub(crate) fn folder_with_keys(wanted: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    let keys = folder.path().join("keys");
    std::fs::create_dir(&keys).unwrap();
    for (kid, algorithm) in wanted {
        keys::generate(&keys, algorithm, Some(kid), DateTime::UNIX_EPOCH).unwrap();
    }
    folder
}

impl Client {
    /// The same caller at another address.
    pub(crate) fn at(&self, base: &str) -> Self {
        Self { base: base.to_owned(), ..self.clone() }
    }
}

/// Serves the routes of a program that embeds Signet, behind Signet's front, until the test ends. Gives its address.
pub(crate) async fn embed(app: &App, routes: impl poem::IntoEndpoint<Endpoint: 'static> + Send + 'static) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let acceptor = TcpAcceptor::from_tokio(listener).unwrap();
    let origins = Origins::new(vec![ORIGIN.to_owned()]);
    let settings = Settings { origins, https_only: true, admin: true, ..Settings::default() };
    let front = signet::api::front::Front::new(app.clone(), settings);
    let endpoint = poem::EndpointExt::with(routes.into_endpoint(), front);
    tokio::spawn(async { poem::Server::new_with_acceptor(acceptor).run(endpoint).await.unwrap() });
    base
}

/// What is in a file in gzip.
pub(crate) fn unpacked(packed: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(packed), &mut content).unwrap();
    content
}
