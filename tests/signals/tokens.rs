//! Guarantee 77: a callback on one token of `ctrl_c` delays no other token.
#![cfg(unix)]

use crate::support::child::{Child, Program, leave, say};
use hosted::ctrl_c;

pub(crate) const PROGRAMS: &[Program] = &[("between two that block", between_two_that_block)];

fn between_two_that_block() {
    let tokens = [(); 3].map(|()| ctrl_c().unwrap());
    let block = || {
        loop {
            std::thread::park();
        }
    };
    let _guards = [tokens[0].on_stop(block), tokens[2].on_stop(block)];
    say("ready");
    tokens.iter().for_each(|token| token.wait());
    leave(())
}

// 77
#[test]
fn a_callback_that_blocks_delays_no_other_token_of_ctrl_c() {
    let child = Child::play("between two that block");
    child.signal("INT");
    assert_eq!(child.ends(), (0, String::new()));
}
