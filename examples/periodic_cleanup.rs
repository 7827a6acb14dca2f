//! Prints `removed upload-1.part` and so on when abandoned uploads are a second old, and ends when none is left.
//!
//! `every` calls a function at a fixed rate. A call that fails is logged and counted, and the next one comes.

use hosted::{Context, Host, every};
use std::fs;
use std::path::Path;
use std::time::Duration;

const MAX_AGE: Duration = Duration::from_secs(1);

fn main() -> hosted::Result {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let uploads = std::env::temp_dir().join(format!("uploads-{}", std::process::id()));
    fs::create_dir_all(&uploads)?;
    for number in 1..=3 {
        fs::write(uploads.join(format!("upload-{number}.part")), "half a file")?;
    }

    let mut host = Host::new();
    let watched = uploads.clone();
    host.add("clean-up", every(Duration::from_millis(250), move |ctx| clean_up(&watched, ctx)).immediately());
    host.run()?;

    fs::remove_dir_all(uploads)?;
    Ok(())
}

fn clean_up(uploads: &Path, ctx: &Context) -> hosted::Result {
    let mut kept = 0;
    for entry in fs::read_dir(uploads)? {
        ctx.check()?; // a directory of a million files does not hold up a stop
        let entry = entry?;
        let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
        if age < MAX_AGE {
            kept += 1;
        } else if let Err(error) = fs::remove_file(entry.path()) {
            ctx.report(error); // logged and counted: no reason to leave the other files alone
        } else {
            println!("removed {}", entry.file_name().to_string_lossy());
        }
    }
    if kept == 0 {
        ctx.host().request_stop(); // a real clean-up would go on
    }
    Ok(())
}
