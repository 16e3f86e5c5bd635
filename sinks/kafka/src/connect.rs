//! Reaching the cluster: the topic, its limits, and a producer for it. Everything here may block.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, Producer};
use tokio::runtime::Handle;
use tollgate_sink::SinkError;

use crate::config::KafkaConfig;
use crate::reports::Reports;

/// How often a topic that was just created is looked for.
const TOPIC_POLL: Duration = Duration::from_millis(100);

/// How long the client is asked for its complaints about connections.
const COMPLAINT_POLL: Duration = Duration::from_millis(20);

/// A producer and the limit it was made for.
pub(crate) struct Link {
    pub(crate) producer: BaseProducer<Reports>,
    /// Largest message it takes, in bytes.
    pub(crate) message_bytes_max: u64,
}

impl Link {
    fn make(config: &KafkaConfig, message_bytes_max: u64) -> Result<Self, SinkError> {
        let settings = config.producer(message_bytes_max).map_err(|fault| retry(fault.to_string()))?;
        let producer = settings
            .create_with_context(Reports::default())
            .map_err(|error| retry(format!("the client cannot be made: {error}")))?;
        Ok(Self { producer, message_bytes_max })
    }

    /// Takes the reports of one answer of a broker; whether there were any.
    pub(crate) fn take_reports(&self) -> bool {
        let before = self.producer.context().reported();
        self.producer.poll(Duration::ZERO);
        self.producer.context().reported() != before
    }

    /// The sentence, with what the client has last been heard to say about its connections.
    pub(crate) fn with_complaint(&self, sentence: &str) -> String {
        match self.producer.context().complaint() {
            Some(complaint) => format!("{sentence} ({complaint})"),
            None => sentence.to_owned(),
        }
    }

    fn unreachable(&self, sentence: &str) -> SinkError {
        self.producer.poll(COMPLAINT_POLL);
        retry(self.with_complaint(sentence))
    }

    /// Why the client is broken for good, if it is.
    pub(crate) fn fatal(&self) -> Option<String> {
        let (code, reason) = self.producer.client().fatal_error()?;
        Some(format!("fatal client error {code}: {reason}"))
    }

    /// Waits until a broker answers.
    fn reach(&self, config: &KafkaConfig) -> Result<(), SinkError> {
        if self.producer.client().fetch_cluster_id(config.connect_timeout.duration()).is_some() {
            return Ok(());
        }
        Err(self.unreachable(&format!("no broker of {} answers", config.brokers.join(", "))))
    }

    /// Waits until the topic has partitions.
    fn find_topic(&self, config: &KafkaConfig) -> Result<(), SinkError> {
        let deadline = Instant::now() + config.connect_timeout.duration();
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).max(TOPIC_POLL);
            let found = self.producer.client().fetch_metadata(Some(&config.topic), left);
            let partitions = match &found {
                Ok(metadata) => metadata.topics().iter().map(|topic| topic.partitions().len()).sum(),
                Err(_) => 0,
            };
            if partitions > 0 {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let sentence = match found {
                    Ok(_) => format!("topic {} does not exist or may not be seen", config.topic),
                    Err(error) => format!("topic {}: {error}", config.topic),
                };
                return Err(self.unreachable(&sentence));
            }
            std::thread::sleep(TOPIC_POLL);
        }
    }
}

fn retry(reason: String) -> SinkError {
    SinkError::Retry { reason, after: None }
}

/// Connects: makes sure of the topic, reads its limit, and answers a producer that has seen the topic.
pub(crate) fn connect(config: &KafkaConfig, runtime: &Handle) -> Result<Link, SinkError> {
    let mut link = Link::make(config, config.message_bytes_max.bytes())?;
    link.reach(config)?;
    let desk = Desk::open(config, runtime)?;
    if config.topic_create {
        desk.create_topic()
            .map_err(|why| link.unreachable(&format!("topic {} cannot be created: {why}", config.topic)))?;
    }
    let message_bytes_max = desk.message_bytes_max();
    if message_bytes_max != link.message_bytes_max {
        link = Link::make(config, message_bytes_max)?;
    }
    link.find_topic(config)?;
    Ok(link)
}

/// The largest message that the topic takes now.
pub(crate) fn message_bytes_max(config: &KafkaConfig, runtime: &Handle) -> Result<u64, SinkError> {
    Ok(Desk::open(config, runtime)?.message_bytes_max())
}

/// Where topics are asked about and made, with the rights of this client.
struct Desk<'a> {
    admin: AdminClient<Reports>,
    config: &'a KafkaConfig,
    runtime: &'a Handle,
}

impl<'a> Desk<'a> {
    fn open(config: &'a KafkaConfig, runtime: &'a Handle) -> Result<Self, SinkError> {
        let settings = config.client().map_err(|fault| retry(fault.to_string()))?;
        let admin = AdminClient::from_config_and_context(&settings, Reports::default())
            .map_err(|error| retry(format!("the client cannot be made: {error}")))?;
        Ok(Self { admin, config, runtime })
    }

    fn options(&self) -> AdminOptions {
        let timeout = self.config.connect_timeout.duration();
        AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout))
    }

    /// Creates the topic; that it exists, or that this client may not create any, is fine.
    fn create_topic(&self) -> Result<(), String> {
        let KafkaConfig { topic, topic_partitions, topic_replication, .. } = self.config;
        // -1 asks for the cluster's default.
        let replication = TopicReplication::Fixed(topic_replication.map_or(-1, i32::from));
        let new = NewTopic::new(topic, i32::from(*topic_partitions), replication);
        let outcome = self.runtime.block_on(self.admin.create_topics([&new], &self.options()));
        let code = match outcome {
            Ok(results) => match results.into_iter().next() {
                None | Some(Ok(_)) => return Ok(()),
                Some(Err((_, code))) => code,
            },
            Err(error) => error.rdkafka_error_code().ok_or_else(|| error.to_string())?,
        };
        use RDKafkaErrorCode as Code;
        match code {
            // Without the right, or on a broker that cannot, the topic may still be there: the producer will see.
            Code::TopicAlreadyExists
            | Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::UnsupportedFeature => Ok(()),
            code => Err(code.to_string()),
        }
    }

    /// The configured limit, lowered to the topic's where that may be read. A message set never exceeds it either, so
    /// that what a broker refuses as too large is a single message and not a set of small ones.
    fn message_bytes_max(&self) -> u64 {
        let configured = self.config.message_bytes_max.bytes();
        let topic = ResourceSpecifier::Topic(&self.config.topic);
        let described = self.runtime.block_on(self.admin.describe_configs([&topic], &self.options()));
        described
            .ok()
            .and_then(|resources| resources.into_iter().next()?.ok())
            .and_then(|resource| resource.get("max.message.bytes")?.value.as_deref()?.parse::<u64>().ok())
            .map_or(configured, |limit| limit.clamp(1_000, configured))
    }
}
