//! Django's `dumpdata`, read: objects of `contrib.auth` in every shape in which Django writes them.
//!
//! Owns what a dump means: references by number, by UUID or by natural key, forwards too; custom user models; times
//! with and without zone. A first pass learns permissions and groups; a second one gives records. Nothing is guessed: what
//! a dump does not say is a loss that is reported.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::input::{Input, Unreadable};
use super::record::{GroupRecord, Item, PermissionRecord, Record};
use crate::claims::GroupId;
use crate::error::Fault;

mod first;
mod second;

use first::First;
use second::Second;

/// The model of users unless another one is named.
pub const USER_MODEL: &str = "auth.user";

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
