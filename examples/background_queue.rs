//! Prints `order 1 is accepted` and so on at once, and `order 1 is confirmed to ada@example.org` in the background.
//!
//! Sending a mail takes long, so the program only puts it into a queue, and two senders work that off. One address
//! is wrong: that job costs only itself. The stop at the end waits until all that was accepted has been handled.

use hosted::{Context, Host, Queue};
use std::time::Duration;

struct Confirmation {
    order: usize,
    to: &'static str,
}

fn main() -> hosted::Result {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let outbox = Queue::bounded(100);
    let mut host = Host::new();
    for number in 1..=2 {
        host.add(format!("sender-{number}"), outbox.consumer(send)).after::<&str>([]); // side by side
    }
    host.start()?;

    let customers = ["ada@example.org", "grace@example.org", "nobody", "edsger@example.org", "barbara@example.org"];
    for (order, to) in (1..).zip(customers) {
        outbox.push(Confirmation { order, to })?; // waits only when the queue is full
        println!("order {order} is accepted");
    }

    let report = host.stop(Duration::from_secs(10))?;
    for unsent in outbox.drain() {
        println!("order {} is not confirmed: no time left", unsent.order); // for the next run to pick up
    }
    println!("{report}");
    Ok(())
}

fn send(mail: Confirmation, job: &Context) -> hosted::Result {
    // The mail server's time. A job's context is not stopped when the host is, but when the time for stopping is up.
    job.sleep(Duration::from_millis(300))?;
    if !mail.to.contains('@') {
        return Err(format!("order {}: `{}` is no mail address", mail.order, mail.to).into());
    }
    println!("order {} is confirmed to {}", mail.order, mail.to);
    Ok(())
}
