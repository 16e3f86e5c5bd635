//! What Kafka has, held against what the table has.

use tollgate_audit::{
    AuditError, ByProducer, Consumed, CountedRuns, Evidence, Identity, KafkaVerdict, Observed, Report, SourceError,
    Terms, Topic, TopicContents, judge,
};

use crate::{OLD, SETTLED_US, SINCE_US, evidence, judged, observed, request, runs, shed, with_gaps, young};

/// A time in the range that is settled, in milliseconds.
const DUE_MS: i64 = SINCE_US / 1_000 + 60_000;

/// A topic with one message for each of these: producer, number, time in milliseconds.
struct Messages<'m>(&'m [(&'m str, i64, Option<i64>)]);

impl Topic for Messages<'_> {
    fn read(&self, _from_ms: Option<i64>, each: &mut dyn FnMut(Identity<'_>)) -> Result<Consumed, SourceError> {
        for (producer, seq, time_ms) in self.0 {
            each(Identity { producer, seq: *seq, time_ms: *time_ms });
        }
        Ok(Consumed { messages: self.0.len() as u64 + 1, without_identity: 1 })
    }
}

fn with_topic(mut evidence: Evidence, messages: &[(&str, i64, Option<i64>)], is_behind: bool) -> Evidence {
    let terms = Terms { complete_from_us: SINCE_US, settled_before_us: SETTLED_US };
    let contents = TopicContents::read(&Messages(messages), &request().range, &terms, is_behind).expect("reads");
    evidence.topic = Some(contents);
    evidence
}

/// What is said of the only producer.
fn against(producer: &Observed, messages: &[(&str, i64, Option<i64>)], is_behind: bool) -> (Report, KafkaVerdict) {
    let report = judged(&with_topic(evidence([(OLD, producer.clone())]), messages, is_behind));
    let kafka = report.producers[0].kafka.clone().expect("a verdict on Kafka");
    (report, kafka)
}

fn messages(numbers: impl IntoIterator<Item = i64>) -> Vec<(&'static str, i64, Option<i64>)> {
    numbers.into_iter().map(|seq| (OLD, seq, Some(DUE_MS))).collect()
}

#[test]
fn complete_the_topic_has_what_the_table_has() {
    let (report, kafka) = against(&observed(&[(1, 5)]), &messages(1..=5), false);
    assert!(report.whole);
    assert_eq!((kafka.present, kafka.missing.count, kafka.copies), (5, 0, 0));
    assert_eq!(report.totals.only_in_kafka, Some(0), "it was asked, and the answer is none");
    let cost = report.kafka.expect("what was consumed");
    assert_eq!((cost.messages, cost.without_identity), (6, 1));
}

#[test]
fn each_record_has_a_message_and_each_gap_one_at_its_first_number() {
    let mut producer = with_gaps(&[(1, 6), (10, 12)], &[shed(7, 9, "buffer_full")]);
    producer.settled = Some(11);
    let sent = messages([1, 2, 2, 3, 7, 11, 9]);
    let mut evidence = with_topic(evidence([(OLD, producer.clone())]), &sent, false);
    evidence.letters.add("kafka", OLD, &runs(&[(4, 4)]));
    let report = judged(&evidence);
    let kafka = report.producers[0].kafka.as_ref().expect("a verdict on Kafka");
    assert_eq!((kafka.present, kafka.copies, kafka.dead_lettered), (5, 1, 1));
    assert_eq!((kafka.missing.runs.clone(), kafka.pending.runs.clone()), (vec![(5, 6), (10, 10)], vec![(12, 12)]));
    assert_eq!(kafka.beyond_table.runs, [(9, 9)]);
    assert_eq!((report.totals.kafka_missing, report.totals.kafka_pending), (Some(3), Some(1)));
    assert!(!report.whole);
}

#[test]
fn while_the_sink_is_behind_nothing_is_missing_from_kafka() {
    let (report, kafka) = against(&observed(&[(1, 5)]), &messages([1]), true);
    assert!(report.whole);
    assert_eq!((kafka.missing.count, kafka.pending.runs), (0, vec![(2, 5)]));
}

#[test]
fn a_message_twice_is_no_fault_delivery_is_at_least_once() {
    let (report, kafka) = against(&observed(&[(1, 3)]), &messages([1, 2, 2, 2, 3]), false);
    assert!(report.whole);
    assert_eq!(kafka.copies, 2);
}

#[test]
fn kafka_has_it_and_the_table_lacks_it_then_it_is_lost() {
    let (report, kafka) = against(&observed(&[(1, 3), (5, 6)]), &messages(1..=8), false);
    assert!(!report.whole);
    // 4 is missing in the table, too; 7 and 8 are a tail of which the table alone knows nothing.
    assert_eq!((kafka.not_in_table.runs, report.totals.only_in_kafka), (vec![(4, 4), (7, 8)], Some(3)));
    assert_eq!(report.totals.missing, 1);
}

#[test]
fn what_is_young_or_has_no_time_of_its_own_is_not_lost_yet() {
    let young_ms = SETTLED_US / 1_000;
    let mut sent = messages(1..=3);
    sent.extend([(OLD, 4, Some(young_ms)), (OLD, 5, None), (OLD, 6, Some(SINCE_US / 1_000 - 1))]);
    let (report, kafka) = against(&observed(&[(1, 3)]), &sent, false);
    assert!(report.whole);
    assert_eq!(kafka.not_in_table, CountedRuns::default());
}

#[test]
fn what_kafka_has_and_a_folder_too_is_not_lost() {
    let mut evidence = with_topic(evidence([(OLD, observed(&[(1, 3)]))]), &messages(1..=5), false);
    evidence.aside.add("dead letters of the table sink", [(OLD.to_owned(), runs(&[(4, 5)]))].into());
    assert!(judged(&evidence).whole);
}

#[test]
fn a_producer_that_only_kafka_knows_is_lost_to_the_table() {
    let stranger = young();
    let sent = [(stranger.as_str(), 1, Some(DUE_MS)), (stranger.as_str(), 2, Some(DUE_MS))];
    let report = judged(&with_topic(evidence([(OLD, observed(&[(1, 3)]))]), &sent, true));
    assert!(!report.whole && report.producers.len() == 1);
    assert_eq!(report.totals.only_in_kafka, Some(2));
    let only: ByProducer<CountedRuns> = report.kafka.expect("consumed").only_in_kafka;
    assert_eq!(only[&stranger].runs, [(1, 2)]);
    assert!(report.notes.iter().any(|note| note.contains("2 records in Kafka and none in the table")));
}

#[test]
fn an_audit_of_one_node_does_not_report_others_that_kafka_knows() {
    let sent = [("edge-2/65f/0", 1, Some(DUE_MS)), (OLD, 1, Some(DUE_MS))];
    let mut request = request();
    request.scope = "edge-1".parse().expect("a node");
    let evidence = with_topic(evidence([(OLD, observed(&[(1, 1)]))]), &sent, false);
    let report = judge(&request, &evidence).expect("a report");
    assert!(report.whole && report.kafka.expect("consumed").only_in_kafka.is_empty());
}

#[test]
fn a_topic_that_does_not_answer_is_no_verdict() {
    struct Silent;
    impl Topic for Silent {
        fn read(&self, _: Option<i64>, _: &mut dyn FnMut(Identity<'_>)) -> Result<Consumed, SourceError> {
            Err("the brokers were silent for 30 s".into())
        }
    }
    let terms = Terms { complete_from_us: SINCE_US, settled_before_us: SETTLED_US };
    let read = TopicContents::read(&Silent, &request().range, &terms, false);
    assert!(matches!(read, Err(AuditError::Source(_))));
}
