//! The sink keeps the contract of all sinks, with a real broker that dies and comes back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tollgate_config::ConfigDuration;
use tollgate_sink::Sink;
use tollgate_sink::testkit::{Destination, Promise, Stored, passes};
use tollgate_sink_kafka::{HEADER_PRODUCER, HEADER_SEQ, KafkaConfig, KafkaSink};

use crate::server::Kafka;
use crate::{config, on_own};

/// A topic of its own on the broker.
struct Topic {
    kafka: Arc<Kafka>,
    name: String,
}

#[async_trait]
impl Destination for Topic {
    async fn open(&mut self) -> Box<dyn Sink> {
        let short = KafkaConfig {
            delivery_timeout: ConfigDuration::secs(2),
            connect_timeout: ConfigDuration::secs(2),
            ..config(&self.kafka.address(), &self.name)
        };
        Box::new(KafkaSink::new(short).expect("a good configuration"))
    }

    async fn stored(&mut self) -> Stored {
        let mut found = BTreeMap::new();
        for message in self.kafka.read(&self.name) {
            let seq = message.header(HEADER_SEQ).parse().expect("a number");
            *found.entry((message.header(HEADER_PRODUCER).to_owned(), seq)).or_default() += 1;
        }
        Stored::Records(found)
    }

    fn promise(&self) -> Promise {
        Promise::AtLeastOnce
    }

    async fn set_failing(&mut self, failing: bool) -> bool {
        if failing {
            self.kafka.kill();
        } else {
            self.kafka.restart();
        }
        true
    }
}

#[test]
fn kafka_keeps_the_contract() {
    on_own(&[], async |kafka| {
        let topics = AtomicUsize::new(0);
        let topic = async || {
            let name = format!("contract-{}", topics.fetch_add(1, Ordering::Relaxed));
            Topic { kafka: Arc::clone(&kafka), name }
        };
        passes(topic).await.unwrap_or_else(|problem| panic!("{problem}"));
    });
}
