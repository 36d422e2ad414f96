//! Accounts in: from a dump of Django's or from Signet's own export.
//!
//! Owns what is carried and how: `input` reads bytes, `django` and `signet` make records of them, `judge` says what each
//! record comes to, given what was `seen` before, `run` writes them to the store of a stopped server by way of a
//! `journal`, `remote` sends them to a running one, whose operation calls [`take`]. Nothing is written before everything is
//! judged.

use serde::{Deserialize, Serialize};

pub mod django;
pub mod input;
mod journal;
pub mod judge;
pub mod outcome;
pub mod record;
pub mod remote;
pub mod report;
pub mod run;
mod seen;
pub mod signet;
pub mod source;

pub use outcome::{Existing, Fate};
pub use run::{refusal, refusal_of};

use crate::app::App;
use crate::audit::{Action, Client};
use crate::error::{Error, Fault};
use crate::session::Session;
use crate::store::Write;
use judge::Judge;
use outcome::Outcome;
use record::Record;

/// Most records of one request.
pub const RECORDS_MAX: usize = 500;

/// A part of an import, as it comes from afar.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Permissions, then groups, then users.
    pub records: Vec<Record>,
    /// Whether to write; otherwise only to judge.
    pub apply: bool,
    /// Whether to go without what cannot be carried.
    pub skip: bool,
    /// What becomes of what is there.
    pub existing: Existing,
    /// Names of groups that parts before will have brought. Only where nothing is written.
    pub assumed_groups: Vec<String>,
    /// Names of permissions that parts before will have brought. Only where nothing is written.
    pub assumed_permissions: Vec<String>,
}

/// Judges a part and, when it is asked to, writes it: all of it, or nothing. Only a superuser may.
///
/// # Errors
/// `BeyondOwnRights`; `Invalid` when it is to be written and something of it would be lost that is not to be
/// skipped; as [`App::commit`].
pub async fn take(app: &App, session: &Session, part: Part, client: &Client) -> Result<Vec<Outcome>, Error> {
    if !session.claims().is_some_and(|claims| claims.is_superuser) {
        let event = session.event(app, Action::Import, client).refused();
        app.commit(vec![Write::Record(Box::new(event))]).await?;
        return Err(Error::BeyondOwnRights("only a superuser may import accounts".to_owned()));
    }
    let mut judge = Judge::new(app, part.existing);
    if part.apply {
        let assumed = [("assumed_groups", &part.assumed_groups), ("assumed_permissions", &part.assumed_permissions)];
        if let Some((field, _)) = assumed.iter().find(|(_, names)| !names.is_empty()) {
            return Err(Error::invalid(
                field,
                "not_with_apply",
                "nothing is assumed where it is written; leave it out",
            ));
        }
    } else {
        judge.assume(&part.assumed_groups, &part.assumed_permissions);
    }
    let batch = judge.judge(part.records).await?;
    if !part.apply {
        return Ok(batch.outcomes);
    }
    let lost = |outcome: &Outcome| outcome.fate != Fate::Kept && !outcome.losses.is_empty();
    if !part.skip && batch.outcomes.iter().any(lost) {
        let faults = batch.outcomes.iter().enumerate().filter(|(_, outcome)| lost(outcome)).flat_map(placed);
        return Err(Error::Invalid(faults.take(FAULTS_MAX).collect()));
    }
    if !batch.writes.is_empty() {
        let mut writes = vec![Write::InNameOf(session.witness(true)?)];
        let event = session.event(app, Action::Import, client).with(counts(&batch.writes));
        writes.extend(batch.writes);
        writes.push(Write::Record(Box::new(event)));
        app.commit(writes).await?;
    }
    Ok(batch.outcomes)
}

/// How many of each kind are written, for the audit log.
fn counts(writes: &[Write]) -> Vec<String> {
    let count = |what: &str, wanted: fn(&Write) -> bool| {
        let found = writes.iter().filter(|write| wanted(write)).count();
        (found > 0).then(|| format!("{what}={found}"))
    };
    let users = |write: &Write| matches!(write, Write::CreateUser(_) | Write::ChangeUser { .. });
    let groups = |write: &Write| matches!(write, Write::CreateGroup(_) | Write::ChangeGroup { .. });
    let permissions = |write: &Write| matches!(write, Write::CreatePermission(_) | Write::ChangePermission { .. });
    [count("users", users), count("groups", groups), count("permissions", permissions)].into_iter().flatten().collect()
}

/// Most faults that one refusal tells.
const FAULTS_MAX: usize = 20;

/// The faults of a record, with its place in the part.
fn placed((at, outcome): (usize, &Outcome)) -> impl Iterator<Item = Fault> {
    outcome.losses.iter().map(move |fault| Fault { field: format!("records/{at}/{}", fault.field), ..fault.clone() })
}
