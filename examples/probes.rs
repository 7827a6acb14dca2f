//! Prints `http://127.0.0.1:` with a port, and answers probes and shows a page there, until ctrl-c.
//!
//! Meanwhile, as Kubernetes would: `curl -i http://127.0.0.1:PORT/readyz` is 503 and names `fill cache`, then 200.
//! `/livez` is 200 throughout. `/` is a page for people.

use hosted::{Host, HostError, OnFailure, Restart, StatusServer, every, group, task, worker};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn main() -> Result<(), HostError> {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let jobs = Arc::new(AtomicU64::new(0));
    let shown = jobs.clone();

    // In a container: "0.0.0.0:9090", so that the kubelet reaches it.
    let server = StatusServer::bind("127.0.0.1:0")
        .facts("Totals", move || vec![("jobs".to_owned(), shown.load(Ordering::Relaxed).to_string())]);
    let address = server.local_addr();

    let mut host = Host::new();
    // First, so that probes are answered while the services below start and stop.
    host.add("status", server);
    host.add(
        "fill cache",
        task(move |ctx| {
            println!("http://{}/", address.get().expect("the server has started before"));
            println!("filling the cache");
            Ok(ctx.sleep(SECOND)?)
        }),
    );
    host.add(
        "jobs",
        every(SECOND / 10, move |_| {
            jobs.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }),
    );

    // Its errors and restarts are on the page and in `/metrics`.
    let mut attempts = 0;
    host.add(
        "broker",
        worker(move |ctx| {
            attempts += 1;
            ctx.sleep(2 * SECOND)?;
            if attempts <= 3 { Err("connection refused".into()) } else { Ok(ctx.sleep(Duration::MAX)?) }
        }),
    )
    .restart(Restart::on_failure());
    host.add("statistics", worker(|_| Err("no such table: totals".into()))).on_failure(OnFailure::Ignore);
    host.add(
        "feed",
        group(|feed| {
            feed.add("reader", worker(|ctx| Ok(ctx.sleep(Duration::MAX)?)));
            feed.add("parser", worker(|ctx| Ok(ctx.sleep(Duration::MAX)?)));
            Ok(())
        }),
    );
    host.add(
        "announce",
        worker(|ctx| {
            ctx.wait_until_started()?;
            println!("ready");
            Ok(())
        }),
    );

    let report = host.run()?;
    println!("{report}");
    Ok(())
}
