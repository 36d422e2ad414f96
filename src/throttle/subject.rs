//! What is counted: the limit of each, and the name of its counter.
//!
//! Owns the limits. How far a counter has come is `throttle.rs`'s.

use std::net::IpAddr;

use aws_lc_rs::digest::{SHA256, digest};

use crate::claims::{DeviceId, UserId};
use crate::user::address_key;

/// What is counted, and on whose account. What says nothing that could tell callers apart is not counted.
///
/// An address is an IP address in text; of IPv6 its first 64 bits count, which is what one customer is given
/// (RFC 6177). A text that is no address is not counted.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'a> {
    /// Log-in to the account of this name, whether there is one or not, from unknown devices anywhere.
    LogInTo(&'a str),
    /// The same, from one address.
    LogInToFrom(&'a str, &'a str),
    /// Log-in to any account from one address, from unknown devices.
    LogInFrom(&'a str),
    /// Log-in from a device that its user has logged in from before.
    LogInOn(DeviceId),
    /// Registering from one address.
    RegisterFrom(&'a str),
    /// Asking for a password's reset from one address.
    ResetFrom(&'a str),
    /// Asking for a password's reset of one mailbox, whether it is anybody's or not; case and width do not count.
    ResetOf(&'a str),
    /// Asking whether a mailbox is somebody's; case and width do not count.
    VerificationOf(&'a str),
    /// Answering, from one address, with a token that is none.
    AnswerFrom(&'a str),
    /// Asking what is wrong with a new password, from one address.
    CheckFrom(&'a str),
    /// Naming the present password in order to change it.
    OldPasswordOf(UserId),
    /// Ending an anonymous session from one address.
    EndFrom(&'a str),
}

/// So many at once, then one in every so many seconds. Nobody ever waits for longer than `every`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    pub(super) at_once: i64,
    pub(super) every: i64,
}

impl Subject<'_> {
    /// The limits, all in one place.
    #[expect(clippy::match_same_arms, reason = "each limit has a reason of its own")]
    pub(super) const fn limit(&self) -> Limit {
        let (at_once, every) = match self {
            // Some 2,900 guesses a day however many machines take part; its owner, on a device not yet known, waits
            // half a minute at the most.
            Self::LogInTo(_) => (10, 30),
            // Half of the account's: guesses from one address alone never use up what the owner needs elsewhere.
            Self::LogInToFrom(..) => (5, 60),
            // An office or a school behind one address mistypes often; a list of names and passwords is longer.
            Self::LogInFrom(_) => (100, 2),
            // Only its owner has it, or whoever stole it: as strict as the account, and apart from it.
            Self::LogInOn(_) => (10, 30),
            // A class that registers together. Each one costs a hash, and a refusal tells that a name is taken.
            Self::RegisterFrom(_) => (20, 30),
            // Each one may send a mail.
            Self::ResetFrom(_) => (5, 60),
            // Nobody's mailbox is to be filled.
            Self::ResetOf(_) => (3, 600),
            // The same, apart from it: anybody can make an account with somebody's address, and that shall not keep
            // the reset from its owner.
            Self::VerificationOf(_) => (3, 600),
            // Nobody guesses one. Each one that is refused leaves an event, which is kept for long.
            Self::AnswerFrom(_) => (20, 30),
            // A form asks as somebody types.
            Self::CheckFrom(_) => (60, 1),
            // Whoever found a session open is not to find out the password.
            Self::OldPasswordOf(_) => (10, 30),
            // Anybody can begin one for nothing, and each end is kept until the session would be over. A browser does
            // so once in a while, and a hundred behind one address at once.
            Self::EndFrom(_) => (100, 10),
        };
        Limit { at_once, every: every * 1000 }
    }

    /// What the limit is called where refusals are counted.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::LogInTo(_) => "login_to",
            Self::LogInToFrom(..) => "login_to_from",
            Self::LogInFrom(_) => "login_from",
            Self::LogInOn(_) => "login_on",
            Self::RegisterFrom(_) => "register_from",
            Self::ResetFrom(_) => "reset_from",
            Self::ResetOf(_) => "reset_of",
            Self::VerificationOf(_) => "verification_of",
            Self::AnswerFrom(_) => "answer_from",
            Self::CheckFrom(_) => "check_from",
            Self::OldPasswordOf(_) => "old_password_of",
            Self::EndFrom(_) => "end_from",
        }
    }

    /// The counter's name; `None` when there is nothing to tell callers apart by.
    pub(super) fn key(&self) -> Option<Key> {
        match *self {
            Self::LogInTo(name) => Some(key(b"log in to", &[name.as_bytes()])),
            Self::LogInToFrom(name, address) => Some(key(b"log in to from", &[name.as_bytes(), &network(address)?])),
            Self::LogInFrom(address) => Some(key(b"log in from", &[&network(address)?])),
            Self::LogInOn(device) => Some(key(b"log in on", &[device.bytes()])),
            Self::RegisterFrom(address) => Some(key(b"register from", &[&network(address)?])),
            Self::ResetFrom(address) => Some(key(b"reset from", &[&network(address)?])),
            Self::ResetOf(mailbox) => Some(key(b"reset of", &[address_key(mailbox).as_bytes()])),
            Self::VerificationOf(mailbox) => Some(key(b"verification of", &[address_key(mailbox).as_bytes()])),
            Self::AnswerFrom(address) => Some(key(b"answer from", &[&network(address)?])),
            Self::CheckFrom(address) => Some(key(b"check from", &[&network(address)?])),
            Self::OldPasswordOf(user) => Some(key(b"old password of", &[user.bytes()])),
            Self::EndFrom(address) => Some(key(b"end from", &[&network(address)?])),
        }
    }
}

/// Names a counter.
pub(super) type Key = [u8; 16];

/// The first half of the SHA-256 of what is counted, each part with its length in front.
fn key(what: &[u8], of: &[&[u8]]) -> Key {
    let mut text = Vec::new();
    for part in std::iter::once(&what).chain(of) {
        text.extend_from_slice(&(part.len() as u64).to_be_bytes());
        text.extend_from_slice(part);
    }
    let digest = digest(&SHA256, &text);
    digest.as_ref().first_chunk().copied().unwrap_or_default()
}

/// What counts of an address.
fn network(address: &str) -> Option<Vec<u8>> {
    match address.parse::<IpAddr>().ok()?.to_canonical() {
        IpAddr::V4(address) => Some(address.octets().to_vec()),
        IpAddr::V6(address) => Some(address.octets()[..8].to_vec()),
    }
}
