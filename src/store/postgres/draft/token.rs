//! API tokens and challenges in a commit.

use std::collections::BTreeSet;

use tokio_postgres::types::Type;

use super::{Draft, Outcome, Value, id};
use crate::claims::{ChallengeKind, SessionId, UserId};
use crate::store::postgres::rows;
use crate::store::{ApiToken, Challenge, StoreError};

impl Draft<'_> {
    pub(super) async fn keep_token(&self, token: &ApiToken, most: usize) -> Outcome<()> {
        let owner = id(token.owner.bytes());
        // The lock on the owner makes two tokens at once one after the other.
        let lock = "select id from users where id = $1 and is_active for no key update";
        if self.rows(lock, &[(&owner, Type::BYTEA)]).await?.is_empty() {
            return Err(StoreError::Changed.into());
        }
        let epoch = token.epoch.cast_signed();
        let count = "select count(*) from api_tokens where owner_id = $1 and ends > $2 and epoch >= $3";
        let values: [Value; 3] = [(&owner, Type::BYTEA), (&token.created, Type::TIMESTAMPTZ), (&epoch, Type::INT8)];
        let counted = self.rows(count, &values).await?;
        let known: i64 = counted.first().map(|row| rows::at(row, 0)).transpose()?.unwrap_or(0);
        if usize::try_from(known).unwrap_or(usize::MAX) >= most {
            return Err(StoreError::Full.into());
        }
        self.insert_token(token).await?;
        Ok(())
    }

    pub(super) async fn drop_token(&self, owner: UserId, token: SessionId) -> Outcome<()> {
        let values: [Value; 2] = [(&id(token.bytes()), Type::BYTEA), (&id(owner.bytes()), Type::BYTEA)];
        self.run("delete from api_tokens where id = $1 and owner_id = $2", &values).await?;
        Ok(())
    }

    pub(super) async fn drop_tokens(&self, owner: UserId, ids: &BTreeSet<SessionId>) -> Outcome<()> {
        let values: [Value; 1] = [(&id(owner.bytes()), Type::BYTEA)];
        self.rows("select id from users where id = $1 for no key update", &values).await?;
        for row in self.rows("select id from api_tokens where owner_id = $1", &values).await? {
            if !ids.contains(&SessionId::from_bytes(rows::bytes(&row, 0)?)) {
                return Err(StoreError::Changed.into());
            }
        }
        self.run("delete from api_tokens where owner_id = $1", &values).await?;
        Ok(())
    }

    pub(super) async fn ask(&self, user: UserId, kind: ChallengeKind, challenge: &Challenge) -> Outcome<()> {
        let user = id(user.bytes());
        let lock = "select id from users where id = $1 and is_active and email = $2 for no key update";
        let values: [Value; 2] = [(&user, Type::BYTEA), (&challenge.address, Type::TEXT)];
        if self.rows(lock, &values).await?.is_empty() {
            return Err(StoreError::Changed.into());
        }
        let text = "insert into challenges (user_id, kind, digest, address, asked) values ($1, $2, $3, $4, $5) \
            on conflict (user_id, kind) do update set digest = excluded.digest, address = excluded.address, \
            asked = excluded.asked";
        let values: [Value; 5] = [
            (&user, Type::BYTEA),
            (&rows::kind(kind), Type::INT2),
            (&&challenge.digest[..], Type::BYTEA),
            (&challenge.address, Type::TEXT),
            (&challenge.asked, Type::TIMESTAMPTZ),
        ];
        self.run(text, &values).await?;
        Ok(())
    }

    pub(super) async fn answer(&self, user: UserId, kind: ChallengeKind, digest: &[u8; 32]) -> Outcome<()> {
        let text = "delete from challenges where user_id = $1 and kind = $2 and digest = $3";
        let values: [Value; 3] =
            [(&id(user.bytes()), Type::BYTEA), (&rows::kind(kind), Type::INT2), (&&digest[..], Type::BYTEA)];
        if self.run(text, &values).await? == 0 {
            return Err(StoreError::Spent.into());
        }
        Ok(())
    }
}
