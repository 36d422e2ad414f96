//! Meters: what counts and measures, and the text in which Prometheus reads them.
//!
//! Owns the kinds of meters and their form. What is counted belongs to the rooms that do it: each keeps its meters
//! beside its work, and `app.rs` puts them into one registry. A meter is shared by its clones, and is never waited for.

#![expect(clippy::missing_panics_doc, reason = "names and labels are constants of this program, and a test reads all")]

use prometheus::core::Collector;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, TextEncoder};

pub use prometheus::{Gauge as Measure, Histogram, IntCounter as Counter, IntGauge as Gauge};

/// The media type of [`Registry::text`].
pub const MEDIA_TYPE: &str = prometheus::TEXT_FORMAT;

/// Bounds of buckets for what takes from tenths of a millisecond to seconds, in seconds.
const SECONDS: [f64; 13] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

/// Bounds of buckets for numbers of things.
const SIZES: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

/// Names and labels are constants of this program.
const SOUND: &str = "the meter's name is sound";

/// A counter.
#[must_use]
pub fn counter(name: &str, help: &str) -> Counter {
    Counter::new(name, help).expect(SOUND)
}

/// A gauge.
#[must_use]
pub fn gauge(name: &str, help: &str) -> Gauge {
    Gauge::new(name, help).expect(SOUND)
}

/// A gauge of what is not whole.
#[must_use]
pub fn measure(name: &str, help: &str) -> Measure {
    Measure::new(name, help).expect(SOUND)
}

/// How long something takes; observed in seconds.
#[must_use]
pub fn seconds(name: &str, help: &str) -> Histogram {
    Histogram::with_opts(HistogramOpts::new(name, help).buckets(SECONDS.to_vec())).expect(SOUND)
}

/// How many things there are at once, up to about a thousand.
#[must_use]
pub fn sizes(name: &str, help: &str) -> Histogram {
    Histogram::with_opts(HistogramOpts::new(name, help).buckets(SIZES.to_vec())).expect(SOUND)
}

/// Counters told apart by labels.
#[derive(Clone)]
pub struct Counters(IntCounterVec);

impl Counters {
    /// Counters with these labels.
    #[must_use]
    pub fn new(name: &str, help: &str, labels: &[&str]) -> Self {
        Self(IntCounterVec::new(Opts::new(name, help), labels).expect(SOUND))
    }

    /// The counter of these values, one for each label; it is there, with 0, from the first time that it is asked for.
    /// The values have to come from a closed list: each makes a series that is never dropped.
    #[must_use]
    pub fn of(&self, values: &[&str]) -> Counter {
        self.0.with_label_values(values)
    }

    /// What the counters have together whose labels are wanted. The labels come by name, each with its value.
    #[must_use]
    pub fn sum(&self, wanted: impl Fn(&[(&str, &str)]) -> bool) -> u64 {
        let families = self.0.collect();
        let series = families.iter().flat_map(prometheus::proto::MetricFamily::get_metric);
        let count = |metric: &prometheus::proto::Metric| {
            let labels: Vec<_> = metric.get_label().iter().map(|label| (label.name(), label.value())).collect();
            if wanted(&labels) { metric.get_counter().get_value() } else { 0.0 }
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counters are whole and only rise")]
        let sum = series.map(count).sum::<f64>() as u64;
        sum
    }
}

/// Gauges told apart by labels.
#[derive(Clone)]
pub struct Gauges(IntGaugeVec);

impl Gauges {
    /// Gauges with these labels.
    #[must_use]
    pub fn new(name: &str, help: &str, labels: &[&str]) -> Self {
        Self(IntGaugeVec::new(Opts::new(name, help), labels).expect(SOUND))
    }

    /// The gauge of these values, one for each label.
    #[must_use]
    pub fn of(&self, values: &[&str]) -> Gauge {
        self.0.with_label_values(values)
    }

    /// Forgets all of them.
    pub fn clear(&self) {
        self.0.reset();
    }
}

/// Times told apart by labels.
#[derive(Clone)]
pub struct Times(HistogramVec);

impl Times {
    /// Times with these labels; observed in seconds.
    #[must_use]
    pub fn new(name: &str, help: &str, labels: &[&str]) -> Self {
        Self(HistogramVec::new(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()), labels).expect(SOUND))
    }

    /// The times of these values, one for each label.
    #[must_use]
    pub fn of(&self, values: &[&str]) -> Histogram {
        self.0.with_label_values(values)
    }
}

/// A meter that a registry shows.
pub trait Meter {
    /// The same meter, for a registry.
    fn collector(&self) -> Box<dyn Collector>;
}

macro_rules! meters {
    ($($kind:ident $(.$inner:tt)?),*) => {
        $(impl Meter for $kind {
            fn collector(&self) -> Box<dyn Collector> {
                Box::new(self$(.$inner)?.clone())
            }
        })*
    };
}

meters!(Counter, Gauge, Measure, Histogram, Counters.0, Gauges.0, Times.0);

/// The meters that are shown.
#[derive(Default)]
pub struct Registry(prometheus::Registry);

impl Registry {
    /// Shows these meters too. Each name comes once.
    pub fn add(&self, meters: &[&dyn Meter]) {
        for meter in meters {
            self.0.register(meter.collector()).expect("each meter has a name of its own");
        }
    }

    /// All of them, in the text format of Prometheus, version 0.0.4.
    ///
    /// # Errors
    /// When a meter cannot be written; the text is for the log.
    pub fn text(&self) -> Result<String, String> {
        TextEncoder::new().encode_to_string(&self.0.gather()).map_err(|e| e.to_string())
    }
}

/// Counts one more for as long as it is held.
pub struct Held(Gauge);

impl Held {
    /// One more.
    #[must_use]
    pub fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}
