//! What has ended in a commit, and all of it for a start.

use std::ops::Range;
use std::thread;

use super::{Draft, Outcome};
use crate::store::embedded::failed;
use crate::store::embedded::layout::{self, Key};
use crate::store::{Revocation, StoreError};

impl Draft<'_> {
    /// All of them, of which there can be millions, by as many threads as there are cores: ids are random, so that each
    /// has as many as the others.
    pub(in crate::store::embedded) fn revocations(&self) -> Outcome<Vec<Revocation>> {
        let parse = |entry: sled::Result<(sled::IVec, sled::IVec)>| {
            let (key, value) = entry.map_err(|e| failed(&e))?;
            layout::revocation(&key, &value)
        };
        let read = |part: Range<Vec<u8>>| self.tree.range(part).map(parse).collect::<Outcome<Vec<_>>>();
        let panicked = |_| StoreError::Failed("a reader of the store panicked".to_owned());
        let mut parts = Key::revocations_in_parts(thread::available_parallelism().map_or(1, usize::from));
        let own = parts.next().unwrap_or_default();
        thread::scope(|scope| {
            let start = |part: Range<Vec<u8>>| {
                let others = part.clone();
                (part, thread::Builder::new().spawn_scoped(scope, || read(others)))
            };
            let readers: Vec<_> = parts.map(start).collect();
            let mut all = read(own)?;
            for (part, reader) in readers {
                // Each part is given back before the next one is added.
                all.append(&mut match reader {
                    Ok(reader) => reader.join().map_err(panicked)??,
                    Err(_) => read(part)?,
                });
            }
            Ok(all)
        })
    }

    pub(super) fn revoke(&mut self, revocation: Revocation) -> Outcome<()> {
        if matches!(revocation, Revocation::Epoch(_)) && self.get(&Key::forgotten())?.is_some() {
            // What was dropped covered tokens of older epochs only.
            self.remove(Key::forgotten());
        }
        let key = Key::revocation(&revocation);
        let old = self.get(&key)?.map(|value| layout::revocation(&key, &value)).transpose()?;
        let new = merged(old, revocation);
        if let Some(until) = old.and_then(|old| old.until()) {
            self.remove(Key::over_at(until, &key));
        }
        if let Some(until) = new.until() {
            self.put(Key::over_at(until, &key), Vec::new());
        }
        self.put(key, layout::revocation_value(&new));
        Ok(())
    }
}

/// The revocation that covers all that both cover.
fn merged(old: Option<Revocation>, new: Revocation) -> Revocation {
    match (old, new) {
        (Some(Revocation::Session { until: old, .. }), Revocation::Session { id, until }) => {
            Revocation::Session { id, until: until.max(old) }
        }
        (
            Some(Revocation::User { generation: g, rights_version: r, until: old, .. }),
            Revocation::User { id, generation, rights_version, until },
        ) => Revocation::User {
            id,
            generation: generation.max(g),
            rights_version: rights_version.max(r),
            until: until.max(old),
        },
        (Some(Revocation::Epoch(old)), Revocation::Epoch(new)) => Revocation::Epoch(new.max(old)),
        (_, new) => new,
    }
}
