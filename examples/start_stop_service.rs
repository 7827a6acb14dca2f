//! Prints `loaded 0 readings`, then `saved 5 readings`; in a second run `loaded 5 readings`, then `saved 10 readings`.
//!
//! A service with state: `start` prepares it, `run` does the work, and `stop` cleans up. The host calls `stop` even
//! if `run` failed.

use hosted::{Context, Host, Result, Service};
use std::path::PathBuf;
use std::time::Duration;
use std::{fs, io};

struct Logbook {
    file: PathBuf,
    readings: Vec<f32>,
}

impl Service for Logbook {
    /// The service is ready when `start` returns `Ok`. The services after it start then. An error keeps the host from
    /// starting.
    fn start(&mut self, _: &Context) -> Result {
        self.readings = match fs::read_to_string(&self.file) {
            Ok(text) => text.lines().map(str::parse).collect::<std::result::Result<_, _>>()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        println!("loaded {} readings", self.readings.len());
        Ok(())
    }

    /// Returns after five readings, or earlier if a stop is requested.
    fn run(&mut self, ctx: &Context) -> Result {
        for _ in ctx.ticks(Duration::from_millis(200)).take(5) {
            self.readings.push(read_thermometer());
        }
        Ok(())
    }

    /// The host calls `stop` once for each `start` that returned `Ok`, even after an error or a panic in `run`.
    fn stop(&mut self, _: &Context) -> Result {
        let lines: Vec<String> = self.readings.iter().map(f32::to_string).collect();
        fs::write(&self.file, lines.join("\n"))?;
        println!("saved {} readings", self.readings.len());
        Ok(())
    }
}

fn main() -> Result {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let file = std::env::temp_dir().join(format!("logbook-{}.txt", std::process::id()));
    for _ in 0..2 {
        let mut host = Host::new();
        host.add("logbook", Logbook { file: file.clone(), readings: Vec::new() });
        host.run()?; // returns after ctrl-c, or when every service has completed
    }
    fs::remove_file(file)?;
    Ok(())
}

fn read_thermometer() -> f32 {
    21.5
}
