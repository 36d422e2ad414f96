//! Addresses and challenges in a commit: who is found at an address, what is asked by mail, and what ends it.

use super::{Draft, Outcome, failed};
use crate::claims::{ChallengeKind, UserId};
use crate::store::embedded::layout::{Key, to_json};
use crate::store::{Challenge, StoreError};
use crate::user::User;

impl Draft<'_> {
    /// The first users under the key of an address. For reading: what the draft changes is not looked at.
    pub(in crate::store::embedded) fn users_at(&self, key: &str, limit: usize) -> Outcome<Vec<User>> {
        let prefix = Key::at_address(key);
        let mut users = Vec::new();
        for entry in self.tree.scan_prefix(&prefix) {
            let (found, _) = entry.map_err(|e| failed(&e))?;
            if users.len() == limit {
                break;
            }
            if let Some(id) = Key::parse_at_address(&found[prefix.len()..]) {
                users.extend(self.user(id)?);
            }
        }
        Ok(users)
    }

    pub(super) fn ask(&mut self, id: UserId, kind: ChallengeKind, challenge: &Challenge) -> Outcome<()> {
        let user = self.user(id)?.ok_or(StoreError::Changed)?;
        if !user.is_active || user.email != challenge.address {
            return Err(StoreError::Changed);
        }
        self.put(Key::challenge(id, kind), to_json(challenge)?);
        Ok(())
    }

    pub(super) fn answer(&mut self, user: UserId, kind: ChallengeKind, digest: [u8; 32]) -> Outcome<()> {
        let key = Key::challenge(user, kind);
        let open: Option<Challenge> = self.json(&key)?;
        if open.is_none_or(|open| open.digest != digest) {
            return Err(StoreError::Spent);
        }
        self.remove(key);
        Ok(())
    }

    /// Drops the challenges whose ground a change of the user takes away.
    pub(super) fn drop_groundless(&mut self, old: &User, new: &User) -> Outcome<()> {
        if old.email != new.email || !new.is_active {
            return self.drop_challenges(&Key::challenges(new.id));
        }
        if old.password != new.password {
            return self.drop_challenges(&[Key::challenge(new.id, ChallengeKind::Reset)]);
        }
        Ok(())
    }

    pub(super) fn drop_challenges(&mut self, keys: &[Vec<u8>]) -> Outcome<()> {
        for key in keys {
            // Most users have none: a commit writes no more than it has to.
            if self.get(key)?.is_some() {
                self.remove(key.clone());
            }
        }
        Ok(())
    }
}
