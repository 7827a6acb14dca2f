//! Receives changes of a directory from the crate `notify` until the stop.

use hosted::{Result, worker};
use notify::{RecursiveMode, Watcher};
use recipes::{PROMPT, measure};
use std::sync::mpsc;
use std::{fs, iter};

fn main() -> Result {
    let directory = tempfile::tempdir()?;
    let (seen, changes) = mpsc::channel();
    let mut rounds = 0;
    measure(PROMPT, || {
        let (directory, seen) = (directory.path().to_owned(), seen.clone());
        rounds += 1;
        let file = directory.join(rounds.to_string());
        worker(move |ctx| {
            // recipe
            let (sender, events) = crossbeam_channel::unbounded();
            let mut watcher = notify::recommended_watcher(sender)?;
            watcher.watch(&directory, RecursiveMode::NonRecursive)?;
            let changes = iter::from_fn(|| ctx.recv(&events).ok()); // ends at the stop
            // end
            fs::write(&file, "new")?;
            for change in changes {
                seen.send(change?)?;
            }
            Ok(())
        })
    })?;
    drop(seen);
    let mut created = changes.into_iter().filter(|event| event.kind.is_create()).flat_map(|event| event.paths);
    for round in 1..=rounds {
        assert_eq!(created.next(), Some(directory.path().join(round.to_string())));
    }
    Ok(())
}
