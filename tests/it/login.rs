//! Registering and logging in.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::harness::{Options, PASSWORD, Server, at_once};

#[tokio::test]
async fn a_log_in_gives_a_user_and_a_session_and_its_cookie() {
    let server = Server::start().await;
    let mut client = server.anonymous();
    let answer =
        client.post("/v1/login", json!({ "username": "admin", "password": PASSWORD })).await.is(StatusCode::OK);
    let body = answer.json();
    assert_eq!(body["user"]["username"], "admin");
    assert_eq!(body["user"]["is_superuser"], true);
    assert!(body["user"].get("password").is_none());
    assert!(body["user"]["last_login"].is_string());
    assert_eq!(body["session"]["user"]["id"], body["user"]["id"]);
    assert_eq!(body["session"]["data"], json!({}));
    assert!(client.is_somebody().await);
    // The token stands in the cookie and nowhere else.
    let token = client.cookie.clone().unwrap();
    assert!(!String::from_utf8(answer.body).unwrap().contains(&token[..20]));
}

#[tokio::test]
async fn every_failed_log_in_looks_alike_and_sets_no_cookie() {
    let server = Server::start().await;
    let (_, id) = server.user("carol", json!({})).await;
    server.admin().await.patch(&format!("/v1/users/{id}"), json!({ "is_active": false })).await.is(StatusCode::OK);
    server.admin().await.post("/v1/users", json!({ "username": "dave" })).await.is(StatusCode::CREATED);
    let long = "x".repeat(2000);
    let mut seen = Vec::new();
    for (username, password) in [
        ("nobody", PASSWORD),
        ("admin", "wrong password"),
        ("ADMIN", PASSWORD),
        ("carol", PASSWORD),
        ("dave", "!"),
        ("dave", ""),
        ("admin", long.as_str()),
        (long.as_str(), PASSWORD),
        ("", ""),
        ("a b", PASSWORD),
    ] {
        let mut client = server.anonymous();
        let answer = client.post("/v1/login", json!({ "username": username, "password": password })).await;
        let answer = answer.is(StatusCode::UNAUTHORIZED).is_problem("invalid_credentials");
        assert!(answer.set_cookies().is_empty());
        let mut body = answer.json();
        body["request_id"] = json!(null);
        let mut headers = answer.headers.clone();
        headers.remove("date");
        seen.push((body, headers));
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]));
}

#[tokio::test]
async fn every_failed_log_in_costs_a_hash() {
    let slow = signet::password::Cost { memory: 32 * 1024, passes: 3, lanes: 1 };
    let server = Server::start_with(Options { hash_cost: slow, ..Options::default() }).await;
    let (_, id) = server.user("disabled", json!({})).await;
    server.admin().await.patch(&format!("/v1/users/{id}"), json!({ "is_active": false })).await.is(StatusCode::OK);
    server.admin().await.post("/v1/users", json!({ "username": "nopassword" })).await.is(StatusCode::CREATED);
    let long = "x".repeat(2000);
    let cases = [
        ("admin", "wrong password"),
        ("nobody", PASSWORD),
        ("disabled", PASSWORD),
        ("nopassword", PASSWORD),
        ("a b", PASSWORD),
        ("admin", long.as_str()),
        (long.as_str(), PASSWORD),
    ];
    let mut nothing = Duration::MAX;
    // Taken in turn, and the quickest of each: whatever else the machine does meanwhile, it does to all of them. A log-in
    // that costs no hash stays below the others however often they are tried, and one that costs two above them.
    let mut quickest = [Duration::MAX; 7];
    for round in 1.. {
        for ((username, password), quickest) in cases.iter().zip(&mut quickest) {
            let start = Instant::now();
            let body = json!({ "username": username, "password": password });
            server.anonymous().post("/v1/login", body).await.is(StatusCode::UNAUTHORIZED);
            *quickest = start.elapsed().min(*quickest);
        }
        let start = Instant::now();
        server.anonymous().get("/livez").await.is(StatusCode::OK);
        nothing = start.elapsed().min(nothing);
        let usual = quickest[0];
        let are_alike = quickest.iter().all(|time| *time > usual * 2 / 3 && *time < usual * 3 / 2);
        if round >= 8 && are_alike && usual > nothing * 5 {
            break;
        }
        assert!(round < 40, "{quickest:?}, and {nothing:?} for nothing");
    }
}

#[tokio::test]
async fn a_log_in_takes_a_new_session_and_ends_the_one_before() {
    let server = Server::start().await;
    let mut client = server.anonymous();
    client.put("/v1/session/data/cart", json!({ "value": [1, 2] })).await.is(StatusCode::OK);
    let before = client.get("/v1/session").await.text("id");
    let fixated = client.cookie.clone().unwrap();
    let answer = client.post("/v1/login", json!({ "username": "admin", "password": PASSWORD })).await;
    let session = answer.is(StatusCode::OK).json()["session"].clone();
    assert_eq!(session["data"], json!({ "cart": [1, 2] }), "anonymous data is kept");
    assert_ne!(session["id"], before.as_str(), "the session is another one");
    let mut attacker = server.with_cookie(&fixated);
    attacker.get("/v1/session").await.is(StatusCode::UNAUTHORIZED);

    // Again as the same user: the data stays, the session is another one again.
    let first = client.cookie.clone().unwrap();
    let again = client.post("/v1/login", json!({ "username": "admin", "password": PASSWORD })).await.json();
    assert_eq!(again["session"]["data"], json!({ "cart": [1, 2] }));
    assert!(!server.with_cookie(&first).is_somebody().await);
    assert_eq!(client.get("/v1/sessions").await.json()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn another_users_data_is_flushed_at_log_in() {
    let server = Server::start().await;
    server.user("erin", json!({})).await;
    let mut client = server.admin().await;
    client.put("/v1/session/data/secret", json!({ "value": "admin's" })).await.is(StatusCode::OK);
    let before = client.cookie.clone().unwrap();
    let answer = client.post("/v1/login", json!({ "username": "erin", "password": PASSWORD })).await.is(StatusCode::OK);
    assert_eq!(answer.json()["session"]["data"], json!({}));
    assert!(!server.with_cookie(&before).is_somebody().await);
}

#[tokio::test]
async fn a_bad_cookie_does_not_hinder_a_log_in() {
    let server = Server::start().await;
    let mut client = server.with_cookie("not.a.token");
    client.post("/v1/login", json!({ "username": "admin", "password": PASSWORD })).await.is(StatusCode::OK);
    assert!(client.is_somebody().await);
}

#[tokio::test]
async fn registering_makes_an_account_without_rights_and_logs_in() {
    let server = Server::start().await;
    let mut client = server.anonymous();
    client.put("/v1/session/data/cart", json!({ "value": 1 })).await.is(StatusCode::OK);
    let new = json!({ "username": "frank", "password": PASSWORD, "email": " F@Ex.COM " });
    let body = client.post("/v1/register", new).await.is(StatusCode::CREATED).json();
    assert_eq!(body["user"]["email"], "F@ex.com");
    for flag in ["is_staff", "is_superuser"] {
        assert_eq!(body["user"][flag], false);
    }
    assert_eq!(body["session"]["data"], json!({ "cart": 1 }));
    assert!(client.is_somebody().await);
}

#[tokio::test]
async fn a_name_is_unique_without_case_and_width_and_every_fault_is_told_at_once() {
    let server = Server::start().await;
    let mut client = server.anonymous();
    for name in ["ADMIN", "\u{ff41}dmin"] {
        let new = json!({ "username": name, "password": PASSWORD });
        client.post("/v1/register", new).await.is(StatusCode::CONFLICT).is_problem("taken");
    }
    let new = json!({ "username": "a b", "password": "short", "email": "x" });
    let mut errors = client.post("/v1/register", new).await.is(StatusCode::UNPROCESSABLE_ENTITY).errors();
    errors.sort();
    let expected = [("email", "email"), ("password", "password_too_short"), ("username", "username")];
    assert_eq!(errors, expected.map(|(f, c)| (f.to_owned(), c.to_owned())));
}

#[tokio::test]
async fn registering_cannot_bring_rights_along() {
    let server = Server::start().await;
    let mut client = server.anonymous();
    for member in
        ["is_superuser", "is_staff", "is_active", "groups", "user_permissions", "id", "password_hash", "Is_Staff"]
    {
        let mut new = json!({ "username": "mallory", "password": PASSWORD });
        new[member] = json!(true);
        let answer = client.post("/v1/register", new).await.is(StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(answer.errors(), [(String::new(), "unknown_member".to_owned())]);
    }
    let found = server.admin().await.get("/v1/users?search=mallory").await.json();
    assert_eq!(found["items"], json!([]));
}

#[tokio::test]
async fn closed_registration_is_closed() {
    let server = Server::start_with(Options { registration_open: false, ..Options::default() }).await;
    let new = json!({ "username": "grace", "password": PASSWORD });
    server.anonymous().post("/v1/register", new).await.is(StatusCode::FORBIDDEN).is_problem("registration_closed");
}

#[tokio::test]
async fn names_that_are_read_as_one_are_one_account() {
    let server = Server::start().await;
    let mut visitor = server.anonymous();
    let mut register = async |name: &str| {
        visitor.cookie = None;
        visitor.post("/v1/register", json!({ "username": name, "password": PASSWORD })).await
    };
    // A first spelling, and others that come to the same.
    let families: [&[&str]; 8] = [
        &["admin", "Admin", "ADMIN", "\u{ff21}\u{ff44}min", "\u{1d41a}dmin", "\u{24d0}dmin"],
        &["strasse", "stra\u{df}e", "STRASSE", "stra\u{1e9e}e"],
        &["fish", "\u{fb01}sh", "FISH", "\u{fb01}\u{17f}h"],
        &["ren\u{e9}e", "rene\u{301}e", "REN\u{c9}E", "RENE\u{301}E"],
        &["kelvin", "\u{212a}elvin", "KELVIN"],
        &["\u{3c3}\u{3c9}\u{3c2}", "\u{3a3}\u{3a9}\u{3a3}", "\u{3c3}\u{2126}\u{3c3}"],
        &["user1", "user\u{b9}", "user\u{2460}", "user\u{ff11}"],
        &["\u{20000}\u{20001}", "\u{20000}\u{20001}"],
    ];
    for (n, family) in families.iter().enumerate() {
        let expected = if n == 0 { StatusCode::CONFLICT } else { StatusCode::CREATED };
        register(family[0]).await.is(expected);
        for other in &family[1..] {
            register(other).await.is(StatusCode::CONFLICT).is_problem("taken");
        }
        if n > 0 {
            // All of them lead to the account.
            for name in *family {
                let body = json!({ "username": name, "password": PASSWORD });
                let answer = server.anonymous().post("/v1/login", body).await;
                assert_eq!(answer.status == StatusCode::OK, *name == family[0] || same_but_for_width(name, family[0]));
            }
        }
    }
    for none in [
        "",
        " ",
        "admin ",
        " admin",
        "adm in",
        "ad\u{200d}min",
        "ad\u{200b}min",
        "\u{202e}nimda",
        "admin\u{feff}",
        "admin\0",
        "ad\u{ad}min",
        "admin\u{3002}",
        "admin\n",
        "admin\u{2028}",
        "\u{115f}",
        "admin/",
        "ad\u{34f}min",
        "admin\u{fe0f}",
        "\u{1f600}",
    ] {
        let answer = register(none).await.is(StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(answer.errors(), [("username".to_owned(), "username".to_owned())], "{none:?}");
    }
    // As in Django, letters of other scripts are letters, a dotless i is no i, and a dot at the end is part of a name.
    for another in ["\u{430}dmin", "adm\u{131}n", "admin.", "@dmin"] {
        register(another).await.is(StatusCode::CREATED);
    }
}

/// Whether a log-in takes the one for the other: the form is the same, the case is not looked at.
fn same_but_for_width(one: &str, other: &str) -> bool {
    use unicode_normalization::UnicodeNormalization as _;
    one.nfkc().eq(other.nfkc())
}

#[tokio::test]
async fn a_full_queue_of_hashes_is_said_at_once() {
    // Hashes slow enough that the queue of one worker fills up.
    let slow = signet::password::Cost { memory: 64 * 1024, passes: 3, lanes: 1 };
    let server = Server::start_with(Options { hash_workers: 1, hash_cost: slow, ..Options::default() }).await;
    let mut reader = server.anonymous();
    reader.put("/v1/session", json!({ "a": 1 })).await.is(StatusCode::OK);
    let flood = at_once(60, |_| {
        let mut client = server.anonymous();
        Box::pin(async move { client.post("/v1/login", json!({ "username": "x", "password": PASSWORD })).await })
    });
    // Whoever only reads waits for none of them.
    let reads = async {
        while server.app.pool().load().waiting < 10 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let mut slowest = Duration::ZERO;
        for _ in 0..50 {
            let start = Instant::now();
            reader.get("/v1/session").await.is(StatusCode::OK);
            slowest = slowest.max(start.elapsed());
        }
        slowest
    };
    let start = Instant::now();
    let (answers, slowest) = tokio::join!(flood, reads);
    assert!(slowest * 4 < start.elapsed(), "a read took {slowest:?} of {:?}", start.elapsed());
    let busy = answers.iter().filter(|a| a.status == StatusCode::SERVICE_UNAVAILABLE).count();
    assert!(busy > 0, "no request was refused");
    assert!(answers.iter().all(|a| [401, 503].contains(&a.status.as_u16())));
    assert!(server.anonymous().get("/livez").await.status.is_success());
}

#[tokio::test]
async fn a_password_change_ends_all_other_sessions_and_keeps_this_one() {
    let server = Server::start().await;
    let (mut here, _) = server.user("ivan", json!({})).await;
    let mut there = server.log_in("ivan").await;
    let old = here.cookie.clone().unwrap();
    here.put("/v1/session/data/k", json!({ "value": 1 })).await.is(StatusCode::OK);
    let wrong = json!({ "old_password": "wrong password", "new_password": "another good one" });
    here.post("/v1/password", wrong).await.is(StatusCode::FORBIDDEN).is_problem("wrong_password");
    let short = json!({ "old_password": PASSWORD, "new_password": "short" });
    let errors = here.post("/v1/password", short).await.is(StatusCode::UNPROCESSABLE_ENTITY).errors();
    assert_eq!(errors, [("new_password".to_owned(), "password_too_short".to_owned())]);
    assert!(there.is_somebody().await);

    let right = json!({ "old_password": PASSWORD, "new_password": "another good one" });
    let session = here.post("/v1/password", right).await.is(StatusCode::OK).json();
    assert_eq!(session["data"], json!({ "k": 1 }));
    assert!(here.is_somebody().await, "the session that changed it goes on");
    assert!(!there.is_somebody().await, "every other session has ended");
    assert!(!server.with_cookie(&old).is_somebody().await, "older tokens of this session are dead");
    let mut again = server.anonymous();
    again.post("/v1/login", json!({ "username": "ivan", "password": PASSWORD })).await.is(StatusCode::UNAUTHORIZED);
    again.post("/v1/login", json!({ "username": "ivan", "password": "another good one" })).await.is(StatusCode::OK);
    assert_eq!(again.get("/v1/sessions").await.json()["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_password_is_the_same_in_every_normal_form_and_otherwise_exact() {
    let server = Server::start().await;
    let mut client = server.anonymous();
    let composed = "caf\u{e9} au lait, s'il vous pla\u{ee}t";
    client.post("/v1/register", json!({ "username": "judy", "password": composed })).await.is(StatusCode::CREATED);
    let decomposed = "cafe\u{301} au lait, s'il vous plai\u{302}t";
    let tries = |password: String| {
        let mut client = server.anonymous();
        async move { client.post("/v1/login", json!({ "username": "judy", "password": password })).await.status }
    };
    assert_eq!(tries(decomposed.to_owned()).await, StatusCode::OK);
    for wrong in [
        composed.to_uppercase(),
        format!("{composed} "),
        format!("{composed}\0"),
        composed[..composed.len() - 1].to_owned(),
    ] {
        assert_eq!(tries(wrong).await, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn my_profile_is_mine_to_change_and_my_rights_are_not() {
    let server = Server::start().await;
    let (mut client, _) = server.user("ken", json!({})).await;
    let patch = json!({ "first_name": " Ken ", "email": "ken@EXAMPLE.com", "old_password": PASSWORD });
    let me = client.patch("/v1/me", patch).await.is(StatusCode::OK);
    assert_eq!((me.text("first_name"), me.text("email")), ("Ken".to_owned(), "ken@example.com".to_owned()));
    for member in ["is_superuser", "is_staff", "is_active", "groups", "user_permissions", "username", "password", "id"]
    {
        let mut patch = json!({});
        patch[member] = json!("x");
        client.patch("/v1/me", patch).await.is(StatusCode::UNPROCESSABLE_ENTITY);
    }
    let errors =
        client.patch("/v1/me", json!({ "email": "a@b\r\nBcc: c@d", "first_name": "x".repeat(151) })).await.errors();
    assert_eq!(errors.len(), 2);
}

#[tokio::test]
async fn another_address_takes_the_present_password() {
    let server = Server::start().await;
    let (mut ken, _) = server.user("ken", json!({ "email": "ken@example.com" })).await;
    let with = |email: &str, old: &str| json!({ "email": email, "old_password": old, "last_name": "Thompson" });
    // Whoever has the session alone cannot have a link for a new password sent elsewhere.
    for patch in [json!({ "email": "evil@example.net" }), json!({ "email": "" }), with("evil@example.net", "wrong")] {
        let refused = ken.patch("/v1/me", patch).await.is(StatusCode::FORBIDDEN);
        refused.is_problem("wrong_password");
    }
    let me = ken.get("/v1/me").await;
    assert_eq!((me.text("email"), me.text("last_name")), ("ken@example.com".to_owned(), String::new()));
    let log = server.admin().await.get("/v1/audit?action=change_profile&outcome=refused").await.json();
    assert_eq!(log["items"].as_array().unwrap().len(), 3, "{log}");
    // The same address is no other one, and the rest takes no password.
    ken.patch("/v1/me", json!({ "email": "ken@EXAMPLE.com", "first_name": "Ken" })).await.is(StatusCode::OK);
    let me = ken.patch("/v1/me", with("ken@example.org", PASSWORD)).await.is(StatusCode::OK);
    assert_eq!((me.text("email"), me.text("last_name")), ("ken@example.org".to_owned(), "Thompson".to_owned()));
}

/// What the session's token says.
fn said(client: &crate::harness::Client) -> serde_json::Value {
    let payload = client.cookie.as_ref().unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[tokio::test]
async fn a_log_in_is_one_read_and_one_commit_and_a_log_out_one_commit() {
    let server = Server::start_with(Options { throttle: true, ..Options::default() }).await;
    // Once the server has asked what it asks at its start.
    server.admin().await;
    let mut client = server.anonymous();
    let credentials = json!({ "username": "admin", "password": PASSWORD });
    let login = async |client: &mut crate::harness::Client, headers: &[(&str, &str)]| {
        let before = server.store.calls();
        let answer = client.call(Method::POST, "/v1/login", Some(credentials.clone()), headers).await;
        let answer = answer.is(StatusCode::OK);
        (answer, server.store.calls() - before)
    };
    let (answer, calls) = login(&mut client, &[]).await;
    assert_eq!(calls, 2);
    // On a device that is known, it is the device's user who is read.
    let device = answer.set_cookies().into_iter().find(|line| line.contains("device")).unwrap();
    let device = device.split(';').next().unwrap();
    assert_eq!(login(&mut server.anonymous(), &[("cookie", device)]).await.1, 2);
    let before = server.store.calls();
    client.get("/v1/verify").await;
    client.get("/v1/session").await.is(StatusCode::OK);
    assert_eq!(server.store.calls(), before);
    client.post("/v1/logout", json!(null)).await.is(StatusCode::NO_CONTENT);
    assert_eq!(server.store.calls(), before + 1);
}

/// The password is judged for a while, after the user was read.
#[tokio::test]
async fn what_changes_of_the_user_while_the_password_is_judged_is_in_the_first_token() {
    let slow = signet::password::Cost { memory: 32 * 1024, passes: 8, lanes: 1 };
    let server = Server::start_with(Options { hash_cost: slow, hash_workers: 1, ..Options::default() }).await;
    server.permissions(&["polls.vote"]).await;
    let voters = server.group("voters", &[]).await;
    let (_, id) = server.user("alice", json!({ "groups": ["voters"] })).await;
    let path = format!("/v1/users/{id}");
    let mut admin = server.admin().await;
    let mut log_in_while = async |path: &str, change: serde_json::Value| {
        // The password waits for those of others before it is judged.
        let others = (0..3).map(|_| {
            let mut nobody = server.anonymous();
            let credentials = json!({ "username": "nobody", "password": PASSWORD });
            tokio::spawn(async move { nobody.post("/v1/login", credentials).await.status })
        });
        let others: Vec<_> = others.collect();
        while server.app.pool().load().waiting < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let before = server.store.calls();
        let mut client = server.anonymous();
        let log_in = tokio::spawn(async move {
            let credentials = json!({ "username": "alice", "password": PASSWORD });
            let status = client.post("/v1/login", credentials).await.status;
            (client, status)
        });
        while server.store.calls() == before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        admin.patch(path, change).await.is(StatusCode::OK);
        assert!(!log_in.is_finished(), "the password is judged already");
        for other in others {
            assert_eq!(other.await.unwrap(), StatusCode::UNAUTHORIZED);
        }
        log_in.await.unwrap()
    };
    let (client, _) = log_in_while(&path, json!({ "user_permissions": ["polls.vote"] })).await;
    assert_eq!(said(&client)["permissions"], json!(["polls.vote"]));
    let (client, _) = log_in_while(&path, json!({ "user_permissions": [] })).await;
    assert_eq!(said(&client)["permissions"], json!(null));
    let (client, _) = log_in_while(&format!("/v1/groups/{voters}"), json!({ "name": "electors" })).await;
    assert_eq!(said(&client)["groups"], json!(["electors"]));
    let (client, _) = log_in_while(&path, json!({ "is_staff": true })).await;
    assert_eq!(said(&client)["is_staff"], true);
    let (client, status) = log_in_while(&path, json!({ "is_active": false })).await;
    assert_eq!((client.cookie, status), (None, StatusCode::UNAUTHORIZED));
}
