//! Where all clients of a history call from: the nodes' addresses, their passwords, and the one record of what was seen.
//!
//! Owns how a call is made and written down. An answer that leaves open what happened is none.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;

use super::record::{Event, Recorder};
use crate::harness::{PASSWORD, plain_http};

/// A node's address; `None` while it has none.
pub(super) type Place = Option<String>;

/// What all clients share.
pub(super) struct Desk {
    recorder: Mutex<Recorder>,
    /// One for each node.
    places: Vec<watch::Receiver<Place>>,
    is_over: AtomicBool,
    http: reqwest::Client,
    /// The passwords that a user may have, the likeliest last. Each is set once.
    passwords: Mutex<HashMap<String, Vec<String>>>,
    count: AtomicU64,
}

/// An answer.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Value,
    pub(super) set: Option<String>,
}

impl Reply {
    pub(super) fn is_done(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl Desk {
    /// With a record, for nodes at those places.
    pub(super) fn open(recorder: Recorder, places: Vec<watch::Receiver<Place>>) -> Arc<Self> {
        // Longer than any stop of the process, so that whoever waits through one is answered.
        let http = plain_http().timeout(Duration::from_secs(8)).build().unwrap();
        let desk = Self {
            recorder: Mutex::new(recorder),
            places,
            is_over: AtomicBool::new(false),
            http,
            passwords: Mutex::default(),
            count: AtomicU64::new(0),
        };
        desk.passwords.lock().unwrap().insert("admin".to_owned(), vec![PASSWORD.to_owned()]);
        Arc::new(desk)
    }

    /// A password that was never set, among those that the user may have from now on.
    pub(super) fn fresh(&self, user: &str) -> String {
        let password = format!("{PASSWORD} {}", self.count.fetch_add(1, Ordering::Relaxed));
        self.passwords.lock().unwrap().entry(user.to_owned()).or_default().push(password.clone());
        password
    }

    /// What became of it is known: the user has it, and none of before, or will not have it.
    pub(super) fn settled(&self, user: &str, password: &str, is_set: bool) {
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

    /// One of the nodes, and its address, as soon as it has one.
    async fn up(&self) -> Option<(usize, String)> {
        let node = fastrand::usize(..self.places.len());
        let mut place = self.places[node].clone();
        let found = place.wait_for(Option::is_some).await.ok()?;
        found.clone().map(|base| (node, base))
    }

    /// Lets the clients come to their end.
    pub(super) fn rest(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// The passwords that the user may have, the likeliest last.
    pub(super) fn passwords(&self, user: &str) -> Vec<String> {
        self.passwords.lock().unwrap().get(user).cloned().unwrap_or_default()
    }

    /// Makes the call and writes it down; `None` when there was no answer, or one that leaves open what happened.
    pub(super) async fn call(
        &self,
        client: usize,
        what: &str,
        body: Value,
        token: Option<&str>,
        is_api: bool,
    ) -> Option<Reply> {
        let (node, base) = self.up().await?;
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
        let call = self.see(&Event::Begins { client, node, method, path, body, token });
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
