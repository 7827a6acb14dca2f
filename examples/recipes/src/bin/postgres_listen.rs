//! Receives PostgreSQL notifications (`LISTEN`) until the stop, by waiting for the connection's descriptor.

use filedescriptor::FileDescriptor;
use hosted::{Context, Result, worker};
use libpq::Connection;
use recipes::{PROMPT, measure};

fn main() -> Result {
    measure(PROMPT, || worker(listen))
}

fn listen(ctx: &Context) -> Result {
    let connection = Connection::new("")?; // the address comes from PGHOST and related variables
    connection.exec("LISTEN news");
    connection.exec("NOTIFY news, 'the first'");
    // recipe
    let socket = FileDescriptor::dup(&connection.socket()?)?; // libpq exposes only its number
    loop {
        connection.consume_input()?;
        handle_all(&connection)?;
        ctx.wait_readable(&socket, None)?;
    }
    // end
}

fn handle_all(connection: &Connection) -> Result {
    while let Some(notification) = connection.notifies() {
        assert_eq!(notification.extra()?, "the first"); // the only notification
    }
    Ok(())
}
