//! The recorder of this test program: it keeps every value, and calls back into the library as it can.

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

/// The values by the text of their key: `hosted_queue_length{queue="mail"}`, with the labels in the order of their names.
#[derive(Clone, Default)]
pub(crate) struct Values {
    numbers: Arc<Mutex<BTreeMap<String, f64>>>,
    samples: Arc<Mutex<BTreeMap<String, Vec<f64>>>>,
    descriptions: Arc<Mutex<BTreeMap<String, Description>>>,
    hooks: Arc<Mutex<Vec<Hook>>>,
}

type Description = (Option<Unit>, String);

type Hook = Arc<dyn Fn(&str) + Send + Sync>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The values of this process. The first call installs the recorder, so it comes before the host of a test.
pub(crate) fn recorder() -> Values {
    static INSTALLED: Once = Once::new();
    static VALUES: Mutex<Option<Values>> = Mutex::new(None);
    INSTALLED.call_once(|| {
        let values = Values::default();
        *lock(&VALUES) = Some(values.clone());
        assert!(metrics::set_global_recorder(values).is_ok(), "this is the first recorder");
    });
    lock(&VALUES).clone().unwrap()
}

impl Values {
    /// The counter or gauge of that name and these labels. `None` if it was never registered.
    pub(crate) fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        lock(&self.numbers).get(&text(name, labels.iter().copied())).copied()
    }

    pub(crate) fn samples(&self, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        lock(&self.samples).get(&text(name, labels.iter().copied())).cloned().unwrap_or_default()
    }

    /// The states of the service `name` whose gauge is not zero, with the value.
    pub(crate) fn states(&self, service: &str) -> Vec<(String, f64)> {
        let numbers = lock(&self.numbers);
        let part = format!("service=\"{service}\",state=\"");
        let found = numbers.iter().filter_map(|(key, value)| {
            let (_, state) = key.strip_prefix("hosted_service_state{")?.split_once(&part)?;
            Some((state.trim_end_matches("\"}").to_owned(), *value))
        });
        found.filter(|(_, value)| *value != 0.0).collect()
    }

    /// The names of all metrics that were ever recorded.
    pub(crate) fn names(&self) -> Vec<String> {
        let (numbers, samples) = (lock(&self.numbers), lock(&self.samples));
        let keys = numbers.keys().chain(samples.keys());
        let mut names: Vec<String> = keys.map(|key| key.split('{').next().unwrap().to_owned()).collect();
        names.sort();
        names.dedup();
        names
    }

    pub(crate) fn description(&self, name: &str) -> Option<Description> {
        lock(&self.descriptions).get(name).cloned()
    }

    /// Calls `f` with the key of each change from now on, on the thread that records it.
    pub(crate) fn on_change(&self, f: impl Fn(&str) + Send + Sync + 'static) {
        lock(&self.hooks).push(Arc::new(f));
    }
}

fn text<'a>(name: &str, labels: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut labels: Vec<String> = labels.map(|(key, value)| format!("{key}=\"{value}\"")).collect();
    labels.sort();
    if labels.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", labels.join(",")) }
}

fn text_of(key: &Key) -> String {
    text(key.name(), key.labels().map(|label| (label.key(), label.value())))
}

struct Cell {
    values: Values,
    key: String,
}

impl Cell {
    fn new(values: &Values, key: &Key) -> Arc<Self> {
        Arc::new(Cell { values: values.clone(), key: text_of(key) })
    }

    fn change(&self, f: impl FnOnce(&mut f64)) {
        f(lock(&self.values.numbers).entry(self.key.clone()).or_default());
        self.values.call_hooks(&self.key);
    }
}

impl Values {
    fn call_hooks(&self, key: &str) {
        let hooks = lock(&self.hooks).clone(); // a hook may record something itself
        hooks.iter().for_each(|hook| hook(key));
    }
}

impl CounterFn for Cell {
    fn increment(&self, value: u64) {
        self.change(|number| *number += value as f64);
    }

    fn absolute(&self, _: u64) {
        panic!("{}: a counter must be incremented, because several hosts can count under one name", self.key);
    }
}

impl GaugeFn for Cell {
    fn increment(&self, value: f64) {
        self.change(|number| *number += value);
    }

    fn decrement(&self, value: f64) {
        self.change(|number| *number -= value);
    }

    fn set(&self, value: f64) {
        self.change(|number| *number = value);
    }
}

impl HistogramFn for Cell {
    fn record(&self, value: f64) {
        lock(&self.values.samples).entry(self.key.clone()).or_default().push(value);
        self.values.call_hooks(&self.key);
    }
}

impl Recorder for Values {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        lock(&self.descriptions).insert(key.as_str().to_owned(), (unit, description.to_string()));
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.describe_counter(key, unit, description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.describe_counter(key, unit, description);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Cell::new(self, key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Cell::new(self, key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Cell::new(self, key))
    }
}
