//! The callers that the configuration knows, and their credentials. No secret stands here: keys and passwords are
//! hashes, and the secrets of signatures are in files.

use serde::{Deserialize, Serialize};
use tollgate_config::{ConfigPath, Spanned};

/// A caller that the configuration knows.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Consumer {
    /// Name in records and in `allow` and `deny`.
    pub name: Spanned<String>,
    /// Groups that it is in.
    #[serde(default)]
    pub groups: Vec<Spanned<String>>,
    /// API keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub api_keys: Vec<ApiKey>,
    /// Names and passwords.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub basic: Vec<BasicLogin>,
    /// Client certificates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<Spanned<CertificateName>>,
    /// Secrets of signatures over requests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hmac: Vec<HmacSecret>,
    /// Tokens whose subject or client is this consumer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<TokenName>,
}

/// An API key.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// Name in records.
    pub id: Spanned<String>,
    /// SHA-256 of the key, in 64 hexadecimal digits.
    pub sha256: Spanned<String>,
    /// When it ends, as `2027-01-31T00:00:00Z`; default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Spanned<String>>,
}

/// A name with its password.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BasicLogin {
    /// The name; it is the credential's id in records.
    pub user: Spanned<String>,
    /// Hash of the password, as `$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH`.
    pub argon2: Spanned<String>,
    /// When it ends, as `2027-01-31T00:00:00Z`; default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Spanned<String>>,
}

/// What a client certificate of the consumer has: exactly one of these.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct CertificateName {
    /// A DNS name of its subject alternative name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub san_dns: Option<String>,
    /// A URI of its subject alternative name, as `spiffe://…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub san_uri: Option<String>,
    /// An e-mail address of its subject alternative name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub san_email: Option<String>,
    /// An IP address of its subject alternative name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub san_ip: Option<String>,
    /// The common name of its subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cn: Option<String>,
    /// SHA-256 of the certificate, in 64 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// The secret of signatures over requests.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HmacSecret {
    /// `keyid` of the signatures; it is the credential's id in records.
    pub key_id: Spanned<String>,
    /// File with the secret, at least 32 bytes.
    pub secret_file: Spanned<ConfigPath>,
}

/// Which tokens of a provider are this consumer's: those of a subject, or of a client.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TokenName {
    /// Name in `identity.providers`.
    pub provider: Spanned<String>,
    /// Value of `sub`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Spanned<String>>,
    /// Value of `azp`, `client_id` or the provider's `consumer_claim`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Spanned<String>>,
}
