//! `signet import` and `signet export`: what the flags mean, what is asked and shown.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::tz::TimeZone;
use tokio::runtime::Runtime;

use super::{Ending, Folders, clock, failed, print, runtime, secret};
use crate::export;
use crate::import::Existing;
use crate::import::django::{Dump, Reading, USER_MODEL};
use crate::import::remote::{self, Remote};
use crate::import::run::{self, NotDone, Wish};
use crate::import::signet::Backup;
use crate::import::source::Source;
use crate::offline::Place;
use crate::store::SharedStore;
use crate::store::embedded::Embedded;
use crate::store::postgres::{Postgres, Unread};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = false, subcommand_required = false)]
pub(super) struct Import {
    #[command(subcommand)]
    from: Option<From>,
    /// Take back what an interrupted import has made
    #[arg(long)]
    undo: bool,
    #[command(flatten)]
    folders: Folders,
}

#[derive(Debug, Subcommand)]
enum From {
    /// From a dump of Django's: manage.py dumpdata contenttypes auth --output FILE
    Django {
        #[command(flatten)]
        source: Dumped,
        #[command(flatten)]
        how: How,
    },
    /// From Signet's own export: a restore, which ends every session
    Signet {
        /// The export, or - for standard input
        file: PathBuf,
        #[command(flatten)]
        how: How,
    },
}

#[derive(Debug, Args)]
struct Dumped {
    /// The dump, JSON or JSONL, or - for standard input
    file: PathBuf,
    /// The label of the user model
    #[arg(long, default_value = USER_MODEL, value_name = "APP.MODEL")]
    user_model: String,
    /// The field of the name that a log-in takes
    #[arg(long, default_value = "username", value_name = "FIELD")]
    username_field: String,
    /// The zone of times that name none
    #[arg(long, default_value = "UTC", value_name = "ZONE")]
    time_zone: String,
    /// A name for the Django project, when several are imported: identities are told apart by it
    #[arg(long, default_value = "", value_name = "NAME")]
    source: String,
}

#[derive(Debug, Args)]
struct How {
    /// Write; without it nothing is written, and the report says what would be
    #[arg(long)]
    apply: bool,
    /// Go without what cannot be carried
    #[arg(long)]
    skip: bool,
    /// What becomes of accounts and groups that are there already
    #[arg(long, value_enum, default_value = "keep")]
    existing: Existed,
    /// The form of the report
    #[arg(long, value_enum, default_value = "text")]
    report: Form,
    /// Import into the running server at this address
    #[arg(long, value_name = "ADDRESS")]
    url: Option<String>,
    /// The superuser to log in as, with --url
    #[arg(long, default_value = "admin", value_name = "NAME", requires = "url")]
    username: String,
    /// The file of the superuser's password; asked for without it
    #[arg(long, value_name = "FILE", requires = "url")]
    password_file: Option<PathBuf>,
    /// A certificate in PEM to trust, with --url
    #[arg(long, value_name = "FILE", requires = "url")]
    ca: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Existed {
    /// They stay as they are
    Keep,
    /// They become what the source says
    Replace,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Form {
    /// For people
    Text,
    /// For programs
    Json,
}

#[derive(Debug, Args)]
pub(super) struct Export {
    /// The file to write, or - for standard output
    #[arg(default_value = "-")]
    file: PathBuf,
    /// The folder of the embedded store
    #[arg(long, env = "SIGNET_DATA", default_value = "data", value_name = "FOLDER")]
    data: PathBuf,
    /// The store in place of the one in --data: postgres://USER:PASSWORD@HOST/DATABASE
    #[arg(long, env = "SIGNET_STORE", hide_env_values = true, value_name = "URL")]
    store: Option<Unread>,
}

/// `signet import`.
pub(super) fn import(command: Import) -> Result<(), Ending> {
    let place = command.folders.place()?;
    let (file, how, django) = match (command.undo, command.from) {
        (true, None) => return undo(&place),
        (true, Some(_)) => return Err(Ending::Usage("--undo is given alone".to_owned())),
        (false, None) => {
            return Err(Ending::Usage("name what to import from: django FILE or signet FILE; or --undo".to_owned()));
        }
        (false, Some(From::Django { source, how })) => (source.file.clone(), how, Some(source)),
        (false, Some(From::Signet { file, how })) => (file, how, None),
    };
    let reading = django.map(reading).transpose()?;
    let login = match &how.url {
        Some(url) => Some((url.clone(), secret::password(how.password_file.as_deref(), file != Path::new("-"))?)),
        None => None,
    };
    let source = match reading {
        Some(reading) => Dump::open(&file, reading).map(|dump| Source::Django(Box::new(dump))),
        None => Backup::open(&file).map(|backup| Source::Signet(Box::new(backup))),
    };
    let source = source.map_err(failed)?;
    let existing = match how.existing {
        Existed::Keep => Existing::Keep,
        Existed::Replace => Existing::Replace,
    };
    let wish = Wish { apply: how.apply, skip: how.skip, existing };
    // Hidden where nobody watches.
    let bar = ProgressBar::new(source.records());
    bar.set_style(ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} {eta}").map_err(failed)?);
    let progress = |done: u64, total: u64| {
        bar.set_length(total);
        bar.set_position(done);
    };
    let imported = runtime()?.block_on(async {
        let Some((url, password)) = login else {
            return run::import(source, &place, &wish, clock(), &progress).await;
        };
        let ca = how.ca.as_deref().map(std::fs::read).transpose();
        let ca = ca.map_err(|e| NotDone::Failed(format!("--ca: cannot be read: {e}")))?;
        let remote = Remote::log_in(&url, &how.username, &password, ca.as_deref()).await?;
        remote::import(source, remote, &wish, &progress).await
    });
    bar.finish_and_clear();
    let (_, report) = imported.map_err(failed)?;
    print(&match how.report {
        Form::Text => report.text(),
        Form::Json => report.json(),
    })?;
    if report.complete || report.applied {
        return Ok(());
    }
    Err(failed(format!("{} losses; nothing was written", report.lost())))
}

fn undo(place: &Place) -> Result<(), Ending> {
    let undone = runtime()?.block_on(run::undo(place, clock())).map_err(failed)?;
    print(if undone {
        "what the interrupted import had made is taken back\n"
    } else {
        "no import was interrupted; there is nothing to take back\n"
    })
}

fn reading(source: Dumped) -> Result<Reading, Ending> {
    let Dumped { user_model, username_field, time_zone, source, .. } = source;
    let wrong = |_| Ending::Usage("--time-zone: there is no such zone; give one such as Europe/Berlin".to_owned());
    let time_zone = TimeZone::get(&time_zone).map_err(wrong)?;
    Ok(Reading { user_model, username_field, time_zone, source })
}

/// `signet export`.
pub(super) fn export(command: Export) -> Result<(), Ending> {
    let Export { file, data, store } = command;
    let runtime = runtime()?;
    let store: SharedStore = match store {
        Some(address) => {
            let address = address.read().map_err(|e| Ending::Usage(format!("--store (SIGNET_STORE): {e}")))?;
            let store: SharedStore = Arc::new(runtime.block_on(Postgres::open(&address)).map_err(failed)?);
            if let Some(refusal) = runtime.block_on(crate::import::refusal_of(&store)).map_err(failed)? {
                return Err(failed(refusal));
            }
            store
        }
        None => embedded(&data)?,
    };
    if file == Path::new("-") {
        let mut out = BufWriter::new(std::io::stdout());
        return runtime.block_on(export::export(&store, crate::server::now(), &mut out)).map(drop).map_err(failed);
    }
    let part = file.with_extension("part");
    let written = write(&runtime, &store, &part).and_then(|records| {
        std::fs::rename(&part, &file).map_err(|e| failed(format!("{}: {e}", file.display())))?;
        Ok(records)
    });
    match written {
        Ok(records) => print(&format!("exported {records} records to {}\n", file.display())),
        Err(why) => {
            drop(std::fs::remove_file(&part));
            Err(why)
        }
    }
}

fn embedded(data: &Path) -> Result<SharedStore, Ending> {
    if let Some(refusal) = crate::import::refusal(data) {
        return Err(failed(refusal));
    }
    if !crate::offline::has_store(data) {
        return Err(failed(format!("there is no store in {}; name its folder with --data", data.display())));
    }
    Ok(Arc::new(Embedded::open_with(data, crate::offline::CACHE_BYTES).map_err(failed)?))
}

/// Hashes are in it: nobody else may read it.
fn write(runtime: &Runtime, store: &SharedStore, file: &Path) -> Result<u64, Ending> {
    let cannot = |e: std::io::Error| failed(format!("{}: cannot be written: {e}", file.display()));
    drop(std::fs::remove_file(file));
    let out = File::options().write(true).create_new(true).mode(0o600).open(file).map_err(cannot)?;
    let mut out = BufWriter::new(out);
    let made = runtime.block_on(export::export(store, crate::server::now(), &mut out));
    let records = made.map_err(|e| failed(format!("{}: {e}", file.display())))?;
    out.flush().and_then(|()| out.get_ref().sync_all()).map_err(cannot)?;
    Ok(records)
}
