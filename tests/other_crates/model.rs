//! A host beside a model of it: random commands go to both, and after each of them they agree.
//!
//! The services do as they are told: each waits in its `start`, `run` and `stop` until the test says with what to return.
//! So after a command there is a moment when all is still. What has to happen until then the model tells: which calls
//! begin, who is asked to stop, whose thread ends, what a call of the owner comes back with. The test waits for just
//! that, and whatever else comes is a failure. Then it compares the states of host and services.
//!
//! Modelled: `add`, `start`, `wait`, `stop`, `drop`, `request_stop`, in any order and again; edges, `on_failure`,
//! `on_completion`, restarts after failures; errors, panics, `Stopped` with and without having been asked; rolling back;
//! stops that wait for nobody, and later ones that find the true end. Not modelled: time (timeouts of starts and of
//! single services, the time a unresponsive service holds up others, backoffs), stop callbacks, groups, queues, signals, a drop
//! that fails. They have tests of their own.
//!
//! `PROPTEST_CASES=20000 cargo test --test model` runs more. A case that fails is shortened and printed, as services and
//! commands, and is not kept in a file: to replay it, put it into a test like the last one here, where it can also stay.
#![allow(unreachable_pub, reason = "in a program, `pub` is short for `pub(crate)`")]

#[path = "model/words.rs"]
mod words;
#[path = "model/books.rs"]
mod books;
#[path = "model/reference.rs"]
mod reference;
#[path = "model/puppet.rs"]
mod puppet;
#[path = "model/owner.rs"]
mod owner;
#[path = "model/stage.rs"]
mod stage;

use proptest::collection::vec;
use proptest::prelude::*;
use words::{Call, Cause, Command, Spec, Timeout};

fn spec() -> impl Strategy<Value = Spec> {
    let after = prop_oneof![2 => Just(None), 3 => vec(0..4_usize, 0..3).prop_map(Some)];
    let options = (rarely(50), rarely(4), rarely(6), 0..3_u32);
    (after, options).prop_map(|(after, (flawed, ignored, stops_host, restarts))| Spec {
        after,
        flawed,
        ignored,
        stops_host,
        restarts,
    })
}

/// Once in so many times.
fn rarely(times: u32) -> impl Strategy<Value = bool> {
    prop_oneof![times - 1 => Just(false), 1 => Just(true)]
}

/// A start, mostly first of all, and what comes after it.
fn commands() -> impl Strategy<Value = Vec<Command>> {
    let before = prop_oneof![5 => Just(Vec::new()), 1 => vec(of_the_owner(), 1..3)];
    let then = |well| vec(prop_oneof![7 => of_a_service(well), 2 => of_the_owner()], 0..60);
    // Where little goes wrong it goes far; where much does, things go wrong together.
    (before, prop_oneof![2 => then(30), 1 => then(5)]).prop_map(|(before, then)| {
        let start = Command::Call(Call::Start);
        before.into_iter().chain([start]).chain(then).collect()
    })
}

/// It goes well so many times out of three more.
fn of_a_service(well: u32) -> impl Strategy<Value = Command> {
    let verdict = prop_oneof![
        well => Just(Ok(())),
        1 => Just(Err(Cause::Failed)),
        1 => Just(Err(Cause::Panicked)),
        1 => Just(Err(Cause::Stopped)),
    ];
    (0..6_usize, verdict).prop_map(|(which, verdict)| Command::Return(which, verdict))
}

fn of_the_owner() -> impl Strategy<Value = Command> {
    let timeout = || prop_oneof![2 => Just(Timeout::Zero), 1 => Just(Timeout::Long)];
    prop_oneof![
        12 => timeout().prop_map(|timeout| Command::Call(Call::Stop(timeout))),
        1 => timeout().prop_map(|timeout| Command::Call(Call::Drop(timeout))),
        2 => Just(Command::Call(Call::Wait)),
        1 => Just(Command::Call(Call::Start)),
        3 => Just(Command::RequestStop),
        2 => spec().prop_map(Command::Add),
    ]
}

/// A minute to shorten a case in: where something never comes, each try takes a second.
fn config() -> ProptestConfig {
    ProptestConfig { cases: 300, failure_persistence: None, max_shrink_time: 60_000, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_host_agrees_with_its_model_after_every_random_command(services in vec(spec(), 0..7), commands in commands()) {
        stage::play(&services, &commands).map_err(TestCaseError::fail)?;
    }
}

#[test]
fn a_service_hung_at_one_stop_has_its_true_outcome_at_a_later_one() {
    use words::Call::*;
    use words::Cause::*;
    use words::Command::*;
    use words::Timeout::*;
    let services = [Spec::default(), Spec { after: Some(vec![0]), ..Spec::default() }];
    let commands = [
        Call(Start),
        Return(0, Ok(())),
        Return(1, Ok(())),
        Call(Stop(Zero)),
        Return(1, Ok(())),
        Call(Stop(Zero)),
        Return(1, Err(Failed)),
        Call(Stop(Long)),
        Return(0, Ok(())),
    ];
    assert_eq!(stage::play(&services, &commands), Ok(()));
}
