//! Clients that are slow, greedy, wrong or malicious.

use crate::client::{
    answer, answers, connect, exchange, exchange_half_closed, get, read_to_end, request, started, started_with,
};
use crate::support::{LIMIT, eventually, idle};
use hosted::StatusServer;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

// 185
#[test]
fn a_client_that_sends_a_byte_a_second_gets_408_and_holds_up_nobody() {
    let (mut host, address) = started(|_| {});
    let mut slow = connect(address);
    let mut reader = slow.try_clone().unwrap();
    let reading = thread::spawn(move || read_to_end(&mut reader));
    for byte in request("/livez", "").bytes().cycle() {
        if reading.is_finished() || slow.write_all(&[byte]).is_err() {
            break;
        }
        assert_eq!(get(address, "/livez").status, 200);
        thread::sleep(Duration::from_secs(1));
    }
    let refused = answer(&reading.join().unwrap());
    assert_eq!((refused.status, refused.header("connection")), (408, Some("close")));
    host.stop(LIMIT).unwrap();
}

// 186
#[test]
fn a_client_that_sends_nothing_gets_408() {
    let (mut host, address) = started(|_| {});
    assert_eq!(answer(&exchange(address, "")).status, 408);
    host.stop(LIMIT).unwrap();
}

#[test]
fn a_connection_that_is_idle_after_a_request_is_closed_without_a_word() {
    let (mut host, address) = started(|_| {});
    assert_eq!(answer(&exchange(address, request("/livez", ""))).status, 200);
    host.stop(LIMIT).unwrap();
}

// 186
#[test]
fn a_header_over_8_kib_gets_431_and_a_clean_end_of_the_connection() {
    let (mut host, address) = started(|_| {});
    let mut stream = connect(address);
    stream.write_all(format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(60_000)).as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("the server reads what still comes, so there is no reset");
    assert_eq!(answer(&text).status, 431);
    assert_eq!(answer(&exchange(address, format!("GET /{} HTTP/1.1\r\n", "a".repeat(9_000)))).status, 431);
    host.stop(LIMIT).unwrap();
}

// 186
#[test]
fn of_1000_connections_64_are_held_and_the_others_get_503() {
    let (mut host, address) = started(|_| {});
    let mut held: Vec<TcpStream> = (0..64).map(|_| connect(address)).collect();
    for stream in &mut held {
        // Answered, so it has its place; then a request that never ends, so it keeps it.
        stream.write_all(request("/livez", "").as_bytes()).unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        stream.write_all(b"GET ").unwrap();
    }
    let mut refused = 0;
    for _ in 64..1_000 {
        let answer = answer(&exchange(address, request("/livez", "")));
        match answer.status {
            503 => refused += 1,
            200 => break, // the time of the 64 is over
            other => panic!("{other}"),
        }
    }
    assert!(refused > 0);
    drop(held);
    eventually(|| (get(address, "/livez").status == 200).then_some(()));
    host.stop(LIMIT).unwrap();
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let (mut host, address) = started(|_| {});
    let paths = ["/livez", "/nothing", "/startupz", "/livez", "/readyz"];
    let mut text: String = paths.iter().map(|path| request(path, "")).collect();
    text += &request("/livez", "Connection: close\r\n");
    text += &request("/metrics", ""); // after the close: never answered
    let statuses: Vec<(u16, String)> =
        answers(&exchange(address, text)).into_iter().map(|a| (a.status, a.body)).collect();
    assert_eq!(statuses.len(), 6);
    assert_eq!((&*statuses[0].1, statuses[1].0, &*statuses[2].1), ("live\n", 404, "started\n"));
    assert_eq!((&*statuses[4].1, &*statuses[5].1), ("ready\n", "live\n"));
    host.stop(LIMIT).unwrap();
}

// 186
#[test]
fn a_body_is_never_taken_for_a_request() {
    let (mut host, address) = started(|_| {});
    let inner = request("/livez", "");
    for (status, head) in [
        (405, format!("POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\n\r\n", inner.len())),
        (405, "DELETE / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".to_owned()),
        (400, request("/", &format!("Content-Length: {}\r\n", inner.len()))),
        (400, request("/", "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n")),
        (400, request("/", "Content-Length: 0\r\nContent-Length: 100\r\n")),
        (400, request("/", "Content-Length: +0\r\n")),
        (505, request("/ x", "")),
        (400, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length : 5\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nA: b\r\n Content-Length: 5\r\n\r\n".to_owned()),
    ] {
        let refused = answer(&exchange(address, head.clone() + &inner));
        assert_eq!((refused.status, refused.header("connection")), (status, Some("close")), "{head}");
        assert_eq!(refused.header("allow"), (status == 405).then_some("GET, HEAD"));
    }
    host.stop(LIMIT).unwrap();
}

// 184
#[test]
fn a_foreign_host_is_refused_and_an_allowed_one_is_answered() {
    let server = StatusServer::bind("127.0.0.1:0").allow_host("status.example");
    let (mut host, address) = started_with(server, |_| {});
    let get = |line: &str, host: &str| {
        answer(&exchange(address, format!("GET {line} HTTP/1.1\r\n{host}Connection: close\r\n\r\n"))).status
    };
    for host in ["127.0.0.1", "[::1]:80", "localhost:9090", "status.example", "Status.Example:80", "10.0.0.7:9090"] {
        assert_eq!(get("/livez", &format!("Host: {host}\r\n")), 200, "{host}");
    }
    for host in ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", ""] {
        for path in ["/", "/livez", "/status.json", "/nothing"] {
            assert_eq!(get(path, &format!("Host: {host}\r\n")), 421, "{host}");
        }
    }
    assert_eq!(get("http://evil.example/livez", "Host: 127.0.0.1\r\n"), 421);
    assert_eq!(get("http://localhost/livez", "Host: 127.0.0.1\r\n"), 200);
    assert_eq!(get("/livez", ""), 400);
    assert_eq!(get("/livez", "Host: 127.0.0.1\r\nHost: evil.example\r\n"), 400);
    host.stop(LIMIT).unwrap();
}

#[test]
fn http_1_0_is_answered_and_closed_unless_it_asks_for_more() {
    let (mut host, address) = started(|_| {});
    let closed = answer(&exchange(address, "GET /livez HTTP/1.0\r\n\r\n"));
    assert_eq!((closed.status, closed.header("connection")), (200, Some("close")));
    let kept = "GET /livez HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\nGET /readyz HTTP/1.0\r\n\r\n";
    let both = answers(&exchange(address, kept));
    assert_eq!((both[0].header("connection"), both[1].header("connection")), (Some("keep-alive"), Some("close")));
    assert_eq!(answer(&exchange(address, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")).status, 505);
    assert_eq!(answer(&exchange(address, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice())).status, 400);
    host.stop(LIMIT).unwrap();
}

#[test]
fn a_half_closed_client_gets_its_answer() {
    let (mut host, address) = started(|_| {});
    let answered = answer(&exchange_half_closed(address, &request("/livez", "")));
    assert_eq!((answered.status, &*answered.body), (200, "live\n"));
    assert_eq!(answer(&exchange_half_closed(address, "GET /livez HT")).status, 400);
    assert_eq!(exchange_half_closed(address, ""), "");
    host.stop(LIMIT).unwrap();
}

/// Sends requests without reading an answer, until the server does not take any more.
fn stuff(stream: &mut TcpStream) {
    stream.set_nonblocking(true).unwrap();
    let requests = request("/", "").repeat(100);
    let mut taken_at = std::time::Instant::now();
    while taken_at.elapsed() < Duration::from_millis(300) {
        match stream.write(requests.as_bytes()) {
            Ok(_) => taken_at = std::time::Instant::now(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(Duration::from_millis(5)),
            Err(error) => panic!("{error}"),
        }
    }
    stream.set_nonblocking(false).unwrap();
}

// 185
#[test]
fn a_client_that_reads_nothing_is_dropped_and_holds_up_nobody() {
    let (mut host, address) = started(|host| (0..100).for_each(|n| _ = host.add(format!("s{n}"), idle())));
    let mut greedy = connect(address);
    stuff(&mut greedy);
    assert_eq!(get(address, "/livez").status, 200);
    // The next write ends when the server has closed the connection.
    let requests = request("/", "").repeat(100_000);
    assert!(greedy.write_all(requests.as_bytes()).is_err());
    host.stop(LIMIT).unwrap();
}

// 183
#[test]
fn a_stop_ends_clients_that_wait_that_send_and_that_do_not_read() {
    let (mut host, address) = started(|host| (0..100).for_each(|n| _ = host.add(format!("s{n}"), idle())));
    let mut greedy = connect(address);
    stuff(&mut greedy);
    let mut clients: Vec<TcpStream> = (0..10).map(|_| connect(address)).collect();
    for stream in &mut clients {
        stream.write_all(request("/livez", "").as_bytes()).unwrap();
        stream.read_exact(&mut [0; 12]).unwrap();
    }
    clients.iter_mut().take(5).for_each(|stream| stream.write_all(b"GET / HTTP/1.1\r\nHo").unwrap());
    // Less than a request may take: had the stop waited for one, the service would be hung.
    host.stop(Duration::from_secs(4)).unwrap();
    for stream in &mut clients {
        read_to_end(stream); // returns: the connection is closed
    }
    assert!(TcpStream::connect(address).is_err());
}
