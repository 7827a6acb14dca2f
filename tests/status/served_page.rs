//! A host for the browser to look at. `tests/browser/run` starts it; on its own it does nothing.

use crossbeam_channel::{Receiver, Sender, unbounded};
use hosted::{Context, Host, OnFailure, Restart, Service, StatusServer, every, group, task, worker};
use std::collections::HashMap;
use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// A service that waits for the stop, and fails when it is told to.
fn obeys(orders: &Receiver<String>) -> impl Service + use<> {
    let orders = orders.clone();
    worker(move |ctx: &Context| Err(ctx.recv(&orders)?.into()))
}

/// Prints the address, obeys lines such as `broker connection refused`, and ends with its standard input.
#[test]
#[ignore = "it waits for the lines of tests/browser/page.py"]
fn serve_a_page() {
    let jobs = Arc::new(AtomicU64::new(0));
    let shown = jobs.clone();
    let server = StatusServer::bind("127.0.0.1:0").facts("Totals", move || {
        vec![
            ("Jobs done".to_owned(), shown.load(Ordering::Relaxed).to_string()),
            ("Source".to_owned(), "/var/lib/demo/incoming".to_owned()),
        ]
    });
    let address = server.local_addr();
    let (to_broker, orders): (Sender<String>, _) = unbounded();
    let (to_starter, start_orders): (Sender<String>, _) = unbounded();
    let mut host = Host::new();
    host.add("status", server);
    host.add("migrate", task(|_| Ok(())));
    host.add("broker", obeys(&orders)).restart(Restart::on_failure().backoff(SECOND / 10..=SECOND / 10));
    host.add(
        "importer",
        every(SECOND / 10, move |_| {
            jobs.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }),
    );
    if std::env::var_os("MANY").is_some() {
        (1..=290).for_each(|n| {
            _ = host.add(format!("poller-{n:03}"), worker(|ctx| Ok(ctx.sleep(Duration::MAX)?))).after(["migrate"])
        });
    }
    host.add("statistics", worker(|_| Err("cannot open `totals.db`: no such file or directory".into())))
        .on_failure(OnFailure::Ignore);
    host.add("mail relay", worker(|_| Err("connection refused".into())))
        .restart(Restart::on_failure().backoff(3_600 * SECOND..=3_600 * SECOND));
    host.add(
        "feed",
        group(|feed| {
            feed.stop_timeout(SECOND / 20);
            feed.add(
                "reader",
                worker(|_| {
                    loop {
                        std::thread::park(); // it ignores its stop request
                    }
                }),
            )
            .independent();
            feed.add("writer", worker(|ctx| Ok(ctx.sleep(Duration::MAX)?))).independent();
            feed.add("parser", worker(|_| Err("line 17: no such column".into()))).independent();
            Ok(())
        }),
    )
    .on_failure(OnFailure::Ignore);
    host.add(
        "tenants",
        group(|tenants| {
            ["amsterdam", "berlin"]
                .into_iter()
                .for_each(|name| _ = tenants.add(name, worker(|ctx| Ok(ctx.sleep(Duration::MAX)?))));
            Ok(())
        }),
    );
    let slow = move |ctx: &Context| {
        ctx.recv(&start_orders)?;
        Ok(())
    };
    host.add("api", task(slow));
    host.add("web", worker(|ctx| Ok(ctx.sleep(Duration::MAX)?)));
    let handle = host.handle();
    let running = std::thread::spawn(move || host.run().is_ok());
    println!("address {}", address.wait().unwrap());
    let order = HashMap::from([("broker", to_broker), ("api", to_starter)]);
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let (name, text) = line.split_once(' ').unwrap_or((&line, ""));
        order[name].send(text.to_owned()).unwrap();
    }
    handle.request_stop();
    _ = running.join(); // hung: its threads end with the process
}
