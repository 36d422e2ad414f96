//! A forgotten password and an unproven address, by mail: who gets one, what it says, and what its link is good for.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use signet::claims::TokenId;

use crate::harness::{Answer, Client, ORIGIN, PASSWORD, Server, at_once};
use crate::wire;

/// The password that the tests set.
const NEW: &str = "a password that is new";

/// A mail as it lies in the folder.
struct Mail {
    text: String,
}

impl Mail {
    /// The values of a header's field.
    fn all(&self, name: &str) -> Vec<&str> {
        let head = self.text.split("\r\n\r\n").next().unwrap();
        head.split("\r\n").filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect()
    }

    fn to(&self) -> &str {
        let all = self.all("To");
        assert_eq!(all.len(), 1, "{}", self.text);
        all[0]
    }

    /// The body, with soft line breaks undone (RFC 2045, section 6.7).
    fn body(&self) -> String {
        let (head, body) = self.text.split_once("\r\n\r\n").unwrap();
        if !head.contains("quoted-printable") {
            return body.to_owned();
        }
        body.replace("=\r\n", "").replace("=3D", "=")
    }

    fn link(&self) -> String {
        let body = self.body();
        let link = body.split_whitespace().find(|word| word.contains("#token="));
        link.unwrap_or_else(|| panic!("no link: {}", self.text)).to_owned()
    }

    fn token(&self) -> String {
        self.link().split_once("#token=").unwrap().1.to_owned()
    }
}

impl Server {
    /// Waits until every mail that was asked for is written, and takes them out of the folder.
    async fn mails(&self) -> Vec<Mail> {
        self.app.post().unwrap().settle().await;
        let mut mails = Vec::new();
        for entry in std::fs::read_dir(self.folder().join("mail")).unwrap() {
            let path = entry.unwrap().path();
            assert!(path.extension().is_some_and(|kind| kind == "eml"), "left behind: {}", path.display());
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
            mails.push(Mail { text: std::fs::read_to_string(&path).unwrap() });
            std::fs::remove_file(path).unwrap();
        }
        mails
    }

    /// The one mail that was asked for.
    async fn mail(&self) -> Mail {
        let mut mails = self.mails().await;
        assert_eq!(mails.len(), 1);
        mails.pop().unwrap()
    }

    /// Somebody with an address, logged in.
    async fn somebody(&self, name: &str, email: &str) -> Client {
        self.user(name, json!({ "email": email })).await.0
    }

    /// The mail that a reset for this address brings.
    async fn reset_mail(&self, email: &str) -> Mail {
        ask(self, email).await;
        self.mail().await
    }
}

async fn ask(server: &Server, email: &str) -> Answer {
    let wish = json!({ "email": email });
    server.anonymous().post("/v1/password/reset", wish).await.is(StatusCode::ACCEPTED)
}

async fn confirm(server: &Server, token: &str, password: &str) -> Answer {
    let body = json!({ "token": token, "new_password": password });
    server.anonymous().post("/v1/password/reset/confirm", body).await
}

async fn prove(server: &Server, token: &str) -> Answer {
    server.anonymous().post("/v1/email/verify/confirm", json!({ "token": token })).await
}

async fn log_in(server: &Server, name: &str, password: &str) -> StatusCode {
    let body = json!({ "username": name, "password": password });
    server.anonymous().post("/v1/login", body).await.status
}

/// What every faulty token is told: the same problem, but for the request's own number.
/// A change of the own address.
fn address(email: &str, password: &str) -> Value {
    json!({ "email": email, "old_password": password })
}

fn refusal(answer: Answer) -> Value {
    let mut problem = answer.is(StatusCode::UNPROCESSABLE_ENTITY).is_problem("invalid_token").json();
    problem["request_id"].take();
    problem
}

#[tokio::test]
async fn a_forgotten_password_is_set_anew_by_the_link_in_the_mail() {
    let server = Server::start().await;
    let mut alice = server.somebody("alice", "Alice@Example.COM").await;
    let mut elsewhere = server.log_in("alice").await;
    assert!(server.mails().await.is_empty(), "an administrator's new user is not asked by itself");

    let mail = server.reset_mail("alice@example.com").await;
    assert_eq!(mail.to(), "Alice@example.com", "the stored address");
    assert_eq!(mail.all("From"), ["Signet <signet@signet.example>"]);
    assert_eq!(mail.all("Subject"), ["Set a new password"]);
    assert_eq!(mail.all("Auto-Submitted"), ["auto-generated"]);
    assert_eq!((mail.all("Date").len(), mail.all("Message-ID").len()), (1, 1));
    assert!(mail.all("Content-Type")[0].starts_with("text/plain"), "{}", mail.text);
    assert!(mail.body().contains("Hello alice,") && mail.body().contains("30 minutes"), "{}", mail.body());
    assert!(mail.link().starts_with(&format!("{ORIGIN}/reset#token=")), "{}", mail.link());

    let token = mail.token();
    // A password that is refused leaves the link as it is.
    let weak = confirm(&server, &token, "short").await.is(StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(weak.errors(), [("new_password".to_owned(), "password_too_short".to_owned())]);
    assert!(alice.is_somebody().await);

    let done = confirm(&server, &token, NEW).await.is(StatusCode::NO_CONTENT);
    assert!(done.set_cookies().is_empty(), "nobody is logged in by it");
    assert!(!alice.is_somebody().await && !elsewhere.is_somebody().await, "every session has ended");
    assert_eq!(log_in(&server, "alice", PASSWORD).await, StatusCode::UNAUTHORIZED);
    assert_eq!(log_in(&server, "alice", NEW).await, StatusCode::OK);
    let mut again = server.anonymous();
    again.post("/v1/login", json!({ "username": "alice", "password": NEW })).await.is(StatusCode::OK);
    let me = again.get("/v1/me").await.is(StatusCode::OK).json();
    assert_eq!(me["email_verified"], true, "the mail arrived");
    refusal(confirm(&server, &token, "and yet another one").await);
    assert_eq!(log_in(&server, "alice", NEW).await, StatusCode::OK);
}

#[tokio::test]
async fn a_reset_takes_the_cookie_of_its_own_user_away_and_no_other() {
    let server = Server::start().await;
    let mut alice = server.somebody("alice", "alice@example.com").await;
    let mut bob = server.somebody("bob", "bob@example.com").await;
    for (client, cleared) in [(&mut bob, false), (&mut alice, true)] {
        let token = server.reset_mail("alice@example.com").await.token();
        let body = json!({ "token": token, "new_password": NEW });
        let done = client.post("/v1/password/reset/confirm", body).await.is(StatusCode::NO_CONTENT);
        assert_eq!(done.session_cookie().is_some(), cleared, "{:?}", done.set_cookies());
    }
    assert!(bob.is_somebody().await);
}

#[tokio::test]
async fn a_reset_is_dead_after_use_log_in_a_change_of_password_or_address_a_newer_one_and_half_an_hour() {
    let server = Server::start().await;
    let mut alice = server.somebody("alice", "alice@example.com").await;
    let (mut admin, id) = (server.admin().await, alice.get("/v1/me").await.text("id"));
    let mut refusals = Vec::new();

    let token = server.reset_mail("alice@example.com").await.token();
    server.log_in("alice").await;
    refusals.push(refusal(confirm(&server, &token, NEW).await));

    let token = server.reset_mail("alice@example.com").await.token();
    let change = json!({ "old_password": PASSWORD, "new_password": "the second password" });
    alice.post("/v1/password", change).await.is(StatusCode::OK);
    refusals.push(refusal(confirm(&server, &token, NEW).await));

    let token = server.reset_mail("alice@example.com").await.token();
    alice.patch("/v1/me", address("alice@other.example", "the second password")).await.is(StatusCode::OK);
    refusals.push(refusal(confirm(&server, &token, NEW).await));
    alice.patch("/v1/me", address("alice@example.com", "the second password")).await.is(StatusCode::OK);
    refusals.push(refusal(confirm(&server, &token, NEW).await));

    let first = server.reset_mail("alice@example.com").await.token();
    let second = server.reset_mail("alice@example.com").await.token();
    refusals.push(refusal(confirm(&server, &first, NEW).await));

    // Disabled: nothing of before comes back with the account.
    admin.patch(&format!("/v1/users/{id}"), json!({ "is_active": false })).await.is(StatusCode::OK);
    refusals.push(refusal(confirm(&server, &second, NEW).await));
    admin.patch(&format!("/v1/users/{id}"), json!({ "is_active": true })).await.is(StatusCode::OK);
    refusals.push(refusal(confirm(&server, &second, NEW).await));

    let token = server.reset_mail("alice@example.com").await.token();
    server.pass(30 * 60 - 2);
    let late = server.reset_mail("alice@example.com").await.token();
    server.pass(30 * 60);
    refusals.push(refusal(confirm(&server, &token, NEW).await));
    refusals.push(refusal(confirm(&server, &late, NEW).await));
    let token = server.reset_mail("alice@example.com").await.token();
    server.pass(30 * 60 - 5);
    confirm(&server, &token, NEW).await.is(StatusCode::NO_CONTENT);
    refusals.push(refusal(confirm(&server, &token, NEW).await));

    let token = server.reset_mail("alice@example.com").await.token();
    server.admin().await.delete(&format!("/v1/users/{id}")).await.is(StatusCode::NO_CONTENT);
    refusals.push(refusal(confirm(&server, &token, NEW).await));

    for odd in ["", "x", "a.b.c", &"a".repeat(5000), &token[..token.len() - 2], &format!("{token}A")] {
        refusals.push(refusal(confirm(&server, odd, NEW).await));
        refusals.push(refusal(prove(&server, odd).await));
    }
    assert!(refusals.windows(2).all(|two| two[0] == two[1]), "all alike: {refusals:#?}");
}

#[tokio::test]
async fn other_changes_of_the_account_leave_the_link_as_it_is() {
    let server = Server::start().await;
    let mut alice = server.somebody("alice", "alice@example.com").await;
    let id = alice.get("/v1/me").await.text("id");
    let before = server.admin().await.get(&format!("/v1/users/{id}")).await;
    let token = server.reset_mail("alice@example.com").await.token();
    let after = server.admin().await.get(&format!("/v1/users/{id}")).await;
    assert_eq!(before.header("etag"), after.header("etag"), "a wish of anybody's is no change of the account");
    alice.patch("/v1/me", json!({ "first_name": "Alice" })).await.is(StatusCode::OK);
    alice.post("/v1/logout", Value::Null).await.is(StatusCode::NO_CONTENT);
    confirm(&server, &token, NEW).await.is(StatusCode::NO_CONTENT);
}

/// Answers as bytes, without what differs by nature: the time.
async fn on_the_wire(server: &Server, email: &str) -> (u16, Vec<(String, String)>, Vec<u8>) {
    let body = json!({ "email": email }).to_string();
    let request = format!(
        "POST /v1/password/reset HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut reply = wire::exchange(&server.base, request).await;
    reply.fields.retain(|(name, _)| name != "date");
    (reply.status, reply.fields, reply.body)
}

#[tokio::test]
async fn the_answer_is_the_same_for_every_address_and_mail_goes_to_active_users_with_a_password_only() {
    let server = Server::start().await;
    server.somebody("alice", "Alice@example.com").await;
    let mut admin = server.admin().await;
    let new = |name: &str, more: Value| {
        let mut new = json!({ "username": name, "email": format!("{name}@example.com") });
        new.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        new
    };
    let disabled = new("disabled", json!({ "password": PASSWORD, "is_active": false }));
    admin.post("/v1/users", disabled).await.is(StatusCode::CREATED);
    admin.post("/v1/users", new("unusable", json!({}))).await.is(StatusCode::CREATED);
    let known = on_the_wire(&server, "Alice@example.com").await;
    assert_eq!(server.mail().await.to(), "Alice@example.com");
    assert_eq!((known.0, known.2.len()), (202, 0));
    for email in ["nobody@example.com", "disabled@example.com", "unusable@example.com", "alice@example.co"] {
        assert_eq!(on_the_wire(&server, email).await, known, "{email}");
        assert!(server.mails().await.is_empty(), "{email}");
    }
    for email in ["ALICE@EXAMPLE.COM", " alice@example.com ", "\u{ff21}lice@example.com"] {
        assert_eq!(on_the_wire(&server, email).await, known, "{email}");
        assert_eq!(server.mail().await.to(), "Alice@example.com", "{email}");
    }
    for email in
        ["", " ", "nobody", "@", "a@b\r\nBcc: c@d", "a@b\n", "a@b, c@d", "<a@b>", &format!("{}@b", "a".repeat(300))]
    {
        // White space around an address is nobody's fault.
        let expected = if email.trim() == "a@b" { StatusCode::ACCEPTED } else { StatusCode::UNPROCESSABLE_ENTITY };
        let answer = server.anonymous().post("/v1/password/reset", json!({ "email": email })).await;
        assert_eq!(answer.status, expected, "{email:?}");
    }
    assert!(server.mails().await.is_empty());
}

#[tokio::test]
async fn a_look_alike_of_an_address_brings_no_mail_and_never_one_to_itself() {
    let server = Server::start().await;
    server.somebody("mike", "mike@example.org").await;
    server.somebody("strasse", "strasse@example.org").await;
    // Typed, and the stored address that gets a mail.
    let table = [
        ("M\u{131}ke@example.org", None),
        ("m\u{131}ke@example.org", None),
        ("M\u{130}KE@EXAMPLE.ORG", None),
        ("mike@ex\u{430}mple.org", None),
        ("mike@example.org.evil.example", None),
        ("mi\u{200b}ke@example.org", None),
        ("mi\u{212a}e@example.org", Some("mike@example.org")),
        ("\u{ff4d}\u{ff49}\u{ff4b}\u{ff45}@example.org", Some("mike@example.org")),
        ("STRASSE@example.org", Some("strasse@example.org")),
        ("stra\u{df}e@example.org", Some("strasse@example.org")),
        ("stra\u{1e9e}e@example.org", Some("strasse@example.org")),
    ];
    for (typed, stored) in table {
        ask(&server, typed).await;
        let mails = server.mails().await;
        let to: Vec<&str> = mails.iter().map(Mail::to).collect();
        assert_eq!(to, stored.into_iter().collect::<Vec<_>>(), "{typed}");
    }
}

#[tokio::test]
async fn everybody_at_an_address_is_asked_the_ones_who_have_proven_it_first_and_not_without_end() {
    let server = Server::start().await;
    for n in 0..7 {
        server.somebody(&format!("early{n}"), "shared@example.com").await;
    }
    let mut owner = server.somebody("owner", "shared@example.com").await;
    owner.post("/v1/email/verify", Value::Null).await.is(StatusCode::ACCEPTED);
    prove(&server, &server.mail().await.token()).await.is(StatusCode::NO_CONTENT);
    ask(&server, "shared@example.com").await;
    let mails = server.mails().await;
    assert_eq!(mails.len(), 5);
    assert!(mails.iter().any(|mail| mail.body().contains("Hello owner,")));
    let of = |name: &str| mails.iter().find(|mail| mail.body().contains(&format!("Hello {name},"))).map(Mail::token);
    confirm(&server, &of("owner").unwrap(), NEW).await.is(StatusCode::NO_CONTENT);
    assert_eq!(log_in(&server, "owner", NEW).await, StatusCode::OK);
    assert_eq!(log_in(&server, "early0", PASSWORD).await, StatusCode::OK, "one link is for one account");
}

#[tokio::test]
async fn links_lead_to_the_configured_origin_whatever_a_request_says() {
    let server = Server::start().await;
    server.somebody("alice", "alice@example.com").await;
    let body = json!({ "email": "alice@example.com" }).to_string();
    for poison in [
        "Host: evil.example",
        "Host: app.example@evil.example",
        "Host: a\r\nX-Forwarded-Host: evil.example",
        "Host: a\r\nForwarded: host=evil.example;proto=http",
        "Host: a\r\nX-Forwarded-Proto: javascript\r\nX-Forwarded-Prefix: //evil.example",
        "Host: a\r\nX-Original-URL: https://evil.example/\r\nX-Host: evil.example",
    ] {
        let request = format!(
            "POST /v1/password/reset HTTP/1.1\r\n{poison}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        assert_eq!(wire::exchange(&server.base, request).await.status, 202, "{poison}");
        let mail = server.mail().await;
        assert!(mail.link().starts_with(&format!("{ORIGIN}/reset#token=")), "{poison}: {}", mail.link());
        assert!(!mail.text.contains("evil"), "{poison}: {}", mail.text);
    }
}

#[tokio::test]
async fn an_address_with_a_line_break_gets_into_no_account_and_a_strange_one_into_no_header() {
    let server = Server::start().await;
    let mut alice = server.somebody("alice", "alice@example.com").await;
    let mut admin = server.admin().await;
    let id = alice.get("/v1/me").await.text("id");
    for bad in [
        "a@b\r\nBcc: c@d",
        "a@b\nX: y",
        "a\r@b",
        "a@b\u{0}c",
        "a@b\u{85}c",
        "a@b\u{2028}c",
        "a\u{a0}@b",
        "a@b,c@d",
        "\"a b\"@c",
    ] {
        let patch = json!({ "email": bad });
        alice.patch("/v1/me", patch.clone()).await.is(StatusCode::UNPROCESSABLE_ENTITY);
        admin.patch(&format!("/v1/users/{id}"), patch).await.is(StatusCode::UNPROCESSABLE_ENTITY);
        let new = json!({ "username": "mallory", "password": PASSWORD, "email": bad });
        server.anonymous().post("/v1/register", new).await.is(StatusCode::UNPROCESSABLE_ENTITY);
    }
    // What the store takes and mail does not is dropped, and the next one goes.
    alice.patch("/v1/me", address("a..b@exa_mple", PASSWORD)).await.is(StatusCode::OK);
    ask(&server, "a..b@exa_mple").await;
    assert!(server.mails().await.is_empty());
    alice.patch("/v1/me", address("alice@example.com", PASSWORD)).await.is(StatusCode::OK);
    assert_eq!(server.reset_mail("alice@example.com").await.to(), "alice@example.com");
}

#[tokio::test]
async fn no_token_stands_in_for_one_of_another_kind() {
    let server = Server::start().await;
    let mut alice = server.somebody("alice", "alice@example.com").await;
    alice.post("/v1/email/verify", Value::Null).await.is(StatusCode::ACCEPTED);
    let verification = server.mail().await.token();
    let reset = server.reset_mail("alice@example.com").await.token();
    alice.put("/v1/cookies/theme", json!({ "value": "dark" })).await;
    let answer = alice.put("/v1/cookies/theme", json!({ "value": "dark" })).await.is(StatusCode::OK);
    let preference = answer.set_cookies()[0].split(';').next().unwrap().split_once('=').unwrap().1.to_owned();
    let session = alice.cookie.clone().unwrap();
    for foreign in [&verification, &preference, &session] {
        refusal(confirm(&server, foreign, NEW).await);
    }
    for foreign in [&reset, &preference, &session] {
        refusal(prove(&server, foreign).await);
    }
    let cookie = format!("__Host-signet.theme={preference}");
    let read = server.anonymous().call(Method::GET, "/v1/cookies/theme", None, &[("cookie", &cookie)]).await;
    assert_eq!(read.json()["value"], "dark");
    for foreign in [&reset, &verification] {
        assert!(!server.with_cookie(foreign).is_somebody().await);
        let cookie = format!("__Host-signet.theme={foreign}");
        let read = server.anonymous().call(Method::GET, "/v1/cookies/theme", None, &[("cookie", &cookie)]).await;
        assert_eq!(read.is(StatusCode::OK).json()["value"], Value::Null);
    }
    // A secret of one kind, signed as the other, does not help either.
    let (now, tokens) = (server.now(), server.app.tokens());
    let kinds = [signet::claims::ChallengeKind::Reset, signet::claims::ChallengeKind::Verification];
    let said = tokens.verify_challenge(kinds[1], &verification, now).unwrap();
    let forged = tokens.mint_challenge(kinds[0], said.sub, said.jti, now).unwrap();
    refusal(confirm(&server, &forged, NEW).await);
    let forged = tokens.mint_challenge(kinds[0], said.sub, TokenId::random(), now).unwrap();
    refusal(confirm(&server, &forged, NEW).await);
    // None of that used anything up.
    prove(&server, &verification).await.is(StatusCode::NO_CONTENT);
    confirm(&server, &reset, NEW).await.is(StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_copy_of_the_store_has_nothing_that_opens_an_account() {
    let server = Server::start().await;
    server.somebody("alice", "alice@example.com").await;
    let mail = server.reset_mail("alice@example.com").await;
    let now = server.now();
    let said = server.app.tokens().verify_challenge(signet::claims::ChallengeKind::Reset, &mail.token(), now).unwrap();
    let secret = said.jti.to_string();
    let folder = server.stop().await;
    let mut read = 0;
    for entry in std::fs::read_dir(folder.path().join("data")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(path).unwrap();
            let holds = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
            assert!(!holds(secret.as_bytes()) && !holds(said.jti.bytes()) && !holds(mail.token().as_bytes()));
            read += bytes.len();
        }
    }
    assert!(read > 1000);
}

#[tokio::test]
async fn an_address_is_verified_by_its_mail_and_another_one_is_not() {
    let server = Server::start().await;
    let mut alice = server.anonymous();
    let new = json!({ "username": "alice", "password": PASSWORD, "email": "alice@example.com" });
    let made = alice.post("/v1/register", new).await.is(StatusCode::CREATED).json();
    assert_eq!(made["user"]["email_verified"], false);
    let mail = server.mail().await;
    assert_eq!((mail.to(), mail.all("Subject")[0]), ("alice@example.com", "Confirm your address"));
    assert!(mail.link().starts_with(&format!("{ORIGIN}/verify#token=")), "{}", mail.link());

    // A log-in is no reason to ask again; a newer mail is.
    server.log_in("alice").await;
    let old = mail.token();
    alice.post("/v1/email/verify", Value::Null).await.is(StatusCode::ACCEPTED);
    let token = server.mail().await.token();
    let refused = refusal(prove(&server, &old).await);
    prove(&server, &token).await.is(StatusCode::NO_CONTENT);
    assert_eq!(refusal(prove(&server, &token).await), refused);
    assert_eq!(alice.get("/v1/me").await.json()["email_verified"], true, "and the session goes on");
    alice.post("/v1/email/verify", Value::Null).await.is(StatusCode::NO_CONTENT);
    assert!(server.mails().await.is_empty());

    // The same address again is no other one.
    alice.patch("/v1/me", json!({ "email": "alice@EXAMPLE.com", "first_name": "A" })).await.is(StatusCode::OK);
    assert_eq!(alice.get("/v1/me").await.json()["email_verified"], true);
    let other = alice.patch("/v1/me", address("alice@other.example", PASSWORD)).await.is(StatusCode::OK);
    assert_eq!(other.json()["email_verified"], false);
    alice.post("/v1/email/verify", Value::Null).await.is(StatusCode::ACCEPTED);
    let token = server.mail().await.token();
    alice.patch("/v1/me", address("alice@third.example", PASSWORD)).await.is(StatusCode::OK);
    assert_eq!(refusal(prove(&server, &token).await), refused, "the proof of another address");

    // Staff changes an address too, and proves none.
    let id = alice.get("/v1/me").await.text("id");
    alice.post("/v1/email/verify", Value::Null).await.is(StatusCode::ACCEPTED);
    prove(&server, &server.mail().await.token()).await.is(StatusCode::NO_CONTENT);
    let mut admin = server.admin().await;
    let path = format!("/v1/users/{id}");
    assert_eq!(admin.get(&path).await.json()["email_verified"], true);
    let changed = admin.patch(&path, json!({ "email": "alice@fourth.example" })).await.is(StatusCode::OK);
    assert_eq!(changed.json()["email_verified"], false);
    admin.patch(&path, json!({ "email_verified": true })).await.is(StatusCode::UNPROCESSABLE_ENTITY);

    alice.patch("/v1/me", address("", PASSWORD)).await.is(StatusCode::OK);
    let none = alice.post("/v1/email/verify", Value::Null).await.is(StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(none.errors(), [("email".to_owned(), "no_address".to_owned())]);
    server.anonymous().post("/v1/email/verify", Value::Null).await.is(StatusCode::UNAUTHORIZED);
    let plain = json!({ "username": "bob", "password": PASSWORD });
    server.anonymous().post("/v1/register", plain).await.is(StatusCode::CREATED);
    assert!(server.mails().await.is_empty(), "nobody to ask");
}

#[tokio::test]
async fn a_faulty_token_costs_no_hash() {
    use signet::password::Cost;
    let hash_cost = Cost { memory: 64 * 1024, passes: 8, lanes: 1 };
    let server = Server::start_with(crate::harness::Options { hash_cost, ..Default::default() }).await;
    let start = Instant::now();
    log_in(&server, "nobody", PASSWORD).await;
    let one_hash = start.elapsed();
    let mut quickest = Duration::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        refusal(confirm(&server, "a.b.c", NEW).await);
        quickest = quickest.min(start.elapsed());
    }
    assert!(quickest * 4 < one_hash, "{quickest:?} and {one_hash:?}");
}

#[tokio::test]
async fn a_known_address_is_answered_as_fast_as_an_unknown_one() {
    let server = Server::start().await;
    server.somebody("alice", "alice@example.com").await;
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..400 {
        // Turn about, as what came before weighs on what comes after.
        for turn in [round % 2, 1 - round % 2] {
            let (times, email) = (&mut times[turn], ["alice@example.com", "nobod@example.com"][turn]);
            let mut client = server.anonymous();
            let start = Instant::now();
            let wish = json!({ "email": email });
            client.post("/v1/password/reset", wish).await.is(StatusCode::ACCEPTED);
            times.push(start.elapsed());
            if round % 8 == 0 {
                server.mails().await;
            }
            // Each one begins when the other's errand is over: what is compared is the answer.
            server.app.post().unwrap().settle().await;
        }
    }
    let [known, unknown] = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64() * 1e6
    });
    eprintln!("known {known:.0} µs, unknown {unknown:.0} µs");
    // A look-up, a flush and a signature would be a multiple.
    assert!((known - unknown).abs() < 0.3 * unknown.max(known), "known {known:.0} µs, unknown {unknown:.0} µs");
}

#[tokio::test]
async fn more_wishes_than_there_is_room_for_are_answered_alike() {
    let server = Server::start().await;
    server.somebody("alice", "alice@example.com").await;
    let answers = at_once(600, |_| {
        let mut client = server.anonymous();
        Box::pin(async move { client.post("/v1/password/reset", json!({ "email": "alice@example.com" })).await })
    })
    .await;
    assert!(answers.iter().all(|answer| answer.status == StatusCode::ACCEPTED && answer.body.is_empty()));
    let mails = server.mails().await;
    assert!(!mails.is_empty() && mails.len() <= 600);
    let mut good = 0;
    for mail in mails {
        let answer = confirm(&server, &mail.token(), NEW).await;
        good += usize::from(answer.status == StatusCode::NO_CONTENT);
    }
    assert_eq!(good, 1, "the newest");
}

#[tokio::test]
async fn a_restart_keeps_the_challenge_and_a_stop_waits_for_the_mail() {
    let server = Server::start().await;
    server.somebody("alice", "alice@example.com").await;
    ask(&server, "alice@example.com").await;
    let folder = Some(server.stop().await);
    let server = Server::start_with(crate::harness::Options { folder, ..Default::default() }).await;
    let token = server.mail().await.token();
    confirm(&server, &token, NEW).await.is(StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn the_pages_that_links_lead_to_are_served_under_a_strict_policy() {
    let server = Server::start().await;
    for (path, operation) in [("/reset", "/v1/password/reset/confirm"), ("/verify", "/v1/email/verify/confirm")] {
        let page = server.anonymous().get(path).await.is(StatusCode::OK);
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.contains("script-src 'self'") && policy.contains("form-action 'none'"), "{policy}");
        let text = String::from_utf8(page.body.clone()).unwrap();
        assert!(text.contains(operation), "{text}");
        for inline in ["<script>", "<style", "style=", "onclick", "onload", "javascript:", "http://", "https://"] {
            assert!(!text.contains(inline), "{path}: {inline}");
        }
        for asset in ["/pages/page.js", "/pages/page.css"] {
            assert!(text.contains(asset), "{path}");
            server.anonymous().get(asset).await.is(StatusCode::OK);
        }
    }
}
