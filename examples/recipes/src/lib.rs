//! The measurement that all recipes share: stop a blocked service twenty times and print how long the stops took.

use hosted::{Host, Report, Result, Service, ServiceState};
use std::path::Path;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

/// How often the measurement starts and stops a recipe.
pub const ROUNDS: usize = 20;
/// The time between start and stop, in which the service reaches its blocking call.
const TIME_TO_BLOCK: Duration = Duration::from_millis(100);
/// How long the measurement observes the first service while it is idle.
const IDLE: Duration = Duration::from_secs(1);
/// Far above every limit: a service that does not stop is reported with the call that it is blocked in.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// The limit for calls that the stop wakes directly.
pub const PROMPT: Duration = Duration::from_millis(50);
/// The limit for calls that need a repeated interrupt, or that check for a stop only at intervals.
pub const EDGE: Duration = Duration::from_millis(300);

/// Starts and stops the service that `make` returns, twenty times, and prints its row of the table in
/// `docs/recipes/README.md`.
///
/// The row contains the program, the call that the service was blocked in, the median stop, the slowest stop, and the
/// processor time that the service used while it waited. A stop lasts from the request until the service's thread has
/// been joined.
///
/// # Errors
///
/// Returns an error if the median exceeds `limit`, or if a stop was not graceful.
pub fn measure<S: Service>(limit: Duration, mut make: impl FnMut() -> S) -> Result {
    let add = |host: &mut Host| {
        host.add("recipe", make());
    };
    measure_host(limit, STOP_TIMEOUT, add).map(drop)
}

/// Does the same with the one service that `add` adds to a host. Each stop has `timeout`. Returns the
/// reports of the stops.
///
/// # Errors
///
/// Returns an error in the same cases as [`measure`].
pub fn measure_host(limit: Duration, timeout: Duration, mut add: impl FnMut(&mut Host)) -> Result<Vec<Report>> {
    let (mut blocked_in, mut idle, mut took, mut reports) = (String::new(), 0.0, Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let mut host = Host::new();
        add(&mut host);
        host.start()?;
        thread::sleep(TIME_TO_BLOCK);
        if round == 0 {
            idle = busy_for(IDLE)?;
            blocked_in = host.handle().services()[0].blocked_now().unwrap_or_default();
        }
        if host.handle().services()[0].state != ServiceState::Running {
            return Err("the service exited before the measurement could stop it".into());
        }
        let requested = Instant::now();
        reports.push(host.stop(timeout)?);
        took.push(requested.elapsed());
    }
    took.sort();
    let (median, slowest) = (took[ROUNDS / 2], took[ROUNDS - 1]);
    let program = env::args().next().unwrap_or_default();
    let name = Path::new(&program).file_name().unwrap_or_default().display();
    println!("| {name} | {} | {} | {} | {idle:.2} % |", shortened(&blocked_in), millis(median), millis(slowest));
    if median > limit {
        return Err(format!("median stop of {} exceeds the limit of {}", millis(median), millis(limit)).into());
    }
    Ok(reports)
}

/// Returns the processor time that all threads of this program use during `time`, in per cent of one processor.
fn busy_for(time: Duration) -> Result<f64> {
    let before = processor_time()?;
    thread::sleep(time);
    Ok((processor_time()? - before) * 100.0 / time.as_nanos() as f64)
}

/// Returns the processor time that all threads of this program have used so far, in nanoseconds.
fn processor_time() -> Result<f64> {
    let mut sum = 0.0;
    for task in fs::read_dir("/proc/self/task")? {
        let Ok(used) = fs::read_to_string(task?.path().join("schedstat")) else { continue }; // just exited
        sum += used.split(' ').next().unwrap_or_default().parse::<f64>()?;
    }
    Ok(sum)
}

/// Returns the call without its duration, which says only how long the measurement waited.
fn shortened(blocked_in: &str) -> &str {
    blocked_in.split(" for at least").next().unwrap_or(blocked_in)
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}
