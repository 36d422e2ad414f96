//! How records lie in the embedded store: one ordered space of keys, told apart by their first bytes.
//!
//! This layout is a promise to every store already on somebody's disk: a change of it is a new [`FORMAT`].
//!
//! | begins with | is | begins with | is |
//! | --- | --- | --- | --- |
//! | `u/` | a user | `s/` | an open session |
//! | `n/` | a name's key → the user | `r/` | a revocation |
//! | `g/`, `h/` | a group; its name → the group | `e/` | when a record is over → its key |
//! | `p/` | a permission | `q/` | a question asked by mail |
//! | `x/g/`, `x/p/` | a group's member; a permission's holder | `c/` | a counter of attempts |
//! | `x/s/` | an active superuser | `a/` | an event of the audit log |
//! | `x/j/`, `x/l/`, `x/e/` | a user by joining, log-in, address | `t/` | an API token |
//! | `m/` | the store itself | `x/d/` | a user's open session by its log-in |

use std::ops::Range;

use chrono::{DateTime, Utc};

use crate::audit::Event;
use crate::claims::{ChallengeKind, GroupId, SessionId, UserId, instant, instant_of_millis};
use crate::rights::Permission;
use crate::store::{OpenSession, Revocation, StoreError, Tally};
use crate::user::{User, address_key};

/// The version of this layout.
pub(super) const FORMAT: &[u8] = b"signet 3";

/// The versions before, which `upgrade.rs` brings up. The first had no users by address, and none had open sessions by
/// their log-in.
pub(super) const FORMAT_1: &[u8] = b"signet 1";
pub(super) const FORMAT_2: &[u8] = b"signet 2";

/// Whether a store of this version can be read.
pub(super) fn is_known(format: &[u8]) -> bool {
    [FORMAT_1, FORMAT_2, FORMAT].contains(&format)
}

/// The value of a superuser's key when administration is open to them.
pub(super) const STAFF: &[u8] = b"staff";

/// Builds keys.
pub(super) struct Key;

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

impl Key {
    pub(super) fn format() -> Vec<u8> {
        b"m/format".to_vec()
    }
    pub(super) fn longest_life() -> Vec<u8> {
        b"m/life".to_vec()
    }
    /// The latest end of a revocation that was dropped in this epoch.
    pub(super) fn forgotten() -> Vec<u8> {
        b"m/forgotten".to_vec()
    }
    /// The number of the newest batch.
    pub(super) fn applied() -> Vec<u8> {
        b"m/applied".to_vec()
    }
    pub(super) fn user(id: UserId) -> Vec<u8> {
        join(&[b"u/", id.bytes()])
    }
    /// The name's key → the user's id.
    pub(super) fn user_name(key: &str) -> Vec<u8> {
        join(&[b"n/", key.as_bytes()])
    }
    /// Present for every active superuser; [`STAFF`] when administration is open to them.
    pub(super) fn superusers() -> Vec<u8> {
        b"x/s/".to_vec()
    }
    pub(super) fn superuser(id: UserId) -> Vec<u8> {
        join(&[&Self::superusers(), id.bytes()])
    }
    /// Users in the order of joining; who never logged in is at zero in the other one.
    pub(super) fn joined() -> Vec<u8> {
        b"x/j/".to_vec()
    }
    pub(super) fn logged_in() -> Vec<u8> {
        b"x/l/".to_vec()
    }
    pub(super) fn groups() -> Vec<u8> {
        b"g/".to_vec()
    }
    pub(super) fn group(id: GroupId) -> Vec<u8> {
        join(&[&Self::groups(), id.bytes()])
    }
    /// The name → the group's id.
    pub(super) fn group_name(name: &str) -> Vec<u8> {
        join(&[b"h/", name.as_bytes()])
    }
    pub(super) fn members(group: GroupId) -> Vec<u8> {
        join(&[b"x/g/", group.bytes()])
    }
    pub(super) fn member(group: GroupId, user: UserId) -> Vec<u8> {
        join(&[&Self::members(group), user.bytes()])
    }
    pub(super) fn permission(name: &str) -> Vec<u8> {
        join(&[b"p/", name.as_bytes()])
    }
    pub(super) fn holders(permission: &Permission) -> Vec<u8> {
        // The zero byte ends the name, so that `a.b` does not find the holders of `a.bc`.
        join(&[b"x/p/", permission.as_str().as_bytes(), &[0]])
    }
    pub(super) fn holder(permission: &Permission, user: UserId) -> Vec<u8> {
        join(&[&Self::holders(permission), user.bytes()])
    }
    /// The zero byte ends the address. What follows it has one length, so that an address which holds one itself, as
    /// only another program can have written it, is told apart.
    pub(super) fn at_address(key: &str) -> Vec<u8> {
        join(&[b"x/e/", key.as_bytes(), &[0]])
    }
    /// Present for every user with an address. Sorted by who has proven it, then by who was there first.
    pub(super) fn user_at_address(user: &User) -> Option<Vec<u8>> {
        let rank = [u8::from(!user.email_verified)];
        let joined = user.date_joined.timestamp().max(0).to_be_bytes();
        let prefix = Self::at_address(&address_key(&user.email));
        (!user.email.is_empty()).then(|| join(&[&prefix, &rank, &joined, user.id.bytes()]))
    }
    /// The user in what follows [`Key::at_address`].
    pub(super) fn parse_at_address(rest: &[u8]) -> Option<UserId> {
        let id: &[u8; 25] = rest.try_into().ok()?;
        id.last_chunk().copied().map(UserId::from_bytes)
    }
    pub(super) fn challenges(user: UserId) -> [Vec<u8>; 2] {
        [ChallengeKind::Reset, ChallengeKind::Verification].map(|kind| Self::challenge(user, kind))
    }
    pub(super) fn challenge(user: UserId, kind: ChallengeKind) -> Vec<u8> {
        let kind: &[u8] = match kind {
            ChallengeKind::Reset => b"/reset",
            ChallengeKind::Verification => b"/verify",
        };
        join(&[b"q/", user.bytes(), kind])
    }
    pub(super) fn users() -> Vec<u8> {
        b"u/".to_vec()
    }
    pub(super) fn all_challenges() -> Vec<u8> {
        b"q/".to_vec()
    }
    pub(super) fn all_sessions() -> Vec<u8> {
        b"s/".to_vec()
    }
    pub(super) fn sessions(user: UserId) -> Vec<u8> {
        join(&[&Self::all_sessions(), user.bytes()])
    }
    pub(super) fn session(user: UserId, id: SessionId) -> Vec<u8> {
        join(&[&Self::sessions(user), id.bytes()])
    }
    /// Bytes of what follows [`Key::sessions_by_time`].
    pub(super) const TIME_AND_ID: usize = 24;

    pub(super) fn sessions_by_time(user: UserId) -> Vec<u8> {
        join(&[b"x/d/", user.bytes()])
    }
    /// In the order of the log-ins, and by id where they were at once.
    pub(super) fn session_by_time(session: &OpenSession) -> Vec<u8> {
        let created = session.created.timestamp_micros().max(0).to_be_bytes();
        join(&[&Self::sessions_by_time(session.user), &created, session.id.bytes()])
    }
    pub(super) fn all_tokens() -> Vec<u8> {
        b"t/".to_vec()
    }
    pub(super) fn tokens(owner: UserId) -> Vec<u8> {
        join(&[&Self::all_tokens(), owner.bytes()])
    }
    pub(super) fn token(owner: UserId, id: SessionId) -> Vec<u8> {
        join(&[&Self::tokens(owner), id.bytes()])
    }
    /// The instant at which a record is over → the record's key.
    pub(super) fn over() -> Vec<u8> {
        b"e/".to_vec()
    }
    pub(super) fn over_at(until: DateTime<Utc>, record: &[u8]) -> Vec<u8> {
        join(&[&Self::over(), &until.timestamp().max(0).to_be_bytes(), record])
    }
    /// When and what a key under [`Key::over`] says.
    pub(super) fn parse_over(key: &[u8]) -> Option<(i64, &[u8])> {
        let (until, record) = key.strip_prefix(b"e/")?.split_first_chunk::<8>()?;
        Some((i64::from_be_bytes(*until), record))
    }
    pub(super) fn events() -> Vec<u8> {
        b"a/".to_vec()
    }
    /// In the order of time.
    pub(super) fn event(event: &Event) -> Vec<u8> {
        join(&[&Self::events_from(event.at), event.id.bytes()])
    }
    /// What stands before the keys of all events of this instant.
    pub(super) fn events_from(at: DateTime<Utc>) -> Vec<u8> {
        join(&[&Self::events(), &at.timestamp_micros().max(0).to_be_bytes()])
    }
    pub(super) fn tallies() -> Vec<u8> {
        b"c/".to_vec()
    }
    pub(super) fn tally(key: [u8; 16]) -> Vec<u8> {
        join(&[&Self::tallies(), &key])
    }
    pub(super) fn revocations() -> Vec<u8> {
        b"r/".to_vec()
    }
    /// The same in so many parts of one size, up to 256, as sessions are nearly all of them and their ids are random.
    pub(super) fn revocations_in_parts(parts: usize) -> impl Iterator<Item = Range<Vec<u8>>> {
        let parts = parts.clamp(1, 256);
        let begin = move |part: usize| match u8::try_from(part * 256 / parts) {
            Ok(0) => Self::revocations(),
            Ok(first) => join(&[b"r/s/", &[first]]),
            // What follows the slash.
            Err(_) => b"r0".to_vec(),
        };
        (0..parts).map(move |part| begin(part)..begin(part + 1))
    }
    pub(super) fn revocation(of: &Revocation) -> Vec<u8> {
        match of {
            Revocation::Session { id, .. } => join(&[b"r/s/", id.bytes()]),
            Revocation::User { id, .. } => join(&[b"r/u/", id.bytes()]),
            Revocation::Epoch(_) => b"r/e/".to_vec(),
        }
    }
}

/// Bytes as text that a cursor can carry.
pub(super) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes from such text.
pub(super) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2));
    digits.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
}

/// A record as JSON.
pub(super) fn to_json<T: serde::Serialize>(record: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(record).map_err(|e| StoreError::Failed(format!("a record cannot be written: {e}")))
}

/// A record from JSON.
pub(super) fn from_json<T: serde::de::DeserializeOwned>(record: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(record).map_err(|e| StoreError::Damaged(format!("a record is damaged: {e}")))
}

/// A counter's value: its end in milliseconds.
pub(super) fn tally_value(of: &Tally) -> Vec<u8> {
    of.until.timestamp_millis().to_be_bytes().to_vec()
}

/// The counter under a key.
pub(super) fn tally(key: &[u8], value: &[u8]) -> Result<Tally, StoreError> {
    let found = key.strip_prefix(b"c/").and_then(|key| key.try_into().ok()).zip(value.try_into().ok());
    let (key, until) = found.ok_or_else(|| StoreError::Damaged("a counter is damaged".to_owned()))?;
    Ok(Tally { key, until: instant_of_millis(i64::from_be_bytes(until)) })
}

/// A revocation's value: big-endian numbers, its key says the rest.
pub(super) fn revocation_value(of: &Revocation) -> Vec<u8> {
    let seconds = |until: &DateTime<Utc>| until.timestamp().to_be_bytes();
    match of {
        Revocation::Session { until, .. } => seconds(until).to_vec(),
        Revocation::User { generation, rights_version, until, .. } => {
            join(&[&generation.to_be_bytes(), &rights_version.to_be_bytes(), &seconds(until)])
        }
        Revocation::Epoch(epoch) => epoch.to_be_bytes().to_vec(),
    }
}

/// The revocation under a key.
pub(super) fn revocation(key: &[u8], value: &[u8]) -> Result<Revocation, StoreError> {
    parse_revocation(key, value).ok_or_else(|| StoreError::Damaged("a revocation is damaged".to_owned()))
}

fn parse_revocation(key: &[u8], value: &[u8]) -> Option<Revocation> {
    let (kind, id) = key.split_at_checked(4)?;
    let id = || <[u8; 16]>::try_from(id).ok();
    let mut words = value.chunks_exact(8).map(|w| w.try_into().unwrap_or_default());
    let mut word = || words.next();
    let found = match kind {
        b"r/s/" => {
            Revocation::Session { id: SessionId::from_bytes(id()?), until: instant(i64::from_be_bytes(word()?)) }
        }
        b"r/u/" => Revocation::User {
            id: UserId::from_bytes(id()?),
            generation: u64::from_be_bytes(word()?),
            rights_version: u64::from_be_bytes(word()?),
            until: instant(i64::from_be_bytes(word()?)),
        },
        b"r/e/" => Revocation::Epoch(u64::from_be_bytes(word()?)),
        _ => return None,
    };
    (word().is_none() && value.len().is_multiple_of(8)).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::Key;
    use crate::claims::{ChallengeKind, GroupId, UserId};

    #[test]
    fn every_revocation_is_in_one_part() {
        let users = [[0; 16], [255; 16]].map(|id| [b"r/u/".as_slice(), &id].concat());
        let sessions = (0..=255).map(|first| [b"r/s/".as_slice(), &[first; 16]].concat());
        let keys: Vec<_> = sessions.chain(users).chain([b"r/e/".to_vec()]).collect();
        for parts in [0, 1, 2, 3, 64, 256, 1000] {
            for key in &keys {
                assert_eq!(Key::revocations_in_parts(parts).filter(|part| part.contains(key)).count(), 1, "{parts}");
            }
            assert!(Key::revocations_in_parts(parts).all(|part| !part.contains(&b"s/".to_vec())));
        }
    }

    #[test]
    fn every_kind_of_record_has_a_space_of_its_own() {
        let (user, group) = (UserId::from_bytes([7; 16]), GroupId::from_bytes([7; 16]));
        let spaces = [
            Key::format(),
            Key::users(),
            Key::user_name(""),
            Key::superusers(),
            Key::joined(),
            Key::logged_in(),
            Key::at_address("")[..4].to_vec(),
            Key::groups(),
            Key::group_name(""),
            Key::members(group)[..4].to_vec(),
            Key::permission(""),
            b"x/p/".to_vec(),
            Key::challenge(user, ChallengeKind::Reset)[..2].to_vec(),
            Key::all_sessions(),
            Key::sessions_by_time(user)[..4].to_vec(),
            Key::all_tokens(),
            Key::over(),
            Key::events(),
            Key::tallies(),
            Key::revocations(),
        ];
        for (at, one) in spaces.iter().enumerate() {
            for other in &spaces[at + 1..] {
                let (one, other) = (String::from_utf8_lossy(one), String::from_utf8_lossy(other));
                assert!(!one.starts_with(&*other) && !other.starts_with(&*one), "{one} and {other}");
            }
        }
    }
}
