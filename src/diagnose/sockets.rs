//! Which socket has which addresses, from the tables of `/proc/…/net`.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// As much is read of each table: a server has other things to do when it stops than to read of its millionth
/// connection. A socket that stands beyond is called just that.
const MOST: u64 = 4 << 20;

/// Reads off a line of a table a socket's number, and what it is: of what it is called, and the line.
type Reader = fn(&str, &str) -> Option<(u64, String)>;

/// The tables, each with what its sockets are called. Where one socket is in two, the first has it.
const TABLES: [(&str, &str, Reader); 5] = [
    ("tcp", "tcp", internet),
    ("tcp6", "tcp", internet),
    ("udp", "udp", internet),
    ("udp6", "udp", internet),
    ("unix", "unix socket", unix),
];

/// What is known of the sockets of a network namespace, by their numbers.
pub(super) struct Sockets(HashMap<u64, String>);

impl Sockets {
    /// Reads the tables in the folder `net`, those that are there.
    pub(super) fn read(net: &Path) -> Self {
        let mut sockets = HashMap::new();
        for (file, kind, read) in TABLES {
            for (number, text) in table(&net.join(file)).lines().skip(1).filter_map(|line| read(kind, line)) {
                sockets.entry(number).or_insert(text);
            }
        }
        Sockets(sockets)
    }

    /// Empty tables.
    pub(super) fn none() -> Self {
        Sockets(HashMap::new())
    }

    pub(super) fn get(&self, number: u64) -> Option<&str> {
        self.0.get(&number).map(String::as_str)
    }
}

/// The whole lines of a table, as far as they are read. The path of a unix socket may be no UTF-8.
fn table(file: &Path) -> String {
    let mut bytes = Vec::new();
    // What could be read before an error is as good as ever.
    _ = File::open(file).map(|file| file.take(MOST).read_to_end(&mut bytes));
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').unwrap_or(0);
    String::from_utf8_lossy(&bytes[..whole]).into_owned()
}

/// `0: 0100007F:1F90 00000000:0000 0A …`: a number, from where, to where, the state; the tenth is the socket's number.
fn internet(kind: &str, line: &str) -> Option<(u64, String)> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let number = words.get(9)?.parse().ok().filter(|&number| number != 0)?;
    let (local, remote) = (address(words[1])?, address(words[2])?);
    let text = match words[3] {
        "0A" if kind == "tcp" => format!("listening {kind} {local}"),
        _ => between(kind, local, Some(remote).filter(|remote| remote.port() != 0)),
    };
    Some((number, text))
}

/// What a socket between these is called.
pub(super) fn between(kind: &str, local: SocketAddr, remote: Option<SocketAddr>) -> String {
    remote.map_or_else(|| format!("{kind} {local}"), |remote| format!("{kind} {local} -> {remote}"))
}

/// `0100007F:1F90`: words of four bytes as the machine has them in memory, and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let word = |at: usize| Some(u32::from_str_radix(ip.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes());
    let ip = match ip.len() {
        8 => IpAddr::from(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(words.concat()).ok()?))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

/// `0000: 00000002 00000000 00010000 0001 01 1234 /run/it`: the fourth are flags, the seventh is the socket's number,
/// then comes the path, if there is one. One that begins with `@` is no file.
fn unix(kind: &str, line: &str) -> Option<(u64, String)> {
    const LISTENS: u32 = 1 << 16;
    let flags = u32::from_str_radix(line.split_ascii_whitespace().nth(3)?, 16).ok()?;
    let rest = line.splitn(7, ' ').nth(6)?.trim_start();
    let (number, path) = rest.split_once(' ').unwrap_or((rest, ""));
    let listening = if flags & LISTENS == 0 { "" } else { "listening " };
    let space = if path.is_empty() { "" } else { " " };
    Some((number.parse().ok()?, format!("{listening}{kind}{space}{path}")))
}

#[cfg(all(test, target_endian = "little"))]
mod tests {
    use super::{MOST, Sockets, internet, unix};
    use std::fs;

    const TCP: &str = "   0: 0100007F:AD90 0100007F:A5AF 01 00000000:00000000 00:00000000 00000000     0        0 77 1 \
        0000000033f9a403 20 4 30 10 -1";
    const LISTENING: &str = "   1: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A \
        00000000:00000000 00:00000000 00000000     0        0 78 1 0000000033f9a403 100 0 0 10 0";
    const UDP: &str = "  99: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 79 2 \
        0000000033f9a403 0";
    const UNIX: &str = "0000000067f5dd0b: 00000002 00000000 00010000 0001 01    80 /run/a b.sock";

    #[test]
    fn a_line_of_a_table_is_read() {
        let said = |number, text: &str| Some((number, text.to_owned()));
        assert_eq!(internet("tcp", TCP), said(77, "tcp 127.0.0.1:44432 -> 127.0.0.1:42415"));
        assert_eq!(internet("tcp", LISTENING), said(78, "listening tcp [::1]:8080"));
        assert_eq!(internet("udp", UDP), said(79, "udp 127.0.0.1:53"));
        assert_eq!(unix("unix socket", UNIX), said(80, "listening unix socket /run/a b.sock"));
        let abstract_one = "0: 00000003 00000000 00000000 0001 03 123456 @name";
        assert_eq!(unix("unix socket", abstract_one), said(123_456, "unix socket @name"));
        assert_eq!(unix("unix socket", "0: 00000003 00000000 00000000 0001 03 123456"), said(123_456, "unix socket"));
    }

    #[test]
    fn of_what_is_no_line_of_a_table_nothing_is_read() {
        assert_eq!(internet("tcp", &TCP.replace(" 77 ", " 0 ")), None, "a connection that nobody has any more");
        for line in ["", "garbage", "0: 1 2 3 4 5 6 7 8 9 10", &TCP.replace("0100007F", "€€€"), &TCP.replace(':', " ")]
        {
            assert_eq!(internet("tcp", line), None, "{line}");
        }
        for line in ["", "garbage", "0: 1 2 3 4 5", "0: 00000002 00000000 flags 0001 01 80", "0: 1 2 3 4 5 €"] {
            assert_eq!(unix("unix socket", line), None, "{line}");
        }
        for (line, read) in [(TCP, internet as super::Reader), (LISTENING, internet), (UNIX, unix)] {
            (0..line.len()).for_each(|end| _ = read("socket", &line[..end])); // nor is it a reason to panic
        }
    }

    #[test]
    fn the_tables_that_are_there_are_read_as_far_as_they_are_whole() {
        let net = tempfile::tempdir().unwrap();
        let heading = "  sl  local_address\n";
        assert_eq!(Sockets::read(net.path()).get(77), None);
        fs::write(net.path().join("tcp"), format!("{heading}{TCP}\n{}", TCP.replace(" 77 ", " 7712 "))).unwrap();
        // A unix socket's path may have a line's end in it, and no letters at all.
        let forged = UNIX.replace("a b", &format!("\n{}", UNIX.replace("80", "77")));
        fs::write(net.path().join("unix"), [forged.as_bytes(), b"\xff\n"].concat()).unwrap();
        let sockets = Sockets::read(net.path());
        assert_eq!(sockets.get(77), Some("tcp 127.0.0.1:44432 -> 127.0.0.1:42415"));
        assert_eq!(sockets.get(7_712), None, "the line has no end");
    }

    #[test]
    fn of_a_huge_table_the_first_part_is_read() {
        let net = tempfile::tempdir().unwrap();
        let lines = (1..).map(|number| TCP.replace(" 77 ", &format!(" {number} ")) + "\n");
        let text: String = ["\n".to_owned()].into_iter().chain(lines.take(40_000)).collect();
        assert!(text.len() as u64 > MOST);
        fs::write(net.path().join("tcp"), &text).unwrap();
        let sockets = Sockets::read(net.path());
        let read = text[..MOST as usize].lines().count() as u64 - 2; // without the heading, and what is cut
        assert!(sockets.get(read).is_some() && sockets.get(read + 1).is_none());
    }
}
