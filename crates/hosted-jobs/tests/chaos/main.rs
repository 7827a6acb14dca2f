//! Real processes that die, freeze, and meet full disks, locked files and wrong clocks.
//!
//! Each test starts this very program again as a child, kills or stops it, and checks at the end what the witnesses saw: see
//! `witness`. `CHAOS_KILLS=500` makes the test of random kills longer.

#![cfg(target_os = "linux")]

#[path = "../support/mod.rs"]
mod support;

mod witness;
mod programs;
mod children;

mod clocks;
mod crashes;
mod disks;
mod frozen;
mod idle;
mod kills;

/// The entry of the children. Without the variable, this is no test.
#[test]
fn child_process() {
    if let Ok(program) = std::env::var(programs::PROGRAM) {
        programs::run(&program);
        std::process::exit(0);
    }
}
