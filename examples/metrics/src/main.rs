//! Prints `http://127.0.0.1:` with a port, and serves the metrics of its services and of its queue there, until ctrl-c.
//!
//! `curl http://127.0.0.1:PORT/` shows what Prometheus would read.

use hosted::{Context, Host, Queue, Restart, Result, every, worker};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn main() -> Result {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    // First, so that no metric is recorded before.
    let prometheus = PrometheusBuilder::new().install_recorder()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("http://{}/", listener.local_addr()?);

    let mut host = Host::new();
    let upkeep = prometheus.clone();
    // The exporter keeps the samples of histograms until it is asked to sum them up.
    let sum_up = move |_: &Context| {
        upkeep.run_upkeep();
        Ok(())
    };
    host.add("upkeep", every(5 * SECOND, sum_up));
    host.add("exporter", worker(move |ctx| export(&listener, &prometheus, ctx)));

    let outbox = Queue::bounded(100).named("outbox");
    let send = |mail: u32, ctx: &Context| {
        ctx.sleep(SECOND / 50)?;
        // The facade is open to the program too.
        metrics::counter!("mails_sent_total").increment(1);
        if mail % 10 == 0 { Err("no such mailbox".into()) } else { Ok(()) }
    };
    host.add("mailer", outbox.consumer(send));
    let mut mail = 0;
    let produce = move |ctx: &Context| {
        mail += 1;
        Ok(outbox.push_until(mail, ctx.stop_token())?)
    };
    host.add("sign-ups", every(SECOND / 20, produce));
    let disconnects = |ctx: &Context| {
        ctx.sleep(2 * SECOND)?;
        Err("the broker closed the connection".into())
    };
    host.add("broker", worker(disconnects)).restart(Restart::on_failure());
    println!("{}", host.run()?);
    Ok(())
}

/// Answers each client with the metrics, one client at a time.
fn export(listener: &TcpListener, prometheus: &PrometheusHandle, ctx: &Context) -> Result {
    for client in ctx.incoming(listener) {
        // A client that disconnects must not stop the service.
        if let Err(error) = answer(client?, &prometheus.render()) {
            ctx.report_error(error);
        }
    }
    Ok(())
}

fn answer(mut client: TcpStream, metrics: &str) -> std::io::Result<()> {
    client.set_read_timeout(Some(SECOND))?;
    let mut request = BufReader::new(&client).lines().map_while(std::io::Result::ok);
    // An empty line ends the header of a request.
    _ = request.find(String::is_empty);
    drop(request);
    let head = "HTTP/1.0 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\r\n";
    client.write_all(format!("{head}{metrics}").as_bytes())
}
