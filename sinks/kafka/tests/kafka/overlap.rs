//! Rounds that overlap, on librdkafka's mock of a cluster: it can hold one broker's answers back.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::{Offset, TopicPartitionList};
use tollgate_config::ConfigDuration;
use tollgate_record::Record;
use tollgate_record::vocabulary::Kind;
use tollgate_sink::{Delivery, Sink};
use tollgate_sink_kafka::{HEADER_SEQ, KafkaConfig, KafkaSink};

use crate::frames::{deliver_all, frames_with};
use crate::{config, connected, runtime};

const TOPIC: &str = "overlap";
/// Longer than the calls that do not wait for it, and waited for by one.
const SLOW: Duration = Duration::from_secs(8);
/// Longer than any wait of these tests, and shorter than the client's own patience with a broker.
const HELD: Duration = Duration::from_secs(50);

/// Two brokers, each with one partition; the answers of the first are held back.
struct Cluster {
    mock: MockCluster<'static, DefaultProducerContext>,
}

impl Cluster {
    fn start() -> Self {
        let mock = MockCluster::new(2).expect("a mock cluster");
        mock.create_topic(TOPIC, 2, 1).expect("a topic");
        for (partition, broker) in [(0, 1), (1, 2)] {
            mock.partition_leader(TOPIC, partition, Some(broker)).expect("a leader");
        }
        Self { mock }
    }

    fn config(&self, rounds_max: u32) -> KafkaConfig {
        let delivery_timeout = ConfigDuration::secs(120);
        let mut config = KafkaConfig {
            topic_create: false,
            rounds_max,
            delivery_timeout,
            ..config(&self.mock.bootstrap_servers(), TOPIC)
        };
        // By CRC-32 of the key: `orders` goes to the first partition, `search` to the second.
        config.properties.insert("partitioner".to_owned(), "consistent".to_owned());
        config
    }

    /// The first broker answers after so long.
    fn hold_back(&self, time: Duration) {
        self.mock.broker_round_trip_time(1, time).expect("a slow broker");
    }

    /// The numbers of the records in a partition.
    fn read(&self, partition: i32) -> BTreeSet<i64> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.mock.bootstrap_servers())
            .set("group.id", "test")
            .set("enable.partition.eof", "true")
            .create()
            .expect("a consumer");
        let mut from = TopicPartitionList::new();
        from.add_partition_offset(TOPIC, partition, Offset::Beginning).expect("a partition");
        consumer.assign(&from).expect("assigned");
        let mut seqs = BTreeSet::new();
        while let Some(Ok(message)) = consumer.poll(Duration::from_secs(20)) {
            let header = message.headers().and_then(|headers| headers.iter().find(|h| h.key == HEADER_SEQ));
            let seq = header.and_then(|header| std::str::from_utf8(header.value?).ok()?.parse().ok());
            seqs.insert(seq.expect("a number"));
        }
        seqs
    }
}

/// A sink that has delivered two frames, one to each broker.
async fn warm(config: KafkaConfig, frames: &[Delivery]) -> KafkaSink {
    let mut sink = connected(config).await;
    deliver_all(&mut sink, &frames[..2], 2, |_| ()).await;
    sink
}

/// Frames of ten rows; those at even places go to the slow broker's partition, the others to the quick one's.
fn frames(count: usize) -> Vec<Delivery> {
    frames_with(count, 10, |seq, record| {
        let service = if (seq - 1) / 10 % 2 == 0 { "orders" } else { "search" };
        Record { service: Some(service), kind: Kind::Transaction, error_class: None, ..record }
    })
}

/// Whether a call is over within so long.
async fn ends(sink: &mut KafkaSink, frames: &[Delivery], within: Duration) -> Option<Option<u64>> {
    let answer = tokio::time::timeout(within, sink.deliver(frames)).await.ok()?;
    Some(answer.expect("the brokers take everything"))
}

#[test]
fn the_cursor_waits_for_the_first_round_though_the_second_is_reported_on() {
    runtime().block_on(async {
        let cluster = Cluster::start();
        let frames = frames(6);
        let mut sink = warm(cluster.config(3), &frames).await;
        cluster.hold_back(HELD);
        assert_eq!(ends(&mut sink, &frames[2..3], HELD / 2).await, Some(Some(11)), "it is held back");
        assert_eq!(
            ends(&mut sink, &frames[3..4], HELD / 2).await,
            Some(Some(11)),
            "the next is not, but comes after it"
        );
        while cluster.read(1).len() < 20 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(ends(&mut sink, &[], Duration::from_millis(300)).await, None, "a call without frames waits");

        // The collector is killed here. Its cursor stands behind the second frame, and the next one goes on from there.
        drop(sink);
        cluster.hold_back(Duration::ZERO);
        let mut sink = connected(cluster.config(3)).await;
        let journey = deliver_all(&mut sink, &frames[2..], 1, |_| ()).await;
        assert_eq!((journey.through, journey.rebuilds), (Some(15), 0));
        assert_eq!((cluster.read(0).len(), cluster.read(1).len()), (30, 30));
    });
}

#[test]
fn no_more_rounds_than_allowed_are_under_way() {
    runtime().block_on(async {
        let cluster = Cluster::start();
        let frames = frames(4);
        let mut sink = warm(cluster.config(2), &frames).await;
        cluster.hold_back(SLOW);
        assert_eq!(ends(&mut sink, &frames[2..3], SLOW / 2).await, Some(Some(11)), "one is under way");
        assert_eq!(ends(&mut sink, &frames[3..], Duration::from_millis(300)).await, None, "the second waits for it");
        assert_eq!(ends(&mut sink, &frames[3..], SLOW * 4).await, Some(Some(13)));
    });
}
