//! Prints `printed invoice-1001.txt` and so on, for each file that it finds in a spool directory, until ctrl-c.
//!
//! A worker is a loop on its own thread. Its context tells the loop when to stop. Put more files into the directory
//! while the program runs.

use hosted::{Context, Host, worker};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn main() -> hosted::Result {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let spool = std::env::temp_dir().join(format!("spool-{}", std::process::id()));
    fs::create_dir_all(&spool)?;
    for number in 1001..=1003 {
        fs::write(spool.join(format!("invoice-{number}.txt")), "to be paid within 30 days\n")?;
    }
    println!("watching {}", spool.display());

    let mut host = Host::new();
    let watched = spool.clone();
    host.add("printer", worker(move |ctx| print_files(&watched, ctx)));
    let report = host.run()?; // returns after ctrl-c
    println!("{report}");

    fs::remove_dir_all(spool)?;
    Ok(())
}

fn print_files(spool: &Path, ctx: &Context) -> hosted::Result {
    while !ctx.stop_requested() {
        match next_file(spool)? {
            Some(file) => {
                print_file(&file);
                fs::remove_file(&file)?; // an error fails the service and stops the host
            }
            None => ctx.sleep(Duration::from_millis(500))?, // returns at once when a stop is requested
        }
    }
    Ok(())
}

fn next_file(spool: &Path) -> hosted::Result<Option<PathBuf>> {
    let mut files = fs::read_dir(spool)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    files.sort();
    Ok(files.into_iter().next())
}

fn print_file(file: &Path) {
    std::thread::sleep(Duration::from_millis(200)); // stands for the printer; a stop does not interrupt a sheet
    println!("printed {}", file.file_name().unwrap_or_default().to_string_lossy());
}
