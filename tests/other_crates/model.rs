//! Runs a host beside a model of it: each random command goes to both, and afterwards both must agree.
//!
//! Each service waits in its `start`, `run` and `stop` until the test tells it what to return. So after each command
//! the host comes to rest. The model lists what must happen before that: which calls begin, which services see a stop
//! request, which threads exit, and what a call of the owner returns. The test waits for exactly these notices and
//! fails on any other. Then it compares the states of the host and of the services.
//!
//! Modelled: `add`, `start`, `wait`, `stop`, `drop` and `request_stop`, repeated and in any order; dependencies,
//! `on_failure`, `on_completion`, restarts after failures; errors, panics, and `Stopped` with and without a stop
//! request; rollbacks; stops with a timeout of zero, and later stops that find the true outcome.
//! Not modelled, and covered by other tests: time (start timeouts, stop timeouts of single services, holds, backoffs),
//! stop callbacks, groups, queues, signals, and a drop that fails.
//!
//! `PROPTEST_CASES=20000 cargo test --test model` runs more cases. A failing case is shortened and printed as services
//! and commands. No file keeps it: to replay it, add a test like the last one in this file.
#![allow(unreachable_pub, reason = "in a program, `pub` is short for `pub(crate)`")]

#[path = "model/commands.rs"]
mod commands;
#[path = "model/state.rs"]
mod state;
#[path = "model/reference.rs"]
mod reference;
#[path = "model/puppet.rs"]
mod puppet;
#[path = "model/owner.rs"]
mod owner;
#[path = "model/stage.rs"]
mod stage;

use commands::{Call, Cause, Command, Spec, Timeout};
use proptest::collection::vec;
use proptest::prelude::*;

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

/// `true` once in `times` cases.
fn rarely(times: u32) -> impl Strategy<Value = bool> {
    prop_oneof![times - 1 => Just(false), 1 => Just(true)]
}

/// A start, usually as the first command, and the commands after it.
fn commands() -> impl Strategy<Value = Vec<Command>> {
    let before = prop_oneof![5 => Just(Vec::new()), 1 => vec(of_the_owner(), 1..3)];
    let then = |well| vec(prop_oneof![7 => of_a_service(well), 2 => of_the_owner()], 0..60);
    // Few faults let a case run far. Many faults combine.
    (before, prop_oneof![2 => then(30), 1 => then(5)]).prop_map(|(before, then)| {
        let start = Command::Call(Call::Start);
        before.into_iter().chain([start]).chain(then).collect()
    })
}

/// `Ok` in `well` of `well` + 3 cases.
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

/// Shrinking may take a minute: if a notice is missing, each attempt takes a second.
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
    use commands::Call::*;
    use commands::Cause::*;
    use commands::Command::*;
    use commands::Timeout::*;
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
