//! A child process that has one of its own, which holds their output: the stop ends both, and the reader of it.

use hosted::{Result, worker};
use recipes::{PROMPT, ROUNDS, measure};
use std::fs;
use std::io::read_to_string;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

fn main() -> Result {
    let (seen, texts) = mpsc::channel::<String>();
    measure(PROMPT, || {
        let seen = seen.clone();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 3600 & echo $$ $!; wait"]).stdout(Stdio::piped());
        worker(move |ctx| {
            // recipe
            let mut child = command.process_group(0).spawn()?; // its own group, where its children are too
            let output = child.stdout.take().ok_or("no pipe")?;
            let reader = thread::spawn(move || read_to_string(output)); // until nobody has the other end
            let status = ctx.wait_child(&mut child, Duration::from_secs(5))?; // at the stop SIGTERM, 5 s later SIGKILL
            let text = reader.join().unwrap()?;
            // end
            seen.send(text)?;
            ctx.check()?;
            Err(format!("it ended by itself: {status}").into())
        })
    })?;
    let texts: Vec<String> = texts.try_iter().collect();
    assert_eq!(texts.len(), ROUNDS);
    for process in texts.iter().flat_map(|text| text.split_whitespace()) {
        assert!(!lives(process), "process {process} is left");
    }
    Ok(())
}

/// Whether a process of that number is there, and no mere entry that its parent has not looked at.
fn lives(process: &str) -> bool {
    fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}
