//! The judgement of records: what each one comes to in the store, and what of it is lost.
//!
//! Owns the rules by which records are carried, and the writes that carry them; commits nothing. Called by what runs
//! an import on a stopped server, and by the operation that takes records from afar.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Display;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::outcome::{Batch, Existing, Fate, Outcome};
use super::record::{GroupRecord, PermissionRecord, Record, UserRecord};
use super::seen::Seen;
use crate::account::revoking;
use crate::administration::describe;
use crate::app::{App, unavailable};
use crate::claims::{GroupId, UserId};
use crate::error::{Error, Fault};
use crate::password::format::{Format, recognise};
use crate::rights::{Group, Permission, PermissionEntry, group_name};
use crate::session;
use crate::store::{Slice, Write};
use crate::user::{self, UNUSABLE_PASSWORD, User, Username};

/// Look-ups in the store that run at once.
const LOOKUPS: usize = 8;

/// The highest counter that is taken: from there on it can still rise as often as anybody changes anything, and every
/// reader of JSON knows it exactly (RFC 8259, section 6).
const COUNTER_MAX: u64 = (1 << 53) - 1;

/// Refuses a counter that could not rise any more: what a change takes away would not end.
fn counted(counters: &[(&str, u64)]) -> Result<(), Fault> {
    match counters.iter().find(|(_, counter)| *counter > COUNTER_MAX) {
        Some((field, _)) => Err(Fault::new(field, "out_of_range", format!("a counter is at most {COUNTER_MAX}"))),
        None => Ok(()),
    }
}

/// Judges records, one batch after the other: permissions first, then groups, then users.
pub struct Judge<'a> {
    app: &'a App,
    existing: Existing,
    seen: Seen,
    /// Whether the store had no users at the begin: nobody needs to be looked up then.
    nobody: bool,
    /// Permissions by name, as far as they were asked for or have come.
    permissions: HashMap<String, Option<PermissionEntry>>,
    /// Groups that have come or are assumed; all others are in the app's own table.
    groups: HashMap<String, GroupId>,
    /// Bytes of the cookie of a user without any rights.
    frame: Option<usize>,
}

/// Records that were read from the store for one batch.
#[derive(Default)]
struct Found {
    users: BTreeMap<UserId, User>,
    by_name: HashMap<String, User>,
}

impl<'a> Judge<'a> {
    /// A judge who has seen nothing yet.
    #[must_use]
    pub fn new(app: &'a App, existing: Existing) -> Self {
        Self {
            app,
            existing,
            seen: Seen::default(),
            nobody: false,
            permissions: HashMap::new(),
            groups: HashMap::new(),
            frame: None,
        }
    }

    /// Finds out whether anybody has to be looked up. Only for who alone writes to the store.
    ///
    /// # Errors
    /// `Unavailable` when the store failed.
    pub async fn alone(mut self) -> Result<Self, Error> {
        let any = Slice { limit: 1, ..Slice::default() };
        self.nobody = self.app.store().users(any).await.map_err(unavailable)?.items.is_empty();
        Ok(self)
    }

    /// Whether the store had no users when it was asked.
    #[must_use]
    pub fn found_nobody(&self) -> bool {
        self.nobody
    }

    /// Takes groups and permissions of these names for present. For a judgement that nothing is written after.
    pub fn assume(&mut self, groups: &[String], permissions: &[String]) {
        for name in groups {
            let id = self.app.groups().id(name).unwrap_or(GroupId::from_bytes([0; 16]));
            self.groups.insert(name.clone(), id);
        }
        for name in permissions {
            if let Ok(name) = Permission::parse("", name) {
                let entry = PermissionEntry { name: name.clone(), description: String::new(), version: 0 };
                self.permissions.insert(name.as_str().to_owned(), Some(entry));
            }
        }
    }

    /// What the records come to.
    ///
    /// # Errors
    /// `Unavailable` when the store failed.
    pub async fn judge(&mut self, records: Vec<Record>) -> Result<Batch, Error> {
        self.learn_permissions(&records).await?;
        let found = self.look_up(&records).await?;
        let mut batch = Batch { outcomes: Vec::with_capacity(records.len()), ..Batch::default() };
        for record in records {
            let outcome = match record {
                Record::Permission(record) => self.permission(record, &mut batch),
                Record::Group(record) => self.group(record, &mut batch).await?,
                Record::User(record) => self.user(*record, &found, &mut batch)?,
            };
            batch.outcomes.push(outcome);
        }
        Ok(batch)
    }

    /// Asks the store for the permissions that the records name, each once.
    async fn learn_permissions(&mut self, records: &[Record]) -> Result<(), Error> {
        let mut wanted = BTreeSet::new();
        for record in records {
            let names: &[String] = match record {
                Record::Permission(record) => std::slice::from_ref(&record.name),
                Record::Group(record) => &record.permissions,
                Record::User(record) => &record.user_permissions,
            };
            wanted.extend(names.iter().filter(|name| !self.permissions.contains_key(*name)));
        }
        let wanted: Vec<Permission> = wanted.into_iter().filter_map(|name| Permission::parse("", name).ok()).collect();
        let ask = async |name: Permission| {
            let entry = self.app.store().permission(&name).await.map_err(unavailable)?;
            Ok::<_, Error>((name.as_str().to_owned(), entry))
        };
        let found: Vec<_> = stream::iter(wanted).map(ask).buffered(LOOKUPS).try_collect().await?;
        self.permissions.extend(found);
        Ok(())
    }

    async fn look_up(&self, records: &[Record]) -> Result<Found, Error> {
        let mut found = Found::default();
        if self.nobody {
            return Ok(found);
        }
        let keys = records.iter().filter_map(|record| match record {
            Record::User(record) => Some((record.id, Username::parse(&record.username).map(|name| name.key()).ok())),
            _ => None,
        });
        let ask = async |(id, key): (UserId, Option<String>)| {
            let store = self.app.store();
            if let Some(user) = store.user(id).await.map_err(unavailable)? {
                return Ok::<_, Error>((Some(user), None));
            }
            let Some(key) = key else { return Ok((None, None)) };
            let named = store.user_named(&key).await.map_err(unavailable)?;
            Ok((None, named.map(|user| (key, user))))
        };
        let keys: Vec<_> = keys.collect();
        let all: Vec<_> = stream::iter(keys).map(ask).buffered(LOOKUPS).try_collect().await?;
        for (user, named) in all {
            found.users.extend(user.map(|user| (user.id, user)));
            found.by_name.extend(named);
        }
        Ok(found)
    }

    fn permission(&mut self, record: PermissionRecord, batch: &mut Batch) -> Outcome {
        let (name, description) = match (Permission::parse("name", &record.name), describe(&record.description)) {
            (Err(fault), _) => return Outcome::refused(fault),
            (Ok(name), description) => (name, description),
        };
        if let Err(fault) = counted(&[("version", record.version)]) {
            return Outcome::refused(fault);
        }
        let mut losses = Vec::new();
        let description = description.unwrap_or_else(|fault| {
            losses.push(fault);
            String::new()
        });
        let known = self.permissions.get(name.as_str()).cloned().flatten();
        let fate = match known {
            None => {
                let entry = PermissionEntry { name: name.clone(), description, version: record.version };
                batch.writes.push(Write::CreatePermission(entry.clone()));
                batch.traces.permissions.push(name.clone());
                self.permissions.insert(record.name, Some(entry));
                Fate::Created
            }
            Some(before) if self.existing == Existing::Replace && before.description != description => {
                let permission = PermissionEntry { description, ..before.clone() };
                batch.writes.push(Write::ChangePermission { permission, was: before.version });
                batch.traces.permissions_before.push(before);
                Fate::Changed
            }
            Some(_) => return Outcome { fate: Fate::Kept, losses: Vec::new(), format: None },
        };
        Outcome { fate, losses, format: None }
    }

    /// The permissions of these names that are there.
    fn known(&self, names: &[String], losses: &mut Vec<Fault>) -> BTreeSet<Permission> {
        let mut found = BTreeSet::new();
        for (at, name) in names.iter().enumerate() {
            match self.permissions.get(name) {
                Some(Some(entry)) => {
                    found.insert(entry.name.clone());
                }
                _ => losses.push(Fault::new(
                    &format!("permissions/{at}"),
                    "unknown_permission",
                    "the permission is neither carried nor there",
                )),
            }
        }
        found
    }

    async fn group(&mut self, record: GroupRecord, batch: &mut Batch) -> Result<Outcome, Error> {
        let name = counted(&[("version", record.version)]).and_then(|()| group_name(&record.name));
        let name = match name.and_then(|name| self.seen.group(record.id, &name).map(|()| name)) {
            Ok(name) => name,
            Err(fault) => return Ok(Outcome::refused(fault)),
        };
        let mut losses = Vec::new();
        let permissions = self.known(&record.permissions, &mut losses);
        let table = self.app.groups();
        let id = match (table.name(record.id), table.id(&name)) {
            (Some(other), _) if other != name => return Ok(Outcome::refused(other_name("group"))),
            (None, Some(id)) => id,
            _ => record.id,
        };
        self.groups.insert(name.clone(), id);
        let fate = if table.name(id).is_none() {
            let created = record.created.unwrap_or_else(|| self.app.now());
            let group = Group { id, name, permissions, created, version: record.version };
            batch.writes.push(Write::CreateGroup(group));
            batch.traces.groups.push(id);
            Fate::Created
        } else if self.existing == Existing::Keep {
            return Ok(Outcome { fate: Fate::Kept, losses: Vec::new(), format: None });
        } else {
            let before = self.app.store().group(id).await.map_err(unavailable)?.ok_or(Error::Changed)?;
            if before.permissions == permissions {
                return Ok(Outcome { fate: Fate::Kept, losses, format: None });
            }
            let group = Group { permissions, ..before.clone() };
            batch.writes.push(Write::ChangeGroup { group, was: before.version });
            batch.traces.groups_before.push(before);
            Fate::Changed
        };
        Ok(Outcome { fate, losses, format: None })
    }

    fn user(&mut self, record: UserRecord, found: &Found, batch: &mut Batch) -> Result<Outcome, Error> {
        let UserRecord { version, generation, rights_version, .. } = record;
        let counters = [("version", version), ("generation", generation), ("rights_version", rights_version)];
        let name = counted(&counters).and_then(|()| Username::parse(&record.username));
        let name = match name.and_then(|name| self.seen.user(record.id, &name).map(|()| name)) {
            Ok(name) => name,
            Err(fault) => return Ok(Outcome::refused(fault)),
        };
        let mut losses = Vec::new();
        let (password, format) = password(record.password, &mut losses);
        let before = match (found.users.get(&record.id), found.by_name.get(&name.key())) {
            (Some(user), _) if user.username.key() != name.key() => return Ok(Outcome::refused(other_name("account"))),
            (None, Some(user)) if user.username != name => {
                let message = "an account of the same name, but for case and width, is there; rename one of them";
                return Ok(Outcome::refused(Fault::new("username", "look_alike", message)));
            }
            (Some(user), _) | (None, Some(user)) => Some(user),
            (None, None) => None,
        };
        if before.is_some() && self.existing == Existing::Keep {
            return Ok(Outcome { fate: Fate::Kept, losses: Vec::new(), format });
        }
        let email = user::email(&record.email).unwrap_or_else(|fault| lost(fault, &mut losses));
        let mut person =
            |field: &str, text: &str| user::person_name(field, text).unwrap_or_else(|fault| lost(fault, &mut losses));
        let (first_name, last_name) =
            (person("first_name", &record.first_name), person("last_name", &record.last_name));
        let (groups, names) = self.groups_of(&record.groups, &mut losses);
        let permissions = self.known(&record.user_permissions, &mut losses);
        // An account that was there and was deleted has left a mark, which no token of this one must fall under.
        let id = before.map_or(record.id, |before| before.id);
        let floor = self.app.revocations().floor(id);
        let user = User {
            id,
            version: before.map_or(record.version, |before| before.version),
            username: name,
            password,
            first_name,
            last_name,
            email_verified: record.email_verified && !email.is_empty(),
            email,
            is_active: record.is_active,
            is_staff: record.is_staff,
            is_superuser: record.is_superuser,
            groups,
            permissions,
            generation: record.generation.max(floor.0),
            rights_version: record.rights_version.max(floor.1),
            last_login: record.last_login,
            date_joined: record.date_joined.or(before.map(|b| b.date_joined)).unwrap_or_else(|| self.app.now()),
        };
        if let Some(fault) = self.too_large(&user, names)? {
            losses.push(fault);
            return Ok(Outcome { fate: Fate::Refused, losses, format });
        }
        let fate = match before {
            None => {
                batch.traces.users.push(user.id);
                batch.writes.push(Write::CreateUser(Box::new(user)));
                Fate::Created
            }
            Some(before) => self.replace(before, user, batch),
        };
        Ok(Outcome { fate, losses, format })
    }

    /// The writes by which an account becomes what a record says; what is taken away ends.
    fn replace(&self, before: &User, mut after: User, batch: &mut Batch) -> Fate {
        after.last_login = before.last_login;
        after.generation = after.generation.max(before.generation);
        after.rights_version = after.rights_version.max(before.rights_version);
        if after == *before {
            return Fate::Kept;
        }
        batch.writes.extend(revoking(self.app, before, &mut after));
        if after.generation != before.generation {
            batch.writes.push(Write::CloseSessions { user: after.id, keep: None });
        }
        batch.traces.users_before.push(before.clone());
        Fate::Changed
    }

    fn groups_of(&self, wanted: &[String], losses: &mut Vec<Fault>) -> (BTreeSet<GroupId>, Vec<String>) {
        let table = self.app.groups();
        let (mut ids, mut names) = (BTreeSet::new(), Vec::new());
        for (at, wanted) in wanted.iter().enumerate() {
            let name = group_name(wanted).unwrap_or_default();
            match self.groups.get(&name).copied().or_else(|| table.id(&name)) {
                Some(id) => {
                    ids.insert(id);
                    names.push(name);
                }
                None => losses.push(Fault::new(
                    &format!("groups/{at}"),
                    "unknown_group",
                    "the group is neither carried nor there",
                )),
            }
        }
        names.sort_unstable();
        names.dedup();
        (ids, names)
    }

    /// That the rights would not fit into the cookie. The cookie is signed only when a bound says that it may be so.
    fn too_large(&mut self, user: &User, groups: Vec<String>) -> Result<Option<Fault>, Error> {
        let frame = if let Some(frame) = self.frame {
            frame
        } else {
            let nobody = User { groups: BTreeSet::new(), permissions: BTreeSet::new(), ..user.clone() };
            // The name may be this user's: the bound below counts it once more.
            *self.frame.insert(session::rights_bytes(self.app, &nobody, Vec::new())?)
        };
        // In JSON a character of a group's name takes two at most; flags, numbers and member names the rest.
        let more: usize = 192
            + user.username.as_str().len()
            + groups.iter().map(|name| 2 * name.len() + 3).sum::<usize>()
            + user.permissions.iter().map(|name| name.as_str().len() + 3).sum::<usize>();
        if frame + more.div_ceil(3) * 4 <= session::COOKIE_BYTES_ALLOWED - session::DATA_RESERVE {
            return Ok(None);
        }
        match session::rights_fit(self.app, user, groups) {
            Err(Error::RightsTooLarge { used, allowed }) => {
                let message = format!(
                    "the rights would take {used} of {allowed} bytes of the cookie; grant permissions through a group"
                );
                Ok(Some(Fault::new("user_permissions", "rights_too_large", message)))
            }
            done => done.map(|()| None),
        }
    }
}

/// The hash as it is stored, and its form. One that no password can match is stored as unusable.
fn password(encoded: String, losses: &mut Vec<Fault>) -> (String, Option<Format>) {
    match recognise(&encoded) {
        Ok(Format::Unusable) if !encoded.starts_with('!') => (UNUSABLE_PASSWORD.to_owned(), Some(Format::Unusable)),
        Ok(format) => (encoded, Some(format)),
        Err(why) => {
            let message = format!("{why}; nobody could log in: a new password has to be set");
            (lost(Fault::new("password", "password_hash", message), losses) + UNUSABLE_PASSWORD, None)
        }
    }
}

/// Notes the loss of a text, and gives what stands in its place.
fn lost(fault: Fault, losses: &mut Vec<Fault>) -> String {
    losses.push(fault);
    String::new()
}

fn other_name(what: impl Display) -> Fault {
    let message = format!(
        "the {what} of this identity has another name by now; rename it, or import from another source under its own --source"
    );
    Fault::new("id", "other_name", message)
}
