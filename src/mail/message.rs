//! The form of a message: headers that nobody but the configuration writes to, and plain text.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use lettre::message::header::ContentType;
use lettre::message::{Mailbox, MessageBuilder};
use lettre::{Address, Message};

use super::{Mail, NotSent};
use crate::claims::TokenId;

/// Who mails come from: an address, with a name or without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender(Mailbox);

impl FromStr for Sender {
    type Err = NotASender;

    fn from_str(text: &str) -> Result<Self, NotASender> {
        if text.chars().any(char::is_control) {
            return Err(NotASender);
        }
        text.parse().map(Self).map_err(|_| NotASender)
    }
}

/// The text is not `name@domain` or `Name <name@domain>` (RFC 5322, section 3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an address")]
pub struct NotASender;

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The message that carries the mail.
///
/// The recipient's address is the only thing in its header that a user has a part in. It has no control character
/// since it was stored, is parsed again here, and is written by the library's typed header.
///
/// # Errors
/// `Refused` when the address is none to the library, which is stricter than the store.
pub(super) fn compose(from: &Sender, mail: &Mail) -> Result<Message, NotSent> {
    let refused = |why: &str| NotSent::Refused(why.to_owned());
    let to: Address = mail.to.parse().map_err(|_| refused("the recipient's address is not one that mail can go to"))?;
    let id = format!("<{}@{}>", TokenId::random(), from.0.email.domain());
    let message: MessageBuilder = Message::builder()
        .from(from.0.clone())
        .to(Mailbox::new(None, to))
        .subject(&*mail.subject)
        .date(SystemTime::from(mail.date))
        .message_id(Some(id))
        .header(ContentType::TEXT_PLAIN);
    let message = automatic(message);
    message.body(mail.text.clone()).map_err(|_| refused("the message cannot be put together"))
}

/// Says that nobody wrote this, so that nobody's absence is answered to it (RFC 3834, section 5).
fn automatic(message: MessageBuilder) -> MessageBuilder {
    use lettre::message::header::{HeaderName, HeaderValue};
    let name = HeaderName::new_from_ascii_str("Auto-Submitted");
    message.raw_header(HeaderValue::new(name, "auto-generated".to_owned()))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::{Sender, compose};
    use crate::mail::Mail;

    fn mail(to: &str) -> Mail {
        Mail { to: to.to_owned(), subject: "S".to_owned(), text: "T\n".to_owned(), date: DateTime::UNIX_EPOCH }
    }

    #[test]
    fn an_address_that_would_add_a_header_makes_no_message() {
        let from: Sender = "Signet <signet@example.com>".parse().unwrap();
        assert!(compose(&from, &mail("a@example.com")).is_ok());
        for bad in ["a@example.com\r\nBcc: b@example.com", "a\n@example.com", "a@b, c@d", "A <a@b>", "a@b\0", "a", ""] {
            assert!(compose(&from, &mail(bad)).is_err(), "{bad:?}");
        }
        for bad in ["", "a", "Signet <a@b>\r\nBcc: c@d", "Signet\n<a@b>"] {
            assert!(bad.parse::<Sender>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_mail_is_not_shown_in_a_log() {
        let shown = format!("{:?}", mail("alice@example.com"));
        assert!(!shown.contains("alice") && !shown.contains("T\n"), "{shown}");
    }
}
