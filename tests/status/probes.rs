//! The probes at each stage of a host's life.

use crate::client::{get, json, started};
use crate::support::{LIMIT, eventually, idle, next, unresponsive};
use crossbeam_channel::{Sender, unbounded};
use hosted::{Context, Host, OnFailure, Restart, StatusServer, group, task, worker};
use std::net::SocketAddr;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

// 180
#[test]
fn during_the_start_the_probes_name_the_service_that_is_waited_for() {
    let server = StatusServer::bind("127.0.0.1:0");
    let address = server.local_addr();
    let (release, held) = channel::<()>();
    let (entered, entering) = channel();
    let mut host = Host::new();
    host.add("status", server);
    host.add(
        "migrate",
        task(move |_| {
            entered.send(())?;
            Ok(held.recv()?)
        }),
    );
    host.add("api", idle());
    let starting = thread::spawn(move || {
        host.start().unwrap();
        host
    });
    entering.recv_timeout(LIMIT).unwrap();
    let address = address.wait().unwrap();
    let (live, ready, startup) = (get(address, "/livez"), get(address, "/readyz"), get(address, "/startupz"));
    assert_eq!((live.status, &*live.body), (200, "live\n"));
    assert_eq!((ready.status, startup.status), (503, 503));
    assert!(ready.body.starts_with("not ready: the host is starting\nmigrate: starting for "), "{}", ready.body);
    assert!(ready.body.contains("\napi: waiting for "), "{}", ready.body);
    assert!(startup.body.starts_with("not started: the host is starting\nmigrate: starting for "), "{}", startup.body);

    release.send(()).unwrap();
    let mut host = starting.join().unwrap();
    for (path, text) in [("/livez", "live\n"), ("/readyz", "ready\n"), ("/startupz", "started\n")] {
        let probe = get(address, path);
        assert_eq!((probe.status, &*probe.body), (200, text));
    }
    host.stop(LIMIT).unwrap();
}

// 180
#[test]
fn during_the_stop_the_probes_answer_and_name_the_service_that_is_waited_for() {
    let (release, held) = channel::<()>();
    let (asked, asking) = channel();
    let (mut host, address) = started(|host| {
        host.add(
            "consumer",
            worker(move |ctx| {
                ctx.wait();
                asked.send(())?;
                Ok(held.recv()?)
            }),
        );
    });
    assert_eq!(get(address, "/readyz").status, 200);
    let stopping = thread::spawn(move || host.stop(LIMIT).map(|_| ()));
    asking.recv_timeout(LIMIT).unwrap();
    let ready = get(address, "/readyz");
    assert_eq!(ready.status, 503);
    assert!(ready.body.starts_with("not ready: the host is stopping\nconsumer: stopping for "), "{}", ready.body);
    assert_eq!((get(address, "/livez").status, get(address, "/startupz").status), (200, 200));
    release.send(()).unwrap();
    stopping.join().unwrap().unwrap();
}

/// Runs each order on the service `broker`, whose options are those that `options` sets.
fn with_broker(options: impl FnOnce(&mut hosted::ServiceOptions)) -> (Host, SocketAddr, Sender<Order>) {
    let (sender, orders) = unbounded::<Order>();
    let (host, address) = started(|host| {
        let obeys = move |ctx: &Context| loop {
            ctx.recv(&orders)?(ctx)?;
        };
        options(host.add("broker", worker(obeys)));
        host.add("api", idle());
    });
    (host, address, sender)
}

type Order = Box<dyn Fn(&Context) -> hosted::Result + Send>;

/// Waits until the probe answers with `status`, and returns its text.
fn probe_until(address: SocketAddr, path: &str, status: u16) -> String {
    eventually(|| Some(get(address, path)).filter(|answer| answer.status == status).map(|answer| answer.body))
}

// 181
#[test]
fn a_degraded_service_makes_the_host_unready_and_is_named_with_its_reason() {
    let (mut host, address, orders) = with_broker(|_| ());
    assert_eq!(get(address, "/readyz").status, 200);
    let degrade = |ctx: &Context| {
        ctx.degraded("no connection to\nmq");
        Ok(())
    };
    orders.send(Box::new(degrade)).unwrap();
    let text = probe_until(address, "/readyz", 503);
    assert!(text.starts_with("not ready: services are unhealthy\nbroker: running for "), "{text}");
    assert!(text.contains(", degraded for ") && text.ends_with(": no connection to\\nmq\n"), "{text}");
    assert_eq!((get(address, "/livez").status, get(address, "/startupz").status), (200, 200));
    let recover = |ctx: &Context| {
        ctx.healthy();
        Ok(())
    };
    orders.send(Box::new(recover)).unwrap();
    assert_eq!(probe_until(address, "/readyz", 200), "ready\n");

    orders.send(Box::new(degrade)).unwrap();
    probe_until(address, "/readyz", 503);
    orders.send(Box::new(|_| Err("mq has closed the connection".into()))).unwrap();
    probe_until(address, "/readyz", 503); // the service has failed, and stops the host
    host.stop(LIMIT).unwrap_err();
}

// 181
#[test]
fn a_restart_makes_a_degraded_service_ready_again() {
    let at_once = Restart::on_failure().backoff(Duration::ZERO..=Duration::ZERO);
    let (mut host, address, orders) = with_broker(|options| _ = options.restart(at_once));
    let fail = |ctx: &Context| {
        ctx.degraded("no connection");
        Err("no connection".into())
    };
    for restarts in 1..=5 {
        orders.send(Box::new(fail)).unwrap();
        eventually(|| (host.handle().services()[1].restarts == restarts).then_some(()));
        assert_eq!(probe_until(address, "/readyz", 200), "ready\n");
    }
    host.stop(LIMIT).unwrap();
}

// 181
#[test]
fn a_degraded_service_whose_failure_is_ignored_leaves_the_host_ready() {
    let (mut host, address, orders) = with_broker(|options| _ = options.on_failure(OnFailure::Ignore));
    let (degraded, is_degraded) = unbounded();
    let degrade = move |ctx: &Context| {
        ctx.degraded("no connection");
        Ok(degraded.send(())?)
    };
    orders.send(Box::new(degrade)).unwrap();
    next(&is_degraded);
    assert_eq!(get(address, "/readyz").status, 200);
    assert_eq!(json(address, "/status.json")["services"][1]["health"], "degraded");
    host.stop(LIMIT).unwrap();
}

// 181
#[test]
fn a_stop_request_makes_the_host_not_ready_at_once() {
    let (host, address) = started(|host| {
        host.add("api", idle());
    });
    host.handle().request_stop(); // nobody is in `wait`: the services run on
    let ready = get(address, "/readyz");
    assert_eq!(ready.status, 503);
    assert!(ready.body.starts_with("not ready: the host is stopping\n"), "{}", ready.body);
}

// 182
#[test]
fn a_hung_service_makes_the_host_not_live_and_is_named() {
    let (unresponsive, release) = unresponsive();
    let mut unresponsive = Some(unresponsive);
    let (mut host, address) = started(|host| {
        host.add(
            "feed",
            group(move |feed| {
                feed.stop_timeout(Duration::from_millis(50));
                feed.add("reader", unresponsive.take().ok_or("once")?).independent();
                feed.add(
                    "parser",
                    worker(|ctx| {
                        ctx.wait_until_started()?;
                        Err("broken".into())
                    }),
                );
                Ok(())
            }),
        )
        .on_failure(OnFailure::Ignore);
        host.add("api", idle());
    });
    // The service is hung first, and then its group.
    let live = eventually(|| Some(get(address, "/livez")).filter(|live| live.body.contains("\nfeed: hung for ")));
    assert_eq!(live.status, 503);
    assert!(live.body.starts_with("not live\nfeed: hung for "), "{}", live.body);
    assert!(live.body.contains("\nfeed/reader: hung for "), "{}", live.body);
    assert_eq!(get(address, "/startupz").status, 200);
    drop(release);
    host.stop(LIMIT).unwrap();
}
