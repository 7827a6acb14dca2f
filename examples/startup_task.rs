//! Prints `the schema is at version 3`, then `the cache holds 3 prices`, and only then `tea costs 3.20`.
//!
//! A task is start-up work. The services added after it start when the task has completed. If the task fails, they
//! do not start.

use hosted::{Context, Host, Result, task, worker};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

type Prices = HashMap<&'static str, f64>;

fn main() -> Result {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let cache = Arc::new(OnceLock::new());
    let warm = cache.clone();

    let mut host = Host::new();
    host.add("migration", task(migrate)).start_timeout(Duration::from_secs(60));
    host.add(
        "price-cache",
        task(move |_| {
            let prices = warm.get_or_init(load_prices);
            println!("the cache holds {} prices", prices.len());
            Ok(())
        }),
    );
    host.add("shop", worker(move |ctx| serve(&cache, ctx)));
    host.run()?;
    Ok(())
}

fn migrate(ctx: &Context) -> Result {
    for version in 1..=3 {
        ctx.sleep(Duration::from_millis(300))?; // stands for the database; ctrl-c stops the migration between two steps
        println!("the schema is at version {version}");
    }
    Ok(())
}

fn load_prices() -> Prices {
    Prices::from([("tea", 3.2), ("coffee", 3.6), ("cake", 4.5)])
}

fn serve(cache: &OnceLock<Prices>, ctx: &Context) -> Result {
    let prices = cache.get().ok_or("the shop was started before its prices were there")?;
    for article in ["tea", "cake"] {
        ctx.sleep(Duration::from_millis(200))?; // stands for the time until the next customer comes
        println!("{article} costs {:.2}", prices[article]);
    }
    Ok(())
}
