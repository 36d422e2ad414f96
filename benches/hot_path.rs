//! What every request pays before its operation begins: a known token, and the first sight of one.
//!
//! `cargo bench --bench hot_path`. All of it in this process, without HTTP. What is compared takes turns in short rounds.
//! The first sight of a token has to cost little more than its signature; a known one the same however much was revoked
//! (`--revocations N` for another number than a million).

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has nothing better to do")]

use std::collections::BTreeSet;
use std::hint::black_box;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, ParsedPublicKey, VerificationAlgorithm as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use futures_util::FutureExt as _;
use signet::app::App;
use signet::claims::SessionId;
use signet::keys::Keyring;
use signet::session::{self, Session};
use signet::store::{Member, Revocation, Write};
use signet::token::Tokens;
use support::{Compared, call, note, time};

mod support;

/// Sessions that take turns in a working set.
const WORKING_SET: usize = 1000;

/// Permissions that the group of the bench grants.
const GRANTS: usize = 500;

const REVOCATIONS: usize = 1_000_000;

fn main() {
    let folder = support::folder();
    let runtime = support::runtime();
    let (app, sessions) = runtime.block_on(wired(folder.path()));
    support::table("What a request pays before its operation begins");
    first_sight(&app, &sessions[0]);
    minting(&app, &sessions[0]);
    sealing(&app, &sessions[0], &folder.path().join("keys"));
    permissions(&sessions[0]);
    known_tokens(&app, &sessions);
}

/// A Signet with a user in a group, and sessions of that user.
async fn wired(folder: &std::path::Path) -> (App, Vec<Session>) {
    // The clock stands still: how long the bench takes does not matter to the sessions.
    let now = support::clock()();
    let app = support::wired(folder, std::sync::Arc::new(move || now)).await;
    let (granted, direct) = (support::permissions("grant", GRANTS), support::permissions("direct", 8));
    let group = support::group(&app, "editors", granted.clone());
    let user = signet::user::User {
        groups: BTreeSet::from([group.id]),
        permissions: direct.clone(),
        ..support::user(&app, "alice")
    };
    let mut writes = [support::made(&granted), support::made(&direct)].concat();
    writes.extend([Write::CreateGroup(group), Write::CreateUser(Box::new(user.clone()))]);
    app.commit(writes).await.unwrap();
    let member = Member { user, groups: vec!["editors".to_owned()] };
    let sessions = support::sessions(&app, &member, WORKING_SET).await;
    (app, sessions)
}

/// A token that was never seen, beside the signature alone: by the same key, of the same message, in the way in which
/// the library of tokens asks for it.
fn first_sight(app: &App, session: &Session) {
    let token = session.token().unwrap();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (message, signature) = (message.as_bytes(), URL_SAFE_NO_PAD.decode(signature).unwrap());
    let keyring = app.tokens().keyring();
    let public = serde_json::to_value(keyring.jwks()).unwrap()["keys"][0]["x"].as_str().unwrap().to_owned();
    let public = URL_SAFE_NO_PAD.decode(public).unwrap();
    let parsed = ParsedPublicKey::new(&ED25519, &public).unwrap();
    let seen = || app.tokens().verify_anew(black_box(token), app.now()).unwrap();
    let bare = || ED25519.verify_sig(black_box(&public), black_box(message), black_box(&signature)).unwrap();
    let known = || parsed.verify_sig(black_box(message), black_box(&signature)).unwrap();
    Compared::calls(seen, bare).at_most("first sight of a token", "bare verification", 1.15);
    Compared::calls(seen, known).noted("… beside a key that is read once", "bare verification");
}

/// A token that is made, beside the signature alone.
fn minting(app: &App, session: &Session) {
    let (claims, token) = (session.claims().unwrap(), session.token().unwrap());
    let message = token.rsplit_once('.').unwrap().0.as_bytes();
    let pair = Ed25519KeyPair::generate().unwrap();
    let mint = || app.tokens().mint(black_box(claims)).unwrap();
    Compared::calls(mint, || pair.sign(black_box(message))).noted("a token minted", "bare signing");
}

/// The same session with data, sealed and in the open: what sealing adds to an issue, and to the first sight of it.
fn sealing(app: &App, session: &Session, keys: &std::path::Path) {
    for letters in [100, 1000] {
        let mut claims = session.claims().unwrap().clone();
        claims.data.insert("value".to_owned(), "x".repeat(letters).into());
        let tokens = |seals| {
            let keyring = Keyring::load(keys).unwrap();
            Tokens::new(app.tokens().issuer(), app.tokens().audience(), keyring).sealing(seals)
        };
        let (sealed, open) = (tokens(true), tokens(false));
        // As a request does it: the claims are copied, changed, and issued.
        let issue = |tokens: &Tokens| tokens.issue(black_box(&claims).clone()).unwrap();
        let name = format!("an issue with {letters} letters of data, sealed");
        Compared::calls(|| issue(&sealed), || issue(&open)).noted(&name, "in the open");
        let texts = [sealed.mint(&claims).unwrap(), open.mint(&claims).unwrap()];
        let see = |tokens: &Tokens, text: &str| tokens.verify_anew(black_box(text), app.now()).unwrap();
        let name = format!("first sight with {letters} letters of data, sealed");
        Compared::calls(|| see(&sealed, &texts[0]), || see(&open, &texts[1])).noted(&name, "in the open");
    }
}

/// A permission that was granted directly, one of a group, and one that is nobody's.
fn permissions(session: &Session) {
    for (name, permission, expected) in [
        ("a permission that is granted directly", "polls.direct_0007", true),
        ("… through a group of 500", "polls.grant_0499", true),
        ("… that is lacking", "polls.nobody_has_it", false),
    ] {
        assert_eq!(session.has_permission(permission), expected);
        note(name, &time(call(|| session.has_permission(black_box(permission)))), "", "");
    }
}

/// A token that was seen before, with nothing and with much revoked.
fn known_tokens(app: &App, sessions: &[Session]) {
    let count = support::option("--revocations", REVOCATIONS);
    let tokens: Vec<&str> = sessions.iter().map(|session| session.token().unwrap()).collect();
    let authenticate = |token| session::authenticate(app, Some(token)).now_or_never().unwrap().unwrap();
    let figures = || {
        let mut turns = tokens.iter().cycle();
        (call(|| authenticate(black_box(tokens[0]))), call(|| authenticate(turns.next().unwrap())))
    };
    let none = figures();
    let until = app.now() + TimeDelta::days(14);
    for _ in 0..count {
        app.revocations().learn(&Revocation::Session { id: SessionId::random(), until });
    }
    let all = figures();
    let ratio = |all: f64, none: f64| format!("{:.3}", all / none);
    let beside = |none: f64| format!("none: {}", time(none));
    note(&format!("a known token, {count} revocations"), &time(all.0), &beside(none.0), &ratio(all.0, none.0));
    note(&format!("… {WORKING_SET} tokens in turn"), &time(all.1), &beside(none.1), &ratio(all.1, none.1));
}
