//! The lines of a journal, beside the records that it tells of.

use futures_util::FutureExt as _;
use tokio_postgres::types::Type;

use super::{Postgres, rows};
use crate::store::{Ledger, Reply, StoreError};

impl Ledger for Postgres {
    fn lines(&self) -> Reply<'_, Vec<String>> {
        async move {
            let found = self.shared.rows("select line from journal order by place", &[]).await?;
            found.iter().map(|row| rows::at(row, 0)).collect()
        }
        .boxed()
    }

    fn write<'a>(&'a self, place: usize, line: &'a str) -> Reply<'a, ()> {
        async move {
            let place = i64::try_from(place).unwrap_or(i64::MAX);
            // Done twice, it is there once.
            let text = "insert into journal (place, line) values ($1, $2) on conflict (place) do update \
                set line = excluded.line where journal.line = excluded.line returning place";
            let found = self.shared.durable_rows(text, &[(&place, Type::INT8), (&line, Type::TEXT)]).await?;
            if found.is_empty() { Err(StoreError::Changed) } else { Ok(()) }
        }
        .boxed()
    }

    fn clear(&self) -> Reply<'_, ()> {
        async move { self.shared.durable_rows("delete from journal", &[]).await.map(drop) }.boxed()
    }
}
