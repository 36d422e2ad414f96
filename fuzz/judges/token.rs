//! The verifier: nothing but what the keyring signed, of that kind, within its time; nothing of it changed.
//!
//! The first byte of an input says what the rest is: a token, changes to a good token, a payload that the keyring
//! signs, or one that somebody else signs under the same names of keys.

use std::sync::LazyLock;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use signet::claims::{ChallengeKind, Claims, DeviceId, LIFE_MAX, Lifetime, SessionId, TokenId, UserId};
use signet::keys::{self, Keyring, Kind};
use signet::token::Tokens;

const KINDS: [Kind; 7] =
    [Kind::Session, Kind::Cookie, Kind::Reset, Kind::Verification, Kind::Device, Kind::Api, Kind::Identity];

struct Ring {
    tokens: Tokens,
    /// Good tokens by each of the keys, and their kinds.
    good: Vec<(Kind, String)>,
    outsider: Keyring,
}

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(1_900_000_000)
}

static RING: LazyLock<Ring> = LazyLock::new(|| {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut good = Vec::new();
    for (kid, algorithm) in [("a", "hs256"), ("b", "es256"), ("c", "eddsa")] {
        keys::generate(ours.path(), algorithm, Some(kid), now()).unwrap();
        keys::generate(theirs.path(), algorithm, Some(kid), now()).unwrap();
        let tokens = Tokens::new("signet", "signet", Keyring::load(ours.path()).unwrap());
        good.extend(each_kind(&tokens));
    }
    let tokens = Tokens::new("signet", "signet", Keyring::load(ours.path()).unwrap());
    Ring { tokens, good, outsider: Keyring::load(theirs.path()).unwrap() }
});

fn each_kind(tokens: &Tokens) -> [(Kind, String); 6] {
    let mut claims = Claims::anonymous("signet", "signet", 0, now(), Lifetime { age: 3600, end: 36_000 });
    claims.sub = Some(UserId::random());
    claims.preferred_username = Some("alice".to_owned());
    claims.groups.push("editors".to_owned());
    let (user, secret) = (UserId::random(), TokenId::random());
    let life = (now().timestamp(), now().timestamp() + 3600);
    let challenge = |kind| tokens.mint_challenge(kind, user, secret, now()).unwrap();
    [
        (Kind::Session, tokens.mint(&claims).unwrap()),
        (Kind::Cookie, tokens.mint_cookie("theme", "dark", now(), 3600).unwrap()),
        (Kind::Reset, challenge(ChallengeKind::Reset)),
        (Kind::Verification, challenge(ChallengeKind::Verification)),
        (Kind::Device, tokens.mint_device(user, DeviceId::random(), now()).unwrap()),
        (Kind::Api, tokens.mint_api(SessionId::random(), &claims, ["polls.vote"], life).unwrap()),
    ]
}

/// The kinds for which a text verifies.
fn taken_for(text: &str) -> Vec<Kind> {
    let tokens = &RING.tokens;
    let session = tokens.verify_anew(text, now());
    // What is remembered is judged like what is not.
    for _ in 0..2 {
        let again = tokens.verify(text, now());
        assert_eq!(again.as_ref().map(|v| &v.claims).ok(), session.as_ref().map(|v| &v.claims).ok(), "{text}");
    }
    let challenge = |kind| tokens.verify_challenge(kind, text, now()).is_some();
    let verdicts = [
        (Kind::Session, session.is_ok()),
        (Kind::Cookie, tokens.verify_cookie("theme", text, now()).is_some()),
        (Kind::Reset, challenge(ChallengeKind::Reset)),
        (Kind::Verification, challenge(ChallengeKind::Verification)),
        (Kind::Device, tokens.verify_device(text, now()).is_some()),
        (Kind::Api, tokens.verify_api(text, now()).is_ok()),
    ];
    if session.is_err() && tokens.read(text, now()).is_some() {
        // Only the time of inactivity may be over for who logs out.
        assert!(RING.tokens.keyring().verify(Kind::Session, text).is_some(), "{text}");
    }
    verdicts.into_iter().filter(|(_, fine)| *fine).map(|(kind, _)| kind).collect()
}

/// Judges one input.
pub(crate) fn judge(input: &[u8]) {
    let Some((mode, rest)) = input.split_first() else { return };
    match mode % 4 {
        0 => {
            let text = String::from_utf8_lossy(rest);
            expect_good_or_nothing(&text);
        }
        1 => {
            let Some((which, changes)) = rest.split_first() else { return };
            let mut text = RING.good[usize::from(*which) % RING.good.len()].1.clone().into_bytes();
            for change in changes.as_chunks::<3>().0 {
                let at = usize::from(u16::from_be_bytes([change[0], change[1]]));
                match change[2] {
                    // A byte that no token has: cut here.
                    0 => text.truncate(at.max(1)),
                    byte if at < text.len() => text[at] = byte,
                    byte => text.push(byte),
                }
            }
            expect_good_or_nothing(&String::from_utf8_lossy(&text));
        }
        2 => {
            let Some((kind, payload)) = rest.split_first() else { return };
            let kind = KINDS[usize::from(*kind) % KINDS.len()];
            let text = RING.tokens.keyring().sign(kind, payload).unwrap();
            let taken = taken_for(&text);
            assert!(taken.is_empty() || taken == [kind], "{kind:?} taken for {taken:?}: {text}");
            if taken == [Kind::Session] {
                assert!(is_a_session(payload), "{}", String::from_utf8_lossy(payload));
            }
        }
        _ => {
            let Some((kind, payload)) = rest.split_first() else { return };
            let text = RING.outsider.sign(KINDS[usize::from(*kind) % KINDS.len()], payload).unwrap();
            assert_eq!(taken_for(&text), [], "somebody else's: {text}");
        }
    }
}

fn expect_good_or_nothing(text: &str) {
    let expected: Vec<Kind> = RING.good.iter().filter(|(_, good)| good == text).map(|(kind, _)| *kind).collect();
    assert_eq!(taken_for(text), expected, "{text}");
}

/// What a payload must say at least to be a session's at the present instant.
fn is_a_session(payload: &[u8]) -> bool {
    let Ok(Value::Object(said)) = serde_json::from_slice::<Value>(payload) else { return false };
    let number = |name: &str| said.get(name).and_then(Value::as_i64);
    let (Some(iat), Some(nbf), Some(exp)) = (number("iat"), number("nbf"), number("exp")) else { return false };
    let (Some(begun), Some(end)) = (number("auth_time"), number("end")) else { return false };
    let has = |name: &str| said.get(name).is_some_and(|value| !value.is_null());
    let counters = ["gen", "rev", "epoch"].iter().all(|name| said.get(*name).is_some_and(Value::is_u64));
    let at = now().timestamp();
    said["iss"] == "signet"
        && said["aud"] == "signet"
        && has("sub") == has("preferred_username")
        && counters
        && said.get("data").is_some_and(Value::is_object)
        && begun <= iat
        && iat <= at + 5
        && nbf <= at + 5
        && at < exp
        && exp <= end
        && i128::from(end) - i128::from(begun) <= i128::from(LIFE_MAX)
}
