//! HTTP/1.1 as far as the status server speaks it: the head of a request, and a response.
//!
//! Only GET and HEAD without a body exist here. The server refuses a request with a body and closes the connection
//! after it, so no byte of a body is ever read as another request.

use super::calendar::http_date;
use super::hosts::AllowedHosts;
use crate::util::sync::system_now;
use httparse::{EMPTY_HEADER, Error as ParseError, Header, Status};

/// The longest head of a request: request line and headers. A browser sends less than 1 KiB.
pub(super) const HEAD_LIMIT: usize = 8 * 1_024;

/// The most headers of a request. A browser sends about 15.
const MOST_HEADERS: usize = 64;

pub(super) const TEXT: &str = "text/plain; charset=utf-8";

/// A request that the server answers.
#[derive(Debug, PartialEq)]
pub(super) struct Request {
    pub(super) path: String,
    /// The part after the `?`, or nothing.
    pub(super) query: String,
    /// HEAD: the response has no body.
    pub(super) head_only: bool,
    /// The connection stays open after the response.
    pub(super) keep_alive: bool,
}

/// The beginning of a buffer.
pub(super) enum Parsed {
    /// The head is not complete. More bytes are needed.
    Partial,
    /// A request, and the length of its head.
    Complete(Request, usize),
    /// Something that gets this response, after which the connection closes.
    Refused(Response),
}

/// Reads the head of a request from the beginning of `buffer`.
pub(super) fn parse(buffer: &[u8], hosts: &AllowedHosts) -> Parsed {
    let mut headers = [EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(buffer) {
        Ok(Status::Partial) if buffer.len() < HEAD_LIMIT => return Parsed::Partial,
        Ok(Status::Complete(length)) if length <= HEAD_LIMIT => length,
        Ok(_) => return Parsed::Refused(Response::error(431, "the header is longer than 8 KiB")),
        Err(error) => return Parsed::Refused(parse_error(error)),
    };
    match check(&request, hosts) {
        Ok(request) => Parsed::Complete(request, length),
        Err(response) => Parsed::Refused(response),
    }
}

fn parse_error(error: ParseError) -> Response {
    match error {
        ParseError::TooManyHeaders => Response::error(431, "the request has more than 64 headers"),
        ParseError::Version => Response::error(505, "only HTTP/1.1 and HTTP/1.0 are supported"),
        error => Response::error(400, &format!("not an HTTP request: {error}")),
    }
}

/// Applies the rules for a request. The host is checked first, so that a page of another site learns nothing.
fn check(request: &httparse::Request<'_, '_>, hosts: &AllowedHosts) -> Result<Request, Response> {
    let is_http_1_1 = request.version == Some(1);
    let (authority, target) = split_target(request.path.unwrap_or_default())?;
    for host in hosts_of(request.headers, is_http_1_1)?.into_iter().chain(authority) {
        if !hosts.allow(host) {
            log::debug!(target: "hosted::service", "status: refused a request for another host");
            let text = "this server does not answer for that host name; allow it with `StatusServer::allow_host`";
            return Err(Response::error(421, text));
        }
    }
    let head_only = match request.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Err(Response { allow: true, ..Response::error(405, "only GET and HEAD are supported") }),
    };
    let mut bodies = headers(request.headers, "content-length").filter(|length| length.trim_ascii() != b"0");
    if bodies.next().is_some() || headers(request.headers, "transfer-encoding").next().is_some() {
        return Err(Response::error(400, "a request with a body is not supported"));
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let keep_alive = stays_open(request.headers, is_http_1_1);
    Ok(Request { path: path.to_owned(), query: query.to_owned(), head_only, keep_alive })
}

/// Splits a request target: the host that it names, if it is a whole URL, and the path with the query.
fn split_target(target: &str) -> Result<(Option<&str>, &str), Response> {
    if target.starts_with('/') {
        return Ok((None, target));
    }
    let is_http = target.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"));
    if !is_http {
        return Err(Response::error(400, "the request target is not a path"));
    }
    let rest = &target[7..];
    let path = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(path);
    Ok((Some(authority), if path.is_empty() { "/" } else { path }))
}

/// The host of the request. HTTP/1.0 has none; no browser speaks it.
fn hosts_of<'a>(all: &[Header<'a>], is_http_1_1: bool) -> Result<Option<&'a str>, Response> {
    let mut hosts = headers(all, "host");
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => match std::str::from_utf8(host) {
            Ok(host) => Ok(Some(host)),
            Err(_) => Err(Response::error(400, "the header `Host` is not text")),
        },
        (None, _) if !is_http_1_1 => Ok(None),
        (None, _) => Err(Response::error(400, "the header `Host` is missing")),
        (Some(_), Some(_)) => Err(Response::error(400, "the request has two `Host` headers")),
    }
}

fn stays_open(all: &[Header<'_>], is_http_1_1: bool) -> bool {
    let says = |word: &str| {
        let options = headers(all, "connection").flat_map(|value| value.split(|byte| *byte == b','));
        options.map(<[u8]>::trim_ascii).any(|option| option.eq_ignore_ascii_case(word.as_bytes()))
    };
    !says("close") && (is_http_1_1 || says("keep-alive"))
}

fn headers<'a>(all: &[Header<'a>], name: &str) -> impl Iterator<Item = &'a [u8]> {
    all.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
}

/// A response, before it is known whether the connection stays open.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) body: String,
    /// The methods that the server supports stand in it.
    allow: bool,
}

/// Headers of every response. Nothing is cached, framed, sniffed or readable by another site.
const FIXED_HEADERS: &str = "Cache-Control: no-store\r\n\
    X-Content-Type-Options: nosniff\r\n\
    X-Frame-Options: DENY\r\n\
    Referrer-Policy: no-referrer\r\n\
    Cross-Origin-Resource-Policy: same-origin\r\n\
    Cross-Origin-Opener-Policy: same-origin\r\n";

impl Response {
    pub(super) fn new(status: u16, content_type: &'static str, body: String) -> Self {
        Response { status, content_type, body, allow: false }
    }

    /// A refusal, with a line of text for a person.
    pub(super) fn error(status: u16, text: &str) -> Self {
        Response::new(status, TEXT, format!("{text}\n"))
    }

    /// The bytes of the response, under the content security policy `policy`.
    pub(super) fn to_bytes(&self, head_only: bool, keep_alive: bool, policy: &str) -> Vec<u8> {
        let Response { status, content_type, body, allow } = self;
        let (reason, length, date) = (reason(*status), body.len(), http_date(system_now()));
        let allow = if *allow { "Allow: GET, HEAD\r\n" } else { "" };
        let connection = if keep_alive { "keep-alive" } else { "close" };
        let mut text = format!(
            "HTTP/1.1 {status} {reason}\r\nDate: {date}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\
             Connection: {connection}\r\n{allow}{FIXED_HEADERS}Content-Security-Policy: {policy}\r\n\r\n"
        );
        if !head_only {
            text += body;
        }
        text.into_bytes()
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        421 => "Misdirected Request",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

/// The values of the parameter `name` in a query, decoded.
pub(super) fn parameters(query: &str, name: &str) -> Vec<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key == name).map(|(_, value)| decode(value)).collect()
}

/// Text from a query: `+` is a space, `%2F` is a byte.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = tail.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        if let Some(byte) = escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            bytes.push(byte);
            rest = &tail[2..];
        } else {
            bytes.push(if *first == b'+' { b' ' } else { *first });
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Text for a query or a fragment: everything but letters, digits and `-_.~` as `%2F`.
pub(super) fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Request, u16> {
        match parse(text.as_bytes(), &AllowedHosts::default()) {
            Parsed::Complete(request, length) if length == text.len() => Ok(request),
            Parsed::Complete(..) => Err(0),
            Parsed::Partial => Err(1),
            Parsed::Refused(response) => Err(response.status),
        }
    }

    #[test]
    fn a_request_is_its_path_its_query_and_whether_the_connection_stays_open() {
        let request = parsed("GET /status.json?service=a%2Fb HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
        assert_eq!((&*request.path, &*request.query), ("/status.json", "service=a%2Fb"));
        assert!(request.keep_alive && !request.head_only);
        assert!(!parsed("GET / HTTP/1.1\r\nHost: [::1]:80\r\nConnection: x, Close\r\n\r\n").unwrap().keep_alive);
        assert!(parsed("HEAD http://localhost HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap().head_only);
        assert!(!parsed("GET / HTTP/1.0\r\n\r\n").unwrap().keep_alive);
        assert!(parsed("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").unwrap().keep_alive);
        assert!(parsed("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n").is_ok());
    }

    #[test]
    fn a_request_that_breaks_a_rule_gets_the_status_of_that_rule() {
        for (status, text) in [
            (1, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"),
            (400, "GET / HTTP/1.1\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: 127.0.0.1\r\n\r\n"),
            (400, "GET * HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
            (400, "\u{1}\u{2}\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nContent-Length: 7\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"),
            (405, "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n\r\n"),
            (421, "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
            (421, "GET http://evil.example/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
            (421, "POST / HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
            (505, "PRI * HTTP/2.0\r\n\r\n"),
        ] {
            assert_eq!(parsed(text), Err(status), "{text:?}");
        }
    }

    #[test]
    fn a_head_of_8_kib_is_read_and_a_longer_one_is_refused() {
        let of_length = |length: usize| {
            let begin = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ";
            format!("{begin}{}\r\n\r\n", "a".repeat(length - begin.len() - 4))
        };
        assert!(parsed(&of_length(HEAD_LIMIT)).is_ok());
        assert_eq!(parsed(&of_length(HEAD_LIMIT + 1)), Err(431));
        assert_eq!(parsed(&format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(HEAD_LIMIT))), Err(431));
        assert_eq!(parsed(&format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(65))), Err(431));
    }

    #[test]
    fn a_name_comes_back_from_a_query_as_it_was_put_there() {
        let name = "group/ü & <b>%2F+\u{1f980}";
        assert_eq!(parameters(&format!("x=1&service={}&service=b", encode(name)), "service"), [name, "b"]);
        assert_eq!(parameters("service=%&service=%zz&service=a+b&service", "service"), ["%", "%zz", "a b"]);
    }
}
