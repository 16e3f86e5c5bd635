//! What a service or a route asks of its callers: methods of authentication, and who may.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tollgate_config::Spanned;

/// Names of the methods, as they are written.
const METHODS: &[&str] = &["mtls", "api_key", "basic", "jwt", "oauth2", "hmac", "oidc_session"];
/// Header of an API key that names no place.
const API_KEY_HEADER: &str = "x-api-key";

/// What callers must present: `none`, or methods of which one or all must succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// Nothing, said on purpose.
    None,
    /// Methods.
    Methods {
        /// Whether each of them must succeed (`all_of`); else one (`any_of`).
        all: bool,
        /// The methods, in the order in which they are named to callers.
        methods: Vec<Spanned<AuthMethod>>,
        /// Whether requests without any credential are let in.
        optional: bool,
    },
}

/// One method of authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthMethod {
    /// A client certificate of a consumer.
    Mtls,
    /// A key of a consumer.
    ApiKey(ApiKeyPlace),
    /// Name and password of a consumer.
    Basic(Forward),
    /// A signed token of a provider.
    Jwt(ProviderUse),
    /// A token that its provider is asked about.
    Oauth2(ProviderUse),
    /// A signature over the request (RFC 9421).
    Hmac(Forward),
    /// A session that a proxy in front asserts; names one of `identity.assertions`.
    OidcSession(ProviderUse),
}

/// Where an API key is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyPlace {
    /// Header field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<Spanned<String>>,
    /// Key of the query, which is looked at where the header is absent; default: the query is not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<Spanned<String>>,
    /// Whether the key goes upstream.
    #[serde(default)]
    pub forward: bool,
}

/// Whether a credential goes upstream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Forward {
    /// Whether the credential goes upstream.
    pub forward: bool,
}

/// The provider of a token, or the assertion of a session: a name, or a map with `provider`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderUse {
    /// Name in `identity`.
    pub provider: Spanned<String>,
    /// Whether the credential goes upstream.
    pub forward: bool,
}

/// Names of an `allow` or a `deny`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccessNames {
    /// Groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Spanned<String>>,
    /// Consumers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub consumers: Vec<Spanned<String>>,
    /// Issuers, as in `iss`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub issuers: Vec<Spanned<String>>,
}

impl Auth {
    /// The methods; none for `none`.
    #[must_use]
    pub fn methods(&self) -> &[Spanned<AuthMethod>] {
        match self {
            Self::None => &[],
            Self::Methods { methods, .. } => methods,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Methods {
    #[serde(default)]
    any_of: Option<Vec<Spanned<AuthMethod>>>,
    #[serde(default)]
    all_of: Option<Vec<Spanned<AuthMethod>>>,
    #[serde(default)]
    optional: bool,
}

impl<'de> Deserialize<'de> for Auth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Auth;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`none`, or a map with `any_of` or `all_of`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Auth, E> {
                match text {
                    "none" => Ok(Auth::None),
                    _ => Err(E::custom("write `none`, or a map with `any_of` or `all_of`")),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Auth, A::Error> {
                let Methods { any_of, all_of, optional } = Methods::deserialize(MapAccessDeserializer::new(map))?;
                match (any_of, all_of) {
                    (Some(methods), None) => Ok(Auth::Methods { all: false, methods, optional }),
                    (None, Some(methods)) => Ok(Auth::Methods { all: true, methods, optional }),
                    _ => Err(de::Error::custom("write either `any_of` or `all_of`, with a list of methods")),
                }
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl Serialize for Auth {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_str("none"),
            Self::Methods { all, methods, optional } => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry(if *all { "all_of" } else { "any_of" }, methods)?;
                map.serialize_entry("optional", optional)?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for AuthMethod {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = AuthMethod;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a method, as `mtls` or `{jwt: PROVIDER}`")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<AuthMethod, E> {
                let forward = Forward::default();
                match name {
                    "mtls" => Ok(AuthMethod::Mtls),
                    "api_key" => Ok(AuthMethod::ApiKey(ApiKeyPlace::default())),
                    "basic" => Ok(AuthMethod::Basic(forward)),
                    "hmac" => Ok(AuthMethod::Hmac(forward)),
                    "jwt" | "oauth2" | "oidc_session" => {
                        Err(E::custom(format!("`{name}` needs a name of `identity`; write `{{{name}: NAME}}`")))
                    }
                    other => Err(E::unknown_variant(other, METHODS)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<AuthMethod, A::Error> {
                let one = "write one method an item, as `{jwt: PROVIDER}`";
                let Some(name) = map.next_key::<String>()? else { return Err(de::Error::custom(one)) };
                let method = match name.as_str() {
                    "mtls" => map.next_value::<Empty>().map(|_| AuthMethod::Mtls)?,
                    "api_key" => AuthMethod::ApiKey(map.next_value()?),
                    "basic" => AuthMethod::Basic(map.next_value()?),
                    "hmac" => AuthMethod::Hmac(map.next_value()?),
                    "jwt" => AuthMethod::Jwt(map.next_value()?),
                    "oauth2" => AuthMethod::Oauth2(map.next_value()?),
                    "oidc_session" => AuthMethod::OidcSession(map.next_value()?),
                    other => return Err(de::Error::unknown_field(other, METHODS)),
                };
                match map.next_key::<String>()? {
                    None => Ok(method),
                    Some(_) => Err(de::Error::custom(one)),
                }
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl Serialize for AuthMethod {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        fn entry<S: Serializer>(serializer: S, name: &str, value: &impl Serialize) -> Result<S::Ok, S::Error> {
            let mut map = serializer.serialize_map(Some(1))?;
            map.serialize_entry(name, value)?;
            map.end()
        }
        match self {
            Self::Mtls => serializer.serialize_str("mtls"),
            Self::ApiKey(place) => entry(serializer, "api_key", place),
            Self::Basic(forward) => entry(serializer, "basic", forward),
            Self::Jwt(provider) => entry(serializer, "jwt", provider),
            Self::Oauth2(provider) => entry(serializer, "oauth2", provider),
            Self::Hmac(forward) => entry(serializer, "hmac", forward),
            Self::OidcSession(provider) => entry(serializer, "oidc_session", provider),
        }
    }
}

/// A map without keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Empty {}

impl Default for ApiKeyPlace {
    fn default() -> Self {
        Self { header: Some(Spanned::nowhere(API_KEY_HEADER.to_owned())), query: None, forward: false }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenUse {
    provider: Spanned<String>,
    #[serde(default)]
    forward: bool,
}

impl<'de> Deserialize<'de> for ProviderUse {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = ProviderUse;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name, or a map with `provider` and `forward`")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<ProviderUse, E> {
                Ok(ProviderUse { provider: Spanned::nowhere(name.to_owned()), forward: false })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ProviderUse, A::Error> {
                let WrittenUse { provider, forward } = WrittenUse::deserialize(MapAccessDeserializer::new(map))?;
                Ok(ProviderUse { provider, forward })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl Serialize for ProviderUse {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !self.forward {
            return self.provider.serialize(serializer);
        }
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("provider", &self.provider)?;
        map.serialize_entry("forward", &self.forward)?;
        map.end()
    }
}
