//! Subscribes to an MQTT topic over a stream whose reads return at the stop. Writes still work afterwards.

use hosted::{Context, Interruptible, Result, worker};
use mqtt::packet::{
    ConnectPacket, DisconnectPacket, PingreqPacket, PublishPacket, QoSWithPacketIdentifier, SubscribePacket,
    VariablePacket,
};
use mqtt::{Decodable, Encodable, QualityOfService, TopicFilter, TopicName};
use recipes::{PROMPT, measure};
use std::env;
use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

const KEEP_ALIVE: Duration = Duration::from_secs(60);

fn main() -> Result {
    let port = env::var("MQTT_PORT")?.parse()?;
    measure(PROMPT, || worker(move |ctx| subscribe(port, ctx)))
}

fn subscribe(port: u16, ctx: &Context) -> Result {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    // recipe
    let mut broker = ctx.interruptible(stream);
    let outcome = listen(&mut broker, ctx); // reads return at the stop
    let goodbye = send(&mut broker, &DisconnectPacket::new()); // writes still work: no last will
    outcome.and(goodbye) // the first of the two errors
    // end
}

fn listen(broker: &mut Interruptible<TcpStream>, ctx: &Context) -> Result {
    let mut hello = ConnectPacket::new("recipe");
    hello.set_keep_alive(KEEP_ALIVE.as_secs() as u16);
    send(broker, &hello)?;
    send(broker, &SubscribePacket::new(1, vec![(TopicFilter::new("news")?, QualityOfService::Level0)]))?;
    send(broker, &PublishPacket::new(TopicName::new("news")?, QoSWithPacketIdentifier::Level0, "the first"))?;
    loop {
        if !ctx.wait_readable(broker, KEEP_ALIVE / 2)? {
            send(broker, &PingreqPacket::new())?;
        } else if let VariablePacket::PublishPacket(message) = VariablePacket::decode(broker)? {
            assert_eq!(message.payload(), b"the first"); // the only message
        }
    }
}

fn send(broker: &mut Interruptible<TcpStream>, packet: &impl Encodable) -> Result {
    let mut bytes = Vec::new();
    packet.encode(&mut bytes)?;
    Ok(broker.write_all(&bytes)?)
}
