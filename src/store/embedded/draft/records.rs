//! Records as they stand: read one after the other, and written as they stood elsewhere.

use super::super::layout::{self, Key, from_json, to_json};
use super::{Draft, Outcome, failed};
use crate::claims::{ChallengeKind, UserId};
use crate::store::{Page, Record, StoreError};

impl Draft<'_> {
    pub(super) fn restore(&mut self, record: &Record) -> Outcome<()> {
        match record {
            Record::Session(session) => {
                self.must_be_there(&Key::user(session.user))?;
                self.list(session)?;
            }
            Record::Token(token) => {
                self.must_be_there(&Key::user(token.owner))?;
                let key = Key::token(token.owner, token.id);
                self.put(Key::over_at(token.ends, &key), Vec::new());
                self.put(key, to_json(token)?);
            }
            Record::Challenge { user, kind, challenge } => {
                self.must_be_there(&Key::user(*user))?;
                self.put(Key::challenge(*user, *kind), to_json(challenge)?);
            }
            Record::Forgotten(until) => {
                self.put(Key::forgotten(), until.timestamp().to_be_bytes().to_vec());
            }
        }
        Ok(())
    }

    /// Sessions, then API tokens, then what was asked by mail. The key is the cursor.
    pub(crate) fn records(&self, after: Option<&str>, limit: usize) -> Outcome<Page<Record>> {
        let after = after.and_then(layout::from_hex).unwrap_or_default();
        let mut page = Page { items: Vec::new(), next: None };
        let mut last = Vec::new();
        for prefix in [Key::all_sessions(), Key::all_tokens(), Key::all_challenges()] {
            // These spaces are passed in this order, which is not that of their names.
            let place = |key: &[u8]| {
                [Key::all_sessions(), Key::all_tokens(), Key::all_challenges()]
                    .iter()
                    .position(|prefix| key.starts_with(prefix))
            };
            let from = match place(&after).zip(place(&prefix)) {
                Some((done, this)) if done > this => continue,
                Some((done, this)) if done == this => [after.as_slice(), &[0]].concat(),
                _ => prefix.clone(),
            };
            for entry in self.tree.range(from..) {
                let (key, value) = entry.map_err(|e| failed(&e))?;
                let Some(rest) = key.strip_prefix(prefix.as_slice()) else { break };
                if page.items.len() == limit {
                    page.next = Some(layout::to_hex(&last));
                    return Ok(page);
                }
                page.items.push(match prefix[0] {
                    b's' => Record::Session(from_json(&value)?),
                    b't' => Record::Token(from_json(&value)?),
                    _ => challenge(rest, &value)?,
                });
                last = key.to_vec();
            }
        }
        Ok(page)
    }
}

fn challenge(rest: &[u8], value: &[u8]) -> Outcome<Record> {
    let damaged = || StoreError::Damaged("the key of a challenge is damaged".to_owned());
    let (user, kind) = rest.split_first_chunk::<16>().ok_or_else(damaged)?;
    let user = UserId::from_bytes(*user);
    let kinds = [ChallengeKind::Reset, ChallengeKind::Verification];
    let is_it = |of: &ChallengeKind| Key::challenge(user, *of).ends_with(kind);
    let kind = kinds.into_iter().find(is_it).ok_or_else(damaged)?;
    Ok(Record::Challenge { user, kind, challenge: from_json(value)? })
}
