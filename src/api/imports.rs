//! Accounts in, from afar: parts of an import, each judged and written whole or not at all.

use poem::Request;
use poem::web::Data;
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{Enum, Object, OpenApi};

use crate::api::Group;
use crate::api::body::Body;
use crate::api::caller::{StaffRequired, client};
use crate::api::json::Time;
use crate::api::problem::Problem;
use crate::api::visit::Visit;
use crate::claims::{GroupId, UserId};
use crate::error::{Error, Fault};
use crate::import::outcome::Outcome;
use crate::import::record::{GroupRecord, PermissionRecord, Record, UserRecord};
use crate::import::{self, Existing, Fate, Part};

/// Largest body of a part, in bytes.
pub const PART_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What becomes of what is in the store already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub enum ImportExisting {
    /// It stays as it is.
    Keep,
    /// It becomes what the record says.
    Replace,
}

/// What a record comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub enum ImportFate {
    /// It is new.
    Created,
    /// It changes what is there.
    Changed,
    /// It is there already.
    Kept,
    /// It cannot be carried.
    Refused,
}

/// A part of an import.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub struct ImportPart {
    /// Permissions, then groups, then users.
    #[oai(validator(max_items = 500))]
    records: Vec<ImportRecord>,
    /// Whether to write. Otherwise the answer says what would come of it.
    apply: Option<bool>,
    /// Whether to go without what cannot be carried. Otherwise any loss refuses the whole part.
    skip: Option<bool>,
    /// What becomes of what is there already; `keep` when it is left out.
    existing: Option<ImportExisting>,
    /// Names of groups that earlier parts will have brought, where nothing is written.
    #[oai(validator(max_items = 20000))]
    assumed_groups: Option<Vec<String>>,
    /// Names of permissions that earlier parts will have brought, where nothing is written.
    #[oai(validator(max_items = 20000))]
    assumed_permissions: Option<Vec<String>>,
}

/// One record: exactly one of its members.
#[derive(Object)]
#[oai(skip_serializing_if_is_none)]
pub struct ImportRecord {
    /// A permission of the catalogue.
    permission: Option<ImportPermission>,
    /// A group.
    group: Option<ImportGroup>,
    /// A user.
    user: Option<ImportUser>,
}

/// A permission of the catalogue.
#[derive(Object)]
#[oai(skip_serializing_if_is_none)]
pub struct ImportPermission {
    /// `app_label.codename`.
    name: String,
    /// What it allows, for people.
    description: Option<String>,
    /// Changes of the record so far.
    version: Option<u64>,
}

/// A group.
#[derive(Object)]
#[oai(skip_serializing_if_is_none)]
pub struct ImportGroup {
    /// Its identity: 16 bytes in unpadded base64url, the same each time it is imported.
    id: String,
    /// Its name.
    name: String,
    /// Names of the permissions that it grants.
    #[oai(validator(max_items = 20000))]
    permissions: Option<Vec<String>>,
    /// When it was made.
    created: Option<Time>,
    /// Changes of the record so far.
    version: Option<u64>,
}

/// A user.
#[derive(Object)]
#[oai(skip_serializing_if_is_none)]
pub struct ImportUser {
    /// The identity: 16 bytes in unpadded base64url, the same each time it is imported.
    id: String,
    /// The name that a log-in takes.
    username: String,
    /// The encoded password hash, in a form of Signet's or of Django's. Without one nobody can log in.
    password: Option<String>,
    /// Given name.
    first_name: Option<String>,
    /// Family name.
    last_name: Option<String>,
    /// Address.
    email: Option<String>,
    /// Whether its owner has shown that the address is theirs.
    email_verified: Option<bool>,
    /// Whether the user may log in; true when it is left out.
    is_active: Option<bool>,
    /// Whether administration is open to the user.
    is_staff: Option<bool>,
    /// Whether the user has every permission.
    is_superuser: Option<bool>,
    /// Names of groups.
    #[oai(validator(max_items = 2000))]
    groups: Option<Vec<String>>,
    /// Names of permissions to grant directly.
    #[oai(validator(max_items = 2000))]
    user_permissions: Option<Vec<String>>,
    /// The latest log-in.
    last_login: Option<Time>,
    /// When the account was made.
    date_joined: Option<Time>,
    /// Changes of the record so far.
    version: Option<u64>,
    /// A token of an older generation is dead.
    generation: Option<u64>,
    /// A token of an older rights version is stale.
    rights_version: Option<u64>,
}

impl Example for ImportPart {
    fn example() -> Self {
        let user = ImportUser {
            id: "q7YJ0nVbTz2rWkXcE5hLsw".to_owned(),
            username: "carol".to_owned(),
            password: Some("!".to_owned()),
            first_name: Some("Carol".to_owned()),
            last_name: None,
            email: Some("carol@example.com".to_owned()),
            email_verified: None,
            is_active: Some(true),
            is_staff: None,
            is_superuser: None,
            groups: Some(Vec::new()),
            user_permissions: Some(Vec::new()),
            last_login: None,
            date_joined: None,
            version: None,
            generation: None,
            rights_version: None,
        };
        Self {
            records: vec![ImportRecord { permission: None, group: None, user: Some(user) }],
            apply: Some(true),
            skip: Some(false),
            existing: Some(ImportExisting::Keep),
            assumed_groups: None,
            assumed_permissions: None,
        }
    }
}

/// What a part came to.
#[derive(Object)]
pub struct ImportAnswer {
    /// Whether it was written.
    applied: bool,
    /// Records that are new.
    created: u64,
    /// Records that change what is there.
    changed: u64,
    /// Records that are there already.
    kept: u64,
    /// Records that cannot be carried.
    refused: u64,
    /// One for each record, in order.
    outcomes: Vec<ImportOutcome>,
}

/// What one record came to.
#[derive(Object)]
pub struct ImportOutcome {
    /// What it came to.
    fate: ImportFate,
    /// The form of a user's password hash; null when it is none that is known.
    #[oai(nullable)]
    password_format: Option<String>,
    /// What of it cannot be carried.
    losses: Vec<ImportLoss>,
}

/// Something that cannot be carried.
#[derive(Object)]
pub struct ImportLoss {
    /// Which member.
    field: String,
    /// A code that a program can rely on.
    code: String,
    /// What is wrong and how to mend it.
    message: String,
}

impl ImportOutcome {
    fn of(outcome: &Outcome) -> Self {
        let loss = |fault: &Fault| ImportLoss {
            field: fault.field.clone(),
            code: fault.code.to_owned(),
            message: fault.message.clone(),
        };
        let fate = match outcome.fate {
            Fate::Created => ImportFate::Created,
            Fate::Changed => ImportFate::Changed,
            Fate::Kept => ImportFate::Kept,
            Fate::Refused => ImportFate::Refused,
        };
        let password_format = outcome.format.map(|format| format.name().to_owned());
        Self { fate, password_format, losses: outcome.losses.iter().map(loss).collect() }
    }
}

/// The records, as the rooms below know them.
fn records(given: Vec<ImportRecord>) -> Result<Vec<Record>, Error> {
    let mut faults = Vec::new();
    let mut records = Vec::with_capacity(given.len());
    for (at, record) in given.into_iter().enumerate() {
        match one(at, record) {
            Ok(record) => records.push(record),
            Err(fault) => faults.push(fault),
        }
    }
    faults.truncate(20);
    if faults.is_empty() { Ok(records) } else { Err(Error::Invalid(faults)) }
}

fn one(at: usize, record: ImportRecord) -> Result<Record, Fault> {
    let odd_id = |_| {
        let message = "an identity is 16 bytes in unpadded base64url: 22 characters";
        Fault::new(&format!("records/{at}/id"), "id", message)
    };
    match (record.permission, record.group, record.user) {
        (Some(permission), None, None) => {
            let ImportPermission { name, description, version } = permission;
            let (description, version) = (description.unwrap_or_default(), version.unwrap_or_default());
            Ok(Record::Permission(PermissionRecord { name, description, version }))
        }
        (None, Some(group), None) => Ok(Record::Group(GroupRecord {
            id: group.id.parse::<GroupId>().map_err(odd_id)?,
            name: group.name,
            permissions: group.permissions.unwrap_or_default(),
            created: group.created.map(|time| time.0),
            version: group.version.unwrap_or_default(),
        })),
        (None, None, Some(user)) => Ok(Record::User(Box::new(UserRecord {
            id: user.id.parse::<UserId>().map_err(odd_id)?,
            username: user.username,
            password: user.password.unwrap_or_default(),
            first_name: user.first_name.unwrap_or_default(),
            last_name: user.last_name.unwrap_or_default(),
            email: user.email.unwrap_or_default(),
            email_verified: user.email_verified.unwrap_or_default(),
            is_active: user.is_active.unwrap_or(true),
            is_staff: user.is_staff.unwrap_or_default(),
            is_superuser: user.is_superuser.unwrap_or_default(),
            groups: user.groups.unwrap_or_default(),
            user_permissions: user.user_permissions.unwrap_or_default(),
            last_login: user.last_login.map(|time| time.0),
            date_joined: user.date_joined.map(|time| time.0),
            version: user.version.unwrap_or_default(),
            generation: user.generation.unwrap_or_default(),
            rights_version: user.rights_version.unwrap_or_default(),
        }))),
        _ => {
            let message = "a record is exactly one of permission, group and user";
            Err(Fault::new(&format!("records/{at}"), "one_member", message))
        }
    }
}

/// Import operations.
pub struct ImportsApi;

#[OpenApi(tag = "Group::Users")]
impl ImportsApi {
    /// Import accounts
    ///
    /// Judges a part of an import and, with `apply`, writes it: all of it, or nothing. Identities come with the
    /// records, so that the same part is written once, however often it is sent. Only a superuser may.
    #[oai(path = "/v1/import", method = "post", operation_id = "import_accounts")]
    async fn import_accounts(
        &self,
        visit: Data<&Visit>,
        staff: StaffRequired,
        request: &Request,
        Body(part): Body<ImportPart, PART_BYTES_MAX>,
    ) -> Result<Json<ImportAnswer>, Problem> {
        let part = Part {
            records: records(part.records)?,
            apply: part.apply.unwrap_or_default(),
            skip: part.skip.unwrap_or_default(),
            existing: match part.existing {
                Some(ImportExisting::Replace) => Existing::Replace,
                _ => Existing::Keep,
            },
            assumed_groups: part.assumed_groups.unwrap_or_default(),
            assumed_permissions: part.assumed_permissions.unwrap_or_default(),
        };
        let applied = part.apply;
        let outcomes = import::take(visit.app(), &staff, part, &client(request)).await?;
        let count = |fate| outcomes.iter().filter(|outcome| outcome.fate == fate).count() as u64;
        Ok(Json(ImportAnswer {
            applied,
            created: count(Fate::Created),
            changed: count(Fate::Changed),
            kept: count(Fate::Kept),
            refused: count(Fate::Refused),
            outcomes: outcomes.iter().map(ImportOutcome::of).collect(),
        }))
    }
}
