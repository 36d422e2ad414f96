//! What ends many sessions at once: everybody's, or all of one user.
//!
//! Owns how long such an end is kept. What ends a single session or API token is decided in `session/ending.rs` and
//! `api_token.rs`.

use super::App;
use crate::claims::after;
use crate::error::Error;
use crate::store::{Revocation, Write};
use crate::user::User;

impl App {
    /// Ends every session of everybody, by a new epoch. `others` are written in the same commit.
    ///
    /// # Errors
    /// As [`App::commit`].
    pub async fn end_everything(&self, mut others: Vec<Write>) -> Result<(), Error> {
        let _step = self.0.epoch_step.lock().await;
        others.push(Write::Revoke(Revocation::Epoch(self.0.revocations.epoch() + 1)));
        self.commit(others).await
    }

    /// The writes that end older generations of the user; what was ended one by one before, and is listed, is dropped, as
    /// they cover it. The record has a higher generation than the one that is stored: a session's token of that generation
    /// can only be issued after this commit, and none by a session that had ended before.
    #[must_use]
    pub fn marks(&self, user: &User) -> Vec<Write> {
        let ids = self.0.revocations.endings().of(user.id);
        let covered = (!ids.is_empty()).then_some(Write::DropCovered { user: user.id, ids });
        std::iter::once(self.mark(user)).chain(covered).collect()
    }

    /// The write that ends older generations of the user, or makes older rights stale, as the record says.
    #[must_use]
    pub fn mark(&self, user: &User) -> Write {
        let (now, life) = (self.now(), self.0.longest_life);
        // The clock is behind: the user has logged in at an instant that is to come, and what began then counts then.
        let from = user.last_login.filter(|login| *login > now).map_or(now, |login| after(login, life));
        Write::Revoke(Revocation::User {
            id: user.id,
            generation: user.generation,
            rights_version: user.rights_version,
            until: after(from, life),
        })
    }
}
