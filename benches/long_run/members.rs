//! Services that come and go: devices that are plugged in and out, and the clients of a server.

use crate::chance::{Chance, ON_PURPOSE};
use crate::flaky::again;
use crate::tally::Tally;
use hosted::{
    AddError, Context, DynamicGroup, Host, Member, MemberError, Result, Service, ServiceOptions, StopToken, serve,
    worker,
};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// The number of device names. Each name is used many times.
const DEVICES: u64 = 30;
/// The limit of the group. It is lower than `DEVICES`, so that a device sometimes finds no room.
const LIMIT: usize = 20;
/// Longer than several samples of memory, threads and descriptors.
const PAUSE: Duration = Duration::from_millis(200);
/// More time than a responsive service needs for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// Adds a dynamic group of devices and the service that plugs them in and out, and a server with its clients.
pub fn add_members(host: &mut Host, chance: &Chance, tally: &Arc<Tally>) -> Result {
    let devices = DynamicGroup::new().limit(LIMIT);
    host.add("devices", devices.service());
    host.add("plugs", plugs(devices, chance, tally)).restart(again());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let (address, talking) = (listener.local_addr()?, chance.clone());
    let server = serve(listener, move |client, ctx| talk(client, &talking, ctx));
    host.add("echo", server.max_connections(8));
    for name in ["caller 1", "caller 2", "caller 3"] {
        host.add(name, caller(address, chance, tally)).restart(again());
    }
    Ok(())
}

/// Plugs in about a hundred devices a second. Half of them leave on their own. This service pulls out the others.
fn plugs(devices: DynamicGroup, chance: &Chance, tally: &Arc<Tally>) -> impl Service + use<> {
    let (chance, tally) = (chance.clone(), tally.clone());
    worker(move |ctx| {
        loop {
            ctx.sleep(chance.millis(2..15))?;
            chance.strike(500)?;
            if chance.below(300) == 0 {
                pull_all(&devices)?;
                ctx.sleep(PAUSE)?;
            }
            let number = chance.below(DEVICES);
            let name = if number == 0 { format!("slow {ON_PURPOSE}") } else { format!("device {number}") };
            match devices.get(&name) {
                Some(device) => pull(&device)?,
                None => plug(&devices, &name, &chance, &tally)?,
            }
            let alive = devices.members();
            if alive.len() > LIMIT || devices.len() > LIMIT {
                tally.unexpected(format!("{} devices are alive", alive.len()));
            }
        }
    })
}

fn plug(devices: &DynamicGroup, name: &str, chance: &Chance, tally: &Tally) -> Result {
    let mut options = ServiceOptions::new();
    if chance.below(4) == 0 {
        options.restart(again());
    }
    if chance.below(4) == 0 {
        options.start_timeout(PATIENCE).stop_timeout(Duration::from_millis(5));
    }
    match devices.add_with(name, driver(chance, name.contains(ON_PURPOSE)), options) {
        Ok(device) => {
            tally.members.add(1);
            if chance.below(3) == 0 {
                _ = device.wait_ready(PATIENCE); // the device may have failed, or may have left
            }
            Ok(())
        }
        Err(AddError::Full) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Runs for a moment, or until its stop request, or fails. A slow driver does not react to its stop request for a while.
fn driver(chance: &Chance, is_slow: bool) -> impl Service + use<> {
    let chance = chance.clone();
    worker(move |ctx| {
        let guard = ctx.on_stop(|| ());
        chance.strike(20)?;
        match chance.below(2) {
            _ if is_slow => StopToken::never().sleep(chance.millis(1..400))?,
            0 => ctx.sleep(chance.millis(1..50))?,
            _ => ctx.wait(),
        }
        drop(guard);
        ctx.mark_complete();
        Ok(())
    })
}

/// Pulls out every device. Then some samples of each minute see no device, and a device that is left behind shows as growth.
fn pull_all(devices: &DynamicGroup) -> Result {
    devices.members().iter().for_each(|row| {
        let name = row.name.trim_start_matches("devices/");
        devices.get(name).into_iter().for_each(|device| device.request_stop());
    });
    while let Some(row) = devices.members().first() {
        devices.get(row.name.trim_start_matches("devices/")).map_or(Ok(()), |device| pull(&device))?;
    }
    Ok(())
}

/// Stops a device. If it hangs, waits until it is gone.
fn pull(device: &Member) -> Result {
    let is_slow = device.name().contains(ON_PURPOSE);
    match device.stop(if is_slow { Duration::from_millis(5) } else { PATIENCE }) {
        Err(MemberError::Hung { .. }) if is_slow => {
            let gone = device.wait(PATIENCE);
            gone.map(drop).ok_or_else(|| format!("{device:?} stays hung").into())
        }
        other => other.map(drop).map_err(Into::into),
    }
}

/// Answers each line. Some connections fail.
fn talk(client: TcpStream, chance: &Chance, ctx: &Context) -> Result {
    for line in BufReader::new(ctx.interruptible(&client)).lines() {
        chance.strike(50)?;
        // An error means that the client has left, or that the stop was requested.
        let answered = line.and_then(|line| writeln!(&client, "{line}"));
        if answered.is_err() {
            break;
        }
    }
    Ok(())
}

/// A client that sends some lines. It may leave in the middle of a line, without reading the answers, or after a while.
fn caller(address: SocketAddr, chance: &Chance, tally: &Arc<Tally>) -> impl Service + use<> {
    let (chance, tally) = (chance.clone(), tally.clone());
    worker(move |ctx| {
        loop {
            ctx.sleep(chance.millis(1..10))?;
            let server = TcpStream::connect(address)?;
            server.set_read_timeout(Some(PATIENCE))?;
            tally.members.add(1);
            if chance.below(10) == 0 {
                (&server).write_all(b"in the middle of a li")?;
                continue;
            }
            for _ in 0..chance.below(5) {
                writeln!(&server, "hello")?;
                let mut answer = String::new();
                // No answer comes if the connection has failed on purpose.
                if BufReader::new(&server).read_line(&mut answer).unwrap_or(0) == 0 {
                    break;
                }
            }
            if chance.below(20) == 0 {
                ctx.sleep(chance.millis(1..20))?;
            }
        }
    })
}
