//! What the operations mean: what each of them ends, and what it writes.

use serde_json::{Value, json};

use super::{EVERYBODY, End, History, Scope, text};

impl History {
    /// Takes in what the call ends and writes, when it was done or may be.
    pub(super) fn read(&mut self, number: usize) {
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
        let (body, call_is_done) = (call.body.clone(), call.is_done());
        match (call.method.as_str(), parts.as_slice()) {
            ("POST", ["login"]) => {
                self.ends_session(number, session);
                // Whoever came in tells what the password was.
                if call_is_done {
                    self.writes(number, &text(&body, "username"), "password", body["password"].clone());
                }
            }
            ("POST", ["logout"]) | ("DELETE", ["session"]) => self.ends_session(number, session),
            ("POST", ["register"]) => {
                self.ends_session(number, session);
                self.writes_user(number, &body);
            }
            ("DELETE", ["sessions" | "tokens", sid]) => self.ends_session(number, self.by_sid.get(*sid).copied()),
            ("DELETE", ["sessions"]) => self.ends(number, own.as_deref(), Scope::User),
            ("POST", ["password"]) => self.sets_password(number, &own.unwrap(), body["new_password"].as_str()),
            ("POST", ["password", "reset", "confirm"]) => {
                let user = self.letters[&text(&body, "token")].clone();
                self.sets_password(number, &user, body["new_password"].as_str());
            }
            ("POST", ["epoch"]) => self.ends(number, Some(EVERYBODY), Scope::Epoch),
            ("POST", ["users"]) => self.writes_user(number, &body),
            ("PATCH", ["users", _]) => self.changes_user(number, &named(1), &body),
            ("DELETE", ["users", _]) => {
                self.deleted.entry(named(1)).or_default().push(number);
                self.changes_user(number, &named(1), &json!({ "is_active": false }));
            }
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
                let granted = body["permissions"].as_array().cloned().unwrap_or_default();
                self.writes(number, &id, "permissions", granted.into());
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
            ("DELETE", ["groups", id]) => {
                self.deleted.entry((*id).to_owned()).or_default().push(number);
                self.writes(number, id, "permissions", json!([]));
            }
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

    fn sets_password(&mut self, call: usize, user: &str, password: Option<&str>) {
        if let Some(password) = password {
            let before = self.setters.insert((user.to_owned(), password.to_owned()), call);
            assert!(before.is_none(), "whoever calls sets each password of a user once");
        }
        self.writes(call, user, "password", json!(password));
        self.ends(call, Some(user), Scope::User);
    }

    fn writes_user(&mut self, call: usize, new: &Value) {
        // Kept in another width than it came, perhaps.
        let kept = text(&self.calls[call].reply, "username");
        let user = &if kept.is_empty() { text(new, "username") } else { kept };
        self.names.insert(text(&self.calls[call].reply, "id"), user.clone());
        self.made.entry(user.clone()).or_default().push(call);
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
