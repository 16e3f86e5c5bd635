//! The sink keeps the contract of all sinks.

use std::collections::BTreeMap;

use async_trait::async_trait;
use prometheus::Registry;
use serde_json::json;
use tollgate_sink::Sink;
use tollgate_sink::testkit::{Destination, Promise, Stored, passes};
use tollgate_sink_spans::{SpansConfig, SpansSink};

use crate::receiver::Receiver;

const PRODUCER: &str = "gate-1/6441d2f3a7c00/0";

#[async_trait]
impl Destination for Receiver {
    async fn open(&mut self) -> Box<dyn Sink> {
        // A frame takes two requests.
        let config = SpansConfig { batch_spans_max: 10, ..SpansConfig::new(self.endpoint()) };
        Box::new(SpansSink::new(config, &Registry::new()).expect("a fresh registry"))
    }

    /// The kit gives each span the record's number as its id.
    async fn stored(&mut self) -> Stored {
        let mut found = BTreeMap::new();
        for span in self.spans() {
            let id = span["span_id"].as_str().expect("an id");
            let seq = i64::from_str_radix(id, 16).expect("a number");
            *found.entry((PRODUCER.to_owned(), seq)).or_default() += 1;
        }
        Stored::Records(found)
    }

    fn promise(&self) -> Promise {
        Promise::AtLeastOnce
    }

    async fn set_failing(&mut self, failing: bool) -> bool {
        self.rules(if failing { json!({"status": 503}) } else { json!({}) });
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_keep_the_contract() {
    if Receiver::start(&[]).is_none() {
        return;
    }
    let receiver = async || Receiver::start(&[]).expect("it started before");
    passes(receiver).await.unwrap_or_else(|problem| panic!("{problem}"));
}
