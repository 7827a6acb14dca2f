//! A client that loads the page ten times a second, and sometimes leaves before the end.

use crate::chance::Chance;
use crate::tally::Tally;
use hosted::{Result, Service, every};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// A port that is free now.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

pub fn client(port: u16, chance: &Chance, tally: &Arc<Tally>) -> impl Service {
    let (chance, tally) = (chance.clone(), tally.clone());
    every(Duration::from_millis(100), move |_| {
        let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        connection.set_read_timeout(Some(PATIENCE))?;
        if chance.fault(10) {
            return Ok(connection.write_all(b"GET / HT")?); // leaves in the middle of the request
        }
        let page = ["/", "/status.json"][chance.below(2) as usize];
        write!(connection, "GET {page} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        if chance.fault(10) {
            return Ok(()); // leaves without waiting for the answer
        }
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        if !answer.starts_with("HTTP/1.1 200") {
            return Err(answer.into());
        }
        tally.pages.add(1);
        Ok(())
    })
}
