//! Prints `shop is open` when its two parts are open, then `ready`; at the end `shop is closed` before its parts close.
//!
//! A service starts after all services that were added before it. `after` names fewer services to wait for. The
//! report at the end shows the stop as a timeline. With RUST_LOG=hosted=debug, the host logs each step of each
//! service.

use hosted::{Context, Host, OnCompletion, Result, Service, worker};
use std::thread;
use std::time::Duration;

/// A part of the shop. It takes some time to open and to close.
struct Part {
    opens_in: Duration,
    closes_in: Duration,
}

impl Service for Part {
    fn start(&mut self, ctx: &Context) -> Result {
        ctx.sleep(self.opens_in)?;
        println!("{} is open", ctx.name());
        Ok(())
    }

    // The default `run` waits for the stop request.

    fn stop(&mut self, ctx: &Context) -> Result {
        thread::sleep(self.closes_in); // `ctx.sleep` would return at once: a stop is requested
        println!("{} is closed", ctx.name());
        Ok(())
    }
}

fn part(opens_in: u64, closes_in: u64) -> Part {
    Part { opens_in: Duration::from_millis(opens_in), closes_in: Duration::from_millis(closes_in) }
}

fn main() -> Result {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let mut host = Host::new();
    host.add("readiness", worker(tell_load_balancer));
    host.add("database", part(400, 200)).after::<&str>([]); // after nothing: starts side by side with the other services
    host.add("search-index", part(300, 100)).after::<&str>([]);
    host.add("shop", part(100, 300)).after(["database", "search-index"]);
    host.add("opening-hours", worker(|ctx| Ok(ctx.sleep(Duration::from_secs(1))?)))
        .on_completion(OnCompletion::StopHost);
    let report = host.run()?;
    println!("{report}");
    Ok(())
}

fn tell_load_balancer(ctx: &Context) -> Result {
    ctx.wait_until_started()?; // until every service of the host is ready
    println!("ready");
    ctx.wait();
    println!("no longer ready");
    Ok(())
}
