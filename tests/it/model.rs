//! The reference: what an answer may be, given what was acknowledged before it and what went on meanwhile.
//!
//! Knows the operations as the API document tells them, and nothing of how they are done. It is told of every call when
//! it begins and when it is answered; two calls of which neither was answered before the other began happened in either
//! order, unless a password tells it. A call without an answer may have happened, until the server died that it was made
//! to. [`History::faults`] judges all answers by that: whether each token was rightly accepted or refused, each log-in too,
//! each right rightly shown, and nobody lost or there twice. Called by `races.rs` and `history.rs`. Owns what was seen;
//! what the operations mean is in `meaning.rs`, the judgement in `judgement.rs`.

use std::collections::HashMap;
use std::sync::Arc;

use poem::http::Method;
use serde_json::{Value, json};

use crate::tokens::claims_of;

mod itself;
mod judgement;
mod meaning;

/// Numbers a call, and in the order of things its begin and its answer.
type Tick = usize;

/// From the begin of a call to its answer.
#[derive(Clone, Copy)]
struct Span {
    began: Tick,
    answered: Tick,
    /// The same in nanoseconds, by a clock that nobody sets.
    began_at: u64,
    answered_at: u64,
    /// Where the call was made to.
    node: usize,
}

impl Span {
    fn is_before(self, other: Self) -> bool {
        self.answered < other.began
    }
}

/// A call, as its caller saw it.
struct Call {
    method: Method,
    path: String,
    body: Value,
    token: Option<usize>,
    span: Span,
    /// Zero until it is answered.
    status: u16,
    reply: Value,
    /// It never arrived.
    is_void: bool,
}

impl Call {
    fn is(&self, method: &Method, path: &str) -> bool {
        self.method == *method && self.path.split('?').next() == Some(path)
    }

    fn is_done(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// What it was to do may have happened: a failure says that nothing has changed.
    fn may_be_done(&self) -> bool {
        self.is_done() || (self.status == 0 && !self.is_void)
    }

    fn sets_password(&self) -> bool {
        self.body["new_password"].is_string() || (self.method == Method::DELETE && self.path.ends_with("/password"))
    }

    /// Lets the user in no more.
    fn disables(&self) -> bool {
        let is_user = self.path.strip_prefix("/v1/users/").is_some_and(|id| !id.contains('/'));
        is_user && (self.method == Method::DELETE || self.body["is_active"] == false)
    }

    fn text(&self, member: &str) -> &str {
        self.body[member].as_str().unwrap_or_default()
    }
}

/// A token that was set, or an API token that was made.
struct Token {
    text: Arc<str>,
    /// The session that it is an issue of.
    session: usize,
    /// The call that it owes its life to: the log-in, or the change that its session was to survive.
    ground: usize,
    /// An API token, with the permissions that it is limited to.
    scope: Option<Value>,
    /// The first refusal at each node.
    refused: Vec<usize>,
    dead: Option<usize>,
    accepted: Option<Span>,
}

struct Session {
    /// The call that began it.
    origin: usize,
    user: Option<String>,
    /// As every token of it says.
    sid: String,
}

/// What a call ends.
enum Scope {
    Session,
    /// All of the user's sessions and API tokens, but what the call itself gives out.
    User,
    /// All of the user's API tokens.
    ApiTokens,
    Epoch,
}

struct End {
    call: usize,
    scope: Scope,
    /// When this one and all before it were answered.
    all_answered: Tick,
}

/// What an answer to a token may be.
enum Standing {
    Live,
    /// Since this call was answered.
    Dead(usize),
    Either,
}

/// All that was seen of a server.
#[derive(Default)]
pub(crate) struct History {
    ticks: Tick,
    /// Now, in nanoseconds since some moment.
    now: u64,
    /// Nanoseconds after which a node has to know what was acknowledged at another one.
    bound: u64,
    calls: Vec<Call>,
    tokens: Vec<Token>,
    by_text: HashMap<Arc<str>, usize>,
    sessions: Vec<Session>,
    by_sid: HashMap<String, usize>,
    /// The name of the user of an id.
    names: HashMap<String, String>,
    /// The user that a token of a mail was sent to.
    letters: HashMap<String, String>,
    /// What could have been written, of each member of each thing, in the order of begins.
    written: HashMap<(String, &'static str), Vec<(usize, Value)>>,
    /// The call that set a password of a user, which is set once.
    setters: HashMap<(String, String), usize>,
    ends: HashMap<String, Vec<End>>,
    /// The group that a name was last given to.
    groups: HashMap<String, String>,
    /// The calls that may have made a user of this name, and those that may have deleted one, or the group of an id.
    made: HashMap<String, Vec<usize>>,
    deleted: HashMap<String, Vec<usize>>,
}

/// The one who has all ends of an epoch.
const EVERYBODY: &str = "";

impl History {
    /// A history that begins with a superuser of this name, id and password.
    pub(crate) fn with(name: &str, id: &str, password: &str) -> Self {
        let mut history = Self::default();
        history.names.insert(id.to_owned(), name.to_owned());
        let made = json!({ "username": name, "password": password, "is_superuser": true });
        let call = history.begins(&Method::POST, "/v1/users", made, None);
        history.answered(call, 201, json!({ "id": id }), None);
        history
    }

    /// Notes that a mail with this token went to the user.
    pub(crate) fn letter(&mut self, token: &str, user: &str) {
        self.letters.insert(token.to_owned(), user.to_owned());
    }

    /// The same of several nodes with one store: another one may take this many nanoseconds to know what was acknowledged.
    pub(crate) fn bound(&mut self, bound: u64) {
        self.bound = bound;
    }

    /// Notes what time it is from now on, in nanoseconds since some moment. Without, no time passes.
    pub(crate) fn passes(&mut self, now: u64) {
        self.now = now;
    }

    /// Notes a call that is about to be made. Gives its number.
    pub(crate) fn begins(&mut self, method: &Method, path: &str, body: Value, token: Option<&str>) -> usize {
        self.begins_at(0, method, path, body, token)
    }

    /// Notes a call that is about to be made to this node. Gives its number.
    pub(crate) fn begins_at(
        &mut self,
        node: usize,
        method: &Method,
        path: &str,
        body: Value,
        token: Option<&str>,
    ) -> usize {
        self.ticks += 1;
        let span = Span { began: self.ticks, answered: Tick::MAX, began_at: self.now, answered_at: u64::MAX, node };
        let token = token.map(|text| *self.by_text.get(text).unwrap_or_else(|| panic!("nobody set {text}")));
        let (method, path) = (method.clone(), path.to_owned());
        self.calls.push(Call { method, path, body, token, span, status: 0, reply: Value::Null, is_void: false });
        self.calls.len() - 1
    }

    /// Notes its answer, and the token that it sets.
    pub(crate) fn answered(&mut self, call: usize, status: u16, reply: Value, set: Option<&str>) {
        self.ticks += 1;
        let known = &mut self.calls[call];
        (known.span.answered, known.span.answered_at, known.status) = (self.ticks, self.now, status);
        let path = known.path.split('?').next().unwrap().to_owned();
        known.reply = essence(&path, reply);
        let (is_done, made) = (known.is_done(), known.reply.clone());
        if let Some(text) = set.filter(|_| is_done) {
            self.sets(call, &path, text);
        }
        if path == "/v1/tokens" && is_done && self.calls[call].method == Method::POST {
            self.makes(call, &made);
        }
    }

    /// Notes that a call never arrived.
    pub(crate) fn void(&mut self, call: usize) {
        self.calls[call].is_void = true;
    }

    /// Notes that the server is gone: what it has not done so far it never will.
    pub(crate) fn died(&mut self) {
        self.died_at(0);
    }

    /// Notes that this node is gone: what it has not done so far it never will.
    pub(crate) fn died_at(&mut self, node: usize) {
        self.ticks += 1;
        let open = |call: &&mut Call| call.span.answered == Tick::MAX && call.span.node == node;
        for call in self.calls.iter_mut().filter(open) {
            (call.span.answered, call.span.answered_at) = (self.ticks, self.now);
        }
    }

    /// Whether the node that the later call is made to has to know of the earlier one: at once when that was made to the
    /// same node, otherwise when the bound is over.
    fn is_known(&self, earlier: Span, later: Span) -> bool {
        let is_in_time = || later.began_at.saturating_sub(earlier.answered_at) >= self.bound;
        earlier.is_before(later) && (earlier.node == later.node || is_in_time())
    }

    /// A token of a session: of the one that the call carried, unless the call began one.
    fn sets(&mut self, call: usize, path: &str, token: &str) {
        if self.by_text.contains_key(token) {
            return;
        }
        let claims = claims_of(token);
        let sid = claims["sid"].as_str().unwrap().to_owned();
        let carried = self.calls[call].token;
        let enters = ["/v1/login", "/v1/register"].contains(&path);
        let (session, mut ground) = match carried {
            Some(carried) if !enters => (self.tokens[carried].session, self.tokens[carried].ground),
            _ => {
                let user = enters.then(|| text(&self.calls[call].reply, "username"));
                self.sessions.push(Session { origin: call, user, sid: sid.clone() });
                let at = self.sessions.len() - 1;
                assert!(self.by_sid.insert(sid.clone(), at).is_none(), "two sessions of one id");
                (at, call)
            }
        };
        let (known, user) = (&self.sessions[session].sid, &self.sessions[session].user);
        assert_eq!(*known, sid, "an issue is of the session that was carried");
        assert_eq!(claims.get("preferred_username").and_then(Value::as_str), user.as_deref(), "{path}");
        if self.calls[call].is(&Method::POST, "/v1/password") || self.calls[call].is(&Method::DELETE, "/v1/sessions") {
            ground = call;
        }
        self.knows(token, Token { session, ground, ..Token::new(token) });
    }

    /// An API token: like a session of its own, on the ground of the one that made it.
    fn makes(&mut self, call: usize, made: &Value) {
        let by = &self.tokens[self.calls[call].token.unwrap()];
        let (sid, origin) = (text(made, "id"), self.sessions[by.session].origin);
        let session = Session { origin, user: self.sessions[by.session].user.clone(), sid: sid.clone() };
        let (ground, scope) = (by.ground, Some(made["permissions"].clone()));
        self.sessions.push(session);
        self.by_sid.insert(sid, self.sessions.len() - 1);
        let text = text(made, "token");
        self.knows(&text, Token { session: self.sessions.len() - 1, ground, scope, ..Token::new(&text) });
    }

    fn knows(&mut self, text: &str, token: Token) {
        self.by_text.insert(text.into(), self.tokens.len());
        self.tokens.push(token);
    }

    /// Every token that was ever given out: its text, whether it is an API token, and whether it is somebody's.
    pub(crate) fn tokens(&self) -> Vec<(Arc<str>, bool, bool)> {
        let told = |token: &Token| {
            (Arc::clone(&token.text), token.scope.is_some(), self.sessions[token.session].user.is_some())
        };
        self.tokens.iter().map(told).collect()
    }

    /// One of the tokens that were given out so far, as in [`History::tokens`], whichever; `None` while there is none.
    pub(crate) fn one_token(&self, at: usize) -> Option<(Arc<str>, bool, bool)> {
        let token = self.tokens.get(at.checked_rem(self.tokens.len())?)?;
        Some((Arc::clone(&token.text), token.scope.is_some(), self.sessions[token.session].user.is_some()))
    }

    /// How many calls were made.
    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }

    /// How many changes were acknowledged, and how many may have happened without a word.
    pub(crate) fn changes(&self) -> (usize, usize) {
        let count = |wanted: fn(&Call) -> bool| {
            self.calls.iter().filter(|call| call.method != Method::GET && wanted(call)).count()
        };
        (count(Call::is_done), count(|call| call.status == 0 && call.may_be_done()))
    }

    /// What was answered otherwise than it may be; empty when all is well.
    pub(crate) fn faults(&mut self) -> Vec<String> {
        for call in 0..self.calls.len() {
            self.read(call);
        }
        (0..self.calls.len()).filter_map(|call| self.judge(call).err()).collect()
    }
}

impl Token {
    fn new(text: &str) -> Self {
        Self { text: text.into(), session: 0, ground: 0, scope: None, refused: Vec::new(), dead: None, accepted: None }
    }
}

fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_default().to_owned()
}

/// The part of an answer that is judged.
fn essence(path: &str, mut reply: Value) -> Value {
    match path {
        "/v1/session" => json!([reply["id"], reply["user"]["username"]]),
        "/v1/login" | "/v1/register" => reply["user"].take(),
        "/v1/users" | "/v1/groups" | "/v1/tokens" => reply,
        _ if path.starts_with("/v1/users/") => {
            let members = ["is_active", "is_superuser", "user_permissions", "groups"];
            members.into_iter().map(|member| (member.to_owned(), reply[member].take())).collect()
        }
        _ if path.starts_with("/v1/groups/") => json!({ "permissions": reply["permissions"].take() }),
        _ => json!({ "results": reply["results"].take() }),
    }
}
