//! The writes that decide nothing by what they read, and are sent without a wait for the one before: all that a log-in and
//! a log-out consist of.

use futures_util::future::join3;
use tokio_postgres::types::Type;

use super::{Draft, Outcome, REVOKED_SESSION, REVOKED_USER, Value, id};
use crate::store::{OpenSession, Revocation, StoreError, Write};

/// Whether the write decides nothing by what it reads, and may be sent with others like it: what it does and finds depends
/// on the order at the server alone.
pub(super) fn is_plain(write: &Write) -> bool {
    match write {
        Write::Revoke(revocation) => !matches!(revocation, Revocation::Epoch(_)),
        Write::UpgradePassword { .. }
        | Write::OpenSession { .. }
        | Write::CloseSession { .. }
        | Write::CloseSessions { .. }
        | Write::Record(_) => true,
        _ => false,
    }
}

impl Draft<'_> {
    /// A write of those that [`is_plain`] knows, and nothing for others.
    pub(super) async fn write_plain(&self, write: &Write) -> Outcome<()> {
        match write {
            Write::UpgradePassword { user, was, now } => {
                let text = "update users set password = $3 where id = $1 and password = $2";
                let values: [Value; 3] = [(&id(user.bytes()), Type::BYTEA), (was, Type::TEXT), (now, Type::TEXT)];
                self.run(text, &values).await?;
                Ok(())
            }
            Write::OpenSession { session, was } => self.open_session(session, *was).await,
            Write::CloseSession { user, id: session } => {
                let values: [Value; 2] = [(&id(session.bytes()), Type::BYTEA), (&id(user.bytes()), Type::BYTEA)];
                self.run("delete from sessions where id = $1 and user_id = $2", &values).await?;
                Ok(())
            }
            Write::CloseSessions { user, keep } => {
                let keep = keep.map(|keep| keep.bytes().to_vec()).unwrap_or_default();
                let values: [Value; 2] = [(&id(user.bytes()), Type::BYTEA), (&keep, Type::BYTEA)];
                self.run("delete from sessions where user_id = $1 and id <> $2", &values).await?;
                Ok(())
            }
            Write::Revoke(revocation) => self.revoke(revocation).await,
            Write::Record(event) => self.record(event).await,
            _ => Ok(()),
        }
    }

    async fn open_session(&self, session: &OpenSession, was: u64) -> Outcome<()> {
        let user = id(session.user.bytes());
        let text = "update users set last_login = $2 where id = $1 and is_active and version = $3";
        let was = was.cast_signed();
        let values: [Value; 3] = [(&user, Type::BYTEA), (&session.created, Type::TIMESTAMPTZ), (&was, Type::INT8)];
        let touched = self.run(text, &values);
        let dropped = self.drop_reset(session.user);
        // Sent at once. A user who is gone is `Changed` before the insert is refused.
        let (touched, dropped, inserted) = join3(touched, dropped, self.insert_session(session)).await;
        if touched? == 0 {
            return Err(StoreError::Changed.into());
        }
        dropped?;
        inserted?;
        Ok(())
    }

    async fn revoke(&self, revocation: &Revocation) -> Outcome<()> {
        let (kind, of, generation, rights_version, until) = match *revocation {
            Revocation::Epoch(epoch) => {
                let raise = "update facts set value = greatest(value, $1) where name = 'epoch'";
                self.run(raise, &[(&epoch.cast_signed(), Type::INT8)]).await?;
                // What was dropped covered tokens of older epochs only.
                self.run("delete from facts where name = 'forgotten'", &[]).await?;
                return Ok(());
            }
            Revocation::Session { id, until } => (REVOKED_SESSION, id.bytes().to_vec(), 0, 0, until),
            Revocation::User { id, generation, rights_version, until } => {
                (REVOKED_USER, id.bytes().to_vec(), generation.cast_signed(), rights_version.cast_signed(), until)
            }
        };
        let text = "insert into revocations (kind, id, generation, rights_version, until) \
            values ($1, $2, $3, $4, $5) on conflict (kind, id) do update set \
            generation = greatest(revocations.generation, excluded.generation), \
            rights_version = greatest(revocations.rights_version, excluded.rights_version), \
            until = greatest(revocations.until, excluded.until), covered = false, changed = clock_timestamp()";
        let values: [Value; 5] = [
            (&kind, Type::INT2),
            (&of, Type::BYTEA),
            (&generation, Type::INT8),
            (&rights_version, Type::INT8),
            (&until, Type::TIMESTAMPTZ),
        ];
        self.run(text, &values).await?;
        Ok(())
    }
}
