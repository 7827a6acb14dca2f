//! Consumes from Kafka. A callback signals new messages to a channel. The service waits for that channel or the stop.

use crossbeam_channel::{bounded, select};
use hosted::{Context, Result, worker};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use recipes::{PROMPT, measure};
use std::time::Duration;

/// Shorter than `max.poll.interval.ms`: the broker removes a consumer that does not poll for that long from its group.
const MINUTE: Duration = Duration::from_secs(60);

fn main() -> Result {
    let cluster = MockCluster::new(1)?; // the mock broker of librdkafka
    cluster.create_topic("news", 1, 1)?;
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap_servers()).set("auto.offset.reset", "earliest");
    let producer: BaseProducer = config.create()?;
    producer.send(BaseRecord::<str, str>::to("news").payload("the first")).map_err(|(error, _)| error)?;
    producer.flush(MINUTE)?;
    let mut round = 0;
    measure(PROMPT, || {
        round += 1;
        config.set("group.id", format!("round {round}")).set("group.protocol", "consumer");
        let mut consumer = subscribed(&config).expect("a consumer that has its first message");
        worker(move |ctx| consume(&mut consumer, ctx))
    })
}

fn subscribed(config: &ClientConfig) -> Result<BaseConsumer> {
    let consumer: BaseConsumer = config.create()?;
    consumer.subscribe(&["news"])?;
    while consumer.poll(MINUTE).transpose()?.is_none() {}
    Ok(consumer)
}

fn consume(consumer: &mut BaseConsumer, ctx: &Context) -> Result {
    // recipe
    let (more, wake) = bounded(1);
    consumer.set_nonempty_callback(move || _ = more.try_send(()));
    while !ctx.stop_requested() {
        handle_all(consumer)?;
        select! { recv(wake) -> _ => {}, recv(ctx.done()) -> _ => {}, default(MINUTE) => {} }
    }
    // end
    consumer.close_queue()?;
    while !consumer.closed() {
        consumer.poll(Duration::from_millis(1)); // `drop` would do the same, but polls only every 100 ms
    }
    Ok(())
}

fn handle_all(consumer: &BaseConsumer) -> Result {
    while let Some(message) = consumer.poll(Duration::ZERO) {
        assert_eq!(message?.payload(), Some(&b"the first"[..])); // the only message
    }
    Ok(())
}
