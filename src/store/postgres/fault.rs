//! What a failure of PostgreSQL means: for the call, for the connection, for the store as a whole, and for whoever runs it.
//!
//! Only what tells of the server or of the way to it makes a store unready. A statement that failed by itself is its
//! caller's alone.

use std::error::Error as _;

use rustls::CertificateError;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::store::StoreError;

/// What stopped a transaction.
pub(super) enum Fault {
    /// A condition, or a record that cannot be read.
    Store(StoreError),
    /// The database, in the midst of it. What had begun is undone.
    Database(Error),
    /// The database, at the commit itself: nobody knows whether it happened.
    Unknown(Error),
    /// There is no connection to be had, or none to a server that takes writes.
    Down(StoreError),
    /// There was no answer in time.
    Late,
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

/// Whether the server said that others were in the way.
pub(super) fn is_conflict(error: &Error) -> bool {
    let codes = [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED];
    error.code().is_some_and(|code| codes.contains(code))
}

/// Whether the connection was lost, or its server is going away or takes no writes any more: another connection may do.
pub(super) fn is_lost(error: &Error) -> bool {
    let gone = [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN, SqlState::READ_ONLY_SQL_TRANSACTION];
    match error.code() {
        Some(code) => gone.contains(code),
        None => error.is_closed() || error.source().is_some_and(<dyn std::error::Error>::is::<std::io::Error>),
    }
}

/// Whether it tells of the server or of the way to it, rather than of one statement.
pub(super) fn is_of_server(error: &Error) -> bool {
    // 08 is the connection, 53 what the server is out of, 57P its shutdown, and 58 its own surroundings.
    let of_server = |code: &SqlState| ["08", "53", "57P", "58"].iter().any(|class| code.code().starts_with(class));
    is_lost(error) || error.code().is_some_and(of_server)
}

/// What a refusal of the database means: the constraints are the conditions of the writes.
pub(super) fn verdict(error: &Error) -> StoreError {
    let constraint = error.as_db_error().and_then(|e| e.constraint());
    match error.code() {
        Some(code) if *code == SqlState::UNIQUE_VIOLATION => match constraint {
            Some("users_name") => StoreError::Taken("user"),
            Some("groups_name") => StoreError::Taken("group"),
            Some("permissions_pkey") => StoreError::Taken("permission"),
            _ => StoreError::Changed,
        },
        Some(code) if *code == SqlState::FOREIGN_KEY_VIOLATION || *code == SqlState::RESTRICT_VIOLATION => {
            StoreError::Changed
        }
        Some(code) if *code == SqlState::CHARACTER_NOT_IN_REPERTOIRE => {
            StoreError::Damaged("a text holds a character that cannot be kept".to_owned())
        }
        _ => failed(error),
    }
}

/// A failure without the details, which can name what was written; and how to mend it, where that is known.
pub(super) fn failed(error: &Error) -> StoreError {
    let said = match error.as_db_error() {
        Some(said) => format!("PostgreSQL says {}: {}", said.code().code(), said.message()),
        None => match error.source() {
            Some(source) => format!("PostgreSQL: {error}: {source}"),
            None => format!("PostgreSQL: {error}"),
        },
    };
    StoreError::Failed(match mended_by(error) {
        Some(how) => format!("{said}; {how}"),
        None => said,
    })
}

/// How whoever runs the store mends what is wrong with the way to it.
fn mended_by(error: &Error) -> Option<&'static str> {
    if let Some(code) = error.code() {
        return match code.code() {
            "28P01" | "28000" => Some("check the user and the password in the address, and the server's pg_hba.conf"),
            "3D000" => Some("check the database in the address, or make it with createdb"),
            "42501" => Some("the role lacks a right; see what signet migrate and a server need"),
            "53300" => Some("raise max_connections, or let fewer programs connect"),
            "25006" => Some("name the host that takes writes, too"),
            _ => None,
        };
    }
    let source = error.source()?;
    if let Some(io) = source.downcast_ref::<std::io::Error>() {
        return match io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(why)) => Some(match why {
                CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                    "name the authority that signed the server's certificate with sslrootcert=FILE"
                }
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    "name the host in the address as the server's certificate does"
                }
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    "the server needs a new certificate"
                }
                _ => "the server needs a certificate that proves it",
            }),
            Some(_) => None,
            None => match io.kind() {
                std::io::ErrorKind::ConnectionRefused => Some("check the host and the port, and whether it runs"),
                std::io::ErrorKind::PermissionDenied => Some("name the host that takes writes, too"),
                // The name of a host is looked up before anything is sent.
                _ if error.to_string().contains("connecting") => Some("check the host in the address"),
                _ => None,
            },
        };
    }
    // The library has a text for it and nothing else.
    let no_tls = source.to_string().contains("does not support TLS");
    no_tls
        .then_some("switch TLS on there (ssl = on); sslmode=disable does without it, for a way that nobody else is on")
}
