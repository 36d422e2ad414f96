//! Django's `dumpdata`, read: objects of `contrib.auth` in every shape in which Django writes them.
//!
//! Owns what a dump means: references by number, by UUID or by natural key, forwards too; custom user models; times
//! with and without zone. A first pass learns permissions and groups; a second one gives records. Nothing is guessed: what
//! a dump does not say is a loss that is reported.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::input::{Input, Unreadable};
use super::record::{GroupRecord, Item, PermissionRecord, Record, UserRecord};
use crate::claims::{GroupId, UserId};
use crate::error::Fault;

/// The model of users unless another one is named.
pub const USER_MODEL: &str = "auth.user";

/// Most names that a remark lists.
const NAMES_MAX: usize = 100;

/// What has to be known to understand a dump.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The label of the user model, as in `accounts.user`.
    pub user_model: String,
    /// The field that holds the name that a log-in takes.
    pub username_field: String,
    /// The zone of times that name none.
    pub time_zone: TimeZone,
    /// Tells apart the identities of several Django projects.
    pub source: String,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            user_model: USER_MODEL.to_owned(),
            username_field: "username".to_owned(),
            time_zone: TimeZone::UTC,
            source: String::new(),
        }
    }
}

/// One object of a dump.
#[derive(Deserialize)]
struct Object {
    model: String,
    #[serde(default)]
    pk: Value,
    fields: Map<String, Value>,
}

/// A permission as references find it.
#[derive(Debug, Clone)]
struct Known {
    name: String,
    description: String,
    /// Where it stands.
    locator: String,
}

/// A dump that was read once.
#[derive(Debug)]
pub struct Dump {
    input: Input,
    reading: Reading,
    permissions: BTreeMap<String, Known>,
    /// Permission's pk → name.
    permission_pks: HashMap<String, String>,
    /// Rows of permissions whose content type is not in the dump.
    broken: Vec<Known>,
    /// Groups, the permissions that they grant, and what of them is lost.
    groups: Vec<(GroupRow, Vec<String>, Vec<Fault>)>,
    /// Group's pk → name.
    group_pks: HashMap<String, String>,
    /// SHA-256 of the whole.
    pub fingerprint: [u8; 32],
    /// Users in it.
    pub users: u64,
    /// Objects of other models: label → count.
    pub ignored: BTreeMap<String, u64>,
    /// Fields of users that have no place here: name → count.
    pub extra_fields: BTreeMap<String, u64>,
    /// Whether a time without zone was seen.
    pub naive_times: bool,
    /// Whether a permission is named by a number that no row explains.
    pub unexplained: bool,
}

/// A group's identity and name.
#[derive(Debug)]
struct GroupRow {
    id: GroupId,
    name: String,
    locator: String,
}

/// What the fields of a user are, without the one of the name.
const USER_FIELDS: [&str; 11] = [
    "password",
    "last_login",
    "is_superuser",
    "first_name",
    "last_name",
    "email",
    "is_staff",
    "is_active",
    "date_joined",
    "groups",
    "user_permissions",
];

impl Dump {
    /// The dump in a file, or on standard input for `-`.
    ///
    /// # Errors
    /// When it is no dump, or none of the named user model.
    pub fn open(path: &Path, mut reading: Reading) -> Result<Self, Unreadable> {
        reading.user_model = reading.user_model.to_ascii_lowercase();
        let mut input = Input::open(path)?;
        let mut first = First::new(&reading);
        let fingerprint = input.pass(|_, object: Object| {
            first.take(object);
            Ok(())
        })?;
        first.finish(input, reading.clone(), fingerprint)
    }

    /// How it is understood.
    #[must_use]
    pub fn reading(&self) -> &Reading {
        &self.reading
    }

    /// Permissions and groups of the dump.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        ((self.permissions.len() + self.broken.len()) as u64, self.groups.len() as u64)
    }

    /// Gives each record to `each`: permissions, then groups, then users.
    ///
    /// # Errors
    /// What `each` finds, and when the file has changed since it was opened.
    pub fn read(&mut self, each: &mut dyn FnMut(Item) -> Result<(), Unreadable>) -> Result<(), Unreadable> {
        for known in &self.broken {
            let message = "its content type is not in the dump; dump it too: manage.py dumpdata contenttypes auth";
            let losses = vec![Fault::new("content_type", "unknown_content_type", message)];
            each(Item { locator: known.locator.clone(), record: None, losses })?;
        }
        for known in self.permissions.values() {
            let record =
                PermissionRecord { name: known.name.clone(), description: known.description.clone(), version: 0 };
            let record = Some(Record::Permission(record));
            each(Item { locator: known.locator.clone(), record, losses: Vec::new() })?;
        }
        for (group, permissions, losses) in &self.groups {
            let record = GroupRecord {
                id: group.id,
                name: group.name.clone(),
                permissions: permissions.clone(),
                created: None,
                version: 0,
            };
            let record = Some(Record::Group(record));
            each(Item { locator: group.locator.clone(), record, losses: losses.clone() })?;
        }
        let Self { input, reading, permission_pks, group_pks, naive_times, unexplained, .. } = self;
        let again = input.pass(|_, object: Object| {
            if !object.model.eq_ignore_ascii_case(&reading.user_model) {
                return Ok(());
            }
            let mut second =
                Second { reading, permission_pks, group_pks, naive_times, unexplained, losses: Vec::new() };
            let item = second.user(object);
            each(item)
        })?;
        if again == self.fingerprint { Ok(()) } else { Err(Unreadable("the file changed meanwhile".to_owned())) }
    }
}

/// The text by which a primary key is found again; `None` when it is absent.
fn key(pk: &Value) -> Option<String> {
    match pk {
        Value::Null | Value::Array(_) | Value::Object(_) => None,
        pk => Some(pk.to_string()),
    }
}

/// The identity of an object, the same each time the dump is read: of its source, its model and its primary key, or
/// of its natural key where it has no other.
fn identity(reading: &Reading, model: &str, pk: &Value, natural: &str) -> [u8; 16] {
    let key = key(pk).unwrap_or_else(|| format!("natural {natural}"));
    let mut hash = Sha256::new();
    for part in ["signet import django 1", &reading.source, model, &key] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let mut id = [0; 16];
    id.copy_from_slice(&hash.finalize()[..16]);
    id
}

fn locator(model: &str, pk: &Value, name: &str) -> String {
    // A name may be anything; what a terminal would obey is escaped.
    match key(pk) {
        Some(pk) => format!("{model} pk {} {name:?}", pk.trim_matches('"')),
        None => format!("{model} {name:?}"),
    }
}

fn text<'v>(fields: &'v Map<String, Value>, name: &str) -> &'v str {
    fields.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Two or three texts of a natural key.
fn natural<const N: usize>(key: &Value) -> Option<[&str; N]> {
    let texts: Vec<&str> = key.as_array()?.iter().filter_map(Value::as_str).collect();
    texts.try_into().ok()
}

fn list<'v>(fields: &'v Map<String, Value>, name: &str) -> &'v [Value] {
    fields.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The first pass.
struct First<'r> {
    reading: &'r Reading,
    content_types: HashMap<String, String>,
    permissions: Vec<Object>,
    groups: Vec<Object>,
    /// Permissions that are named by natural key.
    named: BTreeSet<String>,
    users: u64,
    without_name: u64,
    text_fields: BTreeSet<String>,
    /// Other models that look like users.
    candidates: BTreeSet<String>,
    ignored: BTreeMap<String, u64>,
    extra_fields: BTreeMap<String, u64>,
}

impl<'r> First<'r> {
    fn new(reading: &'r Reading) -> Self {
        Self {
            reading,
            content_types: HashMap::new(),
            permissions: Vec::new(),
            groups: Vec::new(),
            named: BTreeSet::new(),
            users: 0,
            without_name: 0,
            text_fields: BTreeSet::new(),
            candidates: BTreeSet::new(),
            ignored: BTreeMap::new(),
            extra_fields: BTreeMap::new(),
        }
    }

    fn take(&mut self, object: Object) {
        let model = object.model.to_ascii_lowercase();
        if model == self.reading.user_model {
            self.user(&object);
            return;
        }
        match model.as_str() {
            "contenttypes.contenttype" => {
                let label = text(&object.fields, "app_label").to_owned();
                self.content_types.extend(key(&object.pk).map(|pk| (pk, label)));
            }
            "auth.permission" => self.permissions.push(object),
            "auth.group" => {
                self.name(list(&object.fields, "permissions"));
                self.groups.push(object);
            }
            _ => {
                if object.fields.contains_key("password") && object.fields.contains_key("last_login") {
                    self.candidates.insert(model.clone());
                }
                if self.ignored.len() < NAMES_MAX || self.ignored.contains_key(&model) {
                    *self.ignored.entry(model).or_default() += 1;
                }
            }
        }
    }

    fn user(&mut self, user: &Object) {
        self.users += 1;
        let name = &self.reading.username_field;
        if !user.fields.contains_key(name) {
            self.without_name += 1;
            let texts = user.fields.iter().filter(|(_, value)| value.is_string()).map(|(name, _)| name);
            let texts = texts.filter(|name| !["password", "last_login", "date_joined"].contains(&name.as_str()));
            if self.text_fields.len() < NAMES_MAX {
                self.text_fields.extend(texts.cloned());
            }
        }
        for field in user.fields.keys().filter(|field| *field != name && !USER_FIELDS.contains(&field.as_str())) {
            if self.extra_fields.len() < NAMES_MAX || self.extra_fields.contains_key(field) {
                *self.extra_fields.entry(field.clone()).or_default() += 1;
            }
        }
        self.name(list(&user.fields, "user_permissions"));
    }

    fn name(&mut self, references: &[Value]) {
        let names = references.iter().filter_map(natural::<3>);
        let new = names.map(|[codename, app, _]| format!("{app}.{codename}"));
        for name in new {
            if !self.named.contains(&name) {
                self.named.insert(name);
            }
        }
    }

    fn finish(self, input: Input, reading: Reading, fingerprint: [u8; 32]) -> Result<Dump, Unreadable> {
        let model = &reading.user_model;
        if self.users == 0 && (model != USER_MODEL || !self.candidates.is_empty()) {
            let candidates: Vec<String> = self.candidates.iter().map(|c| format!("--user-model {c}")).collect();
            let mend = match candidates.len() {
                0 => "dump the app of the user model too".to_owned(),
                _ => format!("name the user model with {}", candidates.join(" or ")),
            };
            return Err(Unreadable(format!("there is no {model} in the dump; {mend}")));
        }
        if self.users > 0 && self.without_name == self.users {
            let fields: Vec<&str> = self.text_fields.iter().map(String::as_str).collect();
            return Err(Unreadable(format!(
                "no {model} has the field {}; name the one that holds the log-in name with --username-field (the text \
                 fields are: {})",
                reading.username_field,
                fields.join(", ")
            )));
        }
        let mut dump = Dump {
            input,
            permissions: BTreeMap::new(),
            permission_pks: HashMap::new(),
            broken: Vec::new(),
            groups: Vec::new(),
            group_pks: HashMap::new(),
            fingerprint,
            users: self.users,
            ignored: self.ignored,
            extra_fields: self.extra_fields,
            naive_times: false,
            unexplained: false,
            reading,
        };
        for object in self.permissions {
            let codename = text(&object.fields, "codename");
            let app = match object.fields.get("content_type") {
                Some(reference @ Value::Array(_)) => natural::<2>(reference).map(|[app, _]| app),
                Some(pk) => key(pk).and_then(|pk| self.content_types.get(&pk)).map(String::as_str),
                None => None,
            };
            let name = format!("{}.{codename}", app.unwrap_or("?"));
            let locator = locator("auth.permission", &object.pk, &name);
            let description = text(&object.fields, "name").to_owned();
            let known = Known { name: name.clone(), description, locator };
            if app.is_none() {
                dump.broken.push(known);
                continue;
            }
            dump.permission_pks.extend(key(&object.pk).map(|pk| (pk, name.clone())));
            // Two models of an app may have the same codename, which Django does not tell apart when it decides.
            dump.permissions.entry(name).or_insert(known);
        }
        for name in self.named {
            let locator = format!("permission {name:?}, named by natural key");
            let known = Known { name: name.clone(), description: String::new(), locator };
            dump.permissions.entry(name).or_insert(known);
        }
        for object in self.groups {
            let name = text(&object.fields, "name").to_owned();
            let mut losses = Vec::new();
            let references = list(&object.fields, "permissions");
            let permissions = permissions(references, &dump.permission_pks, &mut dump.unexplained, &mut losses);
            let id = GroupId::from_bytes(identity(&dump.reading, "auth.group", &object.pk, &name));
            let locator = locator("auth.group", &object.pk, &name);
            dump.group_pks.extend(key(&object.pk).map(|pk| (pk, name.clone())));
            dump.groups.push((GroupRow { id, name, locator }, permissions, losses));
        }
        Ok(dump)
    }
}

/// The names of permissions that are referred to.
fn permissions(
    references: &[Value],
    pks: &HashMap<String, String>,
    unexplained: &mut bool,
    losses: &mut Vec<Fault>,
) -> Vec<String> {
    let mut names = Vec::with_capacity(references.len());
    for reference in references {
        let name = match natural::<3>(reference) {
            Some([codename, app, _]) => Some(format!("{app}.{codename}")),
            None => key(reference).and_then(|pk| pks.get(&pk).cloned()),
        };
        if let Some(name) = name {
            names.push(name);
            continue;
        }
        *unexplained = true;
        let message = format!(
            "the permission {reference} is named by a key that no row of the dump explains; dump it too: manage.py \
             dumpdata contenttypes auth"
        );
        losses.push(Fault::new("permissions", "unexplained_permission", message));
    }
    names
}

/// The second pass, at one user.
struct Second<'a> {
    reading: &'a Reading,
    permission_pks: &'a HashMap<String, String>,
    group_pks: &'a HashMap<String, String>,
    naive_times: &'a mut bool,
    unexplained: &'a mut bool,
    losses: Vec<Fault>,
}

impl Second<'_> {
    fn user(&mut self, object: Object) -> Item {
        let Object { pk, fields, .. } = object;
        let model = &self.reading.user_model;
        let name = text(&fields, &self.reading.username_field);
        let flag = |name: &str, usual: bool| fields.get(name).and_then(Value::as_bool).unwrap_or(usual);
        let user_permissions =
            permissions(list(&fields, "user_permissions"), self.permission_pks, self.unexplained, &mut self.losses);
        let groups = self.groups(list(&fields, "groups"));
        let record = UserRecord {
            email_verified: false,
            id: UserId::from_bytes(identity(self.reading, model, &pk, name)),
            username: name.to_owned(),
            password: text(&fields, "password").to_owned(),
            first_name: text(&fields, "first_name").to_owned(),
            last_name: text(&fields, "last_name").to_owned(),
            email: text(&fields, "email").to_owned(),
            // What a model without the field has (Django's AbstractBaseUser and no PermissionsMixin).
            is_active: flag("is_active", true),
            is_staff: flag("is_staff", false),
            is_superuser: flag("is_superuser", false),
            groups,
            user_permissions,
            last_login: self.time(&fields, "last_login"),
            date_joined: self.time(&fields, "date_joined"),
            version: 0,
            generation: 0,
            rights_version: 0,
        };
        let locator = locator(model, &pk, name);
        Item { locator, record: Some(Record::User(Box::new(record))), losses: std::mem::take(&mut self.losses) }
    }

    fn groups(&mut self, references: &[Value]) -> Vec<String> {
        let mut names = Vec::with_capacity(references.len());
        for reference in references {
            let name = match natural::<1>(reference) {
                Some([name]) => Some(name.to_owned()),
                None => key(reference).and_then(|pk| self.group_pks.get(&pk).cloned()),
            };
            if let Some(name) = name {
                names.push(name);
            } else {
                let message = format!("there is no group {reference} in the dump; dump auth.group too");
                self.losses.push(Fault::new("groups", "unexplained_group", message));
            }
        }
        names
    }

    fn time(&mut self, fields: &Map<String, Value>, name: &str) -> Option<DateTime<Utc>> {
        let text = fields.get(name)?.as_str()?;
        if let Ok(time) = DateTime::parse_from_rfc3339(text) {
            return Some(time.to_utc());
        }
        let Ok(naive) = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f") else {
            self.losses.push(Fault::new(name, "time", "this is not a time that Django writes"));
            return None;
        };
        *self.naive_times = true;
        Some(in_zone(naive, &self.reading.time_zone).unwrap_or(naive.and_utc()))
    }
}

/// When clocks of the zone show this: of an hour that they show twice, the first one; in one that they skip, what they
/// would have shown without (Django's `make_aware`). `None` for the last day of the calendar, of which no zone is known.
fn in_zone(shown: NaiveDateTime, zone: &TimeZone) -> Option<DateTime<Utc>> {
    let utc = shown.and_utc();
    let clock = Offset::UTC.to_datetime(Timestamp::from_second(utc.timestamp()).ok()?);
    let seconds = zone.to_timestamp(clock).ok()?.as_second();
    Some(utc + TimeDelta::seconds(seconds - utc.timestamp()))
}
