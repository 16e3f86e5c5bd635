//! Compares the ledgers with the table and Kafka.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use tollgate_record::id::{ProducerName, producer_tag};

use super::audit;
use super::proxies::{End, Incarnation, Spooled};
use super::stored::Stored;
use crate::prober::Acks;
use crate::traffic::Ledger;

/// Node of the proxy.
const NODE: &str = "edge-1";
/// Problems of one kind that are listed one by one.
const LISTED_MAX: usize = 5;

/// The ledgers, and the processes' own counts.
pub struct Evidence<'a> {
    /// The clients' ledger.
    pub clients: &'a Ledger,
    /// The prober's ledger.
    pub acks: &'a Acks,
    /// The proxy's processes.
    pub incarnations: &'a [Incarnation],
    /// Records that killed proxies left in the spool.
    pub spooled: &'a Spooled,
    /// The table.
    pub table: &'a Stored,
    /// Kafka.
    pub kafka: &'a Stored,
    /// The account of `tollgate audit`.
    pub account: &'a Value,
}

/// The outcome.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Answered requests with exactly one row.
    pub answered_once: usize,
    /// Answered requests whose records were shed, by gap records.
    pub answered_shed: usize,
    /// Answered requests without a row, of a killed proxy that had not sent them, by epoch.
    pub lost_unsent: BTreeMap<u64, usize>,
    /// Of these, those after the last row of their producer: their number shows in no break of `seq`.
    pub lost_at_end: usize,
    /// Acknowledged records without a row, by cycle of their acknowledgement: there must be none.
    pub acked_lost: Vec<i64>,
    /// Records with more than one row: there must be none.
    pub doubled: usize,
    /// Those of them that the prober had acknowledged, by their `seq`.
    pub acked_doubled: Vec<i64>,
    /// Those of them that a client was answered, by their place in its ledger.
    pub answered_doubled: Vec<usize>,
    /// Records that Kafka holds more than once, which is allowed.
    pub kafka_repeated: usize,
    /// Numbers that the audit accounts for.
    pub audited: u64,
    /// Numbers that the audit calls missing: breaks in `seq` that killed proxies left.
    pub missing: u64,
    /// All that is wrong. Empty = conserved.
    pub problems: Vec<String>,
}

impl Verdict {
    /// Compares.
    #[must_use]
    pub fn of(evidence: &Evidence<'_>) -> Self {
        let mut verdict = Self::default();
        verdict.check_clients(evidence);
        verdict.check_incarnations(evidence);
        verdict.check_acks(evidence);
        verdict.check_table(evidence);
        if let Err(error) = evidence.table.is_within(evidence.kafka) {
            verdict.problems.push(format!("in the table, not in Kafka: {error:#}"));
        }
        if let Err(error) = audit::agrees(evidence.account, evidence.table) {
            verdict.problems.push(format!("the audit and the table disagree: {error:#}"));
        }
        verdict.audited = evidence.account["totals"]["issued"].as_u64().unwrap_or(0);
        verdict.missing = evidence.account["totals"]["missing"].as_u64().unwrap_or(0);
        verdict.kafka_repeated = evidence.kafka.repeated().count();
        verdict
    }

    fn list(&mut self, what: &str, found: &[String]) {
        if !found.is_empty() {
            let some = &found[..found.len().min(LISTED_MAX)];
            self.problems.push(format!("{} {what}: {}", found.len(), some.join(", ")));
        }
    }

    /// Every answered request has one row, or was shed and is told to be, or was lost with a killed proxy.
    fn check_clients(&mut self, evidence: &Evidence<'_>) {
        let epochs = epochs_by_tag(evidence.clients);
        let producers = evidence.table.rows.keys().chain(evidence.table.gaps.keys());
        let producers: HashMap<u32, &str> = producers.map(|name| (producer_tag(name), name.as_str())).collect();
        let mut missing = Vec::new();
        for (place, answered) in evidence.clients.answered.iter().enumerate() {
            let (tag, seq) = (answered.id.producer_tag(), answered.id.seq());
            let producer = producers.get(&tag).copied().unwrap_or_default();
            let times = evidence.table.times(producer, seq);
            if times > 1 {
                self.answered_doubled.push(place);
            } else if times == 1 {
                self.answered_once += 1;
            } else if evidence.table.is_shed(producer, seq) {
                self.answered_shed += 1;
            } else if let Some(epoch) = epochs.get(&tag).copied().filter(|epoch| {
                evidence.incarnations.get(*epoch as usize).is_some_and(|incarnation| incarnation.end == End::Killed)
            }) {
                *self.lost_unsent.entry(epoch).or_default() += 1;
                let last = evidence.table.rows.get(producer).and_then(|rows| rows.keys().next_back());
                self.lost_at_end += usize::from(last.is_none_or(|last| *last < seq));
            } else {
                missing.push(format!("{} ({producer} {seq})", answered.id));
            }
        }
        self.list("answered requests have no row, and no kill explains it", &missing);
        if evidence.clients.nameless > 0 {
            self.problems.push(format!("{} answers had no X-Request-Id", evidence.clients.nameless));
        }
    }

    /// No process lost more than what it had not sent: what its collector had acknowledged, and what its spool held, is there.
    fn check_incarnations(&mut self, evidence: &Evidence<'_>) {
        let epochs = epochs_by_start(evidence);
        let mut stored: BTreeMap<u64, usize> = BTreeMap::new();
        for (producer, rows) in &evidence.table.rows {
            let start = ProducerName::parse(producer).map_or(0, |name| name.start_us);
            if let Some(epoch) = epochs.get(&start) {
                *stored.entry(*epoch).or_default() += rows.len();
            }
        }
        for (epoch, incarnation) in evidence.incarnations.iter().enumerate() {
            let rows = stored.get(&(epoch as u64)).copied().unwrap_or(0);
            if (rows as f64) < incarnation.acked_min {
                let acked = incarnation.acked_min;
                self.problems
                    .push(format!("proxy process {epoch} had {acked} records acknowledged, {rows} are stored"));
            }
        }
        let spooled = evidence.spooled.iter().flat_map(|(producer, seqs)| seqs.iter().map(move |seq| (producer, *seq)));
        let lost = spooled.filter(|(producer, seq)| evidence.table.times(producer, *seq) == 0);
        let lost: Vec<String> = lost.map(|(producer, seq)| format!("{producer} {seq}")).collect();
        self.list("spooled records of killed proxies are not stored", &lost);
    }

    /// Every acknowledged batch of the prober is there.
    fn check_acks(&mut self, evidence: &Evidence<'_>) {
        let acks = evidence.acks;
        let seqs = acks.acknowledged.iter().flat_map(|(first, last)| *first..=*last);
        self.acked_lost = seqs.filter(|seq| evidence.table.times(&acks.producer, *seq) == 0).collect();
        let seqs = acks.acknowledged.iter().flat_map(|(first, last)| *first..=*last);
        self.acked_doubled = seqs.filter(|seq| evidence.table.times(&acks.producer, *seq) > 1).collect();
        let lost: Vec<String> = self.acked_lost.iter().map(|seq| format!("{} {seq}", acks.producer)).collect();
        self.list("ACKNOWLEDGED records are not stored", &lost);
        self.list("posts were answered wrongly", &acks.wrong);
        if acks.without_retry_after > 0 {
            self.problems.push(format!("{} refusals had no Retry-After", acks.without_retry_after));
        }
    }

    /// No row twice, none that is told to be shed, none of a producer that nobody knows.
    fn check_table(&mut self, evidence: &Evidence<'_>) {
        let doubled: Vec<String> =
            evidence.table.repeated().map(|(producer, seq, times)| format!("{producer} {seq} {times} times")).collect();
        self.doubled = doubled.len();
        self.list("records have more than one row", &doubled);
        let rows = evidence.table.rows.iter().flat_map(|(producer, rows)| rows.keys().map(move |seq| (producer, *seq)));
        let both = rows.filter(|(producer, seq)| evidence.table.is_shed(producer, *seq));
        let both: Vec<String> = both.map(|(producer, seq)| format!("{producer} {seq}")).collect();
        self.list("stored records are told to be shed", &both);
        let strangers = evidence.table.rows.keys().filter(|producer| {
            let of_proxy = ProducerName::parse(producer).is_ok_and(|name| name.node_id == NODE);
            !of_proxy && **producer != evidence.acks.producer
        });
        let strangers: Vec<String> = strangers.cloned().collect();
        self.list("producers are unknown", &strangers);
    }
}

/// Which of the proxy's processes a producer's tag belongs to. A client notes the epoch before it sends, and an epoch begins
/// when the process before is gone: the largest that is noted is the right one.
fn epochs_by_tag(clients: &Ledger) -> HashMap<u32, u64> {
    let mut epochs = HashMap::new();
    for answered in &clients.answered {
        let epoch: &mut u64 = epochs.entry(answered.id.producer_tag()).or_insert(answered.epoch);
        *epoch = (*epoch).max(answered.epoch);
    }
    epochs
}

/// The same by the process's start, which is in the names of all its workers, also of those that answered nobody.
fn epochs_by_start(evidence: &Evidence<'_>) -> HashMap<i64, u64> {
    let by_tag = epochs_by_tag(evidence.clients);
    let known = evidence.table.rows.keys().filter_map(|producer| {
        Some((ProducerName::parse(producer).ok()?.start_us, *by_tag.get(&producer_tag(producer))?))
    });
    known.collect()
}
