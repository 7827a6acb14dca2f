//! Prints `polling acme`, then `acme has left`, then `polling initech`, then `3 tenants, 1 left`.
//!
//! A poller for each tenant in a configuration file. When the file changes, pollers come and go: a service compares the file with
//! the members of a dynamic group. This example edits the file itself, and then stops.

use hosted::{Context, DynamicGroup, Host, Restart, Result, ServiceOptions, worker};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs, process};

fn main() -> Result {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let file = env::temp_dir().join(format!("hosted-tenants-{}", process::id()));
    fs::write(&file, "acme\nglobex\n")?;
    let tenants = DynamicGroup::new();
    let (config, shown) = (file.clone(), tenants.clone());

    let mut host = Host::new();
    host.add("tenants", tenants.service());
    host.add("config", worker(move |ctx| follow(&config, &tenants, ctx)));
    let edited = file.clone();
    host.add("editor", worker(move |ctx| edit(&edited, &shown, ctx)));
    println!("{}", host.run()?);
    fs::remove_file(file)?;
    Ok(())
}

/// Makes the members follow the file.
fn follow(config: &PathBuf, tenants: &DynamicGroup, ctx: &Context) -> Result {
    loop {
        let text = fs::read_to_string(config)?;
        let wanted: BTreeSet<&str> = text.lines().collect();
        let polled: Vec<String> =
            tenants.members().iter().filter_map(|row| Some(row.name.split_once('/')?.1.to_owned())).collect();
        for name in polled.iter().filter(|name| !wanted.contains(name.as_str())) {
            if let Some(tenant) = tenants.get(name) {
                tenant.stop(Duration::from_secs(5))?;
                println!("{name} has left");
            }
        }
        for name in wanted.iter().filter(|name| tenants.get(name).is_none()) {
            let mut options = ServiceOptions::new();
            options.restart(Restart::on_failure()); // each tenant on its own
            tenants.add_with(*name, worker(poll), options)?;
        }
        ctx.sleep(Duration::from_millis(10))?;
    }
}

fn poll(ctx: &Context) -> Result {
    println!("polling {}", ctx.name().trim_start_matches("tenants/"));
    loop {
        // ask the tenant's server
        ctx.sleep(Duration::from_millis(100))?;
    }
}

/// Edits the file when its first version has been read, and requests the stop when the second one has.
fn edit(config: &Path, tenants: &DynamicGroup, ctx: &Context) -> Result {
    let wait_for = |name: &str, is_there: bool| -> Result {
        while tenants.get(name).is_some() != is_there {
            ctx.sleep(Duration::from_millis(10))?;
        }
        Ok(())
    };
    wait_for("globex", true)?;
    let next = config.with_extension("new");
    fs::write(&next, "globex\ninitech\n")?;
    fs::rename(&next, config)?; // so that nobody reads half of a file
    wait_for("acme", false)?;
    wait_for("initech", true)?;
    ctx.sleep(Duration::from_millis(50))?;
    let all = ctx.host().services();
    let counts = all.iter().find_map(|row| row.members).ok_or("the row of the group")?;
    println!("{} tenants, {} left", counts.alive as u64 + counts.ended, counts.ended);
    ctx.host().request_stop();
    Ok(())
}
