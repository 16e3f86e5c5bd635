//! What a service says about its upstreams: targets, protocol, balancing, health. Every key has its default here.

use std::fmt;

use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tollgate_config::{ConfigDuration, Spanned};

/// The weight of a target that names none.
const WEIGHT: u32 = 1;

/// One target: an address, or an address with a weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `http://host[:port]`, `https://host[:port]` or `unix:/path`.
    pub url: String,
    /// Share of the requests, beside the other targets' weights.
    pub weight: u32,
}

impl From<&str> for Target {
    fn from(url: &str) -> Self {
        Self { url: url.to_owned(), weight: WEIGHT }
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.weight == WEIGHT {
            return serializer.serialize_str(&self.url);
        }
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("url", &self.url)?;
        map.serialize_entry("weight", &self.weight)?;
        map.end()
    }
}

/// The long form of a target.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Weighted {
    url: String,
    #[serde(default = "default_weight")]
    weight: u32,
}

fn default_weight() -> u32 {
    WEIGHT
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Target;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a URL, or a map with `url` and `weight`")
            }

            fn visit_str<E: de::Error>(self, url: &str) -> Result<Target, E> {
                Ok(Target::from(url))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Target, A::Error> {
                let Weighted { url, weight } = Weighted::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Target { url, weight })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// What is spoken with an upstream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: by ALPN over TLS, by prior knowledge in plaintext (RFC 9113 section 3.3).
    Http2,
    /// Over TLS whichever ALPN agrees on, HTTP/2 preferred; HTTP/1.1 in plaintext.
    Auto,
}

/// Whether an upstream is told of the client in a PROXY protocol header.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyProtocol {
    /// It is not.
    #[default]
    None,
    /// Version 1, as text.
    V1,
    /// Version 2, binary.
    V2,
}

/// How a target is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// In turn, by weight.
    #[default]
    RoundRobin,
    /// The one with the fewest requests in flight for its weight, over all workers.
    LeastRequests,
}

/// What a service asks of an upstream's certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verify {
    /// A chain to the trusted authorities, valid now, for the name.
    #[default]
    Full,
    /// Nothing: encrypted, but to whom is anybody's guess.
    None,
}

/// When targets are passed over.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Health {
    /// By what transactions see.
    pub passive: Passive,
    /// By asking; default: nobody asks.
    pub active: Option<Active>,
    /// What happens when every target is out.
    pub all_out: AllOut,
}

/// What happens when every target of a service is out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AllOut {
    /// All are used as if none were out: a check that is wrong takes no API down.
    #[default]
    Serve,
    /// Requests are refused.
    Refuse,
}

/// Passing targets over by what transactions see.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Passive {
    /// Failures in a row that put a target out; 0 = never.
    pub failures: u32,
    /// How long it is out the first time; doubles while it goes on failing.
    pub ejection: ConfigDuration,
    /// How long it is out at most.
    pub ejection_max: ConfigDuration,
    /// Percentage of the targets that may be out at one time.
    pub ejected_percent_max: Spanned<u32>,
}

impl Default for Passive {
    fn default() -> Self {
        Self {
            failures: 5,
            ejection: ConfigDuration::secs(10),
            ejection_max: ConfigDuration::mins(5),
            ejected_percent_max: Spanned::nowhere(50),
        }
    }
}

/// Asking targets whether they are well.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Active {
    /// What to GET; without it, a connection (with its TLS handshake) is enough.
    #[serde(default)]
    pub path: Option<Spanned<String>>,
    /// From one check to the next.
    #[serde(default = "default_interval")]
    pub interval: ConfigDuration,
    /// For one check.
    #[serde(default = "default_check_timeout")]
    pub timeout: ConfigDuration,
    /// Failed checks in a row that put a target out.
    #[serde(default = "default_unhealthy")]
    pub unhealthy: u32,
    /// Good checks in a row that bring it back.
    #[serde(default = "default_healthy")]
    pub healthy: u32,
    /// Statuses that are good; default: 200 to 399.
    #[serde(default)]
    pub statuses: Vec<u16>,
}

fn default_interval() -> ConfigDuration {
    ConfigDuration::secs(10)
}
fn default_check_timeout() -> ConfigDuration {
    ConfigDuration::secs(2)
}
fn default_unhealthy() -> u32 {
    3
}
fn default_healthy() -> u32 {
    2
}

/// Bounds on trying again.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retries {
    /// Connections tried for one request, the first included.
    pub attempts_max: Spanned<u32>,
    /// Second attempts for every hundred requests to an upstream identity, for each worker.
    pub budget_percent: Spanned<u32>,
    /// Second attempts a second that are always allowed, for each worker and upstream identity.
    pub budget_per_second_min: Spanned<u32>,
    /// Bytes of a request body kept until the response begins, so that an HTTP/2 upstream that refuses a stream unseen
    /// can be asked again.
    pub replay_bytes_max: tollgate_config::ByteSize,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            attempts_max: Spanned::nowhere(3),
            budget_percent: Spanned::nowhere(20),
            budget_per_second_min: Spanned::nowhere(10),
            replay_bytes_max: tollgate_config::ByteSize::kib(64),
        }
    }
}
