//! Open sessions in a commit, and how they are found: those of one user by the time of the log-in, those of everybody in
//! the order of their keys.
//!
//! What opens or closes one passes [`Draft::list`] or [`Draft::unlist`], which know all the keys that a session has.

use super::{Draft, Outcome, leaf_through};
use crate::claims::{ChallengeKind, SessionId, UserId};
use crate::store::embedded::layout::{self, Key, from_json, to_json};
use crate::store::{Alive, NamedSession, OpenSession, Page, Slice, StoreError};

impl Draft<'_> {
    pub(super) fn open_session(&mut self, session: &OpenSession, was: u64) -> Outcome<()> {
        let mut user = self.user(session.user)?.ok_or(StoreError::Changed)?;
        if !user.is_active || user.version != was {
            return Err(StoreError::Changed);
        }
        self.leave_orders(&user);
        user.last_login = Some(session.created);
        self.enter_orders(&user);
        self.drop_challenges(&[Key::challenge(user.id, ChallengeKind::Reset)])?;
        self.put(Key::user(user.id), to_json(&user)?);
        self.list(session)
    }

    pub(super) fn list(&mut self, session: &OpenSession) -> Outcome<()> {
        let key = Key::session(session.user, session.id);
        self.put(Key::over_at(session.ends, &key), Vec::new());
        self.put(Key::session_by_time(session), Vec::new());
        self.put(key, to_json(session)?);
        Ok(())
    }

    fn unlist(&mut self, session: &OpenSession) {
        let key = Key::session(session.user, session.id);
        self.remove(Key::over_at(session.ends, &key));
        self.remove(Key::session_by_time(session));
        self.remove(key);
    }

    pub(super) fn close(&mut self, key: &[u8]) -> Outcome<()> {
        if let Some(session) = self.json(key)? {
            self.unlist(&session);
        }
        Ok(())
    }

    pub(super) fn close_all(&mut self, user: UserId, keep: Option<SessionId>) -> Outcome<()> {
        for session in self.all::<OpenSession>(&Key::sessions(user))? {
            if keep != Some(session.id) {
                self.unlist(&session);
            }
        }
        Ok(())
    }

    /// Those of one user, the newest first.
    pub(in crate::store::embedded) fn sessions(
        &self,
        user: UserId,
        alive: Alive,
        slice: &Slice,
    ) -> Outcome<Page<OpenSession>> {
        let prefix = Key::sessions_by_time(user);
        // A place of this order, or none: there is nothing that comes before another user's.
        let after = slice.after.as_deref().and_then(layout::from_hex).filter(|after| after.len() == Key::TIME_AND_ID);
        // No place has as many bytes.
        let end = after.unwrap_or_else(|| vec![0xff; Key::TIME_AND_ID + 1]);
        let entries = self.tree.range(prefix.clone()..[prefix.as_slice(), &end].concat()).rev();
        let load = |place: &[u8]| {
            let id = place.last_chunk().copied().map(SessionId::from_bytes).ok_or_else(damaged)?;
            let session: Option<OpenSession> = self.json(&Key::session(user, id))?;
            Ok(session.filter(|session| alive.has(session)))
        };
        leaf_through(entries, prefix.len(), slice.limit, |place, _| load(place))
    }

    /// Those of everybody: by user, then by id. One whose user is gone is none.
    pub(in crate::store::embedded) fn open_sessions(&self, alive: Alive, slice: &Slice) -> Outcome<Page<NamedSession>> {
        let prefix = Key::all_sessions();
        let after = slice.after.as_deref().and_then(layout::from_hex);
        let from = after.map_or_else(|| prefix.clone(), |after| [&prefix, after.as_slice(), &[0]].concat());
        let load = |record: &[u8]| {
            let session: OpenSession = from_json(record)?;
            let user = if alive.has(&session) { self.user(session.user)? } else { None };
            Ok(user.map(|user| NamedSession { session, username: user.username }))
        };
        let is_one =
            |entry: &sled::Result<(sled::IVec, _)>| entry.as_ref().is_ok_and(|(key, _)| key.starts_with(&prefix));
        let entries = self.tree.range(from..).take_while(|entry| entry.is_err() || is_one(entry));
        leaf_through(entries, prefix.len(), slice.limit, |_, record| load(record))
    }
}

fn damaged() -> StoreError {
    StoreError::Damaged("an index of sessions is damaged".to_owned())
}
