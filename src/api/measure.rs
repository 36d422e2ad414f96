//! How requests are counted and timed, by the operation that answered them: never by a path that somebody made up.
//!
//! Owns the series of one front, each looked up once. `front.rs` records.

use std::sync::OnceLock;
use std::time::Duration;

use poem::http::{Method, StatusCode};

use crate::api::problem::{Code, Refusal};
use crate::api::visit::{OPERATIONS, Operation};
use crate::app::{App, Meters};
use crate::metrics::{Counter, Counters, Histogram, Times};

/// The methods that are told apart; everything else is one more.
const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// Classes of status that an answer can be of.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The series of a front.
pub(crate) struct Measure {
    requests: Counters,
    seconds: Times,
    problems: Vec<(Code, Counter)>,
    series: Vec<OnceLock<Series>>,
}

/// What is counted of one operation by one method.
struct Series {
    classes: [OnceLock<Counter>; CLASSES.len()],
    seconds: Histogram,
}

impl Measure {
    pub(crate) fn new(app: &App) -> Self {
        let Meters { requests, request_seconds, problems, .. } = app.meters();
        let problem = |code: &Code| (*code, problems.of(&[code.name()]));
        let places = OPERATIONS.len() * (METHODS.len() + 1);
        Self {
            requests: requests.clone(),
            seconds: request_seconds.clone(),
            problems: Code::ALL.iter().map(problem).collect(),
            series: (0..places).map(|_| OnceLock::new()).collect(),
        }
    }

    /// An answer was given.
    pub(crate) fn answered(&self, operation: Operation, method: &Method, status: StatusCode, took: Duration) {
        let name = operation.name();
        let known = METHODS.iter().position(|known| known == method);
        let at = operation.place() * (METHODS.len() + 1) + known.unwrap_or(METHODS.len());
        let Some(series) = self.series.get(at) else { return };
        let series = series.get_or_init(|| Series {
            classes: [const { OnceLock::new() }; CLASSES.len()],
            seconds: self.seconds.of(&[name]),
        });
        series.seconds.observe(took.as_secs_f64());
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        let method = known.map_or("other", |known| METHODS[known].as_str());
        series.classes[class].get_or_init(|| self.requests.of(&[name, method, CLASSES[class]])).inc();
    }

    /// A problem was answered.
    pub(crate) fn refused(&self, refusal: &Refusal) {
        if let Some((_, counter)) = self.problems.iter().find(|(code, _)| *code == refusal.code) {
            counter.inc();
        }
    }
}
