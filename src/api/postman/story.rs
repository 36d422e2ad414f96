//! The order of the requests, such that each finds what it needs: who is logged in, and the things it names.
//!
//! Rules place every operation, also one that they have never heard of: first what makes things, then the rest in
//! the document's order, then what deletes, the deepest path first. Who has to be logged in follows from the
//! document's security and the problems that it names. The tables hold only what no rule can know.

use super::operation::{Door, Operation, find};

pub(super) const REGISTER: &str = "register_account";
pub(super) const LOG_IN: &str = "login_account";
pub(super) const LOG_OUT: &str = "logout_account";
pub(super) const CHANGE_PASSWORD: &str = "change_password";

/// What a folder begins with, if it has it.
const FIRST: [&str; 2] = [REGISTER, LOG_IN];

/// What a folder ends with, if it has it.
const LAST: [&str; 3] = [CHANGE_PASSWORD, LOG_OUT, "advance_epoch"];

/// After these nobody is logged in.
const ENDING: [&str; 5] = [LOG_OUT, "delete_session", "delete_sessions", "delete_session_by_id", "advance_epoch"];

/// Who is logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Nobody,
    User,
    Administrator,
}

/// One request of the story.
pub(super) enum Step<'a> {
    /// An operation of the folder.
    Operation(&'a Operation<'a>),
    /// Log in, so that the next one has a session.
    LogIn(&'a Operation<'a>, Who),
    /// Log out, at the very end.
    LogOut(&'a Operation<'a>),
}

/// The requests of one folder. `who` is who is logged in before, and then after it.
pub(super) fn steps<'a>(here: &[&'a Operation<'a>], all: &'a [Operation<'a>], who: &mut Who) -> Vec<Step<'a>> {
    let mut sorted = here.to_vec();
    sorted.sort_by_key(|operation| rank(operation, all));
    let administration = here.iter().any(|operation| is_guarded_read(operation));
    let own = here.iter().any(|operation| operation.id == LOG_IN);
    let mut steps = Vec::new();
    for operation in sorted {
        let takes_session = matches!(operation.door(), Door::Either | Door::Session);
        let wanted = if !takes_session || FIRST.contains(&operation.id) {
            None
        } else if administration {
            Some(Who::Administrator)
        } else if own || *who == Who::Nobody {
            // Nobody's own account but the user's is touched.
            Some(Who::User)
        } else {
            None
        };
        if let (Some(wanted), Some(log_in)) = (wanted.filter(|wanted| wanted != who), find(all, LOG_IN)) {
            steps.push(Step::LogIn(log_in, wanted));
            *who = wanted;
        }
        steps.push(Step::Operation(operation));
        if FIRST.contains(&operation.id) {
            *who = Who::User;
        } else if ENDING.contains(&operation.id) {
            *who = Who::Nobody;
        }
    }
    steps
}

/// What the whole ends with: nobody stays logged in.
pub(super) fn last<'a>(all: &'a [Operation<'a>], who: Who) -> Option<Step<'a>> {
    find(all, LOG_OUT).filter(|_| who != Who::Nobody).map(Step::LogOut)
}

/// A read that somebody may be refused is one for administrators.
fn is_guarded_read(operation: &Operation<'_>) -> bool {
    operation.method == "get" && operation.door() == Door::Session && operation.response("403").is_some()
}

fn rank(operation: &Operation<'_>, all: &[Operation<'_>]) -> (usize, usize) {
    let position = |table: &[&str]| table.iter().position(|id| *id == operation.id);
    let depth = operation.path.matches('/').count();
    match (position(&FIRST), position(&LAST)) {
        (Some(at), _) => (0, at),
        (_, Some(at)) => (4, at),
        _ if operation.makes(all) => (1, 0),
        _ if operation.method == "delete" => (3, usize::MAX - depth),
        _ => (2, 0),
    }
}
