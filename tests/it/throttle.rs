//! Who tries too often has to wait, and others do not.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use signet::api::proxies::Proxies;
use signet::store::Store as _;

use crate::harness::{Answer, Client, Options, PASSWORD, Server, at_once};

const WRONG: &str = "wrong password";

/// Throttles, and believes this machine when it says whose request it is: a test calls from any address.
fn throttled() -> Options {
    let proxies = Proxies::parse(&["127.0.0.1".to_owned()]).unwrap();
    Options { throttle: true, proxies, ..Options::default() }
}

/// Somebody at an address, on a device.
#[derive(Clone)]
struct Somebody {
    client: Client,
    address: String,
    /// The token of the device.
    device: Option<String>,
}

impl Somebody {
    fn at(server: &Server, address: &str) -> Self {
        Self { client: server.anonymous(), address: address.to_owned(), device: None }
    }

    fn on(&self, device: &str) -> Self {
        Self { device: Some(device.to_owned()), ..self.clone() }
    }

    async fn post(&mut self, path: &str, body: Value) -> Answer {
        let device = self.device.as_ref().map(|token| format!("__Host-signet-device={token}"));
        let mut headers = vec![("x-forwarded-for", self.address.as_str())];
        headers.extend(device.as_ref().map(|pair| ("cookie", pair.as_str())));
        let answer = self.client.call(Method::POST, path, Some(body), &headers).await;
        if let Some(token) = device_set(&answer) {
            self.device = Some(token);
        }
        answer
    }

    async fn log_in(&mut self, username: &str, password: &str) -> Answer {
        self.post("/v1/login", json!({ "username": username, "password": password })).await
    }
}

/// The device's token that the answer sets.
fn device_set(answer: &Answer) -> Option<String> {
    let lines = answer.set_cookies();
    let mut found = lines.iter().filter_map(|line| line.strip_prefix("__Host-signet-device="));
    let token = found.next()?.split(';').next().unwrap().to_owned();
    assert!(found.next().is_none() && !token.is_empty());
    Some(token)
}

fn retry_after(answer: &Answer) -> i64 {
    answer.header("retry-after").unwrap().parse().unwrap()
}

/// Guesses from address after address until the account takes no more.
async fn use_up(server: &Server, username: &str) {
    for n in 0..11 {
        let answer = Somebody::at(server, &format!("203.0.113.{n}")).log_in(username, WRONG).await;
        let expected = if n < 10 { StatusCode::UNAUTHORIZED } else { StatusCode::TOO_MANY_REQUESTS };
        answer.is(expected);
    }
}

#[tokio::test]
async fn the_attacker_is_slowed_and_the_owner_on_a_known_device_is_not() {
    let server = Server::start_with(throttled()).await;
    server.user("alice", json!({})).await;
    let mut owner = Somebody::at(&server, "198.51.100.1");
    owner.log_in("alice", PASSWORD).await.is(StatusCode::OK);
    use_up(&server, "alice").await;
    // From wherever it comes, and with the right password too.
    for address in ["203.0.113.1", "203.0.113.200", "198.51.100.1", "2001:db8::1"] {
        let answer = Somebody::at(&server, address).log_in("alice", PASSWORD).await;
        let answer = answer.is(StatusCode::TOO_MANY_REQUESTS).is_problem("too_many_requests");
        assert!((1..=30).contains(&retry_after(&answer)), "{}", retry_after(&answer));
    }
    // The owner comes from elsewhere, and as often as it pleases.
    owner.address = "198.51.100.77".to_owned();
    for _ in 0..12 {
        owner.log_in("alice", PASSWORD).await.is(StatusCode::OK);
    }
    // Nobody else is held up.
    Somebody::at(&server, "203.0.113.1").log_in("admin", PASSWORD).await.is(StatusCode::OK);
}

#[tokio::test]
async fn guesses_from_one_address_leave_room_for_the_owner_on_a_new_device_elsewhere() {
    let server = Server::start_with(throttled()).await;
    let mut attacker = Somebody::at(&server, "2001:db8::1");
    for n in 0..50 {
        attacker.address = format!("2001:db8::{n:x}");
        let expected = if n < 5 { StatusCode::UNAUTHORIZED } else { StatusCode::TOO_MANY_REQUESTS };
        attacker.log_in("admin", WRONG).await.is(expected);
    }
    Somebody::at(&server, "198.51.100.1").log_in("admin", PASSWORD).await.is(StatusCode::OK);
}

#[tokio::test]
async fn a_list_of_names_and_passwords_is_tried_slowly() {
    let server = Server::start_with(throttled()).await;
    let mut attacker = Somebody::at(&server, "203.0.113.1");
    let mut statuses = Vec::new();
    for n in 0..120 {
        statuses.push(attacker.log_in(&format!("name{n}"), WRONG).await.status);
    }
    let judged = statuses.iter().filter(|status| **status == StatusCode::UNAUTHORIZED).count();
    // One more for each two seconds that this took.
    assert!((100..115).contains(&judged), "{judged}");
    assert_eq!(statuses[99], StatusCode::UNAUTHORIZED);
    assert_eq!(statuses.iter().filter(|status| **status == StatusCode::TOO_MANY_REQUESTS).count(), 120 - judged);
    Somebody::at(&server, "198.51.100.1").log_in("name0", WRONG).await.is(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn of_many_guesses_at_once_no_more_are_judged_than_one_after_the_other() {
    // A hash that takes its time: all guesses are there before the first one is judged.
    let slow = signet::password::Cost { memory: 32 * 1024, passes: 3, lanes: 1 };
    let server = Server::start_with(Options { hash_cost: slow, ..throttled() }).await;
    let statuses = at_once(64, |n| {
        let mut attacker = Somebody::at(&server, &format!("203.0.113.{n}"));
        Box::pin(async move { attacker.log_in("admin", WRONG).await.status })
    })
    .await;
    let count = |wanted: StatusCode| statuses.iter().filter(|status| **status == wanted).count();
    assert_eq!(count(StatusCode::UNAUTHORIZED), 10, "{statuses:?}");
    assert_eq!(count(StatusCode::TOO_MANY_REQUESTS), 54, "{statuses:?}");
}

#[tokio::test]
async fn a_log_in_that_succeeds_is_not_counted() {
    let server = Server::start_with(throttled()).await;
    let mut owner = Somebody::at(&server, "198.51.100.1");
    for _ in 0..4 {
        owner.log_in("admin", WRONG).await.is(StatusCode::UNAUTHORIZED);
    }
    for _ in 0..20 {
        // As a new device each time.
        owner.device = None;
        owner.log_in("admin", PASSWORD).await.is(StatusCode::OK);
    }
    owner.device = None;
    owner.log_in("admin", WRONG).await.is(StatusCode::UNAUTHORIZED);
    owner.log_in("admin", PASSWORD).await.is(StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn names_that_exist_and_names_that_do_not_are_throttled_alike() {
    let server = Server::start_with(throttled()).await;
    let (_, id) = server.user("disabled", json!({})).await;
    server.admin().await.patch(&format!("/v1/users/{id}"), json!({ "is_active": false })).await.is(StatusCode::OK);
    let mut owned = Somebody::at(&server, "198.51.100.1");
    owned.log_in("admin", PASSWORD).await.is(StatusCode::OK);
    let long = "x".repeat(2000);
    // Also for somebody on a device of another account.
    for device in [None, owned.device] {
        let mut seen = Vec::new();
        for name in ["disabled", "nobody", "a b", "", "\u{2126}", long.as_str()] {
            let mut attacker = Somebody::at(&server, if device.is_some() { "203.0.113.1" } else { "203.0.113.2" });
            let mut answers = Vec::new();
            for n in 0..8 {
                attacker.device.clone_from(&device);
                let answer = attacker.log_in(name, if n == 7 { PASSWORD } else { WRONG }).await;
                let mut body = answer.json();
                body["request_id"] = json!(null);
                let mut headers = answer.headers.clone();
                headers.remove("date");
                if answer.status == StatusCode::TOO_MANY_REQUESTS {
                    assert!((30..=60).contains(&retry_after(&answer)), "{name}");
                    headers.remove("retry-after");
                }
                answers.push((answer.status, body, headers));
            }
            assert_eq!(answers[4].0, StatusCode::UNAUTHORIZED, "{name}");
            assert_eq!(answers[5].0, StatusCode::TOO_MANY_REQUESTS, "{name}");
            seen.push(answers);
        }
        assert!(seen.windows(2).all(|pair| pair[0] == pair[1]));
    }
}

#[tokio::test]
async fn retry_after_is_true() {
    let server = Server::start_with(throttled()).await;
    use_up(&server, "admin").await;
    let mut late = Somebody::at(&server, "198.51.100.1");
    let wait = retry_after(&late.log_in("admin", PASSWORD).await.is(StatusCode::TOO_MANY_REQUESTS));
    server.pass(wait - 15);
    let left = retry_after(&late.log_in("admin", PASSWORD).await.is(StatusCode::TOO_MANY_REQUESTS));
    assert!((1..=15).contains(&left), "{left} of {wait}");
    server.pass(left);
    late.log_in("admin", WRONG).await.is(StatusCode::UNAUTHORIZED);
    late.log_in("admin", PASSWORD).await.is(StatusCode::TOO_MANY_REQUESTS);
    // However long somebody went on, it is over soon after.
    for _ in 0..100 {
        late.log_in("admin", WRONG).await.is(StatusCode::TOO_MANY_REQUESTS);
    }
    server.pass(30);
    Somebody::at(&server, "198.51.100.2").log_in("admin", PASSWORD).await.is(StatusCode::OK);
}

#[tokio::test]
async fn a_known_device_has_a_counter_of_its_own() {
    let server = Server::start_with(throttled()).await;
    let mut device = Somebody::at(&server, "198.51.100.1");
    device.log_in("admin", PASSWORD).await.is(StatusCode::OK);
    for n in 0..40 {
        // Another address does not help.
        device.address = format!("198.51.100.{n}");
        let expected = if n < 10 { StatusCode::UNAUTHORIZED } else { StatusCode::TOO_MANY_REQUESTS };
        device.log_in("admin", WRONG).await.is(expected);
    }
    device.log_in("admin", PASSWORD).await.is(StatusCode::TOO_MANY_REQUESTS);
    let mut other = Somebody::at(&server, "198.51.100.1");
    for _ in 0..5 {
        other.log_in("admin", WRONG).await.is(StatusCode::UNAUTHORIZED);
    }
    let mut second = Somebody::at(&server, "198.51.100.2");
    second.log_in("admin", PASSWORD).await.is(StatusCode::OK);
    assert_ne!(second.device, device.device);
}

#[tokio::test]
async fn what_is_no_device_of_the_account_opens_no_way_around() {
    let server = Server::start_with(throttled()).await;
    server.user("alice", json!({})).await;
    let (_, mallory) = server.user("mallory", json!({})).await;
    let mut owner = Somebody::at(&server, "198.51.100.1");
    owner.log_in("alice", PASSWORD).await.is(StatusCode::OK);
    let good = owner.device.clone().unwrap();
    let session = owner.client.cookie.clone().unwrap();
    let set = owner.client.put("/v1/cookies/device", json!({ "value": good })).await.is(StatusCode::OK);
    let preference = set.set_cookies()[0].split(['=', ';']).nth(1).unwrap().to_owned();
    let mut attacker = Somebody::at(&server, "203.0.113.1");
    attacker.log_in("mallory", PASSWORD).await.is(StatusCode::OK);
    let own = attacker.device.clone().unwrap();
    // A server with another key, and one with the same key for another audience.
    let foreign = Server::start_with(throttled()).await;
    let mut elsewhere = Somebody::at(&foreign, "203.0.113.1");
    elsewhere.log_in("admin", PASSWORD).await.is(StatusCode::OK);
    let foreign = elsewhere.device.unwrap();
    let id = server.admin().await.get("/v1/users?search=alice").await.json()["items"][0]["id"].clone();
    let id = id.as_str().unwrap().parse().unwrap();
    let (tokens, now) = (server.app.tokens(), server.now());
    let mint = |issuer: &str, audience: &str| {
        let ring = signet::keys::Keyring::load(&server.folder().join("keys")).unwrap();
        let tokens = signet::token::Tokens::new(issuer, audience, ring);
        tokens.mint_device(id, signet::claims::DeviceId::random(), now).unwrap()
    };
    let (head, rest) = good.split_once('.').unwrap();
    let (payload, signature) = rest.split_once('.').unwrap();
    let (own_head, own_rest) = own.split_once('.').unwrap();
    assert_eq!(head, own_head);
    let own_signature = own_rest.split_once('.').unwrap().1;
    let session_head = session.split('.').next().unwrap();
    use_up(&server, "alice").await;
    for (what, token) in [
        ("nothing", String::new()),
        ("garbage", "a.b.c".to_owned()),
        ("another account's", own.clone()),
        ("a session", session.clone()),
        ("a preference", preference),
        ("another server's", foreign),
        ("another issuer's", mint("other", "signet")),
        ("another audience's", mint("signet", "other")),
        ("the session's audience", mint("signet", "signet/devices")),
        ("another signature", format!("{head}.{payload}.{own_signature}")),
        ("no signature", format!("{head}.{payload}.")),
        ("another header", format!("{session_head}.{payload}.{signature}")),
        ("twice", format!("{good}; __Host-signet-device={good}")),
    ] {
        let mut attacker = Somebody::at(&server, "203.0.113.99").on(&token);
        let answer = attacker.log_in("alice", PASSWORD).await;
        assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{what}");
    }
    // The real one and a well-made one are good, so that it was not for something else; but not for ever.
    owner.log_in("alice", PASSWORD).await.is(StatusCode::OK);
    Somebody::at(&server, "203.0.113.99")
        .on(&mint("signet", "signet"))
        .log_in("alice", PASSWORD)
        .await
        .is(StatusCode::OK);
    // A device is nobody.
    server.with_cookie(&good).get("/v1/me").await.is(StatusCode::UNAUTHORIZED);
    let lately = now - chrono::TimeDelta::days(400);
    let old = tokens.mint_device(id, signet::claims::DeviceId::random(), lately).unwrap();
    Somebody::at(&server, "203.0.113.99").on(&old).log_in("alice", PASSWORD).await.is(StatusCode::TOO_MANY_REQUESTS);
    // Nor is one good for another user who has taken the name.
    let user = |name: &str| json!({ "username": name });
    let mut admin = server.admin().await;
    admin.patch(&format!("/v1/users/{id}"), user("alicia")).await.is(StatusCode::OK);
    admin.patch(&format!("/v1/users/{mallory}"), user("alice")).await.is(StatusCode::OK);
    owner.clone().log_in("alice", WRONG).await.is(StatusCode::TOO_MANY_REQUESTS);
    owner.log_in("alicia", PASSWORD).await.is(StatusCode::OK);
}

#[tokio::test]
async fn a_device_stays_known() {
    let server = Server::start_with(throttled()).await;
    let mut owner = Somebody::at(&server, "198.51.100.1");
    let new = json!({ "username": "alice", "password": PASSWORD });
    let answer = owner.post("/v1/register", new).await.is(StatusCode::CREATED);
    let line = answer.set_cookies().into_iter().find(|line| line.starts_with("__Host-signet-device=")).unwrap();
    assert!(line.contains("; Max-Age=34560000; Expires="), "{line}");
    let known = owner.device.clone().unwrap();
    assert!(answer.session_cookie().is_some_and(|token| !token.is_empty()));
    // Log-out leaves it, a log-in finds it, a change of the password does not matter.
    let gone = owner.post("/v1/logout", Value::Null).await.is(StatusCode::NO_CONTENT);
    assert_eq!(gone.set_cookies().len(), 1);
    let again = owner.log_in("alice", PASSWORD).await.is(StatusCode::OK);
    assert_eq!(again.set_cookies().len(), 1, "it is not set anew");
    let change = json!({ "old_password": PASSWORD, "new_password": "another good one" });
    owner.post("/v1/password", change).await.is(StatusCode::OK);
    use_up(&server, "alice").await;
    owner.log_in("alice", WRONG).await.is(StatusCode::UNAUTHORIZED);
    owner.log_in("alice", "another good one").await.is(StatusCode::OK);
    assert_eq!(owner.device.as_ref(), Some(&known));
    // A failure leaves no cookie, and another user's log-in another one.
    let failed = owner.log_in("admin", WRONG).await.is(StatusCode::UNAUTHORIZED);
    assert!(failed.set_cookies().is_empty());
    owner.log_in("admin", PASSWORD).await.is(StatusCode::OK);
    assert_ne!(owner.device, Some(known));
}

#[tokio::test]
async fn registering_is_throttled_by_address_and_a_form_that_is_sent_back_is_not_counted() {
    let server = Server::start_with(throttled()).await;
    let mut somebody = Somebody::at(&server, "203.0.113.1");
    for _ in 0..30 {
        let bad = json!({ "username": "a b", "password": "short" });
        somebody.post("/v1/register", bad).await.is(StatusCode::UNPROCESSABLE_ENTITY);
    }
    for n in 0..30 {
        // A taken name counts like any other: it tells that the name is taken.
        let name = if n % 2 == 0 { "admin".to_owned() } else { format!("name{n}") };
        let new = json!({ "username": name, "password": PASSWORD });
        let expected = match n {
            20.. => StatusCode::TOO_MANY_REQUESTS,
            n if n % 2 == 0 => StatusCode::CONFLICT,
            _ => StatusCode::CREATED,
        };
        somebody.client.cookie = None;
        somebody.post("/v1/register", new).await.is(expected);
    }
    let new = json!({ "username": "elsewhere", "password": PASSWORD });
    Somebody::at(&server, "203.0.113.2").post("/v1/register", new).await.is(StatusCode::CREATED);
}

#[tokio::test]
async fn the_old_password_cannot_be_guessed_in_a_session_that_was_left_open() {
    let server = Server::start_with(throttled()).await;
    let (mut client, _) = server.user("alice", json!({})).await;
    let change = |old: &'static str| {
        let mut client = client.clone();
        async move { client.post("/v1/password", json!({ "old_password": old, "new_password": "another good one" })).await }
    };
    // Wherever it is asked for.
    for _ in 0..5 {
        change(WRONG).await.is(StatusCode::FORBIDDEN).is_problem("wrong_password");
        let address = json!({ "email": "other@example.com", "old_password": WRONG });
        client.clone().patch("/v1/me", address).await.is(StatusCode::FORBIDDEN).is_problem("wrong_password");
    }
    let answer = change(PASSWORD).await.is(StatusCode::TOO_MANY_REQUESTS);
    server.pass(retry_after(&answer));
    change(PASSWORD).await.is(StatusCode::OK);
    // The log-in has counters of its own, and so has everybody else.
    let log_in = json!({ "username": "alice", "password": "another good one" });
    client.post("/v1/login", log_in).await.is(StatusCode::OK);
    let mut admin = server.admin().await;
    for n in 0..20 {
        let (old, new) = if n % 2 == 0 { (PASSWORD, "another good one") } else { ("another good one", PASSWORD) };
        admin.post("/v1/password", json!({ "old_password": old, "new_password": new })).await.is(StatusCode::OK);
    }
}

#[tokio::test]
async fn counters_survive_a_restart() {
    let server = Server::start_with(throttled()).await;
    let mut owner = Somebody::at(&server, "198.51.100.1");
    owner.log_in("admin", PASSWORD).await.is(StatusCode::OK);
    use_up(&server, "admin").await;
    let folder = server.stop().await;
    let server = Server::start_with(Options { folder: Some(folder), ..throttled() }).await;
    let mut attacker = Somebody::at(&server, "203.0.113.99");
    attacker.log_in("admin", WRONG).await.is(StatusCode::TOO_MANY_REQUESTS);
    let mut owner = Somebody { client: server.anonymous(), ..owner };
    owner.log_in("admin", PASSWORD).await.is(StatusCode::OK);
    assert!(server.store.state().await.unwrap().tallies.len() >= 10);
}

#[tokio::test]
async fn counters_are_kept_soon_and_without_a_write_for_each_attempt() {
    let server = Server::start_with(throttled()).await;
    let begun = Instant::now();
    use_up(&server, "admin").await;
    let kept = loop {
        let tallies = server.store.state().await.unwrap().tallies;
        // The account's, and for each of ten addresses its own and the one for the account.
        if tallies.len() >= 11 {
            break tallies;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{tallies:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let last = kept.iter().map(|tally| tally.until).max().unwrap();
    assert!((last - server.now()).num_seconds() > 200, "{last}");
    // Over, and forgotten.
    server.pass(2 * 3600);
    let begun = Instant::now();
    while !server.store.state().await.unwrap().tallies.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_client_cannot_choose_its_address() {
    let server = Server::start_with(Options { throttle: true, ..Options::default() }).await;
    for n in 0..10 {
        let address = format!("198.51.100.{n}");
        let headers = ["x-forwarded-for", "x-real-ip", "forwarded", "true-client-ip", "cf-connecting-ip"]
            .map(|name| (name, address.as_str()));
        let body = json!({ "username": "admin", "password": WRONG });
        let answer = server.anonymous().call(Method::POST, "/v1/login", Some(body), &headers).await;
        answer.is(if n < 5 { StatusCode::UNAUTHORIZED } else { StatusCode::TOO_MANY_REQUESTS });
    }
    server.pass(3600);
    let address = |client: &mut Client| {
        let mut client = client.clone();
        async move { client.get("/v1/sessions").await.json()["items"][0]["address"].clone() }
    };
    let mut client = server.anonymous();
    let log_in = json!({ "username": "admin", "password": PASSWORD });
    let headers = [("x-forwarded-for", "198.51.100.1")];
    client.call(Method::POST, "/v1/login", Some(log_in.clone()), &headers).await.is(StatusCode::OK);
    assert_eq!(address(&mut client).await, "127.0.0.1");
    // Behind a trusted proxy, what it added counts, and what the client wrote in front does not.
    let server = Server::start_with(throttled()).await;
    let mut client = server.anonymous();
    let headers = [("x-forwarded-for", "192.0.2.1, ::ffff:198.51.100.1"), ("x-forwarded-for", "127.0.0.1")];
    client.call(Method::POST, "/v1/login", Some(log_in), &headers).await.is(StatusCode::OK);
    assert_eq!(address(&mut client).await, "198.51.100.1");
    for n in 0..10 {
        let chain = format!("192.0.2.{n}, 203.0.113.1");
        let answer = Somebody::at(&server, &chain).log_in("admin", WRONG).await;
        answer.is(if n < 5 { StatusCode::UNAUTHORIZED } else { StatusCode::TOO_MANY_REQUESTS });
    }
}

#[tokio::test]
async fn throttling_can_be_switched_off() {
    let server = Server::start_with(Options { throttle: false, ..throttled() }).await;
    let mut somebody = Somebody::at(&server, "203.0.113.1");
    for _ in 0..30 {
        somebody.log_in("admin", WRONG).await.is(StatusCode::UNAUTHORIZED);
    }
    let answer = somebody.log_in("admin", PASSWORD).await.is(StatusCode::OK);
    assert_eq!(device_set(&answer), None);
}

#[tokio::test]
async fn mails_and_questions_about_passwords_are_bounded_and_a_mailbox_tells_nothing() {
    let server = Server::start_with(throttled()).await;
    let (mut bob, _) = server.user("bob", json!({ "email": "bob@example.com" })).await;
    let mails = || std::fs::read_dir(server.folder().join("mail")).map_or(0, Iterator::count);
    let mut visitor = server.anonymous();
    let wish = |address: &str| json!({ "email": address });
    // One mailbox: three mails, whatever its spelling; the caller is told the same each time.
    let mut answers = Vec::new();
    for address in ["bob@example.com", "BOB@example.com", "Bob@EXAMPLE.com", "bob@example.com"] {
        let answer = visitor.post("/v1/password/reset", wish(address)).await.is(StatusCode::ACCEPTED);
        answers.push((answer.status, answer.body));
    }
    assert!(answers.windows(2).all(|two| two[0] == two[1]));
    let begun = Instant::now();
    while mails() < 3 {
        assert!(begun.elapsed() < Duration::from_secs(10), "{} mails", mails());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // One address of the network: five, then it has to wait.
    visitor.post("/v1/password/reset", wish("nobody@example.com")).await.is(StatusCode::ACCEPTED);
    visitor.post("/v1/password/reset", wish("nobody@example.com")).await.is_problem("too_many_requests");
    server.pass(61);
    visitor.post("/v1/password/reset", wish("nobody@example.com")).await.is(StatusCode::ACCEPTED);
    // The owner's own wish comes from the same address of the network.
    bob.post("/v1/email/verify", json!(null)).await.is_problem("too_many_requests");
    server.pass(1200);
    bob.post("/v1/email/verify", json!(null)).await.is(StatusCode::ACCEPTED);
    let question = || json!({ "password": "a short sentence" });
    let (begun, mut passed) = (Instant::now(), 0);
    let refused = loop {
        let answer = visitor.post("/v1/password/check", question()).await;
        if answer.status != StatusCode::OK {
            break answer.is_problem("too_many_requests");
        }
        passed += 1;
        // Sixty, and one more for each second that they took.
        assert!(passed <= 60 + begun.elapsed().as_secs() + 1, "{passed}");
    };
    assert!(passed >= 60, "{passed}");
    assert_eq!(refused.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn accounts_made_with_somebodys_address_do_not_fill_the_mailbox() {
    let server = Server::start_with(throttled()).await;
    for n in 0..8 {
        let new = json!({ "username": format!("user{n}"), "password": PASSWORD, "email": "Victim@example.com" });
        server.anonymous().post("/v1/register", new).await.is(StatusCode::CREATED);
    }
    // What comes after them arrives: by then theirs have.
    let other = json!({ "username": "other", "password": PASSWORD, "email": "other@example.com" });
    server.anonymous().post("/v1/register", other).await.is(StatusCode::CREATED);
    let mails = || -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(server.folder().join("mail")) else { return Vec::new() };
        let mails = entries.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap_or_default());
        mails.collect()
    };
    let to = |address: &str| mails().iter().filter(|mail| mail.contains(address)).count();
    let begun = Instant::now();
    while to("other@example.com") < 1 || to("Victim@example.com") < 3 {
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", mails());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(to("Victim@example.com"), 3);
}

/// The subjects of the mails to an address, once there is one to `last` too.
async fn subjects(server: &Server, address: &str, last: &str) -> Vec<String> {
    let mails = || -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(server.folder().join("mail")) else { return Vec::new() };
        entries.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap_or_default()).collect()
    };
    let to = |address: &str| -> Vec<String> {
        let field = format!("To: {address}\r\n");
        mails().into_iter().filter(|mail| mail.contains(&field)).collect()
    };
    let begun = Instant::now();
    while to(last).is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", mails());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.app.post().unwrap().settle().await;
    let subject = |mail: String| mail.split("Subject: ").nth(1).unwrap().split('\r').next().unwrap().to_owned();
    let mut found: Vec<String> = to(address).into_iter().map(subject).collect();
    found.sort_unstable();
    found
}

#[tokio::test]
async fn accounts_made_with_somebodys_address_do_not_keep_the_reset_from_its_owner() {
    let server = Server::start_with(throttled()).await;
    server.user("victim", json!({ "email": "victim@example.com" })).await;
    for n in 0..8 {
        let new = json!({ "username": format!("user{n}"), "password": PASSWORD, "email": "victim@example.com" });
        Somebody::at(&server, &format!("203.0.113.{n}")).post("/v1/register", new).await.is(StatusCode::CREATED);
    }
    let wish = json!({ "email": "victim@example.com" });
    server.anonymous().post("/v1/password/reset", wish).await.is(StatusCode::ACCEPTED);
    let other = json!({ "username": "other", "password": PASSWORD, "email": "other@example.com" });
    server.anonymous().post("/v1/register", other).await.is(StatusCode::CREATED);
    let found = subjects(&server, "victim@example.com", "other@example.com").await;
    let count = |subject: &str| found.iter().filter(|found| *found == subject).count();
    assert_eq!(count("Confirm your address"), 3, "{found:?}");
    // The owner's own account, and at most four of the others.
    assert_eq!(count("Set a new password"), 5, "{found:?}");
}

#[tokio::test]
async fn a_mailbox_is_one_however_its_address_is_spelt() {
    let server = Server::start_with(throttled()).await;
    // Letters of full width are plain ones to people.
    let spellings = ["v@example.com", "V@EXAMPLE.com", "\u{ff56}@example.com", "\u{ff36}@example.com"];
    for (n, email) in spellings.iter().cycle().take(15).enumerate() {
        let new = json!({ "username": format!("user{n}"), "password": PASSWORD, "email": email });
        Somebody::at(&server, &format!("203.0.113.{n}")).post("/v1/register", new).await.is(StatusCode::CREATED);
    }
    server.app.post().unwrap().settle().await;
    assert_eq!(std::fs::read_dir(server.folder().join("mail")).unwrap().count(), 3);
}

#[tokio::test]
async fn answers_that_are_refused_are_bounded_and_the_right_one_is_not_held_up_elsewhere() {
    let server = Server::start_with(throttled()).await;
    let (mut bob, _) = server.user("bob", json!({ "email": "bob@example.com" })).await;
    bob.post("/v1/email/verify", json!(null)).await.is(StatusCode::ACCEPTED);
    server.app.post().unwrap().settle().await;
    let mail = std::fs::read_dir(server.folder().join("mail")).unwrap().next().unwrap().unwrap().path();
    let mail = std::fs::read_to_string(mail).unwrap().replace("=\r\n", "").replace("=3D", "=");
    let token = mail.split("#token=").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let events = async || {
        let mut admin = server.admin().await;
        let page = admin.get("/v1/audit?outcome=refused&limit=200").await.is(StatusCode::OK).json();
        page["items"].as_array().unwrap().len()
    };
    let mut visitor = Somebody::at(&server, "203.0.113.1");
    let before = events().await;
    for n in 0..60 {
        let reset = json!({ "token": "a.b.c", "new_password": "another short sentence" });
        let answer = match n % 2 {
            0 => visitor.post("/v1/password/reset/confirm", reset).await,
            _ => visitor.post("/v1/email/verify/confirm", json!({ "token": "a.b.c" })).await,
        };
        answer.is_problem(if n < 20 { "invalid_token" } else { "too_many_requests" });
    }
    assert_eq!(events().await - before, 20, "what is not judged leaves no event");
    let proof = json!({ "token": token });
    visitor.post("/v1/email/verify/confirm", proof.clone()).await.is_problem("too_many_requests");
    Somebody::at(&server, "198.51.100.1").post("/v1/email/verify/confirm", proof).await.is(StatusCode::NO_CONTENT);
    server.pass(31);
    visitor.post("/v1/email/verify/confirm", json!({ "token": "a.b.c" })).await.is_problem("invalid_token");
}

#[tokio::test]
async fn anonymous_sessions_are_ended_slowly_from_one_address_and_those_of_users_are_not() {
    let server = Server::start_with(throttled()).await;
    let begin = async |address: &str| {
        let mut somebody = Somebody::at(&server, address);
        let headers = [("x-forwarded-for", address)];
        somebody.client.call(Method::PATCH, "/v1/session", Some(json!({ "a": 1 })), &headers).await.is(StatusCode::OK);
        somebody
    };
    let begun = Instant::now();
    for n in 0..100 {
        let address = format!("2001:db8::{n:x}");
        let mut somebody = begin(&address).await;
        if n % 2 == 0 {
            somebody.post("/v1/logout", Value::Null).await.is(StatusCode::NO_CONTENT);
        } else {
            let headers = [("x-forwarded-for", address.as_str())];
            somebody.client.call(Method::DELETE, "/v1/session", None, &headers).await.is(StatusCode::NO_CONTENT);
        }
    }
    let mut more = 0;
    let (mut refused, answer) = loop {
        let mut next = begin(&format!("2001:db8::f:{more:x}")).await;
        let answer = next.post("/v1/logout", Value::Null).await;
        if answer.status != StatusCode::NO_CONTENT {
            break (next, answer);
        }
        more += 1;
        // One for each ten seconds that they took.
        assert!(more <= begun.elapsed().as_secs() / 10, "{more}");
    };
    assert!((1..=10).contains(&retry_after(&answer.is_problem("too_many_requests"))));
    // What was not ended is not said to be: the session lives, and its cookie stays.
    let kept = refused.client.get("/v1/session").await.is(StatusCode::OK);
    assert_eq!(kept.json()["data"]["a"], 1);
    let mut elsewhere = begin("198.51.100.1").await;
    elsewhere.post("/v1/logout", Value::Null).await.is(StatusCode::NO_CONTENT);
    // A log-in takes the place of one, and users log out as they like.
    refused.log_in("admin", PASSWORD).await.is(StatusCode::OK);
    refused.post("/v1/logout", Value::Null).await.is(StatusCode::NO_CONTENT);
    server.pass(11);
    begin("2001:db8::1").await.post("/v1/logout", Value::Null).await.is(StatusCode::NO_CONTENT);
}
