//! The second pass over a dump: a record of each user.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use serde_json::{Map, Value};

use super::super::record::{Item, Record, UserRecord};
use super::{Object, Reading, identity, key, list, locator, natural, permissions, text};
use crate::claims::UserId;
use crate::error::Fault;

/// The second pass, at one user.
pub(super) struct Second<'a> {
    pub(super) reading: &'a Reading,
    pub(super) permission_pks: &'a HashMap<String, String>,
    pub(super) group_pks: &'a HashMap<String, String>,
    pub(super) naive_times: &'a mut bool,
    pub(super) unexplained: &'a mut bool,
    pub(super) losses: Vec<Fault>,
}

impl Second<'_> {
    pub(super) fn user(&mut self, object: Object) -> Item {
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
