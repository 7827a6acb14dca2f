//! What each command does.

use crate::arguments::Arguments;
use crate::output::{escaped, print_table, short, time};
use crate::{Failure, HELP};
use hosted_jobs::{Cancelling, Filter, JobInfo, JobState, Jobs, Outcome, Stats};

/// The longest error in a list.
const ERROR_WIDTH: usize = 100;

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command.as_str() {
        "" => Err(Failure::Usage("there is no command".to_owned())),
        "help" => {
            print!("{HELP}");
            Ok(())
        }
        "status" => status(&arguments),
        "ls" => list(&arguments, None),
        "dead" => list(&arguments, Some(JobState::Finished(Outcome::Dead))),
        "show" => show(&arguments),
        "retry" => retry(&arguments),
        "cancel" => cancel(&arguments),
        "pause" => pause(&arguments, true),
        "resume" => pause(&arguments, false),
        "recurring" => recurring(&arguments),
        "migrate" => migrate(&arguments),
        other => Err(Failure::Usage(format!("unknown command `{other}`"))),
    }
}

fn builder(arguments: &Arguments) -> hosted_jobs::Builder {
    match &arguments.prefix {
        Some(prefix) => Jobs::builder().prefix(prefix),
        None => Jobs::builder(),
    }
}

/// Opens the store. Nothing is created: a mistake in the path must not make a new database.
fn open(arguments: &Arguments, migrate: bool) -> Result<Jobs, Failure> {
    let missing = || Failure::Usage("no database; name it with `--db FILE` or HOSTED_JOBS_DB".to_owned());
    let path = arguments.db.as_ref().ok_or_else(missing)?;
    Ok(builder(arguments).migrate(migrate).open(path)?)
}

fn status(arguments: &Arguments) -> Result<(), Failure> {
    arguments.allow(&[], 0..=0)?;
    let stats = open(arguments, false)?.stats()?;
    print_queues(&stats);
    println!("\nfinished: {} succeeded, {} dead, {} cancelled", stats.succeeded, stats.dead, stats.cancelled);
    if stats.workers.is_empty() {
        println!("no process runs jobs");
    } else {
        println!();
        print_processes(&stats);
    }
    for waiting in &stats.unhandled {
        let (kind, version) = (escaped(&waiting.kind), waiting.version);
        println!("no process handles kind `{kind}` version {version}; jobs that wait for one: {}", waiting.ready);
    }
    for kind in &stats.paused_kinds {
        println!("kind `{}` is paused", escaped(kind));
    }
    Ok(())
}

fn print_queues(stats: &Stats) {
    let row = |queue: &hosted_jobs::QueueStats| {
        vec![
            escaped(&queue.name),
            queue.ready.to_string(),
            queue.scheduled.to_string(),
            queue.held.to_string(),
            queue.running.to_string(),
            time(queue.oldest_ready()),
            time(queue.next_due()),
            if queue.paused { "paused".to_owned() } else { String::new() },
        ]
    };
    let head = ["queue", "ready", "scheduled", "held", "running", "oldest ready", "next due", ""];
    print_table(&head, &stats.queues.iter().map(row).collect::<Vec<_>>());
}

fn print_processes(stats: &Stats) {
    let row = |worker: &hosted_jobs::WorkerInfo| {
        let kinds: Vec<String> = worker.kinds.iter().map(|(kind, version)| format!("{kind} {version}")).collect();
        vec![
            worker.pid.to_string(),
            escaped(&worker.host),
            time(Some(worker.started_at())),
            if worker.stopping { "stopping".to_owned() } else { "running".to_owned() },
            escaped(&kinds.join(", ")),
        ]
    };
    let head = ["process", "host", "since", "state", "handles kinds up to version"];
    print_table(&head, &stats.workers.iter().map(row).collect::<Vec<_>>());
}

fn state(name: &str) -> Result<JobState, Failure> {
    let all = [
        JobState::Scheduled,
        JobState::Ready,
        JobState::Held,
        JobState::Running,
        JobState::Finished(Outcome::Succeeded),
        JobState::Finished(Outcome::Dead),
        JobState::Finished(Outcome::Cancelled),
    ];
    let names = all.map(|state| state.to_string()).join(", ");
    let unknown = || Failure::Usage(format!("unknown state `{name}`: there are {names}"));
    all.into_iter().find(|state| state.to_string() == name).ok_or_else(unknown)
}

fn list(arguments: &Arguments, only: Option<JobState>) -> Result<(), Failure> {
    let options: &[&str] = match only {
        Some(_) => &["--queue", "--kind", "--after", "--limit"],
        None => &["--state", "--queue", "--kind", "--after", "--limit"],
    };
    arguments.allow(options, 0..=0)?;
    let named = arguments.value("--state").map(state).transpose()?;
    let mut filter = only.or(named).map_or_else(Filter::live, Filter::state);
    if let Some(queue) = arguments.value("--queue") {
        filter = filter.queue(queue);
    }
    if let Some(kind) = arguments.value("--kind") {
        filter = filter.kind(kind);
    }
    if let Some(id) = arguments.number("--after")? {
        filter = filter.after(id);
    }
    let limit = arguments.number("--limit")?.unwrap_or(100);
    let jobs = open(arguments, false)?.list(&filter.limit(limit))?;
    let row = |job: &JobInfo| {
        vec![
            job.id.to_string(),
            escaped(&job.kind),
            escaped(&job.queue),
            job.state.to_string(),
            time(job.finished_at().or(job.started_at()).or(job.run_at())),
            format!("{} of {}", job.failures, job.max_failures),
            short(job.error.as_deref().unwrap_or(""), ERROR_WIDTH),
        ]
    };
    let head = ["id", "kind", "queue", "state", "time", "failures", "last error"];
    print_table(&head, &jobs.iter().map(row).collect::<Vec<_>>());
    if jobs.len() == limit {
        if let Some(last) = jobs.last() {
            println!("there may be more: --after {}", last.id);
        }
    }
    Ok(())
}

fn show(arguments: &Arguments) -> Result<(), Failure> {
    arguments.allow(&[], 1..=usize::MAX)?;
    let (ids, jobs) = (arguments.ids()?, open(arguments, false)?);
    for id in ids {
        let job = jobs.get(id)?.ok_or_else(|| not_found(id))?;
        print_job(&job);
    }
    Ok(())
}

fn print_job(job: &JobInfo) {
    let line = |name: &str, value: &str| println!("  {name:<12} {}", escaped(value));
    println!("job {}", job.id);
    line("kind", &format!("{}, version {}", job.kind, job.version));
    line("state", &job.state.to_string());
    line("queue", &format!("{}, priority {}", job.queue, job.priority));
    line("enqueued", &time(Some(job.created_at())));
    for (name, at) in [("due", job.run_at()), ("started", job.started_at()), ("finished", job.finished_at())] {
        if at.is_some() {
            line(name, &time(at));
        }
    }
    line("failures", &format!("{} of {}", job.failures, job.max_failures));
    line("claims", &format!("{}; its process died {} times", job.claims, job.lost));
    if let Some(schedule) = &job.schedule {
        line("recurring", &format!("{schedule}, due {}", time(job.due_at())));
    }
    let texts = [("limit key", job.limit_key.as_deref()), ("last error", job.error.as_deref())];
    for (name, text) in texts {
        if let Some(text) = text {
            line(name, text);
        }
    }
    if let Some(payload) = &job.payload {
        line("payload", &String::from_utf8_lossy(payload));
    }
}

fn not_found(id: i64) -> Failure {
    Failure::Failed(format!("there is no job {id}; it may have been deleted after its retention time"))
}

fn retry(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.has("--dead") {
        return retry_dead(arguments);
    }
    arguments.allow(&[], 1..=usize::MAX)?;
    let (ids, jobs) = (arguments.ids()?, open(arguments, false)?);
    for id in ids {
        if jobs.retry(id)? {
            println!("job {id} runs again");
            continue;
        }
        let job = jobs.get(id)?.ok_or_else(|| not_found(id))?;
        return Err(Failure::Failed(format!("job {id} is {}; only dead and cancelled jobs can be retried", job.state)));
    }
    Ok(())
}

fn retry_dead(arguments: &Arguments) -> Result<(), Failure> {
    arguments.allow(&["--dead", "--kind"], 0..=0)?;
    let jobs = open(arguments, false)?;
    let (mut last, mut retried) = (0, 0);
    loop {
        let mut filter = Filter::finished(Outcome::Dead).after(last);
        if let Some(kind) = arguments.value("--kind") {
            filter = filter.kind(kind);
        }
        let dead = jobs.list(&filter)?;
        let Some(newest) = dead.last() else { break };
        last = newest.id;
        for job in &dead {
            retried += u32::from(jobs.retry(job.id)?);
        }
    }
    println!("dead jobs that run again: {retried}");
    Ok(())
}

fn cancel(arguments: &Arguments) -> Result<(), Failure> {
    arguments.allow(&[], 1..=usize::MAX)?;
    let (ids, jobs) = (arguments.ids()?, open(arguments, false)?);
    for id in ids {
        match jobs.cancel(id)? {
            Cancelling::Cancelled => println!("job {id} is cancelled"),
            Cancelling::Requested => println!("job {id} runs; the stop of its token is requested"),
            _ => {
                let job = jobs.get(id)?.ok_or_else(|| not_found(id))?;
                return Err(Failure::Failed(format!("job {id} has ended: {}", job.state)));
            }
        }
    }
    Ok(())
}

fn pause(arguments: &Arguments, pauses: bool) -> Result<(), Failure> {
    let kind = arguments.value("--kind");
    let words = if kind.is_some() { 0 } else { 1 };
    arguments.allow(&["--kind"], words..=words)?;
    let jobs = open(arguments, false)?;
    let done = if pauses { "is paused" } else { "is not paused" };
    match (kind, pauses) {
        (Some(kind), true) => jobs.pause_kind(kind)?,
        (Some(kind), false) => jobs.resume_kind(kind)?,
        (None, true) => jobs.pause(&arguments.words[0])?,
        (None, false) => jobs.resume(&arguments.words[0])?,
    }
    match kind {
        Some(kind) => println!("kind `{kind}` {done}"),
        None => println!("queue `{}` {done}", arguments.words[0]),
    }
    Ok(())
}

fn recurring(arguments: &Arguments) -> Result<(), Failure> {
    arguments.allow(&[], 0..=2)?;
    let words: Vec<&str> = arguments.words.iter().map(String::as_str).collect();
    let (name, pauses) = match words[..] {
        [] => return print_recurring(&open(arguments, false)?),
        ["pause", name] => (name, true),
        ["resume", name] => (name, false),
        _ => return Err(Failure::Usage("say `recurring`, `recurring pause NAME` or `recurring resume NAME`".into())),
    };
    let jobs = open(arguments, false)?;
    let found = if pauses { jobs.pause_schedule(name)? } else { jobs.resume_schedule(name)? };
    if !found {
        return Err(Failure::Failed(format!("there is no recurring job `{name}`")));
    }
    println!("recurring job `{name}` {}", if pauses { "is paused" } else { "is not paused" });
    Ok(())
}

fn print_recurring(jobs: &Jobs) -> Result<(), Failure> {
    let row = |schedule: &hosted_jobs::ScheduleInfo| {
        let error = schedule.error.as_deref().map(|error| format!("does not fire: {error}"));
        vec![
            escaped(&schedule.name),
            escaped(&schedule.schedule),
            time(schedule.last_at),
            time(schedule.next_at),
            schedule.missed.to_string(),
            if schedule.paused { "paused".to_owned() } else { short(&error.unwrap_or_default(), ERROR_WIDTH) },
        ]
    };
    let rows: Vec<_> = jobs.schedules()?.iter().map(row).collect();
    print_table(&["recurring job", "schedule", "last", "next", "missed", ""], &rows);
    Ok(())
}

fn migrate(arguments: &Arguments) -> Result<(), Failure> {
    arguments.allow(&["--print"], 0..=0)?;
    if arguments.has("--print") {
        print!("{}", builder(arguments).migration());
        return Ok(());
    }
    open(arguments, true)?;
    println!("the tables are up to date");
    Ok(())
}
