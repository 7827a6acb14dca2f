//! The commands and results that the model and the real host share.

use hosted::{Phase, StopReason};

/// The options of a service. Its name is made of its position.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    /// The positions of the dependencies, modulo the own position. `None` means all earlier services.
    pub after: Option<Vec<usize>>,
    /// Whether it also names an unknown dependency, so that every start fails.
    pub flawed: bool,
    /// `on_failure(Ignore)`.
    pub ignored: bool,
    /// `on_completion(StopHost)`.
    pub stops_host: bool,
    /// `Restart::on_failure()` with at most this many restarts and no backoff.
    pub restarts: u32,
}

#[derive(Clone, Debug)]
pub enum Command {
    Add(Spec),
    Call(Call),
    RequestStop,
    /// One of the services that are in a call returns: an index, modulo their number, and the result.
    Return(usize, Verdict),
}

/// A call of the owner, which blocks until it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Start,
    Wait,
    Stop(Timeout),
    Drop(Timeout),
}

/// With zero the host waits for no service; otherwise it waits for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    Zero,
    Long,
}

/// The result of a service's call.
pub type Verdict = Result<(), Cause>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    Failed,
    Panicked,
    /// The error `Stopped`, which is a failure without a stop request.
    Stopped,
    TimedOut,
}

/// What happens in host and services. Within one step of the test, the order is not defined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The service's `start`, `run` or `stop` has been called.
    Called(usize, Phase),
    /// The service sees its stop request.
    StopRequested(usize),
    /// The thread of the service exits.
    ThreadExited(usize),
    /// The call of the owner has returned.
    Returned(Answer),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Added,
    Started,
    Waited(StopReason),
    Dropped,
    Ended(HostResult),
}

/// The result of a stop, or of a start that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostResult {
    pub ok: bool,
    /// Whether the set-up was refused: a start that called nothing, or a service that was added too late.
    pub refused: bool,
    pub reason: StopReason,
    pub failures: Vec<Failure>,
    pub services: Vec<ServiceRow>,
}

/// The service, the phase and the cause.
pub type Failure = (usize, Phase, Cause);

/// The row of a service in the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRow {
    pub outcome: ServiceEnd,
    pub restarts: u32,
    pub errors: u64,
    pub stop_timed_out: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceEnd {
    NeverStarted,
    Running,
    Completed,
    Stopped,
    /// It stopped after this failure, before it ran again.
    NotRestarted(Failure),
    Failed(Failure),
    Hung(Phase),
}

/// The name of the service at this position.
pub fn name(position: usize) -> String {
    format!("s{position}")
}
