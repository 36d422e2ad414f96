//! What an import has met so far, so that nothing comes twice. What the store has is not asked here.

use std::collections::HashSet;

use sha2::{Digest as _, Sha256};

use crate::claims::{GroupId, UserId};
use crate::error::Fault;
use crate::user::Username;

/// What the records before have taken: identities and names, each as a part of its SHA-256 (one in 2⁵⁶ to mistake
/// two of a million for one), so that a million of them take few bytes.
#[derive(Default)]
pub(super) struct Seen {
    users: HashSet<[u8; 12]>,
    names: HashSet<[u8; 12]>,
    groups: HashSet<GroupId>,
    group_names: HashSet<String>,
}

fn part(of: &[u8]) -> [u8; 12] {
    let mut part = [0; 12];
    part.copy_from_slice(&Sha256::digest(of)[..12]);
    part
}

impl Seen {
    /// Refuses a user whose identity or name came before.
    ///
    /// # Errors
    /// The fault.
    pub(super) fn user(&mut self, id: UserId, name: &Username) -> Result<(), Fault> {
        if !self.users.insert(part(id.bytes())) {
            return Err(Fault::new("id", "twice", "the identity comes twice"));
        }
        if !self.names.insert(part(name.key().as_bytes())) {
            let message = "a record before has the same name, but for case and width; rename one of them";
            return Err(Fault::new("username", "twice", message));
        }
        Ok(())
    }

    /// Refuses a group whose identity or name came before.
    ///
    /// # Errors
    /// The fault.
    pub(super) fn group(&mut self, id: GroupId, name: &str) -> Result<(), Fault> {
        if !self.group_names.insert(name.to_owned()) {
            return Err(Fault::new("name", "twice", "a record before has the same name; rename one of them"));
        }
        if !self.groups.insert(id) {
            return Err(Fault::new("id", "twice", "the identity comes twice"));
        }
        Ok(())
    }
}
