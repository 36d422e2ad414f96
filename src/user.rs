//! A user, and the rules for names and addresses.
//!
//! Pure. The rules are Django's (`django.contrib.auth`), with one key under which a name is unique: look-alikes
//! by width or case of an existing name are refused.

use std::collections::BTreeSet;

use caseless::default_case_fold_str;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization as _;

use crate::claims::{GroupId, UserId};
use crate::error::Fault;
use crate::rights::Permission;

/// A user's record, as the store keeps it.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, named as in Django")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Never given to anybody else.
    pub id: UserId,
    /// Counts the changes of this record, log-ins apart.
    pub version: u64,
    /// The name that a log-in takes.
    pub username: Username,
    /// The encoded password hash; starts with `!` when no password can match.
    pub password: String,
    /// Given name; at most 150 characters.
    pub first_name: String,
    /// Family name; at most 150 characters.
    pub last_name: String,
    /// Address, or empty; at most 254 characters.
    pub email: String,
    /// Whether the user has shown that mail to this address arrives.
    #[serde(default)]
    pub email_verified: bool,
    /// Whether the user may log in.
    pub is_active: bool,
    /// Whether administration is open to the user; grants nothing by itself.
    pub is_staff: bool,
    /// Whether the user has every permission.
    pub is_superuser: bool,
    /// Groups that the user is in.
    pub groups: BTreeSet<GroupId>,
    /// Permissions granted directly.
    pub permissions: BTreeSet<Permission>,
    /// A token of an older generation is dead.
    pub generation: u64,
    /// A token of an older rights version is stale.
    pub rights_version: u64,
    /// The latest log-in.
    pub last_login: Option<DateTime<Utc>>,
    /// When the account was made.
    pub date_joined: DateTime<Utc>,
}

impl User {
    /// Whether there is a password that could match (Django's `has_usable_password`).
    #[must_use]
    pub fn has_usable_password(&self) -> bool {
        !self.password.is_empty() && !self.password.starts_with(UNUSABLE_PASSWORD)
    }

    /// Whether the name, the address or a person name contains the text, which is in lower case.
    #[must_use]
    pub fn mentions(&self, text: &str) -> bool {
        let fields = [self.username.as_str(), &self.email, &self.first_name, &self.last_name];
        fields.iter().any(|field| field.to_lowercase().contains(text))
    }
}

/// The encoded password that no password matches (Django's unusable password).
pub const UNUSABLE_PASSWORD: &str = "!";

/// A user's name: NFKC, 1 to 150 characters, letters, digits and `@ . + - _` (Django's rule).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Username(String);

/// The longest name, in characters (Django's limit).
pub const USERNAME_MAX: usize = 150;

impl Username {
    /// The name that `text` gives after NFKC.
    ///
    /// # Errors
    /// A fault of `username` when the text breaks the rule. The length is checked before anything else is
    /// done with the text.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let fault =
            || Fault::new("username", "username", "a name has 1 to 150 characters: letters, digits and @ . + - _");
        // Normalising costs; four bytes a character is the most that a name of the right length takes.
        if text.len() > USERNAME_MAX * 4 {
            return Err(fault());
        }
        let name: String = text.nfkc().collect();
        // The fillers of Hangul are letters that nobody sees: with one, two names would look the same.
        let invisible = |c: char| matches!(c, '\u{115f}' | '\u{1160}');
        let allowed = |c: char| (c.is_alphanumeric() && !invisible(c)) || "@.+-_".contains(c);
        if name.is_empty() || name.chars().count() > USERNAME_MAX || !name.chars().all(allowed) {
            return Err(fault());
        }
        Ok(Self(name))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key under which the name is unique: without regard to case and width.
    #[must_use]
    pub fn key(&self) -> String {
        // Folding can leave a text that is no longer normalised (Unicode, section 3.13, D145).
        default_case_fold_str(&self.0).nfkc().collect()
    }
}

/// An address as it is stored: trimmed, the part after the last `@` in lower case (Django's
/// `normalize_email`). Empty is allowed.
///
/// # Errors
/// A fault of `email` when it is longer than 254 characters, has no `@` with text on both sides, holds white space or a
/// control character, or names its domain in a form that mail servers take for another one's (UTS #46).
pub fn email(text: &str) -> Result<String, Fault> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(String::new());
    }
    let fault = || {
        Fault::new(
            "email",
            "email",
            "an address is name@domain, of at most 254 characters, without spaces; leave it out if there is none",
        )
    };
    let (name, domain) = text.rsplit_once('@').ok_or_else(fault)?;
    let lower = domain.to_lowercase();
    let one_form = domain.is_ascii() || matches!(idna::domain_to_unicode(&lower), (form, Ok(())) if form == lower);
    let odd = |c: char| c.is_control() || c.is_whitespace() || "<>,;:\"()[]\\".contains(c);
    if name.is_empty() || domain.is_empty() || text.chars().count() > 254 || text.chars().any(odd) || !one_form {
        return Err(fault());
    }
    Ok(format!("{name}@{lower}"))
}

/// The key under which an address is found: without regard to case and width, in both of its parts. Two addresses of
/// one key are meant alike by people, and may still be two mailboxes: mail goes to the stored one (CVE-2019-19844).
#[must_use]
pub fn address_key(address: &str) -> String {
    default_case_fold_str(&address.nfkc().collect::<String>()).nfkc().collect()
}

/// A given or family name as it is stored: trimmed.
///
/// # Errors
/// A fault of `field` when it is longer than 150 characters or holds a control character.
pub fn person_name(field: &str, text: &str) -> Result<String, Fault> {
    let text = text.trim();
    if text.chars().count() > 150 || text.chars().any(char::is_control) {
        return Err(Fault::new(field, "person_name", "a name has at most 150 characters, without line breaks"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Username, address_key, email};

    #[test]
    fn names_are_normalised_and_unique_without_case_and_width() {
        let key = |text: &str| Username::parse(text).map(|n| n.key()).ok();
        assert_eq!(Username::parse("\u{ff22}\u{ff2f}\u{ff22}").map(|n| n.as_str().to_owned()), Ok("BOB".into()));
        assert_eq!(key("BOB"), key("bob"));
        assert_eq!(key("\u{2126}"), key("\u{3a9}"));
        assert_eq!(key("stra\u{df}e"), key("STRASSE"));
        for bad in ["", "a b", "a\n", "a\u{a0}b", "a\u{200b}", "a\u{2013}b", "o'neil", "a\0", "a\u{3164}", "a\u{ffa0}b"]
        {
            assert!(Username::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Username::parse(&"a".repeat(151)).is_err());
        assert!(Username::parse(&"a".repeat(150)).is_ok());
    }

    #[test]
    fn an_address_is_found_without_case_and_width_and_no_look_alike_finds_it() {
        let same = |a: &str, b: &str| address_key(a) == address_key(b);
        assert!(same("Mike@Example.org", "mike@example.org"));
        assert!(same("stra\u{df}e@example.org", "STRASSE@example.org"));
        assert!(same("\u{ff4d}ike@example.org", "mike@example.org"));
        assert!(!same("m\u{131}ke@example.org", "mike@example.org"), "a dotless i");
        assert!(!same("M\u{130}KE@example.org", "mike@example.org"), "a dotted capital I");
        assert!(!same("mike@ex\u{430}mple.org", "mike@example.org"), "a Cyrillic a");
    }

    #[test]
    fn addresses_keep_the_case_of_the_name_only() {
        assert_eq!(email(" A@B@Ex.COM "), Ok("A@B@ex.com".into()));
        assert_eq!(email("  "), Ok(String::new()));
        assert_eq!(email("a@B\u{dc}cher.example"), Ok("a@b\u{fc}cher.example".into()));
        // Full width, a soft hyphen, an ideographic full stop: all of them the domain b.example to a mail server.
        for bad in ["a@\u{ff42}.example", "a@b\u{ad}.example", "a@b\u{200b}.example", "a@b\u{3002}example"] {
            assert!(email(bad).is_err(), "{bad:?}");
        }
        for bad in ["nobody", "@x", "x@", "a@b\r\nBcc: c@d", "a b@c"] {
            assert!(email(bad).is_err(), "{bad:?}");
        }
    }
}
