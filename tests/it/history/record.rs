//! What is written down of a history: a line of JSON for each event, in the order in which it was seen.
//!
//! Owns the form of the file, and the way from it back to what `model.rs` judges. The begin of a call is written before it
//! is made, its answer when it has arrived, and the end of a server when its process is gone. Times are for people: the
//! order of the lines is what counts.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::History;

/// Something that was seen.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Event {
    /// It begins, with this superuser. A node knows after this many nanoseconds what was acknowledged at another.
    Opens { name: String, id: String, password: String, seed: u64, bound: u64 },
    /// A call is about to be made. They are numbered from 1 on: the opening is 0.
    Begins { client: usize, node: usize, method: String, path: String, body: Value, token: Option<String> },
    /// It was answered, and this token was set.
    Answers { call: usize, status: u16, reply: Value, set: Option<String> },
    /// It never arrived: there was no connection.
    Void { call: usize },
    /// Something is done to the server.
    Act { what: String },
    /// The process of this node is gone.
    Died { node: usize },
}

/// An event, and when it was.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Line {
    /// Nanoseconds since the history began, by a clock that nobody sets.
    pub(super) at: u64,
    /// Milliseconds since 1970, by the clock on the wall.
    wall: u64,
    #[serde(flatten)]
    pub(super) event: Event,
}

/// Writes down what is seen, and takes it into the reference.
pub(super) struct Recorder {
    history: History,
    file: BufWriter<File>,
    began: Instant,
}

impl Recorder {
    /// Opens a history of a server with this superuser.
    pub(super) fn open(path: &Path, name: &str, id: &str, password: &str, seed: u64, bound: Duration) -> Self {
        let (name, id, password) = (name.to_owned(), id.to_owned(), password.to_owned());
        let bound = u64::try_from(bound.as_nanos()).unwrap();
        let mut history = History::with(&name, &id, &password);
        history.bound(bound);
        let mut recorder = Self { history, file: BufWriter::new(File::create(path).unwrap()), began: Instant::now() };
        recorder.write(&Event::Opens { name, id, password, seed, bound });
        recorder
    }

    #[expect(clippy::disallowed_methods, reason = "what people look for in logs is found by the clock on the wall")]
    fn write(&mut self, event: &Event) -> u64 {
        let at = u64::try_from(self.began.elapsed().as_nanos()).unwrap();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let line = Line { at, wall: u64::try_from(wall).unwrap(), event: event.clone() };
        serde_json::to_writer(&mut self.file, &line).unwrap();
        self.file.write_all(b"\n").unwrap();
        at
    }

    /// Takes the event in. Gives the number of the call, for the begin of one.
    pub(super) fn see(&mut self, event: &Event) -> usize {
        let at = self.write(event);
        take(&mut self.history, at, event)
    }

    pub(super) fn history(&self) -> &History {
        &self.history
    }

    /// What was seen, when all of it is in the file.
    pub(super) fn close(mut self) -> History {
        self.file.flush().unwrap();
        self.history
    }
}

fn take(history: &mut History, at: u64, event: &Event) -> usize {
    history.passes(at);
    match event {
        Event::Begins { node, method, path, body, token, .. } => {
            return history.begins_at(*node, &method.parse().unwrap(), path, body.clone(), token.as_deref());
        }
        Event::Answers { call, status, reply, set } => {
            history.answered(*call, *status, reply.clone(), set.as_deref());
        }
        Event::Void { call } => history.void(*call),
        Event::Died { node } => history.died_at(*node),
        Event::Opens { .. } | Event::Act { .. } => {}
    }
    0
}

/// The events of a file. The last line may be cut short, as by the end of whoever wrote it.
pub(super) fn read(path: &Path) -> Vec<Line> {
    let lines = BufReader::new(File::open(path).unwrap()).lines();
    lines.map_while(|line| serde_json::from_str(&line.ok()?).ok()).collect()
}

/// The history that these lines tell.
pub(super) fn told(lines: &[Line]) -> History {
    let Some((Line { event: Event::Opens { name, id, password, bound, .. }, .. }, rest)) = lines.split_first() else {
        panic!("not the beginning of a history")
    };
    let mut history = History::with(name, id, password);
    history.bound(*bound);
    for line in rest {
        take(&mut history, line.at, &line.event);
    }
    history
}
