//! Workers: the service that takes jobs out of the store and runs them.
//!
//! A set of workers is a group of services: `writer` claims jobs, writes results and looks after the store; `watch`
//! waits for the commits of other processes; `1`, `2` and so on run jobs, each on its own thread. The threads depend on
//! the writer, so a stop reaches them first, and the writer last.

mod pool;
mod prefetch;
mod recheck;
mod job_thread;
mod watch;
mod cycle;
mod writer;

use crate::core::Core;
use crate::handlers::Handlers;
use hosted::{Context, Result, Service, group};
use job_thread::JobThread;
use pool::Pool;
use std::sync::Arc;
use watch::Watcher;
use writer::Writer;

/// The most jobs that are taken before a thread is free for them, unless [`Workers::prefetch`] says otherwise.
const PREFETCH: usize = 100;

/// The service that [`Jobs::workers`](crate::Jobs::workers) creates.
#[must_use = "workers do nothing until a host runs them"]
pub struct Workers {
    core: Arc<Core>,
    handlers: Handlers,
    threads: usize,
    prefetch: usize,
    stack_size: Option<usize>,
    /// From `start` on.
    group: Option<Box<dyn Service>>,
}

impl Workers {
    pub(crate) fn new(core: Arc<Core>, threads: usize, handlers: Handlers) -> Self {
        Workers { core, handlers, threads, prefetch: PREFETCH, stack_size: None, group: None }
    }

    /// Sets how many jobs may be taken before a thread is free for them. The default is 100. 0 takes none.
    ///
    /// Only jobs that take less time than a commit are taken ahead, and only as many as keep the threads busy during
    /// one. A job that was taken and not started is given back at a stop, at once.
    pub fn prefetch(self, jobs: usize) -> Self {
        Workers { prefetch: jobs, ..self }
    }

    /// Sets the stack size of the threads that run jobs.
    pub fn stack_size(self, bytes: usize) -> Self {
        Workers { stack_size: Some(bytes), ..self }
    }

    /// A restart makes fresh services, with nothing of the old ones.
    fn group(&self) -> Box<dyn Service> {
        let (core, handlers) = (self.core.clone(), self.handlers.clone());
        let (threads, prefetch, stack_size) = (self.threads, self.prefetch, self.stack_size);
        Box::new(group(move |host| {
            let pool = Pool::new(core.clone(), handlers.clone(), threads, prefetch);
            host.add("writer", Writer::new(pool.clone()));
            host.add("watch", Watcher::new(pool.clone())).after(["writer"]);
            for number in 1..=threads {
                let options = host.add(number.to_string(), JobThread::new(pool.clone(), number - 1));
                options.after(["writer"]);
                if let Some(bytes) = stack_size {
                    options.stack_size(bytes);
                }
            }
            Ok(())
        }))
    }
}

impl Service for Workers {
    fn validate(&self) -> Result {
        self.handlers.check()?;
        if self.threads == 0 {
            return Err("workers need at least one thread".into());
        }
        Ok(())
    }

    fn start(&mut self, ctx: &Context) -> Result {
        let group = self.group();
        self.group.insert(group).start(ctx)
    }

    fn run(&mut self, ctx: &Context) -> Result {
        match &mut self.group {
            Some(group) => group.run(ctx),
            None => Err("workers run only after their start".into()),
        }
    }

    fn stop(&mut self, ctx: &Context) -> Result {
        match &mut self.group {
            Some(group) => group.stop(ctx),
            None => Ok(()),
        }
    }
}
