//! A target of a service: written as a URL, or as a map with a URL and a weight.

use std::fmt;

use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Weight of a target that is written as a URL alone.
const WEIGHT: u32 = 1;

/// An upstream of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `http://host[:port]`, `https://host[:port]` or `unix:/path`.
    pub url: String,
    /// Share of the requests, relative to the other targets' weights.
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

/// A target written as a map.
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
