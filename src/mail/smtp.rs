//! A mail server as a mailer (RFC 5321, RFC 6409), encrypted unless the route says otherwise.

use std::error::Error as _;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::transport::smtp::{AsyncSmtpTransport, Error};
use lettre::{AsyncTransport as _, Message, Tokio1Executor};

use super::{Mailer, NotSent, Relay, Security};

/// How long one step of a conversation may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Hands messages to a mail server.
pub(super) struct Smtp(AsyncSmtpTransport<Tokio1Executor>);

impl Smtp {
    /// The mail server of a relay. Connections are made when there is something to send. The certificates that are
    /// trusted are the system's, or those of `SSL_CERT_FILE`, as they are now.
    ///
    /// # Errors
    /// When the name cannot be one of a certificate.
    pub(super) fn open(relay: &Relay) -> Result<Self, String> {
        let encrypted = || TlsParameters::new(relay.host.clone()).map_err(|e| format!("the mail server's name: {e}"));
        let tls = match relay.security {
            Security::None => Tls::None,
            Security::StartTls => Tls::Required(encrypted()?),
            Security::Tls => Tls::Wrapper(encrypted()?),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&relay.host)
            .port(relay.port)
            .timeout(Some(PATIENCE))
            .tls(tls);
        if let Some((user, password)) = &relay.credentials {
            builder = builder.credentials(Credentials::new(user.clone(), password.to_string()));
        }
        Ok(Self(builder.build()))
    }
}

impl Mailer for Smtp {
    fn send<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Result<(), NotSent>> {
        async move {
            let sent = self.0.send_raw(message.envelope(), &message.formatted()).await;
            sent.map(drop).map_err(|error| not_sent(&error))
        }
        .boxed()
    }
}

/// What a failure means. A server's own words may quote the address, so of an answer only its number is told.
fn not_sent(error: &Error) -> NotSent {
    if let Some(code) = error.status() {
        let why = format!("the mail server answered {code}");
        return if error.is_permanent() { NotSent::Refused(why) } else { NotSent::Failed(why) };
    }
    if error.is_response() {
        return NotSent::Failed("the mail server's answer is not one of SMTP".to_owned());
    }
    let mut why = error.to_string();
    let mut source = error.source();
    while let Some(deeper) = source {
        let text = deeper.to_string();
        if !why.contains(&text) {
            why = format!("{why}: {text}");
        }
        source = deeper.source();
    }
    // The library's own refusals: a server without STARTTLS, without a way to log in, or without SMTPUTF8.
    if error.is_client() { NotSent::Refused(why) } else { NotSent::Failed(why) }
}
