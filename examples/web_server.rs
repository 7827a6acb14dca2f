//! Prints `http://127.0.0.1:` with a port, and serves a page that lists the services, until ctrl-c.
//!
//! The server's `recv` does not notice a stop request. A stop callback unblocks it.

use hosted::{Context, Host, Result, every, worker};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tiny_http::{Response, Server};

fn main() -> Result {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let server = Arc::new(Server::http("127.0.0.1:0")?); // fails here, before any service starts, if the port is in use
    let visits = Arc::new(AtomicU64::new(0));
    let counted = visits.clone();

    let mut host = Host::new();
    host.add(
        "statistics",
        every(Duration::from_secs(10), move |_| {
            log::info!("{} visits in the last ten seconds", counted.swap(0, Ordering::Relaxed));
            Ok(())
        }),
    );
    host.add("web", worker(move |ctx| serve(&server, &visits, ctx))); // the last service stops first
    let report = host.run()?;
    println!("{report}");
    Ok(())
}

fn serve(server: &Arc<Server>, visits: &AtomicU64, ctx: &Context) -> Result {
    let blocked = server.clone();
    let _wake = ctx.on_stop(move || blocked.unblock());
    println!("http://{}", server.server_addr());
    loop {
        let request = match server.recv() {
            Ok(request) => request,
            Err(_) if ctx.stop_requested() => return Ok(()), // the stop callback unblocked `recv`
            Err(error) => return Err(error.into()),
        };
        visits.fetch_add(1, Ordering::Relaxed);
        let rows = ctx.host().services().into_iter();
        let page: String = rows.map(|service| format!("{:12} {}\n", service.name, service.state)).collect();
        if let Err(error) = request.respond(Response::from_string(page)) {
            ctx.report_error(error); // a visitor who has disconnected must not stop the service
        }
    }
}
