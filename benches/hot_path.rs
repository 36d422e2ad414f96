//! What every request pays before its operation begins: a known token, and the first sight of one.
//!
//! `cargo bench --bench hot_path`. A known token has to cost the same however much was revoked: compare the lines
//! of `authenticate` with one another. The first sight of a token has to cost little more than its signature:
//! compare `first sight` with `bare`.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has nothing better to do")]

use std::collections::BTreeSet;
use std::hint::black_box;
use std::sync::Arc;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, ParsedPublicKey, UnparsedPublicKey};
use chrono::{DateTime, TimeDelta};
use criterion::{BenchmarkId, Criterion, Throughput};
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use signet::app::{App, Parts};
use signet::audit::{Action, Client};
use signet::claims::{GroupId, SessionId, UserId};
use signet::keys::{self, Keyring};
use signet::password::Cost;
use signet::rights::{Group, Permission, PermissionEntry};
use signet::session::{self, Session};
use signet::store::embedded::Embedded;
use signet::store::{Member, Revocation, Write};
use signet::token::{Tokens, Verified};
use signet::user::{User, Username};

/// Sessions that take turns in a working set.
const WORKING_SET: usize = 1000;

/// Permissions that the group of the bench grants.
const GRANTS: usize = 500;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let folder = tempfile::TempDir::new().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (app, sessions) = runtime.block_on(wired(folder.path()));
    first_sight(&mut criterion, &app, &sessions[0]);
    sealing(&mut criterion, &app, &sessions[0], &folder.path().join("keys"));
    permissions(&mut criterion, &sessions[0]);
    known_tokens(&mut criterion, &app, &sessions);
    criterion.final_summary();
}

/// A Signet with a user in a group, and sessions of that user.
async fn wired(folder: &std::path::Path) -> (App, Vec<Session>) {
    // The clock stands still: it is the edge of the program that reads the real one.
    let now = DateTime::UNIX_EPOCH + TimeDelta::seconds(1_900_000_000);
    let keys = folder.join("keys");
    std::fs::create_dir(&keys).unwrap();
    keys::generate(&keys, "eddsa", None, now).unwrap();
    keys::generate_sealing(&keys, None, now).unwrap();
    let store = Arc::new(Embedded::open(&folder.join("data")).unwrap());
    let app = App::open(Parts {
        hash_workers: 1,
        hash_cost: Cost { memory: 8, passes: 1, lanes: 1 },
        ..Parts::new(store, Keyring::load(&keys).unwrap(), Arc::new(move || now))
    })
    .await
    .unwrap();
    let permission = |name: &str| Permission::parse("permission", name).unwrap();
    let granted: BTreeSet<_> = (0..GRANTS).map(|n| permission(&format!("polls.grant_{n:03}"))).collect();
    let direct: BTreeSet<_> = (0..8).map(|n| permission(&format!("polls.direct_{n}"))).collect();
    let entry = |name: &Permission| PermissionEntry { name: name.clone(), description: String::new(), version: 0 };
    let mut writes: Vec<Write> = granted.union(&direct).map(|name| Write::CreatePermission(entry(name))).collect();
    let group =
        Group { id: GroupId::random(), name: "editors".to_owned(), permissions: granted, created: now, version: 0 };
    let user = User {
        id: UserId::random(),
        version: 0,
        username: Username::parse("alice").unwrap(),
        password: "!".to_owned(),
        first_name: String::new(),
        last_name: String::new(),
        email: String::new(),
        email_verified: false,
        is_active: true,
        is_staff: false,
        is_superuser: false,
        groups: BTreeSet::from([group.id]),
        permissions: direct,
        generation: 0,
        rights_version: 0,
        last_login: None,
        date_joined: now,
    };
    writes.extend([Write::CreateGroup(group), Write::CreateUser(Box::new(user.clone()))]);
    app.commit(writes).await.unwrap();
    let nobody = session::authenticate(&app, None).await.unwrap();
    let member = Member { user, groups: vec!["editors".to_owned()] };
    let from = Client::default();
    let log_in = |_| session::enter(&app, member.clone(), &nobody, (Action::LogIn, &from), Vec::new());
    let entered = join_all((0..WORKING_SET).map(log_in)).await;
    let sessions = entered.into_iter().map(|entered| entered.unwrap().1).collect();
    (app, sessions)
}

/// A token that was seen before, with nothing, little and much revoked.
fn known_tokens(criterion: &mut Criterion, app: &App, sessions: &[Session]) {
    let until = app.now() + TimeDelta::days(14);
    let tokens: Vec<&str> = sessions.iter().map(|session| session.token().unwrap()).collect();
    let authenticate = |token| session::authenticate(app, Some(token)).now_or_never().unwrap().unwrap();
    let mut group = criterion.benchmark_group("authenticate");
    let mut revoked = 0;
    for count in [0, 10_000, 1_000_000] {
        while revoked < count {
            app.revocations().learn(&Revocation::Session { id: SessionId::random(), until });
            revoked += 1;
        }
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("one token, revoked", count), |bencher| {
            bencher.iter(|| authenticate(black_box(tokens[0])));
        });
        group.bench_function(BenchmarkId::new("1000 tokens, revoked", count), |bencher| {
            let mut turns = tokens.iter().cycle();
            bencher.iter(|| authenticate(turns.next().unwrap()));
        });
    }
    group.finish();
}

/// A token that was never seen, beside the signature alone.
fn first_sight(criterion: &mut Criterion, app: &App, session: &Session) {
    let claims = session.claims().unwrap();
    let token = session.token().unwrap();
    let (message, _) = token.rsplit_once('.').unwrap();
    let message = message.as_bytes();
    let pair = Ed25519KeyPair::generate().unwrap();
    let signature = pair.sign(message);
    let public = pair.public_key().as_ref();
    let unparsed = UnparsedPublicKey::new(&ED25519, public);
    let parsed = ParsedPublicKey::new(&ED25519, public).unwrap();
    let mut group = criterion.benchmark_group("token");
    group.bench_function("mint", |bencher| bencher.iter(|| app.tokens().mint(black_box(claims)).unwrap()));
    group.bench_function("bare signing", |bencher| bencher.iter(|| pair.sign(black_box(message))));
    group.bench_function("first sight", |bencher| {
        bencher.iter(|| -> Arc<Verified> { app.tokens().verify_anew(black_box(token), app.now()).unwrap() });
    });
    group.bench_function("bare verification", |bencher| {
        bencher.iter(|| parsed.verify_sig(black_box(message), signature.as_ref()).unwrap());
    });
    group.bench_function("bare verification, key read each time", |bencher| {
        bencher.iter(|| unparsed.verify(black_box(message), signature.as_ref()).unwrap());
    });
    group.finish();
}

/// The same session with data, in the open and sealed: what sealing adds to an issue, and to the first sight of it.
fn sealing(criterion: &mut Criterion, app: &App, session: &Session, keys: &std::path::Path) {
    let mut group = criterion.benchmark_group("data");
    for letters in [100, 1000] {
        let mut claims = session.claims().unwrap().clone();
        claims.data.insert("value".to_owned(), "x".repeat(letters).into());
        for (kind, seals) in [("open", false), ("sealed", true)] {
            let tokens = Tokens::new(app.tokens().issuer(), app.tokens().audience(), Keyring::load(keys).unwrap());
            let tokens = tokens.sealing(seals);
            let token = tokens.mint(&claims).unwrap();
            // As a request does it: the claims are copied, changed, and issued.
            group.bench_function(BenchmarkId::new(format!("{kind}, issued"), letters), |bencher| {
                bencher.iter(|| tokens.issue(black_box(&claims).clone()).unwrap());
            });
            group.bench_function(BenchmarkId::new(format!("{kind}, first sight"), letters), |bencher| {
                bencher.iter(|| tokens.verify_anew(black_box(&token), app.now()).unwrap());
            });
        }
    }
    group.finish();
}

/// A permission that was granted directly, one of a group, and one that is nobody's.
fn permissions(criterion: &mut Criterion, session: &Session) {
    let mut group = criterion.benchmark_group("has_permission");
    for (name, permission, expected) in [
        ("direct", "polls.direct_7", true),
        ("through a group of 500", "polls.grant_499", true),
        ("lacking", "polls.nobody_has_it", false),
    ] {
        assert_eq!(session.has_permission(permission), expected);
        group.bench_function(name, |bencher| bencher.iter(|| session.has_permission(black_box(permission))));
    }
    group.finish();
}
