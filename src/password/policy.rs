//! What a new password has to be: Django's four validators with their codes, and a strength score on request.
//!
//! Pure. All faults are found together, but a text that is too long is looked at no further. Called wherever a
//! password is set, and by the form that asks beforehand.

use crate::error::Fault;

use super::common::is_common;
use super::{PASSWORD_BYTES_MAX, Password};

/// The least that the shortest password may have, in characters (OWASP ASVS 6.2.1).
pub const LENGTH_MIN: usize = 8;

/// The most that the shortest password may have: as many as the random ones that Signet makes.
pub const LENGTH_MAX: usize = 20;

/// From this share of like characters on, a password is too similar (Django's `max_similarity`).
const SIMILAR: f64 = 0.7;

/// A word that everybody expects in a password for this service (OWASP ASVS 6.1.2).
const SERVICE: &str = "signet";

/// Characters of a password whose strength is estimated: the time grows faster than the text.
const SCORED_CHARS: usize = 64;

/// Characters of what is known about somebody that are looked at.
const KNOWN_CHARS: usize = 254;

/// What is known about the one whose password it is; what is empty is not.
#[derive(Debug, Clone, Copy, Default)]
pub struct About<'a> {
    /// The name that a log-in takes.
    pub username: &'a str,
    /// Given name.
    pub first_name: &'a str,
    /// Family name.
    pub last_name: &'a str,
    /// Address.
    pub email: &'a str,
}

impl<'a> About<'a> {
    fn known(&self) -> [(&'static str, &'a str); 5] {
        [
            ("the user name", self.username),
            ("the first name", self.first_name),
            ("the last name", self.last_name),
            ("the e-mail address", self.email),
            ("the name of the service", SERVICE),
        ]
    }
}

/// The rules for new passwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The fewest characters.
    pub length: usize,
    /// The least strength, from 0 (not asked for) to 4.
    pub score: u8,
}

impl Default for Policy {
    /// Eight characters, and no demand on the strength.
    fn default() -> Self {
        Self { length: LENGTH_MIN, score: 0 }
    }
}

impl Policy {
    /// The password, when it keeps all the rules.
    ///
    /// # Errors
    /// A fault of `field` for each rule that it breaks.
    pub fn judge(&self, field: &str, text: &str, about: &About<'_>) -> Result<Password, Vec<Fault>> {
        let Some(password) = Password::new(text) else {
            let message = format!("a password has at most {PASSWORD_BYTES_MAX} bytes");
            return Err(vec![Fault::new(field, "password_too_long", message)]);
        };
        let faults = self.faults(field, password.reveal(), about);
        if faults.is_empty() { Ok(password) } else { Err(faults) }
    }

    /// Number characters count as digits, with fractions and Roman numerals, which Django lets pass.
    fn faults(&self, field: &str, text: &str, about: &About<'_>) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut add = |code, message: String| faults.push(Fault::new(field, code, message));
        if let Some(what) = resembled(text, about) {
            add("password_too_similar", format!("the password is too similar to {what}"));
        }
        if text.chars().count() < self.length {
            let least = self.length;
            let message = format!("a password has at least {least} characters; a short sentence is a good one");
            add("password_too_short", message);
        }
        if is_common(text) {
            add("password_too_common", "many people have this password, so it is tried first".to_owned());
        }
        if !text.is_empty() && text.chars().all(char::is_numeric) {
            add("password_entirely_numeric", "a password is not made of digits alone".to_owned());
        }
        if self.score > 0 && score(text, about) < self.score {
            let message = "the password is easy to guess; add a word or two that do not belong together".to_owned();
            add("password_too_weak", message);
        }
        faults
    }
}

/// How hard the password is to guess, from 0 to 4 (zxcvbn). Takes some milliseconds; looks at the first 64 characters.
#[must_use]
pub fn score(text: &str, about: &About<'_>) -> u8 {
    let head = |text: &str, most: usize| text.chars().take(most).collect::<String>();
    let known = about.known().map(|(_, value)| head(value, KNOWN_CHARS));
    let mut inputs: Vec<&str> = known.iter().map(String::as_str).collect();
    inputs.extend(known.iter().flat_map(|value| words(value)));
    inputs.retain(|word| !word.is_empty());
    zxcvbn::zxcvbn(&head(text, SCORED_CHARS), &inputs).score().into()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
}

/// What the password is too similar to (Django's `UserAttributeSimilarityValidator`).
fn resembled(text: &str, about: &About<'_>) -> Option<&'static str> {
    let password: Vec<char> = text.to_lowercase().chars().collect();
    let similar = |part: &str| {
        let part: Vec<char> = part.chars().collect();
        let far_longer =
            password.len() >= 10 * part.len() && as_f64(part.len()) < SIMILAR / 2.0 * as_f64(password.len());
        !far_longer && quick_ratio(&password, &part) >= SIMILAR
    };
    let resembles = |value: &str| {
        let value: String = value.chars().take(KNOWN_CHARS).collect::<String>().to_lowercase();
        !value.is_empty() && (words(&value).any(similar) || similar(&value))
    };
    about.known().into_iter().find(|(_, value)| resembles(value)).map(|(what, _)| what)
}

/// Twice the characters that both have, counted with their number, to all of both (`difflib`'s `quick_ratio`).
fn quick_ratio(one: &[char], other: &[char]) -> f64 {
    let all = one.len() + other.len();
    if all == 0 {
        return 1.0;
    }
    let (mut one, mut other) = (one.to_vec(), other.to_vec());
    one.sort_unstable();
    other.sort_unstable();
    let (mut i, mut j, mut same) = (0, 0, 0);
    while i < one.len() && j < other.len() {
        match one[i].cmp(&other[j]) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => (i, j, same) = (i + 1, j + 1, same + 1),
        }
    }
    2.0 * as_f64(same) / as_f64(all)
}

#[expect(clippy::cast_precision_loss, reason = "lengths of short texts")]
fn as_f64(length: usize) -> f64 {
    length as f64
}

#[cfg(test)]
mod tests {
    use super::{About, Policy, score};

    fn codes(text: &str, about: &About<'_>) -> Vec<&'static str> {
        let judged = Policy::default().judge("password", text, about);
        judged.err().into_iter().flatten().map(|fault| fault.code).collect()
    }

    #[test]
    fn every_rule_has_its_code_and_all_faults_come_together() {
        let nobody = About::default();
        assert_eq!(codes("12345678", &nobody), ["password_too_common", "password_entirely_numeric"]);
        assert_eq!(codes("1234", &nobody), ["password_too_short", "password_too_common", "password_entirely_numeric"]);
        assert_eq!(codes("", &nobody), ["password_too_short"]);
        let arabic = "\u{661}\u{662}\u{663}\u{664}\u{665}\u{666}\u{667}\u{668}";
        assert_eq!(codes(arabic, &nobody), ["password_entirely_numeric"]);
        assert_eq!(codes(&"1".repeat(1025), &nobody), ["password_too_long"]);
        assert_eq!(codes(&"a".repeat(64), &nobody), ["password_too_common"]);
        assert_eq!(codes(&"x\u{1f600}y z".repeat(12), &nobody), ["password_too_common"]);
        assert!(codes("correct horse battery", &nobody).is_empty());
        // In characters, not in bytes, and after normalisation.
        assert_eq!(codes("\u{e9}t\u{e9} \u{e0} l", &nobody), ["password_too_short"]);
        assert!(codes("\u{e9}t\u{e9} \u{e0} la", &nobody).is_empty());
        assert_eq!(codes("e\u{301}te\u{301} a\u{300} l", &nobody), ["password_too_short"]);
    }

    /// The decisions of Django 5.2 for the same texts.
    #[test]
    fn similarity_is_judged_as_django_does() {
        let about =
            About { username: "testclient", first_name: "Test", last_name: "Client", email: "testclient@example.com" };
        for (text, similar) in [
            ("testclient", true),
            ("TestClient1", true),
            ("client.test!", true),
            ("example.com", true),
            ("xtestclientx", true),
            ("sesame seeds", false),
            ("correct horse battery", false),
            ("SIGNET2026", true),
            ("tengis99", true),
        ] {
            assert_eq!(codes(text, &about).contains(&"password_too_similar"), similar, "{text}");
        }
        // A part that is far shorter than the password does not count.
        let short = About { username: "a", ..About::default() };
        assert!(codes("abracadabra, abracadabra", &short).is_empty());
    }

    #[test]
    fn strength_counts_what_is_known_about_somebody() {
        let nobody = About::default();
        assert_eq!(score("", &nobody), 0);
        assert!(score("password1", &nobody) <= 1);
        assert_eq!(score("correct horse battery", &nobody), 4);
        let about = About { username: "zebulon_quixote", ..nobody };
        assert!(score("zebulon_quixote", &about) < score("zebulon_quixote", &nobody));
        let strict = Policy { score: 4, ..Policy::default() };
        let faults = strict.judge("password", "trombone7", &nobody).err().unwrap_or_default();
        assert_eq!(faults.iter().map(|fault| fault.code).collect::<Vec<_>>(), ["password_too_weak"]);
        assert!(strict.judge("password", "correct horse battery", &nobody).is_ok());
    }
}
