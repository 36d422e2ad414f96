//! Records as they stand, one table after the other.

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::{Outcome, Shared, Value, most, rows};
use crate::claims::UserId;
use crate::store::{Page, Record};

/// A table, its key, and what its rows become.
struct Table {
    mark: &'static str,
    text: &'static str,
    read: fn(&Row) -> Outcome<Record>,
}

const TABLES: [Table; 3] = [
    Table {
        mark: "s",
        text: "select id, user_id, created, ends, epoch, address, agent, id from sessions where id > $1 \
            order by id limit $2",
        read: |row| rows::session(row).map(Record::Session),
    },
    Table {
        mark: "t",
        text: "select id, owner_id, name, scope, created, ends, epoch, id from api_tokens where id > $1 \
            order by id limit $2",
        read: |row| rows::token(row).map(Record::Token),
    },
    Table {
        mark: "q",
        // One byte more tells the kinds of a user apart.
        text: "select digest, address, asked, user_id, kind, user_id, kind, user_id || set_byte('\\x00'::bytea, 0, kind) \
            from challenges where user_id || set_byte('\\x00'::bytea, 0, kind) > $1 \
            order by user_id || set_byte('\\x00'::bytea, 0, kind) limit $2",
        read: |row| {
            let user = UserId::from_bytes(rows::bytes(row, 3)?);
            Ok(Record::Challenge { user, kind: rows::parse_kind(rows::at(row, 4)?)?, challenge: rows::challenge(row)? })
        },
    },
];

impl Shared {
    /// A cursor names the table, and the key in it.
    pub(super) async fn records(&self, after: Option<&str>, limit: usize) -> Outcome<Page<Record>> {
        let (mark, key) = after.and_then(|after| after.split_once(':')).unwrap_or(("s", ""));
        let mut key = rows::from_text(key);
        let mut page = Page { items: Vec::new(), next: None };
        for table in TABLES.iter().skip_while(|table| table.mark != mark) {
            let wanted = limit - page.items.len();
            let values: [Value; 2] = [(&key, Type::BYTEA), (&most(wanted + 1), Type::INT8)];
            let found = self.rows(table.text, &values).await?;
            for row in found.iter().take(wanted) {
                page.items.push((table.read)(row)?);
                key = rows::at::<&[u8]>(row, 7)?.to_vec();
            }
            if found.len() > wanted {
                page.next = Some(format!("{}:{}", table.mark, rows::to_text(&key)));
                return Ok(page);
            }
            key.clear();
        }
        Ok(page)
    }
}
