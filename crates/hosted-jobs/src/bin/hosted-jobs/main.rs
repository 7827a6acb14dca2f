//! `hosted-jobs`: shows a store of jobs, and acts on it. `hosted-jobs help` lists the commands.

mod arguments;
mod output;
mod commands;

use arguments::Arguments;
use std::process::ExitCode;

const HELP: &str = "\
usage: hosted-jobs --db FILE [--prefix PREFIX] COMMAND

  status                     queues, processes, and kinds that no process handles
  ls                         live jobs: --state STATE, --queue QUEUE, --kind KIND, --after ID, --limit N
  show ID...                 everything about jobs, with payload and error
  retry ID... | --dead       makes dead or cancelled jobs run again; --dead: all dead ones, or those of --kind KIND
  cancel ID...               cancels waiting jobs at once, and stops the tokens of running ones
  pause QUEUE | --kind KIND  lets no job of the queue or kind start; running jobs continue
  resume QUEUE | --kind KIND
  dead                       dead jobs with their errors: --queue QUEUE, --kind KIND, --after ID, --limit N
  recurring                  recurring jobs; `recurring pause NAME` and `recurring resume NAME`
  migrate [--print]          creates the tables or upgrades them; --print: prints the statements and changes nothing
  help

STATE is one of scheduled, ready, held, running, succeeded, dead, cancelled. The variable HOSTED_JOBS_DB replaces --db.
Exit status: 0 done, 1 failed or not found, 2 wrong usage.
";

/// Why the program fails.
enum Failure {
    /// The command line is wrong.
    Usage(String),
    /// The command was understood, and failed.
    Failed(String),
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::Failed(error.to_string())
    }
}

fn main() -> ExitCode {
    let result = Arguments::parse(std::env::args_os().skip(1)).and_then(commands::run);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Failed(why)) => {
            eprintln!("hosted-jobs: {why}");
            ExitCode::FAILURE
        }
        Err(Failure::Usage(why)) => {
            eprintln!("hosted-jobs: {why}; `hosted-jobs help` lists the commands");
            ExitCode::from(2)
        }
    }
}
