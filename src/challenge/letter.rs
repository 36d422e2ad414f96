//! The words of the mails: all of them, in one place.
//!
//! The only thing in them that a user chose is the name, which has neither spaces nor line breaks
//! ([`crate::user::Username`]). Nothing of it is in a subject.

use chrono::{DateTime, Utc};

use crate::claims::ChallengeKind;
use crate::mail::{Links, Mail};
use crate::token::CHALLENGE_LIFE;
use crate::user::User;

/// The mail that asks the user.
pub(super) fn write(links: &Links, user: &User, kind: ChallengeKind, token: &str, date: DateTime<Utc>) -> Mail {
    let (name, minutes) = (user.username.as_str(), CHALLENGE_LIFE / 60);
    let (subject, text) = match kind {
        ChallengeKind::Reset => {
            let link = links.to(&links.reset_page, token);
            let text = format!(
                "Hello {name},\n\n\
                 somebody asked for a new password for your account. If that was you, set it here:\n\n\
                 {link}\n\n\
                 The link works once, for {minutes} minutes. Setting a new password logs you out everywhere.\n\n\
                 If it was not you, do nothing: your password stays as it is.\n"
            );
            ("Set a new password", text)
        }
        ChallengeKind::Verification => {
            let link = links.to(&links.verify_page, token);
            let text = format!(
                "Hello {name},\n\n\
                 this address was given for your account. Confirm that it is yours here:\n\n\
                 {link}\n\n\
                 The link works once, for {minutes} minutes.\n\n\
                 If you have no such account, do nothing.\n"
            );
            ("Confirm your address", text)
        }
    };
    Mail { to: user.email.clone(), subject: subject.to_owned(), text, date }
}
