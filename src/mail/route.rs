//! The route of mails, as the configuration spells it.
//!
//! * `folder:PATH`: files in a folder.
//! * `smtp://[USER@]HOST[:587]`: a mail server, encrypted by STARTTLS, or not used at all (RFC 3207).
//! * `smtps://[USER@]HOST[:465]`: a mail server, encrypted from the first byte (RFC 8314).
//! * `smtp+plain://HOST[:25]`: a mail server without encryption, and so without a password.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use url::Url;
use zeroize::Zeroizing;

/// Where mails go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// Into files of this folder.
    Folder(PathBuf),
    /// To a mail server.
    Smtp(Relay),
}

/// How the connection to a mail server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Not at all.
    None,
    /// By STARTTLS, before anything else is said.
    StartTls,
    /// From the first byte.
    Tls,
}

/// A mail server.
#[derive(Clone, PartialEq, Eq)]
pub struct Relay {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is encrypted.
    pub security: Security,
    /// The user to log in as, if any, and the password, once it is known.
    pub credentials: Option<(String, Zeroizing<String>)>,
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Relay({self})")
    }
}

impl fmt::Display for Relay {
    /// Without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.security {
            Security::None => "smtp+plain",
            Security::StartTls => "smtp",
            Security::Tls => "smtps",
        };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Route {
    /// For a person: where to look for a mail.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "the folder {}", path.display()),
            Self::Smtp(relay) => write!(f, "{relay}"),
        }
    }
}

/// Why a text is no route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotARoute {
    /// Neither a folder nor a mail server.
    #[error("not a route for mail")]
    Unknown,
    /// A password stands in it.
    #[error("it holds a password, which others can see")]
    Password,
    /// A user for a connection that is not encrypted.
    #[error("a password would go unencrypted")]
    Unencrypted,
}

impl FromStr for Route {
    type Err = NotARoute;

    fn from_str(text: &str) -> Result<Self, NotARoute> {
        if let Some(folder) = text.strip_prefix("folder:") {
            return if folder.is_empty() { Err(NotARoute::Unknown) } else { Ok(Self::Folder(folder.into())) };
        }
        let url = Url::parse(text).map_err(|_| NotARoute::Unknown)?;
        let (security, port) = match url.scheme() {
            "smtp" => (Security::StartTls, 587),
            "smtps" => (Security::Tls, 465),
            "smtp+plain" => (Security::None, 25),
            _ => return Err(NotARoute::Unknown),
        };
        if url.password().is_some() {
            return Err(NotARoute::Password);
        }
        let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        let named = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-:_".contains(c));
        if !bare || !named {
            return Err(NotARoute::Unknown);
        }
        let user = percent_decode_str(url.username()).decode_utf8().map_err(|_| NotARoute::Unknown)?;
        if user.chars().any(char::is_control) {
            return Err(NotARoute::Unknown);
        }
        if !user.is_empty() && security == Security::None {
            return Err(NotARoute::Unencrypted);
        }
        let credentials = (!user.is_empty()).then(|| (user.into_owned(), Zeroizing::default()));
        Ok(Self::Smtp(Relay { host, port: url.port().unwrap_or(port), security, credentials }))
    }
}

#[cfg(test)]
mod tests {
    use super::{NotARoute, Route};

    #[test]
    fn a_route_is_a_folder_or_a_mail_server() {
        let shown = |text: &str| text.parse::<Route>().map(|route| route.to_string());
        assert_eq!(shown("folder:mail"), Ok("the folder mail".to_owned()));
        assert_eq!(shown("smtp://relay.example"), Ok("smtp://relay.example:587".to_owned()));
        assert_eq!(shown("smtps://me@relay.example"), Ok("smtps://relay.example:465".to_owned()));
        assert_eq!(shown("smtp+plain://[::1]:2525/"), Ok("smtp+plain://[::1]:2525".to_owned()));
        assert_eq!(shown("smtp://me:secret@relay.example"), Err(NotARoute::Password));
        assert_eq!(shown("smtp+plain://me@relay.example"), Err(NotARoute::Unencrypted));
        for wrong in
            ["", "mail", "folder:", "http://a", "smtp:", "smtp://", "smtp://a/b", "smtp://a?tls=none", "smtp://a b"]
        {
            assert_eq!(shown(wrong), Err(NotARoute::Unknown), "{wrong}");
        }
        let Ok(Route::Smtp(relay)) = "smtp://me%40example.com@relay".parse::<Route>() else { panic!("a relay") };
        assert_eq!(relay.credentials.as_ref().map(|(user, _)| user.as_str()), Some("me@example.com"));
        assert!(!format!("{relay:?}").contains("me"));
    }
}
