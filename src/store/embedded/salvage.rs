//! A damaged store, read without being opened: what is left of its records, and which of them can be believed.
//!
//! Owns the judgement of records by one another. Reads only: nothing in the folder is written, moved or removed.
//! `salvage/log.rs` reads sled's file, `salvage/remains.rs` finds the keys in it. Called by `repair.rs`, which writes
//! what is saved into a store of its own.
//!
//! A record whose checksum holds may still be an older one than the last that was acknowledged: the newer one may lie
//! where the damage is. So each account is held against what else tells of it: its revocation (a generation, a rights
//! version), the keys under which it was found, the audit log. Where they contradict the account, it is closed: saved,
//! but disabled, until somebody has looked at it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::Path;

use serde::de::DeserializeOwned;

use super::database::{IN_USE, acknowledged, unlocked};
use super::layout::{self, Key, from_json};
use crate::audit::{Action, Event, Outcome};
use crate::claims::{GroupId, UserId};
use crate::rights::{Group, Permission, PermissionEntry};
use crate::store::{ApiToken, OpenSession, Revocation, Tally};
use crate::user::User;

mod log;
mod remains;

pub use log::Damage;
use remains::Remains;

/// The folder in the store's for what was in it before it was opened, when that is not whole.
pub(super) const ASIDE: &str = "signet-aside";

/// Whether sled clears nothing that could be saved when it opens the store's file. It clears what comes after a damaged
/// place or a missing segment, and what is there of a batch that has no end: something to save only if it was
/// acknowledged, and lost its end later. `segment` is what is read into.
///
/// # Errors
/// When the folder, or the file's length, cannot be read.
pub(super) fn is_whole(folder: &Path, file: &File, segment: &mut Vec<u8>) -> io::Result<bool> {
    let blobs = folder.join("blobs");
    let outlook = log::outlook(file, &blobs, snapshot_end(folder)?, segment)?;
    if !outlook.is_sound || !outlook.has_torn {
        return Ok(outlook.is_sound);
    }
    let (leaves, _) = log::read(file, &blobs, false, |leaf| leaf.holds(&Key::applied()))?;
    Ok(applied(&Remains::of(leaves)) >= marked(folder))
}

/// Where in the log the newest snapshot of the page table ends, by its name; zero without one.
fn snapshot_end(folder: &Path) -> io::Result<u64> {
    let mut end = 0;
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let position = name.to_str().and_then(|name| u64::from_str_radix(name.strip_prefix("snap.")?, 16).ok());
        end = end.max(position.unwrap_or(0));
    }
    Ok(end)
}

/// The number of the newest batch that is in it.
fn applied(remains: &Remains) -> u64 {
    number(remains.get(&Key::applied())).unwrap_or(0)
}

/// The number of the newest batch that was acknowledged, by the mark beside the store.
fn marked(folder: &Path) -> u64 {
    File::open(folder.join("signet-store")).and_then(|mark| acknowledged(&mark)).unwrap_or(0)
}

/// Why nothing was salvaged: what, why, and how to mend it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CannotSalvage(pub String);

/// What can be saved of a store, and what was found out about the rest.
#[derive(Debug, Default)]
pub struct Salvage {
    /// The catalogue of permissions.
    pub permissions: Vec<PermissionEntry>,
    /// Groups; they grant nothing that is not in the catalogue.
    pub groups: Vec<Group>,
    /// Users; they are in no group, and have no permission, that is not among the ones above.
    pub users: Vec<User>,
    /// The audit log.
    pub events: Vec<Event>,
    /// Counters of attempts.
    pub tallies: Vec<Tally>,
    /// The longest life of a token, in seconds, if it is known.
    pub longest_life: Option<u32>,
    /// The latest epoch that anything tells of.
    pub epoch: u64,
    /// What was found out.
    pub findings: Findings,
}

/// What was found out about a store on the way.
#[derive(Debug, Default)]
pub struct Findings {
    /// What could not be read of the files.
    pub damage: Damage,
    /// Acknowledged commits that are known to be missing at the end.
    pub commits_lost: u64,
    /// Users that are among the saved ones, disabled: something tells that what was read of them is not their last state.
    pub closed: Vec<String>,
    /// Users of whom there is a name and nothing else, sorted.
    pub users_lost: Vec<String>,
    /// Records of users that cannot be read and have no name, or of which a better one is there.
    pub user_records_dropped: usize,
    /// Records of users whom the audit log tells to be deleted.
    pub users_deleted: usize,
    /// Groups of which there is a name and nothing else, and those that something contradicts; sorted.
    pub groups_lost: Vec<String>,
    /// Permissions that somebody has and that the catalogue has lost, with their description; sorted.
    pub permissions_rebuilt: Vec<String>,
    /// Memberships of groups that are gone.
    pub memberships_dropped: usize,
    /// Grants of permissions that are gone.
    pub grants_dropped: usize,
    /// Other records that cannot be read.
    pub unreadable: usize,
    /// Open sessions, none of which is saved.
    pub sessions: usize,
    /// API tokens, none of which is saved.
    pub api_tokens: usize,
    /// Questions asked by mail, none of which is saved.
    pub challenges: usize,
    /// Revocations, which a new epoch makes needless.
    pub revocations: usize,
}

/// Reads what is left of the store in the folder, of which nothing is changed.
///
/// # Errors
/// When there is no store, another process has it open, it is of another version, or no user can be read.
pub fn salvage(folder: &Path) -> Result<Salvage, CannotSalvage> {
    let say = |what: &str, mend: &str| CannotSalvage(format!("the store in {}: {what}; {mend}", folder.display()));
    // The lock is on the file that sled opens, wherever the contents of before are.
    let file = File::open(folder.join("db")).map_err(|e| {
        say(&format!("its file db cannot be read: {e}"), "name its folder with --data, or restore it from a backup")
    })?;
    // The lock that an open store holds. It is held until all is read, and changes nothing.
    unlocked(|| Ok(file.try_lock()?)).map_err(|e| match e {
        e if e.kind() == io::ErrorKind::WouldBlock => say(IN_USE, "stop that one first"),
        e => say(&format!("it cannot be locked: {e}"), "check the disk"),
    })?;
    // A start that was cut short has left a copy of what was there before it.
    let aside = folder.join(ASIDE);
    let (kept, blobs) = match File::open(aside.join("db")) {
        Ok(kept) => (kept, aside.join("blobs")),
        Err(_) => (
            file.try_clone().map_err(|e| say(&format!("it cannot be read: {e}"), "check the disk"))?,
            folder.join("blobs"),
        ),
    };
    let read = |unended| {
        let read = log::read(&kept, &blobs, unended, |_| true);
        let (leaves, damage) = read.map_err(|e| say(&format!("it cannot be read: {e}"), "check the disk"))?;
        Ok((Remains::of(leaves), damage))
    };
    let marked = marked(folder);
    let (mut remains, mut damage) = read(false)?;
    if applied(&remains) < marked {
        // What has no end was acknowledged, and lost its end later: what is left of it tells of others.
        (remains, damage) = read(true)?;
    }
    if remains.get(&Key::format()).is_some_and(|format| !layout::is_known(format)) {
        return Err(say("it was written by another version of signet", "use that version"));
    }
    let mut judge = Judge { remains: &remains, salvage: Salvage::default(), names: BTreeMap::new() };
    judge.salvage.findings.damage = damage;
    judge.run();
    let mut salvage = judge.salvage;
    if salvage.users.is_empty() {
        return Err(say("no account in it can be read", "keep the folder, and restore it from a backup"));
    }
    salvage.findings.commits_lost = marked.saturating_sub(applied(&remains));
    Ok(salvage)
}

fn number(value: Option<&[u8]>) -> Option<u64> {
    value.and_then(|value| value.try_into().ok()).map(u64::from_be_bytes)
}

struct Judge<'a> {
    remains: &'a Remains,
    salvage: Salvage,
    /// The names by which users are found.
    names: BTreeMap<UserId, String>,
}

impl Judge<'_> {
    fn run(&mut self) {
        for (key, id) in self.remains.under(&Key::user_name("")) {
            let name = String::from_utf8_lossy(&key[2..]).into_owned();
            match <[u8; 16]>::try_from(id) {
                Ok(id) => drop(self.names.insert(UserId::from_bytes(id), name)),
                Err(_) => self.salvage.findings.unreadable += 1,
            }
        }
        self.log_and_counters();
        self.ended();
        let deleted = |action: Action| -> BTreeSet<String> {
            let events = self.salvage.events.iter();
            let done = events.filter(|event| event.action == action && event.outcome == Outcome::Done);
            done.filter_map(|event| Some(event.target.as_ref()?.id.clone())).collect()
        };
        let (users, groups) = (deleted(Action::DeleteUser), deleted(Action::DeleteGroup));
        self.catalogue(&groups);
        self.users(&users);
        self.without_what_is_gone();
    }

    /// The records under a prefix that can be read and lie where they belong.
    fn records<T: DeserializeOwned>(&mut self, prefix: &[u8], place: impl Fn(&T) -> Vec<u8>) -> Vec<T> {
        let mut found = Vec::new();
        for (key, value) in self.remains.under(prefix) {
            match from_json::<T>(value) {
                Ok(record) if place(&record) == key => found.push(record),
                _ => self.salvage.findings.unreadable += 1,
            }
        }
        found
    }

    /// Whether a key is known not to be there: its page was read, and has none.
    fn lacks(&self, key: &[u8]) -> bool {
        self.remains.covers(key) && self.remains.get(key).is_none()
    }

    fn log_and_counters(&mut self) {
        self.salvage.events = self.records(&Key::events(), Key::event);
        for (key, value) in self.remains.under(&Key::tallies()) {
            match layout::tally(key, value) {
                Ok(tally) => self.salvage.tallies.push(tally),
                Err(_) => self.salvage.findings.unreadable += 1,
            }
        }
        let life = self.remains.get(&Key::longest_life());
        self.salvage.longest_life = life.and_then(|life| life.try_into().ok()).map(u32::from_be_bytes);
    }

    /// What is not saved as a new epoch ends it, and what tells how late the epoch was.
    fn ended(&mut self) {
        let sessions = self.records(&Key::all_sessions(), |s: &OpenSession| Key::session(s.user, s.id));
        let tokens = self.records(&Key::all_tokens(), |t: &ApiToken| Key::token(t.owner, t.id));
        let epochs = sessions.iter().map(|s| s.epoch).chain(tokens.iter().map(|t| t.epoch));
        let mut epoch = epochs.max().unwrap_or(0);
        for (key, value) in self.remains.under(&Key::revocations()) {
            match layout::revocation(key, value) {
                Ok(Revocation::Epoch(known)) => epoch = epoch.max(known),
                Ok(_) => self.salvage.findings.revocations += 1,
                Err(_) => self.salvage.findings.unreadable += 1,
            }
        }
        self.salvage.epoch = epoch;
        self.salvage.findings.sessions = sessions.len();
        self.salvage.findings.api_tokens = tokens.len();
        self.salvage.findings.challenges = self.remains.under(b"q/").count();
    }

    fn catalogue(&mut self, deleted: &BTreeSet<String>) {
        let place = |entry: &PermissionEntry| Key::permission(entry.name.as_str());
        self.salvage.permissions = self.records(&Key::permission(""), place);
        let mut lost = BTreeSet::new();
        let mut names = BTreeSet::new();
        for group in self.records(&Key::groups(), |group: &Group| Key::group(group.id)) {
            let name = Key::group_name(&group.name);
            let contradicted = match self.remains.get(&name) {
                Some(id) => id != group.id.bytes(),
                None => self.remains.covers(&name),
            };
            if deleted.contains(&group.id.to_string()) {
                continue;
            }
            if contradicted || !names.insert(group.name.clone()) {
                lost.insert(group.name);
            } else {
                self.salvage.groups.push(group);
            }
        }
        for (key, _) in self.remains.under(&Key::group_name("")) {
            let name = String::from_utf8_lossy(&key[2..]).into_owned();
            if !names.contains(&name) {
                lost.insert(name);
            }
        }
        self.salvage.findings.groups_lost = lost.into_iter().collect();
    }

    fn users(&mut self, deleted: &BTreeSet<String>) {
        let before = self.salvage.findings.unreadable;
        let mut users = self.records(&Key::users(), |user: &User| Key::user(user.id));
        self.salvage.findings.user_records_dropped = self.salvage.findings.unreadable - before;
        self.salvage.findings.unreadable = before;
        // Of two records of one name, the one that was changed more often comes first.
        users.sort_by_key(|user| (user.username.key(), std::cmp::Reverse((user.generation, user.version))));
        let mut names = BTreeSet::new();
        for mut user in users {
            if deleted.contains(&user.id.to_string()) {
                self.salvage.findings.users_deleted += 1;
                continue;
            }
            let name = user.username.key();
            if self.remains.get(&Key::user_name(&name)).is_some_and(|id| id != user.id.bytes()) || names.contains(&name)
            {
                // Renamed or deleted since: the name is another account's.
                self.salvage.findings.user_records_dropped += 1;
                continue;
            }
            let versions = self.revoked(user.id);
            let outdated = versions.is_some_and(|(g, r)| g > user.generation || r > user.rights_version);
            if outdated || self.is_contradicted(&user) {
                let (generation, rights) = versions.unwrap_or_default();
                user.generation = user.generation.max(generation);
                user.rights_version = user.rights_version.max(rights);
                user.is_active = false;
                self.salvage.findings.closed.push(user.username.as_str().to_owned());
            }
            names.insert(name);
            self.salvage.users.push(user);
        }
        let lost = self.names.iter().filter(|(id, name)| !names.contains(*name) && !deleted.contains(&id.to_string()));
        self.salvage.findings.users_lost = lost.map(|(_, name)| name.clone()).collect();
        self.salvage.findings.users_lost.sort_unstable();
    }

    /// The generation and the rights version that the user's revocation tells of.
    fn revoked(&self, id: UserId) -> Option<(u64, u64)> {
        let until = chrono::DateTime::UNIX_EPOCH;
        let key = Key::revocation(&Revocation::User { id, generation: 0, rights_version: 0, until });
        match layout::revocation(&key, self.remains.get(&key)?) {
            Ok(Revocation::User { generation, rights_version, .. }) => Some((generation, rights_version)),
            _ => None,
        }
    }

    /// Whether a key under which the user would be found is known not to be there: the record grants, or names, what
    /// was taken away since.
    fn is_contradicted(&self, user: &User) -> bool {
        let mut keys = vec![Key::user_name(&user.username.key())];
        keys.extend(user.groups.iter().map(|group| Key::member(*group, user.id)));
        keys.extend(user.permissions.iter().map(|permission| Key::holder(permission, user.id)));
        // A store of the version before has no users by address.
        if self.remains.get(&Key::format()) != Some(layout::FORMAT_1) {
            keys.push(super::draft::order_keys(user)[0].clone());
            keys.extend(Key::user_at_address(user));
        }
        let is_superuser = user.is_active && user.is_superuser;
        if is_superuser {
            keys.push(Key::superuser(user.id));
        }
        let staff: &[u8] = if user.is_staff { layout::STAFF } else { b"" };
        let other_staff = || self.remains.get(&Key::superuser(user.id)).is_some_and(|value| value != staff);
        keys.iter().any(|key| self.lacks(key)) || (is_superuser && other_staff())
    }

    /// Drops what refers to groups and permissions that are gone. A permission that only the catalogue has lost is put
    /// back: somebody has it, so it was not taken out.
    fn without_what_is_gone(&mut self) {
        let groups: BTreeSet<GroupId> = self.salvage.groups.iter().map(|group| group.id).collect();
        let mut known: BTreeSet<Permission> = self.salvage.permissions.iter().map(|entry| entry.name.clone()).collect();
        let of_groups = self.salvage.groups.iter().flat_map(|group| &group.permissions);
        let held: BTreeSet<Permission> =
            of_groups.chain(self.salvage.users.iter().flat_map(|user| &user.permissions)).cloned().collect();
        for name in held {
            if !known.contains(&name) && !self.remains.covers(&Key::permission(name.as_str())) {
                self.salvage.findings.permissions_rebuilt.push(name.as_str().to_owned());
                known.insert(name.clone());
                self.salvage.permissions.push(PermissionEntry { name, description: String::new(), version: 1 });
            }
        }
        let Salvage { groups: saved, users, findings, .. } = &mut self.salvage;
        let mut keep = |permissions: &mut BTreeSet<Permission>| {
            let before = permissions.len();
            permissions.retain(|permission| known.contains(permission));
            findings.grants_dropped += before - permissions.len();
        };
        for permissions in saved.iter_mut().map(|group| &mut group.permissions) {
            keep(permissions);
        }
        for permissions in users.iter_mut().map(|user| &mut user.permissions) {
            keep(permissions);
        }
        for user in users {
            let before = user.groups.len();
            user.groups.retain(|group| groups.contains(group));
            findings.memberships_dropped += before - user.groups.len();
        }
    }
}
