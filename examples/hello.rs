use hosted::{Host, Queue, Restart, every, group, task, worker};
use std::time::Duration;

fn main() -> Result<(), hosted::HostError> {
    env_logger::builder().filter_level(log::LevelFilter::Trace).init();
    let outbox = Queue::bounded(100);
    let mailer = outbox.consumer(|to: String, _| {
        println!("mail to {to}");
        Ok(())
    });

    let mut host = Host::new();
    host.add("schema", task(|_| Ok(())));
    host.add("mailer", mailer);
    host.add(
        "greeter",
        every(Duration::from_secs(1), move |ctx| {
            outbox.push_until("ada@example.org".to_owned(), ctx.stop_token())?;
            Ok(())
        }),
    );
    let mut n = 0;
    host.add(
        "g",
        group(move |g| {
            n += 1;
            let m = n;
            g.add(
                "a",
                worker(|ctx| {
                    ctx.wait();
                    Ok(())
                }),
            );
            g.add(
                "b",
                worker(move |ctx| {
                    if m < 3 {
                        ctx.sleep(Duration::from_millis(300))?;
                        Err("boom")?;
                    }
                    ctx.wait();
                    Ok(())
                }),
            );
            Ok(())
        }),
    )
    .restart(Restart::on_failure());
    host.add(
        "deaf",
        worker(|_| {
            std::thread::sleep(Duration::from_secs(6));
            Ok(())
        }),
    );
    host.add(
        "panics",
        worker(|ctx| {
            ctx.sleep(Duration::from_secs(2))?;
            panic!("ouch")
        }),
    )
    .on_failure(hosted::OnFailure::Ignore);
    host.add(
        "ender",
        worker(|ctx| {
            ctx.sleep(Duration::from_secs(3))?;
            ctx.host().request_stop();
            Ok(())
        }),
    );
    host.stop_timeout(Duration::from_millis(2500));
    let r = host.run();
    match r {
        Ok(r) => println!("{r}"),
        Err(e) => println!("ERR {e}"),
    }
    println!("{:#?}", host.stop(Duration::from_secs(5)));
    Ok(())
}
