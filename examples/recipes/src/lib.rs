//! What every recipe shares: stopping it twenty times while it is blocked, and saying what that took.

use hosted::{Host, Report, Result, Service, State};
use std::path::Path;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

/// How often a recipe is started and stopped.
pub const ROUNDS: usize = 20;
/// How long a service is left alone before it is stopped, so that it sits in its call.
const SETTLE: Duration = Duration::from_millis(100);
/// How long the first one is watched doing nothing.
const IDLE: Duration = Duration::from_secs(1);
/// Far from every limit: what does not end is reported, with what it is blocked in.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Calls that hear of the stop end within this.
pub const PROMPT: Duration = Duration::from_millis(50);
/// Those that have to be asked again, or look up only now and then.
pub const EDGE: Duration = Duration::from_millis(300);

/// Starts and stops the service that `make` gives, twenty times, and prints a row of the table in RECIPES.md: the program, what
/// the service was blocked in, the median and the slowest stop (from the request until its thread has been joined), and how much of
/// a processor the waiting took.
///
/// # Errors
///
/// If the median is over `limit`, or a stop was not graceful.
pub fn measure<S: Service>(limit: Duration, mut make: impl FnMut() -> S) -> Result {
    let add = |host: &mut Host| {
        host.add("recipe", make());
    };
    measure_host(limit, STOP_TIMEOUT, add).map(drop)
}

/// The same of the one service that `add` adds to a host; the stop has `timeout`. What the stops reported.
///
/// # Errors
///
/// As of [`measure`].
pub fn measure_host(limit: Duration, timeout: Duration, mut add: impl FnMut(&mut Host)) -> Result<Vec<Report>> {
    let (mut blocked_in, mut idle, mut took, mut reports) = (String::new(), 0.0, Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let mut host = Host::new();
        add(&mut host);
        host.start()?;
        thread::sleep(SETTLE);
        if round == 0 {
            idle = busy_for(IDLE)?;
            blocked_in = host.handle().services()[0].blocked_now().unwrap_or_default();
        }
        if host.handle().services()[0].state != State::Running {
            return Err("it was not running any more when it was to be stopped".into());
        }
        let asked = Instant::now();
        reports.push(host.stop(timeout)?);
        took.push(asked.elapsed());
    }
    took.sort();
    let (median, slowest) = (took[ROUNDS / 2], took[ROUNDS - 1]);
    let program = env::args().next().unwrap_or_default();
    let name = Path::new(&program).file_name().unwrap_or_default().display();
    println!("| {name} | {} | {} | {} | {idle:.2} % |", shortened(&blocked_in), millis(median), millis(slowest));
    if median > limit {
        return Err(
            format!("half of the stops took over {}, and {} is the limit", millis(median), millis(limit)).into()
        );
    }
    Ok(reports)
}

/// How much of a processor all threads of this program use for that long, in per cent.
fn busy_for(time: Duration) -> Result<f64> {
    let before = processor_time()?;
    thread::sleep(time);
    Ok((processor_time()? - before) * 100.0 / time.as_nanos() as f64)
}

/// What all threads of this program have used, in nanoseconds.
fn processor_time() -> Result<f64> {
    let mut sum = 0.0;
    for task in fs::read_dir("/proc/self/task")? {
        let Ok(used) = fs::read_to_string(task?.path().join("schedstat")) else { continue }; // it has just ended
        sum += used.split(' ').next().unwrap_or_default().parse::<f64>()?;
    }
    Ok(sum)
}

/// The call, without for how long: that is about this measurement.
fn shortened(blocked_in: &str) -> &str {
    blocked_in.split(" for at least").next().unwrap_or(blocked_in)
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}
