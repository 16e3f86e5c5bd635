//! What is to be made up.

use tollgate_record::id::is_node_id;

/// Settings of made-up traffic. Equal settings give equal batches, byte for byte.
#[derive(Debug, Clone, PartialEq)]
pub struct Traffic {
    /// What all draws follow from.
    pub seed: u64,
    /// Time of the first record, in microseconds since the Unix epoch; also part of the producers' names.
    pub start_us: i64,
    /// Records a second of that time.
    pub rate: f64,
    /// Whether the rate follows the curve of a day, of which it is the mean.
    pub diurnal: bool,
    /// Records in all.
    pub records: u64,
    /// Services; the busiest comes first.
    pub services: usize,
    /// Exponent of Zipf's law for services.
    pub zipf_exponent: f64,
    /// Nodes that the records are from; the collector takes them only from a certificate that names them.
    pub nodes: Vec<String>,
    /// Workers of each node, each a producer.
    pub workers: u32,
    /// Records of one batch.
    pub batch_records: usize,
}

/// Settings that make no traffic.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct TrafficError {
    /// The setting.
    pub key: &'static str,
    /// What would be right.
    pub problem: String,
}

/// Most services that a world holds: each costs about a kilobyte.
pub(crate) const SERVICES_MAX: usize = 100_000;
/// Most producers.
const PRODUCERS_MAX: usize = 1_024;
/// Records of a batch, at most: what a proxy seals.
pub(crate) const BATCH_RECORDS_MAX: usize = 4_096;

impl Default for Traffic {
    /// A day's mean of 150 million records from 11,000 services, for ten seconds.
    fn default() -> Self {
        Self {
            seed: 1,
            start_us: 1_790_000_000_000_000,
            rate: 1_736.0,
            diurnal: false,
            records: 17_360,
            services: 11_000,
            zipf_exponent: 1.05,
            nodes: vec!["demo-1".to_owned()],
            workers: 8,
            batch_records: BATCH_RECORDS_MAX,
        }
    }
}

impl Traffic {
    /// How many producers there are.
    pub fn producers(&self) -> usize {
        self.nodes.len() * self.workers as usize
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// The first setting that is out of its bounds.
    pub fn check(&self) -> Result<(), TrafficError> {
        let refuse = |key, problem: String| Err(TrafficError { key, problem });
        if !(self.rate.is_finite() && self.rate > 0.0) {
            return refuse("rate", "must be more than 0 records a second".to_owned());
        }
        if !(1..=SERVICES_MAX).contains(&self.services) {
            return refuse("services", format!("must be within 1..={SERVICES_MAX}"));
        }
        if !(1..=BATCH_RECORDS_MAX).contains(&self.batch_records) {
            return refuse("batch-records", format!("must be within 1..={BATCH_RECORDS_MAX}"));
        }
        if !(1..=PRODUCERS_MAX).contains(&self.producers()) {
            return refuse("workers", format!("nodes times workers must be within 1..={PRODUCERS_MAX}"));
        }
        match self.nodes.iter().find(|node| !is_node_id(node)) {
            Some(node) => refuse("node", format!("{node:?} is no name of a node")),
            None => Ok(()),
        }
    }
}
