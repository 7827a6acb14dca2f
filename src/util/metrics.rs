//! What the library records through the crate `metrics`: the only file that uses that crate and names its metrics. Feature
//! `metrics`.
//!
//! A recorder is user code, so a caller holds no lock, and a panic of the recorder is discarded like that of a logger.
//! Counters and gauges change by differences, and never to an absolute value. Two threads that record changes of one service
//! in another order than they happened therefore leave the same values.

use super::panic::catch_panic;
use super::sync::Arc;
use metrics::{Key, Label, Level, Metadata, Recorder, SharedString, Unit, with_recorder};
use std::time::Duration;

const STATE: &str = "hosted_service_state";
const HEALTH: &str = "hosted_service_health";
const RESTARTS: &str = "hosted_service_restarts_total";
const ERRORS: &str = "hosted_service_errors_total";
const TICKS_MISSED: &str = "hosted_service_ticks_missed_total";
const STOP_SECONDS: &str = "hosted_host_stop_seconds";
const QUEUE_LENGTH: &str = "hosted_queue_length";
const QUEUE_CAPACITY: &str = "hosted_queue_capacity";
const JOBS: &str = "hosted_queue_jobs_total";
const JOB_SECONDS: &str = "hosted_queue_job_seconds";

const METADATA: Metadata<'static> = Metadata::new("hosted", Level::INFO, Some("hosted"));

/// Calls the recorder that the program installed, if there is one.
fn record(f: impl FnOnce(&dyn Recorder)) {
    _ = catch_panic(|| with_recorder(f));
}

fn label(name: &'static str, value: &Arc<str>) -> Label {
    Label::new(name, SharedString::from_shared(value.clone()))
}

/// Describes every metric to the recorder. An exporter shows the texts.
pub(crate) fn describe() {
    record(|recorder| {
        let gauge =
            |name: &'static str, unit, text: &'static str| recorder.describe_gauge(name.into(), unit, text.into());
        gauge(STATE, None, "The number of services with this name that are in this state.");
        gauge(HEALTH, None, "The number of services with this name that have this health.");
        gauge(QUEUE_LENGTH, Some(Unit::Count), "The number of items in the queue.");
        gauge(QUEUE_CAPACITY, Some(Unit::Count), "The number of items for which the queue has room.");
        gauge(STOP_SECONDS, Some(Unit::Seconds), "How long the latest shutdown took.");
        let counter = |name: &'static str, text: &'static str| {
            recorder.describe_counter(name.into(), Some(Unit::Count), text.into());
        };
        counter(RESTARTS, "The number of times that the service was started again.");
        counter(ERRORS, "The number of failed runs, ticks and jobs, and of other errors that the service reported.");
        counter(TICKS_MISSED, "The number of ticks that passed while the service was busy.");
        counter(JOBS, "The number of jobs that the consumer has handled.");
        let text = "How long the jobs of the consumer took.";
        recorder.describe_histogram(JOB_SECONDS.into(), Some(Unit::Seconds), text.into());
    });
}

/// A shutdown of a host took so long.
pub(crate) fn record_stop(host: Option<&Arc<str>>, took: Duration) {
    let labels: Vec<Label> = host.map(|host| label("host", host)).into_iter().collect();
    let key = Key::from_parts(STOP_SECONDS, labels);
    record(|recorder| recorder.register_gauge(&key, &METADATA).set(took.as_secs_f64()));
}

/// What has changed about a service.
pub(crate) struct ServiceChange {
    /// The name of the host, if it has one.
    pub(crate) host: Option<Arc<str>>,
    pub(crate) service: Arc<str>,
    /// The state and the health that the service has left, and those that it has entered.
    pub(crate) left: Option<Condition>,
    pub(crate) entered: Option<Condition>,
    pub(crate) restarts: u64,
    pub(crate) errors: u64,
    pub(crate) ticks_missed: u64,
}

/// The state and the health of a service, as labels.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) state: &'static str,
    pub(crate) health: &'static str,
}

impl ServiceChange {
    pub(crate) fn record(&self) {
        record(|recorder| {
            let gauge = |name, label_name, value: &'static str, by: f64| {
                let key = self.key(name, Some(Label::from_static_parts(label_name, value)));
                recorder.register_gauge(&key, &METADATA).increment(by);
            };
            // The new state is recorded first, so that a reader never finds a service without a state.
            for (condition, by) in [(self.entered, 1.0), (self.left, -1.0)] {
                let Some(Condition { state, health }) = condition else { continue };
                gauge(STATE, "state", state, by);
                gauge(HEALTH, "health", health, by);
            }
            // A counter that is registered with zero lets a query see its first increase.
            let is_new = self.left.is_none() && self.entered.is_some();
            for (name, by) in [(RESTARTS, self.restarts), (ERRORS, self.errors), (TICKS_MISSED, self.ticks_missed)] {
                if by > 0 || is_new {
                    recorder.register_counter(&self.key(name, None), &METADATA).increment(by);
                }
            }
        });
    }

    fn key(&self, name: &'static str, extra: Option<Label>) -> Key {
        let host = self.host.as_ref().map(|host| label("host", host));
        let labels: Vec<Label> = host.into_iter().chain([label("service", &self.service)]).chain(extra).collect();
        Key::from_parts(name, labels)
    }
}

/// The metrics of a queue with a name.
pub(crate) struct QueueMetrics {
    length: Key,
    capacity: Key,
}

impl QueueMetrics {
    pub(crate) fn new(queue: &Arc<str>) -> Self {
        let key = |name| Key::from_parts(name, vec![label("queue", queue)]);
        QueueMetrics { length: key(QUEUE_LENGTH), capacity: key(QUEUE_CAPACITY) }
    }

    /// The number of items has changed.
    pub(crate) fn record_length(&self, before: usize, now: usize) {
        record(|recorder| recorder.register_gauge(&self.length, &METADATA).increment(now as f64 - before as f64));
    }

    pub(crate) fn record_capacity(&self, capacity: usize) {
        record(|recorder| recorder.register_gauge(&self.capacity, &METADATA).set(capacity as f64));
    }
}

/// The metrics of the consumer of a queue.
pub(crate) struct JobMetrics {
    jobs: Key,
    seconds: Key,
}

impl JobMetrics {
    pub(crate) fn new(queue: Option<&Arc<str>>, service: &str) -> Self {
        let service = Label::new("service", service.to_owned());
        let labels: Vec<Label> = queue.map(|queue| label("queue", queue)).into_iter().chain([service]).collect();
        JobMetrics { jobs: Key::from_parts(JOBS, labels.clone()), seconds: Key::from_parts(JOB_SECONDS, labels) }
    }

    /// So many jobs, which were handled together, took so long.
    pub(crate) fn record(&self, jobs: usize, took: Duration) {
        record(|recorder| {
            recorder.register_counter(&self.jobs, &METADATA).increment(jobs as u64);
            recorder.register_histogram(&self.seconds, &METADATA).record(took.as_secs_f64());
        });
    }
}
