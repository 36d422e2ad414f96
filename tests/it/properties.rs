//! Rules that hold for whatever comes: claims, rights, revocations and cookies, each against a reference of a few lines.
//!
//! A case that fails is kept in `tests/proptest-regressions` and tried first from then on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use reqwest::StatusCode;
use serde_json::{Map, Value, json};
use signet::api::cookie;
use signet::claims::{Claims, Expiry, GroupId, LIFE_MAX, Lifetime, SessionId, TokenId, UserId, instant};
use signet::error::TokenFault;
use signet::keys::{self, Keyring};
use signet::revocation::{Revocations, Standing};
use signet::rights::{Group, GroupTable, Permission};
use signet::store::embedded::Embedded;
use signet::store::{Revocation, Store as _, Write};
use signet::token::{TOKEN_BYTES_MAX, Tokens};
use tempfile::TempDir;

use crate::harness::Server;

/// About when the tests play.
const NOW: i64 = 1_900_000_000;

static TOKENS: LazyLock<Tokens> = LazyLock::new(|| {
    let folder = TempDir::new().unwrap();
    keys::generate(folder.path(), "eddsa", None, instant(NOW)).unwrap();
    Tokens::new("signet", "signet", Keyring::load(folder.path()).unwrap())
});

fn id() -> impl Strategy<Value = [u8; 16]> {
    any::<[u8; 16]>()
}

/// Any JSON, three levels deep.
fn value() -> impl Strategy<Value = Value> {
    let number = any::<f64>()
        .prop_filter_map("JSON has finite numbers only", |n| Some(Value::Number(serde_json::Number::from_f64(n)?)));
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        number,
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((".{0,8}", inner), 0..4).prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn expiry() -> impl Strategy<Value = Expiry> {
    prop_oneof![
        Just(Expiry::Default),
        Just(Expiry::Browser),
        any::<u32>().prop_map(Expiry::Inactivity),
        (NOW - 10_000..NOW + 40_000_000).prop_map(Expiry::At),
    ]
}

prop_compose! {
    /// Claims of which a server could issue any, begun at an instant near [`NOW`].
    fn claims()(
        user in option::of((id(), ".{1,30}")), (sid, jti) in (id(), id()), begun in NOW - 5000..NOW,
        (age, end) in (0..LIFE_MAX, 0..LIFE_MAX), counters in any::<[u64; 3]>(), flags in any::<[bool; 2]>(),
        groups in vec(".{1,12}", 0..4), permissions in vec("[a-z]{1,8}\\.[a-z_]{1,8}", 0..6),
        expiry in expiry(), data in vec((".{0,8}", value()), 0..4),
    ) -> Claims {
        let mut claims = Claims::anonymous("signet", "signet", counters[2], instant(begun), Lifetime { age, end });
        (claims.sid, claims.jti) = (SessionId::from_bytes(sid), TokenId::from_bytes(jti));
        if let Some((id, name)) = user {
            (claims.sub, claims.preferred_username) = (Some(UserId::from_bytes(id)), Some(name));
        }
        [claims.generation, claims.rights_version] = [counters[0], counters[1]];
        [claims.is_staff, claims.is_superuser] = flags;
        (claims.groups, claims.permissions, claims.expiry) = (groups, permissions, expiry);
        claims.data = data.into_iter().collect();
        claims
    }
}

proptest! {
    #[test]
    fn what_is_issued_is_read_back_the_same_within_its_time(claims in claims(), later in -20..i64::from(LIFE_MAX)) {
        let text = TOKENS.mint(&claims).unwrap();
        let now = instant(claims.iat + later);
        let read = TOKENS.verify_anew(&text, now).map(|verified| verified.claims.clone());
        let expected = if text.len() > TOKEN_BYTES_MAX {
            Err(TokenFault::TooLong)
        } else if now.timestamp() >= claims.exp || claims.iat > now.timestamp() + 5 {
            Err(TokenFault::OutsideItsTime)
        } else {
            Ok(claims)
        };
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn a_reissue_is_the_same_session_and_never_outlives_its_end(
        before in claims(), passed in 0..LIFE_MAX, (age, end) in any::<(u32, u32)>()
    ) {
        let mut after = before.clone();
        let now = instant(before.iat + i64::from(passed));
        after.reissue(now, Lifetime { age, end });
        prop_assert!(after.exp <= after.end && after.end - after.auth_time <= i64::from(LIFE_MAX));
        prop_assert_ne!(after.jti, before.jti);
        prop_assert_eq!((after.iat, after.nbf), (now.timestamp(), now.timestamp()));
        prop_assert_eq!(after.remaining(now), u64::try_from(after.exp - now.timestamp()).unwrap_or(0));
        prop_assert!(!after.past_half(now), "nobody is given a token that is to be given anew at once");
        // Everything else is as it was.
        (after.jti, after.iat, after.nbf, after.exp) = (before.jti, before.iat, before.nbf, before.exp);
        prop_assert_eq!(after, before);
    }

    #[test]
    fn an_identifier_has_one_spelling(bytes in id(), text in "[A-Za-z0-9_=+/-]{21,23}") {
        let id = UserId::from_bytes(bytes);
        prop_assert_eq!(id.to_string().parse::<UserId>(), Ok(id));
        if let Ok(id) = text.parse::<UserId>() {
            prop_assert_eq!(id.to_string(), text);
        }
    }

    #[test]
    fn a_set_cookie_line_says_what_was_meant(
        claims in claims(), passed in -10..i64::from(LIFE_MAX), name in "[A-Za-z0-9_-]{1,64}", seconds in 0..LIFE_MAX
    ) {
        let now = instant(claims.iat + passed);
        let token = TOKENS.mint(&claims).unwrap();
        let session = cookie::set_session(&token, &claims, now).unwrap();
        let life = (claims.expiry != Expiry::Browser).then(|| (claims.remaining(now), instant(claims.exp)));
        is_the_line(session.to_str().unwrap(), cookie::SESSION, &token, life)?;
        let until = now + TimeDelta::seconds(i64::from(seconds));
        let preference = cookie::set_preference(&name, &token, now, seconds).unwrap();
        let full = format!("{}{name}", cookie::PREFERENCE);
        is_the_line(preference.to_str().unwrap(), &full, &token, Some((u64::from(seconds), until)))?;
        let cleared = cookie::clear_preference(&name).unwrap();
        is_the_line(cleared.to_str().unwrap(), &full, "", Some((0, DateTime::UNIX_EPOCH)))?;
    }
}

/// Reads a `Set-Cookie` line as RFC 6265, section 5.2, has it, and compares.
fn is_the_line(line: &str, name: &str, value: &str, life: Option<(u64, DateTime<Utc>)>) -> Result<(), TestCaseError> {
    let mut parts = line.split("; ");
    prop_assert_eq!(parts.next().and_then(|pair| pair.split_once('=')), Some((name, value)));
    let attributes: BTreeMap<&str, &str> = parts.map(|part| part.split_once('=').unwrap_or((part, ""))).collect();
    let date = |text: &&str| NaiveDateTime::parse_from_str(text, "%a, %d %b %Y %H:%M:%S GMT").unwrap().and_utc();
    let age = attributes.get("Max-Age").map(|age| age.parse::<u64>().unwrap());
    prop_assert_eq!(age.zip(attributes.get("Expires").map(date)), life);
    prop_assert!(age.unwrap_or(0) <= u64::from(LIFE_MAX), "{}", line);
    let fixed = BTreeMap::from([("Path", "/"), ("HttpOnly", ""), ("Secure", ""), ("SameSite", "Strict")]);
    let others: BTreeMap<_, _> =
        attributes.into_iter().filter(|(name, _)| !["Max-Age", "Expires"].contains(name)).collect();
    prop_assert_eq!(others, fixed);
    Ok(())
}

/// Names that are about to be mixed up with one another.
const NAMES: [&str; 6] = ["polls.vote", "polls.vote_all", "poll.vote", "polls.close", "a.b", "a.b2"];

fn names() -> impl Strategy<Value = BTreeSet<&'static str>> {
    btree_set(prop::sample::select(&NAMES[..]), 0..5)
}

/// Django's rule (`ModelBackend`): nobody and the inactive have nothing, a superuser everything, others what they were
/// granted and what their groups grant.
fn has_perm(user: &Person, groups: &BTreeMap<usize, BTreeSet<&str>>, permission: &str) -> bool {
    let granted = |group: &usize| groups.get(group).is_some_and(|grants| grants.contains(permission));
    user.is_active && (user.is_superuser || user.permissions.contains(permission) || user.groups.iter().any(granted))
}

#[derive(Debug, Clone, Default)]
struct Person {
    is_active: bool,
    is_superuser: bool,
    permissions: BTreeSet<&'static str>,
    groups: BTreeSet<usize>,
}

/// A group's name in claims. Group 4 is never there.
const GROUPS: [&str; 5] = ["editors", "Editors", "editors ", "staff", "gone"];

proptest! {
    #[test]
    fn a_decision_is_the_one_that_django_takes(
        table in btree_map(0..4usize, names(), 0..4), permissions in names(),
        groups in btree_set(0..5usize, 0..4), is_superuser in any::<bool>(), is_somebody in any::<bool>()
    ) {
        let group = |(at, grants): (&usize, &BTreeSet<&str>)| Group {
            id: GroupId::random(),
            name: GROUPS[*at].to_owned(),
            permissions: grants.iter().map(|name| Permission::parse("", name).unwrap()).collect(),
            created: instant(NOW),
            version: 0,
        };
        let all: Vec<Group> = table.iter().map(group).collect();
        let judge = GroupTable::new(&all);
        let mut claims = Claims::anonymous("s", "s", 0, instant(NOW), Lifetime { age: 60, end: 60 });
        claims.sub = is_somebody.then(UserId::random);
        claims.is_superuser = is_superuser;
        claims.permissions = permissions.iter().map(|&name| name.to_owned()).collect();
        claims.groups = groups.iter().map(|at| GROUPS[*at].to_owned()).collect();
        // Nobody is like somebody inactive.
        let person = Person { is_active: is_somebody, is_superuser, permissions, groups };
        for name in NAMES {
            prop_assert_eq!(judge.allows(&claims, name), has_perm(&person, &table, name), "{}", name);
        }
        for label in ["polls", "poll", "a", "none", ""] {
            let any = NAMES.iter().any(|name| name.split('.').next() == Some(label) && has_perm(&person, &table, name));
            let everything = person.is_active && person.is_superuser;
            prop_assert_eq!(judge.allows_any_of(&claims, label), any || everything, "{}", label);
        }
        let plain = Person { is_active: true, is_superuser: false, ..person };
        let expected: BTreeSet<&str> = NAMES.into_iter().filter(|name| has_perm(&plain, &table, name)).collect();
        let (direct, groups) = (claims.permissions.iter().map(String::as_str), claims.groups.iter().map(String::as_str));
        prop_assert_eq!(judge.all(direct, groups), expected);
    }
}

/// A change that an administrator makes.
#[derive(Debug, Clone)]
enum Change {
    Active(usize, bool),
    Superuser(usize, bool),
    Permissions(usize, BTreeSet<&'static str>),
    Groups(usize, BTreeSet<usize>),
    Grants(usize, BTreeSet<&'static str>),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        1 => (0..3usize, any::<bool>()).prop_map(|(user, is)| Change::Active(user, is)),
        1 => (0..3usize, any::<bool>()).prop_map(|(user, is)| Change::Superuser(user, is)),
        2 => (0..3usize, names()).prop_map(|(user, names)| Change::Permissions(user, names)),
        2 => (0..3usize, btree_set(0..3usize, 0..3)).prop_map(|(user, groups)| Change::Groups(user, groups)),
        2 => (0..3usize, names()).prop_map(|(group, names)| Change::Grants(group, names)),
    ]
}

/// Makes the changes one after another over HTTP. After each, everybody's first cookie has the rights that the reference
/// has, and one who was ever inactive has none with it again.
async fn rights_follow(changes: Vec<Change>) {
    let server = Server::start().await;
    server.permissions(&NAMES).await;
    let names = ["ann", "bob", "cid"];
    let (mut users, mut ids, mut group_ids) = (Vec::new(), Vec::new(), Vec::new());
    for name in names {
        let (client, id) = server.user(name, json!({})).await;
        users.push(client);
        ids.push(id);
        group_ids.push(server.group(&format!("group of {name}"), &[]).await);
    }
    let mut people = vec![Person { is_active: true, ..Person::default() }; names.len()];
    let mut was_inactive = [false; 3];
    let mut table: BTreeMap<usize, BTreeSet<&str>> = BTreeMap::new();
    let mut admin = server.admin().await;
    for change in changes {
        let (path, patch) = match change.clone() {
            Change::Active(at, is) => {
                was_inactive[at] |= !is;
                people[at].is_active = is;
                (format!("/v1/users/{}", ids[at]), json!({ "is_active": is }))
            }
            Change::Superuser(at, is) => {
                people[at].is_superuser = is;
                (format!("/v1/users/{}", ids[at]), json!({ "is_superuser": is }))
            }
            Change::Permissions(at, permissions) => {
                let patch = json!({ "user_permissions": permissions });
                people[at].permissions = permissions;
                (format!("/v1/users/{}", ids[at]), patch)
            }
            Change::Groups(at, groups) => {
                let named: Vec<_> = groups.iter().map(|at| format!("group of {}", names[*at])).collect();
                people[at].groups = groups;
                (format!("/v1/users/{}", ids[at]), json!({ "groups": named }))
            }
            Change::Grants(at, permissions) => {
                let patch = json!({ "permissions": permissions });
                table.insert(at, permissions);
                (format!("/v1/groups/{}", group_ids[at]), patch)
            }
        };
        admin.patch(&path, patch).await.is(StatusCode::OK);
        for (at, client) in users.iter_mut().enumerate() {
            // The cookie stays the first one: a client that keeps what it has.
            let asked = client.clone().post("/v1/permissions/check", json!({ "permissions": NAMES })).await;
            if was_inactive[at] {
                asked.is_problem("not_authenticated");
                continue;
            }
            let said = asked.is(StatusCode::OK).json();
            for name in NAMES {
                let expected = has_perm(&people[at], &table, name);
                assert_eq!(said["results"][name], expected, "{} {name} after {change:?}: {said}", names[at]);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_cookie_has_the_rights_of_the_moment(changes in vec(change(), 1..16)) {
        tokio::runtime::Runtime::new().unwrap().block_on(rights_follow(changes));
    }
}

/// What happens to the tokens of three users with four sessions each.
#[derive(Debug, Clone)]
enum Event {
    EndSession(usize),
    RaiseGeneration(usize),
    RaiseRights(usize),
    EndEverything,
    Pass(i64),
    Forget,
    Restart,
    /// A session logs in or is re-issued, with the counters of the moment.
    Issue(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..12usize).prop_map(Event::Issue),
        2 => (0..12usize).prop_map(Event::EndSession),
        2 => (0..3usize).prop_map(Event::RaiseGeneration),
        2 => (0..3usize).prop_map(Event::RaiseRights),
        1 => Just(Event::EndEverything),
        2 => (1..LIFE).prop_map(Event::Pass),
        2 => Just(Event::Forget),
        1 => Just(Event::Restart),
    ]
}

/// The longest life of a session, in seconds.
const LIFE: i64 = 100;

/// Where revocations are durable, and what a restart comes back with.
trait Durable {
    fn keep(&mut self, revocation: Revocation);
    fn forget(&mut self, now: DateTime<Utc>);
    fn restart(&mut self) -> Vec<Revocation>;
}

impl Durable for Vec<Revocation> {
    fn keep(&mut self, revocation: Revocation) {
        self.push(revocation);
    }

    fn forget(&mut self, now: DateTime<Utc>) {
        self.retain(|revocation| revocation.until().is_none_or(|until| until > now));
    }

    fn restart(&mut self) -> Vec<Revocation> {
        // The order in which a store gives them back is its own.
        self.iter().rev().copied().collect()
    }
}

struct OnDisk {
    folder: TempDir,
    store: Option<Arc<Embedded>>,
    runtime: tokio::runtime::Runtime,
}

impl OnDisk {
    fn commit(&self, write: Write) {
        self.runtime.block_on(self.store.as_ref().unwrap().commit(vec![write])).unwrap();
    }
}

impl Durable for OnDisk {
    fn keep(&mut self, revocation: Revocation) {
        self.commit(Write::Revoke(revocation));
    }

    fn forget(&mut self, now: DateTime<Utc>) {
        self.commit(Write::Forget(now));
    }

    fn restart(&mut self) -> Vec<Revocation> {
        self.store = None;
        let store = Arc::new(Embedded::open(&self.folder.path().join("data")).unwrap());
        let state = self.runtime.block_on(store.state()).unwrap();
        self.store = Some(store);
        state.revocations
    }
}

/// Plays the events to the mirror and to a reference that never forgets; both give every token that is not over the
/// same verdict, after each event.
fn verdicts_agree(events: &[Event], mut durable: impl Durable) -> Result<(), TestCaseError> {
    let (users, sessions) = ([(); 3].map(|()| UserId::random()), [(); 12].map(|()| SessionId::random()));
    let mut mirror = Revocations::default();
    let mut now = NOW;
    // The reference: what ended, and the counters of the moment.
    let (mut ended, mut generations, mut rights, mut epoch) = (BTreeSet::new(), [0; 3], [0; 3], 0);
    let mut tokens: Vec<(usize, Claims)> = Vec::new();
    for event in events {
        let revocation = match *event {
            Event::Issue(session) => {
                let life = Lifetime { age: u32::try_from(LIFE).unwrap(), end: u32::try_from(LIFE).unwrap() };
                let mut claims = Claims::anonymous("s", "s", mirror.epoch(), instant(now), life);
                (claims.sid, claims.sub) = (sessions[session], Some(users[session / 4]));
                (claims.generation, claims.rights_version) = (generations[session / 4], rights[session / 4]);
                // A session that was ended never begins again; another one of that user's does not suffer.
                if !ended.contains(&session) {
                    tokens.push((session, claims));
                }
                None
            }
            Event::EndSession(session) => {
                ended.insert(session);
                Some(Revocation::Session { id: sessions[session], until: instant(now + LIFE) })
            }
            Event::RaiseGeneration(user) | Event::RaiseRights(user) => {
                let counter = if matches!(event, Event::RaiseGeneration(_)) { &mut generations } else { &mut rights };
                counter[user] += 1;
                let (generation, rights_version) = (generations[user], rights[user]);
                Some(Revocation::User { id: users[user], generation, rights_version, until: instant(now + LIFE) })
            }
            Event::EndEverything => {
                epoch += 1;
                Some(Revocation::Epoch(epoch))
            }
            Event::Pass(seconds) => {
                now += seconds;
                None
            }
            Event::Forget => {
                durable.forget(instant(now));
                mirror.forget(instant(now));
                None
            }
            Event::Restart => {
                mirror = Revocations::default();
                durable.restart().iter().for_each(|revocation| mirror.learn(revocation));
                None
            }
        };
        if let Some(revocation) = revocation {
            durable.keep(revocation);
            mirror.learn(&revocation);
        }
        // What is over is refused by its time, and nobody asks the mirror.
        tokens.retain(|(_, claims)| now < claims.end);
        for (session, claims) in &tokens {
            let user = session / 4;
            let expected = if ended.contains(session) || claims.epoch < epoch || claims.generation < generations[user] {
                Standing::Dead
            } else if claims.rights_version < rights[user] {
                Standing::Stale
            } else {
                Standing::Live
            };
            prop_assert_eq!(mirror.judge(claims), expected, "session {} after {:?}", session, event);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn the_mirror_judges_like_one_who_never_forgets(events in vec(event(), 1..80)) {
        verdicts_agree(&events, Vec::new())?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 100, ..ProptestConfig::default() })]

    #[test]
    fn the_mirror_comes_back_from_the_disk_as_it_was(events in vec(event(), 20..60)) {
        let folder = TempDir::new().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let store = Some(Arc::new(Embedded::open(&folder.path().join("data")).unwrap()));
        verdicts_agree(&events, OnDisk { folder, store, runtime })?;
    }
}
