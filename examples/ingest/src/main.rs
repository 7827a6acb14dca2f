//! Keeps an SQLite catalogue of a directory: every regular file with its size, lines, words and SHA-256.
//!
//! Run `cargo run --release --example ingest -- DIR`, and press ctrl-c to stop it. `--help` lists the options. The log
//! shows the address of its page.
//!
//! ```text
//!             jobs: a Queue                     changes: a Queue
//!   scan ───────────────────▶ digest 1 … n ─┬───────────────────▶ store ───▶ catalogue
//!   every 2 s: what is new    read files    │                     writes in batches
//!                                retention ─┘
//!                                every 2 s: what is gone
//! ```
//!
//! `pipeline` adds the services in the order of their start: consumers before producers. They stop in reverse order:
//! first the web page, then the scanner. Then the digesters finish the queued files, and the store writes the results.
//! Killing the program loses nothing: the next scan finds the files that are not in the catalogue.

#![allow(unreachable_pub, reason = "in a program, `pub` is short for `pub(crate)`")]

mod options;
mod job;
mod tree;
mod catalogue;
mod store;
mod digest;
mod retention;
mod scan;
mod status;
mod page;
mod web;

use crate::catalogue::Catalogue;
use crate::digest::Digester;
use crate::job::Claims;
use crate::options::Options;
use crate::retention::{Retention, Tidy};
use crate::scan::Scanner;
use crate::status::Sources;
use crate::store::store;
use crate::tree::Tree;
use crate::web::Web;
use hosted::{Context, Host, Queue, Restart, every, task};
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(no) => return no.print(),
    };
    match pipeline(options).run() {
        Ok(report) => {
            _ = writeln!(io::stdout(), "{report}"); // ignore a closed stdout: the work is done
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("ingest: {error}");
            error.exit_code()
        }
    }
}

fn pipeline(options: Options) -> Host {
    let Options { dir, db, port, digesters, period, once } = options;
    let tree = Tree::new(dir, &db);
    let claims = Claims::default();
    let jobs = Queue::bounded(256);
    let changes = Queue::bounded(256);
    let tidy = Tidy::default();

    let mut host = Host::new();
    let at = db.clone();
    let schema = move |_: &Context| {
        log::info!("the catalogue: {}", at.display());
        Ok(Catalogue::create(&at)?)
    };
    host.add("schema", task(schema));
    host.add("store", store(&db, &changes));
    for n in 1..=digesters {
        let mut digester = Digester::new(&tree, &changes);
        host.add(format!("digest {n}"), jobs.consumer(move |job, ctx| digester.digest(job, ctx))).after(["store"]);
    }
    let retention = Retention::new(&tree, &db, &changes, tidy.clone());
    let sweeps = every(period, move |ctx| retention.sweep(ctx));
    host.add("retention", sweeps.immediately().fixed_delay()).after(["store"]);
    let mut scanner = Scanner::new(&tree, &db, &jobs, &claims);
    let scans = every(period, move |ctx| {
        let up_to_date = scanner.scan(ctx)?;
        if once && up_to_date && tidy.get() {
            ctx.host().request_stop();
        }
        Ok(())
    });
    host.add("scan", scans.immediately().fixed_delay());
    let sources = Sources { dir: tree.dir().to_owned(), db, jobs, claims };
    host.add("web", Web::new(port, sources)).restart(Restart::on_failure());
    host
}
