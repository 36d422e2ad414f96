//! The first pass over a dump: its permissions and groups, whoever names them, and whether its users can be recognised.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use super::super::input::{Input, Unreadable};
use super::{
    Dump, GroupRow, Known, Object, Reading, USER_MODEL, identity, key, list, locator, natural, permissions, text,
};
use crate::claims::GroupId;

/// Most names that a remark lists.
const NAMES_MAX: usize = 100;

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

/// The first pass.
pub(super) struct First<'r> {
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
    pub(super) fn new(reading: &'r Reading) -> Self {
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

    pub(super) fn take(&mut self, object: Object) {
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

    pub(super) fn finish(self, input: Input, reading: Reading, fingerprint: [u8; 32]) -> Result<Dump, Unreadable> {
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
