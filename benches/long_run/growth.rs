//! What has grown: compares the median of the last third of the minutes with that of the first third. The first minute
//! is not counted, because caches and unread queues fill in it.

use crate::harness::Bench;
use crate::harness::table::{duration, quartiles, verdict};
use crate::minute::{Minute, Spread};
use crate::resources::{BLOCKS, BYTES, DESCRIPTORS, RESIDENT, THREADS};

/// The growth that still counts as none. Texts have all lengths, and sometimes a list is longer than ever and keeps its
/// capacity. For comparison, a callback that each second host leaks is 25 KB and 1,000 blocks a minute.
const NOISE_BYTES: f64 = 16.0 * 1024.0;
const NOISE_BLOCKS: f64 = 100.0;

/// A measured value: its name, how to read it, how to print it, and how much growth counts as none.
struct Measure {
    what: &'static str,
    of: fn(&Minute) -> Option<f64>,
    text: fn(f64) -> String,
    noise: Option<f64>,
}

const MEASURES: [Measure; 10] = [
    Measure { what: "heap, bytes", of: |minute| had(minute, BYTES), text: whole, noise: Some(NOISE_BYTES) },
    Measure { what: "heap, blocks", of: |minute| had(minute, BLOCKS), text: whole, noise: Some(NOISE_BLOCKS) },
    Measure { what: "resident, KiB", of: |minute| had(minute, RESIDENT), text: whole, noise: None },
    Measure { what: "threads", of: |minute| had(minute, THREADS), text: whole, noise: Some(0.0) },
    Measure { what: "descriptors", of: |minute| had(minute, DESCRIPTORS), text: whole, noise: Some(0.0) },
    Measure { what: "ticks late, median", of: |minute| part(minute.ticks, 0), text: duration, noise: None },
    Measure { what: "ticks late, 99 %", of: |minute| part(minute.ticks, 1), text: duration, noise: None },
    Measure { what: "stops take, median", of: |minute| part(minute.stops, 0), text: duration, noise: None },
    Measure { what: "stops take, 99 %", of: |minute| part(minute.stops, 1), text: duration, noise: None },
    Measure { what: "beyond the deadline, 99 %", of: |minute| part(minute.overdue, 1), text: duration, noise: None },
];

fn had(minute: &Minute, what: usize) -> Option<f64> {
    Some(minute.least.0[what] as f64)
}

fn part(spread: Spread, part: usize) -> Option<f64> {
    spread.map(|spread| spread[part])
}

fn whole(number: f64) -> String {
    format!("{number:.0}")
}

/// Prints the table. Returns `true` if no value with a limit has grown.
pub fn report(bench: &Bench, minutes: &[Minute]) -> bool {
    let counted = minutes.get(1..).unwrap_or_default();
    let third = counted.len() / 3;
    if third == 0 {
        println!("\nGrowth needs at least 4 minutes: one to warm up, and three thirds.");
        return true;
    }
    let (first, last) = (&counted[..third], &counted[counted.len() - third..]);
    let table = bench.table("Growth", "what | first third | last third | growth | no growth yet | verdict");
    let judge = |measure: &Measure| {
        let median = |minutes: &[Minute]| {
            let values: Vec<f64> = minutes.iter().filter_map(measure.of).collect();
            (!values.is_empty()).then(|| quartiles(values)[1])
        };
        let (Some(first), Some(last)) = (median(first), median(last)) else { return true };
        let growth = last - first;
        let met = measure.noise.map(|noise| growth <= noise);
        let text = measure.text;
        let signed = format!("{}{}", if growth < 0.0 { "−" } else { "+" }, text(growth.abs()));
        let limit = measure.noise.map_or("–".to_owned(), |noise| format!("≤ {}", text(noise)));
        table.row(&[measure.what.to_owned(), text(first), text(last), signed, limit, verdict(met)]);
        met != Some(false)
    };
    MEASURES.iter().map(judge).fold(true, |all, met| all & met)
}
