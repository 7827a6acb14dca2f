//! Describes sockets by their addresses, from the tables in `/proc/…/net`.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// How many bytes of each table are read. Reading the entry of the millionth connection would take too long during a
/// shutdown. A socket beyond this limit is described as `socket`.
const MAX_TABLE_BYTES: u64 = 4 << 20;

/// Parses a line of a table. The arguments are the kind of socket and the line. Returns the inode of the socket and its
/// description.
type LineParser = fn(&str, &str) -> Option<(u64, String)>;

/// The tables: file name, kind of socket, and parser. If two tables have the same socket, the first one is used.
const TABLES: [(&str, &str, LineParser); 5] = [
    ("tcp", "tcp", parse_inet),
    ("tcp6", "tcp", parse_inet),
    ("udp", "udp", parse_inet),
    ("udp6", "udp", parse_inet),
    ("unix", "unix socket", parse_unix),
];

/// The descriptions of the sockets of a network namespace, by inode.
pub(super) struct Sockets(HashMap<u64, String>);

impl Sockets {
    /// Reads the tables in the folder `net`. A table that does not exist is skipped.
    pub(super) fn read(net: &Path) -> Self {
        let mut sockets = HashMap::new();
        for (file, kind, parse) in TABLES {
            for (inode, text) in read_table(&net.join(file)).lines().skip(1).filter_map(|line| parse(kind, line)) {
                sockets.entry(inode).or_insert(text);
            }
        }
        Sockets(sockets)
    }

    /// Creates empty tables.
    pub(super) fn none() -> Self {
        Sockets(HashMap::new())
    }

    pub(super) fn get(&self, inode: u64) -> Option<&str> {
        self.0.get(&inode).map(String::as_str)
    }
}

/// Reads the complete lines of a table, up to `MAX_TABLE_BYTES`. The path of a unix socket may be invalid UTF-8.
fn read_table(file: &Path) -> String {
    let mut bytes = Vec::new();
    // If reading fails in the middle, the lines before the error are still valid.
    _ = File::open(file).map(|file| file.take(MAX_TABLE_BYTES).read_to_end(&mut bytes));
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').unwrap_or(0);
    String::from_utf8_lossy(&bytes[..whole]).into_owned()
}

/// Parses `0: 0100007F:1F90 00000000:0000 0A …`: a line number, the local address, the remote address and the state. The
/// tenth field is the inode.
fn parse_inet(kind: &str, line: &str) -> Option<(u64, String)> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let inode = words.get(9)?.parse().ok().filter(|&inode| inode != 0)?;
    let (local, remote) = (parse_address(words[1])?, parse_address(words[2])?);
    let text = match words[3] {
        "0A" if kind == "tcp" => format!("listening {kind} {local}"),
        _ => describe_connection(kind, local, Some(remote).filter(|remote| remote.port() != 0)),
    };
    Some((inode, text))
}

/// Describes an internet socket by its addresses.
pub(super) fn describe_connection(kind: &str, local: SocketAddr, remote: Option<SocketAddr>) -> String {
    remote.map_or_else(|| format!("{kind} {local}"), |remote| format!("{kind} {local} -> {remote}"))
}

/// Parses `0100007F:1F90`: the address as 32-bit words in the byte order of the machine, and the port.
fn parse_address(text: &str) -> Option<SocketAddr> {
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

/// Parses `0000: 00000002 00000000 00010000 0001 01 1234 /run/it`. The fourth field has the flags, and the seventh is the
/// inode. The path follows, if the socket has one; a path that begins with `@` is abstract, and not a file.
fn parse_unix(kind: &str, line: &str) -> Option<(u64, String)> {
    const LISTENS: u32 = 1 << 16;
    let flags = u32::from_str_radix(line.split_ascii_whitespace().nth(3)?, 16).ok()?;
    let rest = line.splitn(7, ' ').nth(6)?.trim_start();
    let (inode, path) = rest.split_once(' ').unwrap_or((rest, ""));
    let listening = if flags & LISTENS == 0 { "" } else { "listening " };
    let space = if path.is_empty() { "" } else { " " };
    Some((inode.parse().ok()?, format!("{listening}{kind}{space}{path}")))
}

#[cfg(all(test, target_endian = "little"))]
mod tests {
    use super::{MAX_TABLE_BYTES, Sockets, parse_inet, parse_unix};
    use std::fs;

    const TCP: &str = "   0: 0100007F:AD90 0100007F:A5AF 01 00000000:00000000 00:00000000 00000000     0        0 77 1 \
        0000000033f9a403 20 4 30 10 -1";
    const LISTENING: &str = "   1: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A \
        00000000:00000000 00:00000000 00000000     0        0 78 1 0000000033f9a403 100 0 0 10 0";
    const UDP: &str = "  99: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 79 2 \
        0000000033f9a403 0";
    const UNIX: &str = "0000000067f5dd0b: 00000002 00000000 00010000 0001 01    80 /run/a b.sock";

    #[test]
    fn each_kind_of_table_line_is_parsed() {
        let expected = |number, text: &str| Some((number, text.to_owned()));
        assert_eq!(parse_inet("tcp", TCP), expected(77, "tcp 127.0.0.1:44432 -> 127.0.0.1:42415"));
        assert_eq!(parse_inet("tcp", LISTENING), expected(78, "listening tcp [::1]:8080"));
        assert_eq!(parse_inet("udp", UDP), expected(79, "udp 127.0.0.1:53"));
        assert_eq!(parse_unix("unix socket", UNIX), expected(80, "listening unix socket /run/a b.sock"));
        let abstract_one = "0: 00000003 00000000 00000000 0001 03 123456 @name";
        assert_eq!(parse_unix("unix socket", abstract_one), expected(123_456, "unix socket @name"));
        assert_eq!(
            parse_unix("unix socket", "0: 00000003 00000000 00000000 0001 03 123456"),
            expected(123_456, "unix socket")
        );
    }

    #[test]
    fn an_invalid_table_line_is_skipped_without_a_panic() {
        assert_eq!(parse_inet("tcp", &TCP.replace(" 77 ", " 0 ")), None, "no process holds this connection any more");
        for line in ["", "garbage", "0: 1 2 3 4 5 6 7 8 9 10", &TCP.replace("0100007F", "€€€"), &TCP.replace(':', " ")]
        {
            assert_eq!(parse_inet("tcp", line), None, "{line}");
        }
        for line in ["", "garbage", "0: 1 2 3 4 5", "0: 00000002 00000000 flags 0001 01 80", "0: 1 2 3 4 5 €"] {
            assert_eq!(parse_unix("unix socket", line), None, "{line}");
        }
        for (line, read) in [(TCP, parse_inet as super::LineParser), (LISTENING, parse_inet), (UNIX, parse_unix)] {
            (0..line.len()).for_each(|end| _ = read("socket", &line[..end])); // must not panic
        }
    }

    #[test]
    fn missing_tables_and_incomplete_lines_are_skipped() {
        let net = tempfile::tempdir().unwrap();
        let heading = "  sl  local_address\n";
        assert_eq!(Sockets::read(net.path()).get(77), None);
        fs::write(net.path().join("tcp"), format!("{heading}{TCP}\n{}", TCP.replace(" 77 ", " 7712 "))).unwrap();
        // The path of a unix socket may contain line feeds and invalid UTF-8.
        let forged = UNIX.replace("a b", &format!("\n{}", UNIX.replace("80", "77")));
        fs::write(net.path().join("unix"), [forged.as_bytes(), b"\xff\n"].concat()).unwrap();
        let sockets = Sockets::read(net.path());
        assert_eq!(sockets.get(77), Some("tcp 127.0.0.1:44432 -> 127.0.0.1:42415"));
        assert_eq!(sockets.get(7_712), None, "the line is incomplete");
    }

    #[test]
    fn only_the_first_part_of_a_huge_table_is_read() {
        let net = tempfile::tempdir().unwrap();
        let lines = (1..).map(|number| TCP.replace(" 77 ", &format!(" {number} ")) + "\n");
        let text: String = ["\n".to_owned()].into_iter().chain(lines.take(40_000)).collect();
        assert!(text.len() as u64 > MAX_TABLE_BYTES);
        fs::write(net.path().join("tcp"), &text).unwrap();
        let sockets = Sockets::read(net.path());
        let read = text[..MAX_TABLE_BYTES as usize].lines().count() as u64 - 2; // without the heading and the truncated line
        assert!(sockets.get(read).is_some() && sockets.get(read + 1).is_none());
    }
}
