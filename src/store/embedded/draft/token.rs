//! API tokens in a commit: kept, dropped one by one, and dropped with what they rest on.

use std::collections::BTreeSet;

use super::{Draft, Outcome};
use crate::claims::{SessionId, UserId};
use crate::store::embedded::layout::{Key, to_json};
use crate::store::{ApiToken, StoreError};

impl Draft<'_> {
    pub(super) fn keep_token(&mut self, token: &ApiToken, most: usize) -> Outcome<()> {
        if self.user(token.owner)?.is_none_or(|owner| !owner.is_active) {
            return Err(StoreError::Changed);
        }
        let known: Vec<ApiToken> = self.all(&Key::tokens(token.owner))?;
        let lives = |known: &&ApiToken| known.ends > token.created && known.epoch >= token.epoch;
        if known.iter().filter(lives).count() >= most {
            return Err(StoreError::Full);
        }
        let key = Key::token(token.owner, token.id);
        self.put(Key::over_at(token.ends, &key), Vec::new());
        self.put(key, to_json(token)?);
        Ok(())
    }

    pub(super) fn drop_token(&mut self, key: Vec<u8>) -> Outcome<()> {
        if let Some(token) = self.json::<ApiToken>(&key)? {
            self.remove(Key::over_at(token.ends, &key));
            self.remove(key);
        }
        Ok(())
    }

    pub(super) fn drop_tokens(&mut self, owner: UserId, ids: &BTreeSet<SessionId>) -> Outcome<()> {
        let known: Vec<ApiToken> = self.all(&Key::tokens(owner))?;
        if known.iter().any(|token| !ids.contains(&token.id)) {
            return Err(StoreError::Changed);
        }
        self.drop_all_tokens(owner)
    }

    pub(super) fn drop_all_tokens(&mut self, owner: UserId) -> Outcome<()> {
        for key in self.scan(&Key::tokens(owner))?.into_keys() {
            self.drop_token(key)?;
        }
        Ok(())
    }
}
