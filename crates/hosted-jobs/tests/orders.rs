//! The example `orders`, killed under load: every order is mailed exactly once.

#![cfg(target_os = "linux")]

#[path = "../examples/orders/shop/mod.rs"]
mod shop;

use hosted_jobs::{Jobs, Outcome, rusqlite};
use shop::Options;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const FOLDER: &str = "ORDERS_FOLDER";
const PATIENCE: Duration = Duration::from_secs(60);
const CUSTOMERS: u64 = 4;

/// The shop itself, in a child process. Without the variable, this is no test.
#[test]
fn child_process() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let options = Options {
        folder: folder.join("shop"),
        port: 0,
        status_port: 0,
        threads: 2,
        report_every: Some(Duration::from_secs(1)),
    };
    let (mut host, address, _) = shop::open(&options).unwrap();
    let announced = folder.join(format!("address.{}", std::process::id()));
    fs::write(&announced, address.to_string()).unwrap();
    fs::rename(announced, folder.join("address")).unwrap();
    host.run().unwrap();
    std::process::exit(0);
}

/// The shop in a process, which is killed when the test ends.
struct Shop(Child);

impl Shop {
    fn start(folder: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["child_process", "--exact", "--nocapture"]).env(FOLDER, folder);
        Shop(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends an order until it is accepted. Its key makes it the same order, however often it is sent.
fn order(folder: &Path, key: &str) {
    let began = Instant::now();
    let body = r#"{"customer": "ada@example.org", "item": "tea"}"#;
    let request = format!(
        "POST /orders HTTP/1.1\r\nHost: shop\r\nIdempotency-Key: {key}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let send = || -> std::io::Result<String> {
        let address = fs::read_to_string(folder.join("address"))?;
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    while !send().is_ok_and(|answer| answer.starts_with("HTTP/1.1 201")) {
        assert!(began.elapsed() < PATIENCE, "the order is not accepted");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn number(db: &rusqlite::Connection, sql: &str) -> i64 {
    db.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// Kills the shop at random moments while customers order. `ORDERS_KILLS=100` for the long version.
#[test]
fn every_order_is_mailed_exactly_once_however_often_the_shop_is_killed() {
    let kills: u64 = std::env::var("ORDERS_KILLS").map_or(6, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let (closed, orders) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut shop = Shop::start(folder.path());
    std::thread::scope(|scope| {
        for customer in 0..CUSTOMERS {
            let (folder, closed, orders) = (folder.path(), &closed, &orders);
            scope.spawn(move || {
                for n in 0.. {
                    if closed.load(Ordering::Relaxed) {
                        return;
                    }
                    order(folder, &format!("{customer}-{n}"));
                    orders.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for kill in 0..kills {
            // Each time after another number of orders, so at another moment.
            let enough = orders.load(Ordering::Relaxed) + 20 + kill * 7 % 40;
            wait_until("orders come in", || orders.load(Ordering::Relaxed) >= enough);
            shop.0.kill().unwrap();
            shop.0.wait().unwrap();
            shop = Shop::start(folder.path());
        }
        closed.store(true, Ordering::Relaxed);
    });
    let db = rusqlite::Connection::open(folder.path().join("shop/orders.db")).unwrap();
    db.busy_timeout(PATIENCE).unwrap();
    let not_mailed = || number(&db, "SELECT count(*) FROM orders WHERE mailed_at IS NULL");
    wait_until("every order is mailed, or its job is dead", || {
        not_mailed() == number(&db, "SELECT count(*) FROM hosted_done WHERE outcome = 1")
    });
    let dead = "SELECT count(*) FROM hosted_done WHERE outcome = 1";
    assert_eq!((not_mailed(), number(&db, dead)), (0, 0));
    drop(shop);
    let orders = i64::try_from(orders.into_inner()).unwrap();
    assert_eq!(number(&db, "SELECT count(*) FROM orders"), orders, "each order that was accepted is there once");
    let mails: BTreeSet<String> = fs::read_dir(folder.path().join("shop/mail/new"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(mails, (1..=orders).map(|id| format!("order-{id}")).collect());
    let jobs = Jobs::open(folder.path().join("shop/orders.db")).unwrap();
    let mailed = number(&db, "SELECT count(*) FROM hosted_done WHERE kind = 'mail.send' AND outcome = 0");
    assert_eq!(mailed, orders, "each order has one job");
    assert_eq!(jobs.list(&hosted_jobs::Filter::finished(Outcome::Dead)).unwrap().len(), 0);
    println!("{kills} kills, {orders} orders, {} mails", mails.len());
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "timed out waiting until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn the_page_shows_orders_queues_and_services() {
    let folder = tempfile::tempdir().unwrap();
    let options =
        Options { folder: folder.path().join("shop"), port: 0, status_port: 0, threads: 1, report_every: None };
    let (mut host, address, status) = shop::open(&options).unwrap();
    host.start().unwrap();
    fs::write(folder.path().join("address"), address.to_string()).unwrap();
    order(folder.path(), "a");
    let get = || {
        let mut stream = TcpStream::connect(status.get().unwrap()).unwrap();
        stream.write_all(b"GET /status.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let shows = |name: &str, value: &str| get().contains(&format!(r#"{{"name":"{name}","value":"{value}"}}"#));
    wait_until("the order is mailed", || shows("not mailed yet", "0"));
    assert!(shows("orders", "1") && shows("succeeded", "1") && shows("dead", "0"), "{}", get());
    assert!(shows("recurring report", "CRON_TZ=UTC 0 3 * * *, missed 0"), "{}", get());
    assert!(get().contains("jobs/writer"), "{}", get());
    host.stop(PATIENCE).unwrap();
}
