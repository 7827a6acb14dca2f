//! Prints `removed upload-1.part` and so on when abandoned uploads are a second old, and exits when no upload is left.
//!
//! `every` calls a function at a fixed rate. If a call fails, the host logs and counts the error, and the next call
//! comes on schedule.

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
        ctx.check()?; // a directory with a million files does not delay the stop
        let entry = entry?;
        let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
        if age < MAX_AGE {
            kept += 1;
        } else if let Err(error) = fs::remove_file(entry.path()) {
            ctx.report_error(error); // logs and counts the error; the other files are still removed
        } else {
            println!("removed {}", entry.file_name().to_string_lossy());
        }
    }
    if kept == 0 {
        ctx.host().request_stop(); // a real clean-up would continue
    }
    Ok(())
}
