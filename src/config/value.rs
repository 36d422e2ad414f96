//! The texts of flags as values: numbers, times, sizes, choices, places, origins, files.
//!
//! Which flags there are, and which go together, `config.rs` and `mail.rs` know, who call it.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use chrono::TimeDelta;

use super::{BadConfig, bad};
use crate::claims::LIFE_MAX;

/// Seconds for which what was heard from a shared store may be relied on at the most.
const STALENESS_MAX: u32 = 600;

pub(super) fn number<T>(flag: &str, text: &str, range: RangeInclusive<T>) -> Result<T, BadConfig>
where
    T: FromStr + PartialOrd + fmt::Display,
{
    let mend = || format!("give a whole number from {} to {}", range.start(), range.end());
    match text.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        Ok(_) => Err(bad(flag, "too small or too large", mend())),
        Err(_) => Err(bad(flag, "not a number", mend())),
    }
}

/// A size of memory in kibibytes.
pub(super) fn kibibytes(flag: &str, text: &str, range: RangeInclusive<u32>) -> Result<u32, BadConfig> {
    let mend = || {
        let mebibytes = |size: &u32| size / 1024;
        format!("give a size from {}MiB to {}MiB", mebibytes(range.start()), mebibytes(range.end()))
    };
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "k" | "kib" => 1,
        "m" | "mib" => 1024,
        "g" | "gib" => 1024 * 1024,
        _ => return Err(bad(flag, "not a size", mend())),
    };
    let size = digits.parse::<u32>().ok().and_then(|number| number.checked_mul(factor));
    match size {
        Some(size) if range.contains(&size) => Ok(size),
        Some(_) => Err(bad(flag, "too small or too large", mend())),
        None => Err(bad(flag, "not a size", mend())),
    }
}

pub(super) fn place(flag: &str, text: &str) -> Result<(), BadConfig> {
    let (host, port) = text.rsplit_once(':').unwrap_or_default();
    if host.is_empty() || port.parse::<u16>().is_err() {
        return Err(bad(flag, "not a host and a port", "give both, as in localhost:8000"));
    }
    Ok(())
}

/// A time that may be longer than any session lives.
pub(super) fn long_time(flag: &str, text: &str) -> Result<TimeDelta, BadConfig> {
    let mend = "give one from 1h to 100y, such as 90d";
    let time = humantime::parse_duration(text).map_err(|_| bad(flag, "not a time", mend))?;
    let fine = TimeDelta::from_std(time).ok();
    let fine = fine.filter(|time| (TimeDelta::hours(1)..=TimeDelta::days(36_525)).contains(time));
    fine.ok_or_else(|| bad(flag, "too short or too long", mend))
}

/// The place of the text among the names.
pub(super) fn choose(flag: &str, text: &str, names: &[&str]) -> Result<usize, BadConfig> {
    let known = names.iter().position(|name| *name == text);
    known.ok_or_else(|| bad(flag, "no such choice", format!("give one of: {}", names.join(", "))))
}

/// With a shared store there are other nodes, which have to get a key first.
pub(super) fn key_lead(text: Option<&str>, is_shared: bool) -> Result<TimeDelta, BadConfig> {
    let text = text.unwrap_or(if is_shared { "1m" } else { "0s" });
    Ok(TimeDelta::seconds(time("key-lead", text, 0)?.into()))
}

pub(super) fn staleness(text: &str) -> Result<Duration, BadConfig> {
    let seconds = time("max-staleness", text, 1)?;
    if seconds > STALENESS_MAX {
        return Err(bad("max-staleness", "longer than an ended session may live on", "give a time from 1s to 10m"));
    }
    Ok(Duration::from_secs(seconds.into()))
}

pub(super) fn time(flag: &str, text: &str, least: u64) -> Result<u32, BadConfig> {
    let seconds = text.parse().map(Duration::from_secs).or_else(|_| humantime::parse_duration(text));
    let seconds = seconds.map_err(|_| bad(flag, "not a time", "give one such as 90s, 30m, 1h or 14d"))?.as_secs();
    match u32::try_from(seconds) {
        Ok(fine) if (least..=u64::from(LIFE_MAX)).contains(&seconds) => Ok(fine),
        _ => Err(bad(flag, "too short or too long", format!("give a time from {least} seconds to 400 days"))),
    }
}

/// A page on this host or on one of the origins.
pub(super) fn login_page(text: &str, origins: &[String]) -> Result<String, BadConfig> {
    let path = origins.iter().find_map(|known| text.strip_prefix(known.as_str())).unwrap_or(text);
    let plain = |c: char| c.is_ascii_graphic() && !"\\\"<>#".contains(c);
    if path.starts_with('/') && !path.starts_with("//") && path.chars().all(plain) {
        return Ok(text.to_owned());
    }
    Err(bad("login-url", "not a page of this host", "give a path such as /login, or a URL of one of the --origin"))
}

/// An origin as browsers send it (RFC 6454, section 6.1).
pub(super) fn origin(text: &str) -> Result<String, BadConfig> {
    let refuse = || bad("origin", "not an origin", "give scheme, host and port only, as in https://example.org");
    let (scheme, rest) = text.split_once("://").ok_or_else(refuse)?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let fine = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    if !["http", "https"].contains(&scheme) || rest.is_empty() || !rest.chars().all(fine) {
        return Err(refuse());
    }
    let rest = rest.to_ascii_lowercase();
    // Browsers leave out the port that goes without saying.
    let usual = if scheme == "https" { ":443" } else { ":80" };
    Ok(format!("{scheme}://{}", rest.strip_suffix(usual).unwrap_or(&rest)))
}

pub(super) fn folder(flag: &str, path: &Path) -> Result<(), BadConfig> {
    if path.exists() && !path.is_dir() {
        return Err(bad(flag, format!("{} is not a folder", path.display()), "name a folder, which may be missing"));
    }
    Ok(())
}

pub(super) fn read(flag: &str, path: &Path) -> Result<Vec<u8>, BadConfig> {
    std::fs::read(path)
        .map_err(|e| bad(flag, format!("{} cannot be read: {e}", path.display()), "name a file that can"))
}

#[cfg(test)]
mod tests {
    use super::origin;

    #[test]
    fn origins_are_spelled_as_browsers_do() {
        assert_eq!(origin("https://Example.org:443/"), Ok("https://example.org".into()));
        assert_eq!(origin("http://localhost:8000"), Ok("http://localhost:8000".into()));
        assert_eq!(origin("http://[::1]:8000"), Ok("http://[::1]:8000".into()));
        for wrong in ["", "example.org", "ftp://x", "https://", "https://a/b", "https://a@b", "https://*.x", "null"] {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
    }
}
