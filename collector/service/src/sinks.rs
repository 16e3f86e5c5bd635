//! Every sink that there is: one line each in [`sinks!`].

use std::sync::Arc;

use prometheus::Registry;
use serde::{Deserialize, Serialize};
use tollgate_config::Diagnostics;
use tollgate_sink::Sink;
use tollgate_sink_kafka::{KafkaConfig, KafkaSink};
use tollgate_sink_metrics::{MetricsConfig, MetricsSink};
use tollgate_sink_spans::{SpansConfig, SpansSink};
use tollgate_table::{Table, TableConfig};

use crate::error::ServiceError;

/// The sinks that are open.
pub(crate) struct OpenSinks {
    /// Those that the configuration has, in the order of [`sinks!`].
    pub sinks: Vec<Box<dyn Sink>>,
    /// What the table sink shares with the queries.
    pub table: Option<Arc<Table>>,
}

/// What a sink may need besides its own section.
pub(crate) struct Surroundings<'a> {
    /// Its metrics are registered here.
    pub metrics: &'a Registry,
    /// The name of the journal that feeds it.
    pub journal_id: &'a str,
}

/// Declares the sinks: a key below `sinks`, the type of its section, and how a sink is opened from it.
///
/// The type brings serde, its defaults and a `check`, which answers its problems by the key below the section. The opening
/// function gets the section, the [`Surroundings`], and [`OpenSinks`] to put the sink into.
macro_rules! sinks {
    ($($(#[$doc:meta])* $key:ident: $section:ty => $open:ident,)*) => {
        /// Where records go from the journal. A sink that is absent is off.
        #[derive(Debug, Clone, Default, Deserialize, Serialize)]
        #[serde(deny_unknown_fields)]
        pub struct Sinks {
            $($(#[$doc])* #[serde(default)] pub $key: Option<$section>,)*
        }

        impl Sinks {
            /// The names of the sinks that are on.
            pub fn names(&self) -> Vec<&'static str> {
                let mut names = Vec::new();
                $(if self.$key.is_some() { names.push(stringify!($key)); })*
                names
            }

            /// Checks what types cannot express.
            pub(crate) fn check(&self, problems: &mut Diagnostics<'_>) {
                $(if let Some(section) = &self.$key {
                    problems.section(concat!("sinks.", stringify!($key)), section.check());
                })*
            }

            /// Opens the sinks that are on.
            pub(crate) async fn open(&self, surroundings: &Surroundings<'_>) -> Result<OpenSinks, ServiceError> {
                let mut open = OpenSinks { sinks: Vec::new(), table: None };
                $(if let Some(section) = &self.$key {
                    $open(section, surroundings, &mut open).await?;
                })*
                Ok(open)
            }
        }
    };
}

sinks! {
    /// The Delta Lake table, and the hot rows in front of it.
    table: TableConfig => open_table,
    /// Apache Kafka.
    kafka: KafkaConfig => open_kafka,
    /// Metrics derived from records.
    metrics: MetricsConfig => open_metrics,
    /// Transactions as spans, over OTLP.
    spans: SpansConfig => open_spans,
}

async fn open_table(
    section: &TableConfig,
    surroundings: &Surroundings<'_>,
    open: &mut OpenSinks,
) -> Result<(), ServiceError> {
    let opened = tollgate_sink_table::open(section.clone(), surroundings.journal_id).await;
    let (sink, table) = opened.map_err(ServiceError::of_part("opening the table"))?;
    open.sinks.push(Box::new(sink));
    open.table = Some(table);
    Ok(())
}

async fn open_kafka(section: &KafkaConfig, _: &Surroundings<'_>, open: &mut OpenSinks) -> Result<(), ServiceError> {
    let sink = KafkaSink::new(section.clone()).map_err(ServiceError::of_part("sinks.kafka"))?;
    open.sinks.push(Box::new(sink));
    Ok(())
}

async fn open_metrics(
    section: &MetricsConfig,
    surroundings: &Surroundings<'_>,
    open: &mut OpenSinks,
) -> Result<(), ServiceError> {
    open.sinks.push(Box::new(MetricsSink::new(section, surroundings.metrics)?));
    Ok(())
}

async fn open_spans(
    section: &SpansConfig,
    surroundings: &Surroundings<'_>,
    open: &mut OpenSinks,
) -> Result<(), ServiceError> {
    open.sinks.push(Box::new(SpansSink::new(section.clone(), surroundings.metrics)?));
    Ok(())
}
