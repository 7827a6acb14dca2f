//! A shop: orders come in over HTTP, and each customer receives exactly one mail. Kill it at any moment, and start it again.
//!
//! ```sh
//! cargo run --release -p hosted-jobs --example orders
//! curl -d '{"customer": "ada@example.org", "item": "tea"}' http://127.0.0.1:8090/orders
//! ```
//!
//! The page at <http://127.0.0.1:8091/> shows the orders, the queues, and what each thread does. Everything else is in the folder
//! `orders-data`: the database, the mails (a maildir), and a report for each night.

mod shop;

use shop::Options;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str =
    "usage: orders [--folder DIR] [--port PORT] [--status-port PORT] [--threads N] [--report-every SECONDS]";

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("orders: {why}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let opened = shop::open(&options);
    let (mut host, address, _) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            eprintln!("orders: {error}");
            return ExitCode::FAILURE;
        }
    };
    println!("the shop is at http://{address}/. Order something:");
    println!(r#"  curl -d '{{"customer": "ada@example.org", "item": "tea"}}' http://{address}/orders"#);
    println!("The page is at http://127.0.0.1:{}/.", options.status_port);
    println!("The mails are in {}. Press ctrl-c to stop, or kill -9.", options.folder.join("mail/new").display());
    match host.run() {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("orders: {error}");
            error.exit_code()
        }
    }
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options =
        Options { folder: PathBuf::from("orders-data"), port: 8090, status_port: 8091, threads: 4, report_every: None };
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("`{name}` needs a value"))?;
        let wrong = |_| format!("`{value}` is no number for `{name}`");
        match name.as_str() {
            "--folder" => options.folder = PathBuf::from(value),
            "--port" => options.port = value.parse().map_err(wrong)?,
            "--status-port" => options.status_port = value.parse().map_err(wrong)?,
            "--threads" => options.threads = value.parse().map_err(wrong)?,
            "--report-every" => options.report_every = Some(Duration::from_secs(value.parse().map_err(wrong)?)),
            _ => return Err(format!("unknown option `{name}`")),
        }
    }
    Ok(options)
}
