//! Runs the example `metrics` as a program and reads what Prometheus would read.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A limit for every wait, so that a hang becomes a failure.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn prometheus_reads_every_metric_of_the_services_and_of_the_queue() {
    let program = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("examples/metrics");
    let mut child = Command::new(program).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let address = lines.next().expect("its address").replace("http://", "").replace('/', "");

    let wanted = [
        "hosted_service_state{service=\"mailer\",state=\"running\"} 1",
        "hosted_service_state{service=\"mailer\",state=\"starting\"} 0",
        "hosted_service_health{service=\"mailer\",health=\"healthy\"} 1",
        "hosted_service_restarts_total{service=\"broker\"} 1",
        "hosted_service_errors_total{service=\"mailer\"} ",
        "hosted_service_ticks_missed_total{service=\"sign-ups\"} ",
        "hosted_queue_capacity{queue=\"outbox\"} 100",
        "hosted_queue_length{queue=\"outbox\"} ",
        "hosted_queue_jobs_total{queue=\"outbox\",service=\"mailer\"} ",
        "hosted_queue_job_seconds_count{queue=\"outbox\",service=\"mailer\"} ",
        "# HELP hosted_service_errors_total The number of ",
        "# TYPE hosted_queue_jobs_total counter",
        "mails_sent_total ",
    ];
    let began = Instant::now();
    loop {
        let text = get(&address);
        let missing: Vec<_> = wanted.iter().filter(|part| !text.contains(**part)).collect();
        if missing.is_empty() {
            break;
        }
        assert!(began.elapsed() < LIMIT, "{missing:?} is not in {text}");
        thread::sleep(Duration::from_millis(50)); // between two reads
    }
    let killed = Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status().unwrap();
    assert!(killed.success());
    assert!(child.wait().unwrap().success());
    assert!(lines.any(|line| line.contains("mailer")), "it prints the report");
}

fn get(address: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}
