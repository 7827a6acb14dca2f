//! The states of a live job, and how a job ends.

/// The state of a live job, as the number that the store keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    /// Not due yet.
    Scheduled = 0,
    /// May be claimed.
    Ready = 1,
    /// Claimed by a worker.
    Running = 2,
    /// Its limit key is full.
    Held = 3,
    /// Due, has a limit key, and nobody has decided yet whether there is room.
    Arrived = 4,
}

impl State {
    pub(crate) const ALL: [State; 5] = [State::Scheduled, State::Ready, State::Running, State::Held, State::Arrived];

    pub(crate) fn is_waiting(self) -> bool {
        self != State::Running
    }
}

/// How a job ended, as the number that the store keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The handler returned `Ok`.
    Succeeded = 0,
    /// The job failed too often, or for good, or its process died too often while the job ran.
    Dead = 1,
    /// The job was cancelled.
    Cancelled = 2,
}

#[cfg(feature = "sqlite")]
impl Outcome {
    pub(crate) const ALL: [Outcome; 3] = [Outcome::Succeeded, Outcome::Dead, Outcome::Cancelled];
}

#[cfg(feature = "sqlite")]
impl State {
    /// Returns the state that the store keeps as this number.
    pub(crate) fn from_number(number: i64) -> Option<State> {
        State::ALL.into_iter().find(|state| *state as i64 == number)
    }
}

#[cfg(feature = "sqlite")]
impl Outcome {
    /// Returns the outcome that the store keeps as this number.
    pub(crate) fn from_number(number: i64) -> Option<Outcome> {
        Outcome::ALL.into_iter().find(|outcome| *outcome as i64 == number)
    }
}
