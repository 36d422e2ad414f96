//! The command line: what each command does, and the exit code that it ends with.
//!
//! Exit codes: 0 done, 1 failed, 2 the command or the configuration is wrong.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::api::{document, postman};
use crate::app::Clock;
use crate::config::{Config, Flags};
use crate::keys::{self, Keyring, Purpose, Role};
use crate::offline::Place;
use crate::server::Server;
use crate::store::postgres::{self, Unread};

mod import;
mod log;
mod moving;
mod repair;
mod secret;
mod users;

/// Sessions and authorization over signed cookies.
#[derive(Debug, Parser)]
#[command(name = "signet", version, about)]
struct Line {
    #[command(subcommand)]
    command: Option<Command>,
    /// Without a command: serve.
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve (the command when none is given)
    Serve(Box<Flags>),
    /// Make, list and retire keys
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Make, list, disable accounts and set their passwords, while the server is stopped
    User(users::Users),
    /// Take accounts in: from Django, or from an export of Signet's
    Import(Box<import::Import>),
    /// Write everything that the store keeps, for a backup and for the way out
    Export(import::Export),
    /// Bring the schema of a store on PostgreSQL up to this program's; needs a role that may change it
    Migrate(Migrate),
    /// Move everything from one store into another one, which is empty, while nobody serves from them
    MigrateStore(moving::MigrateStore),
    /// Save what can be saved of a store that does not open, into a new folder
    Repair(repair::Repair),
    /// Print the API document
    Openapi,
    /// Print the API document as a Postman collection, with a test on every request
    Postman,
}

#[derive(Debug, Args)]
struct Migrate {
    /// The store: postgres://USER:PASSWORD@HOST/DATABASE. It holds a password: better as the variable
    #[arg(long, env = "SIGNET_STORE", hide_env_values = true, value_name = "URL")]
    store: Unread,
}

/// Where the folders of the stopped server are.
#[derive(Debug, Args)]
struct Folders {
    /// The folder of the embedded store
    #[arg(long, env = "SIGNET_DATA", default_value = "data", value_name = "FOLDER", global = true)]
    data: PathBuf,
    /// The store in place of the one in --data: postgres://USER:PASSWORD@HOST/DATABASE
    #[arg(long, env = "SIGNET_STORE", hide_env_values = true, value_name = "URL", global = true)]
    store: Option<Unread>,
    /// The folder of the keys
    #[arg(long, env = "SIGNET_KEYS", default_value = "keys", value_name = "FOLDER", global = true)]
    keys: PathBuf,
    /// The issuer that the server names in tokens
    #[arg(long, env = "SIGNET_ISSUER", default_value = "signet", value_name = "NAME", global = true)]
    issuer: String,
    /// The audience that the server names in tokens
    #[arg(long, env = "SIGNET_AUDIENCE", default_value = "signet", value_name = "NAME", global = true)]
    audience: String,
}

impl Folders {
    /// # Errors
    /// When the store's address is none.
    fn place(self) -> Result<Place, Ending> {
        let Self { data, store, keys, issuer, audience } = self;
        if let Some(Err(e)) = store.as_ref().map(Unread::read) {
            return Err(Ending::Usage(format!("--store (SIGNET_STORE): {e}")));
        }
        Ok(Place { data, store, keys, issuer, audience })
    }
}

#[derive(Debug, Args)]
struct KeysFolder {
    /// The folder of the keys
    #[arg(long, env = "SIGNET_KEYS", default_value = "keys", value_name = "FOLDER")]
    keys: PathBuf,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Make a key; a running server signs, or seals, with it within seconds, or when its --key-lead is over
    Generate {
        #[command(flatten)]
        folder: KeysFolder,
        /// What it is for
        #[arg(long, value_enum, default_value = "sign")]
        kind: KeyKind,
        /// What it signs with; eddsa when it is left out
        #[arg(long, value_enum)]
        algorithm: Option<Algorithm>,
        /// Its name; the time when it is left out, so that the newest sorts last
        #[arg(long)]
        kid: Option<String>,
    },
    /// List the keys
    List {
        #[command(flatten)]
        folder: KeysFolder,
    },
    /// Let a key verify only, for good: its private half is destroyed. One that seals opens only
    Retire {
        #[command(flatten)]
        folder: KeysFolder,
        /// Its name
        kid: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum KeyKind {
    /// To sign tokens
    Sign,
    /// To seal the data of sessions, for --seal-data
    Seal,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Algorithm {
    /// Ed25519
    Eddsa,
    /// P-256
    Es256,
    /// RSA with 3072 bits, for verifiers that know nothing better
    Rs256,
    /// A shared secret, for a single server; never published
    Hs256,
}

impl Algorithm {
    const fn name(self) -> &'static str {
        match self {
            Self::Eddsa => "eddsa",
            Self::Es256 => "es256",
            Self::Rs256 => "rs256",
            Self::Hs256 => "hs256",
        }
    }
}

/// How a command can end badly.
enum Ending {
    /// The command or the configuration is wrong.
    Usage(String),
    /// It was tried and failed.
    Failed(String),
}

fn clock() -> Clock {
    Arc::new(crate::server::now)
}

fn failed(what: impl std::fmt::Display) -> Ending {
    Ending::Failed(what.to_string())
}

fn runtime() -> Result<tokio::runtime::Runtime, Ending> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|e| failed(format!("cannot start: {e}")))
}

/// Runs the command of the program's arguments.
#[must_use]
pub fn run() -> ExitCode {
    let line = match Line::try_parse() {
        Ok(line) => line,
        Err(error) if !error.use_stderr() => {
            return if error.print().is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
        Err(error) => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            let first = first.strip_prefix("error: ").unwrap_or(first);
            complain(&format!("{first}; `signet --help` shows what there is"));
            return ExitCode::from(2);
        }
    };
    let done = match line.command {
        None => serve(line.flags),
        Some(Command::Serve(flags)) => serve(*flags),
        Some(Command::Keys(command)) => keys(command),
        Some(Command::Import(command)) => import::import(*command),
        Some(Command::Export(command)) => import::export(command),
        Some(Command::MigrateStore(command)) => moving::migrate_store(&command),
        Some(Command::Repair(command)) => repair::repair(command),
        Some(Command::User(command)) => users::users(command),
        Some(Command::Migrate(command)) => migrate(&command),
        Some(Command::Openapi) => print(&document::text()),
        Some(Command::Postman) => print(&postman::text()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Ending::Failed(why)) => {
            complain(&why);
            ExitCode::FAILURE
        }
        Err(Ending::Usage(why)) => {
            complain(&why);
            ExitCode::from(2)
        }
    }
}

/// Says a line or more to whoever watches. That nobody can be told is no reason to fail once more.
fn complain(text: &str) {
    for line in text.lines() {
        drop(writeln!(std::io::stderr(), "signet: {line}"));
    }
}

fn print(text: &str) -> Result<(), Ending> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|e| Ending::Failed(format!("cannot write: {e}")))
}

fn migrate(command: &Migrate) -> Result<(), Ending> {
    let address = command.store.read().map_err(|e| Ending::Usage(format!("--store (SIGNET_STORE): {e}")))?;
    match runtime()?.block_on(postgres::migrate(&address)).map_err(failed)? {
        0 => print("the store's schema is the newest already\n"),
        steps => print(&format!("brought the store's schema up by {steps}\n")),
    }
}

fn serve(flags: Flags) -> Result<(), Ending> {
    let config = flags.check().map_err(|e| Ending::Usage(e.to_string()))?;
    log::to_stderr(config.log);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Ending::Failed(format!("cannot start: {e}")))?;
    runtime.block_on(serve_until_told(config))
}

async fn serve_until_told(config: Config) -> Result<(), Ending> {
    let failed = |e: crate::server::CannotServe| Ending::Failed(e.to_string());
    // Before anything is said: whoever reads the address may send a signal at once.
    let stop = crate::server::stop_signal().map_err(|e| Ending::Failed(format!("cannot listen to signals: {e}")))?;
    let server = Server::start(config).await.map_err(failed)?;
    if let Some(password) = server.admin_password() {
        print(&format!("made the superuser admin with the password {} (shown this once)\n", password.reveal()))?;
    }
    let (base, mail) = (server.base(), server.mail());
    let admin = if server.has_admin() { format!("administration: {base}/admin\n") } else { String::new() };
    print(&format!("listening on {base}\ntry it in the browser: {base}/docs\n{admin}mails go to {mail}\n"))?;
    if let Some(address) = server.metrics_address() {
        print(&format!("metrics on http://{address}/metrics\n"))?;
    }
    server.run(stop).await.map_err(failed)
}

fn keys(command: KeysCommand) -> Result<(), Ending> {
    match command {
        KeysCommand::Generate { kind: KeyKind::Seal, algorithm: Some(_), .. } => {
            Err(Ending::Usage("--algorithm: taken with --kind sign only; leave it out".to_owned()))
        }
        KeysCommand::Generate { folder, kind, algorithm, kid } => {
            let folder = folder.keys;
            let made = std::fs::create_dir_all(&folder);
            made.map_err(|e| Ending::Failed(format!("{}: cannot be made: {e}", folder.display())))?;
            let now = crate::server::now();
            let (made, does) = match kind {
                KeyKind::Sign => {
                    let algorithm = algorithm.unwrap_or(Algorithm::Eddsa).name();
                    (keys::generate(&folder, algorithm, kid.as_deref(), now), "signs")
                }
                KeyKind::Seal => (keys::generate_sealing(&folder, kid.as_deref(), now), "seals, if told to,"),
            };
            let kid = made.map_err(Ending::Failed)?;
            print(&format!("made {kid}; a running server {does} with it from now on\n"))
        }
        KeysCommand::List { folder } => {
            let ring = Keyring::load(&folder.keys).map_err(|e| Ending::Failed(e.to_string()))?;
            let line = |key: keys::Listed<'_>| {
                let role = match key.role {
                    Role::Signs => "signs",
                    Role::CouldSign => "could sign",
                    Role::Verifies => "verifies only",
                    Role::Seals => "seals",
                    Role::CouldSeal => "could seal",
                    Role::Opens => "opens only",
                };
                format!("{}\t{}\t{role}\n", key.kid, key.algorithm)
            };
            print(&ring.inventory().map(line).collect::<String>())
        }
        KeysCommand::Retire { folder, kid } => {
            let (does, did) = match keys::retire(&folder.keys, &kid).map_err(Ending::Failed)? {
                Purpose::Sign => ("verifies", "signed"),
                Purpose::Seal => ("opens", "sealed"),
            };
            print(&format!(
                "{kid} {does} only from now on; remove its file when the last session that it {did} is over\n"
            ))
        }
    }
}
