//! The audit log in a commit, and what is over or covered: read from its new end, dropped from its old one.

use chrono::{DateTime, Utc};

use super::{Draft, FORGET_MAX, Outcome, failed, leaf_through};
use crate::audit::{Event, Filter};
use crate::claims::{SessionId, UserId, instant};
use crate::store::embedded::layout::{self, Key, from_json};
use crate::store::{Page, Revocation, Slice};

impl Draft<'_> {
    /// Events, the newest first. The key to go on from is the last one's own, in hexadecimal.
    pub(in crate::store::embedded) fn events(&self, filter: &Filter, slice: &Slice) -> Outcome<Page<Event>> {
        let from = filter.since.map_or_else(Key::events, Key::events_from);
        let mut to = filter.until.map_or_else(|| b"a0".to_vec(), Key::events_from);
        if let Some(after) = slice.after.as_deref().and_then(layout::from_hex) {
            to = to.min([Key::events(), after].concat());
        }
        if to < from {
            return Ok(Page { items: Vec::new(), next: None });
        }
        leaf_through(self.tree.range(from..to).rev(), Key::events().len(), slice.limit, |_, record| {
            let event: Event = from_json(record)?;
            Ok(filter.wants(&event).then_some(event))
        })
    }

    pub(super) fn forget_events(&mut self, before: DateTime<Utc>) -> Outcome<()> {
        for entry in self.tree.range(Key::events()..Key::events_from(before)).take(FORGET_MAX) {
            let (key, _) = entry.map_err(|e| failed(&e))?;
            self.remove(key.to_vec());
        }
        Ok(())
    }

    /// The latest end of a revocation that was dropped in this epoch.
    pub(in crate::store::embedded) fn forgotten(&self) -> Outcome<Option<DateTime<Utc>>> {
        let seconds = self.get(&Key::forgotten())?.and_then(|value| value.try_into().ok()).map(i64::from_be_bytes);
        Ok(seconds.map(instant))
    }

    pub(super) fn drop_covered(&mut self, user: UserId, ids: &[SessionId]) -> Outcome<()> {
        let end = |draft: &Self, of: Revocation| -> Outcome<_> {
            let key = Key::revocation(&of);
            let found = draft.get(&key)?.map(|value| layout::revocation(&key, &value)).transpose()?;
            Ok((key, found.and_then(|found| found.until())))
        };
        let until = DateTime::UNIX_EPOCH;
        let (_, covers) = end(self, Revocation::User { id: user, generation: 0, rights_version: 0, until })?;
        for id in ids {
            let (key, ends) = end(self, Revocation::Session { id: *id, until })?;
            if let Some(ends) = ends.filter(|ends| covers.is_some_and(|covers| *ends <= covers)) {
                self.remove(Key::over_at(ends, &key));
                self.remove(key);
            }
        }
        Ok(())
    }

    pub(super) fn forget(&mut self, now: DateTime<Utc>) -> Outcome<()> {
        let mut over = Vec::new();
        for entry in self.tree.scan_prefix(Key::over()).take(FORGET_MAX) {
            let (key, _) = entry.map_err(|e| failed(&e))?;
            match Key::parse_over(&key) {
                Some((until, record)) if until <= now.timestamp() => over.push((until, key.to_vec(), record.to_vec())),
                _ => break,
            }
        }
        let mut forgotten = self.forgotten()?;
        for (until, key, record) in over {
            // Another write, of this commit or of one before, may have found out that it lasts longer.
            if self.get(&key)?.is_some() {
                if record.starts_with(&Key::revocations()) && forgotten.is_none_or(|known| known < instant(until)) {
                    forgotten = Some(instant(until));
                    self.put(Key::forgotten(), until.to_be_bytes().to_vec());
                }
                self.remove(key);
                if record.starts_with(&Key::all_sessions()) { self.close(&record)? } else { self.remove(record) }
            }
        }
        Ok(())
    }
}
