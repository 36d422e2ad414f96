//! Clients that get in each other's way: few users, few groups, and everything that can be done with them.
//!
//! Owns what the clients do. Each call goes by the desk (`desk.rs`); what an answer may be is judged afterwards.

use std::sync::Arc;

use fastrand::Rng;
use serde_json::{Value, json};

use super::desk::{Desk, Reply};

/// Users whom many clients are at the same time, and what is granted to them.
const USERS: usize = 6;
const GROUPS: usize = 3;
pub(super) const PERMISSIONS: [&str; 4] = ["polls.a", "polls.b", "polls.c", "polls.d"];

/// What the clients contend for: the paths of users and groups.
pub(super) struct Scene {
    pub(super) users: Vec<String>,
    groups: Vec<String>,
}

impl Scene {
    /// Makes it, before anything is done to the server.
    pub(super) async fn make(desk: &Arc<Desk>) -> Self {
        let mut admin = Client::new(desk, 0, 0);
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
        Self { users, groups }
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
        for password in self.desk.passwords(user).into_iter().rev() {
            let body = json!({ "username": user, "password": password });
            if self.call("POST /v1/login", body).await.is_some_and(|reply| reply.is_done()) {
                user.clone_into(&mut self.user);
                return true;
            }
        }
        false
    }

    /// Goes on until all are to rest; administers what there is to be administered.
    pub(super) async fn run(mut self, administers: Option<Arc<Scene>>) {
        while !self.desk.is_over() {
            if self.rng.u8(..100) < 25 {
                self.replay().await;
            } else if let Some(scene) = &administers {
                self.administer(scene).await;
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
        let Some(old) = self.desk.passwords(&user).pop() else { return };
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

    async fn administer(&mut self, scene: &Scene) {
        if self.token.is_none() && !self.log_in("admin").await {
            return;
        }
        let user = &scene.users[self.rng.usize(..USERS)];
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
                let (granted, group) = (self.some(&PERMISSIONS), &scene.groups[self.rng.usize(..GROUPS)]);
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
