//! A service that the test controls: each call returns when the test says so, with the result that the test chooses.

use super::commands::{Cause, Notice, Verdict};
use crossbeam_channel::{Receiver, Sender, select};
use hosted::{Context, Phase, Result, Service, Stopped};
use std::cell::RefCell;
use std::panic::resume_unwind;

pub struct Puppet {
    position: usize,
    orders: Receiver<Verdict>,
    notices: Sender<Notice>,
    /// Whether it has reported its stop request.
    stop_requested: bool,
}

/// Reports the end of the thread. A thread-local destructor drops it, after the registry has recorded the exit.
struct ExitNotice(usize, Sender<Notice>);

thread_local! {
    static EXIT_NOTICE: RefCell<Option<ExitNotice>> = const { RefCell::new(None) };
}

impl Puppet {
    pub fn new(position: usize, orders: Receiver<Verdict>, notices: Sender<Notice>) -> Self {
        Puppet { position, orders, notices, stop_requested: false }
    }

    fn play(&mut self, phase: Phase, ctx: &Context) -> Result {
        let exit_notice = || ExitNotice(self.position, self.notices.clone());
        EXIT_NOTICE.with_borrow_mut(|kept| _ = kept.get_or_insert_with(exit_notice));
        self.notify(Notice::Called(self.position, phase));
        loop {
            if self.stop_requested {
                return obey(self.orders.recv().ok());
            }
            select! {
                recv(self.orders) -> order => return obey(order.ok()),
                recv(ctx.done()) -> _ => {
                    self.stop_requested = true;
                    self.notify(Notice::StopRequested(self.position));
                }
            }
        }
    }

    fn notify(&self, notice: Notice) {
        _ = self.notices.send(notice); // after a failed test nobody receives it
    }
}

/// Returns the result that the test has chosen. Without one, the test has already failed, so the thread may exit.
fn obey(order: Option<Verdict>) -> Result {
    match order.unwrap_or(Ok(())) {
        Ok(()) => Ok(()),
        Err(Cause::Stopped) => Err(Stopped.into()),
        Err(Cause::Panicked) => resume_unwind(Box::new("panicked")), // without a panic message on stderr
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

impl Drop for ExitNotice {
    fn drop(&mut self) {
        _ = self.1.send(Notice::ThreadExited(self.0));
    }
}
