//! Reads the lines that a child process writes. The stop terminates the child and the grandchild that shares its pipe.

use hosted::{Result, worker};
use recipes::{PROMPT, ROUNDS, measure};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

fn main() -> Result {
    let (seen, texts) = mpsc::channel::<String>();
    measure(PROMPT, || {
        let seen = seen.clone();
        let mut command = Command::new("sh");
        command.args(["-c", "trap 'echo bye; exit 0' TERM; sleep 3600 & echo $$ $!; wait"]).stdout(Stdio::piped());
        worker(move |ctx| {
            // recipe
            let mut child = command.process_group(0).spawn()?; // its own process group, which its children join
            let mut output = BufReader::new(ctx.interruptible(child.stdout.take().ok_or("no pipe")?));
            let read: Result = output.by_ref().lines().try_for_each(|line| Ok(seen.send(line?)?)); // ends at the stop
            let status = ctx.wait_child(&mut child, Duration::from_secs(5))?; // at the stop: SIGTERM, 5 s later SIGKILL
            drop(output); // only now: a child that writes to a closed pipe dies of SIGPIPE
            // end
            assert!(status.success(), "{status}");
            ctx.check()?;
            read.and(Err(format!("the child exited on its own: {status}").into()))
        })
    })?;
    let texts: Vec<String> = texts.try_iter().collect();
    assert_eq!(texts.len(), ROUNDS);
    for process in texts.iter().flat_map(|text| text.split_whitespace()) {
        let killed = Instant::now();
        while lives(process) {
            assert!(killed.elapsed() < Duration::from_secs(1), "process {process} is alive"); // a signal takes a moment
            thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(())
}

/// Returns `true` if the process exists and is not a zombie.
fn lives(process: &str) -> bool {
    fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}
