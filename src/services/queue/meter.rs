//! The name of a queue, and the metrics under that name. Without the feature `metrics` a queue has only its name.

use crate::util::sync::Arc;
#[cfg(feature = "metrics")]
use crate::util::{
    metrics::{JobMetrics, QueueMetrics},
    sync::now,
    time::since,
};

#[derive(Clone, Default)]
pub(super) struct Meter {
    name: Option<Arc<str>>,
    #[cfg(feature = "metrics")]
    metrics: Option<Arc<QueueMetrics>>,
    /// The number of items when the length was last recorded.
    #[cfg(feature = "metrics")]
    recorded: usize,
}

/// What to record once the lock of the queue is released, because a recorder is user code.
#[must_use = "the metrics would be wrong from now on"]
pub(super) struct LengthChange {
    #[cfg(feature = "metrics")]
    change: Option<(Arc<QueueMetrics>, usize, usize)>,
}

impl Meter {
    pub(super) fn name(&self) -> Option<&Arc<str>> {
        self.name.as_ref()
    }

    /// Names the queue. The items leave the old name, and the next change counts them under the new name.
    pub(super) fn set_name(&mut self, name: Arc<str>) -> LengthChange {
        let change = self.take_change(0);
        #[cfg(feature = "metrics")]
        {
            self.metrics = Some(Arc::new(QueueMetrics::new(&name)));
        }
        self.name = Some(name);
        change
    }

    /// The queue now has `length` items.
    #[cfg_attr(not(feature = "metrics"), allow(unused_variables, clippy::unused_self))]
    pub(super) fn take_change(&mut self, length: usize) -> LengthChange {
        #[cfg(feature = "metrics")]
        {
            let Some(metrics) = self.metrics.as_ref().filter(|_| length != self.recorded) else {
                return LengthChange { change: None };
            };
            let before = std::mem::replace(&mut self.recorded, length);
            LengthChange { change: Some((metrics.clone(), before, length)) }
        }
        #[cfg(not(feature = "metrics"))]
        LengthChange {}
    }

    /// Returns what records the jobs of the consumer that is the service `service`, and records the capacity of the queue.
    #[cfg_attr(not(feature = "metrics"), allow(unused_variables, clippy::unused_self))]
    pub(super) fn for_jobs(&self, service: &str, capacity: usize) -> JobMeter {
        #[cfg(feature = "metrics")]
        {
            if let Some(metrics) = &self.metrics {
                metrics.record_capacity(capacity);
            }
            JobMeter { metrics: Some(JobMetrics::new(self.name.as_ref(), service)) }
        }
        #[cfg(not(feature = "metrics"))]
        JobMeter {}
    }
}

impl LengthChange {
    pub(super) fn record(self) {
        #[cfg(feature = "metrics")]
        if let Some((metrics, before, now)) = self.change {
            metrics.record_length(before, now);
        }
    }
}

/// Counts and times the jobs of a consumer.
#[derive(Default)]
pub(crate) struct JobMeter {
    #[cfg(feature = "metrics")]
    metrics: Option<JobMetrics>,
}

impl JobMeter {
    /// Calls `f`, which returns how many jobs it has handled, and its result.
    #[cfg_attr(not(feature = "metrics"), allow(clippy::unused_self))]
    pub(crate) fn time<R>(&self, f: impl FnOnce() -> (usize, R)) -> R {
        #[cfg(feature = "metrics")]
        if let Some(metrics) = &self.metrics {
            let began = now();
            let (jobs, result) = f();
            metrics.record(jobs, since(began));
            return result;
        }
        f().1
    }
}
