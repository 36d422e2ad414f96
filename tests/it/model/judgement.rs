//! The judgement: what an answer may be, by what was done before it and what may have been done meanwhile.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use poem::http::Method;
use serde_json::{Value, json};

use super::{Call, EVERYBODY, End, History, Scope, Session, Span, Standing, Token};

impl History {
    /// Whatever the member of the thing could have been at some moment of the span, on record.
    fn could_be(&self, thing: &str, member: &'static str, span: Span) -> Vec<&Value> {
        self.could_be_after(thing, member, span, Span::is_before)
    }

    /// Whatever a node that may not know all of it yet could take it for.
    fn could_seem(&self, thing: &str, member: &'static str, span: Span) -> Vec<&Value> {
        self.could_be_after(thing, member, span, |write, span| self.is_known(write, span))
    }

    fn could_be_after(
        &self,
        thing: &str,
        member: &'static str,
        span: Span,
        is_past: impl Fn(Span, Span) -> bool,
    ) -> Vec<&Value> {
        let Some(written) = self.written.get(&(thing.to_owned(), member)) else { return Vec::new() };
        // What was over before another write began that was done before the span is no more.
        let done = written.iter().map(|(call, _)| &self.calls[*call]);
        let done = done.filter(|write| write.is_done() && is_past(write.span, span));
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
        let later = Span { began: end.span.answered.saturating_add(1), ..ground.span };
        let stays_out = || self.could_be(user, "is_active", later).iter().all(|is_active| **is_active == false);
        (end.disables() && end.is_done() && stays_out()).then_some(Ordering::Less)
    }

    /// What an answer in this span may be to the token.
    fn standing(&self, token: &Token, span: Span) -> Standing {
        let session = &self.sessions[token.session];
        let (user, origin) = (session.user.as_deref(), self.calls[session.origin].span);
        // Before the bound is over, what began after an end may not know of it.
        let since = if self.bound == 0 { origin.began } else { 0 };
        if let Some(by) = token.dead.filter(|by| self.is_known(self.calls[*by].span, span)) {
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
                Scope::Epoch => self
                    .order(session.origin, end.call, EVERYBODY)
                    .filter(|order| *order != Ordering::Greater || self.is_known(self.calls[end.call].span, origin)),
            };
            let call = &self.calls[end.call];
            if order == Some(Ordering::Less) && call.is_done() && self.is_known(call.span, span) {
                return Standing::Dead(end.call);
            }
            // What it survived does not end it.
            let survived = token.accepted.is_some_and(|accepted| self.is_known(call.span, accepted));
            if order != Some(Ordering::Greater) && !span.is_before(call.span) && !survived {
                standing = Standing::Either;
            }
        }
        standing
    }

    pub(super) fn judge(&mut self, number: usize) -> Result<(), String> {
        let call = &self.calls[number];
        if call.status == 0 {
            return Ok(());
        }
        if call.status >= 500 {
            return Err(format!("{}: it failed", self.told(number)));
        }
        self.judge_existence(number)?;
        if call.is(&Method::POST, "/v1/login") {
            return self.judge_log_in(number);
        }
        let free = ["/v1/logout", "/v1/register", "/v1/password/reset", "/v1/email/verify/confirm"];
        let is_free = free.iter().any(|path| call.path.starts_with(path));
        let Some(token) = call.token.filter(|_| !is_free) else { return Ok(()) };
        // What only somebody may do is refused to nobody.
        let is_nobody = self.sessions[self.tokens[token].session].user.is_none();
        let is_of_the_session = call.path.split(['?', '/']).nth(2) == Some("session");
        if is_nobody && !is_of_the_session {
            return Ok(());
        }
        let (span, is_accepted) = (call.span, call.status != 401);
        let standing = self.standing(&self.tokens[token], span);
        let mut refused = self.tokens[token].refused.iter();
        let refused = refused.find(|refused| {
            let refused = self.calls[**refused].span;
            self.is_known(refused, span) && !self.is_ending(token, refused, span)
        });
        let refused = refused.copied();
        let at_node = self.tokens[token].refused.iter().any(|refused| self.calls[*refused].span.node == span.node);
        let known = &mut self.tokens[token];
        match (is_accepted, standing, refused) {
            (true, Standing::Dead(by), _) => {
                let (what, by) = (self.told(number), self.told(by));
                return Err(format!("{what}: accepted, after it was ended by {by}"));
            }
            (true, _, Some(refused)) => {
                let (what, before) = (self.told(number), self.told(refused));
                return Err(format!("{what}: accepted, after it was refused to {before}"));
            }
            (false, Standing::Live, _) => {
                return Err(format!("{}: refused, and nothing had ended it", self.told(number)));
            }
            (true, ..) => known.accepted = known.accepted.filter(|known| known.began > span.began).or(Some(span)),
            (false, standing, _) => {
                if !at_node {
                    known.refused.push(number);
                }
                if let Standing::Dead(by) = standing {
                    known.dead = Some(by);
                }
            }
        }
        if is_accepted { self.judge_rights(number, token) } else { Ok(()) }
    }

    /// Whether something that ends the token was under way when it was refused, and still is: a refusal that comes of the
    /// store may be told before memory knows why.
    fn is_ending(&self, token: usize, refused: Span, span: Span) -> bool {
        let session = &self.sessions[self.tokens[token].session];
        let places = [Some(format!("session {}", session.sid)), session.user.clone(), Some(EVERYBODY.to_owned())];
        let ends = places.iter().flatten().filter_map(|place| self.ends.get(place)).flatten();
        let mut calls = ends.map(|end| &self.calls[end.call]);
        calls.any(|end| end.is_done() && !refused.is_before(end.span) && !end.span.is_before(span))
    }

    /// Nobody is there twice, and nobody is lost.
    fn judge_existence(&self, number: usize) -> Result<(), String> {
        let call = &self.calls[number];
        let path = call.path.split('?').next().unwrap();
        if call.is_done() && call.method == Method::POST && ["/v1/register", "/v1/users"].contains(&path) {
            let name = call.text("username").to_lowercase();
            let others = self.made.iter().filter(|(known, _)| known.to_lowercase() == name);
            for (known, calls) in others {
                let before = |at: &&usize| self.calls[**at].is_done() && self.calls[**at].span.is_before(call.span);
                if let Some(twin) = calls.iter().find(before)
                    && !self.may_be_gone(known, call.span)
                {
                    return Err(format!("{}: there already, by {}", self.told(number), self.told(*twin)));
                }
            }
        }
        let mut parts = path.trim_start_matches("/v1/").split('/');
        let lost = match (parts.next(), parts.next(), parts.next()) {
            (Some("users"), Some(id), _) => self.names.get(id).map(String::as_str),
            (Some("groups"), Some(id), None) => Some(id),
            _ => None,
        };
        if let Some(lost) = lost.filter(|lost| call.status == 404 && !self.may_be_gone(lost, call.span)) {
            return Err(format!("{}: {lost} is lost", self.told(number)));
        }
        Ok(())
    }

    /// Whether somebody may have deleted the user or the group before the end of the span.
    fn may_be_gone(&self, what: &str, span: Span) -> bool {
        let deleted = self.deleted.get(what).into_iter().flatten();
        deleted.map(|call| self.calls[*call].span).any(|deleted| !span.is_before(deleted))
    }

    /// Whether the user was surely made before the span.
    fn is_there(&self, user: &str, span: Span) -> bool {
        let made = self.made.get(user).into_iter().flatten().map(|call| &self.calls[*call]);
        made.into_iter().any(|made| made.is_done() && made.span.is_before(span))
    }

    /// A log-in comes in by a password that could be the present one, and is refused for a reason only.
    fn judge_log_in(&self, number: usize) -> Result<(), String> {
        let call = &self.calls[number];
        let (user, password) = (call.text("username"), call.text("password"));
        let passwords = self.could_be(user, "password", call.span);
        let is_active = self.could_be(user, "is_active", call.span);
        let is_known = !call.is_done() || self.is_on_record(number, user, "password");
        let enters = is_known && passwords.iter().any(|known| **known == password) && is_active.contains(&&json!(true));
        let meanwhile = |end: &End| {
            let end = self.calls[end.call].span;
            !end.is_before(call.span) && !call.span.is_before(end)
        };
        let fails = !self.is_there(user, call.span)
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
        if call.method == Method::GET && call.is_done() {
            let user = path.strip_prefix("/v1/users/").and_then(|id| self.names.get(id)).map(String::as_str);
            if let Some(user) = user
                && !self.could_be(user, "is_active", call.span).contains(&&call.reply["is_active"])
            {
                return Err(format!("{}: is_active on record: {}", self.told(number), call.reply["is_active"]));
            }
            let of_user = ["is_superuser", "user_permissions", "groups"].map(|member| (user, member));
            let of_group = (path.strip_prefix("/v1/groups/"), "permissions");
            for (thing, member) in of_user.into_iter().chain([of_group]) {
                if thing.is_some_and(|thing| !self.is_on_record(number, thing, member)) {
                    return Err(format!("{}: {member} on record: {}", self.told(number), call.reply[member]));
                }
            }
        }
        Ok(())
    }

    /// Whether what the call read of the thing could have been written, or was read before. What it reads is taken in as
    /// well, as that tells what became of calls without an answer; so it is no witness of itself.
    fn is_on_record(&self, number: usize, thing: &str, member: &'static str) -> bool {
        let span = self.calls[number].span;
        let Some(written) = self.written.get(&(thing.to_owned(), member)) else { return true };
        let Some((_, shown)) = written.iter().find(|(call, _)| *call == number) else { return true };
        // In whatever order, and without groups that may be deleted.
        let members = |value: &Value| -> Option<BTreeSet<String>> {
            let names = value.as_array()?.iter().filter_map(|name| name.as_str().map(str::to_owned));
            Some(names.filter(|name| member != "groups" || !self.may_be_gone(name, span)).collect())
        };
        let same = |value: &Value| if shown.is_array() { members(value) == members(shown) } else { value == shown };
        let done = written.iter().map(|(call, _)| &self.calls[*call]);
        let done = done.filter(|write| write.is_done() && write.span.is_before(span));
        let latest = done.map(|write| write.span.began).max().unwrap_or_default();
        written.iter().any(|(call, value)| {
            let write = &self.calls[*call];
            let is_read = write.method == Method::GET || write.is(&Method::POST, "/v1/login");
            let is_witness = !is_read || write.span.is_before(span);
            is_witness && write.span.began < span.answered && write.span.answered >= latest && same(value)
        })
    }

    /// Whether the user may have the permission at some moment of the span, and whether the user may lack it.
    fn allowed(&self, user: &str, name: &str, span: Span) -> (bool, bool) {
        let grants = |value: &&Value| value.as_array().is_some_and(|names| names.contains(&json!(name)));
        let (supers, direct) =
            (self.could_seem(user, "is_superuser", span), self.could_seem(user, "user_permissions", span));
        let of = |group: &Value| self.could_seem(group.as_str().unwrap(), "permissions", span);
        let memberships = self.could_seem(user, "groups", span);
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
