//! The sink against a real Kafka: what arrives, and what happens when the broker fails.

mod contract;
mod frames;
mod overlap;
mod server;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use tollgate_config::{ByteSize, ConfigDuration};
use tollgate_demo_ca::{DemoCa, Lifetime};
use tollgate_record::json;
use tollgate_sink::{Delivery, Sink, SinkError};
use tollgate_sink_kafka::{
    Compression, HEADER_PRODUCER, HEADER_RECORD_VERSION, HEADER_REQUEST_ID, HEADER_SEQ, KafkaConfig, KafkaSink,
    Mechanism, SaslConfig, TlsConfig,
};

use frames::{START_US, deliver_all, frames, frames_with, header};
use server::{Kafka, Message, free_port};

/// Brokers take seconds to start and half a gigabyte: one besides the shared one is enough.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn config(brokers: &str, topic: &str) -> KafkaConfig {
    KafkaConfig { topic: topic.to_owned(), topic_partitions: 3, ..KafkaConfig::new([brokers]) }
}

async fn connected(config: KafkaConfig) -> KafkaSink {
    let mut sink = KafkaSink::new(config).expect("a good configuration");
    assert_eq!(sink.recover().await.expect("the broker answers"), None);
    sink
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// Runs a test that does the broker no harm, or does not where there is none.
fn on_shared<F: Future<Output = ()>>(test: impl FnOnce(&'static Kafka) -> F) {
    if let Some(kafka) = server::shared() {
        runtime().block_on(test(kafka));
    }
}

/// Runs a test on a broker of its own, or not at all.
fn on_own<F: Future<Output = ()>>(options: &[&str], test: impl FnOnce(Arc<Kafka>) -> F) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(kafka) = Kafka::start(options) {
        runtime().block_on(test(Arc::new(kafka)));
    }
}

/// Every message says what the record of its number says, and every record is there.
fn assert_complete(messages: &[Message], frames: &[Delivery]) {
    let mut expected = BTreeSet::new();
    for frame in frames {
        let mut rows = json::Rows::of(&frame.batch.records, &frame.batch.meta);
        for row in 0..frame.batch.records.num_rows() {
            let mut value = Vec::new();
            rows.write(row, &mut value);
            expected.insert(String::from_utf8(value).expect("JSON is UTF-8"));
        }
    }
    let found: BTreeSet<String> = messages.iter().map(|message| message.payload.clone()).collect();
    let lacking = expected.difference(&found).count();
    assert_eq!(lacking, 0, "{lacking} of {} records did not arrive", expected.len());
    assert_eq!(found.difference(&expected).count(), 0, "nothing else is in the topic");
}

#[test]
fn records_arrive_as_they_are_and_once() {
    on_shared(async |kafka| {
        for (index, compression) in [Compression::Zstd, Compression::Lz4, Compression::None].into_iter().enumerate() {
            let topic = format!("records-{index}");
            let mut sink = connected(KafkaConfig { compression, ..config(&kafka.address(), &topic) }).await;
            let frames = frames(5, 300);
            let journey = deliver_all(&mut sink, &frames, 2, |_| ()).await;
            assert_eq!((journey.through, journey.retries, journey.rebuilds), (Some(14), 0, 0));
            assert_eq!(sink.deliver(&[]).await.expect("nothing to do"), Some(14));

            let messages = kafka.read(&topic);
            assert_eq!(messages.len(), 1_500);
            assert_complete(&messages, &frames);
            messages.iter().for_each(assert_identity);
            assert!(kafka.describe(&topic).contains("with 3 partitions"), "{}", kafka.describe(&topic));
        }
    });
}

fn assert_identity(message: &Message) {
    let value: serde_json::Value = serde_json::from_str(&message.payload).expect("the value is JSON");
    let seq: i64 = message.header(HEADER_SEQ).parse().expect("a number");
    assert_eq!(value["tollgate.seq"], seq);
    assert_eq!(message.header(HEADER_PRODUCER), header().producer);
    assert_eq!(message.header(HEADER_RECORD_VERSION), "1");
    assert_eq!(value["http.request.id"], message.header(HEADER_REQUEST_ID));
    let service = value.get("tollgate.service").and_then(|service| service.as_str());
    assert_eq!(message.key, service.unwrap_or("gate-1"), "{}", message.payload);
    assert_eq!(message.ts, (START_US + seq * 1_000) / 1_000);
}

#[test]
fn a_small_queue_holds_everything_back_and_loses_nothing() {
    on_shared(async |kafka| {
        let config = KafkaConfig { queue_messages_max: 50, ..config(&kafka.address(), "small-queue") };
        let mut sink = connected(config).await;
        let frames = frames(4, 500);
        let journey = deliver_all(&mut sink, &frames, 4, |_| ()).await;
        assert_eq!((journey.through, journey.retries), (Some(13), 0));
        assert_eq!(kafka.read("small-queue").len(), 2_000);
    });
}

#[test]
fn a_broker_that_dies_half_way_costs_nothing() {
    on_own(&[], async |kafka| {
        let config = KafkaConfig { delivery_timeout: ConfigDuration::secs(2), ..config(&kafka.address(), "killed") };
        let mut sink = connected(config).await;
        let frames = frames(40, 200);
        let broker = Arc::clone(&kafka);
        let mut back = None;
        let journey = deliver_all(&mut sink, &frames, 4, |through| {
            if through >= 12 && back.is_none() {
                broker.kill();
                let broker = Arc::clone(&broker);
                // Long enough for a delivery to time out; then the same broker comes back with its data.
                back = Some(std::thread::spawn(move || {
                    std::thread::sleep(Duration::from_secs(4));
                    broker.restart();
                }));
            }
        })
        .await;
        back.expect("the broker was killed").join().expect("the broker is back");
        assert_eq!(journey.through, Some(49));
        assert!(journey.retries + journey.rebuilds > 0, "{journey:?}");
        let messages = kafka.read("killed");
        assert!(messages.len() >= 8_000, "{}", messages.len());
        assert_complete(&messages, &frames);
    });
}

#[test]
fn a_topic_that_is_deleted_is_made_again() {
    on_shared(async |kafka| {
        let config = KafkaConfig { delivery_timeout: ConfigDuration::secs(3), ..config(&kafka.address(), "deleted") };
        let mut sink = connected(config).await;
        let frames = frames(6, 50);
        deliver_all(&mut sink, &frames[..3], 3, |_| ()).await;
        let admin = admin(&kafka.address());
        admin.delete_topics(&["deleted"], &AdminOptions::new()).await.expect("the topic is deleted");
        let journey = deliver_all(&mut sink, &frames[3..], 1, |_| ()).await;
        assert_eq!(journey.through, Some(15));
        assert!(journey.rebuilds > 0, "{journey:?}");
        assert_complete(&kafka.read("deleted"), &frames[3..]);
    });
}

#[test]
fn a_record_that_is_too_large_is_rejected_without_its_frame() {
    on_shared(async |kafka| {
        let config = KafkaConfig { message_bytes_max: ByteSize(2_000), ..config(&kafka.address(), "too-large") };
        let mut sink = connected(config).await;
        let long = "x".repeat(1_000);
        let frames = frames_with(5, 20, |seq, record| {
            let query = (seq == 45).then_some(long.as_str());
            tollgate_record::Record { query, user_agent: query.or(record.user_agent), correlation_id: query, ..record }
        });
        let journey = deliver_all(&mut sink, &frames, 5, |_| ()).await;
        assert_eq!((journey.rejected, journey.rejected_rows), (vec![], vec![(12, vec![4])]));
        assert_eq!(journey.through, Some(14));
        let seqs: BTreeSet<i64> = kafka
            .read("too-large")
            .iter()
            .map(|message| message.header(HEADER_SEQ).parse().expect("a number"))
            .collect();
        assert!((1..=100).all(|seq| seqs.contains(&seq) == (seq != 45)), "{seqs:?}");
    });
}

fn admin(brokers: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", brokers).create().expect("an admin client")
}

#[test]
fn a_limit_that_is_lowered_meanwhile_rejects_no_small_message() {
    on_shared(async |kafka| {
        let config = KafkaConfig { compression: Compression::None, ..config(&kafka.address(), "lowered") };
        let mut sink = connected(config).await;
        let lower = AlterConfig::new(ResourceSpecifier::Topic("lowered")).set("max.message.bytes", "4000");
        let altered = admin(&kafka.address()).alter_configs([&lower], &AdminOptions::new()).await;
        altered.expect("the broker answers").remove(0).expect("the limit is lowered");

        let frames = frames(3, 300);
        let journey = deliver_all(&mut sink, &frames, 3, |_| ()).await;
        assert_eq!((journey.rejected.len(), journey.through), (0, Some(12)));
        assert!(journey.rebuilds > 0, "message sets were larger than the new limit");
        assert_complete(&kafka.read("lowered"), &frames);
    });
}

#[test]
fn tls_and_sasl_are_spoken_and_checked() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let ca = DemoCa::open(&dir.path().join("ca")).expect("an authority");
    let server = ca.server("broker", &["localhost", "127.0.0.1"], Lifetime::days(2)).expect("a certificate");
    let client = ca.client("collector", "collector", &[], Lifetime::days(2)).expect("a certificate");
    let stranger = DemoCa::open(&dir.path().join("stranger")).expect("another authority");
    let password_file = dir.path().join("password");
    std::fs::write(&password_file, "s3cret\n").expect("the password is written");
    let (tls_port, text) = (free_port(), |path: &Path| path.to_string_lossy().into_owned());
    let options = [
        ["--tls-port", &tls_port.to_string()],
        ["--tls-cert", &text(&server.cert)],
        ["--tls-key", &text(&server.key)],
        ["--tls-ca", &text(ca.roots())],
        ["--sasl-user", "tollgate"],
        ["--sasl-password-file", &text(&password_file)],
    ];
    let options = [options.concat(), vec!["--tls-client-auth"]].concat();
    let good = KafkaConfig {
        connect_timeout: ConfigDuration::secs(5),
        tls: Some(TlsConfig {
            ca: Some(ca.roots().into()),
            certificate: Some(client.cert.as_path().into()),
            key: Some(client.key.as_path().into()),
            verify: true,
        }),
        sasl: Some(SaslConfig {
            mechanism: Mechanism::Plain,
            username: "tollgate".into(),
            password_file: password_file.as_path().into(),
        }),
        ..config(&format!("localhost:{tls_port}"), "secret")
    };
    on_own(&options, async |kafka| {
        let mut sink = connected(good.clone()).await;
        let frames = frames(2, 50);
        deliver_all(&mut sink, &frames, 2, |_| ()).await;
        assert_complete(&kafka.read("secret"), &frames);

        let mut unknown_ca = good.clone();
        unknown_ca.tls = good.tls.clone().map(|tls| TlsConfig { ca: Some(stranger.roots().into()), ..tls });
        let reason = refused(unknown_ca).await;
        assert!(reason.contains("certificate verify failed"), "{reason}");
        let mut wrong_user = good.clone();
        wrong_user.sasl = good.sasl.clone().map(|sasl| SaslConfig { username: "mallory".into(), ..sasl });
        let reason = refused(wrong_user).await;
        assert!(reason.to_lowercase().contains("authentication"), "{reason}");
    });
}

/// Why connecting is refused.
async fn refused(config: KafkaConfig) -> String {
    let mut sink = KafkaSink::new(config).expect("a good configuration");
    match sink.recover().await {
        Err(SinkError::Retry { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_broker_that_cannot_be_reached_is_reported_and_not_waited_for() {
    runtime().block_on(async {
        let brokers = format!("127.0.0.1:{}", free_port());
        let reason =
            refused(KafkaConfig { connect_timeout: ConfigDuration::secs(1), ..config(&brokers, "nowhere") }).await;
        assert!(reason.contains(&brokers) && reason.contains("Connection refused"), "{reason}");

        let mut sink = KafkaSink::new(config(&brokers, "nowhere")).expect("a good configuration");
        let answer = sink.deliver(&frames(1, 1)).await;
        assert!(matches!(answer, Err(SinkError::Rebuild { .. })), "{answer:?}");
    });
}

#[test]
fn a_producer_that_failed_for_good_is_replaced() {
    // A real broker loses track of sequence numbers only by a bug of its own: librdkafka's mock of a broker plays it.
    let mock = MockCluster::new(1).expect("a mock cluster");
    let brokers = mock.bootstrap_servers();
    runtime().block_on(async {
        let mut sink = connected(KafkaConfig {
            connect_timeout: ConfigDuration::secs(1),
            topic_create: false,
            rounds_max: 1,
            ..config(&brokers, "fatal")
        })
        .await;
        let frames = frames(4, 50);
        assert_eq!(sink.deliver(&frames[..2]).await.expect("the mock takes them"), Some(11));

        let desynchronised = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
        mock.request_errors(RDKafkaApiKey::Produce, &[desynchronised; 8]);
        let answer = sink.deliver(&frames[2..]).await;
        let Err(SinkError::Rebuild { reason }) = &answer else { panic!("{answer:?}") };
        assert!(reason.contains("sequence desynchronization"), "{reason}");
        assert!(matches!(sink.deliver(&frames[2..]).await, Err(SinkError::Rebuild { .. })), "it stays broken");

        mock.clear_request_errors(RDKafkaApiKey::Produce);
        assert_eq!(sink.recover().await.expect("a new producer"), None);
        assert_eq!(sink.deliver(&frames[2..]).await.expect("the new producer delivers"), Some(13));
    });
}
