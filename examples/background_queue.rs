//! Prints `order 1 is accepted` and so on at once, and `order 1 is confirmed to ada@example.org` in the background.
//!
//! Sending a mail takes long. The program therefore puts each mail into a queue, and two services send the mails.
//! One address is invalid: its job fails, and the others are not affected. The stop at the end waits until the
//! senders have handled every accepted mail.

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
        host.add(format!("sender-{number}"), outbox.consumer(send)).after::<&str>([]); // no order between the senders
    }
    host.start()?;

    let customers = ["ada@example.org", "grace@example.org", "nobody", "edsger@example.org", "barbara@example.org"];
    for (order, to) in (1..).zip(customers) {
        outbox.push(Confirmation { order, to })?; // waits only if the queue is full
        println!("order {order} is accepted");
    }

    let report = host.stop(Duration::from_secs(10))?;
    for unsent in outbox.drain() {
        println!("order {} is not confirmed: no time left", unsent.order); // the next run can send it
    }
    println!("{report}");
    Ok(())
}

fn send(mail: Confirmation, job: &Context) -> hosted::Result {
    // Stands for the mail server's response time. The stop request of the host does not end this sleep. Only the stop
    // deadline of the sender does.
    job.sleep(Duration::from_millis(300))?;
    if !mail.to.contains('@') {
        return Err(format!("order {}: `{}` is no mail address", mail.order, mail.to).into());
    }
    println!("order {} is confirmed to {}", mail.order, mail.to);
    Ok(())
}
