//! The schema's versions: made and raised by `signet migrate`, only looked at by everybody else.

use tokio_postgres::Row;

use super::fault::failed;
use super::{Address, CannotOpen, lease, rows};
use crate::store::StoreError;

mod embedded {
    refinery::embed_migrations!("src/store/postgres/migrations");
}

/// What reads the version of the schema.
pub(super) const VERSION: &str = "select coalesce(max(version), 0)::bigint from signet_migrations";

/// Why the schema could not be made. Says nothing of the address.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct CannotMigrate(pub String);

fn newest() -> i64 {
    let versions = embedded::migrations::runner().get_migrations().iter().map(|m| i64::from(m.version())).max();
    versions.unwrap_or(0)
}

/// Brings the schema at the address up to the one of this program, and gives how many steps that took. Each step is
/// done whole or not at all.
///
/// # Errors
/// When no host answers, the role may not change the schema, or the schema is of a newer program.
pub async fn migrate(address: &Address) -> Result<usize, CannotMigrate> {
    let mut connection = lease::connect(address).await.map_err(|e| CannotMigrate(e.to_string()))?;
    let mut runner = embedded::migrations::runner();
    runner.set_migration_table_name("signet_migrations");
    let report = runner.run_async(&mut connection.client).await;
    report.map(|report| report.applied_migrations().len()).map_err(|e| {
        let said = std::error::Error::source(&e).and_then(|e| e.downcast_ref::<tokio_postgres::Error>());
        CannotMigrate(said.map_or_else(|| format!("the schema cannot be changed: {e}"), |e| failed(e).to_string()))
    })
}

/// Whether the schema is the one of this program.
pub(super) fn check(version: Result<Vec<Row>, StoreError>) -> Result<(), CannotOpen> {
    let found = match version {
        Ok(rows) => rows.first().map(|row| rows::at::<i64>(row, 0)).transpose(),
        // 42P01: no such table.
        Err(StoreError::Failed(why)) if why.contains("42P01") => Ok(Some(0)),
        Err(e) => Err(e),
    };
    let found = found.map_err(|e| CannotOpen(e.to_string()))?.unwrap_or(0);
    match found.cmp(&newest()) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Less => {
            Err(CannotOpen("the store's schema is missing or older; run signet migrate".to_owned()))
        }
        std::cmp::Ordering::Greater => {
            Err(CannotOpen("the store's schema is of a newer signet; run that version".to_owned()))
        }
    }
}
