//! The reference: what an answer may be, given what was acknowledged before it and what went on meanwhile.
//!
//! Knows the operations as the API document tells them, and nothing of how they are done. It is told of every call when
//! it begins and when it is answered; two calls of which neither was answered before the other began happened in either
//! order, unless a password tells it. [`History::faults`] judges all answers by that: whether each token was rightly
//! accepted or refused, each log-in too, and each right rightly shown. Called by `races.rs`.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use poem::http::Method;
use serde_json::{Value, json};

use crate::tokens::claims_of;

/// Numbers a call, and in the order of things its begin and its answer.
type Tick = usize;

/// From the begin of a call to its answer.
#[derive(Clone, Copy)]
struct Span {
    began: Tick,
    answered: Tick,
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
        self.is_done() || self.status == 0
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
    refused: Option<usize>,
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

    /// Notes a call that is about to be made. Gives its number.
    pub(crate) fn begins(&mut self, method: &Method, path: &str, body: Value, token: Option<&str>) -> usize {
        self.ticks += 1;
        let span = Span { began: self.ticks, answered: Tick::MAX };
        let token = token.map(|text| *self.by_text.get(text).unwrap_or_else(|| panic!("nobody set {text}")));
        let (method, path) = (method.clone(), path.to_owned());
        self.calls.push(Call { method, path, body, token, span, status: 0, reply: Value::Null });
        self.calls.len() - 1
    }

    /// Notes its answer, and the token that it sets.
    pub(crate) fn answered(&mut self, call: usize, status: u16, reply: Value, set: Option<&str>) {
        self.ticks += 1;
        let known = &mut self.calls[call];
        (known.span.answered, known.status) = (self.ticks, status);
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

    /// How many calls were made.
    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }

    /// What was answered otherwise than it may be; empty when all is well.
    pub(crate) fn faults(&mut self) -> Vec<String> {
        for call in 0..self.calls.len() {
            self.read(call);
        }
        (0..self.calls.len()).filter_map(|call| self.judge(call).err()).collect()
    }
}

// What the operations mean.
impl History {
    /// Takes in what the call ends and writes, when it was done or may be.
    fn read(&mut self, number: usize) {
        let call = &self.calls[number];
        if !call.may_be_done() {
            return;
        }
        let path = call.path.clone();
        let path = path.split('?').next().unwrap();
        let parts: Vec<&str> = path.trim_start_matches("/v1/").split('/').collect();
        let session = call.token.map(|token| self.tokens[token].session);
        let own = session.and_then(|session| self.sessions[session].user.clone());
        let named = |at: usize| self.names.get(parts[at]).cloned().unwrap_or_default();
        let body = call.body.clone();
        match (call.method.as_str(), parts.as_slice()) {
            ("POST", ["logout" | "login"]) | ("DELETE", ["session"]) => self.ends_session(number, session),
            ("POST", ["register"]) => {
                self.ends_session(number, session);
                self.writes_user(number, &body);
            }
            ("DELETE", ["sessions" | "tokens", sid]) => self.ends_session(number, self.by_sid.get(*sid).copied()),
            ("DELETE", ["sessions"]) => self.ends(number, own.as_deref(), Scope::User),
            ("POST", ["password"]) => self.sets_password(number, &own.unwrap(), Some(text(&body, "new_password"))),
            ("POST", ["password", "reset", "confirm"]) => {
                let user = self.letters[&text(&body, "token")].clone();
                self.sets_password(number, &user, Some(text(&body, "new_password")));
            }
            ("POST", ["epoch"]) => self.ends(number, Some(EVERYBODY), Scope::Epoch),
            ("POST", ["users"]) => self.writes_user(number, &body),
            ("PATCH", ["users", _]) => self.changes_user(number, &named(1), &body),
            ("DELETE", ["users", _]) => self.changes_user(number, &named(1), &json!({ "is_active": false })),
            ("DELETE", ["users", _, "sessions"]) => self.ends(number, Some(&named(1)), Scope::User),
            ("DELETE", ["users", _, "tokens"]) => self.ends(number, Some(&named(1)), Scope::ApiTokens),
            ("DELETE", ["users", _, "password"]) => self.sets_password(number, &named(1), None),
            ("GET", ["users", _]) if call.is_done() => {
                let record = call.reply.clone();
                self.writes_rights(number, &named(1), &record);
            }
            ("POST", ["groups"]) => {
                let id = text(&self.calls[number].reply, "id");
                self.groups.insert(text(&body, "name"), id.clone());
                self.writes(number, &id, "permissions", body["permissions"].clone());
            }
            ("PATCH", ["groups", id]) => {
                if let Some(name) = body["name"].as_str() {
                    self.groups.insert(name.to_owned(), (*id).to_owned());
                }
                if !body["permissions"].is_null() {
                    self.writes(number, id, "permissions", body["permissions"].clone());
                }
            }
            ("GET", ["groups", id]) if call.is_done() => {
                let granted = call.reply["permissions"].clone();
                self.writes(number, id, "permissions", granted);
            }
            ("DELETE", ["groups", id]) => self.writes(number, id, "permissions", json!([])),
            _ => {}
        }
    }

    fn writes(&mut self, call: usize, thing: &str, member: &'static str, value: Value) {
        self.written.entry((thing.to_owned(), member)).or_default().push((call, value));
    }

    fn ends(&mut self, call: usize, user: Option<&str>, scope: Scope) {
        let ends = self.ends.entry(user.unwrap().to_owned()).or_default();
        let before = ends.last().map(|end| end.all_answered).unwrap_or_default();
        let all_answered = before.max(self.calls[call].span.answered);
        ends.push(End { call, scope, all_answered });
    }

    fn ends_session(&mut self, call: usize, session: Option<usize>) {
        let Some(session) = session else { return };
        let sid = format!("session {}", self.sessions[session].sid);
        self.ends(call, Some(&sid), Scope::Session);
    }

    fn sets_password(&mut self, call: usize, user: &str, password: Option<String>) {
        if let Some(password) = &password {
            let before = self.setters.insert((user.to_owned(), password.clone()), call);
            assert!(before.is_none(), "a race sets each password of a user once");
        }
        self.writes(call, user, "password", json!(password));
        self.ends(call, Some(user), Scope::User);
    }

    fn writes_user(&mut self, call: usize, new: &Value) {
        // Kept in another width than it came, perhaps.
        let kept = text(&self.calls[call].reply, "username");
        let user = &if kept.is_empty() { text(new, "username") } else { kept };
        self.names.insert(text(&self.calls[call].reply, "id"), user.clone());
        self.setters.insert((user.to_owned(), text(new, "password")), call);
        self.writes(call, user, "password", new["password"].clone());
        self.writes(call, user, "is_active", json!(new["is_active"] != false));
        let rights = json!({
            "is_superuser": new["is_superuser"] == true,
            "user_permissions": new["user_permissions"].as_array().cloned().unwrap_or_default(),
            "groups": new["groups"].as_array().cloned().unwrap_or_default(),
        });
        self.writes_rights(call, user, &rights);
    }

    fn changes_user(&mut self, call: usize, user: &str, change: &Value) {
        if !change["is_active"].is_null() {
            self.writes(call, user, "is_active", change["is_active"].clone());
        }
        if change["is_active"] == false {
            self.ends(call, Some(user), Scope::User);
        }
        self.writes_rights(call, user, change);
    }

    /// Groups are kept by what they are, as their names can be given to others.
    fn writes_rights(&mut self, call: usize, user: &str, rights: &Value) {
        for member in ["is_superuser", "user_permissions", "groups"] {
            let mut value = rights[member].clone();
            if member == "groups" {
                let known = |name: &Value| self.groups.get(name.as_str().unwrap()).cloned().map(Value::String);
                value = value.as_array().map(|names| names.iter().filter_map(known).collect()).unwrap_or_default();
            }
            if !rights[member].is_null() {
                self.writes(call, user, member, value);
            }
        }
    }
}

// The judgement.
impl History {
    /// Whatever the member of the thing could have been at some moment of the span.
    fn could_be(&self, thing: &str, member: &'static str, span: Span) -> Vec<&Value> {
        let Some(written) = self.written.get(&(thing.to_owned(), member)) else { return Vec::new() };
        // What was over before another write began that was done before the span is no more.
        let done = written.iter().map(|(call, _)| &self.calls[*call]);
        let done = done.filter(|write| write.is_done() && write.span.is_before(span));
        let latest = done.map(|write| write.span.began).max().unwrap_or_default();
        let stands = |span: Span, write: Span| write.began < span.answered && write.answered >= latest;
        written.iter().filter(|(call, _)| stands(span, self.calls[*call].span)).map(|(_, value)| value).collect()
    }

    /// Which of the two was first: the call that a token owes its life to, or the end.
    fn order(&self, at: usize, ends: usize, user: &str) -> Option<Ordering> {
        let (ground, end) = (&self.calls[at], &self.calls[ends]);
        if ground.span.is_before(end.span) {
            return Some(Ordering::Less);
        }
        if end.span.is_before(ground.span) {
            return Some(Ordering::Greater);
        }
        // A log-in came between the call that set its password and the one that set the next.
        let setter = self.setters.get(&(user.to_owned(), ground.text("password").to_owned()));
        if let Some(set) = setter.filter(|_| ground.is(&Method::POST, "/v1/login")) {
            if *set == ends || end.span.is_before(self.calls[*set].span) {
                return Some(Ordering::Greater);
            }
            if end.sets_password() && self.calls[*set].span.is_before(end.span) {
                return Some(Ordering::Less);
            }
        }
        // Whoever was disabled came in before, unless somebody may have let them in again.
        let later = Span { began: end.span.answered.saturating_add(1), answered: ground.span.answered };
        let stays_out = || self.could_be(user, "is_active", later).iter().all(|is_active| **is_active == false);
        (end.disables() && end.is_done() && stays_out()).then_some(Ordering::Less)
    }

    /// What an answer in this span may be to the token.
    fn standing(&self, token: &Token, span: Span) -> Standing {
        let session = &self.sessions[token.session];
        let (user, since) = (session.user.as_deref(), self.calls[session.origin].span.began);
        if let Some(by) = token.dead.filter(|by| self.calls[*by].span.is_before(span)) {
            return Standing::Dead(by);
        }
        let places = [Some(format!("session {}", session.sid)), user.map(str::to_owned), Some(EVERYBODY.to_owned())];
        let mut standing = Standing::Live;
        // What was over before the session began does not count.
        let later = |ends: &'_ Vec<End>| ends.partition_point(|end| end.all_answered < since);
        let ends = places.iter().flatten().filter_map(|place| self.ends.get(place));
        for end in ends.flat_map(|ends| &ends[later(ends)..]) {
            let order = match end.scope {
                Scope::Session => Some(Ordering::Less),
                Scope::User if end.call == token.ground => Some(Ordering::Greater),
                Scope::User => self.order(token.ground, end.call, user.unwrap()),
                Scope::ApiTokens if token.scope.is_none() => Some(Ordering::Greater),
                Scope::ApiTokens => None,
                Scope::Epoch => self.order(session.origin, end.call, EVERYBODY),
            };
            let call = &self.calls[end.call];
            if order == Some(Ordering::Less) && call.is_done() && call.span.is_before(span) {
                return Standing::Dead(end.call);
            }
            // What it survived does not end it.
            let survived = token.accepted.is_some_and(|accepted| call.span.is_before(accepted));
            if order != Some(Ordering::Greater) && !span.is_before(call.span) && !survived {
                standing = Standing::Either;
            }
        }
        standing
    }

    fn judge(&mut self, number: usize) -> Result<(), String> {
        let call = &self.calls[number];
        if call.status == 0 {
            return Ok(());
        }
        if call.status >= 500 {
            return Err(format!("{}: it failed", self.told(number)));
        }
        if call.is(&Method::POST, "/v1/login") {
            return self.judge_log_in(number);
        }
        let free = ["/v1/logout", "/v1/register", "/v1/password/reset", "/v1/email/verify/confirm"];
        let is_free = free.iter().any(|path| call.path.starts_with(path));
        let Some(token) = call.token.filter(|_| !is_free) else { return Ok(()) };
        // What only somebody may do is refused to nobody.
        let is_nobody = self.sessions[self.tokens[token].session].user.is_none();
        if is_nobody && !call.path.starts_with("/v1/session") {
            return Ok(());
        }
        let (span, is_accepted) = (call.span, call.status != 401);
        let standing = self.standing(&self.tokens[token], span);
        let known = &mut self.tokens[token];
        match (is_accepted, standing, known.refused) {
            (true, Standing::Dead(by), _) => {
                let (what, by) = (self.told(number), self.told(by));
                return Err(format!("{what}: accepted, after it was ended by {by}"));
            }
            (true, _, Some(refused)) if self.calls[refused].span.is_before(span) => {
                let (what, before) = (self.told(number), self.told(refused));
                return Err(format!("{what}: accepted, after it was refused to {before}"));
            }
            (false, Standing::Live, _) => return Err(format!("{}: refused, and nothing had ended it", self.told(number))),
            (true, ..) => known.accepted = known.accepted.filter(|known| known.began > span.began).or(Some(span)),
            (false, standing, _) => {
                known.refused = known.refused.or(Some(number));
                if let Standing::Dead(by) = standing {
                    known.dead = Some(by);
                }
            }
        }
        if is_accepted { self.judge_rights(number, token) } else { Ok(()) }
    }

    /// A log-in comes in by a password that could be the present one, and is refused for a reason only.
    fn judge_log_in(&self, number: usize) -> Result<(), String> {
        let call = &self.calls[number];
        let (user, password) = (call.text("username"), call.text("password"));
        let passwords = self.could_be(user, "password", call.span);
        let is_active = self.could_be(user, "is_active", call.span);
        let enters = passwords.iter().any(|known| **known == password) && is_active.contains(&&json!(true));
        let meanwhile = |end: &End| {
            let end = self.calls[end.call].span;
            !end.is_before(call.span) && !call.span.is_before(end)
        };
        let fails = passwords.is_empty()
            || passwords.iter().any(|known| **known != password)
            || is_active.contains(&&json!(false))
            || self.ends.get(user).is_some_and(|ends| ends.iter().any(meanwhile));
        match call.is_done() {
            true if !enters => Err(format!("{}: nobody could come in so", self.told(number))),
            false if !fails => Err(format!("{}: refused, and all was right", self.told(number))),
            _ => Ok(()),
        }
    }

    /// Whoever a token is of, what it may, and what the record says is what could have been granted.
    fn judge_rights(&self, number: usize, token: usize) -> Result<(), String> {
        let call = &self.calls[number];
        let (token, session) = (&self.tokens[token], &self.sessions[self.tokens[token].session]);
        let (path, query) = call.path.split_once('?').unwrap_or((&call.path, ""));
        let mut shown: Vec<(String, bool)> = Vec::new();
        if let Some(results) = call.reply["results"].as_object() {
            shown.extend(results.iter().map(|(name, has)| (name.clone(), *has == true)));
        }
        if let Some(name) = query.strip_prefix("permission=").filter(|_| path == "/v1/verify") {
            shown.push((name.to_owned(), call.status == 204));
        }
        for (name, has) in shown {
            let user = session.user.as_deref();
            let (mut may, mut may_not) = user.map_or((false, true), |user| self.allowed(user, &name, call.span));
            if let Some(scope) = &token.scope {
                let within = scope.as_array().unwrap().contains(&json!(name));
                (may, may_not) = (may && within, may_not || !within);
            }
            if (has && !may) || (!has && !may_not) {
                let wrong = if has { "has, and nobody granted it" } else { "lacks, and nobody took it" };
                return Err(format!("{}: {name}: {wrong}", self.told(number)));
            }
        }
        if call.is(&Method::GET, "/v1/session") && call.reply != json!([session.sid, session.user]) {
            return Err(format!("{}: of somebody else: {}", self.told(number), call.reply));
        }
        if let Some(user) = path.strip_prefix("/v1/users/").and_then(|id| self.names.get(id))
            && call.is(&Method::GET, path)
            && call.is_done()
        {
            for member in ["is_active", "is_superuser", "user_permissions"] {
                if !self.could_be(user, member, call.span).contains(&&call.reply[member]) {
                    return Err(format!("{}: {member} on record: {}", self.told(number), call.reply[member]));
                }
            }
        }
        Ok(())
    }

    /// Whether the user may have the permission at some moment of the span, and whether the user may lack it.
    fn allowed(&self, user: &str, name: &str, span: Span) -> (bool, bool) {
        let grants = |value: &&Value| value.as_array().is_some_and(|names| names.contains(&json!(name)));
        let (supers, direct) = (self.could_be(user, "is_superuser", span), self.could_be(user, "user_permissions", span));
        let of = |group: &Value| self.could_be(group.as_str().unwrap(), "permissions", span);
        let memberships = self.could_be(user, "groups", span);
        let memberships: Vec<&Vec<Value>> = memberships.iter().filter_map(|groups| groups.as_array()).collect();
        let may = supers.iter().any(|is| **is == true)
            || direct.iter().any(grants)
            || memberships.iter().any(|groups| groups.iter().any(|group| of(group).iter().any(grants)));
        let may_not = supers.iter().any(|is| **is == false)
            && direct.iter().any(|names| !grants(names))
            && memberships.iter().any(|groups| groups.iter().all(|group| of(group).iter().any(|now| !grants(now))));
        (may, may_not)
    }

    /// The call in words: what was asked, of whom, when, and what was answered.
    fn told(&self, number: usize) -> String {
        let Call { method, path, body, token, span, status, .. } = &self.calls[number];
        let who = token.map(|token| {
            let Session { user, sid, .. } = &self.sessions[self.tokens[token].session];
            format!(" by {} in session {}", user.as_deref().unwrap_or("nobody"), &sid[..6])
        });
        let (began, answered) = (span.began, span.answered);
        let body = if body.is_null() { String::new() } else { format!(" {body}") };
        format!("[{method} {path}{body}{} at {began} to {answered}: {status}]", who.unwrap_or_default())
    }
}

impl Token {
    fn new(text: &str) -> Self {
        Self { text: text.into(), session: 0, ground: 0, scope: None, refused: None, dead: None, accepted: None }
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
