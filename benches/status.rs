//! The status server: what a page of 300 services costs, and how many probes it answers. `taskset -c 0` for one core.
//!
//! Figures are of the whole process: the client, which is in it, is counted too.

use hosted::{Host, StatusServer, worker};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const SERVICES: usize = 300;
const TIME: Duration = Duration::from_secs(2);

fn main() {
    let server = StatusServer::bind("127.0.0.1:0");
    let address = server.local_addr();
    let mut host = Host::new();
    host.add("status", server);
    for n in 1..SERVICES {
        host.add(format!("service-{n}"), worker(|ctx| Ok(ctx.sleep(Duration::MAX)?))).independent();
    }
    host.start().unwrap();
    let address = address.get().unwrap();

    println!("{SERVICES} services, each request on a kept connection, for {} s each", TIME.as_secs());
    for path in ["/livez", "/readyz", "/metrics", "/status.json", "/"] {
        let mut stream = TcpStream::connect(address).unwrap();
        measure(path, || get(&mut stream, path, "keep-alive"));
    }
    println!("a connection for each request");
    measure("/livez", || get(&mut TcpStream::connect(address).unwrap(), "/livez", "close"));
    few_services();

    let begin = cpu_time();
    std::thread::sleep(TIME);
    println!("idle: {:.1} ms of CPU in {} s", (cpu_time() - begin).as_secs_f64() * 1e3, TIME.as_secs());
    idle_clients(address);
    let begin = Instant::now();
    host.stop(Duration::from_secs(10)).unwrap();
    println!("stop of the host: {:.1} ms", begin.elapsed().as_secs_f64() * 1e3);
}

/// A host with two services, as most are.
fn few_services() {
    let server = StatusServer::bind("127.0.0.1:0");
    let address = server.local_addr();
    let mut host = Host::new();
    host.add("status", server);
    host.add("worker", worker(|ctx| Ok(ctx.sleep(Duration::MAX)?)));
    host.start().unwrap();
    let address = address.get().unwrap();
    println!("2 services");
    let mut stream = TcpStream::connect(address).unwrap();
    measure("/livez", || get(&mut stream, "/livez", "keep-alive"));
    measure("/livez, new connections", || get(&mut TcpStream::connect(address).unwrap(), "/livez", "close"));
    let clients: Vec<TcpStream> = (0..64).map(|_| TcpStream::connect(address).unwrap()).collect();
    std::thread::sleep(Duration::from_millis(100));
    let begin = Instant::now();
    host.stop(Duration::from_secs(10)).unwrap();
    println!("  stop with 64 clients connected: {:.1} ms", begin.elapsed().as_secs_f64() * 1e3);
    drop(clients);
}

/// A page that is open: a request every two seconds.
fn idle_clients(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).unwrap();
    let (begin, cpu) = (Instant::now(), cpu_time());
    for _ in 0..3 {
        get(&mut stream, "/", "keep-alive");
        std::thread::sleep(TIME);
    }
    let share = (cpu_time() - cpu).as_secs_f64() / begin.elapsed().as_secs_f64();
    println!("one open page: {:.2} % CPU", share * 100.0);
}

fn measure(what: &str, mut request: impl FnMut() -> usize) {
    request();
    let (begin, cpu, mut count, mut bytes) = (Instant::now(), cpu_time(), 0_u32, 0);
    while begin.elapsed() < TIME {
        bytes = request();
        count += 1;
    }
    let per_second = f64::from(count) / begin.elapsed().as_secs_f64();
    let cpu = (cpu_time() - cpu).as_secs_f64() / f64::from(count) * 1e3;
    println!("  {what:24} {per_second:9.0} /s  {cpu:7.3} ms of CPU each  {bytes:8} bytes");
}

/// Reads a whole answer. Returns how long its body is.
fn get(stream: &mut TcpStream, path: &str, connection: &str) -> usize {
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: {connection}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut buffer = vec![0; 256 * 1_024];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).unwrap();
        assert!(read > 0, "the server closed the connection");
        filled += read;
        let Some(end) = buffer[..filled].windows(4).position(|bytes| bytes == b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(&buffer[..end]).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
        let length: usize = length.parse().unwrap();
        buffer.resize(buffer.len().max(end + 4 + length), 0);
        if filled >= end + 4 + length {
            return length;
        }
    }
}

/// User and system time of the process. The kernel counts hundredths of a second.
fn cpu_time() -> Duration {
    let text = fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = text.rsplit_once(')').unwrap().1;
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}
