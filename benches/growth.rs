//! What grows with the work: more users, more sessions, larger groups, more tokens than are remembered.
//!
//! `cargo bench --bench growth` fills a store with 10³, 10⁴ and 10⁵ users; `-- --users 1000000` goes on to as many.
//! Times are medians of single calls without HTTP. A request must not cost more than O(log n) of anything.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has nothing better to do")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::collections::BTreeSet;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use signet::app::{App, Parts};
use signet::audit::{Action, Client};
use signet::claims::{GroupId, UserId};
use signet::keys::{self, Keyring};
use signet::password::Cost;
use signet::rights::{Group, Permission, PermissionEntry};
use signet::session::{self, Session};
use signet::store::embedded::Embedded;
use signet::store::{Member, OpenSession, Slice, Write};
use signet::user::{User, Username};
use support::median;
use tempfile::TempDir;

mod support;

/// Users up to which stores are filled, unless more are asked for.
const USERS: usize = 100_000;

/// Writes that are committed at once.
const COMMITTED: usize = 5_000;

/// Open sessions of one user.
const SESSIONS: [usize; 3] = [10, 1_000, 100_000];

const PERMISSIONS: [usize; 3] = [10, 100, 1_000];

/// Tokens that take turns: the last are more than are remembered.
const TOKENS: [usize; 3] = [100, 5_000, 50_000];

const CALLS: usize = 2_000;

fn main() {
    let arguments = support::arguments();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let most = match arguments[..] {
        ["--users", count] => count.parse().unwrap(),
        _ => USERS,
    };
    support::runtime().block_on(async {
        users(most).await;
        sessions().await;
        permissions().await;
        tokens().await;
    });
}

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(1_900_000_000)
}

async fn wired(folder: &Path) -> App {
    let keys = folder.join("keys");
    std::fs::create_dir(&keys).unwrap();
    keys::generate(&keys, "eddsa", None, now()).unwrap();
    let store = Arc::new(Embedded::open(&folder.join("data")).unwrap());
    let parts = Parts {
        hash_workers: 1,
        hash_cost: Cost { memory: 8, passes: 1, lanes: 1 },
        ..Parts::new(store, Keyring::load(&keys).unwrap(), Arc::new(now))
    };
    App::open(parts).await.unwrap()
}

fn user(name: &str) -> User {
    User {
        id: UserId::random(),
        version: 0,
        username: Username::parse(name).unwrap(),
        password: "!".to_owned(),
        first_name: String::new(),
        last_name: String::new(),
        email: String::new(),
        email_verified: false,
        is_active: true,
        is_staff: false,
        is_superuser: false,
        groups: BTreeSet::new(),
        permissions: BTreeSet::new(),
        generation: 0,
        rights_version: 0,
        date_joined: now(),
        last_login: None,
    }
}

async fn enter(app: &App, user: &User, groups: Vec<String>) -> Session {
    let member = Member { user: user.clone(), groups };
    let nobody = session::authenticate(app, None).await.unwrap();
    let act = (Action::LogIn, &Client::default());
    session::enter(app, member, &nobody, act, Vec::new()).await.unwrap().1
}

/// The median of single calls, in microseconds.
async fn timed<T>(calls: usize, mut call: impl AsyncFnMut(usize) -> T) -> String {
    let mut times = Vec::new();
    for n in 0..calls {
        let begun = Instant::now();
        black_box(call(n).await);
        times.push(begun.elapsed().as_nanos() as f64 / 1000.0);
    }
    format!("{:.1} µs", median(times))
}

fn head(title: &str, columns: &[&str]) {
    println!("\n{title}\n\n| | {} |\n| --- |{}", columns.join(" | "), " --- |".repeat(columns.len()));
}

async fn users(most: usize) {
    head("users", &["verified request", "found by name, for a log-in", "log-in without its hash", "a page of 50"]);
    let folder = TempDir::new().unwrap();
    let app = wired(folder.path()).await;
    let (mut count, mut size) = (0, 1_000);
    while size <= most {
        while count < size {
            let some = COMMITTED.min(size - count);
            let writes = (count..count + some).map(|n| Write::CreateUser(Box::new(user(&format!("user{n:07}")))));
            app.store().commit(writes.collect()).await.unwrap();
            count += some;
        }
        let somebody = app.store().member_named("user0000500").await.unwrap().unwrap().user;
        let session = enter(&app, &somebody, Vec::new()).await;
        let token = session.token().unwrap().to_owned();
        let verified = timed(CALLS, async |_| session::authenticate(&app, Some(&token)).await.unwrap()).await;
        let name = |n: usize| format!("user{:07}", n * 7919 % size);
        let found = timed(CALLS, async |n| app.store().member_named(&name(n)).await.unwrap().unwrap()).await;
        let entered = timed(50, async |n| {
            let somebody = app.store().member_named(&name(n)).await.unwrap().unwrap().user;
            enter(&app, &somebody, Vec::new()).await
        })
        .await;
        let page = timed(50, async |_| {
            let slice = Slice { limit: 50, ..Slice::default() };
            app.store().users(slice).await.unwrap()
        })
        .await;
        println!("| {size} | {verified} | {found} | {entered} | {page} |");
        size *= 10;
    }
}

async fn sessions() {
    head("open sessions of one user", &["verified request", "log-in without its hash", "own devices", "each"]);
    for count in SESSIONS {
        let folder = TempDir::new().unwrap();
        let app = wired(folder.path()).await;
        let alice = user("alice");
        app.store().commit(vec![Write::CreateUser(Box::new(alice.clone()))]).await.unwrap();
        let open = |_| Write::OpenSession {
            session: OpenSession {
                id: signet::claims::SessionId::random(),
                user: alice.id,
                created: now(),
                ends: now() + TimeDelta::days(10),
                epoch: 0,
                address: "192.0.2.7".to_owned(),
                agent: "a bench".to_owned(),
            },
            was: 0,
        };
        let mut left = count;
        while left > 0 {
            let some = left.min(COMMITTED);
            app.store().commit((0..some).map(open).collect()).await.unwrap();
            left -= some;
        }
        let session = enter(&app, &alice, Vec::new()).await;
        let token = session.token().unwrap().to_owned();
        let verified = timed(CALLS, async |_| session::authenticate(&app, Some(&token)).await.unwrap()).await;
        let entered = timed(50, async |_| enter(&app, &alice, Vec::new()).await).await;
        let begun = Instant::now();
        let devices = session::devices(&app, alice.id).await.unwrap().len();
        let took = begun.elapsed().as_secs_f64() * 1e6;
        println!("| {count} | {verified} | {entered} | {:.1} ms | {:.2} µs |", took / 1e3, took / devices as f64);
    }
}

async fn permissions() {
    head("permissions of a group", &["verified request", "one permission asked for", "all of them listed"]);
    for count in PERMISSIONS {
        let folder = TempDir::new().unwrap();
        let app = wired(folder.path()).await;
        let name = |n: usize| Permission::parse("permission", &format!("polls.grant_{n:04}")).unwrap();
        let granted: BTreeSet<_> = (0..count).map(name).collect();
        let entry = |name: &Permission| PermissionEntry { name: name.clone(), description: String::new(), version: 0 };
        let mut writes: Vec<Write> = granted.iter().map(|name| Write::CreatePermission(entry(name))).collect();
        let created = now();
        let group = Group { id: GroupId::random(), name: "all".to_owned(), permissions: granted, created, version: 0 };
        let alice = User { groups: [group.id].into(), ..user("alice") };
        writes.extend([Write::CreateGroup(group), Write::CreateUser(Box::new(alice.clone()))]);
        app.commit(writes).await.unwrap();
        let session = enter(&app, &alice, vec!["all".to_owned()]).await;
        let token = session.token().unwrap().to_owned();
        let session = session::authenticate(&app, Some(&token)).await.unwrap();
        let verified = timed(CALLS, async |_| session::authenticate(&app, Some(&token)).await.unwrap()).await;
        let asked = timed(CALLS, async |n| {
            assert!(session.has_permission(&format!("polls.grant_{:04}", n % count)));
        })
        .await;
        let listed = timed(CALLS, async |_| session.granted().len()).await;
        println!("| {count} | {verified} | {asked} | {listed} |");
    }
}

async fn tokens() {
    head("tokens that take turns", &["verified request"]);
    let folder = TempDir::new().unwrap();
    let app = wired(folder.path()).await;
    for count in TOKENS {
        let anonymous = session::authenticate(&app, None).await.unwrap();
        let token = |_| {
            let set = |claims: &mut signet::claims::Claims| drop(claims.data.insert("n".to_owned(), 1.into()));
            session::write(&app, &anonymous, None, set).unwrap().token().unwrap().to_owned()
        };
        let tokens: Vec<String> = (0..count).map(token).collect();
        let verified =
            timed(4 * count.max(CALLS), async |n| session::authenticate(&app, Some(&tokens[n % count])).await.unwrap())
                .await;
        println!("| {count} | {verified} |");
    }
}
