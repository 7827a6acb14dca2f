//! Probes one path as the kubelet does, and compares each answer with the truth.

use crate::truth::{Health, Known, Truth};
use hosted::{HostHandle, ServiceState};
use std::collections::BTreeSet;
use std::fmt;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// An answer that takes longer is missing.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(crate) struct Counts {
    answers: u64,
    /// The answers that could be compared: nothing changed between the request and the answer.
    judged: u64,
    of_those_503: u64,
    missing: Vec<String>,
    wrong: Vec<String>,
    slowest: Duration,
    during_the_stop: u64,
}

pub(crate) struct Client {
    path: &'static str,
    address: SocketAddr,
    truths: Vec<Arc<Truth>>,
    handle: HostHandle,
    is_stopping: Arc<AtomicBool>,
    counts: Counts,
    /// The host has answered that it is not ready since it was asked to stop. From then on it never is.
    has_drained: bool,
}

impl Client {
    pub(crate) fn new(
        path: &'static str,
        address: SocketAddr,
        truths: Vec<Arc<Truth>>,
        handle: HostHandle,
        is_stopping: Arc<AtomicBool>,
    ) -> Self {
        Client { path, address, truths, handle, is_stopping, counts: Counts::default(), has_drained: false }
    }

    /// Probes until the server has stopped.
    pub(crate) fn probe_until_refused(mut self, period: Duration) -> Counts {
        let mut next = Instant::now();
        loop {
            let is_stopping = self.is_stopping.load(Ordering::SeqCst);
            let (before, begin) = (self.known(), Instant::now());
            let answer = get(self.address, self.path);
            let after = self.known();
            self.counts.slowest = self.counts.slowest.max(begin.elapsed());
            match answer {
                Err(_) if self.only_the_server_is_left() => return self.counts,
                Err(error) => self.counts.missing.push(error.to_string()),
                Ok((status, names)) if is_stopping => self.judge_stop(status, &names),
                Ok((status, names)) => {
                    self.counts.answers += 1;
                    // A stop that began during the request can have changed the answer.
                    if before == after && !self.is_stopping.load(Ordering::SeqCst) {
                        self.judge(status, &names, &after);
                    }
                }
            }
            next += period;
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }

    fn known(&self) -> Vec<Known> {
        self.truths.iter().map(|truth| truth.known()).collect()
    }

    fn only_the_server_is_left(&self) -> bool {
        let others = self.handle.services().into_iter().skip(1);
        self.is_stopping.load(Ordering::SeqCst) && others.into_iter().all(|other| other.state == ServiceState::Stopped)
    }

    fn judge(&mut self, status: u16, names: &BTreeSet<String>, known: &[Known]) {
        let Some(healths) = known.iter().map(|known| known.health).collect::<Option<Vec<Health>>>() else { return };
        let culprits = self.truths.iter().zip(healths).filter(|(truth, health)| match self.path {
            "/livez" => *health == Health::Stalled,
            "/readyz" => *health != Health::Healthy && !truth.is_ignored(),
            _ => false,
        });
        let expected: BTreeSet<String> = culprits.map(|(truth, _)| truth.name().to_owned()).collect();
        self.counts.judged += 1;
        self.counts.of_those_503 += u64::from(status == 503);
        if (status == 200) != expected.is_empty() || *names != expected {
            self.counts.wrong.push(format!("{status} {names:?}, and not {expected:?}"));
        }
    }

    /// During the drain and the stop the host is live and has started, and is not ready any more.
    fn judge_stop(&mut self, status: u16, names: &BTreeSet<String>) {
        self.counts.during_the_stop += 1;
        let is_right = match self.path {
            "/readyz" if self.has_drained => status == 503,
            "/readyz" => true,
            _ => status == 200,
        };
        self.has_drained |= status == 503;
        if !is_right {
            self.counts.wrong.push(format!("{status} {names:?} during the stop"));
        }
    }
}

/// The status of an answer, and the services that it names.
fn get(address: SocketAddr, path: &str) -> std::io::Result<(u16, BTreeSet<String>)> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let parsed = text.split_once("\r\n\r\n").and_then(|(head, body)| {
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let names = body.lines().skip(1).filter_map(|line| line.split_once(": ")).map(|(name, _)| name.to_owned());
        Some((status, names.collect()))
    });
    parsed.ok_or_else(|| std::io::Error::other(format!("an incomplete answer: {text:?}")))
}

impl Counts {
    pub(crate) fn is_good(&self) -> bool {
        self.missing.is_empty() && self.wrong.is_empty() && self.judged > 0 && self.during_the_stop > 0
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { answers, judged, of_those_503, missing, wrong, slowest, during_the_stop } = self;
        write!(
            f,
            "{answers} answers, {judged} judged, {of_those_503} of those 503, {during_the_stop} during the stop; "
        )?;
        write!(f, "{} missing, {} false; slowest {:.0} ms", missing.len(), wrong.len(), slowest.as_secs_f64() * 1e3)?;
        missing.iter().chain(wrong).take(10).try_for_each(|text| write!(f, "\n  {text}"))
    }
}
