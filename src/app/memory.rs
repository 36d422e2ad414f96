//! What a commit changes in memory, and the groups as memory knows them.
//!
//! Pure. `app.rs` feeds it with what became durable.

use std::collections::{HashMap, HashSet};

use crate::audit;
use crate::claims::{GroupId, SessionId, UserId};
use crate::revocation::endings::Kind;
use crate::rights::{Group, GroupTable};
use crate::store::{Revocation, Write};

/// The events among the writes.
pub(super) fn recorded(writes: &[Write]) -> Vec<audit::Event> {
    let event = |write: &Write| if let Write::Record(event) = write { Some((**event).clone()) } else { None };
    writes.iter().filter_map(event).collect()
}

/// What a commit changes in memory.
pub(super) struct Changes {
    pub(super) revocations: Vec<Revocation>,
    /// Whose sessions and API tokens were closed.
    pub(super) closed: Vec<(UserId, Kind, SessionId)>,
    /// Endings that a generation of their user covers now.
    pub(super) covered: Vec<(UserId, Vec<SessionId>)>,
    pub(super) groups: Vec<GroupChange>,
    /// What was done, for who counts it.
    pub(super) events: Vec<(audit::Action, audit::Outcome)>,
}

pub(super) enum GroupChange {
    Is(Group),
    Gone(GroupId),
}

impl Changes {
    pub(super) fn of(writes: &[Write]) -> Self {
        let mut changes = Self {
            revocations: Vec::new(),
            closed: Vec::new(),
            covered: Vec::new(),
            groups: Vec::new(),
            events: Vec::new(),
        };
        for write in writes {
            match write {
                Write::Revoke(revocation) => changes.revocations.push(*revocation),
                Write::CloseSession { user, id } => changes.closed.push((*user, Kind::Session, *id)),
                Write::DropToken { owner, id } => changes.closed.push((*owner, Kind::ApiToken, *id)),
                Write::DropTokens { owner, ids } => {
                    changes.closed.extend(ids.iter().map(|id| (*owner, Kind::ApiToken, *id)));
                }
                Write::DropCovered { user, ids } => changes.covered.push((*user, ids.clone())),
                Write::Record(event) => changes.events.push((event.action, event.outcome)),
                Write::CreateGroup(group) => changes.groups.push(GroupChange::Is(group.clone())),
                Write::ChangeGroup { group, was } => {
                    changes.groups.push(GroupChange::Is(Group { version: was + 1, ..group.clone() }));
                }
                Write::DeleteGroup { id, .. } => changes.groups.push(GroupChange::Gone(*id)),
                _ => {}
            }
        }
        changes
    }
}

/// The groups as memory knows them. Changes may arrive in another order than they were committed in: the newest
/// version of a group stays, and one that is gone does not come back.
#[derive(Default)]
pub(super) struct GroupFeed {
    pub(super) groups: HashMap<GroupId, Group>,
    gone: HashSet<GroupId>,
    /// Counts what was learned.
    pub(super) changes: u64,
    /// How many changes the store had counted when they were read.
    pub(super) counted: u64,
}

impl GroupFeed {
    pub(super) fn learn(&mut self, changes: Vec<GroupChange>) {
        for change in changes {
            match change {
                GroupChange::Gone(id) => {
                    self.groups.remove(&id);
                    self.gone.insert(id);
                }
                GroupChange::Is(group) => {
                    let known = self.groups.get(&group.id).map(|known| known.version);
                    if !self.gone.contains(&group.id) && known.is_none_or(|known| known < group.version) {
                        self.groups.insert(group.id, group);
                    }
                }
            }
        }
        self.changes += 1;
    }

    pub(super) fn replace(&mut self, groups: Vec<Group>, counted: u64) {
        self.groups = groups.into_iter().map(|group| (group.id, group)).collect();
        self.counted = counted;
        self.changes += 1;
    }

    pub(super) fn table(&self) -> GroupTable {
        GroupTable::new(self.groups.values())
    }
}
