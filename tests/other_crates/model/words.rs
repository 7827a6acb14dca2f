//! What is said to a host and its services, and what they say: the words that the model and the real ones share.

use hosted::{Phase, StopReason};

/// A service, by its options. It is named by its place.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    /// The places of those it comes after, round and round; `None`: after all before it.
    pub after: Option<Vec<usize>>,
    /// It comes after somebody unknown as well, and no start can do with that.
    pub flawed: bool,
    /// `on_failure(Ignore)`.
    pub ignored: bool,
    /// `on_completion(StopHost)`.
    pub stops_host: bool,
    /// `Restart::on_failure()` as often as this, at once.
    pub restarts: u32,
}

#[derive(Clone, Debug)]
pub enum Command {
    Add(Spec),
    Call(Call),
    RequestStop,
    /// One of the services that are in a call returns from it: which, round and round, and with what.
    Return(usize, Verdict),
}

/// A call of the host by its owner, who is busy until it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Start,
    Wait,
    Stop(Timeout),
    Drop(Timeout),
}

/// As a test sees it: nobody is waited for, or everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    Zero,
    Long,
}

/// What a call of a service comes to.
pub type Verdict = Result<(), Cause>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    Failed,
    Panicked,
    /// The error of that name, which is a failure where nobody asked for it.
    Stopped,
    TimedOut,
}

/// What happens, one after another. Within a step of the test, the order is nobody's promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The service's `start`, `run` or `stop` has been called.
    Called(usize, Phase),
    /// The service sees that it is asked to stop.
    Asked(usize),
    /// The service's thread is over.
    Gone(usize),
    /// The owner's call is back.
    Returned(Answer),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Added,
    Started,
    Waited(StopReason),
    Dropped,
    Ended(Ending),
}

/// What a stop, or a start that failed, says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    pub ok: bool,
    /// It was the set-up: a start that called nothing, or a service that was added too late.
    pub refused: bool,
    pub reason: StopReason,
    pub failures: Vec<Failure>,
    pub services: Vec<Fate>,
}

/// Whose, in what, and why.
pub type Failure = (usize, Phase, Cause);

/// A service in the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    pub outcome: End,
    pub restarts: u32,
    pub errors: u64,
    pub stop_timed_out: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    NeverStarted,
    Running,
    Completed,
    Stopped,
    /// Stopped after this failure, before it ran again.
    NotRestarted(Failure),
    Failed(Failure),
    Hung(Phase),
}

/// The name of the service at this place.
pub fn name(place: usize) -> String {
    format!("s{place}")
}
