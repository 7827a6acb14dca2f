//! Guarantees 69 and 70 with several consumers: which consumer closes the queue, and that no job is lost or handled
//! twice.

use super::with_token::WithToken;
use crate::support::{LIMIT, MS, next};
use crossbeam_channel::{Receiver, Sender, unbounded};
use hosted::{Context, Host, PushError, Queue, Result, Service, StopToken, task, worker};
use std::thread::spawn;
use std::time::Duration;

/// A service whose `stop` reports its call, and then waits until it may return.
struct Gate(Sender<()>, Receiver<()>);

impl Service for Gate {
    fn stop(&mut self, _: &Context) -> Result {
        self.0.send(())?;
        Ok(self.1.recv_timeout(LIMIT)?)
    }
}

fn gate() -> (Gate, Receiver<()>, Sender<()>) {
    let ((reached, reaches), (open, opened)) = (unbounded(), unbounded());
    (Gate(reached, opened), reaches, open)
}

// 69
#[test]
fn every_accepted_job_is_handled_once_by_one_consumer() {
    const EACH: u32 = 2_000;
    let queue = Queue::bounded(7);
    let (sender, receiver) = unbounded();
    let mut host = Host::new();
    for name in ["a", "b", "c"] {
        let sender = sender.clone();
        host.add(name, queue.consumer(move |n: u32, ctx| Ok(sender.send((n, ctx.name().to_owned()))?)))
            .after::<&str>([]);
    }
    host.start().unwrap();
    let producers = [0, 1].map(|p| {
        let queue = queue.clone();
        spawn(move || (0..EACH).for_each(|n| queue.push(p * EACH + n).unwrap()))
    });
    producers.into_iter().for_each(|producer| producer.join().unwrap());
    host.stop(LIMIT).unwrap();
    let mut handled = receiver.try_iter().map(|job| job.0).collect::<Vec<_>>();
    handled.sort_unstable();
    assert_eq!(handled, (0..2 * EACH).collect::<Vec<_>>());
    assert!(queue.is_empty());
}

// 70
#[test]
fn a_queue_closes_at_the_stop_request_of_its_last_consumer() {
    let queue = Queue::bounded(3);
    let (sender, receiver) = unbounded();
    let job = move |n: u32, ctx: &Context| Ok(sender.send((n, ctx.name().to_owned()))?);
    let (gate, reached, open) = gate();
    let mut host = Host::new();
    host.add("last", queue.consumer(job.clone()));
    host.add("gate", gate);
    host.add("first", queue.consumer(job));
    host.start().unwrap();
    let stopping = spawn(move || host.stop(LIMIT));
    next(&reached); // so "first" has received its stop request, and has exited
    queue.push(1).expect("it is open");
    assert_eq!(next(&receiver), (1, "last".to_owned()));
    open.send(()).unwrap();
    stopping.join().unwrap().unwrap();
    assert_eq!(queue.try_push(2), Err(PushError::Closed(2)));
}

/// The first consumer receives its stop request in its job 1, with 2, 3 and 4 in the queue. The second receives it
/// later, and is in its job 0 until the first has exited or exceeded its time. Returns the jobs that each of the two
/// took.
fn asked_in_a_job(limit: Option<Duration>) -> (Vec<u32>, Vec<u32>) {
    let queue = Queue::bounded(4);
    let ((sender, receiver), (busy, is_busy), (go, gone)) = (unbounded(), unbounded(), unbounded());
    let ((gate, reached, open), (token, tokens)) = (gate(), unbounded::<StopToken>());
    let mut host = Host::new();
    let (first, last) = (sender.clone(), sender);
    host.add(
        "last",
        queue.consumer(move |n, _| {
            last.send(("last", n))?;
            if n > 0 {
                return Ok(());
            }
            busy.send(())?;
            Ok(gone.recv_timeout(LIMIT)?)
        }),
    );
    queue.push(0).unwrap();
    host.add("dependency", task(move |_| Ok(is_busy.recv_timeout(LIMIT)?)));
    host.add("gate", gate);
    let consumer = queue.consumer(move |n, ctx| {
        first.send(("first", n))?;
        if n == 1 {
            tokens.recv_timeout(LIMIT)?.wait();
            ctx.sleep(if limit.is_some() { Duration::MAX } else { Duration::ZERO })?;
        }
        Ok(())
    });
    host.add("first", WithToken(consumer, token)).stop_timeout(limit.unwrap_or(LIMIT));
    host.start().unwrap();
    (1..=4).for_each(|n| queue.push(n).unwrap());
    assert_eq!([next(&receiver), next(&receiver)], [("last", 0), ("first", 1)]);
    let stopping = spawn(move || host.stop(LIMIT));
    next(&reached);
    go.send(()).unwrap();
    open.send(()).unwrap();
    stopping.join().unwrap().unwrap();
    let (first, last) = receiver.try_iter().partition::<Vec<_>, _>(|taken| taken.0 == "first");
    let numbers = |taken: Vec<(_, u32)>| taken.into_iter().map(|taken| taken.1).collect();
    (numbers(first), numbers(last))
}

// 70
#[test]
fn a_consumer_that_stops_earlier_continues_until_the_queue_is_empty() {
    assert_eq!(asked_in_a_job(None), (vec![2, 3, 4], vec![]));
}

// 70
#[test]
fn a_consumer_at_its_stop_deadline_leaves_the_rest_to_other_consumers() {
    assert_eq!(asked_in_a_job(Some(MS * 30)), (vec![], vec![2, 3, 4]));
}

// 70
#[test]
fn a_consumer_that_never_started_keeps_no_queue_open() {
    let queue = Queue::bounded(1);
    let mut host = Host::new();
    host.add("runs", queue.consumer(|(), _| Ok(())));
    host.add("fails", task(|_| Err("no disk".into())));
    host.add("never", queue.consumer(|(), _| Ok(())));
    assert_eq!(host.start().unwrap_err().failures()[0].service(), "fails");
    assert_eq!(queue.push(()), Err(PushError::Closed(())));
}

/// The plan of a round: how the services are added, how long jobs take, and the deadline.
struct Round {
    number: u32,
    timeout: Duration,
}

impl Round {
    fn new(number: u32) -> Self {
        let timeout = [Duration::ZERO, MS, MS * 4, LIMIT][number as usize % 4];
        Round { number, timeout }
    }

    /// The length of a job: some are as long as the deadline allows, the others are short.
    fn job(&self, done: Sender<u32>) -> impl FnMut(u32, &Context) -> Result + Send + use<> {
        let long = if self.timeout == LIMIT { MS } else { Duration::MAX };
        move |item, ctx| {
            done.send(item)?;
            Ok(ctx.sleep(if item % 8 == 7 { long } else { Duration::ZERO })?)
        }
    }

    /// Pushes until its stop request or until the queue is closed, and reports the accepted items.
    fn producer(&self, p: u32, queue: Queue<u32>, accepted: Sender<u32>) -> impl Service + use<> {
        let outlives = self.outlives(p);
        worker(move |ctx| {
            for item in (p * 1_000_000..).take(1_000_000) {
                let pushed = match item % 3 {
                    0 if outlives => queue.push(item),
                    _ if outlives => queue.push_timeout(item, LIMIT),
                    _ => queue.push_until(item, ctx.stop_token()),
                };
                match pushed {
                    Ok(()) => accepted.send(item)?,
                    Err(error) if error.into_inner() == item => break,
                    Err(_) => return Err("another item came back".into()),
                }
            }
            Ok(())
        })
    }

    /// Returns `true` if this producer is added before the consumers, and so still runs when they stop.
    fn outlives(&self, p: u32) -> bool {
        p < self.number % 3
    }

    /// The accepted, handled and drained items.
    fn play(&self) -> [Vec<u32>; 3] {
        let queue = Queue::bounded(1 + self.number as usize % 5);
        let ((done, handled), (accept, accepted)) = (unbounded(), unbounded());
        let mut host = Host::new();
        let add_producers = |host: &mut Host, early: bool| {
            for p in (0..4).filter(|&p| self.outlives(p) == early) {
                let producer = self.producer(p, queue.clone(), accept.clone());
                host.add(format!("p{p}"), producer);
            }
        };
        add_producers(&mut host, true);
        for c in 0..3 {
            let options = host.add(format!("c{c}"), queue.consumer(self.job(done.clone())));
            if self.number % 2 == 0 {
                options.after((0..4).filter(|&p| self.outlives(p)).map(|p| format!("p{p}"))); // side by side
            }
        }
        add_producers(&mut host, false);
        host.start().unwrap();
        let first = next(&handled);
        // Services that were late are waited for again, in short steps: a service that missed the first deadline takes
        // the next.
        let stopped = host.stop(self.timeout).is_ok() || (0..3_000).any(|_| host.stop(MS * 20).is_ok());
        assert!(stopped);
        let handled = [first].into_iter().chain(handled.try_iter()).collect();
        [accepted.try_iter().collect(), handled, queue.drain()]
    }
}

// 70
#[test]
fn accepted_is_handled_and_drained_for_4_producers_and_3_consumers_in_200_rounds() {
    let (mut handled_in_all, mut drained_in_all) = (0, 0);
    for number in 0..200 {
        let [mut accepted, handled, drained] = Round::new(number).play();
        (handled_in_all, drained_in_all) = (handled_in_all + handled.len(), drained_in_all + drained.len());
        let mut found = [handled, drained].concat();
        accepted.sort_unstable();
        found.sort_unstable();
        assert_eq!(accepted, found, "round {number}");
    }
    assert!(handled_in_all > 200 && drained_in_all > 50, "{handled_in_all} handled, {drained_in_all} drained");
}
