//! The sink keeps the contract of all sinks, as far as Prometheus sees it.

use async_trait::async_trait;
use prometheus::Registry;
use tollgate_sink::Sink;
use tollgate_sink::testkit::{Destination, Promise, Stored, passes};
use tollgate_sink_metrics::{MetricsConfig, MetricsSink};
use tollgate_telemetry::exposition;

/// The registries of all processes so far: Prometheus adds their counters up over restarts.
#[derive(Default)]
struct Scraped(Vec<Registry>);

#[async_trait]
impl Destination for Scraped {
    async fn open(&mut self) -> Box<dyn Sink> {
        let registry = Registry::new();
        let sink = MetricsSink::new(&MetricsConfig::default(), &registry).expect("a fresh registry");
        self.0.push(registry);
        Box::new(sink)
    }

    async fn stored(&mut self) -> Stored {
        let mut count = 0;
        for registry in &self.0 {
            let text = exposition(registry);
            let lines = text.lines().filter(|line| line.starts_with("tollgate_transactions_total{"));
            let values = lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
            count += values.sum::<u64>();
        }
        Stored::Count(count)
    }

    fn promise(&self) -> Promise {
        Promise::AtLeastOnce
    }
}

#[tokio::test]
async fn metrics_keep_the_contract() {
    passes(async || Scraped::default()).await.unwrap_or_else(|problem| panic!("{problem}"));
}
