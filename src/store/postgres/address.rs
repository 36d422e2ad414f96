//! Where PostgreSQL is: the address with a password in it, and the TLS on the way there.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::Config;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

/// An address that is not understood. Says nothing of what is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadAddress(pub String);

/// Where PostgreSQL is, and how it is proven to be it. Prints as `postgres://***`.
#[derive(Clone)]
pub struct Address {
    /// One for each host.
    hosts: Vec<Config>,
    tls: MakeRustlsConnect,
    is_notified: bool,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("postgres://***")
    }
}

/// An address as it was given: not judged yet, and not shown, as there may be a password in it.
#[derive(Clone)]
pub struct Unread(String);

impl From<String> for Unread {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl std::fmt::Debug for Unread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Unread {
    /// The folder, when it is `sled:FOLDER`.
    #[must_use]
    pub fn folder(&self) -> Option<std::path::PathBuf> {
        self.0.strip_prefix("sled:").map(std::path::PathBuf::from)
    }

    /// The address.
    ///
    /// # Errors
    /// As [`Address::parse`].
    pub fn read(&self) -> Result<Address, BadAddress> {
        Address::parse(&self.0)
    }
}

impl Address {
    /// The address in `text`: `postgres://USER:PASSWORD@HOST[:PORT][,HOST…]/DATABASE`, with `sslmode=verify-full` (what
    /// it is when it is left out) or `disable`, and `sslrootcert=FILE` in place of the system's authorities. Of several
    /// hosts the one that takes writes is used. With `notify=off` nodes do not call each other by `NOTIFY`, for poolers that
    /// hand each transaction to another connection.
    ///
    /// # Errors
    /// When it is none, asks for encryption that proves nothing, or the authorities cannot be read.
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        let bad = |why: &str| BadAddress(why.to_owned());
        if !["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme)) {
            return Err(bad("a store is postgres://USER:PASSWORD@HOST/DATABASE"));
        }
        let (place, query) = text.split_once('?').unwrap_or((text, ""));
        let (mut mode, mut roots, mut notify, mut rest) = ("verify-full", None, "on", Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = value,
                Some(("sslrootcert", value)) => roots = Some(value),
                Some(("notify", value)) => notify = value,
                Some(("target_session_attrs", "read-write")) => {}
                Some(("target_session_attrs", _)) => {
                    return Err(bad("target_session_attrs: only read-write, as a store that takes no writes is none"));
                }
                _ => rest.push(pair),
            }
        }
        let ssl = match mode {
            "verify-full" => SslMode::Require,
            "disable" => SslMode::Disable,
            _ => return Err(bad("sslmode: verify-full or disable; what is in between proves nothing")),
        };
        if !["on", "off"].contains(&notify) {
            return Err(bad("notify: on or off"));
        }
        let rest = rest.join("&");
        // What the parser says could repeat a part of the address.
        let unread = |_| bad("the store's address is not understood");
        let read = |place: &str| -> Result<Config, BadAddress> {
            let mut config: Config = format!("{place}?{rest}").parse().map_err(unread)?;
            config.ssl_mode(ssl).target_session_attrs(TargetSessionAttrs::ReadWrite).application_name("signet");
            config.connect_timeout(std::time::Duration::from_secs(3));
            config.tcp_user_timeout(std::time::Duration::from_secs(15));
            Ok(config)
        };
        let hosts = apart(place).iter().map(|place| read(place)).collect::<Result<_, _>>()?;
        let roots = if ssl == SslMode::Disable { RootCertStore::empty() } else { authorities(roots)? };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let tls = tls.map_err(|_| bad("TLS cannot be set up"))?.with_root_certificates(roots).with_no_client_auth();
        Ok(Self { hosts, tls: MakeRustlsConnect::new(tls), is_notified: notify == "on" })
    }

    /// How to connect to each of the hosts, in order.
    pub(super) fn hosts(&self) -> &[Config] {
        &self.hosts
    }

    /// Whether nodes call each other.
    pub(super) fn is_notified(&self) -> bool {
        self.is_notified
    }

    pub(super) fn tls(&self) -> MakeRustlsConnect {
        self.tls.clone()
    }
}

/// The same place for each of its hosts: each one is asked with a patience of its own.
fn apart(place: &str) -> Vec<String> {
    let Some((scheme, rest)) = place.split_once("://") else { return vec![place.to_owned()] };
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let (who, hosts) = authority.find('@').map_or(("", authority), |at| authority.split_at(at + 1));
    hosts.split(',').map(|host| format!("{scheme}://{who}{host}{path}")).collect()
}

fn authorities(file: Option<&str>) -> Result<RootCertStore, BadAddress> {
    let mut roots = RootCertStore::empty();
    match file {
        Some(file) => {
            let unread = |_| BadAddress("sslrootcert: the file cannot be read; name a PEM file".to_owned());
            let unfit = |_| BadAddress("sslrootcert: a certificate in the file is not sound".to_owned());
            for certificate in CertificateDer::pem_file_iter(file).map_err(unread)? {
                roots.add(certificate.map_err(unread)?).map_err(unfit)?;
            }
        }
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    if roots.is_empty() {
        return Err(BadAddress("no authority to prove the store by; set sslrootcert".to_owned()));
    }
    Ok(roots)
}
