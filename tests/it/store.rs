//! The store's contract: one suite, which every store passes.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use signet::audit::{self, Action};
use signet::claims::{ChallengeKind, GroupId, SessionId, UserId, instant};
use signet::rights::{Group, Permission, PermissionEntry};
use signet::store::embedded::Embedded;
use signet::store::{
    Alive, ApiToken, Challenge, Count, OpenSession, Page, Revocation, SharedStore, Slice, Store, StoreError, Tally,
    Witness, Write,
};
use signet::user::{User, Username, address_key};
use tempfile::TempDir;

use crate::harness::at_once;

fn day(n: i64) -> DateTime<Utc> {
    instant(1_900_000_000) + TimeDelta::days(n)
}

fn user(name: &str) -> User {
    User {
        id: UserId::random(),
        version: 0,
        username: Username::parse(name).unwrap(),
        password: "!".to_owned(),
        first_name: String::new(),
        last_name: String::new(),
        email: format!("{name}@example.com"),
        email_verified: false,
        is_active: true,
        is_staff: false,
        is_superuser: false,
        groups: BTreeSet::new(),
        permissions: BTreeSet::new(),
        generation: 0,
        rights_version: 0,
        last_login: None,
        date_joined: day(0),
    }
}

fn create(user: &User) -> Write {
    Write::CreateUser(Box::new(user.clone()))
}

fn change(user: &User, was: u64) -> Write {
    Write::ChangeUser { user: Box::new(user.clone()), was }
}

fn group(name: &str) -> Group {
    Group { id: GroupId::random(), name: name.to_owned(), permissions: BTreeSet::new(), created: day(0), version: 0 }
}

fn permission(name: &str) -> Permission {
    Permission::parse("name", name).unwrap()
}

fn entry(name: &str) -> Write {
    let description = String::new();
    Write::CreatePermission(PermissionEntry { name: permission(name), description, version: 0 })
}

fn open(user: &User, n: i64) -> OpenSession {
    let (address, agent) = (String::new(), String::new());
    OpenSession { id: SessionId::random(), user: user.id, created: day(n), ends: day(n + 14), epoch: 0, address, agent }
}

/// All open sessions of a user in epoch 0, also those that are over.
async fn sessions(store: &SharedStore, of: &User) -> Vec<OpenSession> {
    let alive = Alive { now: DateTime::UNIX_EPOCH, epoch: 0 };
    let page = store.sessions(of.id, alive, Slice { limit: 200, ..Slice::default() }).await.unwrap();
    assert!(page.next.is_none());
    page.items
}

/// The audit log: the newest first, in pages, filtered, and forgotten from its old end.
pub(crate) async fn keeps_the_log(store: &SharedStore) {
    let client = audit::Client { address: "192.0.2.1".to_owned(), agent: "a".to_owned() };
    let event = |n: i64, action| audit::Event::new(day(n), action, &client);
    let events: Vec<_> = (0..6).map(|n| event(n, if n % 2 == 0 { Action::LogIn } else { Action::LogOut })).collect();
    for event in &events {
        store.commit(vec![Write::Record(Box::new(event.clone()))]).await.unwrap();
    }
    let page = async |filter: audit::Filter, after: Option<String>| {
        store.events(filter, Slice { after, search: None, limit: 4 }).await.unwrap()
    };
    let first = page(audit::Filter::default(), None).await;
    let second = page(audit::Filter::default(), first.next.clone()).await;
    assert!(second.next.is_none() && first.items.len() == 4);
    let found: Vec<_> = first.items.iter().chain(&second.items).rev().cloned().collect();
    assert_eq!(found, events);
    let log_ins = audit::Filter { action: Some(Action::LogIn), since: Some(day(1)), ..Default::default() };
    assert_eq!(page(log_ins, None).await.items, [events[4].clone(), events[2].clone()]);
    let between = audit::Filter { since: Some(day(1)), until: Some(day(3)), ..Default::default() };
    assert_eq!(page(between, None).await.items, [events[2].clone(), events[1].clone()]);
    let nothing = audit::Filter { since: Some(day(3)), until: Some(day(1)), ..Default::default() };
    assert!(page(nothing, None).await.items.is_empty());
    // A cursor that is none finds what there is, and nothing breaks.
    assert_eq!(page(audit::Filter::default(), Some("no cursor".to_owned())).await.items.len(), 4);
    // What is not done is not in the log.
    let (gone, fails) = (Write::Record(Box::new(event(9, Action::Flush))), change(&user("nobody"), 1));
    assert_eq!(store.commit(vec![gone, fails]).await, Err(StoreError::Changed));
    store.commit(vec![Write::ForgetEvents(day(4))]).await.unwrap();
    assert_eq!(page(audit::Filter::default(), None).await.items, [events[5].clone(), events[4].clone()]);
    store.commit(vec![Write::ForgetEvents(day(99))]).await.unwrap();
    assert!(page(audit::Filter::default(), None).await.items.is_empty());
}

/// The same password under another hash is no change of the user.
async fn upgrades_a_password(store: &SharedStore) {
    let old = User { password: "md5$a$b".to_owned(), ..user("upgraded") };
    store.commit(vec![create(&old)]).await.unwrap();
    let upgrade = |was: &str, now: &str| {
        let (was, now) = (was.to_owned(), now.to_owned());
        vec![Write::UpgradePassword { user: old.id, was, now }]
    };
    let stored = async || store.user(old.id).await.unwrap().unwrap();
    store.commit(upgrade("md5$a$b", "new")).await.unwrap();
    assert_eq!(stored().await, User { password: "new".to_owned(), ..old.clone() }, "nothing else has changed");
    // Whoever judged by another hash comes too late, and is not told.
    store.commit(upgrade("md5$a$b", "newer")).await.unwrap();
    assert_eq!(stored().await.password, "new");
    let gone = Write::UpgradePassword { user: UserId::random(), was: String::new(), now: "new".to_owned() };
    store.commit(vec![gone]).await.unwrap();
    // A change that was made from the record with the old hash does not bring the old hash back.
    let named = User { first_name: "Una".to_owned(), ..old.clone() };
    store.commit(vec![change(&named, old.version)]).await.unwrap();
    let after = stored().await;
    assert_eq!((after.password.as_str(), after.first_name.as_str(), after.version), ("new", "Una", old.version + 1));
    // A change of password is a new generation, and wins over an upgrade that was judged before.
    let changed = User { password: "other".to_owned(), generation: 1, ..after.clone() };
    store.commit(vec![change(&changed, after.version)]).await.unwrap();
    store.commit(upgrade("new", "newest")).await.unwrap();
    assert_eq!(stored().await.password, "other");
    let session = open(&old, 1);
    let log_in = vec![
        Write::UpgradePassword { user: old.id, was: "other".to_owned(), now: "last".to_owned() },
        Write::OpenSession { session, was: old.version },
    ];
    assert_eq!(store.commit(log_in).await, Err(StoreError::Changed));
    assert_eq!(stored().await.password, "other", "all of a commit happens, or nothing");
    store.commit(vec![Write::DeleteUser { id: old.id, was: stored().await.version }]).await.unwrap();
}

fn token(owner: &User, n: i64) -> ApiToken {
    let (name, scope) = ("a machine".to_owned(), BTreeSet::from([permission("a.b")]));
    ApiToken { id: SessionId::random(), owner: owner.id, name, scope, created: day(n), ends: day(n + 90), epoch: 0 }
}

/// API tokens: so many a user, each until it ends, and none that outlives what it rests on.
async fn keeps_tokens(store: &SharedStore) {
    let (dora, emil) = (user("dora"), user("emil"));
    store.commit(vec![create(&dora), create(&emil)]).await.unwrap();
    let keep = |token: &ApiToken, most| vec![Write::KeepToken { token: token.clone(), most }];
    let found = async |owner: &User| store.api_tokens(owner.id).await.unwrap();
    let (first, second, other) = (token(&dora, 1), token(&dora, 2), token(&emil, 5));
    for token in [&first, &second, &other] {
        store.commit(keep(token, 2)).await.unwrap();
    }
    assert_eq!(found(&dora).await, [second.clone(), first.clone()], "the newest first");
    assert_eq!(found(&emil).await, std::slice::from_ref(&other));
    assert_eq!(store.commit(keep(&token(&user("nobody"), 1), 2)).await, Err(StoreError::Changed));
    // One that has ended takes no room, and neither does one of an older epoch.
    assert_eq!(store.commit(keep(&token(&dora, 3), 2)).await, Err(StoreError::Full));
    assert_eq!(found(&dora).await.len(), 2);
    let later = ApiToken { created: first.ends, ..token(&dora, 3) };
    store.commit(keep(&later, 2)).await.unwrap();
    assert_eq!(store.commit(keep(&token(&dora, 3), 3)).await, Err(StoreError::Full));
    let next = ApiToken { epoch: 1, ..token(&dora, 3) };
    store.commit(keep(&next, 1)).await.unwrap();
    assert_eq!(found(&dora).await.len(), 4);

    // Dropped one by one, and together only when none is left out.
    let drop = |id| Write::DropToken { owner: dora.id, id };
    store.commit(vec![drop(later.id), drop(next.id)]).await.unwrap();
    store.commit(vec![drop(later.id), drop(other.id)]).await.unwrap();
    assert_eq!((found(&dora).await.len(), found(&emil).await.len()), (2, 1));
    let all = |ids: &[SessionId]| Write::DropTokens { owner: dora.id, ids: ids.iter().copied().collect() };
    assert_eq!(store.commit(vec![all(&[first.id])]).await, Err(StoreError::Changed));
    assert_eq!(found(&dora).await.len(), 2);
    store.commit(vec![all(&[first.id, second.id, later.id])]).await.unwrap();
    assert!(found(&dora).await.is_empty());

    // Forgotten when they are over, and not before.
    store.commit(keep(&first, 9)).await.unwrap();
    store.commit(keep(&second, 9)).await.unwrap();
    store.commit(vec![Write::Forget(first.ends - TimeDelta::seconds(1))]).await.unwrap();
    assert_eq!(found(&dora).await.len(), 2);
    store.commit(vec![Write::Forget(first.ends)]).await.unwrap();
    assert_eq!(found(&dora).await, std::slice::from_ref(&second));

    // A new generation drops them; other changes do not; nor does a disabled user get one.
    let named = User { first_name: "Dora".to_owned(), rights_version: 1, ..dora.clone() };
    store.commit(vec![change(&named, 0)]).await.unwrap();
    assert_eq!(found(&dora).await.len(), 1);
    let off = User { generation: 1, is_active: false, ..named.clone() };
    store.commit(vec![change(&off, 1)]).await.unwrap();
    assert!(found(&dora).await.is_empty());
    assert_eq!(store.commit(keep(&first, 9)).await, Err(StoreError::Changed));
    // They go with their owner, and with no one else.
    store.commit(vec![Write::DeleteUser { id: dora.id, was: 2 }]).await.unwrap();
    assert_eq!(found(&emil).await.len(), 1);
    store.commit(vec![Write::DeleteUser { id: emil.id, was: 0 }]).await.unwrap();
    assert!(found(&emil).await.is_empty());
}

/// The conformance suite.
pub(crate) async fn conforms(store: &SharedStore) {
    upgrades_a_password(store).await;
    keeps_tokens(store).await;
    let commit = |writes: Vec<Write>| store.commit(writes);

    // A user is found by id and by the key of the name, which is unique.
    let mut alice = user("Alice");
    commit(vec![create(&alice)]).await.unwrap();
    assert_eq!(store.user(alice.id).await.unwrap().as_ref(), Some(&alice));
    assert_eq!(store.user_named("alice").await.unwrap().as_ref(), Some(&alice));
    assert_eq!(store.user_named("nobody").await.unwrap(), None);
    assert_eq!(store.user(UserId::random()).await.unwrap(), None);
    assert_eq!(commit(vec![create(&user("aLICE"))]).await, Err(StoreError::Taken("user")));

    // A change needs the version that it was made from, and all writes of a commit happen or none.
    alice.first_name = "A".to_owned();
    let bob = user("bob");
    assert_eq!(commit(vec![create(&bob), change(&alice, 7)]).await, Err(StoreError::Changed));
    assert_eq!(store.user_named("bob").await.unwrap(), None, "nothing of a refused commit is visible");
    commit(vec![create(&bob), change(&alice, 0)]).await.unwrap();
    let stored = store.user(alice.id).await.unwrap().unwrap();
    assert_eq!((stored.version, stored.first_name.as_str()), (1, "A"));
    assert_eq!(commit(vec![change(&alice, 0)]).await, Err(StoreError::Changed));

    // A new name frees the old one; a taken one is refused.
    alice.username = Username::parse("alicia").unwrap();
    commit(vec![change(&alice, 1)]).await.unwrap();
    assert_eq!(store.user_named("alice").await.unwrap(), None);
    alice.username = Username::parse("BOB").unwrap();
    assert_eq!(commit(vec![change(&alice, 2)]).await, Err(StoreError::Taken("user")));
    alice.username = Username::parse("alice").unwrap();
    commit(vec![change(&alice, 2)]).await.unwrap();

    // A log-in is recorded against the version that it was judged by, and changes none.
    let (first, second) = (open(&alice, 1), open(&alice, 2));
    let log_in = |session: &OpenSession, was| Write::OpenSession { session: session.clone(), was };
    for other in [2, 4] {
        assert_eq!(commit(vec![log_in(&first, other)]).await, Err(StoreError::Changed));
    }
    commit(vec![log_in(&first, 3)]).await.unwrap();
    commit(vec![log_in(&second, 3)]).await.unwrap();
    assert_eq!(sessions(store, &alice).await, [second.clone(), first.clone()]);
    assert!(sessions(store, &bob).await.is_empty());
    assert_eq!(store.session(alice.id, first.id).await.unwrap().as_ref(), Some(&first));
    assert_eq!(store.session(bob.id, first.id).await.unwrap(), None, "it is somebody else's");
    let stored = store.user(alice.id).await.unwrap().unwrap();
    assert_eq!((stored.version, stored.last_login), (3, Some(day(2))));
    alice.last_login = None;
    commit(vec![change(&alice, 3)]).await.unwrap();
    assert_eq!(store.user(alice.id).await.unwrap().unwrap().last_login, Some(day(2)), "a change does not forget it");
    commit(vec![Write::CloseSession { user: alice.id, id: first.id }]).await.unwrap();
    commit(vec![Write::CloseSession { user: alice.id, id: first.id }]).await.unwrap();
    assert_eq!(sessions(store, &alice).await, std::slice::from_ref(&second));
    assert_eq!(store.session(alice.id, first.id).await.unwrap(), None);
    let third = open(&alice, 3);
    commit(vec![log_in(&third, 4), Write::CloseSessions { user: alice.id, keep: Some(third.id) }]).await.unwrap();
    assert_eq!(sessions(store, &alice).await, std::slice::from_ref(&third));
    let mut disabled = store.user(bob.id).await.unwrap().unwrap();
    disabled.is_active = false;
    commit(vec![change(&disabled, 0)]).await.unwrap();
    assert_eq!(commit(vec![log_in(&open(&disabled, 1), 1)]).await, Err(StoreError::Changed));

    // What is written in the name of a session is written at its state only.
    let mut ivan = user("ivan");
    commit(vec![create(&ivan)]).await.unwrap();
    let session = open(&ivan, 1);
    commit(vec![log_in(&session, 0)]).await.unwrap();
    let name = |n: &str| User { first_name: n.to_owned(), ..ivan.clone() };
    let seen = Witness { session: session.id, epoch: 0, user: ivan.id, generation: 0, rights_version: Some(0) };
    let by = |witness: Witness, n: &str, was| commit(vec![Write::InNameOf(witness), change(&name(n), was)]);
    by(seen, "a", 0).await.unwrap();
    assert_eq!(by(Witness { generation: 1, ..seen }, "b", 1).await, Err(StoreError::Ended));
    assert_eq!(by(Witness { user: UserId::random(), ..seen }, "b", 1).await, Err(StoreError::Ended));
    assert_eq!(by(Witness { rights_version: Some(1), ..seen }, "b", 1).await, Err(StoreError::Outdated));
    by(Witness { rights_version: None, ..seen }, "b", 1).await.unwrap();
    let ended = Revocation::Session { id: session.id, until: day(15) };
    commit(vec![Write::Revoke(ended)]).await.unwrap();
    assert_eq!(by(seen, "c", 2).await, Err(StoreError::Ended));
    let other = Witness { session: SessionId::random(), ..seen };
    by(other, "c", 2).await.unwrap();
    ivan = store.user(ivan.id).await.unwrap().unwrap();
    assert_eq!((ivan.version, ivan.first_name.as_str()), (3, "c"));
    commit(vec![change(&User { is_active: false, ..ivan.clone() }, 3)]).await.unwrap();
    assert_eq!(commit(vec![Write::InNameOf(other), change(&ivan, 4)]).await, Err(StoreError::Ended));
    commit(vec![Write::Forget(day(15)), Write::DeleteUser { id: ivan.id, was: 4 }]).await.unwrap();
    assert_eq!(commit(vec![Write::InNameOf(other)]).await, Err(StoreError::Ended));

    // Permissions and groups have to exist to be given, and must not be in use to be deleted.
    let vote = permission("polls.vote");
    let mut editors = group("editors");
    editors.permissions.insert(vote.clone());
    assert_eq!(commit(vec![Write::CreateGroup(editors.clone())]).await, Err(StoreError::Changed));
    commit(vec![entry("polls.vote"), entry("polls.voter"), Write::CreateGroup(editors.clone())]).await.unwrap();
    assert_eq!(commit(vec![entry("polls.vote")]).await, Err(StoreError::Taken("permission")));
    assert_eq!(commit(vec![Write::CreateGroup(group("editors"))]).await, Err(StoreError::Taken("group")));
    let same = Group { name: "others".to_owned(), ..editors.clone() };
    assert_eq!(commit(vec![Write::CreateGroup(same)]).await, Err(StoreError::Changed), "an identity is one group's");
    let mut carol = user("carol");
    carol.groups.insert(GroupId::random());
    assert_eq!(commit(vec![create(&carol)]).await, Err(StoreError::Changed));
    carol.groups = BTreeSet::from([editors.id]);
    carol.permissions = BTreeSet::from([vote.clone(), permission("polls.voter")]);
    commit(vec![create(&carol)]).await.unwrap();
    let names = |users: Vec<User>| users.iter().map(|u| u.username.as_str().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(store.members(editors.id).await.unwrap()), ["carol"]);
    let member = store.member(carol.id).await.unwrap().unwrap();
    assert_eq!(store.member_named("carol").await.unwrap().as_ref(), Some(&member));
    assert_eq!(store.member_named("carola").await.unwrap(), None);
    assert_eq!((member.user, member.groups), (carol.clone(), vec!["editors".to_owned()]));
    assert_eq!(names(store.holders(&vote).await.unwrap()), ["carol"]);
    assert!(store.holders(&permission("polls.vot")).await.unwrap().is_empty());
    let delete = Write::DeletePermission { name: vote.clone(), was: 0 };
    assert_eq!(commit(vec![delete.clone()]).await, Err(StoreError::Changed));
    assert_eq!(commit(vec![Write::DeleteGroup { id: editors.id, was: 0 }]).await, Err(StoreError::Changed));
    // Another name of a group makes its members' tokens stale: the commit has to change every member.
    editors.name = "authors".to_owned();
    let rename = Write::ChangeGroup { group: editors.clone(), was: 0 };
    assert_eq!(commit(vec![rename.clone()]).await, Err(StoreError::Changed));
    carol.rights_version = 1;
    commit(vec![change(&carol, 0), rename]).await.unwrap();
    assert_eq!(store.group(editors.id).await.unwrap().unwrap().name, "authors");
    carol.groups.clear();
    carol.permissions.clear();
    editors.permissions.clear();
    let emptied = Write::ChangeGroup { group: editors.clone(), was: 1 };
    commit(vec![change(&carol, 1), emptied, delete, Write::DeleteGroup { id: editors.id, was: 2 }]).await.unwrap();
    assert_eq!(store.group(editors.id).await.unwrap(), None);
    assert_eq!(store.permission(&vote).await.unwrap(), None);
    assert!(store.members(editors.id).await.unwrap().is_empty());

    // The last active superuser stays one; the first may come at any time.
    let mut root = user("root");
    root.is_superuser = true;
    commit(vec![create(&root)]).await.unwrap();
    let mut demoted = root.clone();
    demoted.is_superuser = false;
    assert_eq!(commit(vec![change(&demoted, 0)]).await, Err(StoreError::LastSuperuser));
    assert_eq!(commit(vec![Write::DeleteUser { id: root.id, was: 0 }]).await, Err(StoreError::LastSuperuser));
    // Nor may the last of them who can enter administration lose that.
    let mut staff = root.clone();
    staff.is_staff = true;
    commit(vec![change(&staff, 0)]).await.unwrap();
    assert_eq!(commit(vec![change(&root, 1)]).await, Err(StoreError::LastSuperuser));
    commit(vec![create(&User { is_staff: true, is_superuser: true, ..user("spare") }), change(&root, 1)])
        .await
        .unwrap();
    let spare = store.user_named("spare").await.unwrap().unwrap();
    assert_eq!(commit(vec![Write::DeleteUser { id: spare.id, was: 0 }]).await, Err(StoreError::LastSuperuser));
    let mut second_root = user("root2");
    second_root.is_superuser = true;
    commit(vec![create(&second_root), change(&demoted, 2)]).await.unwrap();

    // A deleted user is gone with all sessions.
    assert_eq!(commit(vec![Write::DeleteUser { id: alice.id, was: 0 }]).await, Err(StoreError::Changed));
    commit(vec![Write::DeleteUser { id: alice.id, was: 4 }]).await.unwrap();
    assert_eq!(store.user(alice.id).await.unwrap(), None);
    assert_eq!(store.user_named("alice").await.unwrap(), None);
    assert!(sessions(store, &alice).await.is_empty());

    // Revocations merge to what covers both, and are forgotten when they are over.
    let session = |until| Revocation::Session { id: third.id, until };
    let marked = |generation, rights_version, until| Revocation::User { id: bob.id, generation, rights_version, until };
    let revoke = |revocations: &[Revocation]| commit(revocations.iter().map(|r| Write::Revoke(*r)).collect());
    revoke(&[session(day(5)), marked(3, 1, day(5)), Revocation::Epoch(2)]).await.unwrap();
    revoke(&[session(day(3)), marked(1, 4, day(9)), Revocation::Epoch(1)]).await.unwrap();
    let expected = [Revocation::Epoch(2), session(day(5)), marked(3, 4, day(9))];
    assert_eq!(store.state().await.unwrap().revocations, expected);
    commit(vec![Write::Forget(day(5) - TimeDelta::seconds(1))]).await.unwrap();
    assert_eq!(store.state().await.unwrap().revocations, expected);
    commit(vec![Write::Forget(day(5))]).await.unwrap();
    assert_eq!(store.state().await.unwrap().revocations, [expected[0], expected[2]]);
    let old = open(&demoted, -20);
    commit(vec![Write::OpenSession { session: old, was: store.user(demoted.id).await.unwrap().unwrap().version }])
        .await
        .unwrap();
    commit(vec![Write::Forget(day(6))]).await.unwrap();
    assert!(sessions(store, &demoted).await.is_empty());

    // What is counted adds up, from the instant on where the counter was over by then; and what is over is forgotten.
    let count = |n: u8, from: i64, added: i64| Count {
        key: [n; 16],
        from: day(1) + TimeDelta::milliseconds(from),
        added: TimeDelta::milliseconds(added),
    };
    let tally = |n: u8, millis: i64| Tally { key: [n; 16], until: day(1) + TimeDelta::milliseconds(millis) };
    let counted = || async {
        let mut tallies = store.state().await.unwrap().tallies;
        tallies.sort_by_key(|tally| tally.key);
        tallies
    };
    commit(vec![Write::Count(vec![count(1, 500, 5000), count(2, 1, 100_000)])]).await.unwrap();
    commit(vec![Write::Count(vec![
        count(1, 5499, 0),
        count(2, 7000, 1),
        count(3, 1, 1),
        count(3, 1, 3),
        count(3, 9, 2),
    ])])
    .await
    .unwrap();
    assert_eq!(counted().await, [tally(1, 5500), tally(2, 100_002), tally(3, 11)]);
    commit(vec![Write::Count(vec![tally(1, 200_000).into()]), Write::Forget(day(1) + TimeDelta::seconds(50))])
        .await
        .unwrap();
    assert_eq!(counted().await, [tally(1, 200_000), tally(2, 100_002)]);
    commit(vec![Write::Forget(day(1) + TimeDelta::seconds(200))]).await.unwrap();
    assert_eq!(counted().await, []);

    // The longest life only grows.
    assert_eq!(store.longest_life(100).await.unwrap(), 100);
    assert_eq!(store.longest_life(50).await.unwrap(), 100);
    assert_eq!(store.longest_life(200).await.unwrap(), 200);

    // Lists go page by page, in the order of the names, and can be searched.
    for n in 0..7 {
        commit(vec![create(&user(&format!("user{n}")))]).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut slice = Slice { limit: 3, ..Slice::default() };
    loop {
        let page = store.users(slice.clone()).await.unwrap();
        assert!(page.items.len() <= 3);
        seen.extend(names(page.items));
        match page.next {
            Some(next) => slice.after = Some(next),
            None => break,
        }
    }
    assert_eq!(
        seen,
        ["bob", "carol", "root", "root2", "spare", "user0", "user1", "user2", "user3", "user4", "user5", "user6"]
    );
    let search = Slice { limit: 50, search: Some("USER4@".to_owned()), after: None };
    assert_eq!(names(store.users(search).await.unwrap().items), ["user4"]);

    // A search knows no case, beyond ASCII as well, and takes nothing of the text for a pattern.
    commit(vec![Write::CreateGroup(group("\u{c4}rzte 100%")), entry("polls.open")]).await.unwrap();
    let searched = |text: &str| Slice { limit: 9, search: Some(text.to_owned()), after: None };
    for (text, found) in [("\u{e4}RZTE", 1), ("0%", 1), ("_", 0), ("", 1), ("\0", 0)] {
        assert_eq!(store.groups(searched(text)).await.unwrap().items.len(), found, "{text:?}");
    }
    for (text, found) in [("POLLS.OPEN", 1), ("polls.o", 1), ("polls_o", 0)] {
        assert_eq!(store.permissions(searched(text)).await.unwrap().items.len(), found, "{text:?}");
    }

    // Many writers of one name: one of them wins. Many writers of many names: all of them do.
    let results = at_once(50, |_| {
        let (store, user) = (Arc::clone(store), user("zoe"));
        Box::pin(async move { store.commit(vec![create(&user)]).await })
    })
    .await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    let results = at_once(200, |n| {
        let (store, user) = (Arc::clone(store), user(&format!("many{n}")));
        Box::pin(async move {
            store.commit(vec![create(&user)]).await.unwrap();
            store.user(user.id).await.unwrap().is_some()
        })
    })
    .await;
    assert!(results.iter().all(|found| *found));
    assert!(store.is_ready());
}

/// An empty store, and what it has dropped when the clock goes back.
pub(crate) async fn knows_the_latest_end_that_it_forgot(store: &SharedStore) {
    let forgotten = async || store.state().await.unwrap().forgotten;
    let commit = async |writes: Vec<Write>| store.commit(writes).await.unwrap();
    let session = |n| Write::Revoke(Revocation::Session { id: SessionId::random(), until: day(n) });
    let tally = Tally { key: [7; 16], until: day(9) };
    commit(vec![session(1), session(3), session(8), Write::Count(vec![tally.into()])]).await;
    assert_eq!(forgotten().await, None);
    commit(vec![Write::Forget(day(3))]).await;
    assert_eq!(forgotten().await, Some(day(3)));
    commit(vec![session(2)]).await;
    commit(vec![Write::Forget(day(4))]).await;
    assert_eq!(forgotten().await, Some(day(3)), "the latest one");
    // A counter is no end of anything.
    commit(vec![Write::Forget(day(10))]).await;
    assert_eq!(forgotten().await, Some(day(8)));
    // What is older than an epoch needs no end of its own.
    commit(vec![Write::Revoke(Revocation::Epoch(1))]).await;
    assert_eq!(forgotten().await, None);
}

/// An empty store, and single endings that a user's own takes the place of.
pub(crate) async fn drops_what_is_covered(store: &SharedStore) {
    let commit = async |writes: Vec<Write>| store.commit(writes).await.unwrap();
    let (user, ids) = (UserId::random(), [(); 3].map(|()| SessionId::random()));
    let session = |n: usize, until| Write::Revoke(Revocation::Session { id: ids[n], until: day(until) });
    let cover = |n: &[usize]| Write::DropCovered { user, ids: n.iter().map(|n| ids[*n]).collect() };
    let held = async || {
        let found = store.state().await.unwrap().revocations;
        let place = |of: &Revocation| match of {
            Revocation::Session { id, .. } => ids.iter().position(|known| known == id),
            _ => None,
        };
        found.iter().filter_map(place).collect::<BTreeSet<usize>>()
    };
    commit(vec![session(0, 1), session(1, 5), session(2, 9), cover(&[0, 1, 2])]).await;
    assert_eq!(held().await, BTreeSet::from([0, 1, 2]), "nothing covers them");
    let mark = Revocation::User { id: user, generation: 1, rights_version: 0, until: day(5) };
    commit(vec![Write::Revoke(mark), cover(&[1, 2])]).await;
    assert_eq!(held().await, BTreeSet::from([0, 2]), "one was not named, and one lasts longer");
    // Dropped, it is not over: the latest end that was forgotten is of what was.
    commit(vec![Write::Forget(day(1))]).await;
    let state = store.state().await.unwrap();
    assert_eq!((held().await, state.forgotten), (BTreeSet::from([2]), Some(day(1))));
}

/// What is on all pages.
async fn pages<T>(limit: usize, page: impl AsyncFn(Option<String>) -> Page<T>) -> Vec<T> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = page(after).await;
        assert!(page.items.len() <= limit);
        found.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => break found,
        }
    }
}

/// The open sessions of each user, page by page, the newest first.
async fn pages_through_sessions(store: &SharedStore) {
    let commit = async |writes: Vec<Write>| store.commit(writes).await.unwrap();
    let users: Vec<User> = ["eve", "fay", "gus"].map(user).into();
    commit(users.iter().map(create).collect()).await;
    // Neither in the order of time nor of ids; some at the same instant, some not alive.
    let mut known: Vec<OpenSession> = (0..40).map(|n| open(&users[n % 2], [3, 9, 1, 9, 4][n % 5])).collect();
    for (n, session) in known.iter_mut().enumerate() {
        session.created += TimeDelta::microseconds([5, 0, 7][n % 3]);
        session.epoch = u64::from(n % 7 != 0);
        session.ends = if n % 11 == 0 { day(2) } else { day(40) };
    }
    commit(known.iter().map(|s| Write::OpenSession { session: s.clone(), was: 0 }).collect()).await;
    let alive = Alive { now: day(2), epoch: 1 };
    let all = async |user: &User, limit| {
        let page = async |after| store.sessions(user.id, alive, Slice { after, search: None, limit }).await.unwrap();
        pages(limit, page).await
    };
    let right = |user: &User, known: &[OpenSession]| {
        let of_user = |s: &&OpenSession| s.user == user.id && s.epoch == 1 && s.ends == day(40);
        let mut right: Vec<OpenSession> = known.iter().filter(of_user).cloned().collect();
        right.sort_by_key(|session| std::cmp::Reverse((session.created, session.id)));
        right
    };
    for user in &users {
        for limit in [1, 2, 7, 200] {
            assert_eq!(all(user, limit).await, right(user, &known), "pages of {limit}");
        }
    }
    // What is closed is on no page, whether one closes, or all, or they are over.
    let gone = right(&users[0], &known)[3].clone();
    commit(vec![Write::CloseSession { user: gone.user, id: gone.id }, Write::Forget(day(3))]).await;
    known.retain(|session| session.id != gone.id);
    assert_eq!(all(&users[0], 4).await, right(&users[0], &known));
    let everything =
        store.sessions(users[0].id, Alive { now: day(0), epoch: 1 }, Slice { limit: 200, ..Slice::default() });
    assert_eq!(everything.await.unwrap().items, right(&users[0], &known), "what was over is forgotten");
    // A cursor that is none, or of elsewhere, breaks nothing and shows nobody else's.
    for odd in
        ["no cursor", "\0", "\u{e4}", "", "ffffffffffffffffffffffffffffffffffffffffffffffffff", "00", "_____________"]
    {
        let slice = Slice { after: Some(odd.to_owned()), search: None, limit: 200 };
        let page = store.sessions(users[0].id, alive, slice).await.unwrap();
        assert!(page.items.iter().all(|session| session.user == users[0].id), "{odd:?}");
    }
    let kept = right(&users[1], &known)[5].clone();
    commit(vec![Write::CloseSessions { user: users[1].id, keep: Some(kept.id) }]).await;
    assert_eq!(all(&users[1], 4).await, [kept]);
}

/// An empty store, and the open sessions of everybody in it, page by page.
pub(crate) async fn pages_through_open_sessions(store: &SharedStore) {
    let commit = async |writes: Vec<Write>| store.commit(writes).await.unwrap();
    let users: Vec<User> = ["ada", "ben", "cyd"].map(user).into();
    commit(users.iter().map(create).collect()).await;
    let log_in = |session: &OpenSession| Write::OpenSession { session: session.clone(), was: 0 };
    let mut sessions: Vec<OpenSession> = (0..25).map(|n| open(&users[n % 2], 1)).collect();
    // Over at the instant, and of another epoch, among the others.
    let over = (0..7).map(|_| OpenSession { ends: day(2), ..open(&users[2], 1) });
    let before = (0..7).map(|_| OpenSession { epoch: 0, ..open(&users[2], 1) });
    let dead: Vec<OpenSession> = over.chain(before).collect();
    for session in &mut sessions {
        session.epoch = 1;
    }
    commit(sessions.iter().chain(&dead).map(log_in).collect()).await;
    // A user without a session that is alive, and an API token, which is none.
    commit(vec![Write::KeepToken { token: token(&users[0], 1), most: 9 }]).await;
    let alive = Alive { now: day(2), epoch: 1 };
    let page = async |after: Option<String>, limit| {
        store.open_sessions(alive, Slice { after, search: None, limit }).await.unwrap()
    };
    let all = async |limit| pages(limit, |after| page(after, limit)).await;
    let found = all(4).await;
    for limit in [1, 24, 25, 26, 200] {
        assert_eq!(all(limit).await, found, "pages of {limit}");
    }
    // Everyone once, under the right name.
    assert_eq!(found.len(), 25);
    for session in &sessions {
        let name = if session.user == users[0].id { "ada" } else { "ben" };
        let same = found.iter().filter(|named| named.session == *session && named.username.as_str() == name);
        assert_eq!(same.count(), 1);
    }
    // Another name is shown at once; what is closed meanwhile is on no page that follows, and all others are.
    let ada = User { username: Username::parse("adele").unwrap(), ..users[0].clone() };
    commit(vec![change(&ada, 0)]).await;
    let first = page(None, 10).await;
    assert_eq!(first.items.iter().map(|named| &named.session).collect::<Vec<_>>(), {
        found[..10].iter().map(|named| &named.session).collect::<Vec<_>>()
    });
    assert!(first.items.iter().all(|named| named.username.as_str() != "ada"));
    // The one that the cursor stands on, and one behind it.
    for gone in [&found[9].session, &found[15].session] {
        commit(vec![Write::CloseSession { user: gone.user, id: gone.id }]).await;
    }
    let rest = page(first.next, 200).await;
    let ids: Vec<SessionId> = rest.items.iter().map(|named| named.session.id).collect();
    let expected: Vec<SessionId> = found[10..].iter().map(|named| named.session.id).collect();
    assert_eq!(ids, expected.iter().copied().filter(|id| *id != found[15].session.id).collect::<Vec<_>>());
    assert!(rest.next.is_none());
    // A cursor that is none finds what there is, and nothing breaks.
    for odd in ["no cursor", "\0", "\u{e4}", ""] {
        assert!(!page(Some(odd.to_owned()), 4).await.items.is_empty(), "{odd:?}");
    }
    commit(vec![Write::CloseSessions { user: users[0].id, keep: None }]).await;
    assert!(all(7).await.iter().all(|named| named.session.user == users[1].id));
    pages_through_sessions(store).await;
}

#[tokio::test]
async fn the_embedded_store_conforms() {
    let folder = TempDir::new().unwrap();
    let store: SharedStore = Arc::new(Embedded::open(folder.path()).unwrap());
    conforms(&store).await;
    keeps_the_log(&store).await;
    let folder = TempDir::new().unwrap();
    let store: SharedStore = Arc::new(Embedded::open(folder.path()).unwrap());
    knows_the_latest_end_that_it_forgot(&store).await;
    let folder = TempDir::new().unwrap();
    let store: SharedStore = Arc::new(Embedded::open(folder.path()).unwrap());
    drops_what_is_covered(&store).await;
    let folder = TempDir::new().unwrap();
    let store: SharedStore = Arc::new(Embedded::open(folder.path()).unwrap());
    pages_through_open_sessions(&store).await;
}

#[tokio::test]
async fn what_was_committed_is_there_after_opening_again() {
    let folder = TempDir::new().unwrap();
    let store = Embedded::open(folder.path()).unwrap();
    let alice = user("alice");
    store.commit(vec![create(&alice), Write::Revoke(Revocation::Epoch(3))]).await.unwrap();
    drop(store);
    let store = Embedded::open(folder.path()).unwrap();
    assert_eq!(store.user(alice.id).await.unwrap(), Some(alice));
    assert_eq!(store.state().await.unwrap().revocations, [Revocation::Epoch(3)]);
}

#[tokio::test]
async fn a_store_that_lost_its_contents_or_is_in_use_is_refused_and_never_replaced() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("data");
    let store = Embedded::open(&path).unwrap();
    let second = Embedded::open(&path).err().unwrap().to_string();
    assert!(second.contains("another process has it open"), "{second}");
    drop(store);
    // The file is gone, and what says that there was one is not.
    std::fs::remove_file(path.join("db")).unwrap();
    let refused = Embedded::open(&path).err().unwrap().to_string();
    assert!(refused.contains("restore"), "{refused}");
    // Nor is a folder with other things in it taken for a new store.
    let other = folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("letter.txt"), "dear").unwrap();
    let refused = Embedded::open(&other).err().unwrap().to_string();
    assert!(refused.contains("other files"), "{refused}");
    assert_eq!(std::fs::read_dir(&other).unwrap().count(), 1);
}

/// Whom the store finds at an address.
async fn at(store: &impl Store, address: &str) -> Vec<String> {
    let users = store.users_at(&address_key(address), 100).await.unwrap();
    users.iter().map(|user| user.username.as_str().to_owned()).collect()
}

/// Addresses and challenges: what every store does with them.
pub(crate) async fn conforms_in_mail(store: &SharedStore) {
    let commit = |writes: Vec<Write>| store.commit(writes);
    let by = |key: &'static str, limit| async move {
        let users = store.users_at(key, limit).await.unwrap();
        users.iter().map(|user| user.username.as_str().to_owned()).collect::<Vec<_>>()
    };

    // At one address, those who have proven it come first, then the oldest. No address is none.
    let (mut old, mut new, mut sure, mut none) = (user("old"), user("new"), user("sure"), user("none"));
    for (user, joined) in [(&mut old, 1), (&mut new, 2), (&mut sure, 3)] {
        user.email = "Stra\u{df}e@example.com".to_owned();
        user.date_joined = day(joined);
    }
    (sure.email_verified, none.email) = (true, String::new());
    commit([&new, &old, &sure, &none].map(create).into()).await.unwrap();
    assert_eq!(by("strasse@example.com", 9).await, ["sure", "old", "new"]);
    assert_eq!(by("strasse@example.com", 2).await, ["sure", "old"]);
    for other in ["", "strasse@example.co", "strasse@example.comm", "stra\u{df}e@example.com", "strasse"] {
        assert!(by(other, 9).await.is_empty(), "{other}");
    }

    // The index follows every change.
    (new.email_verified, old.email) = (true, "old@example.com".to_owned());
    commit(vec![change(&new, 0), change(&old, 0)]).await.unwrap();
    assert_eq!(by("strasse@example.com", 9).await, ["new", "sure"]);
    assert_eq!(by("old@example.com", 9).await, ["old"]);
    commit(vec![Write::DeleteUser { id: sure.id, was: 0 }]).await.unwrap();
    assert_eq!(by("strasse@example.com", 9).await, ["new"]);

    // A challenge takes the place of the one before, and is answered once. The user's version stays.
    let (reset, verification) = (ChallengeKind::Reset, ChallengeKind::Verification);
    let to = |user: &User, n: u8| Challenge { digest: [n; 32], address: user.email.clone(), asked: day(n.into()) };
    let ask = |user: &User, kind, n| Write::Challenge { user: user.id, kind, challenge: to(user, n) };
    let answer = |user: &User, kind, n| Write::Answer { user: user.id, kind, digest: [n; 32] };
    let open = |user: &User, kind| store.challenge(user.id, kind);
    old = store.user(old.id).await.unwrap().unwrap();
    commit(vec![ask(&old, reset, 1), ask(&old, verification, 2)]).await.unwrap();
    commit(vec![ask(&old, reset, 3)]).await.unwrap();
    assert_eq!(open(&old, reset).await.unwrap(), Some(to(&old, 3)));
    assert_eq!(open(&old, verification).await.unwrap(), Some(to(&old, 2)));
    assert_eq!(store.user(old.id).await.unwrap().unwrap(), old);
    let mut named = old.clone();
    named.first_name = "Old".to_owned();
    for wrong in [answer(&old, reset, 1), answer(&old, reset, 2), answer(&old, verification, 3), answer(&new, reset, 3)]
    {
        assert_eq!(commit(vec![wrong, change(&named, 1)]).await, Err(StoreError::Spent));
    }
    commit(vec![answer(&old, reset, 3), change(&named, 1)]).await.unwrap();
    assert_eq!(commit(vec![answer(&old, reset, 3)]).await, Err(StoreError::Spent));
    assert_eq!(open(&old, reset).await.unwrap(), None);
    assert_eq!(open(&old, verification).await.unwrap(), Some(to(&old, 2)));

    // What takes its ground away ends it; what does not leaves it.
    let mut user = store.user(old.id).await.unwrap().unwrap();
    let mut ends = async |what: &str, act: &dyn Fn(&mut User), left: [bool; 2]| {
        user.is_active = true;
        commit(vec![change(&user, user.version)]).await.unwrap();
        user.version += 1;
        commit(vec![ask(&user, reset, 7), ask(&user, verification, 8)]).await.unwrap();
        act(&mut user);
        commit(vec![change(&user, user.version)]).await.unwrap();
        user.version += 1;
        let found = [open(&user, reset).await.unwrap().is_some(), open(&user, verification).await.unwrap().is_some()];
        assert_eq!(found, left, "{what}");
    };
    ends("a name", &|user| user.first_name = "A".to_owned(), [true, true]).await;
    ends("rights", &|user| user.is_staff = true, [true, true]).await;
    ends("a generation", &|user| user.generation += 1, [true, true]).await;
    let password = |user: &mut User| {
        // A change of password is a new generation; without one it is none.
        user.password = "!x".to_owned();
        user.generation += 1;
    };
    ends("a password", &password, [false, true]).await;
    ends("an address", &|user| user.email = "o@example.com".to_owned(), [false, false]).await;
    ends("a disabled account", &|user| user.is_active = false, [false, false]).await;
    assert_eq!(commit(vec![ask(&user, reset, 9)]).await, Err(StoreError::Changed), "disabled");
    user.is_active = true;
    commit(vec![change(&user, user.version)]).await.unwrap();
    assert_eq!(commit(vec![ask(&named, reset, 9)]).await, Err(StoreError::Changed), "another address");
    commit(vec![ask(&user, reset, 9), ask(&user, verification, 9)]).await.unwrap();
    let user = store.user(user.id).await.unwrap().unwrap();
    let log_in = Write::OpenSession { session: self::open(&user, 5), was: user.version };
    commit(vec![log_in]).await.unwrap();
    assert_eq!(open(&user, reset).await.unwrap(), None, "a log-in");
    assert!(open(&user, verification).await.unwrap().is_some());
    commit(vec![Write::DeleteUser { id: user.id, was: user.version }]).await.unwrap();
    assert_eq!(open(&user, verification).await.unwrap(), None, "nobody");
    assert_eq!(commit(vec![ask(&user, reset, 9)]).await, Err(StoreError::Changed));
}

#[tokio::test]
async fn the_embedded_store_conforms_in_mail() {
    let folder = TempDir::new().unwrap();
    let store: SharedStore = Arc::new(Embedded::open(&folder.path().join("data")).unwrap());
    conforms_in_mail(&store).await;
}

/// A user's record as the former layout had it.
fn former(n: u32) -> ([u8; 16], String) {
    let id: [u8; 16] = std::array::from_fn(|at| n.to_be_bytes()[at % 4] ^ u8::try_from(at).unwrap());
    let text = UserId::from_bytes(id).to_string();
    let record = format!(
        r#"{{"id":"{text}","version":0,"username":"user{n}","password":"!","first_name":"","last_name":"","email":"User{n}@example.com","is_active":true,"is_staff":false,"is_superuser":false,"groups":[],"permissions":[],"generation":0,"rights_version":0,"last_login":null,"date_joined":"2025-01-01T00:00:00Z"}}"#
    );
    (id, record)
}

#[tokio::test]
async fn a_store_of_the_former_layout_is_brought_up_also_when_that_was_cut_short() {
    const USERS: u32 = 2_345;
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    drop(Embedded::open(&data).unwrap());
    {
        let db = sled_at(&data);
        db.insert("m/format", "signet 1").unwrap();
        for n in 0..USERS {
            let (id, record) = former(n);
            db.insert([b"u/".as_slice(), &id].concat(), record.into_bytes()).unwrap();
            db.insert(format!("n/user{n}"), &id).unwrap();
        }
        db.insert("u/0123456789abcdef", "not a record").unwrap();
        db.flush().unwrap();
    }
    for cut_short in [false, true] {
        if cut_short {
            let db = sled_at(&data);
            assert_eq!(db.get("m/format").unwrap().as_deref(), Some(b"signet 3".as_slice()));
            let index: Vec<_> = db.scan_prefix("x/e/").keys().map(Result::unwrap).collect();
            assert_eq!(index.len(), USERS as usize, "each once");
            for key in &index[700..] {
                db.remove(key).unwrap();
            }
            db.insert("m/format", "signet 1").unwrap();
            db.flush().unwrap();
        }
        let store = Embedded::open(&data).unwrap();
        for n in 0..USERS {
            assert_eq!(at(&store, &format!("uSER{n}@EXAMPLE.com")).await, [format!("user{n}")]);
        }
        let user = store.user_named("user7").await.unwrap().unwrap();
        assert!(!user.email_verified && user.email == "User7@example.com");
    }
    // The one between them had no open sessions by the time of the log-in.
    let store: SharedStore = Arc::new(Embedded::open(&data).unwrap());
    let user = store.user_named("user7").await.unwrap().unwrap();
    let opened: Vec<OpenSession> = (1..1_500).rev().map(|n| open(&user, n)).collect();
    store.commit(opened.iter().map(|s| Write::OpenSession { session: s.clone(), was: 0 }).collect()).await.unwrap();
    drop(store);
    {
        let db = sled_at(&data);
        let index: Vec<_> = db.scan_prefix("x/d/").keys().map(Result::unwrap).collect();
        assert_eq!(index.len(), opened.len());
        for key in index {
            db.remove(key).unwrap();
        }
        db.insert("m/format", "signet 2").unwrap();
        db.flush().unwrap();
    }
    let store = Embedded::open(&data).unwrap();
    let slice = Slice { limit: 2_000, ..Slice::default() };
    let page = store.sessions(user.id, Alive { now: day(0), epoch: 0 }, slice).await.unwrap();
    assert_eq!((page.items, page.next), (opened, None));
    drop(store);
    let db = sled_at(&data);
    db.insert("m/format", "signet 4").unwrap();
    db.flush().unwrap();
    drop(db);
    assert!(Embedded::open(&data).err().unwrap().to_string().contains("another version"));
}

/// A panic in the writer is a failure like any other: told, nothing of it is there, and the store is opened again.
#[tokio::test]
async fn a_writer_that_panics_fails_those_who_wait_and_goes_on() {
    let folder = TempDir::new().unwrap();
    let store = Embedded::open(folder.path()).unwrap();
    // No count reaches so far: the next one wraps.
    let last = User { version: u64::MAX, ..user("last") };
    store.commit(vec![create(&last)]).await.unwrap();
    let ended = Revocation::Session { id: SessionId::random(), until: day(500) };
    let writes = vec![Write::Revoke(ended), change(&last, u64::MAX)];
    let failed = store.commit(writes).await;
    assert!(matches!(failed, Err(StoreError::Failed(_))), "{failed:?}");
    let begun = std::time::Instant::now();
    while store.incarnation() != 2 {
        assert!(begun.elapsed().as_secs() < 20, "it is not opened again");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(store.is_ready());
    assert!(store.state().await.unwrap().revocations.is_empty(), "half of it is there");
    store.commit(vec![create(&user("next")), Write::Revoke(ended)]).await.unwrap();
    assert_eq!(store.user(last.id).await.unwrap(), Some(last));
    assert_eq!(store.state().await.unwrap().revocations, [ended]);
}

/// A number below `end`.
pub(crate) fn random(end: usize) -> usize {
    usize::try_from(getrandom::u64().unwrap() % end as u64).unwrap()
}

/// The database of a store that is closed: a process that was begun a moment ago may still hold what this one has let
/// go of.
pub(crate) fn sled_at(data: &Path) -> sled::Db {
    let began = Instant::now();
    loop {
        match sled::open(data) {
            Err(why) => assert!(began.elapsed() < Duration::from_secs(5), "{why}"),
            Ok(db) => return db,
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A way to damage a file, any.
pub(crate) fn damaged(mut bytes: Vec<u8>) -> (&'static str, Vec<u8>) {
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(bytes.len(), |last| last + 1);
    let (at, size) = (random(used), bytes.len());
    let end = (at + 1 + random(4096)).min(size);
    let what = match random(6) {
        0 => {
            bytes[at] ^= 1 << random(8);
            "a bit turned over"
        }
        1 => {
            bytes.truncate(at);
            "cut"
        }
        2 => {
            bytes[at..end].fill(0);
            "a part of zeros"
        }
        3 => {
            bytes[at..end].iter_mut().for_each(|byte| *byte = random(256).to_le_bytes()[0]);
            "a part of noise"
        }
        4 => {
            let from = random(size - (end - at) + 1);
            bytes.copy_within(from..from + (end - at), at);
            "a part copied over another"
        }
        _ => {
            drop(bytes.splice(at..end, []));
            "a part left out"
        }
    };
    (what, bytes)
}

/// Whatever is damaged, the store is refused, or reads fail, or nothing is lacking. `SIGNET_DAMAGES` sets how often.
#[tokio::test]
async fn a_store_that_is_damaged_anywhere_never_knows_less_than_was_acknowledged() {
    #[expect(clippy::disallowed_methods, reason = "a test has no command line of its own")]
    let damages = std::env::var("SIGNET_DAMAGES").map_or(60, |damages| damages.parse().unwrap());
    let whole = TempDir::new().unwrap();
    let store = Embedded::open(whole.path()).unwrap();
    let users: Vec<User> = (0..40).map(|n| user(&format!("user{n}"))).collect();
    for user in &users {
        let ended = Revocation::Session { id: SessionId::random(), until: day(500) };
        store.commit(vec![create(user), Write::Revoke(ended)]).await.unwrap();
    }
    let expected = store.state().await.unwrap().revocations;
    assert_eq!(expected.len(), users.len());
    drop(store);
    // Opened once more, so that there is a snapshot.
    drop(Embedded::open(whole.path()).unwrap());
    let (mut refused, mut unharmed) = (0, 0);
    for _ in 0..damages {
        let folder = TempDir::new().unwrap();
        let mut names = Vec::new();
        for entry in std::fs::read_dir(whole.path()).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
                names.push(entry.file_name().into_string().unwrap());
            } else {
                std::fs::create_dir(folder.path().join(entry.file_name())).unwrap();
            }
        }
        names.retain(|name| name != "signet-store");
        // Most of the time the one that holds the records.
        let name = if random(4) == 0 { names[random(names.len())].clone() } else { "db".to_owned() };
        let file = folder.path().join(&name);
        let bytes = std::fs::read(&file).unwrap();
        if bytes.is_empty() {
            continue;
        }
        let (what, bytes) = damaged(bytes);
        std::fs::write(&file, bytes).unwrap();
        let path = folder.path().to_owned();
        let opened = tokio::task::spawn_blocking(move || Embedded::open(&path)).await;
        let Ok(opened) = opened else { panic!("{name}: {what}: a panic in place of a reason") };
        let Ok(store) = opened else {
            refused += 1;
            continue;
        };
        let Ok(state) = store.state().await else {
            refused += 1;
            continue;
        };
        assert_eq!(state.revocations, expected, "{name}: {what}: an end is forgotten");
        for user in &users {
            if let Ok(found) = store.user(user.id).await {
                assert_eq!(found.as_ref(), Some(user), "{name}: {what}: a user is gone");
            }
        }
        unharmed += 1;
    }
    println!("{damages} damages: {refused} refused, {unharmed} without harm");
    assert!(refused > 0, "none of the damages was noticed");
}
