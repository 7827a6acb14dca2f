//! Prints `mail to ada@example.org` every second, until ctrl-c.

use hosted::{Host, Queue, every};
use std::time::Duration;

fn main() -> Result<(), hosted::HostError> {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let outbox = Queue::bounded(100);
    let mailer = outbox.consumer(|to: String, _| {
        println!("mail to {to}");
        Ok(())
    });

    let mut host = Host::new();
    host.add("mailer", mailer);
    host.add(
        "greeter",
        every(Duration::from_secs(1), move |ctx| {
            outbox.push_until("ada@example.org".to_owned(), ctx.stop_token())?;
            Ok(())
        }),
    );
    host.run()?; // at ctrl-c, the greeter stops first; then the mailer handles the rest of its queue
    Ok(())
}
