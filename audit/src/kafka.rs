//! Kafka against the table: what the topic must have, and what only it has.
//!
//! ```text
//!   table  1 2 3 . 5 6        expected in the topic: one message for each record, one for each gap at its first number
//!   topic  1 2 . 4 5          missing: 3    pending: 6, younger than what is settled    lost to the table: 4, if it is due
//! ```

use std::ops::Range as Bounds;

use serde::Serialize;
use tollgate_account::Numbers;
use tollgate_record::runs::{Run, Runs};

use crate::error::{AuditError, SourceError};
use crate::observed::{ByProducer, Observed};
use crate::range::Range;
use crate::verdict::{CountedRuns, KafkaVerdict, Terms, Verdict};

/// Messages may carry a time that is earlier than their record's by this, in milliseconds: it is cut to them.
const EARLIER_MS: i64 = 60_000;

/// What the headers of a message say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity<'m> {
    /// Who numbered the record.
    pub producer: &'m str,
    /// The number.
    pub seq: i64,
    /// The record's time in milliseconds since 1970, or when it was received if that was earlier; `None` if the topic puts
    /// the broker's time in its place.
    pub time_ms: Option<i64>,
}

/// What was consumed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Consumed {
    /// Messages read.
    pub messages: u64,
    /// Messages without the headers of an identity: not Tollgate's.
    pub without_identity: u64,
}

/// The topic to which the Kafka sink writes.
pub trait Topic {
    /// Calls `each` for every message from this time on (in milliseconds since 1970) that has the headers of an identity.
    ///
    /// # Errors
    /// The topic cannot be read to its end.
    fn read(&self, from_ms: Option<i64>, each: &mut dyn FnMut(Identity<'_>)) -> Result<Consumed, SourceError>;
}

/// What a topic has.
#[derive(Debug, Default)]
pub struct TopicContents {
    by_producer: ByProducer<Found>,
    consumed: Consumed,
    /// Whether the sink had frames before it when the topic was read: what it lacks may be among them.
    is_behind: bool,
}

/// What a topic has of one producer.
#[derive(Debug, Default)]
struct Found {
    /// Every message.
    all: Numbers,
    /// Those whose record is in the range and settled: the table must have it.
    due: Numbers,
}

/// What is reported of the topic as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct KafkaCost {
    /// Messages read.
    pub messages: u64,
    /// Messages without the headers of an identity: not Tollgate's.
    pub without_identity: u64,
    /// Producers that have settled records of the range in Kafka, and none in the table.
    pub only_in_kafka: ByProducer<CountedRuns>,
}

impl TopicContents {
    /// Reads what the range needs.
    ///
    /// # Errors
    /// The topic cannot be read.
    pub fn read(topic: &dyn Topic, range: &Range, terms: &Terms, is_behind: bool) -> Result<Self, AuditError> {
        let mut contents = Self { is_behind, ..Self::default() };
        let due_ms = due_ms(range, terms);
        let from_ms = range.since_us.map(|since| since / 1_000 - EARLIER_MS);
        contents.consumed =
            topic.read(from_ms, &mut |identity| contents.add(&identity, &due_ms)).map_err(AuditError::Source)?;
        Ok(contents)
    }

    fn add(&mut self, identity: &Identity<'_>, due_ms: &Bounds<i64>) {
        // Looked up before it is entered: a producer's name is allocated once, not for each of its messages.
        if !self.by_producer.contains_key(identity.producer) {
            self.by_producer.insert(identity.producer.to_owned(), Found::default());
        }
        let Some(found) = self.by_producer.get_mut(identity.producer) else { return };
        found.all.add(identity.seq);
        if identity.time_ms.is_some_and(|time| due_ms.contains(&time)) {
            found.due.add(identity.seq);
        }
    }

    /// What the topic has of a producer that the table knows. `letters` are the numbers in the dead letters of the Kafka sink,
    /// `aside` those in folders.
    pub(crate) fn verdict(
        &self,
        verdict: &Verdict,
        observed: &Observed,
        letters: &Runs,
        aside: &[(String, Runs)],
    ) -> KafkaVerdict {
        let nothing = Found::default();
        let found = self.by_producer.get(&verdict.producer).unwrap_or(&nothing);
        let expected = expected(observed, verdict);
        let mut told = compare(&expected, &found.all, verdict, observed.settled, letters, self.is_behind);
        told.not_in_table = CountedRuns::of(&not_in_table(observed, &found.due.runs(), aside));
        told
    }

    /// What the topic has of producers that have no verdict: the table has nothing of them in the range.
    pub(crate) fn without_verdict<'a>(
        &'a self,
        is_asked: impl Fn(&str) -> bool + 'a,
    ) -> impl Iterator<Item = (&'a String, Runs)> + 'a {
        self.by_producer.iter().filter(move |(name, _)| is_asked(name)).map(|(name, found)| (name, found.due.runs()))
    }

    pub(crate) fn cost(&self, only_in_kafka: ByProducer<CountedRuns>) -> KafkaCost {
        let Consumed { messages, without_identity } = self.consumed;
        KafkaCost { messages, without_identity, only_in_kafka }
    }
}

/// The times of messages whose records are surely in the range and settled. A message has whole milliseconds, a bound has
/// microseconds: the millisecond in which a bound lies is left out.
fn due_ms(range: &Range, terms: &Terms) -> Bounds<i64> {
    let before_us = range.until_us.map_or(terms.settled_before_us, |until| until.min(terms.settled_before_us));
    terms.complete_from_us.div_euclid(1_000) + 1..before_us.div_euclid(1_000)
}

/// The rows that Kafka must have of a producer: one message for each record, and one for each gap row at its first number.
fn expected(observed: &Observed, verdict: &Verdict) -> Runs {
    let gaps = observed.account.shed.iter().map(|shed| Run { first: shed.run.first, last: shed.run.first }).collect();
    observed.account.runs.union(&gaps).within(verdict.first_seq, verdict.last_seq)
}

/// What is due and neither in the table nor known to lie elsewhere.
pub(crate) fn not_in_table(observed: &Observed, due: &Runs, aside: &[(String, Runs)]) -> Runs {
    let absent = due.without(&observed.account.runs).without(&observed.account.shed_runs());
    aside.iter().fold(absent, |left, (_, numbers)| left.without(numbers))
}

fn compare(
    expected: &Runs,
    consumed: &Numbers,
    verdict: &Verdict,
    settled: Option<i64>,
    dead_letters: &Runs,
    is_behind: bool,
) -> KafkaVerdict {
    let numbers = consumed.runs().within(verdict.first_seq, verdict.last_seq);
    let absent = expected.without(&numbers);
    let dead = absent.intersection(dead_letters);
    let absent = absent.without(&dead);
    let settled = settled.map_or_else(Runs::default, |settled| absent.within(verdict.first_seq, settled));
    let missing = if is_behind { Runs::default() } else { settled };
    KafkaVerdict {
        present: expected.intersection(&numbers).count(),
        pending: CountedRuns::of(&absent.without(&missing)),
        missing: CountedRuns::of(&missing),
        dead_lettered: dead.count(),
        copies: consumed.added().saturating_sub(consumed.runs().count()),
        beyond_table: CountedRuns::of(&numbers.without(expected)),
        not_in_table: CountedRuns::default(),
    }
}

#[cfg(test)]
mod tests {
    use tollgate_account::Shed;

    use super::*;

    #[test]
    fn what_is_due_must_be_in_the_table_or_known_to_lie_elsewhere() {
        let mut seen = Observed::default();
        seen.account.runs = Runs::between(1, 10);
        seen.account.shed = vec![Shed { run: Run { first: 11, last: 12 }, reason: String::new() }];
        // Beyond the highest number that the table has, too: Kafka is what tells of the tail that the table lost.
        let due = Runs::between(5, 20);
        assert_eq!(not_in_table(&seen, &due, &[]).to_string(), "13..20");
        let aside = [("dead letters".to_owned(), Runs::between(13, 18))];
        assert_eq!(not_in_table(&seen, &due, &aside).to_string(), "19..20");
        assert_eq!(not_in_table(&Observed::default(), &Runs::between(1, 2), &[]).to_string(), "1..2");
    }

    #[test]
    fn a_message_is_due_when_its_record_is_surely_in_the_range_and_settled() {
        let terms = Terms { complete_from_us: 5_500, settled_before_us: 20_500 };
        let range = Range { since_us: None, until_us: None, settled_before_us: 20_500, now_us: 30_000 };
        assert_eq!(due_ms(&range, &terms), 6..20);
        assert_eq!(due_ms(&Range { until_us: Some(10_000), ..range }, &terms), 6..10);
    }
}
