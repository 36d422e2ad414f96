//! Records as they stood in another store.

use tokio_postgres::types::Type;

use super::{Draft, Outcome, Value, id};
use crate::rights::Permission;
use crate::store::postgres::rows;
use crate::store::{ApiToken, OpenSession, Record};

impl Draft<'_> {
    /// That the user is there is the schema's own condition.
    pub(super) async fn restore(&self, record: &Record) -> Outcome<()> {
        match record {
            Record::Session(session) => self.insert_session(session).await?,
            Record::Token(token) => self.insert_token(token).await?,
            Record::Challenge { user, kind, challenge } => {
                let text = "insert into challenges (user_id, kind, digest, address, asked) values ($1, $2, $3, $4, $5)";
                let values: [Value; 5] = [
                    (&id(user.bytes()), Type::BYTEA),
                    (&rows::kind(*kind), Type::INT2),
                    (&&challenge.digest[..], Type::BYTEA),
                    (&challenge.address, Type::TEXT),
                    (&challenge.asked, Type::TIMESTAMPTZ),
                ];
                self.run(text, &values).await?;
            }
            Record::Forgotten(until) => {
                let text = "insert into facts (name, value) values ('forgotten', $1) \
                    on conflict (name) do update set value = excluded.value";
                self.run(text, &[(&until.timestamp_micros(), Type::INT8)]).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn insert_session(&self, session: &OpenSession) -> Result<(), tokio_postgres::Error> {
        let text = "insert into sessions (id, user_id, created, ends, epoch, address, agent) \
            values ($1, $2, $3, $4, $5, $6, $7)";
        let values: [Value; 7] = [
            (&id(session.id.bytes()), Type::BYTEA),
            (&id(session.user.bytes()), Type::BYTEA),
            (&session.created, Type::TIMESTAMPTZ),
            (&session.ends, Type::TIMESTAMPTZ),
            (&session.epoch.cast_signed(), Type::INT8),
            (&session.address, Type::TEXT),
            (&session.agent, Type::TEXT),
        ];
        self.run(text, &values).await.map(drop)
    }

    pub(super) async fn insert_token(&self, token: &ApiToken) -> Result<(), tokio_postgres::Error> {
        let scope: Vec<&str> = token.scope.iter().map(Permission::as_str).collect();
        let text = "insert into api_tokens (id, owner_id, name, scope, created, ends, epoch) \
            values ($1, $2, $3, $4, $5, $6, $7)";
        let values: [Value; 7] = [
            (&id(token.id.bytes()), Type::BYTEA),
            (&id(token.owner.bytes()), Type::BYTEA),
            (&token.name, Type::TEXT),
            (&scope, Type::TEXT_ARRAY),
            (&token.created, Type::TIMESTAMPTZ),
            (&token.ends, Type::TIMESTAMPTZ),
            (&token.epoch.cast_signed(), Type::INT8),
        ];
        self.run(text, &values).await.map(drop)
    }
}
