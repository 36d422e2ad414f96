//! `signet repair`: a new store out of what is left of a damaged one, and what became of everything.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Ending, failed, print, runtime};
use crate::repair::{self, Repaired};

#[derive(Debug, Args)]
pub(super) struct Repair {
    /// The folder of the damaged store, which is not changed
    #[arg(long, env = "SIGNET_DATA", default_value = "data", value_name = "FOLDER")]
    data: PathBuf,
    /// The folder to make for what can be saved; beside the damaged one, with `.repaired` after its name, when it is
    /// left out
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,
}

/// `signet repair`.
pub(super) fn repair(command: Repair) -> Result<(), Ending> {
    let Repair { data, into } = command;
    let Some(name) = data.file_name() else {
        return Err(Ending::Usage(format!("--data: {} is not the name of a folder", data.display())));
    };
    let into = into.unwrap_or_else(|| {
        let mut name = name.to_owned();
        name.push(".repaired");
        data.with_file_name(name)
    });
    let import = crate::import::refusal(&data).is_some();
    let done = runtime()?.block_on(repair::repair(&data, &into, crate::server::now())).map_err(failed)?;
    print(&told(&done, &data, &into, import))
}

/// What was done, what is lost, and what to do next.
fn told(done: &Repaired, data: &Path, into: &Path, import: bool) -> String {
    let found = &done.findings;
    let mut lines = Vec::new();
    let mut say = |line: String| lines.push(line);
    say(format!(
        "saved {} accounts, {} groups, {} permissions, {} events of the audit log and {} counters of attempts in {}",
        done.users,
        done.groups,
        done.permissions,
        done.events,
        done.counters,
        into.display()
    ));
    say(format!("nothing in {} was changed", data.display()));
    say(format!(
        "a new epoch, {}: everybody logs in again, and every API token has to be made again (known were {} sessions, \
         {} API tokens, {} mails that wait for an answer)",
        done.epoch, found.sessions, found.api_tokens, found.challenges
    ));
    let damage = found.damage;
    if damage.places > 0 || damage.pages > 0 {
        say(format!(
            "damaged: {} bytes at {} places; {} pages are older than the last ones that were written",
            damage.bytes, damage.places, damage.pages
        ));
    }
    if found.commits_lost > 0 {
        say(format!("lost: the last {} changes that were acknowledged, or more", found.commits_lost));
    }
    let counts = [
        (found.user_records_dropped, "records of accounts: cannot be read, or another account has the name now"),
        (found.users_deleted, "accounts: the audit log says that they were deleted"),
        (found.memberships_dropped, "memberships: the group is gone"),
        (found.grants_dropped, "grants: the permission is gone"),
        (found.unreadable, "other records: cannot be read"),
    ];
    for (count, what) in counts.iter().filter(|(count, _)| *count > 0) {
        say(format!("dropped {count} {what}"));
    }
    say("every index was built anew".to_owned());
    if import {
        say("an import was not finished: what it had made is there in part; run it again".to_owned());
    }
    let lists = [
        (&found.closed, "closed", "saved and disabled: the store holds traces of a later change to them"),
        (&found.users_lost, "lost", "accounts of which only the name is left"),
        (&found.groups_lost, "lost group", "groups that are not saved"),
        (&found.permissions_rebuilt, "rebuilt permission", "permissions without their description"),
    ];
    for (names, mark, what) in lists.iter().filter(|(names, ..)| !names.is_empty()) {
        say(format!("{}: {} {what}", mark, names.len()));
        for name in *names {
            say(format!("{mark}\t{name}"));
        }
    }
    say("what to do next:".to_owned());
    if !found.closed.is_empty() {
        say("- judge the closed accounts (address, groups, rights), set a new password, then `signet user enable`"
            .to_owned());
    }
    if done.superusers == 0 {
        say(format!(
            "- no active superuser is left: `signet user create NAME --superuser --data {}`, or `signet user enable`",
            into.display()
        ));
    }
    if damage.places > 0 || damage.pages > 0 || found.commits_lost > 0 {
        say("- look through rights and groups: what was changed just before the damage may be as it was before"
            .to_owned());
    }
    say(format!(
        "- put it in place: mv {} {}.damaged && mv {} {}",
        data.display(),
        data.display(),
        into.display(),
        data.display()
    ));
    lines.push(String::new());
    lines.join("\n")
}
