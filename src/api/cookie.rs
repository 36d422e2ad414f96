//! Our cookies and no others: found in the raw header, set, cleared.
//!
//! Owns every byte of `Cookie` and `Set-Cookie`. A library's cookie jar is not used: one that decodes names lets
//! `__%48ost-signet` from a sibling domain pass for ours, one that reads the header as text drops it whole for
//! one foreign byte, and one that deletes by name alone writes deletions that browsers refuse.

use std::time::SystemTime;

use chrono::{DateTime, TimeDelta, Utc};
use httpdate::HttpDate;
use poem::http::{HeaderMap, HeaderValue, header};

use crate::claims::{Claims, Expiry, LIFE_MAX, instant};
use crate::error::{Error, TokenFault};

/// The session's cookie. Browsers keep the prefix's promise: secure, this host only, the whole host.
pub const SESSION: &str = "__Host-signet";

/// The cookie by which a device is known. Log-outs leave it where it is.
pub const DEVICE: &str = "__Host-signet-device";

/// What the name of a preference cookie begins with on the wire.
pub const PREFERENCE: &str = "__Host-signet.";

/// The longest name of a preference cookie, without the prefix.
const PREFERENCE_NAME_MAX: usize = 64;

const ATTRIBUTES: &str = "; Path=/; HttpOnly; Secure; SameSite=Strict";

/// The value of the one cookie of this name.
///
/// Names are compared byte for byte, values are opaque, neighbours are passed over whatever they hold (RFC 6265,
/// section 4.2.2). Several `Cookie` fields count as one, as HTTP/2 may split it.
///
/// # Errors
/// `NotAuthenticated` when there are two: one of them may be tossed by somebody else.
pub fn find<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Error> {
    let mut found = None;
    let fields = headers.get_all(header::COOKIE).into_iter();
    for pair in fields.flat_map(|field| pairs(field.as_bytes())) {
        let pair = trim(pair);
        let Some(value) = pair.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"=")) else {
            continue;
        };
        if found.is_some() {
            return Err(Error::NotAuthenticated(TokenFault::DuplicateCookie));
        }
        // A value that is no text is no token; the empty one does not verify either.
        found = Some(std::str::from_utf8(value).unwrap_or_default());
    }
    Ok(found)
}

/// What stands between the semicolons. A token is long: they are searched for a word of bytes at a time.
fn pairs(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = memchr::memchr_iter(b';', field).chain(std::iter::once(field.len()));
    ends.scan(0, |start, end| Some(&field[std::mem::replace(start, end + 1)..end]))
}

/// Without the blanks that may stand around a pair: spaces and tabs, nothing else.
fn trim(mut pair: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = pair {
        pair = rest;
    }
    pair
}

/// The line that gives a client the session's token. With a lifetime in both spellings (some clients misread
/// `Max-Age` alone), or with neither when the session ends with the browser.
pub fn set_session(token: &str, claims: &Claims, now: DateTime<Utc>) -> Result<HeaderValue, Error> {
    let life = match claims.expiry {
        Expiry::Browser => String::new(),
        _ => life(claims.remaining(now), instant(claims.exp)),
    };
    line([SESSION, "=", token, &life, ATTRIBUTES].concat())
}

/// The line that takes the session's cookie away, with the attributes that it was set with.
pub fn clear_session() -> Result<HeaderValue, Error> {
    clear(SESSION)
}

/// The line by which a device is known from now on, for as long as any cookie.
pub fn set_device(token: &str, now: DateTime<Utc>) -> Result<HeaderValue, Error> {
    let life = life(u64::from(LIFE_MAX), now + TimeDelta::seconds(i64::from(LIFE_MAX)));
    line([DEVICE, "=", token, &life, ATTRIBUTES].concat())
}

/// The line that sets a preference cookie for so many seconds.
pub fn set_preference(name: &str, token: &str, now: DateTime<Utc>, seconds: u32) -> Result<HeaderValue, Error> {
    let life = life(u64::from(seconds), now + TimeDelta::seconds(i64::from(seconds)));
    line([PREFERENCE, name, "=", token, &life, ATTRIBUTES].concat())
}

/// The line that takes a preference cookie away.
pub fn clear_preference(name: &str) -> Result<HeaderValue, Error> {
    clear(&format!("{PREFERENCE}{name}"))
}

/// Whether a preference cookie can have this name.
pub fn is_preference_name(name: &str) -> bool {
    (1..=PREFERENCE_NAME_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn clear(name: &str) -> Result<HeaderValue, Error> {
    line([name, "=", &life(0, DateTime::UNIX_EPOCH), ATTRIBUTES].concat())
}

/// The last second that a date of HTTP can tell, of 9999. The first one is that of 1970; a clock can say anything.
const DATE_MAX: i64 = 253_402_300_799;

fn life(seconds: u64, until: DateTime<Utc>) -> String {
    let until = instant(until.timestamp().clamp(0, DATE_MAX));
    format!("; Max-Age={seconds}; Expires={}", HttpDate::from(SystemTime::from(until)))
}

fn line(text: String) -> Result<HeaderValue, Error> {
    HeaderValue::try_from(text).map_err(|_| Error::Internal("a cookie with an odd character".to_owned()))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use poem::http::{HeaderMap, HeaderValue, header};

    use super::{SESSION, clear_session, find, life};

    #[test]
    fn any_clock_gives_a_date() {
        let told = |at| life(7, at).split_once("Expires=").unwrap().1.to_owned();
        assert_eq!(told(DateTime::from_timestamp_nanos(1_900_000_000_999_999_999)), "Sun, 17 Mar 2030 17:46:40 GMT");
        assert_eq!(told(DateTime::<chrono::Utc>::MIN_UTC), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(told(DateTime::<chrono::Utc>::MAX_UTC), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    fn found(fields: &[&[u8]]) -> Result<Option<String>, ()> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(header::COOKIE, HeaderValue::from_bytes(field).unwrap());
        }
        find(&headers, SESSION).map(|v| v.map(str::to_owned)).map_err(drop)
    }

    #[test]
    fn only_the_exact_name_counts() {
        type Row<'a> = (&'a [&'a [u8]], Result<Option<&'a str>, ()>);
        let table: [Row<'_>; 18] = [
            (&[], Ok(None)),
            (&[b"__Host-signet=a.b.c"], Ok(Some("a.b.c"))),
            (&[b"x=1;__Host-signet=t"], Ok(Some("t"))),
            (&[b"x=1;\t__Host-signet=t \t; y=2"], Ok(Some("t"))),
            (&[b"x=\xc3\xa9; __Host-signet=good"], Ok(Some("good"))),
            (&[b"a", b"=x", b"a=b=c;;$Version=1", b"__Host-signet=t"], Ok(Some("t"))),
            (&[b"__host-signet=t"], Ok(None)),
            (&[b"__Host-Signet=t"], Ok(None)),
            (&[b"__%48ost-signet=t"], Ok(None)),
            (&[b"%5F%5FHost-signet=t"], Ok(None)),
            (&[b"=__Host-signet=t"], Ok(None)),
            (&[b"__Host-signet2=t"], Ok(None)),
            (&[b"__Host-signet =t"], Ok(None)),
            (&[b"__Host-signet"], Ok(None)),
            (&[b"__Host-signet=\"t\""], Ok(Some("\"t\""))),
            (&[b"__Host-signet=\xff"], Ok(Some(""))),
            (&[b"__Host-signet=a; __Host-signet=b"], Err(())),
            (&[b"__Host-signet=a", b"__Host-signet=a"], Err(())),
        ];
        for (fields, expected) in table {
            assert_eq!(found(fields), expected.map(|v| v.map(str::to_owned)), "{fields:?}");
        }
    }

    #[test]
    fn a_deletion_has_all_the_attributes_of_the_cookie() {
        assert_eq!(
            clear_session().unwrap(),
            "__Host-signet=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; HttpOnly; Secure; SameSite=Strict"
        );
    }
}
