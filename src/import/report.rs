//! The report of an import: what it carries, what it cannot carry and why, line by line.
//!
//! Owns the counts and their two forms, for people and for programs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::outcome::{Fate, Outcome};
use super::record::{Item, Record};
use crate::error::Fault;

/// Most losses that are kept to be told one by one; the others are counted.
const LINES_MAX: usize = 10_000;

/// What a record came to, in the words of whoever judged it.
#[derive(Debug, Clone)]
pub struct Told {
    /// What it came to.
    pub fate: Fate,
    /// What is lost of it.
    pub losses: Vec<Loss>,
    /// The form of a user's password hash, when it is known.
    pub format: Option<String>,
}

/// One loss.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// Which member.
    pub field: String,
    /// A code that a program can rely on.
    pub code: String,
    /// What is wrong and how to mend it.
    pub message: String,
}

impl From<&Fault> for Loss {
    fn from(fault: &Fault) -> Self {
        Self { field: fault.field.clone(), code: fault.code.to_owned(), message: fault.message.clone() }
    }
}

impl From<Outcome> for Told {
    fn from(outcome: Outcome) -> Self {
        Self {
            fate: outcome.fate,
            losses: outcome.losses.iter().map(Loss::from).collect(),
            format: outcome.format.map(|format| format.name().to_owned()),
        }
    }
}

impl Told {
    /// That nothing could be made of it.
    #[must_use]
    pub fn nothing() -> Self {
        Self { fate: Fate::Refused, losses: Vec::new(), format: None }
    }
}

/// What is lost of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Which record: `auth.user pk 5 "bob"`.
    pub record: String,
    /// Which member of it.
    pub field: String,
    /// A code that a program can rely on.
    pub code: String,
    /// What is wrong and how to mend it.
    pub message: String,
    /// Whether the whole record is lost with it.
    pub left_out: bool,
}

/// Records of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// In the source.
    pub read: u64,
    /// New.
    pub created: u64,
    /// There, and changed.
    pub changed: u64,
    /// There already, and left as they are.
    pub kept: u64,
    /// Not carried.
    pub refused: u64,
}

/// The report.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Whether anything was written.
    pub applied: bool,
    /// Whether nothing at all is lost.
    pub complete: bool,
    /// Permissions.
    pub permissions: Count,
    /// Groups.
    pub groups: Count,
    /// Users.
    pub users: Count,
    /// Forms of password hashes: name → users.
    pub password_formats: BTreeMap<String, u64>,
    /// Users with the flag.
    pub superusers: u64,
    /// Users with the flag.
    pub staff: u64,
    /// Users who may not log in.
    pub inactive: u64,
    /// Other objects of the source, which do not concern Signet: model → count.
    pub ignored: BTreeMap<String, u64>,
    /// Fields of users that have no place here: name → users.
    pub fields_not_carried: BTreeMap<String, u64>,
    /// What else is worth knowing.
    pub remarks: Vec<String>,
    /// Losses by code.
    pub losses: BTreeMap<String, u64>,
    /// The losses one by one; the first ten thousand.
    pub lines: Vec<Line>,
    /// Active superusers with a password that can match.
    #[serde(skip)]
    pub masters: u64,
}

impl Report {
    /// Takes in what a record came to.
    pub fn add(&mut self, item: &Item, told: &Told) {
        let count = match &item.record {
            Some(Record::Group(_)) => &mut self.groups,
            Some(Record::User(_)) => &mut self.users,
            // Only a row of a permission can be nothing at all.
            Some(Record::Permission(_)) | None => &mut self.permissions,
        };
        count.read += 1;
        match told.fate {
            Fate::Created => count.created += 1,
            Fate::Changed => count.changed += 1,
            Fate::Kept => count.kept += 1,
            Fate::Refused => count.refused += 1,
        }
        if let Some(Record::User(user)) = &item.record {
            self.superusers += u64::from(user.is_superuser);
            self.staff += u64::from(user.is_staff);
            self.inactive += u64::from(!user.is_active);
            if let Some(format) = &told.format {
                *self.password_formats.entry(format.clone()).or_default() += 1;
            }
            let able = told.format.as_ref().is_some_and(|format| format != "unusable");
            let master = user.is_superuser && user.is_staff && user.is_active && able;
            self.masters += u64::from(master && told.fate != Fate::Refused);
        }
        let left_out = told.fate == Fate::Refused;
        // What is there already loses nothing.
        if told.fate != Fate::Kept {
            for loss in item.losses.iter().map(Loss::from).chain(told.losses.iter().cloned()) {
                self.lose(&item.locator, loss, left_out);
            }
        }
    }

    fn lose(&mut self, record: &str, loss: Loss, left_out: bool) {
        let Loss { field, code, message } = loss;
        *self.losses.entry(code.clone()).or_default() += 1;
        if self.lines.len() < LINES_MAX {
            self.lines.push(Line { record: record.to_owned(), field, code, message, left_out });
        }
    }

    /// How many losses there are.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.losses.values().sum()
    }

    /// Whether something is new or changes.
    #[must_use]
    pub fn changes_something(&self) -> bool {
        [&self.permissions, &self.groups, &self.users].iter().any(|count| count.created + count.changed > 0)
    }

    /// The report for programs: one JSON object.
    #[must_use]
    pub fn json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// The report for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut say = |line: String| {
            text.push_str(&line);
            text.push('\n');
        };
        for line in &self.lines {
            let consequence = if line.left_out { "left out" } else { "carried without it" };
            say(format!("{}: {}: {} [{}; {consequence}]", line.record, line.field, line.message, line.code));
        }
        let more = self.lost() - self.lines.len() as u64;
        if more > 0 {
            say(format!("… and {more} more"));
        }
        if !self.lines.is_empty() {
            say(String::new());
        }
        let verb = if self.applied { ["created", "changed"] } else { ["to create", "to change"] };
        for (name, count) in [("permissions", &self.permissions), ("groups", &self.groups), ("users", &self.users)] {
            let Count { read, created, changed, kept, refused } = count;
            say(format!(
                "{name:<12} {read:>9} read, {created} {}, {changed} {}, {kept} there already, {refused} left out",
                verb[0], verb[1]
            ));
        }
        let (superusers, staff, inactive) = (self.superusers, self.staff, self.inactive);
        say(format!("flags        {superusers:>9} superusers, {staff} staff, {inactive} inactive"));
        for (format, users) in &self.password_formats {
            say(format!("passwords    {users:>9} {format}"));
        }
        for (field, users) in &self.fields_not_carried {
            say(format!("not carried  {users:>9} values of the field {field}"));
        }
        for (model, objects) in &self.ignored {
            say(format!("ignored      {objects:>9} {model}"));
        }
        for (code, count) in &self.losses {
            say(format!("lost         {count:>9} {code}"));
        }
        for remark in &self.remarks {
            say(format!("note: {remark}"));
        }
        say(match (self.applied, self.complete) {
            (true, true) => "done: everything is carried".to_owned(),
            (true, false) => "done: all is carried but what is told above".to_owned(),
            (false, true) => "nothing was written; everything can be carried: add --apply".to_owned(),
            (false, false) => {
                "nothing was written; mend what is told above, or leave it out with --apply --skip".to_owned()
            }
        });
        text
    }
}
