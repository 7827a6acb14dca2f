//! Prints `usb-1 is plugged in`, then `usb-1 is unplugged`, then `usb-2 cannot be removed`, then `usb-2 is gone`.
//!
//! A device manager: each device that is plugged in gets a driver, which is a member of a dynamic group. The driver of `usb-2` hangs:
//! it waits in a read, and notices no stop request. The manager names it and goes on.

use hosted::{DynamicGroup, Host, MemberError, Result, once, worker};
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// What the bus of this example reports.
enum BusEvent {
    Plugged(&'static str),
    Unplugged(&'static str),
    /// The device answers its driver at last.
    Answers,
}

fn main() -> Result {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let drivers = DynamicGroup::new().limit(16);
    let mut host = Host::new();
    host.add("drivers", drivers.service());
    host.add(
        "manager",
        worker(move |ctx| {
            manage(&drivers)?;
            ctx.host().request_stop();
            Ok(())
        }),
    );
    println!("{}", host.run()?);
    Ok(())
}

fn manage(drivers: &DynamicGroup) -> Result {
    // The two ends of a serial line, in place of a device.
    let line = TcpListener::bind("127.0.0.1:0")?;
    let mut far_end = Some(TcpStream::connect(line.local_addr()?)?);
    let mut near_end = Some(line.accept()?.0);
    use BusEvent::{Answers, Plugged, Unplugged};
    for event in [Plugged("usb-1"), Plugged("usb-2"), Unplugged("usb-1"), Unplugged("usb-2"), Answers] {
        match event {
            Plugged("usb-2") => {
                let mut serial = near_end.take().ok_or("it is plugged in once")?;
                drivers.add("usb-2", once(move |_| Ok(_ = serial.read(&mut [0])?)))?; // not `ctx.interruptible(serial)`
            }
            Plugged(name) => {
                drivers.add(
                    name,
                    worker(|ctx| {
                        loop {
                            // talk to the device
                            ctx.sleep(Duration::from_millis(10))?;
                        }
                    }),
                )?;
                println!("{name} is plugged in");
            }
            Unplugged(name) => unplug(drivers, name),
            Answers => {
                drop(far_end.take()); // the read of the driver returns
                if let Some(driver) = drivers.get("usb-2") {
                    driver.stop(Duration::from_secs(10))?;
                }
                println!("usb-2 is gone");
            }
        }
    }
    Ok(())
}

fn unplug(drivers: &DynamicGroup, name: &str) {
    let Some(driver) = drivers.get(name) else { return };
    match driver.stop(Duration::from_millis(200)) {
        Ok(_) => println!("{name} is unplugged"),
        // The error names the system call. The name stays taken until the driver has ended.
        Err(error @ MemberError::Hung { .. }) => println!("{name} cannot be removed: {error}"),
        Err(error) => println!("{name}: {error}"),
    }
}
