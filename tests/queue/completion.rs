//! When a consumer or a group is complete, and when the token of `attach` stops.

use crate::protocol::{at_once, nested};
use crate::support::{LIMIT, idle, in_time, next};
use crossbeam_channel::{Receiver, Sender, unbounded};
use hosted::{
    Context, Host, OnFailure, Outcome, Queue, Restart, Result, Service, StopReason, StopSource, StopToken, worker,
};
use std::time::Duration;

#[test]
fn a_consumer_that_is_dropped_without_a_host_closes_nothing() {
    let queue = Queue::bounded(2);
    drop(queue.consumer(|_: u32, _| Ok(())));
    let mut consumer = queue.consumer(|_: u32, _| Ok(()));
    consumer.start(&Context::new("consumer", StopSource::new().token())).unwrap();
    drop(consumer);
    queue.push(1).unwrap();
    assert!(!queue.is_closed());
}

#[test]
fn a_consumer_that_another_service_wraps_without_attach_still_closes_its_queue() {
    in_time(|| {
        struct Wrapper<S>(S);
        impl<S: Service> Service for Wrapper<S> {
            fn run(&mut self, ctx: &Context) -> Result {
                self.0.run(ctx)
            }
        }
        let (queue, (sender, receiver), mut host) = (Queue::bounded(1), unbounded(), Host::new());
        host.add("wrapped", Wrapper(queue.consumer(move |n: u32, _| Ok(sender.send(n)?))));
        host.start().unwrap();
        queue.push(1).unwrap();
        assert_eq!(next(&receiver), 1);
        host.stop(LIMIT).unwrap();
        assert!(queue.is_closed());
    });
}

#[test]
fn a_consumer_of_a_closed_queue_is_complete_under_every_restart_policy() {
    in_time(|| {
        for restart in [Restart::never(), Restart::on_failure(), Restart::always()] {
            let (queue, mut host) = (Queue::bounded(1), Host::new());
            queue.push(1).unwrap();
            queue.close();
            host.add("consumer", queue.consumer(|_: u32, _| Ok(()))).restart(restart);
            let report = host.run_until(&StopToken::never()).unwrap();
            assert_eq!((&report.reason, report.services[0].restarts), (&StopReason::AllCompleted, 0));
            assert!(matches!(report.services[0].outcome, Outcome::Completed));
        }
    });
}

#[test]
fn a_group_whose_services_are_complete_for_good_is_not_restarted() {
    in_time(|| {
        for one_stops_all in [false, true] {
            let (queue, mut host) = (Queue::<u32>::bounded(1), Host::new());
            queue.close();
            let fill = move |host: &mut Host| {
                if one_stops_all {
                    host.add("server", idle());
                }
                let options = host.add("consumer", queue.consumer(|_, _| Ok(())));
                if one_stops_all {
                    options.on_completion(hosted::OnCompletion::StopHost);
                }
                Ok(())
            };
            host.add("group", nested(1, fill)).restart(Restart::always());
            let report = host.run_until(&StopToken::never()).unwrap();
            assert_eq!((&report.reason, report.services[0].restarts), (&StopReason::AllCompleted, 0));
        }
    });
}

// 91
#[test]
fn mark_complete_ends_the_restarts_of_a_service_only_if_its_run_returns_ok() {
    in_time(|| {
        let (mut runs, mut host) = (0, Host::new());
        let restless = worker(move |ctx| {
            runs += 1;
            match runs {
                1 => {
                    ctx.mark_complete();
                    Err("a failure after the mark".into())
                }
                2 => Ok(()), // the mark of the first run does not count
                _ => {
                    ctx.mark_complete();
                    Ok(())
                }
            }
        });
        host.add("restless", restless).restart(Restart::always().backoff(Duration::ZERO..=Duration::ZERO));
        let report = host.run_until(&StopToken::never()).unwrap();
        assert_eq!(report.services[0].restarts, 2);
        assert!(matches!(report.services[0].outcome, Outcome::Completed));
    });
}

/// Sends the token of `attach` to the test, and fails at each order.
struct Probe(Sender<StopToken>, Receiver<()>);

impl Service for Probe {
    fn attach(&mut self, retired: &StopToken) {
        self.0.send(retired.clone()).unwrap();
    }

    fn run(&mut self, ctx: &Context) -> Result {
        ctx.recv(&self.1)?;
        Err("again".into())
    }
}

fn probe() -> (impl Fn() -> Box<dyn Service> + Clone + Send + 'static, Receiver<StopToken>, Sender<()>) {
    let ((sender, receiver), (fail, failing)) = (unbounded(), unbounded());
    (move || Box::new(Probe(sender.clone(), failing.clone())), receiver, fail)
}

#[test]
fn the_token_of_attach_outlasts_restarts_and_is_stopped_by_the_last_stop() {
    in_time(|| {
        let mut host = Host::new();
        let ((alone, token_alone, fail_alone), (child, child_tokens, fail_child)) = (probe(), probe());
        host.add("alone", alone()).restart(at_once());
        let fill = move |host: &mut Host| {
            host.add("child", child());
            Ok(())
        };
        host.add("group", nested(1, fill)).restart(at_once());
        host.start().unwrap();
        let (alone, first) = (next(&token_alone), next(&child_tokens));
        for _ in 0..3 {
            fail_alone.send(()).unwrap();
            fail_child.send(()).unwrap();
            let again = next(&child_tokens);
            assert!(!alone.stop_requested() && !first.stop_requested() && !again.stop_requested());
        }
        host.stop(LIMIT).unwrap();
        assert!(alone.stop_requested() && first.stop_requested());
        assert!(token_alone.try_recv().is_err(), "attached once for all runs");
    });
}

#[test]
fn the_token_of_attach_is_stopped_when_its_service_has_failed_for_good() {
    in_time(|| {
        let (service, tokens, fail) = probe();
        let mut host = Host::new();
        host.add("service", service()).on_failure(OnFailure::Ignore);
        host.add("main", idle());
        host.start().unwrap();
        let token = next(&tokens);
        assert!(!token.stop_requested());
        fail.send(()).unwrap();
        token.wait();
        host.stop(LIMIT).unwrap();
    });
}
