//! Sealed session data: what a token shows, what opens where, how the keys change, what it costs in room.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::DateTime;
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};
use signet::app::{App, Parts};
use signet::claims::{Claims, Data, Lifetime};
use signet::keys::{self, Keyring, Kind, Purpose};
use signet::store::embedded::Embedded;
use signet::token::Tokens;
use tempfile::TempDir;

use crate::cli::{Serving, program};
use crate::harness::{Client, Options, PASSWORD, Server, folder_with_keys, plain_http};
use crate::session;

/// Texts that no token may show: a key and a value.
const KEY: &str = "reputation";
const VALUE: &str = "needs-a-second-look";

/// Requests within which a server has read its keys again, by far.
const PATIENCE: usize = 5000;

async fn start_in(folder: TempDir, seal_data: bool) -> Server {
    Server::start_with(Options { folder: Some(folder), seal_data, ..Options::default() }).await
}

/// A folder with one key that signs and these that seal.
fn folder_with_seals(kids: &[&str]) -> TempDir {
    let folder = folder_with_keys(&[("sign", "eddsa")]);
    for kid in kids {
        keys::generate_sealing(&folder.path().join("keys"), Some(kid), DateTime::UNIX_EPOCH).unwrap();
    }
    folder
}

fn ring(folder: &TempDir) -> Keyring {
    Keyring::load(&folder.path().join("keys")).ok().unwrap()
}

fn faults(folder: &Path) -> Vec<String> {
    Keyring::load(folder).err().map(|faults| faults.0).unwrap_or_default()
}

fn payload_of(token: &str) -> Value {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

/// The sealed data that the client's token carries.
fn sealed_of(client: &Client) -> String {
    payload_of(client.cookie.as_ref().unwrap())["data"].as_str().expect("the data is sealed").to_owned()
}

/// The name of the key that sealed it.
fn sealer_of(client: &Client) -> String {
    sealed_of(client).split('.').next().unwrap().to_owned()
}

/// Nothing of the data is in what the client holds, in whatever way it is decoded.
#[track_caller]
fn shows_nothing(client: &Client, when: &str) {
    let token = client.cookie.as_ref().unwrap();
    let sealed = sealed_of(client);
    let inner = URL_SAFE_NO_PAD.decode(sealed.split_once('.').unwrap().1).unwrap();
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    for text in [token.as_bytes(), &payload, sealed.as_bytes(), &inner] {
        let text = String::from_utf8_lossy(text);
        assert!(!text.contains(KEY) && !text.contains(VALUE), "{when}: {text}");
    }
}

#[tokio::test]
async fn no_token_of_a_sessions_whole_life_shows_anything_of_its_data() {
    let server = Server::start_with(Options { seal_data: true, ..Options::default() }).await;
    let mut client = server.anonymous();
    let path = format!("/v1/session/data/{KEY}");
    client.put(&path, json!({ "value": VALUE })).await.is(StatusCode::OK);
    shows_nothing(&client, "the first write");
    client.patch("/v1/session", json!({ "deep": { KEY: [VALUE] } })).await.is(StatusCode::OK);
    shows_nothing(&client, "a merge");
    client.post("/v1/login", json!({ "username": "admin", "password": PASSWORD })).await.is(StatusCode::OK);
    shows_nothing(&client, "the log-in");
    // The rest of the token is to be read by everybody, as ever.
    let payload = payload_of(client.cookie.as_ref().unwrap());
    assert_eq!((&payload["preferred_username"], &payload["is_superuser"]), (&json!("admin"), &json!(true)));
    let all = json!({ KEY: VALUE, "deep": { KEY: [VALUE] } });
    assert_eq!(client.get("/v1/session").await.json()["data"], all, "an anonymous session's data is kept");
    let mut seen = vec![sealed_of(&client)];
    let steps = [
        (Method::POST, "/v1/session/renew", Value::Null),
        (Method::PUT, "/v1/session/expiry", json!({ "kind": "inactivity", "seconds": 1800 })),
        (Method::POST, "/v1/password", json!({ "old_password": PASSWORD, "new_password": "another horse battery" })),
    ];
    for (method, path, body) in steps {
        let answer = client.call(method, path, Some(body), &[]).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.status);
        shows_nothing(&client, path);
        seen.push(sealed_of(&client));
    }
    server.pass(1000);
    assert_eq!(client.get("/v1/session").await.is(StatusCode::OK).json()["data"], all);
    shows_nothing(&client, "a sliding re-issue");
    seen.push(sealed_of(&client));
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 5, "the same data is never the same text twice");
    assert_eq!(client.get(&path).await.json()["value"], VALUE);
    client.put("/v1/session", json!({ "other": 1 })).await.is(StatusCode::OK);
    client.delete("/v1/session/data/other").await.is(StatusCode::NO_CONTENT);
    assert_eq!(client.get("/v1/session").await.json()["data"], json!({}));
    shows_nothing(&client, "no data at all is sealed too");
    let dead = client.cookie.clone().unwrap();
    client.delete("/v1/session").await.is(StatusCode::NO_CONTENT);
    server.with_cookie(&dead).get("/v1/session").await.is(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn sealed_data_opens_in_the_very_token_that_it_was_sealed_for_and_nowhere_else() {
    let server = Server::start_with(Options { seal_data: true, ..Options::default() }).await;
    let mut clients = Vec::new();
    let (mut second, _) = server.user("lena", json!({})).await;
    let mut first = server.admin().await;
    let mut nobody = server.anonymous();
    for client in [&mut first, &mut second, &mut nobody] {
        client.put("/v1/session/data/owner", json!({ "value": VALUE })).await.is(StatusCode::OK);
        clients.push(client.clone());
    }
    let older = first.clone();
    first.post("/v1/session/renew", Value::Null).await.is(StatusCode::OK);
    let keyring = server.app.tokens().keyring();
    let signed = |payload: &Value| {
        let token = keyring.sign(Kind::Session, payload.to_string().as_bytes()).unwrap();
        server.with_cookie(&token)
    };
    let mine = payload_of(first.cookie.as_ref().unwrap());
    // Whoever could sign has the token as it was; a text from elsewhere does not open in it.
    assert_eq!(signed(&mine).get("/v1/session").await.is(StatusCode::OK).json()["data"]["owner"], VALUE);
    let other_user = sealed_of(&clients[1]);
    let (kid, inner) = other_user.split_once('.').unwrap();
    let cut = |text: &str, by: usize| text[..text.len() - by].to_owned();
    let own = sealed_of(&first);
    let mut flipped = own.clone().into_bytes();
    let middle = flipped.len() - 20;
    flipped[middle] = if flipped[middle] == b'A' { b'B' } else { b'A' };
    let wrong = [
        ("another user's", other_user.clone()),
        ("that of nobody", sealed_of(&clients[2])),
        ("an older issue's of the same session", sealed_of(&older)),
        ("with one letter changed", String::from_utf8(flipped).unwrap()),
        ("one letter short", cut(&own, 1)),
        ("a block short", cut(&own, 22)),
        ("no box", format!("{kid}.")),
        ("no name", format!(".{inner}")),
        ("no dot", inner.to_owned()),
        ("a name that is not there", format!("nokey.{inner}")),
        ("the key that signs", format!("{}.{inner}", keyring.signer().kid())),
        ("padded", format!("{own}==")),
        ("nothing", String::new()),
        ("the object as a text", json!({ "owner": VALUE }).to_string()),
        ("a place of another kind", keyring.seal(Kind::Cookie, &["data"], b"{}".to_vec()).unwrap()),
        ("a place of less", keyring.seal(Kind::Session, &["data"], b"{}".to_vec()).unwrap()),
    ];
    for (what, text) in wrong {
        let mut payload = mine.clone();
        payload["data"] = json!(text);
        let answer = signed(&payload).get("/v1/session").await;
        answer.is(StatusCode::UNAUTHORIZED).is_problem("not_authenticated");
        assert!(!signed(&payload).is_somebody().await, "{what}");
    }
    // Nor does it open when what it is bound to is another.
    let theirs = payload_of(clients[1].cookie.as_ref().unwrap());
    for claim in ["sid", "sub", "jti"] {
        let mut payload = mine.clone();
        payload[claim] = theirs[claim].clone();
        signed(&payload).get("/v1/session").await.is(StatusCode::UNAUTHORIZED);
    }
    // The claim is an object or a text.
    for data in [json!(null), json!([]), json!([other_user]), json!(7), json!(true)] {
        let mut payload = mine.clone();
        payload["data"] = data;
        signed(&payload).get("/v1/session").await.is(StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn two_services_with_one_folder_of_keys_cannot_be_mixed() {
    let folder = folder_with_seals(&["a"]);
    let tokens = |issuer, audience| Tokens::new(issuer, audience, ring(&folder)).sealing(true);
    let now = DateTime::from_timestamp(2_000_000_000, 0).unwrap();
    let mut claims = Claims::anonymous("signet", "signet", 0, now, Lifetime { age: 3600, end: 3600 });
    claims.data = Map::from_iter([(KEY.to_owned(), json!(VALUE))]);
    let ours = tokens("signet", "signet");
    let token = ours.mint(&claims).unwrap();
    assert_eq!(ours.verify(&token, now).unwrap().claims, claims);
    // A token of the other one, with the sealed data of this one, signed by the key that both have.
    for (issuer, audience) in [("other", "signet"), ("signet", "other")] {
        let other = tokens(issuer, audience);
        assert!(other.verify(&token, now).is_err());
        let mut payload = payload_of(&token);
        (payload["iss"], payload["aud"]) = (json!(issuer), json!(audience));
        let forged = ring(&folder).sign(Kind::Session, payload.to_string().as_bytes()).unwrap();
        assert!(other.verify(&forged, now).is_err(), "{issuer} {audience}");
        payload["data"] = json!({});
        let honest = ring(&folder).sign(Kind::Session, payload.to_string().as_bytes()).unwrap();
        assert!(other.verify(&honest, now).is_ok(), "the data alone was at fault");
    }
}

#[test]
fn a_sealed_text_opens_with_its_key_in_its_place_unharmed_and_not_otherwise() {
    let folder = folder_with_seals(&["a"]);
    let keyring = ring(&folder);
    let place = ["data", "issuer", "session"];
    let content = b"content that is sealed".to_vec();
    let text = keyring.seal(Kind::Session, &place, content.clone()).unwrap();
    assert_eq!(keyring.open(Kind::Session, &place, &text), Some(content.clone()));
    assert_ne!(keyring.seal(Kind::Session, &place, content.clone()).unwrap(), text, "nonces are new each time");
    for wrong in [
        &["data", "issuer"][..],
        &["data", "issuer", "session", ""],
        &["data", "issuer", "sessioN"],
        &["data", "issuers", "ession"],
        &["dataissuer", "session"],
        &["issuer", "data", "session"],
        &[],
    ] {
        assert_eq!(keyring.open(Kind::Session, wrong, &text), None, "{wrong:?}");
    }
    for kind in [Kind::Cookie, Kind::Reset, Kind::Verification, Kind::Device, Kind::Api] {
        assert_eq!(keyring.open(kind, &place, &text), None, "{kind:?}");
    }
    let (kid, inner) = text.split_once('.').unwrap();
    let bytes = URL_SAFE_NO_PAD.decode(inner).unwrap();
    assert_eq!(bytes.len(), 12 + content.len() + 16, "nonce, ciphertext, tag");
    let open = |bytes: &[u8]| keyring.open(Kind::Session, &place, &format!("{kid}.{}", URL_SAFE_NO_PAD.encode(bytes)));
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut harmed = bytes.clone();
            harmed[at] ^= 1 << bit;
            assert_eq!(open(&harmed), None, "bit {bit} of byte {at}");
        }
        assert_eq!(open(&bytes[..at]), None, "cut to {at} bytes");
        assert_eq!(open(&bytes[at + 1..]), None, "without the first {at}");
    }
    assert_eq!(open(&[&bytes[..], b"\0"].concat()), None);
    // Another key under the same name; and the same key under another name.
    assert_eq!(ring(&folder_with_seals(&["a"])).open(Kind::Session, &place, &text), None);
    let keys = folder.path().join("keys");
    fs::rename(keys.join("a.seal"), keys.join("b.seal")).unwrap();
    let renamed = ring(&folder);
    assert_eq!(renamed.open(Kind::Session, &place, &text), None);
    assert_eq!(renamed.open(Kind::Session, &place, &format!("b.{inner}")), None);
}

#[tokio::test]
async fn the_newest_key_seals_older_and_retired_ones_open_and_without_its_key_a_session_is_refused() {
    let server = start_in(folder_with_seals(&["1"]), true).await;
    let keys = server.folder().join("keys");
    let write = async |client: &mut Client, n: usize| {
        client.put("/v1/session/data/n", json!({ "value": n })).await.is(StatusCode::OK);
    };
    let mut everybody = Vec::new();
    for n in 1..=3 {
        let kid = n.to_string();
        if n > 1 {
            keys::generate_sealing(&keys, Some(&kid), server.now()).unwrap();
            server.app.reload_keys(&keys).unwrap();
        }
        let mut client = if n == 2 { server.anonymous() } else { server.admin().await };
        write(&mut client, n).await;
        assert_eq!(sealer_of(&client), kid);
        everybody.push(client);
        if n > 1 {
            assert_eq!(keys::retire(&keys, &(n - 1).to_string()), Ok(Purpose::Seal));
            server.app.reload_keys(&keys).unwrap();
        }
        for (m, client) in everybody.iter_mut().enumerate() {
            let read = client.get("/v1/session/data/n").await.is(StatusCode::OK);
            assert_eq!(read.json()["value"], m + 1);
        }
    }
    assert_eq!(fs::metadata(keys.join("1.unseal")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!keys.join("1.seal").exists());
    // The next issue is by the newest key.
    let mut moved = everybody[0].clone();
    moved.post("/v1/session/renew", Value::Null).await.is(StatusCode::OK);
    assert_eq!(sealer_of(&moved), "3");
    // Without its key a token is refused like one that no key here has signed, although the server remembers it.
    fs::rename(keys.join("1.unseal"), server.folder().join("1.unseal")).unwrap();
    server.app.reload_keys(&keys).unwrap();
    let refused = everybody[0].get("/v1/session").await.is(StatusCode::UNAUTHORIZED).is_problem("not_authenticated");
    assert!(refused.set_cookies().is_empty());
    let unknown = server.with_cookie("a.b.c").get("/v1/session").await;
    let told = |answer: &crate::harness::Answer| {
        let mut problem = answer.json();
        problem["request_id"] = Value::Null;
        problem
    };
    assert_eq!(told(&refused), told(&unknown), "alike in every word");
    for client in &mut everybody[1..] {
        client.get("/v1/session").await.is(StatusCode::OK);
    }
    assert_eq!(moved.get("/v1/session/data/n").await.json()["value"], 1, "it has moved to the newest key");
    // With the key the session is back; but for those who logged out meanwhile.
    let mut left = moved.clone();
    fs::rename(server.folder().join("1.unseal"), keys.join("1.unseal")).unwrap();
    server.app.reload_keys(&keys).unwrap();
    assert!(everybody[0].is_somebody().await);
    fs::remove_file(keys.join("1.unseal")).unwrap();
    server.app.reload_keys(&keys).unwrap();
    let token = everybody[0].cookie.clone().unwrap();
    everybody[0].post("/v1/logout", Value::Null).await.is(StatusCode::NO_CONTENT);
    assert!(!left.is_somebody().await, "a log-out ends the session also when its data does not open");
    assert!(!server.with_cookie(&token).is_somebody().await);
}

#[tokio::test]
async fn the_last_key_that_seals_stays_and_a_folder_without_one_is_not_taken() {
    let server = start_in(folder_with_seals(&["1"]), true).await;
    let keys = server.folder().join("keys");
    let mut client = server.admin().await;
    client.put("/v1/session/data/k", json!({ "value": 1 })).await.is(StatusCode::OK);
    let running = server.app.tokens().keyring();
    assert!(keys::retire(&keys, "1").unwrap_err().contains("the only key that can seal"));
    // By hand it can be taken away: a running server goes on with what it has.
    fs::rename(keys.join("1.seal"), keys.join("1.unseal")).unwrap();
    let refused = server.app.reload_keys(&keys).unwrap_err().to_string();
    assert!(refused.contains("no key here can seal") && refused.contains("--kind seal"), "{refused}");
    assert!(keys::retire(&keys, "1").unwrap_err().contains("retired already"));
    fs::rename(keys.join("1.unseal"), keys.join("1.seal")).unwrap();
    // Another key under the name of one in use is refused, whatever either is for.
    let own = fs::read(keys.join("1.seal")).unwrap();
    fs::remove_file(keys.join("1.seal")).unwrap();
    keys::generate_sealing(&keys, Some("1"), server.now()).unwrap();
    assert!(server.app.reload_keys(&keys).unwrap_err().to_string().contains("another key than the one of this name"));
    fs::remove_file(keys.join("1.seal")).unwrap();
    keys::generate(&keys, "hs256", Some("1"), server.now()).unwrap_err();
    keys::generate_sealing(&keys, Some("2"), server.now()).unwrap();
    keys::generate(&keys, "hs256", Some("ta"), server.now()).unwrap();
    fs::rename(keys.join("ta.secret"), keys.join("1.secret")).unwrap();
    assert!(server.app.reload_keys(&keys).unwrap_err().to_string().contains("another key than the one of this name"));
    fs::remove_file(keys.join("1.secret")).unwrap();
    fs::write(keys.join("1.seal"), own).unwrap();
    fs::set_permissions(keys.join("1.seal"), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(Arc::ptr_eq(&running, &server.app.tokens().keyring()));
    server.app.reload_keys(&keys).unwrap();
    assert_eq!(client.get("/v1/session/data/k").await.json()["value"], 1);
    client.post("/v1/session/renew", Value::Null).await.is(StatusCode::OK);
    assert_eq!(sealer_of(&client), "2");
    // A program that embeds Signet cannot ask for it without a key, and get tokens in the open.
    let folder = folder_with_keys(&[("sign", "eddsa")]);
    let store = Arc::new(Embedded::open(&folder.path().join("data")).unwrap());
    let clock = Arc::new(|| DateTime::from_timestamp(2_000_000_000, 0).unwrap());
    let parts = Parts { seal_data: true, ..Parts::new(store, ring(&folder), clock) };
    let refused = App::open(parts).await.err().unwrap().to_string();
    assert!(refused.contains("no key can seal"), "{refused}");
    let claims = Claims::anonymous("a", "a", 0, DateTime::UNIX_EPOCH, Lifetime { age: 1, end: 1 });
    assert!(Tokens::new("a", "a", ring(&folder)).sealing(true).mint(&claims).is_err());
    assert!(Tokens::new("a", "a", ring(&folder)).sealing(true).issue(claims).is_err());
}

#[test]
fn a_sealing_key_is_judged_like_every_other() {
    let folder = folder_with_seals(&["good"]);
    let keys = folder.path().join("keys");
    let file = keys.join("bad.seal");
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes).into_bytes();
    let bytes: Vec<u8> = (0..33).map(|n| n * 7 + 3).collect();
    let generate = "`signet keys generate --kind seal`";
    for (what, content, mode, fault, mend) in [
        ("open to others", text(&bytes[..32]), 0o640, "others than its owner", "chmod 600"),
        ("empty", vec![], 0o600, "a weak secret", generate),
        ("short", text(&bytes[..31]), 0o600, "a weak secret", generate),
        ("long", text(&bytes), 0o600, "not a key of 32 bytes", generate),
        ("a pattern", text(&[7; 32]), 0o600, "a weak secret", generate),
        ("no base64url", b"?".repeat(43), 0o600, "not a secret in unpadded base64url", generate),
        ("the good one again", fs::read(keys.join("good.seal")).unwrap(), 0o600, "the same key as", "remove one"),
    ] {
        for file in [&file, &keys.join("bad.unseal")] {
            fs::write(file, &content).unwrap();
            fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
            let found = faults(&keys);
            assert_eq!(found.len(), 1, "{what}: {found:?}");
            assert!(found[0].contains("/bad.") || found[0].contains("/good."), "{what}: {found:?}");
            assert!(found[0].contains(fault) && found[0].contains(mend), "{what}: {found:?}");
            fs::remove_file(file).unwrap();
        }
    }
    std::os::unix::fs::symlink("good.seal", &file).unwrap();
    assert!(faults(&keys)[0].contains("not a plain file"));
    fs::remove_file(&file).unwrap();
    // One key is for one thing, and one name is for one key.
    fs::copy(keys.join("good.seal"), keys.join("same.secret")).unwrap();
    assert!(faults(&keys)[0].contains("same.secret: it is the same key as good"));
    fs::remove_file(keys.join("same.secret")).unwrap();
    let now = DateTime::UNIX_EPOCH;
    assert!(keys::generate_sealing(&keys, Some("sign"), now).unwrap_err().contains("already"));
    assert!(keys::generate(&keys, "eddsa", Some("good"), now).unwrap_err().contains("already"));
    assert!(keys::generate_sealing(&keys, Some("a"), now).unwrap_err().contains("would never seal"));
    assert!(keys::generate_sealing(&keys, Some("../x"), now).unwrap_err().contains("letters, digits"));
    // The two kinds do not stand in one another's way.
    keys::generate(&keys, "eddsa", Some("zz"), now).unwrap();
    keys::generate_sealing(&keys, Some("z"), now).unwrap();
    let keyring = Keyring::load(&keys).ok().unwrap();
    assert_eq!((keyring.signer().kid(), keyring.sealer().unwrap().kid()), ("zz", "z"));
    assert_eq!(fs::metadata(keys.join("z.seal")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(keyring.keys().len() + keyring.sealing_keys().len(), 4);
}

#[tokio::test]
async fn keys_that_seal_are_never_published() {
    let folder = folder_with_seals(&["1", "2"]);
    let keys = folder.path().join("keys");
    let secret = fs::read_to_string(keys.join("2.seal")).unwrap();
    keys::retire(&keys, "1").unwrap();
    let server = start_in(folder, true).await;
    let answer = server.anonymous().get("/.well-known/jwks.json").await.is(StatusCode::OK);
    let published = answer.json()["keys"].as_array().unwrap().clone();
    assert_eq!(published.len(), 1);
    assert_eq!(published[0]["kid"], "sign");
    assert!(!String::from_utf8(answer.body).unwrap().contains(&secret));
}

#[tokio::test]
async fn turned_on_and_off_every_session_goes_on_and_its_next_issue_is_of_the_new_kind() {
    let server = start_in(folder_with_keys(&[("sign", "eddsa")]), false).await;
    let mut old = server.admin().await;
    old.put("/v1/session/data/k", json!({ "value": VALUE })).await.is(StatusCode::OK);
    assert_eq!(payload_of(old.cookie.as_ref().unwrap())["data"], json!({ "k": VALUE }));
    let mut folder = server.stop().await;
    let mut kept = Vec::new();
    for seal_data in [true, false, true] {
        let server = start_in(folder, seal_data).await;
        old = old.at(&server.base);
        // Read as it is, and not issued anew for that.
        let read = old.get("/v1/session/data/k").await.is(StatusCode::OK);
        assert_eq!((&read.json()["value"], read.set_cookies().len()), (&json!(VALUE), 0), "sealing: {seal_data}");
        old.patch("/v1/session", json!({ "n": 1 })).await.is(StatusCode::OK);
        let data = payload_of(old.cookie.as_ref().unwrap())["data"].clone();
        assert_eq!(data.is_string(), seal_data);
        assert_eq!(data.is_object(), !seal_data);
        assert_eq!(old.get("/v1/session").await.json()["data"], json!({ "k": VALUE, "n": 1 }));
        kept.push(old.cookie.clone().unwrap());
        folder = server.stop().await;
    }
    // All of them, of either kind, count on a server of either kind for as long as the key is there.
    for seal_data in [false, true] {
        let server = start_in(folder, seal_data).await;
        for token in &kept {
            assert_eq!(server.with_cookie(token).get("/v1/session/data/k").await.json()["value"], VALUE);
        }
        folder = server.stop().await;
    }
    let keys = folder.path().join("keys");
    for entry in fs::read_dir(&keys).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "seal") {
            fs::remove_file(path).unwrap();
        }
    }
    let server = start_in(folder, false).await;
    for (token, was_sealed) in kept.iter().zip([true, false, true]) {
        assert_eq!(server.with_cookie(token).is_somebody().await, !was_sealed);
    }
}

/// The most letters of one value that a fresh session of `admin` has room for.
async fn room(server: &Server) -> usize {
    let client = server.admin().await;
    let low = session::room(&client).await;
    assert_eq!(client.clone().get("/v1/session").await.json()["data"], json!({}));
    low
}

#[tokio::test]
async fn the_cookies_limit_counts_the_sealed_form_which_leaves_a_quarter_less_room() {
    let clear = room(&Server::start_with(Options { seal_data: false, ..Options::default() }).await).await;
    let sealed = room(&Server::start_with(Options { seal_data: true, ..Options::default() }).await).await;
    println!("letters of one value: {clear} in the open, {sealed} sealed");
    // What the README says.
    assert!((2450..2600).contains(&clear), "{clear}");
    assert!((1750..1900).contains(&sealed), "{sealed}");
}

#[tokio::test]
async fn a_cookies_length_tells_only_roughly_how_much_data_there_is() {
    let server = Server::start_with(Options { seal_data: true, ..Options::default() }).await;
    let mut client = server.anonymous();
    let mut lengths = Vec::new();
    // {"v":"…"} and 0 to 54 letters: two steps of 32 bytes.
    for letters in 0..55 {
        client.put("/v1/session", json!({ "v": "x".repeat(letters) })).await.is(StatusCode::OK);
        lengths.push(sealed_of(&client).len());
    }
    lengths.dedup();
    assert_eq!(lengths.len(), 2, "{lengths:?}");
    client.put("/v1/session", json!({})).await.is(StatusCode::OK);
    assert_eq!(sealed_of(&client).len(), lengths[0], "nothing is as long as little");
}

/// Values from random bytes: every kind, nested a little.
fn any(bytes: &mut impl Iterator<Item = u8>, depth: usize) -> Value {
    let mut next = || bytes.next().unwrap_or_default();
    match next() % if depth == 0 { 6 } else { 8 } {
        0 => Value::Null,
        1 => json!(next() % 2 == 0),
        2 => json!(i64::from_le_bytes([(); 8].map(|()| next()))),
        3 => json!(u64::MAX - u64::from(next())),
        4 => {
            let float = f64::from_bits(u64::from_le_bytes([(); 8].map(|()| next())));
            if float.is_finite() { json!(float) } else { json!(0.1) }
        }
        5 => {
            let length = next() % 40;
            let letters = (0..length).map(|_| char::from_u32(u32::from(next()) * 257 + u32::from(next())));
            json!(letters.map(|c| c.unwrap_or('\u{10ffff}')).collect::<String>())
        }
        6 => {
            let length = next() % 5;
            Value::Array((0..length).map(|_| any(bytes, depth - 1)).collect())
        }
        _ => Value::Object(members(bytes, depth - 1)),
    }
}

fn members(bytes: &mut impl Iterator<Item = u8>, depth: usize) -> Data {
    let length = bytes.next().unwrap_or_default() % 6;
    (0..length).map(|n| (format!("{n}{}", char::from(bytes.next().unwrap_or_default())), any(bytes, depth))).collect()
}

#[test]
fn whatever_is_sealed_is_what_opens() {
    let folder = folder_with_seals(&["a"]);
    let now = DateTime::from_timestamp(2_000_000_000, 0).unwrap();
    let sealing = Tokens::new("signet", "signet", ring(&folder)).sealing(true);
    let clear = Tokens::new("signet", "signet", ring(&folder));
    let (mut tried, mut most) = (0, 0);
    while tried < 1000 {
        let mut random = [0; 512];
        getrandom::fill(&mut random).unwrap();
        let mut claims = Claims::anonymous("signet", "signet", 0, now, Lifetime { age: 3600, end: 3600 });
        claims.data = members(&mut random.into_iter(), 3);
        let (text, issued) = sealing.issue(claims.clone()).unwrap();
        assert_eq!(issued.claims, claims, "what is issued is what was given");
        if text.len() > 4096 {
            continue;
        }
        let size = serde_json::to_vec(&claims.data).unwrap().len();
        (tried, most) = (tried + 1, most.max(size));
        let opened = sealing.verify_anew(&text, now).unwrap();
        let context = || Value::Object(claims.data.clone()).to_string();
        assert_eq!(opened.claims, claims, "{}", context());
        // The same as in the open, to the last bit of the last number, and in the same order.
        let open = clear.verify_anew(&clear.mint(&claims).unwrap(), now).unwrap();
        let written = |claims: &Claims| serde_json::to_string(claims).unwrap();
        assert_eq!(written(&opened.claims), written(&open.claims), "{}", context());
        // And it can be read by a server that does not seal.
        assert_eq!(clear.verify_anew(&text, now).unwrap().claims, claims);
        // 28 bytes and less than a step more, base64url twice, and the name.
        let length = sealing.mint(&claims).unwrap().len();
        let least = clear.mint(&claims).unwrap().len() + (size + 28) * 16 / 9 - size * 4 / 3;
        assert!((least..least + 80).contains(&length), "{length} of at least {least} for {size} bytes");
    }
    assert!(most > 300, "{most}");
}

fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = program(folder).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_start_makes_the_key_once_and_the_command_line_rotates_it() {
    let folder = TempDir::new().unwrap();
    let keys = folder.path().join("keys");
    drop(Serving::start(folder.path(), &[]));
    assert_eq!(files(&keys).len(), 1, "none without the flag");
    let mut command = program(folder.path());
    command.args(["serve", "--listen", "127.0.0.1:0"]).env("SIGNET_SEAL_DATA", "true");
    let server = Serving::start_as(&mut command);
    let made = files(&keys);
    assert_eq!(made.len(), 2, "{made:?}");
    let seal = made.iter().find_map(|name| name.strip_suffix(".seal")).unwrap().to_owned();
    assert_eq!(fs::metadata(keys.join(format!("{seal}.seal"))).unwrap().permissions().mode() & 0o777, 0o600);
    let write = |base: String| async move {
        let request = plain_http().build().unwrap().put(format!("{base}/v1/session/data/k"));
        let request = request.header("content-type", "application/json").body(json!({ "value": VALUE }).to_string());
        let cookie = request.send().await.unwrap().headers()["set-cookie"].to_str().unwrap().to_owned();
        let token = cookie.split(';').next().unwrap().split_once('=').unwrap().1.to_owned();
        let sealer = payload_of(&token)["data"].as_str().unwrap().split('.').next().unwrap().to_owned();
        (token, sealer)
    };
    let (token, sealer) = write(server.base.clone()).await;
    assert_eq!(sealer, seal);

    assert_eq!(run(folder.path(), &["keys", "retire", &seal]).0, Some(1), "the only one");
    let (code, said, _) = run(folder.path(), &["keys", "generate", "--kind", "seal", "--kid", "x-new"]);
    assert_eq!(
        (code, said.as_str()),
        (Some(0), "made x-new; a running server seals, if told to, with it from now on\n")
    );
    let (code, said, _) = run(folder.path(), &["keys", "retire", &seal]);
    assert_eq!(code, Some(0));
    assert!(said.starts_with(&format!("{seal} opens only from now on; remove its file when")), "{said}");
    let (_, list, _) = run(folder.path(), &["keys", "list"]);
    let expected = format!("\tEdDSA\tsigns\n{seal}\tAES-256-GCM-SIV\topens only\nx-new\tAES-256-GCM-SIV\tseals\n");
    assert!(list.ends_with(&expected), "{list}");
    let (code, _, said) = run(folder.path(), &["keys", "generate", "--kind", "seal", "--algorithm", "es256"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("--algorithm") && said.lines().count() == 1, "{said}");
    assert_eq!(run(folder.path(), &["keys", "generate", "--kind", "open"]).0, Some(2));

    server.signal(rustix::process::Signal::HUP);
    let mut asked = 0;
    while write(server.base.clone()).await.1 != "x-new" {
        asked += 1;
        assert!(asked < PATIENCE, "the new key does not seal");
    }
    let read = |base: String| {
        let request = plain_http().build().unwrap().get(format!("{base}/v1/session/data/k"));
        let request = request.header("cookie", format!("__Host-signet={token}"));
        async move { request.send().await.unwrap() }
    };
    let answer = read(server.base.clone()).await;
    assert!(answer.text().await.unwrap().contains(VALUE), "what the old key sealed is still read");
    drop(server);
    let server = Serving::start(folder.path(), &["--seal-data"]);
    assert_eq!(files(&keys).len(), 3, "a second start makes none");
    assert_eq!(read(server.base.clone()).await.status(), StatusCode::OK);
    drop(server);
    // Where keys of the kind are, none is made beside them.
    fs::remove_file(keys.join("x-new.seal")).unwrap();
    let (code, _, said) = run(folder.path(), &["--seal-data", "--listen", "127.0.0.1:0"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("no key here can seal") && said.contains("--kind seal"), "{said}");
    let (code, help, _) = run(folder.path(), &["serve", "--help"]);
    assert_eq!(code, Some(0));
    assert!(help.contains("--seal-data") && help.contains("SIGNET_SEAL_DATA"), "{help}");
}

/// Everything that the program says while it seals, opens, refuses, and fails to.
#[tokio::test]
async fn no_log_shows_the_data_or_the_key() {
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("log");
    let mut command: Command = program(folder.path());
    let flags = ["serve", "--listen", "127.0.0.1:0", "--seal-data", "--log", "json", "--audit-stdout"];
    let server = Serving::start_logging(command.args(flags), fs::File::create(&log).unwrap());
    let http = plain_http().build().unwrap();
    let send = async |method: Method, path: &str, body: Value, cookie: &str| {
        let request = http.request(method, format!("{}{path}", server.base)).header("cookie", cookie);
        let answer = request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
        let cookie = answer.headers().get("set-cookie").map(|line| line.to_str().unwrap().split(';').next().unwrap());
        (answer.status(), cookie.unwrap_or_default().to_owned())
    };
    let data = json!({ KEY: VALUE });
    let (status, cookie) = send(Method::PUT, "/v1/session", data.clone(), "").await;
    assert_eq!(status, StatusCode::OK);
    let log_in = json!({ "username": "admin", "password": server.password() });
    let (status, cookie) = send(Method::POST, "/v1/login", log_in, &cookie).await;
    assert_eq!(status, StatusCode::OK);
    let big = json!({ KEY: VALUE.repeat(300) });
    assert_eq!(send(Method::PATCH, "/v1/session", big, &cookie).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(send(Method::PATCH, "/v1/session", json!({ "x": 1 }), &cookie).await.0, StatusCode::OK);
    assert_eq!(send(Method::PATCH, "/v1/session", data, &cookie[..cookie.len() - 9]).await.0, StatusCode::UNAUTHORIZED);
    // The key goes, and its session with it.
    let keys = folder.path().join("keys");
    let seal = files(&keys).into_iter().find(|name| name.split_once('.').unwrap().1 == "seal").unwrap();
    let secret = fs::read_to_string(keys.join(&seal)).unwrap();
    assert_eq!(run(folder.path(), &["keys", "generate", "--kind", "seal"]).0, Some(0));
    fs::remove_file(keys.join(&seal)).unwrap();
    server.signal(rustix::process::Signal::HUP);
    let mut asked = 0;
    while send(Method::PATCH, "/v1/session", json!({}), &cookie).await.0 != StatusCode::UNAUTHORIZED {
        asked += 1;
        assert!(asked < PATIENCE, "the session outlives its key");
    }
    drop(http);
    let (_, said) = server.stop();
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains("keys read again") && said.contains("\"login\""), "{log}\n{said}");
    for text in [&log, &said] {
        for hidden in [KEY, VALUE, &secret] {
            assert!(!text.contains(hidden), "{hidden} is in {text}");
        }
    }
}

#[test]
fn a_program_that_verifies_by_the_published_keys_sees_a_text() {
    let folder = folder_with_seals(&["a"]);
    let now = DateTime::from_timestamp(2_000_000_000, 0).unwrap();
    let claims = Claims::anonymous("signet", "signet", 0, now, Lifetime { age: 3600, end: 3600 });
    let token = Tokens::new("signet", "signet", ring(&folder)).sealing(true).mint(&claims).unwrap();
    fs::remove_file(folder.path().join("keys/a.seal")).unwrap();
    // The signature and every other claim are as good as ever.
    let payload = ring(&folder).verify(Kind::Session, &token).unwrap();
    let payload: Value = serde_json::from_slice(&payload).unwrap();
    assert!(payload["data"].as_str().unwrap().starts_with("a."), "{payload}");
    assert_eq!(payload["sid"], claims.sid.to_string());
}

#[test]
fn the_document_says_what_the_claim_is() {
    let document = signet::api::document::text();
    assert!(document.contains("`data` is an object, or a text"), "where the published keys are described");
    let flagged = Command::new(env!("CARGO_BIN_EXE_signet")).args(["keys", "--help"]).stdout(Stdio::piped()).output();
    assert!(String::from_utf8(flagged.unwrap().stdout).unwrap().contains("seal"));
}
