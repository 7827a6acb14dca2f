//! The log of the test program: one logger, which passes every line to each test that listens. Several tests run at once,
//! so a test selects its lines by a service name or a text that no other test of the program has.

use crossbeam_channel::{Receiver, unbounded};
use log::{LevelFilter, Log, Metadata, Record};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Instant;

pub(crate) use log::Level;

#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) level: Level,
    pub(crate) target: String,
    pub(crate) text: String,
    pub(crate) at: Instant,
}

/// Called with each line. Returns `false` if it must not be called again.
type Listener = Arc<dyn Fn(&Line) -> bool + Send + Sync>;

struct Logger(Mutex<Vec<Listener>>);

static LOGGER: Logger = Logger(Mutex::new(Vec::new()));

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("hosted")
    }

    fn log(&self, record: &Record<'_>) {
        let (level, target, text) = (record.level(), record.target().to_owned(), record.args().to_string());
        let line = Line { level, target, text, at: Instant::now() };
        // Hold no lock while a listener runs: it may block or panic, as its test requires.
        let listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for gone in listeners.into_iter().filter(|listener| !listener(&line)) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| !Arc::ptr_eq(other, &gone));
        }
    }

    fn flush(&self) {}
}

fn add(listener: Listener) {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        log::set_logger(&LOGGER).unwrap();
        log::set_max_level(LevelFilter::Trace);
    });
    LOGGER.0.lock().unwrap_or_else(PoisonError::into_inner).push(listener);
}

/// Receives the lines of all tests from now on.
pub(crate) fn listen() -> Receiver<Line> {
    let (sender, lines) = unbounded();
    add(Arc::new(move |line| sender.send(line.clone()).is_ok()));
    lines
}

/// Calls `f` with each line of all tests from now on, on the thread that logs it.
pub(crate) fn on_line(f: impl Fn(&Line) + Send + Sync + 'static) {
    add(Arc::new(move |line| {
        f(line);
        true
    }));
}

/// Stores the lines of all tests from now on.
pub(crate) struct Recording {
    lines: Receiver<Line>,
    kept: Mutex<Vec<Line>>,
}

pub(crate) fn record() -> Recording {
    Recording { lines: listen(), kept: Mutex::default() }
}

impl Recording {
    /// Returns the lines so far whose text contains `part`.
    pub(crate) fn containing(&self, part: &str) -> Vec<Line> {
        let mut kept = self.kept.lock().unwrap();
        kept.extend(self.lines.try_iter());
        kept.iter().filter(|line| line.text.contains(part)).cloned().collect()
    }

    /// Returns the number of errors so far that contain `part`.
    pub(crate) fn errors(&self, part: &str) -> usize {
        self.containing(part).iter().filter(|line| line.level == Level::Error).count()
    }
}
