//! For which host names the server answers.
//!
//! A web page of another site can make a browser send requests to `127.0.0.1`, and if the site's own name resolves to
//! `127.0.0.1` (DNS rebinding), it can read the answers. The browser then sends the site's name in the header `Host`.
//! So the server answers only for addresses, for `localhost`, and for names that the program allowed.

use std::net::{Ipv4Addr, Ipv6Addr};

#[derive(Clone, Debug, Default)]
pub(super) struct AllowedHosts(Vec<String>);

impl AllowedHosts {
    pub(super) fn add(&mut self, name: String) {
        self.0.push(name);
    }

    /// Returns `true` if the server answers for `host`, the value of a header `Host`, with or without a port.
    pub(super) fn allow(&self, host: &str) -> bool {
        let host = host.trim_ascii();
        let Some(name) = without_port(host) else { return false };
        if let Some(address) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            return address.parse::<Ipv6Addr>().is_ok();
        }
        let name = without_dot(name);
        name.parse::<Ipv4Addr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self
                .0
                .iter()
                .any(|allowed| without_dot(allowed).eq_ignore_ascii_case(name) || allowed.eq_ignore_ascii_case(host))
    }
}

/// The host without its port. Returns `None` if what follows the host is not a port.
fn without_port(host: &str) -> Option<&str> {
    let end_of_name = if host.starts_with('[') { host.find(']')? + 1 } else { host.find(':').unwrap_or(host.len()) };
    let (name, port) = host.split_at(end_of_name);
    let is_port = port.is_empty() || port[1..].bytes().all(|byte| byte.is_ascii_digit()) && port.starts_with(':');
    is_port.then_some(name)
}

/// `example.org.` is `example.org`.
fn without_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_localhost_and_allowed_names_are_answered_and_nothing_else() {
        let mut hosts = AllowedHosts::default();
        hosts.add("status.example.org".to_owned());
        hosts.add("Proxy.example:8443".to_owned());
        for host in [
            "127.0.0.1",
            "127.0.0.1:9090",
            "10.1.2.3:80",
            "[::1]",
            "[fe80::1]:9090",
            "localhost",
            "LocalHost:1",
            "localhost.",
            "STATUS.example.org:443",
            "status.example.org.",
            "proxy.example:8443",
        ] {
            assert!(hosts.allow(host), "{host}");
        }
        for host in [
            "",
            ":80",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1:80@evil.example",
            "127.1",
            "::1",
            "[::1",
            "[evil.example]",
            "[::1]evil.example",
            "localhost:80x",
            "xstatus.example.org",
            "proxy.example:80",
            "[é",
        ] {
            assert!(!hosts.allow(host), "{host}");
        }
    }
}
