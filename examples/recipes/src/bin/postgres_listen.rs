//! `LISTEN` of PostgreSQL: wait for the connection's descriptor, then see what has come.

use filedescriptor::FileDescriptor;
use hosted::{Context, Result, worker};
use libpq::Connection;
use recipes::{PROMPT, measure};

fn main() -> Result {
    measure(PROMPT, || worker(listen))
}

fn listen(ctx: &Context) -> Result {
    let connection = Connection::new("")?; // PGHOST and the like say where
    connection.exec("LISTEN news");
    connection.exec("NOTIFY news, 'the first'");
    // recipe
    let socket = FileDescriptor::dup(&connection.socket()?)?; // libpq tells only its number
    loop {
        connection.consume_input()?;
        handle_all(&connection)?;
        ctx.wait_readable(&socket, None)?;
    }
    // end
}

fn handle_all(connection: &Connection) -> Result {
    while let Some(notification) = connection.notifies() {
        assert_eq!(notification.extra()?, "the first"); // there is no other
    }
    Ok(())
}
