//! A store that is damaged, and what `signet repair` saves of it: each account as it was acknowledged at some time, and
//! no token of before. `SIGNET_DAMAGES` sets how often.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Method;
use serde_json::{Value, json};
use signet::audit::{Action, Client, Event, Filter, Target};
use signet::claims::{GroupId, SessionId, UserId, instant};
use signet::repair::{Repaired, repair};
use signet::rights::{Group, Permission, PermissionEntry};
use signet::store::embedded::Embedded;
use signet::store::embedded::salvage::Damage;
use signet::store::{ApiToken, OpenSession, Revocation, Slice, Store, Tally, Write};
use signet::user::{User, Username};
use tempfile::TempDir;

use crate::harness::PASSWORD;
use crate::program::{Program, command};
use crate::store::{damaged, random, sled_at};

/// The epoch that everything in these stores is of.
const EPOCH: u64 = 1_700_000_000;

fn now() -> DateTime<Utc> {
    instant(1_900_000_000)
}

/// All that was ever acknowledged.
#[derive(Default)]
struct Truth {
    /// Every state of every user, the last one last.
    users: BTreeMap<UserId, Vec<User>>,
    deleted: BTreeSet<UserId>,
    groups: BTreeMap<GroupId, Group>,
    permissions: BTreeSet<String>,
}

impl Truth {
    fn last(&self) -> impl Iterator<Item = &User> {
        let lasting = self.users.iter().filter(|(id, _)| !self.deleted.contains(id));
        lasting.filter_map(|(_, states)| states.last())
    }
}

fn permission(n: usize) -> Permission {
    Permission::parse("name", &format!("polls.do{n}")).unwrap()
}

fn event(action: Action, user: &User, n: usize) -> Write {
    let at = now() - TimeDelta::days(30) + TimeDelta::seconds(i64::try_from(n).unwrap());
    Write::Record(Box::new(
        Event::new(at, action, &Client::default()).to(Target::user(user.id, user.username.as_str())),
    ))
}

fn ends(user: &User) -> Write {
    let (generation, rights_version) = (user.generation, user.rights_version);
    let until = now() + TimeDelta::days(14);
    Write::Revoke(Revocation::User { id: user.id, generation, rights_version, until })
}

/// A store with a past: accounts that were made, changed, disabled and deleted, in groups and with permissions.
async fn past(folder: &Path, users: usize, changes: usize) -> Truth {
    let store = Embedded::open(folder).unwrap();
    let mut truth = Truth::default();
    let mut writes = vec![Write::Revoke(Revocation::Epoch(EPOCH))];
    for n in 0..12 {
        let name = permission(n);
        truth.permissions.insert(name.as_str().to_owned());
        writes.push(Write::CreatePermission(PermissionEntry { name, description: format!("do {n}"), version: 0 }));
    }
    for n in 0..6 {
        let permissions = [permission(n), permission(n + 1)].into();
        let (id, name) = (GroupId::random(), format!("group{n}"));
        let group = Group { id, name, permissions, created: now() - TimeDelta::days(99), version: 0 };
        truth.groups.insert(group.id, group.clone());
        writes.push(Write::CreateGroup(group));
    }
    writes.push(Write::Count(vec![Tally { key: [7; 16], until: now() + TimeDelta::hours(1) }.into()]));
    store.commit(writes).await.unwrap();
    let groups: Vec<GroupId> = truth.groups.keys().copied().collect();
    for at in (0..users).step_by(50) {
        let mut writes = Vec::new();
        for n in at..(at + 50).min(users) {
            let user = User {
                id: UserId::random(),
                version: 0,
                username: Username::parse(&format!("user{n}")).unwrap(),
                password: format!("$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0${n:043}"),
                first_name: "Ada".to_owned(),
                last_name: format!("Lovelace {n}"),
                email: format!("user{n}@example.com"),
                email_verified: n % 2 == 0,
                is_active: true,
                is_staff: n % 40 == 0,
                is_superuser: n % 40 == 0,
                groups: [groups[n % groups.len()]].into(),
                permissions: [permission(n % 12)].into(),
                generation: 0,
                rights_version: 0,
                last_login: None,
                date_joined: now() - TimeDelta::days(90),
            };
            writes.extend([Write::CreateUser(Box::new(user.clone())), event(Action::CreateUser, &user, n)]);
            truth.users.insert(user.id, vec![user]);
        }
        store.commit(writes).await.unwrap();
    }
    // One superuser stays as it is: somebody has to.
    let changing = truth.users.iter().filter(|(_, states)| states[0].username.as_str() != "user0");
    let ids: Vec<UserId> = changing.map(|(id, _)| *id).collect();
    for change in 0..changes {
        let id = ids[random(ids.len())];
        if truth.deleted.contains(&id) {
            continue;
        }
        let mut user = truth.users[&id].last().unwrap().clone();
        let was = user.version;
        let action = match random(6) {
            0 => {
                user.password.push_str(&change.to_string());
                user.generation += 1;
                Action::ChangePassword
            }
            1 => {
                user.is_active = !user.is_active;
                user.generation += 1;
                Action::ChangeUser
            }
            2 => {
                user.permissions = [permission(random(12))].into();
                user.rights_version += 1;
                Action::ChangeUser
            }
            3 if random(4) == 0 => Action::DeleteUser,
            3 => {
                user.is_superuser = false;
                user.rights_version += 1;
                Action::ChangeUser
            }
            4 => {
                user.email = format!("other{change}@example.com");
                Action::ChangeProfile
            }
            _ => Action::LogIn,
        };
        let mut writes = match action {
            Action::DeleteUser => {
                user.generation += 1;
                truth.deleted.insert(id);
                vec![Write::DeleteUser { id, was }]
            }
            Action::LogIn => {
                let (created, id) = (now() - TimeDelta::days(1), SessionId::random());
                let (address, agent) = (String::new(), String::new());
                let ends = now() + TimeDelta::days(13);
                let session = OpenSession { id, user: user.id, created, ends, epoch: EPOCH, address, agent };
                vec![if user.is_active {
                    Write::OpenSession { session, was }
                } else {
                    Write::CloseSessions { user: user.id, keep: None }
                }]
            }
            _ => vec![Write::ChangeUser { user: Box::new(user.clone()), was }],
        };
        writes.extend([ends(&user), event(action, &user, change)]);
        store.commit(writes).await.unwrap();
        if !truth.deleted.contains(&id) {
            truth.users.get_mut(&id).unwrap().push(store.user(id).await.unwrap().unwrap());
        }
    }
    let owner = truth.last().find(|user| user.is_active).unwrap().id;
    let token = ApiToken {
        id: SessionId::random(),
        owner,
        name: "t".to_owned(),
        scope: BTreeSet::new(),
        created: now(),
        ends: now() + TimeDelta::days(9),
        epoch: EPOCH,
    };
    store.commit(vec![Write::KeepToken { token, most: 9 }]).await.unwrap();
    truth
}

fn copied(from: &Path) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    copy(from, &data);
    (folder, data)
}

pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (entry, to) = entry.map(|entry| (entry.path(), to.join(entry.file_name()))).unwrap();
        if entry.is_dir() {
            copy(&entry, &to);
        } else {
            fs::copy(entry, to).unwrap();
        }
    }
}

/// Every file of a folder, with what is in it.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

/// How a repair went.
#[derive(Debug, Default)]
struct Tale {
    saved: usize,
    closed: usize,
    /// Active accounts that are not in their last state.
    older: usize,
    /// Active accounts that were deleted or disabled, or have a right or a password that was taken from them.
    revived: usize,
}

/// Judges a repaired store by all that was acknowledged.
async fn judged(data: &Path, into: &Path, done: &Repaired, truth: &Truth) -> Tale {
    let store = Embedded::open(into).unwrap();
    let state = store.state().await.unwrap();
    assert!(done.epoch > EPOCH, "an epoch that tokens were of");
    assert_eq!(state.revocations, [Revocation::Epoch(done.epoch)], "{}", data.display());
    let all = Slice { limit: usize::MAX, ..Slice::default() };
    let users = store.users(all.clone()).await.unwrap().items;
    assert_eq!(users.len(), done.users);
    assert_eq!(state.groups.len(), done.groups);
    let permissions = store.permissions(all.clone()).await.unwrap().items;
    assert_eq!(permissions.len(), done.permissions);
    assert!(permissions.iter().all(|entry| truth.permissions.contains(entry.name.as_str())));
    let events = store.events(Filter::default(), all).await.unwrap().items;
    assert_eq!(events.len(), done.events + 1, "its own as well");
    assert_eq!(state.tallies.len(), done.counters);
    for group in &state.groups {
        let was = &truth.groups[&group.id];
        assert!(group.name == was.name && group.permissions.is_subset(&was.permissions));
    }
    let closed: BTreeSet<&str> = done.findings.closed.iter().map(String::as_str).collect();
    let mut tale = Tale { saved: users.len(), closed: closed.len(), ..Tale::default() };
    for user in &users {
        let states = &truth.users[&user.id];
        let is_closed = closed.contains(user.username.as_str());
        // The rest of a state may be gone with the groups and permissions that are.
        let is_state = |was: &User| {
            user.groups.is_subset(&was.groups)
                && user.permissions.is_subset(&was.permissions)
                && User {
                    groups: user.groups.clone(),
                    permissions: user.permissions.clone(),
                    is_active: if is_closed { false } else { was.is_active },
                    generation: if is_closed { user.generation } else { was.generation },
                    rights_version: if is_closed { user.rights_version } else { was.rights_version },
                    ..was.clone()
                } == *user
        };
        assert!(states.iter().any(is_state), "never acknowledged: {user:#?}");
        if !user.is_active {
            continue;
        }
        let last = states.last().unwrap();
        let gone = truth.deleted.contains(&user.id);
        let more = !user.permissions.is_subset(&last.permissions) || (user.is_superuser && !last.is_superuser);
        tale.older += usize::from(gone || !is_state(last));
        tale.revived += usize::from(gone || more || !last.is_active || user.password != last.password);
    }
    // They are found by everything that leads to them.
    for user in users.iter().step_by(users.len() / 20 + 1) {
        assert_eq!(store.user_named(&user.username.key()).await.unwrap().as_ref(), Some(user));
        for group in &user.groups {
            assert!(store.members(*group).await.unwrap().contains(user));
        }
    }
    tale
}

/// Whatever is damaged, what is saved was acknowledged, and nothing of before lives.
#[tokio::test]
async fn what_a_repair_saves_was_acknowledged_and_the_damaged_store_stays_as_it_is() {
    #[expect(clippy::disallowed_methods, reason = "a test has no command line of its own")]
    let damages = std::env::var("SIGNET_DAMAGES").map_or(60, |damages| damages.parse().unwrap());
    let whole = TempDir::new().unwrap();
    let data = whole.path().join("data");
    let truth = past(&data, 300, 1_500).await;
    drop(Embedded::open(&data).unwrap());
    let mut sum = Tale::default();
    let mut refused = 0;
    for round in 0..damages {
        let (folder, data) = copied(&data);
        let mut names: Vec<PathBuf> = contents(&data).into_keys().collect();
        names.retain(|name| !fs::read(name).unwrap().is_empty());
        let mut what = "nothing";
        if round > 0 {
            let name = if random(4) == 0 { names[random(names.len())].clone() } else { data.join("db") };
            if random(12) == 0 {
                fs::remove_file(&name).unwrap();
                what = "removed";
            } else {
                let bytes;
                (what, bytes) = damaged(fs::read(&name).unwrap());
                fs::write(&name, bytes).unwrap();
            }
        }
        let before = contents(&data);
        let into = folder.path().join("new");
        // Every second time after a start was tried: it takes nothing away that could be saved.
        let untried = if round % 2 == 0 {
            let untried = repair(&data, &folder.path().join("untried"), now()).await;
            let data = data.clone();
            drop(tokio::task::spawn_blocking(move || Embedded::open(&data).map(drop)).await.unwrap());
            untried.ok()
        } else {
            None
        };
        let tried = if round % 2 == 0 { contents(&data) } else { before.clone() };
        match repair(&data, &into, now()).await {
            Ok(done) => {
                let tale = judged(&data, &into, &done, &truth).await;
                if let Some(untried) = untried {
                    assert!(
                        done.users >= untried.users,
                        "{what}: a start took away {} users",
                        untried.users - done.users
                    );
                }
                if round == 0 {
                    let last: BTreeSet<&str> = truth.last().map(|user| user.username.as_str()).collect();
                    let nothing = done.findings.damage == Damage::default();
                    assert!(nothing && tale.saved == last.len() && tale.older == 0 && tale.closed == 0, "{done:#?}");
                    assert_eq!((done.groups, done.permissions, done.counters), (6, 12, 1));
                    assert_eq!(done.findings.api_tokens, 1);
                    assert_eq!(
                        done.superusers,
                        truth.last().filter(|u| u.is_active && u.is_staff && u.is_superuser).count()
                    );
                }
                println!("{what}: {tale:?} {:?}", done.findings.damage);
                sum.saved += tale.saved;
                sum.closed += tale.closed;
                sum.older += tale.older;
                sum.revived += tale.revived;
            }
            Err(why) => {
                println!("{what}: {why}");
                refused += 1;
                assert!(!into.exists());
            }
        }
        assert_eq!(contents(&data), tried, "{what}: a repair has changed the damaged folder");
    }
    println!("{damages} damages, of 300 accounts each: {refused} refused, {sum:?}");
    assert!(refused < damages / 2, "too much is refused");
}

/// sled clears what is there of a batch that has lost its end, and what comes after a missing segment: a start that is
/// refused for it gives all of it back. So many changes that segments are used again: the newest ones lie anywhere.
#[tokio::test]
async fn a_start_takes_nothing_from_a_store_that_has_lost_its_end() {
    let whole = TempDir::new().unwrap();
    let data = whole.path().join("data");
    let truth = past(&data, 300, 2_600).await;
    // A start has written down how far it came, and there are changes after it.
    let store = Embedded::open(&data).unwrap();
    for (n, user) in truth.last().take(100).enumerate() {
        store.commit(vec![event(Action::LogIn, user, n)]).await.unwrap();
    }
    drop(store);
    let file = fs::read(data.join("db")).unwrap();
    let mut refused = 0;
    for _ in 0..60 {
        let at = file.len() / 10 + random(file.len() / 10 * 9);
        let (folder, data) = copied(&data);
        fs::write(data.join("db"), &file[..at]).unwrap();
        let saved = async |into: &str| {
            let done = repair(&data, &folder.path().join(into), now()).await;
            done.map(|done| (done.users, done.groups, done.permissions, done.events, done.findings.commits_lost)).ok()
        };
        let untried = saved("untried").await;
        let start = data.clone();
        let opened = tokio::task::spawn_blocking(move || Embedded::open(&start).is_ok()).await.unwrap();
        if !opened {
            refused += 1;
            assert_eq!(saved("tried").await, untried, "cut at {at} of {}", file.len());
        }
    }
    assert!(refused > 30, "{refused}");
}

/// A change of an account.
type Change = fn(&mut User);

/// The newest record of an account is damaged, and what it says is an older one: what else tells of the change closes it.
#[tokio::test]
async fn an_account_is_closed_when_anything_tells_that_it_was_changed_later() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let truth = past(&data, 60, 0).await;
    let named = |n: usize| {
        let name = format!("user{n}");
        truth.last().find(|user| user.username.as_str() == name).unwrap().clone()
    };
    let store = Embedded::open(&data).unwrap();
    // As in any store that is in use, what has ended and the accounts are on pages of their own: who loses both at once
    // cannot know of it.
    let visitor = named(50);
    for n in 0..40 {
        let (created, ends, agent) = (now(), now() + TimeDelta::days(14), String::new());
        let (id, address) = (SessionId::random(), format!("192.0.2.{n}"));
        let session = OpenSession { id, user: visitor.id, created, ends, epoch: EPOCH, address, agent };
        store.commit(vec![Write::OpenSession { session, was: visitor.version }]).await.unwrap();
    }
    // Another password, another address, a permission and a group less, no superuser any more, disabled.
    let changes: [(usize, Change); 6] = [
        (1, |user| (user.password, user.generation) = ("!".to_owned(), 1)),
        (2, |user| user.email = "another@example.com".to_owned()),
        (3, |user| user.permissions.clear()),
        (4, |user| user.groups.clear()),
        (40, |user| user.is_superuser = false),
        (5, |user| (user.is_active, user.generation) = (false, 1)),
    ];
    for (n, change) in changes {
        let mut user = User { last_name: "Newest".to_owned(), ..named(n) };
        change(&mut user);
        let was = user.version;
        let writes = vec![Write::ChangeUser { user: Box::new(user.clone()), was }, ends(&user)];
        store.commit(writes).await.unwrap();
    }
    drop(store);
    let mut bytes = fs::read(data.join("db")).unwrap();
    let newest: Vec<usize> =
        bytes.windows(6).enumerate().filter(|(_, part)| part == b"Newest").map(|(at, _)| at).collect();
    assert!(newest.len() >= changes.len());
    for at in newest {
        bytes[at] ^= 1;
    }
    fs::write(data.join("db"), bytes).unwrap();
    let into = folder.path().join("new");
    let done = repair(&data, &into, now()).await.unwrap();
    let store = Embedded::open(&into).unwrap();
    for (n, _) in changes {
        let user = named(n);
        match store.user(user.id).await.unwrap() {
            // All that was read of it is of before the change.
            Some(found) => {
                assert!(!found.is_active && done.findings.closed.contains(&format!("user{n}")), "{found:#?}");
            }
            None => assert!(done.findings.users_lost.contains(&format!("user{n}"))),
        }
    }
    println!("{} closed, {} lost", done.findings.closed.len(), done.findings.users_lost.len());
    assert!(!done.findings.closed.is_empty(), "none of them was read");
}

/// sled clears what comes after the first message that it cannot read.
#[tokio::test]
async fn a_store_that_is_refused_is_left_as_it_was_found() {
    let whole = TempDir::new().unwrap();
    let data = whole.path().join("data");
    let truth = past(&data, 300, 600).await;
    let there = truth.last().count();
    for name in contents(&data).into_keys() {
        if name.file_name().unwrap().to_str().unwrap().starts_with("snap.") {
            fs::remove_file(name).unwrap();
        }
    }
    let mut refused = 0;
    for part in 1..8 {
        let (folder, data) = copied(&data);
        let mut bytes = fs::read(data.join("db")).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        bytes[used / 8 * part] ^= 1;
        fs::write(data.join("db"), &bytes).unwrap();
        if Embedded::open(&data).is_ok() {
            continue;
        }
        refused += 1;
        assert!(fs::read(data.join("db")).unwrap() == bytes, "a start has changed it");
        assert!(!data.join("signet-aside").exists());
        let done = repair(&data, &folder.path().join("new"), now()).await.unwrap();
        assert!(done.users * 10 > there * 9, "{} of {there}", done.users);
    }
    assert!(refused > 0, "sled reads over all of them");
    // A start that was killed while sled had the file: the next one, and a repair, go by what was kept aside.
    let (folder, data) = copied(&data);
    let aside = data.join("signet-aside");
    fs::create_dir_all(aside.join("blobs")).unwrap();
    fs::copy(data.join("db"), aside.join("db")).unwrap();
    let size = fs::metadata(data.join("db")).unwrap().len();
    fs::write(data.join("db"), vec![0; usize::try_from(size).unwrap()]).unwrap();
    let done = repair(&data, &folder.path().join("new"), now()).await.unwrap();
    assert_eq!(done.users, there);
    let store = Embedded::open(&data).unwrap();
    let all = Slice { limit: usize::MAX, ..Slice::default() };
    assert_eq!(store.users(all).await.unwrap().items.len(), there);
    assert!(!aside.exists());
}

/// `signet repair`.
fn run(data: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signet"));
    command.env_clear().arg("repair").arg("--data").arg(data).output().unwrap()
}

#[tokio::test]
async fn after_a_repair_nothing_of_before_lives_and_everybody_logs_in_again() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let program = Program::start(folder.path());
    let door = program.door();
    let mut admin = door.anonymous();
    assert_eq!(admin.log_in("admin", PASSWORD).await, Some(200));
    let mut ended = door.anonymous();
    assert_eq!(ended.log_in("admin", PASSWORD).await, Some(200));
    ended.want(204, Method::POST, "/v1/logout", Value::Null).await.unwrap();
    for n in 0..40 {
        let new = json!({ "username": format!("u{n}"), "password": PASSWORD });
        admin.want(201, Method::POST, "/v1/users", new).await.unwrap();
    }
    let busy = run(&data);
    assert_eq!(busy.status.code(), Some(1), "{busy:?}");
    assert!(String::from_utf8_lossy(&busy.stderr).contains("another process has it open; stop that one first"));
    program.stop();
    let mut bytes = fs::read(data.join("db")).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[used / 2] ^= 1;
    fs::write(data.join("db"), bytes).unwrap();
    let refused = command(folder.path()).output().unwrap();
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && text.contains("`signet repair`"), "{text}");
    let done = run(&data);
    let told = String::from_utf8(done.stdout).unwrap();
    println!("{told}");
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(told.starts_with("saved ") && told.contains("a new epoch, ") && told.contains("damaged: "), "{told}");
    let again = run(&data);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("there is something already; name a folder"));
    fs::rename(&data, folder.path().join("data.damaged")).unwrap();
    fs::rename(folder.path().join("data.repaired"), &data).unwrap();
    let program = Program::start(folder.path());
    let door = program.door();
    for token in admin.tokens.iter().chain(&ended.tokens) {
        assert!(!door.accepts(token).await, "a token of before lives");
    }
    let mut logged_in = 0;
    for n in 0..40 {
        match door.anonymous().log_in(&format!("u{n}"), PASSWORD).await {
            Some(200) => logged_in += 1,
            status => assert!(status == Some(401) && told.contains(&format!("\tu{n}\n")), "u{n}: {status:?}"),
        }
    }
    println!("{logged_in} of 40 log in after one bit");
    program.stop();
}

#[tokio::test]
async fn a_repair_refuses_what_it_cannot_save_and_writes_nothing() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let refusal = async |why: &str| {
        let into = folder.path().join("new");
        let refused = repair(&data, &into, now()).await.unwrap_err().to_string();
        assert!(refused.contains(why), "{refused}");
        assert!(!into.exists());
    };
    refusal("its file db cannot be read").await;
    drop(Embedded::open(&data).unwrap());
    refusal("no account in it can be read").await;
    past(&data, 50, 50).await;
    let sound = fs::read(data.join("db")).unwrap();
    fs::write(data.join("db"), vec![0; sound.len()]).unwrap();
    refusal("no account in it can be read").await;
    fs::write(data.join("db"), &sound).unwrap();
    // Another version of the layout, as a later one will write it.
    let tree = sled_at(&data);
    tree.insert(b"m/format", b"signet 9").unwrap();
    tree.flush().unwrap();
    drop(tree);
    refusal("it was written by another version of signet").await;
}

#[tokio::test]
async fn a_repair_waits_a_moment_for_whoever_is_letting_go_of_the_store() {
    let folder = TempDir::new().unwrap();
    let (data, into) = (folder.path().join("data"), folder.path().join("new"));
    past(&data, 5, 0).await;
    let held = fs::File::open(data.join("db")).unwrap();
    held.lock().unwrap();
    let holder = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        drop(held);
    });
    repair(&data, &into, now()).await.unwrap();
    holder.join().unwrap();
    let held = fs::File::open(data.join("db")).unwrap();
    held.lock().unwrap();
    let refused = repair(&data, &folder.path().join("other"), now()).await.unwrap_err().to_string();
    assert!(refused.contains("another process has it open"), "{refused}");
}

/// How much is left of a thousand accounts, or of ten thousand with `SIGNET_DAMAGES`.
#[tokio::test]
async fn a_repair_saves_most_of_a_large_store() {
    let whole = TempDir::new().unwrap();
    let data = whole.path().join("data");
    #[expect(clippy::disallowed_methods, reason = "a test has no command line of its own")]
    let (users, rounds) = if std::env::var("SIGNET_DAMAGES").is_ok() { (10_000, 12) } else { (1_000, 4) };
    let truth = past(&data, users, users / 10).await;
    drop(Embedded::open(&data).unwrap());
    let there = truth.last().count();
    let used = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let mut least = there;
    let damages: [(&str, usize); 4] =
        [("one bit", rounds), ("the last tenth cut", 1), ("no snapshot", 1), ("4 KiB of zeros", rounds)];
    for (name, times) in damages {
        for _ in 0..times {
            let (folder, data) = copied(&data);
            let mut bytes = fs::read(data.join("db")).unwrap();
            let at = random(used(&bytes) - 4096);
            match name {
                "one bit" => bytes[at] ^= 1,
                "the last tenth cut" => bytes.truncate(used(&bytes) / 10 * 9),
                "4 KiB of zeros" => bytes[at..at + 4096].fill(0),
                _ => {
                    let names = contents(&data).into_keys();
                    let is_snapshot = |name: &PathBuf| name.file_name().unwrap().to_str().unwrap().starts_with("snap.");
                    names.filter(is_snapshot).for_each(|name| fs::remove_file(name).unwrap());
                }
            }
            fs::write(data.join("db"), bytes).unwrap();
            let into = folder.path().join("new");
            let done = repair(&data, &into, now()).await.unwrap();
            let tale = judged(&data, &into, &done, &truth).await;
            println!(
                "{name}: of {there}: {tale:?}, {} lost by name, {:?}",
                done.findings.users_lost.len(),
                done.findings.damage
            );
            if name == "one bit" || name == "4 KiB of zeros" {
                least = least.min(tale.saved - tale.closed);
            } else if name == "no snapshot" {
                assert_eq!((tale.saved, tale.closed, tale.older), (there, 0, 0));
            }
        }
    }
    assert!(least * 100 > there * 95, "{least} of {there}");
}
