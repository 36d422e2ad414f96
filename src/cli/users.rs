//! `signet user`: accounts, while the server is stopped.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Ending, Folders, clock, failed, print, runtime, secret};
use crate::app::App;
use crate::error::Error;
use crate::offline;
use crate::operator::{self, NewAccount};
use crate::user::User;

#[derive(Debug, Args)]
pub(super) struct Users {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    folders: Folders,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make an account
    Create {
        /// Its name
        name: String,
        /// Its address
        #[arg(long, default_value = "")]
        email: String,
        /// Open administration to it
        #[arg(long)]
        staff: bool,
        /// Give it every permission, and open administration to it
        #[arg(long)]
        superuser: bool,
        /// Without a password: nobody can log in to it
        #[arg(long, conflicts_with = "password_file")]
        no_password: bool,
        /// The file of the password; asked for, or read from standard input, without it
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// List the accounts
    List,
    /// Set another password; ends every session of the account
    Password {
        /// Its name
        name: String,
        /// Take the password away: nobody can log in with one
        #[arg(long, conflicts_with = "password_file")]
        unusable: bool,
        /// The file of the new password; asked for, or read from standard input, without it
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Let nobody log in to the account any more; ends every session of it
    Disable {
        /// Its name
        name: String,
    },
    /// Let its owner log in again
    Enable {
        /// Its name
        name: String,
    },
}

/// `signet user`.
pub(super) fn users(command: Users) -> Result<(), Ending> {
    let Users { command, folders } = command;
    let place = folders.place()?;
    if place.store.is_none()
        && let Some(refusal) = crate::import::refusal(&place.data)
    {
        return Err(failed(refusal));
    }
    if place.store.is_none() && !offline::has_store(&place.data) {
        return Err(failed(format!("there is no store in {}; name its folder with --data", place.data.display())));
    }
    let said = runtime()?.block_on(async {
        let offline = offline::open(&place, clock()).await.map_err(failed)?;
        if let Some(refusal) = crate::import::refusal_of(offline.app.store()).await.map_err(failed)? {
            return Err(failed(refusal));
        }
        run(&offline.app, command).await
    })?;
    print(&said)
}

async fn run(app: &App, command: Command) -> Result<String, Ending> {
    match command {
        Command::Create { name, email, staff, superuser, no_password, password_file } => {
            let password = if no_password { None } else { Some(secret::new_password(password_file.as_deref())?) };
            let new = NewAccount {
                username: &name,
                email: &email,
                password: password.as_ref().map(|text| text.as_str()),
                is_staff: staff || superuser,
                is_superuser: superuser,
            };
            let user = operator::create(app, &new).await.map_err(|error| told(&name, error))?;
            Ok(format!("made {}\n", user.username.as_str()))
        }
        Command::List => {
            let mut lines = String::new();
            let show = |user: &User| {
                lines.push_str(&line(user));
                Ok(())
            };
            operator::each(app, show).await.map_err(failed)?;
            Ok(lines)
        }
        Command::Password { name, unusable, password_file } => {
            // Asked for only when there is somebody to give it to.
            operator::find(app, &name).await.map_err(|error| told(&name, error))?;
            let password = if unusable { None } else { Some(secret::new_password(password_file.as_deref())?) };
            let set = operator::set_password(app, &name, password.as_ref().map(|text| text.as_str()));
            set.await.map_err(|error| told(&name, error))?;
            Ok(format!("{name} has another password; all sessions of the account have ended\n"))
        }
        Command::Disable { name } => {
            operator::set_active(app, &name, false).await.map_err(|error| told(&name, error))?;
            Ok(format!("{name} is disabled; all sessions of the account have ended\n"))
        }
        Command::Enable { name } => {
            operator::set_active(app, &name, true).await.map_err(|error| told(&name, error))?;
            Ok(format!("{name} can log in again\n"))
        }
    }
}

/// A user in a line: name, address, what is special, the latest log-in.
fn line(user: &User) -> String {
    let marks = [
        (user.is_superuser, "superuser"),
        (user.is_staff, "staff"),
        (!user.is_active, "disabled"),
        (!user.has_usable_password(), "no password"),
    ];
    let marks: Vec<&str> = marks.iter().filter(|(is, _)| *is).map(|(_, mark)| *mark).collect();
    let last = user.last_login.map_or("never logged in".to_owned(), |at| at.format("%Y-%m-%dT%H:%M:%SZ").to_string());
    format!("{}\t{}\t{}\t{last}\n", user.username.as_str(), user.email, marks.join(", "))
}

/// What went wrong, with what mends it.
fn told(name: &str, error: Error) -> Ending {
    match error {
        Error::NotFound(_) => {
            failed(format!("there is no user {name:?}; `signet user list` shows who there is, names are exact"))
        }
        Error::Taken(_) => failed(format!("{name:?} is taken, or differs from a name that is by case or width alone")),
        Error::LastSuperuser => failed("no active superuser would be left; make another one first"),
        Error::Invalid(faults) => {
            let lines: Vec<String> =
                faults.iter().map(|fault| format!("{}: {} ({})", fault.field, fault.message, fault.code)).collect();
            failed(lines.join("\n"))
        }
        other => failed(other),
    }
}
