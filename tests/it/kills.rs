//! What was acknowledged survives `kill -9` at any moment. `SIGNET_KILLS` sets how often the program is killed.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, join_all};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::PASSWORD;
use crate::program::{Caller, Door, Program, cut_a_start_short, fate, random};

/// What was acknowledged, and what was asked for without an answer.
#[derive(Default)]
struct Ledger {
    /// Changes that were acknowledged.
    acknowledged: usize,
    /// Tokens of sessions that have ended.
    ended: Vec<String>,
    /// Tokens that nothing has ended.
    alive: Vec<String>,
    /// The tokens of each session whose end was asked for without an answer: all of them live, or none.
    unsure: Vec<Vec<String>>,
    /// Names that were registered.
    accounts: Vec<String>,
    /// Names that may have been registered.
    begun: Vec<String>,
    /// Passwords that may have been changed.
    changes: Vec<Change>,
    /// Whose rights were changed.
    targets: Vec<Target>,
    /// The present passwords, where they are not the usual one.
    passwords: HashMap<String, String>,
}

/// A change of a password without an answer.
struct Change {
    name: String,
    old: String,
    new: String,
    /// Tokens that it ends.
    tokens: Vec<String>,
}

impl Ledger {
    fn add(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.ended.extend(other.ended);
        self.alive.extend(other.alive);
        self.unsure.extend(other.unsure);
        self.accounts.extend(other.accounts);
        self.begun.extend(other.begun);
        self.changes.extend(other.changes);
        self.targets.extend(other.targets);
        self.passwords.extend(other.passwords);
    }
}

/// Anonymous sessions, begun, written and ended, until the server is gone.
async fn visit(door: Door) -> Ledger {
    let mut ledger = Ledger::default();
    for round in 0u64.. {
        let mut caller = door.anonymous();
        let begun = async {
            caller.want(200, Method::PUT, "/v1/session/data/round", json!({ "value": round })).await?;
            caller.want(200, Method::PATCH, "/v1/session", json!({ "a": round })).await
        };
        if begun.await.is_none() {
            ledger.alive.extend(caller.tokens);
            break;
        }
        if round % 8 == 7 {
            ledger.alive.extend(caller.tokens);
            continue;
        }
        let (method, path) =
            if round % 2 == 0 { (Method::POST, "/v1/logout") } else { (Method::DELETE, "/v1/session") };
        if caller.want(204, method, path, Value::Null).await.is_none() {
            ledger.unsure.push(caller.tokens);
            break;
        }
        ledger.acknowledged += 1;
        ledger.ended.extend(caller.tokens);
    }
    ledger
}

/// Registrations, each with a second log-in that ends the first one everywhere else, until the server is gone.
async fn register(door: Door) -> Ledger {
    let mut ledger = Ledger::default();
    loop {
        let name = format!("user{:016x}", random(u64::MAX));
        let (mut here, mut there) = (door.anonymous(), door.anonymous());
        let account = json!({ "username": name, "password": PASSWORD });
        let Some(_) = here.want(201, Method::POST, "/v1/register", account).await else {
            ledger.begun.push(name);
            return ledger;
        };
        ledger.acknowledged += 1;
        ledger.accounts.push(name.clone());
        let Some(status) = there.log_in(&name, PASSWORD).await else {
            ledger.alive.extend(here.tokens);
            return ledger;
        };
        assert_eq!(status, 200);
        let Some(_) = there.want(204, Method::DELETE, "/v1/sessions?keep=current", Value::Null).await else {
            ledger.unsure.push([here.tokens, there.tokens].concat());
            return ledger;
        };
        ledger.acknowledged += 1;
        let last = there.tokens.pop().unwrap();
        ledger.ended.extend([here.tokens, std::mem::take(&mut there.tokens)].concat());
        if there.want(204, Method::POST, "/v1/logout", Value::Null).await.is_none() {
            ledger.unsure.push(vec![last]);
            return ledger;
        }
        ledger.acknowledged += 1;
        ledger.ended.push(last);
    }
}

/// Changes of one account's password, until the server is gone.
async fn change_password(door: Door, name: String, mut password: String) -> Ledger {
    let mut ledger = Ledger::default();
    let (mut here, mut there) = (door.anonymous(), door.anonymous());
    if here.log_in(&name, &password).await != Some(200) {
        return ledger;
    }
    loop {
        if there.log_in(&name, &password).await != Some(200) {
            break;
        }
        let next = format!("{PASSWORD} {:x}", random(u64::MAX));
        let before = std::mem::take(&mut here.tokens);
        let body = json!({ "old_password": password, "new_password": next });
        let Some(_) = here.want(200, Method::POST, "/v1/password", body).await else {
            let tokens = [before, std::mem::take(&mut there.tokens)].concat();
            ledger.changes.push(Change { name: name.clone(), old: password.clone(), new: next, tokens });
            break;
        };
        ledger.acknowledged += 1;
        ledger.ended.extend(before);
        ledger.ended.append(&mut there.tokens);
        // The log-in that is about to come ends the session that it comes from; it comes without one.
        there.cookie.clear();
        password = next;
    }
    ledger.alive.append(&mut here.tokens);
    ledger.passwords.insert(name, password);
    ledger
}

/// Whose password is changed all the time.
const CHANGER: &str = "changer";

/// What is granted and withdrawn.
const CATALOGUE: [&str; 6] = ["polls.a", "polls.b", "polls.c", "polls.d", "polls.e", "polls.f"];

/// Somebody whose rights are changed all the time, directly or through a group.
#[derive(Clone)]
struct Target {
    /// The resource of the user or the group.
    path: String,
    /// Its member with the permissions.
    member: &'static str,
    /// A token of the user.
    token: String,
    /// The sets that may be in force: more than one after a change without an answer.
    possible: Vec<BTreeSet<String>>,
}

/// Grants and withdrawals, until the server is gone.
async fn grant(mut admin: Caller, mut target: Target) -> Ledger {
    let mut ledger = Ledger::default();
    loop {
        let set = CATALOGUE.iter().filter(|_| random(2) == 0).map(|name| (*name).to_owned());
        let set: BTreeSet<String> = set.collect();
        if admin.want(200, Method::PATCH, &target.path, json!({ target.member: set })).await.is_none() {
            target.possible.push(set);
            ledger.targets.push(target);
            return ledger;
        }
        ledger.acknowledged += 1;
        target.possible = vec![set];
    }
}

/// The administrator's token, the catalogue, an account whose password is changed, and targets of grants.
async fn prepare(program: &Program) -> (String, Vec<Target>) {
    let door = program.door();
    let mut admin = door.anonymous();
    assert_eq!(admin.log_in("admin", PASSWORD).await, Some(200));
    for name in CATALOGUE {
        admin.want(201, Method::POST, "/v1/permissions", json!({ "name": name })).await.unwrap();
    }
    let changer = json!({ "username": CHANGER, "password": PASSWORD });
    admin.want(201, Method::POST, "/v1/users", changer).await.unwrap();
    let mut targets = Vec::new();
    for number in 0..3 {
        let (name, through_group) = (format!("target{number}"), number == 2);
        let mut user = json!({ "username": name, "password": PASSWORD });
        let mut path = String::new();
        if through_group {
            let group = admin.want(201, Method::POST, "/v1/groups", json!({ "name": "polls" })).await.unwrap();
            path = format!("/v1/groups/{}", group["id"].as_str().unwrap());
            user["groups"] = json!(["polls"]);
        }
        let made = admin.want(201, Method::POST, "/v1/users", user).await.unwrap();
        if !through_group {
            path = format!("/v1/users/{}", made["id"].as_str().unwrap());
        }
        let member = if through_group { "permissions" } else { "user_permissions" };
        let mut user = door.anonymous();
        assert_eq!(user.log_in(&name, PASSWORD).await, Some(200));
        targets.push(Target { path, member, token: user.cookie, possible: vec![BTreeSet::new()] });
    }
    (admin.cookie, targets)
}

/// Holds the program, just started again, to what was acknowledged, and gives the number of judgements.
async fn judge(door: &Door, admin: &str, ledger: &mut Ledger) -> usize {
    let mut judged = 0;
    assert_ne!(fate(door, &ledger.ended).await, Some(true), "what was ended lives on");
    assert_ne!(fate(door, &ledger.alive).await, Some(false), "what nobody ended is dead");
    judged += ledger.ended.len() + ledger.alive.len();
    for tokens in &ledger.unsure {
        if fate(door, tokens).await == Some(false) {
            ledger.ended.extend_from_slice(tokens);
        }
        judged += tokens.len();
    }
    for name in &ledger.accounts {
        let mut caller = door.anonymous();
        assert_eq!(caller.log_in(name, PASSWORD).await, Some(200), "an acknowledged registration is lost");
        judged += 1;
    }
    for name in &ledger.begun {
        // There as a whole, so that it can log in, or not at all, so that it can be registered.
        let mut caller = door.anonymous();
        if caller.log_in(name, PASSWORD).await == Some(401) {
            let account = json!({ "username": name, "password": PASSWORD });
            caller.want(201, Method::POST, "/v1/register", account).await.unwrap();
        }
        judged += 1;
    }
    for change in &ledger.changes {
        let is_new = door.anonymous().log_in(&change.name, &change.new).await == Some(200);
        let is_old = door.anonymous().log_in(&change.name, &change.old).await == Some(200);
        assert_ne!(is_new, is_old, "one of the two passwords is right");
        let fate = fate(door, &change.tokens).await;
        assert!(fate.is_none_or(|alive| alive == is_old), "older sessions end with the old password");
        if is_new {
            ledger.ended.extend_from_slice(&change.tokens);
            ledger.passwords.insert(change.name.clone(), change.new.clone());
        }
        judged += 2;
    }
    if let Some(password) = ledger.passwords.get(CHANGER) {
        assert_eq!(door.anonymous().log_in(CHANGER, password).await, Some(200), "the password is another one");
        judged += 1;
    }
    for target in &mut ledger.targets {
        let mut admin = door.with_cookie(admin);
        let record = admin.want(200, Method::GET, &target.path, Value::Null).await.unwrap();
        let record = record[target.member].as_array().unwrap().iter();
        let record: BTreeSet<String> = record.map(|name| name.as_str().unwrap().to_owned()).collect();
        assert!(target.possible.contains(&record), "{record:?} is none of {:?}", target.possible);
        let mut user = door.with_cookie(&target.token);
        let asked = json!({ "permissions": CATALOGUE });
        let answer = user.want(200, Method::POST, "/v1/permissions/check", asked).await.unwrap();
        for name in CATALOGUE {
            assert_eq!(answer["results"][name], record.contains(name), "{name}; on record: {record:?}");
        }
        target.token = user.cookie;
        target.possible = vec![record];
        judged += 1 + CATALOGUE.len();
    }
    judged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_kill_and_nothing_is_half_done() {
    #[expect(clippy::disallowed_methods, reason = "a test has no command line of its own")]
    let kills = std::env::var("SIGNET_KILLS").map_or(25, |kills| kills.parse().unwrap());
    let begun = Instant::now();
    let folder = TempDir::new().unwrap();
    let mut program = Program::start(folder.path());
    let (admin, mut targets) = prepare(&program).await;
    let mut all = Ledger::default();
    let (mut judged, mut cut_short) = (0, 0);
    for _ in 0..kills {
        let door = program.door();
        let mut workers: Vec<BoxFuture<'static, Ledger>> = Vec::new();
        for _ in 0..4 {
            workers.push(Box::pin(visit(door.clone())));
        }
        workers.push(Box::pin(register(door.clone())));
        let password = all.passwords.get(CHANGER).map_or(PASSWORD, String::as_str);
        workers.push(Box::pin(change_password(door.clone(), CHANGER.to_owned(), password.to_owned())));
        for target in targets {
            workers.push(Box::pin(grant(door.with_cookie(&admin), target)));
        }
        let running: Vec<_> = workers.into_iter().map(tokio::spawn).collect();
        // Not to wait for anything, but to strike anywhere.
        tokio::time::sleep(Duration::from_millis(10 + random(250))).await;
        program.kill();
        let mut ledger = Ledger::default();
        for worker in join_all(running).await {
            ledger.add(worker.unwrap());
        }
        // Now and then a start is cut short as well.
        for _ in 0..random(3) {
            cut_a_start_short(folder.path()).await;
            cut_short += 1;
        }
        program = Program::start(folder.path());
        let door = program.door();
        judged += judge(&door, &admin, &mut ledger).await;
        targets = std::mem::take(&mut ledger.targets);
        // Some of what ended long ago, each time.
        for _ in 0..all.ended.len().min(30) {
            let token = &all.ended[usize::try_from(random(all.ended.len() as u64)).unwrap()];
            assert!(!door.accepts(token).await, "what was ended in an earlier round lives on");
            judged += 1;
        }
        all.add(ledger);
    }
    // Everything once more, at the end.
    let door = program.door();
    for tokens in all.ended.chunks(64) {
        let accepted = join_all(tokens.iter().map(|token| door.accepts(token))).await;
        assert!(accepted.iter().all(|accepted| !accepted), "what was ended lives on");
    }
    let mut names = BTreeSet::new();
    let mut page = String::new();
    loop {
        let mut admin = door.with_cookie(&admin);
        let users = admin.want(200, Method::GET, &format!("/v1/users?limit=200{page}"), Value::Null).await.unwrap();
        let items = users["items"].as_array().unwrap().iter();
        names.extend(items.map(|user| user["username"].as_str().unwrap().to_owned()));
        let Some(next) = users["next"].as_str() else { break };
        page = format!("&cursor={next}");
    }
    assert!(all.accounts.iter().all(|name| names.contains(name)), "an acknowledged registration is lost");
    judged += all.ended.len() + all.accounts.len();
    drop(door);
    program.stop();
    println!(
        "{kills} kills and {cut_short} starts cut short in {:.1?}: {} changes acknowledged, {} tokens ended, \
         {} accounts; {judged} judgements, 0 lost",
        begun.elapsed(),
        all.acknowledged,
        all.ended.len(),
        all.accounts.len(),
    );
}
