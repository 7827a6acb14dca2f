//! One minute: the least that the process held, what was done, and how late things were.

use crate::chance::Chance;
use crate::harness::table::{duration, thousands};
use crate::resources::{Usage, cpu};
use crate::tally::Tally;
use hosted::{Host, StopToken};
use std::time::{Duration, Instant};

pub const COLUMNS: &str = "minute | heap, KiB | blocks | resident, MiB | threads | descriptors | jobs | faults | \
     restarts | hosts | ticks late | stops take | beyond the deadline | CPU";

/// The interval between two samples of what the process holds: so short that some sample of each minute sees no
/// short-lived thread.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(50);
const SAMPLES: u32 = 1_200;

/// Median, 99 % and longest, in nanoseconds.
pub type Spread = Option<[f64; 3]>;

pub struct Minute {
    pub least: Usage,
    pub ticks: Spread,
    pub stops: Spread,
    pub overdue: Spread,
    /// Jobs, faults, restarts and hosts.
    done: [u64; 4],
    /// The share of one processor's time.
    busy: f64,
}

/// The counts since the beginning.
fn done(chance: &Chance, tally: &Tally) -> [u64; 4] {
    [tally.jobs.get(), chance.faults(), tally.restarts.get(), tally.hosts()]
}

impl Minute {
    /// Measures the minute that begins now. Returns `None` if `stop` cut it short.
    pub fn watch(stop: &StopToken, host: &Host, chance: &Chance, tally: &Tally) -> Option<Self> {
        let (began, done_before, cpu_before) = (Instant::now(), done(chance, tally), cpu());
        let mut least = Usage::now();
        for sample in 1..=SAMPLES {
            drop(host.events()); // a dropped listener must leave nothing after the next event
            stop.sleep_until(began + SAMPLE_INTERVAL * sample).ok()?;
            least = least.least(Usage::now());
        }
        let mut done = done(chance, tally);
        done.iter_mut().zip(done_before).for_each(|(done, before)| *done -= before);
        let busy = (cpu() - cpu_before).as_secs_f64() / began.elapsed().as_secs_f64();
        let (ticks, stops, overdue) = (tally.ticks.take(), tally.stops.take(), tally.overdue.take());
        Some(Minute { least, ticks, stops, overdue, done, busy })
    }

    pub fn row(&self, number: usize) -> Vec<String> {
        let [bytes, blocks, resident, threads, descriptors] = self.least.0;
        let mut row = vec![number.to_string(), format!("{:.1}", bytes as f64 / 1024.0), thousands(blocks as usize)];
        row.push(format!("{:.1}", resident as f64 / 1024.0));
        row.extend([threads, descriptors].map(|count| count.to_string()));
        row.extend(self.done.map(|count| thousands(count as usize)));
        row.extend([self.ticks, self.stops, self.overdue].map(spread));
        row.push(format!("{:.0} %", self.busy * 100.0));
        row
    }
}

fn spread(spread: Spread) -> String {
    spread.map_or("–".to_owned(), |spread| spread.map(duration).join(", "))
}
