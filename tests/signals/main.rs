//! Signals and exit codes. Each test sends signals to a child process.

#![cfg(unix)]

#[path = "../support/mod.rs"]
mod support;

mod burst;
mod container;
mod drain;
mod exit;
mod midway;
mod second;
mod shell;
mod signal;
mod tokens;

#[test]
#[ignore = "the child processes of other tests"]
fn programs() {
    support::child::play(&[
        support::child::programs::SHARED,
        #[cfg(target_os = "linux")]
        burst::PROGRAMS,
        #[cfg(target_os = "linux")]
        container::PROGRAMS,
        drain::PROGRAMS,
        exit::PROGRAMS,
        midway::PROGRAMS,
        second::PROGRAMS,
        #[cfg(target_os = "linux")]
        shell::PROGRAMS,
        signal::PROGRAMS,
        tokens::PROGRAMS,
    ]);
}
