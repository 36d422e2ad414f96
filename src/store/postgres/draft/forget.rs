//! The audit log in a commit, and what is over or covered.

use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;

use super::{Draft, Outcome, REVOKED_SESSION, REVOKED_USER, Value, id, ids, latest};
use crate::audit::Event;
use crate::claims::{SessionId, UserId};
use crate::store::StoreError;
use crate::store::postgres::rows;

/// Most rows of a table that one commit forgets, so that others do not wait long for it.
const FORGET_MAX: i64 = 2_000;

impl Draft<'_> {
    pub(super) async fn record(&self, event: &Event) -> Outcome<()> {
        let record =
            serde_json::to_string(event).map_err(|e| StoreError::Failed(format!("an event cannot be written: {e}")))?;
        let values: [Value; 3] =
            [(&event.at, Type::TIMESTAMPTZ), (&id(event.id.bytes()), Type::BYTEA), (&record, Type::TEXT)];
        self.run("insert into events (at, id, record) values ($1, $2, $3)", &values).await?;
        Ok(())
    }

    pub(super) async fn forget_events(&mut self, before: DateTime<Utc>) -> Outcome<()> {
        let text = "delete from events where (at, id) in (select at, id from events where at < $1 \
            order by at, id limit $2 for update skip locked)";
        let gone = self.run(text, &[(&before, Type::TIMESTAMPTZ), (&FORGET_MAX, Type::INT8)]).await?;
        self.is_more |= gone == FORGET_MAX.cast_unsigned();
        Ok(())
    }

    pub(super) async fn drop_covered(&self, user: UserId, covered: &[SessionId]) -> Outcome<()> {
        // Marked, for nodes that follow, and dropped later.
        let text = "update revocations set covered = true, changed = clock_timestamp() \
            where kind = $1 and id = any($2) and until <= \
            (select until from revocations where kind = $3 and id = $4)";
        let values: [Value; 4] = [
            (&REVOKED_SESSION, Type::INT2),
            (&ids(covered), Type::BYTEA_ARRAY),
            (&REVOKED_USER, Type::INT2),
            (&id(user.bytes()), Type::BYTEA),
        ];
        self.run(text, &values).await?;
        Ok(())
    }

    pub(super) async fn forget(&mut self, now: DateTime<Utc>) -> Outcome<()> {
        let values: [Value; 2] = [(&now, Type::TIMESTAMPTZ), (&FORGET_MAX, Type::INT8)];
        let text = "delete from revocations where (kind, id) in (select kind, id from revocations where until <= $1 \
            order by until limit $2 for update skip locked) returning until";
        let mut last = None;
        let gone = self.rows(text, &values).await?;
        self.is_more |= gone.len() as u64 == FORGET_MAX.cast_unsigned();
        for row in gone {
            last = Some(latest(last, rows::at(&row, 0)?));
        }
        if let Some(last) = last {
            let text = "insert into facts (name, value) values ('forgotten', $1) \
                on conflict (name) do update set value = greatest(facts.value, excluded.value)";
            self.run(text, &[(&last.timestamp_micros(), Type::INT8)]).await?;
        }
        for text in [
            "delete from revocations where kind = 1 and id in (select id from revocations where kind = 1 and covered \
                and changed < $1 order by changed limit $2 for update skip locked)",
            "delete from sessions where id in (select id from sessions where ends <= $1 \
                order by ends limit $2 for update skip locked)",
            "delete from api_tokens where id in (select id from api_tokens where ends <= $1 \
                order by ends limit $2 for update skip locked)",
            "delete from counters where key in (select key from counters where until <= $1 \
                order by until limit $2 for update skip locked)",
        ] {
            self.is_more |= self.run(text, &values).await? == FORGET_MAX.cast_unsigned();
        }
        self.run("delete from nodes where beat < clock_timestamp() - interval '1 day'", &[]).await?;
        Ok(())
    }
}
