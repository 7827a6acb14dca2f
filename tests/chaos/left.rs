//! The reports about jobs left in the queue: an event of the last consumer, or a log line.

use hosted::{Event, EventKind};
use log::{Level, LevelFilter, Log, Metadata, Record};
use parking_lot::Mutex;

struct Lines(Mutex<Vec<usize>>);

static LINES: Lines = Lines(Mutex::new(Vec::new()));

impl Log for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "hosted::queue"
    }

    fn log(&self, line: &Record<'_>) {
        let text = line.args().to_string();
        if line.target() == "hosted::queue" && line.level() == Level::Warn && text.starts_with("a queue was closed") {
            let items = text.split(' ').find_map(|word| word.parse().ok()).expect("the line has the number of items");
            self.0.lock().push(items);
        }
    }

    fn flush(&self) {}
}

/// Installs the logger that collects these lines.
pub fn listen() {
    log::set_logger(&LINES).expect("the only logger");
    log::set_max_level(LevelFilter::Warn);
}

/// Forgets the lines of the previous schedule.
pub fn forget() {
    LINES.0.lock().clear();
}

/// Returns the number of items in each report.
pub fn reports(events: &[Event]) -> Vec<usize> {
    let events = events.iter().filter_map(|event| match event.kind {
        EventKind::QueueNotDrained { items } => Some(items),
        _ => None,
    });
    events.chain(LINES.0.lock().iter().copied()).collect()
}
