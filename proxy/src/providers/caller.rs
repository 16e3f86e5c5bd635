//! Who a verified token speaks for, ready to be shared by requests.

use std::sync::Arc;

use tollgate_proxy_token::Claims;

/// Who a verified token speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// `iss`.
    pub issuer: Arc<str>,
    /// `sub`.
    pub subject: Option<Arc<str>>,
    /// `azp`, else `client_id`.
    pub client: Option<Arc<str>>,
    /// Value of the provider's consumer claim.
    pub consumer: Option<Arc<str>>,
    /// Groups that the token names.
    pub groups: Vec<Arc<str>>,
    /// Which credential it is: the client's id, else the id of the key that signed.
    pub credential_id: Option<Arc<str>>,
}

impl Caller {
    /// Takes the claims of a token, and the id of the key that signed it.
    #[must_use]
    pub fn new(issuer: &Arc<str>, claims: Claims, key_id: Option<String>) -> Self {
        let client: Option<Arc<str>> = claims.client.map(Arc::from);
        Self {
            issuer: issuer.clone(),
            subject: claims.subject.map(Arc::from),
            credential_id: client.clone().or(key_id.map(Arc::from)),
            client,
            consumer: claims.consumer.map(Arc::from),
            groups: claims.groups.into_iter().map(Arc::from).collect(),
        }
    }
}
