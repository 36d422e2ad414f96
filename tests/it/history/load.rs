//! Clients that get in each other's way: few users, few groups, and everything that can be done with them.
//!
//! Owns what the clients do, and that each call is written down. Where the server is, or whether there is one, is told to
//! them; what an answer may be is judged afterwards.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::record::{Event, Recorder};
use crate::harness::PASSWORD;

/// Users whom many clients are at the same time, and what is granted to them.
const USERS: usize = 6;
const GROUPS: usize = 3;
pub(super) const PERMISSIONS: [&str; 4] = ["polls.a", "polls.b", "polls.c", "polls.d"];

/// The server's address; `None` while it has none.
pub(super) type Place = Option<String>;

/// What all clients share.
pub(super) struct Desk {
    recorder: Mutex<Recorder>,
    place: watch::Receiver<Place>,
    is_over: AtomicBool,
    http: reqwest::Client,
    /// The passwords that a user may have, the likeliest last. Each is set once.
    passwords: Mutex<HashMap<String, Vec<String>>>,
    count: AtomicU64,
    users: Vec<String>,
    groups: Vec<String>,
}

/// An answer.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Value,
    set: Option<String>,
}

impl Reply {
    fn is_done(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl Desk {
    /// Makes what the clients contend for.
    pub(super) async fn open(recorder: Recorder, place: watch::Receiver<Place>) -> Arc<Self> {
        // Longer than any stop of the process, so that whoever waits through one is answered.
        let http = reqwest::Client::builder().timeout(Duration::from_secs(8)).build().unwrap();
        let desk = Self {
            recorder: Mutex::new(recorder),
            place,
            is_over: AtomicBool::new(false),
            http,
            passwords: Mutex::default(),
            count: AtomicU64::new(0),
            users: Vec::new(),
            groups: Vec::new(),
        };
        desk.passwords.lock().unwrap().insert("admin".to_owned(), vec![PASSWORD.to_owned()]);
        let desk = Arc::new(desk);
        let mut admin = Client::new(&desk, 0, 0);
        admin.log_in("admin").await;
        for name in PERMISSIONS {
            admin.made("/v1/permissions", json!({ "name": name })).await;
        }
        let (mut users, mut groups) = (Vec::new(), Vec::new());
        for n in 0..GROUPS {
            groups.push(admin.made("/v1/groups", json!({ "name": format!("group{n}"), "permissions": [] })).await);
        }
        for n in 0..USERS {
            let name = format!("user{n}");
            let password = desk.fresh(&name);
            users.push(admin.made("/v1/users", json!({ "username": name, "password": password })).await);
        }
        drop(admin);
        let desk = Arc::into_inner(desk).unwrap();
        Arc::new(Self { users, groups, ..desk })
    }

    /// A password that was never set, among those that the user may have from now on.
    fn fresh(&self, user: &str) -> String {
        let password = format!("{PASSWORD} {}", self.count.fetch_add(1, Ordering::Relaxed));
        self.passwords.lock().unwrap().entry(user.to_owned()).or_default().push(password.clone());
        password
    }

    /// What became of it is known: the user has it, and none of before, or will not have it.
    fn settled(&self, user: &str, password: &str, is_set: bool) {
        let mut passwords = self.passwords.lock().unwrap();
        let known = passwords.get_mut(user).unwrap();
        let at = known.iter().position(|one| one == password).unwrap();
        if is_set {
            known.drain(..at);
        } else {
            known.remove(at);
        }
    }

    pub(super) fn see(&self, event: &Event) -> usize {
        self.recorder.lock().unwrap().see(event)
    }

    /// The recorder, when nobody else is at the desk.
    pub(super) fn close(self: Arc<Self>) -> Recorder {
        Arc::into_inner(self).unwrap().recorder.into_inner().unwrap()
    }

    /// Names of all users that may be there.
    pub(super) fn names(&self) -> Vec<String> {
        self.passwords.lock().unwrap().keys().cloned().collect()
    }

    pub(super) fn users(&self) -> &[String] {
        &self.users
    }

    /// The token at this place of the history, whichever that is; whether it is an API token; whether it is somebody's.
    pub(super) fn token(&self, at: usize) -> Option<(String, bool, bool)> {
        let found = self.recorder.lock().unwrap().history().one_token(at);
        found.map(|(text, is_api, is_somebody)| (text.to_string(), is_api, is_somebody))
    }

    /// Every token that was given out.
    pub(super) fn tokens(&self) -> Vec<(String, bool, bool)> {
        let tokens = self.recorder.lock().unwrap().history().tokens();
        tokens.into_iter().map(|(text, is_api, is_somebody)| (text.to_string(), is_api, is_somebody)).collect()
    }

    /// The server's address, as soon as there is one.
    async fn up(&self) -> Option<String> {
        let mut place = self.place.clone();
        let found = place.wait_for(Option::is_some).await.ok()?;
        found.clone()
    }

    /// Lets the clients come to their end.
    pub(super) fn rest(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Makes the call and writes it down; `None` when there was no answer, or one that leaves open what happened.
    async fn call(&self, client: usize, what: &str, body: Value, token: Option<&str>, is_api: bool) -> Option<Reply> {
        let base = self.up().await?;
        let (method, path) = what.split_once(' ').unwrap();
        let mut request = self.http.request(method.parse().unwrap(), format!("{base}{path}"));
        match token {
            Some(token) if is_api => request = request.bearer_auth(token),
            Some(token) => request = request.header("cookie", format!("__Host-signet={token}")),
            None => {}
        }
        if !body.is_null() {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let (method, path, token) = (method.to_owned(), path.to_owned(), token.map(str::to_owned));
        let call = self.see(&Event::Begins { client, node: 0, method, path, body, token });
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(why) => {
                if why.is_connect() {
                    self.see(&Event::Void { call });
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
                return None;
            }
        };
        let status = answer.status().as_u16();
        assert!(status != 500, "{what}: it failed by itself");
        let set = answer.headers().get("set-cookie").map(|line| {
            let value = line.to_str().unwrap().strip_prefix("__Host-signet=").unwrap();
            value.split(';').next().unwrap().to_owned()
        });
        let reply = answer.bytes().await.ok()?;
        let body: Value = serde_json::from_slice(&reply).unwrap_or_default();
        // A failure of the disk leaves open whether it is done; a proxy is told no, whatever the rights are.
        let is_unjudged = body["detail"].as_str().is_some_and(|why| why.starts_with("This could not be judged"));
        if status > 500 || is_unjudged {
            tokio::time::sleep(Duration::from_millis(20)).await;
            return None;
        }
        let token = set.clone().filter(|token| !token.is_empty());
        self.see(&Event::Answers { call, status, reply: body.clone(), set: token });
        Some(Reply { status, body, set })
    }
}

/// A client, which keeps its cookie.
pub(super) struct Client {
    desk: Arc<Desk>,
    number: usize,
    rng: Rng,
    user: String,
    token: Option<String>,
    /// The API token that it made, and the token's id.
    api: Option<(String, String)>,
}

impl Client {
    pub(super) fn new(desk: &Arc<Desk>, number: usize, seed: u64) -> Self {
        let rng = Rng::with_seed(seed.wrapping_add(number as u64));
        Self { desk: Arc::clone(desk), number, rng, user: String::new(), token: None, api: None }
    }

    pub(super) async fn call(&mut self, what: &str, body: Value) -> Option<Reply> {
        let reply = self.desk.call(self.number, what, body, self.token.as_deref(), false).await?;
        match reply.set.as_deref() {
            Some("") => self.leave(),
            Some(token) => self.token = Some(token.to_owned()),
            None if reply.status == 401 => self.leave(),
            None => {}
        }
        Some(reply)
    }

    /// Makes something, before anything is done to the server; gives its path.
    async fn made(&mut self, path: &str, new: Value) -> String {
        let reply = self.call(&format!("POST {path}"), new).await.unwrap();
        assert_eq!(reply.status, 201, "{path}: {}", reply.body);
        format!("{path}/{}", reply.body["id"].as_str().unwrap_or_default())
    }

    /// Logs in by one of the passwords that the user may have. Whether that was done.
    pub(super) async fn log_in(&mut self, user: &str) -> bool {
        let known = self.desk.passwords.lock().unwrap().get(user).cloned().unwrap_or_default();
        for password in known.into_iter().rev() {
            let body = json!({ "username": user, "password": password });
            if self.call("POST /v1/login", body).await.is_some_and(|reply| reply.is_done()) {
                user.clone_into(&mut self.user);
                return true;
            }
        }
        false
    }

    /// Goes on until there is no server any more.
    pub(super) async fn run(mut self, is_admin: bool) {
        while !self.desk.is_over.load(Ordering::Relaxed) {
            if self.rng.u8(..100) < 25 {
                self.replay().await;
            } else if is_admin {
                self.administer().await;
            } else if self.token.is_some() {
                self.go_on().await;
            } else {
                self.begin().await;
            }
        }
    }

    /// Asks for a token that somebody was given at some time.
    async fn replay(&mut self) {
        if let Some(token) = self.desk.token(self.rng.usize(..)) {
            self.ask(token).await;
        }
    }

    /// Asks for a token as a session, and for what it may.
    pub(super) async fn ask(&mut self, (token, is_api, is_somebody): (String, bool, bool)) {
        let desk = Arc::clone(&self.desk);
        let token = Some(token.as_str());
        if !is_api {
            desk.call(self.number, "GET /v1/session", Value::Null, token, false).await;
        }
        if is_somebody {
            let asked = json!({ "permissions": PERMISSIONS });
            desk.call(self.number, "POST /v1/permissions/check", asked, token, is_api).await;
        }
    }

    async fn begin(&mut self) {
        match self.rng.u8(..100) {
            0..55 => {
                let user = format!("user{}", self.rng.usize(..USERS));
                self.log_in(&user).await;
            }
            55..85 => {
                let data = json!({ "a": self.rng.u8(..) });
                self.call("PATCH /v1/session", data).await;
            }
            _ => self.register().await,
        }
    }

    /// Registers a name that others want as well, or logs in by it.
    async fn register(&mut self) {
        let name = format!("twin{}", self.rng.u16(..400));
        if self.rng.bool() && self.log_in(&name).await {
            return;
        }
        let password = self.desk.fresh(&name);
        let reply = self.call("POST /v1/register", json!({ "username": name, "password": password })).await;
        match reply.map(|reply| reply.is_done()) {
            Some(true) => self.user = name,
            Some(false) => self.desk.settled(&name, &password, false),
            None => {}
        }
    }

    async fn go_on(&mut self) {
        let permission = PERMISSIONS[self.rng.usize(..PERMISSIONS.len())];
        let is_nobody = self.user.is_empty();
        match self.rng.u8(..100) {
            0..25 => drop(self.call("GET /v1/session", Value::Null).await),
            25..35 => drop(self.call("POST /v1/session/renew", Value::Null).await),
            35..45 => {
                let data = json!({ "a": self.rng.u8(..) });
                drop(self.call("PATCH /v1/session", data).await);
            }
            45..58 => {
                drop(self.call("POST /v1/logout", Value::Null).await);
                self.leave();
            }
            58..62 => {
                drop(self.call("DELETE /v1/session", Value::Null).await);
                self.leave();
            }
            // What follows is somebody's.
            _ if is_nobody => self.begin().await,
            62..70 => drop(self.call(&format!("GET /v1/verify?permission={permission}"), Value::Null).await),
            70..78 => drop(self.call("POST /v1/permissions/check", json!({ "permissions": PERMISSIONS })).await),
            78..81 => drop(self.call("DELETE /v1/sessions?keep=current", Value::Null).await),
            81..82 => drop(self.call("DELETE /v1/sessions", Value::Null).await),
            82..86 => self.change_password().await,
            86..90 => self.end_a_device().await,
            _ => self.use_machine().await,
        }
    }

    /// Is nobody from now on, whatever was answered.
    fn leave(&mut self) {
        (self.token, self.api) = (None, None);
        self.user.clear();
    }

    async fn change_password(&mut self) {
        let user = self.user.clone();
        let Some(old) = self.desk.passwords.lock().unwrap()[&user].last().cloned() else { return };
        let new = self.desk.fresh(&user);
        let reply = self.call("POST /v1/password", json!({ "old_password": old, "new_password": new })).await;
        if let Some(reply) = reply {
            self.desk.settled(&user, &new, reply.is_done());
        }
    }

    async fn end_a_device(&mut self) {
        let Some(reply) = self.call("GET /v1/sessions", Value::Null).await else { return };
        let Some(devices) = reply.body["items"].as_array().filter(|devices| !devices.is_empty()) else { return };
        let id = devices[self.rng.usize(..devices.len())]["id"].as_str().unwrap();
        self.call(&format!("DELETE /v1/sessions/{id}"), Value::Null).await;
    }

    /// Makes an API token, uses it, or ends it.
    async fn use_machine(&mut self) {
        let Some((api, id)) = self.api.clone() else {
            let name = format!("robot{}", self.rng.u32(..));
            let wish = json!({ "name": name, "permissions": PERMISSIONS[..2] });
            if let Some(reply) = self.call("POST /v1/tokens", wish).await {
                let text = |member: &str| reply.body[member].as_str().map(str::to_owned);
                self.api = text("token").zip(text("id"));
            }
            return;
        };
        if self.rng.u8(..10) == 0 {
            self.call(&format!("DELETE /v1/tokens/{id}"), Value::Null).await;
            self.api = None;
        } else {
            self.ask((api, true, true)).await;
        }
    }

    fn some(&mut self, names: &[&str]) -> Vec<String> {
        names.iter().filter(|_| self.rng.bool()).map(|name| (*name).to_owned()).collect()
    }

    async fn administer(&mut self) {
        if self.token.is_none() && !self.log_in("admin").await {
            return;
        }
        let desk = Arc::clone(&self.desk);
        let user = &desk.users()[self.rng.usize(..USERS)];
        let (patch, often) = (format!("PATCH {user}"), self.rng.u8(..4) != 0);
        match self.rng.u8(..100) {
            0..25 => {
                let granted = self.some(&PERMISSIONS);
                self.call(&patch, json!({ "user_permissions": granted })).await;
            }
            25..45 => {
                let groups = self.some(&["group0", "group1", "group2"]);
                self.call(&patch, json!({ "groups": groups })).await;
            }
            45..65 => {
                let (granted, group) = (self.some(&PERMISSIONS), &desk.groups[self.rng.usize(..GROUPS)]);
                self.call(&format!("PATCH {group}"), json!({ "permissions": granted })).await;
            }
            65..72 => drop(self.call(&patch, json!({ "is_active": often })).await),
            72..76 => drop(self.call(&patch, json!({ "is_superuser": !often })).await),
            76..82 => drop(self.call(&format!("DELETE {user}/sessions"), Value::Null).await),
            82..84 => drop(self.call(&format!("DELETE {user}/tokens"), Value::Null).await),
            84..95 => drop(self.call(&format!("GET {user}"), Value::Null).await),
            95..99 => self.make_and_delete().await,
            _ if !often => drop(self.call("POST /v1/epoch", Value::Null).await),
            _ => {}
        }
    }

    /// Makes a user, who logs in, and deletes the user.
    async fn make_and_delete(&mut self) {
        let name = format!("gone{}", self.rng.u64(..));
        let password = self.desk.fresh(&name);
        let Some(reply) = self.call("POST /v1/users", json!({ "username": name, "password": password })).await else {
            return;
        };
        let Some(id) = reply.body["id"].as_str() else { return };
        let mut theirs = Self::new(&self.desk, self.number, self.rng.u64(..));
        theirs.log_in(&name).await;
        self.call(&format!("DELETE /v1/users/{id}"), Value::Null).await;
    }
}
