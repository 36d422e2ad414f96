//! An import into a running server: the client's half.
//!
//! Owns the log-in, the parts and the taking back: everything is judged by the server before anything is written; each
//! part is written whole or not at all; when one fails, what this run has made is deleted again.

use std::collections::HashSet;
use std::time::Duration;

use reqwest::header::{COOKIE, SET_COOKIE};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::input::Unreadable;
use super::outcome::Fate;
use super::record::{Item, Record};
use super::report::{Loss, Report, Told};
use super::run::{NotDone, Progress, Wish};
use super::seen::Seen;
use super::source::Source;
use super::{Part, RECORDS_MAX};
use crate::user::Username;

/// Bytes of records that one part takes, at the most; a single one may take more.
const PART_BYTES: usize = 2 * 1024 * 1024;

/// How long one request may take.
const PATIENCE: Duration = Duration::from_mins(1);

const COOKIE_NAME: &str = "__Host-signet";

fn failed(what: impl std::fmt::Display) -> NotDone {
    NotDone::Failed(what.to_string())
}

/// A server, and a superuser's session on it.
pub struct Remote {
    http: reqwest::Client,
    base: String,
    cookie: Zeroizing<String>,
}

impl Remote {
    /// Logs in. `authority` is a certificate in PEM to trust besides those that the system trusts.
    ///
    /// # Errors
    /// When the address would carry the password in clear, the server is not there, or the log-in fails.
    pub async fn log_in(url: &str, username: &str, password: &str, authority: Option<&[u8]>) -> Result<Self, NotDone> {
        let base = url.trim_end_matches('/').to_owned();
        let parsed = reqwest::Url::parse(&base).map_err(|e| failed(format!("--url: not an address: {e}")))?;
        let here = ["localhost", "127.0.0.1", "[::1]"].contains(&parsed.host_str().unwrap_or_default());
        if parsed.scheme() != "https" && !(parsed.scheme() == "http" && here) {
            return Err(failed("--url: passwords travel over https only; give an address that begins with https://"));
        }
        let mut builder = reqwest::Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none());
        if let Some(pem) = authority {
            let certificate = reqwest::Certificate::from_pem(pem).map_err(|e| failed(format!("--ca: {e}")))?;
            builder = builder.tls_certs_merge([certificate]);
        }
        let http = builder.build().map_err(|e| failed(format!("cannot call servers: {}", cause(&e))))?;
        let mut remote = Self { http, base, cookie: Zeroizing::new(String::new()) };
        let credentials = json!({ "username": username, "password": password });
        remote.call(Method::POST, "/v1/login", Some(credentials.to_string())).await?;
        Ok(remote)
    }

    /// The body of a success.
    async fn call(&mut self, method: Method, path: &str, body: Option<String>) -> Result<Value, NotDone> {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.base));
        if !self.cookie.is_empty() {
            request = request.header(COOKIE, format!("{COOKIE_NAME}={}", *self.cookie));
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let lost = |e: reqwest::Error| failed(format!("{}: {}", self.base, cause(&e)));
        let answer = request.send().await.map_err(lost)?;
        let status = answer.status();
        for line in answer.headers().get_all(SET_COOKIE) {
            let ours = line.to_str().ok().and_then(|line| line.strip_prefix(COOKIE_NAME)?.strip_prefix('='));
            if let Some(token) = ours.and_then(|line| line.split(';').next()) {
                self.cookie = Zeroizing::new(token.to_owned());
            }
        }
        let body = answer.bytes().await.map_err(lost)?;
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        if status.is_success() {
            return Ok(body);
        }
        let word = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let errors = body["errors"].as_array().into_iter().flatten();
        let errors: String = errors.map(|e| format!("; {}: {}", e["field"], e["message"])).collect();
        let what = match status {
            StatusCode::NOT_FOUND if body.is_null() => "there is no signet at this address".to_owned(),
            _ => format!("{} {}{errors}", word("title"), word("detail")),
        };
        Err(NotDone::Refused(status.as_u16(), format!("{}: {method} {path}: {status}: {what}", self.base)))
    }
}

/// What is at the bottom of a failure.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[derive(Deserialize)]
struct Answer {
    outcomes: Vec<Shown>,
}

#[derive(Deserialize)]
struct Shown {
    fate: Fate,
    losses: Vec<Loss>,
    password_format: Option<String>,
}

/// Imports a source into a running server, or says what would come of it.
///
/// # Errors
/// When the source is unreadable, or the server is gone or refuses; what was made is taken back then, as far as the
/// server is there.
pub async fn import(
    mut source: Source,
    mut remote: Remote,
    wish: &Wish,
    progress: Progress<'_>,
) -> Result<(Source, Report), NotDone> {
    let mut dry = Pass::new(&mut remote, wish, progress, false);
    source = dry.run(source).await?;
    let (mut report, fates) = (std::mem::take(&mut dry.report), std::mem::take(&mut dry.fates));
    drop(dry);
    source.remark(&mut report);
    report.complete = report.lost() == 0;
    if wish.apply && (report.complete || wish.skip) {
        if report.changes_something() {
            let mut pass = Pass::new(&mut remote, wish, progress, true);
            pass.fates = fates;
            match pass.run(source).await {
                Ok(read) => source = read,
                Err(why) => {
                    let made = std::mem::take(&mut pass.made);
                    drop(pass);
                    return Err(take_back(&mut remote, made, &why).await);
                }
            }
        }
        report.applied = true;
    }
    Ok((source, report))
}

/// What a run has made, as the paths under which it is deleted; and whether it has changed what was there.
#[derive(Default)]
struct Made {
    paths: Vec<String>,
    changed: bool,
}

async fn take_back(remote: &mut Remote, made: Made, why: &NotDone) -> NotDone {
    let changed = if made.changed { "; accounts that were there and were replaced stay replaced" } else { "" };
    for (left, path) in made.paths.iter().enumerate().rev() {
        match remote.call(Method::DELETE, path, None).await {
            // It had not been made after all.
            Ok(_) | Err(NotDone::Refused(404, _)) => {}
            Err(e) => {
                let left = left + 1;
                return failed(format!(
                    "{why}; and {left} records could not be taken back ({e}); run it again to finish it{changed}"
                ));
            }
        }
    }
    failed(format!("{why}; what was made is taken back{changed}"))
}

/// One way through the source.
struct Pass<'a> {
    remote: &'a mut Remote,
    wish: &'a Wish,
    progress: Progress<'a>,
    apply: bool,
    report: Report,
    seen: Seen,
    groups: HashSet<String>,
    permissions: HashSet<String>,
    /// What each record came to when nothing was written.
    fates: Vec<Fate>,
    /// Records so far.
    at: usize,
    made: Made,
}

impl<'a> Pass<'a> {
    fn new(remote: &'a mut Remote, wish: &'a Wish, progress: Progress<'a>, apply: bool) -> Self {
        Self {
            remote,
            wish,
            progress,
            apply,
            report: Report::default(),
            seen: Seen::default(),
            groups: HashSet::new(),
            permissions: HashSet::new(),
            fates: Vec::new(),
            at: 0,
            made: Made::default(),
        }
    }

    async fn run(&mut self, mut source: Source) -> Result<Source, NotDone> {
        let total = source.records();
        let (send, mut parts) = mpsc::channel::<Vec<Item>>(2);
        let reading = tokio::task::spawn_blocking(move || {
            let (mut part, mut bytes) = (Vec::new(), 0);
            let read = source.read(&mut |item| {
                bytes += serde_json::to_vec(&item.record).map_or(0, |text| text.len());
                part.push(item);
                if part.len() < RECORDS_MAX && bytes < PART_BYTES {
                    return Ok(());
                }
                bytes = 0;
                let full = std::mem::take(&mut part);
                send.blocking_send(full).map_err(|_| Unreadable("stopped".to_owned()))
            });
            // Who is gone needs nothing more.
            read.map(|()| drop(send.blocking_send(part))).map(|()| source)
        });
        while let Some(part) = parts.recv().await {
            let read = part.len();
            self.part(part).await?;
            self.at += read;
            (self.progress)(self.at as u64, total);
        }
        Ok(reading.await.map_err(failed)??)
    }

    async fn part(&mut self, items: Vec<Item>) -> Result<(), NotDone> {
        let mut told = Vec::with_capacity(items.len());
        let mut records = Vec::new();
        for item in &items {
            let judged = self.own_judgement(item);
            if judged.is_none() {
                records.extend(item.record.clone());
            }
            told.push(judged);
        }
        if !records.is_empty() {
            let answer = self.send(records, &items, &told).await?;
            let mut shown = answer.outcomes.into_iter();
            for told in told.iter_mut().filter(|told| told.is_none()) {
                *told = shown.next().map(|s| Told { fate: s.fate, losses: s.losses, format: s.password_format });
            }
        }
        for (item, told) in items.iter().zip(told) {
            let told = told.ok_or_else(|| failed("the server answered for fewer records than it was sent"))?;
            if self.apply {
                self.note(item, told.fate);
            } else {
                self.fates.push(told.fate);
                self.learn(item, told.fate);
            }
            self.report.add(item, &told);
        }
        Ok(())
    }

    /// What the server cannot know: that a record is none, or that one of another part was the same.
    fn own_judgement(&mut self, item: &Item) -> Option<Told> {
        let Some(record) = &item.record else {
            return Some(Told::nothing());
        };
        let Record::User(user) = record else { return None };
        let name = Username::parse(&user.username).ok()?;
        let fault = self.seen.user(user.id, &name).err()?;
        Some(Told { fate: Fate::Refused, losses: vec![Loss::from(&fault)], format: None })
    }

    async fn send(&mut self, records: Vec<Record>, items: &[Item], told: &[Option<Told>]) -> Result<Answer, NotDone> {
        let (mut groups, mut permissions) = (HashSet::new(), HashSet::new());
        for record in records.iter().filter(|_| !self.apply) {
            let (g, p): (&[String], &[String]) = match record {
                Record::Permission(_) => (&[], &[]),
                Record::Group(group) => (&[], &group.permissions),
                Record::User(user) => (&user.groups, &user.user_permissions),
            };
            groups.extend(g.iter().filter(|name| self.groups.contains(*name)).cloned());
            permissions.extend(p.iter().filter(|name| self.permissions.contains(*name)).cloned());
        }
        let part = Part {
            records,
            apply: self.apply,
            skip: self.wish.skip,
            existing: self.wish.existing,
            assumed_groups: groups.into_iter().collect(),
            assumed_permissions: permissions.into_iter().collect(),
        };
        let body = wire(&part).to_string();
        match self.remote.call(Method::POST, "/v1/import", Some(body)).await {
            Ok(answer) => {
                serde_json::from_value(answer).map_err(|_| failed("the server is of another version of signet"))
            }
            Err(NotDone::Failed(why)) if self.apply => {
                // Nobody knows whether it was written: what it would have made is deleted too.
                for (at, (item, _)) in items.iter().zip(told).enumerate().filter(|(_, (_, told))| told.is_none()) {
                    if self.fates.get(self.at + at) == Some(&Fate::Created) {
                        self.note(item, Fate::Created);
                    }
                }
                Err(NotDone::Failed(why))
            }
            Err(why) => Err(why),
        }
    }

    /// What later parts can rest on.
    fn learn(&mut self, item: &Item, fate: Fate) {
        match &item.record {
            _ if fate == Fate::Refused => {}
            Some(Record::Group(group)) => drop(self.groups.insert(group.name.clone())),
            Some(Record::Permission(permission)) => drop(self.permissions.insert(permission.name.clone())),
            _ => {}
        }
    }

    fn note(&mut self, item: &Item, fate: Fate) {
        self.made.changed |= fate == Fate::Changed;
        if fate != Fate::Created {
            return;
        }
        self.made.paths.extend(item.record.as_ref().map(|record| match record {
            Record::Permission(permission) => format!("/v1/permissions/{}", permission.name),
            Record::Group(group) => format!("/v1/groups/{}", group.id),
            Record::User(user) => format!("/v1/users/{}", user.id),
        }));
    }
}

/// The part as it travels: what has its usual value is left out.
fn wire(part: &Part) -> Value {
    let mut body = serde_json::to_value(part).unwrap_or_default();
    let records = body["records"].as_array_mut().into_iter().flatten();
    for members in records.filter_map(Value::as_object_mut).flat_map(serde_json::Map::values_mut) {
        if let Value::Object(members) = members {
            members.retain(|_, value| !value.is_null());
        }
    }
    body
}
