//! A service that does what it is told: it comes back from a call when the test says so, and with what the test says.

use super::words::{Cause, Notice, Verdict};
use crossbeam_channel::{Receiver, Sender, select};
use hosted::{Context, Phase, Result, Service, Stopped};
use std::cell::RefCell;
use std::panic::resume_unwind;

pub struct Puppet {
    place: usize,
    orders: Receiver<Verdict>,
    notices: Sender<Notice>,
    /// It has said that it sees that it is asked to stop.
    asked: bool,
}

/// Dropped with its thread, when the host has long been told that the service is over.
struct Leaving(usize, Sender<Notice>);

thread_local! {
    static LEAVING: RefCell<Option<Leaving>> = const { RefCell::new(None) };
}

impl Puppet {
    pub fn new(place: usize, orders: Receiver<Verdict>, notices: Sender<Notice>) -> Self {
        Puppet { place, orders, notices, asked: false }
    }

    fn play(&mut self, phase: Phase, ctx: &Context) -> Result {
        let leaving = || Leaving(self.place, self.notices.clone());
        LEAVING.with_borrow_mut(|kept| _ = kept.get_or_insert_with(leaving));
        self.say(Notice::Called(self.place, phase));
        loop {
            if self.asked {
                return obey(self.orders.recv().ok());
            }
            select! {
                recv(self.orders) -> order => return obey(order.ok()),
                recv(ctx.done()) -> _ => {
                    self.asked = true;
                    self.say(Notice::Asked(self.place));
                }
            }
        }
    }

    fn say(&self, notice: Notice) {
        _ = self.notices.send(notice); // nobody listens any more when the test has failed already
    }
}

/// Without an order the test has failed already: let the thread come to its end.
fn obey(order: Option<Verdict>) -> Result {
    match order.unwrap_or(Ok(())) {
        Ok(()) => Ok(()),
        Err(Cause::Stopped) => Err(Stopped.into()),
        Err(Cause::Panicked) => resume_unwind(Box::new("panicked")), // without a word on stderr
        Err(_) => Err("failed".into()),
    }
}

impl Service for Puppet {
    fn start(&mut self, ctx: &Context) -> Result {
        self.play(Phase::Start, ctx)
    }

    fn run(&mut self, ctx: &Context) -> Result {
        self.play(Phase::Run, ctx)
    }

    fn stop(&mut self, ctx: &Context) -> Result {
        self.play(Phase::Stop, ctx)
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        _ = self.1.send(Notice::Gone(self.0));
    }
}
