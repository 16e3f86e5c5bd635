//! Who vouches for callers: issuers of tokens, and proxies in front that assert sessions.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tollgate_config::{ConfigDuration, ConfigPath, Spanned};

/// Who vouches for callers.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Identity {
    /// Issuers of tokens.
    pub providers: Vec<Provider>,
    /// Proxies in front that assert sessions.
    pub assertions: Vec<Assertion>,
}

/// An issuer of tokens.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// Name in `auth`.
    pub name: Spanned<String>,
    /// The issuer, compared exactly with `iss`.
    pub issuer: Spanned<String>,
    /// Where its keys come from.
    #[serde(default)]
    pub jwks: Spanned<KeySource>,
    /// Audiences, one of which a token must be for.
    pub audiences: Spanned<Audiences>,
    /// Signature algorithms that are accepted; asymmetric ones only.
    #[serde(default = "default_algorithms")]
    pub algorithms: Vec<Spanned<String>>,
    /// Difference of clocks that is tolerated.
    #[serde(default = "default_skew")]
    pub skew: ConfigDuration,
    /// Claim with the groups, as a dotted path: a list of strings, or one string that is split at blanks.
    #[serde(default)]
    pub groups_claim: Option<Spanned<String>>,
    /// Claim that names the consumer, as a dotted path.
    #[serde(default)]
    pub consumer_claim: Option<Spanned<String>>,
    /// How the issuer is asked about tokens (RFC 7662).
    #[serde(default)]
    pub introspection: Option<Introspection>,
    /// TLS towards the issuer.
    #[serde(default)]
    pub tls: ProviderTls,
}

/// Where the keys of an issuer come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum KeySource {
    /// From its metadata, at `/.well-known/openid-configuration` below the issuer.
    #[default]
    Discover,
    /// From a key set at a URL.
    Url(String),
    /// From a key set in a file.
    File(ConfigPath),
}

/// Audiences of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audiences {
    /// Tokens for anybody are accepted, said by name.
    Any,
    /// One of these.
    Of(Vec<String>),
}

/// How an issuer is asked about tokens.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Introspection {
    /// The endpoint.
    pub url: Spanned<String>,
    /// Name of this gateway at the issuer.
    pub client_id: Spanned<String>,
    /// File with the secret of this gateway at the issuer.
    pub client_secret_file: Spanned<ConfigPath>,
    /// Time for which a token is taken to be active without asking again.
    #[serde(default = "default_active_ttl")]
    pub active_ttl: Spanned<ConfigDuration>,
    /// Time for which a token is taken to be inactive without asking again.
    #[serde(default = "default_inactive_ttl")]
    pub inactive_ttl: Spanned<ConfigDuration>,
}

/// TLS towards an issuer.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderTls {
    /// PEM file with the authorities to trust; default: the system's.
    pub ca: Option<Spanned<ConfigPath>>,
}

/// A proxy in front that asserts sessions: in a token of a provider, or in plain fields.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Assertion {
    /// Name in `auth`.
    pub name: Spanned<String>,
    /// Networks of those who may assert; from anybody else the fields are removed.
    pub from: Spanned<Vec<Spanned<String>>>,
    /// Field with a token of `provider`.
    #[serde(default)]
    pub header: Option<Spanned<String>>,
    /// Issuer of the token in `header`.
    #[serde(default)]
    pub provider: Option<Spanned<String>>,
    /// Field with the user's name, in plain text.
    #[serde(default)]
    pub user_header: Option<Spanned<String>>,
    /// Field with the user's groups, in plain text, split at commas.
    #[serde(default)]
    pub groups_header: Option<Spanned<String>>,
}

fn default_algorithms() -> Vec<Spanned<String>> {
    ["RS256", "ES256"].map(|name| Spanned::nowhere(name.to_owned())).into()
}
fn default_skew() -> ConfigDuration {
    ConfigDuration::secs(30)
}
fn default_active_ttl() -> Spanned<ConfigDuration> {
    ConfigDuration::secs(30).into()
}
fn default_inactive_ttl() -> Spanned<ConfigDuration> {
    ConfigDuration::secs(10).into()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSource {
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    file: Option<ConfigPath>,
}

impl<'de> Deserialize<'de> for KeySource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        const CURE: &str = "write `discover`, `{url: URL}` or `{file: FILE}`";
        impl<'de> Visitor<'de> for Either {
            type Value = KeySource;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`discover`, `{url: URL}` or `{file: FILE}`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<KeySource, E> {
                if text == "discover" { Ok(KeySource::Discover) } else { Err(E::custom(CURE)) }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<KeySource, A::Error> {
                match WrittenSource::deserialize(MapAccessDeserializer::new(map))? {
                    WrittenSource { url: Some(url), file: None } => Ok(KeySource::Url(url)),
                    WrittenSource { url: None, file: Some(file) } => Ok(KeySource::File(file)),
                    _ => Err(de::Error::custom(CURE)),
                }
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl Serialize for KeySource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if *self == Self::Discover {
            return serializer.serialize_str("discover");
        }
        let mut map = serializer.serialize_map(Some(1))?;
        match self {
            Self::Discover => {}
            Self::Url(url) => map.serialize_entry("url", url)?,
            Self::File(file) => map.serialize_entry("file", file)?,
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Audiences {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Audiences;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of audiences, or `any`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Audiences, E> {
                let cure = "write a list of audiences, as `[members-api]`, or `any` to check none";
                if text == "any" { Ok(Audiences::Any) } else { Err(E::custom(cure)) }
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, list: A) -> Result<Audiences, A::Error> {
                Vec::deserialize(de::value::SeqAccessDeserializer::new(list)).map(Audiences::Of)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl Serialize for Audiences {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Any => serializer.serialize_str("any"),
            Self::Of(audiences) => audiences.serialize(serializer),
        }
    }
}
