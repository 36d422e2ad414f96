//! The log of a serving program, on standard error: its form, and the name of the request in every line of it.
//!
//! Owns how a line is written, and what is said of a panic. What is logged is decided where it happens.

use std::fmt;
use std::io::IsTerminal as _;
use std::panic::PanicHookInfo;

use tracing::{Event, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::{Format, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::config::Log;
use crate::request;

/// Logs from now on: warnings of libraries, and what Signet itself has to say.
pub(super) fn to_stderr(form: Log) {
    let log = tracing_subscriber::fmt().with_max_level(LevelFilter::INFO).with_writer(std::io::stderr);
    // By default a line that cannot be written is told on standard error, by a panic when that cannot be written
    // either: a log on a full disk would end requests, and the store's writer.
    let log = log.log_internal_errors(false);
    // Colours are for a terminal; a file or a collector would keep their codes.
    let colours = std::io::stderr().is_terminal();
    let log = log.with_ansi(colours);
    match form {
        Log::Text => {
            let inner = Format::default().with_target(false).with_ansi(colours);
            log.event_format(Named { inner, form }).init();
        }
        Log::Json => {
            let inner = Format::default().json().flatten_event(true);
            log.json().event_format(Named { inner, form }).init();
        }
    }
    std::panic::set_hook(Box::new(panicked));
}

/// A panic is a line of the log like any other. Its text may quote what somebody sent, unless it stands in the
/// program; then only the place is told. In a request it goes into the one line that tells of the failed request.
fn panicked(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let text = match info.payload().downcast_ref::<&'static str>() {
        Some(what) => format!("panicked at {place}: {what}"),
        None => format!("panicked at {place}"),
    };
    if let Err(reason) = request::note_panic(text) {
        tracing::error!(reason, "a bug");
    }
}

/// Adds the name of the request that is being served to each line that does not have it.
struct Named<F> {
    inner: F,
    form: Log,
}

impl<S, N, F> FormatEvent<S, N> for Named<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let has_it = event.metadata().fields().field("request_id").is_some();
        let Some(id) = request::id_if_any().filter(|_| !has_it) else {
            return self.inner.format_event(context, out, event);
        };
        let mut line = String::new();
        self.inner.format_event(context, Writer::new(&mut line), event)?;
        let line = line.trim_end();
        // A name has only characters that both forms take as they are.
        match (self.form, line.strip_suffix('}')) {
            (Log::Json, Some(open)) => writeln!(out, "{open},\"request_id\":\"{id}\"}}"),
            _ => writeln!(out, "{line} request_id=\"{id}\""),
        }
    }
}
