//! A request's signatures, and their verification.

use aws_lc_rs::hmac;
use http::header::{DATE, HeaderMap};
use sfv::{BareItem, Dictionary, InnerList, ListEntry, Parser};

use super::base::{Request, signature_base};
use super::digest::BodyDigest;
use super::{FIELD_BYTES_MAX, MessageError, SECRET_BYTES_MIN, SIGNATURES_MAX};
use crate::claims::is_name;

const SIGNATURE: &str = "signature";
const SIGNATURE_INPUT: &str = "signature-input";

/// A shared secret. It is never shown.
pub struct Secret(hmac::Key);

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret")
    }
}

impl Secret {
    /// Takes a secret, or `None` if it has less than [`SECRET_BYTES_MIN`] bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() >= SECRET_BYTES_MIN).then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, bytes)))
    }
}

/// A signature over a request, not verified yet.
#[derive(Debug)]
pub struct Signed {
    /// Names the secret.
    pub key_id: String,
    base: String,
    signature: Vec<u8>,
    created_s: Option<u64>,
    expires_s: Option<u64>,
    date_s: Option<u64>,
    digest: Option<BodyDigest>,
}

/// A verified signature.
#[derive(Debug)]
pub struct Proof {
    /// The signature. A second request with it is a replay, since a nonce and the time are part of what is signed.
    pub signature: Vec<u8>,
    /// What the body must hash to; `None` without a body.
    pub digest: Option<BodyDigest>,
}

/// Whether a request presents a signature.
#[must_use]
pub fn is_presented(headers: &HeaderMap) -> bool {
    headers.contains_key(SIGNATURE) || headers.contains_key(SIGNATURE_INPUT)
}

/// Reads the signatures of a request.
///
/// # Errors
/// One of them cannot be understood, covers less than it must, or covers what is not there.
pub fn parse(request: &Request<'_>) -> Result<Vec<Signed>, MessageError> {
    let inputs = dictionary(request.headers, SIGNATURE_INPUT)?;
    let signatures = dictionary(request.headers, SIGNATURE)?;
    if inputs.is_empty() || inputs.len() > SIGNATURES_MAX || inputs.len() != signatures.len() {
        return Err(MessageError::Malformed);
    }
    let mut all = Vec::with_capacity(inputs.len());
    for (label, input) in &inputs {
        let (ListEntry::InnerList(input), Some(ListEntry::Item(signature))) = (input, signatures.get(label)) else {
            return Err(MessageError::Malformed);
        };
        let BareItem::ByteSequence(signature) = &signature.bare_item else { return Err(MessageError::Malformed) };
        all.push(Signed::new(request, input, signature.clone())?);
    }
    Ok(all)
}

impl Signed {
    fn new(request: &Request<'_>, input: &InnerList, signature: Vec<u8>) -> Result<Self, MessageError> {
        let text = |name: &str| match input.params.get(name) {
            None => Ok(None),
            Some(BareItem::String(text)) => Ok(Some(text.as_str().to_owned())),
            Some(_) => Err(MessageError::Malformed),
        };
        let time = |name: &str| match input.params.get(name) {
            None => Ok(None),
            Some(BareItem::Integer(time)) => {
                u64::try_from(i64::from(*time)).map(Some).map_err(|_| MessageError::Malformed)
            }
            Some(_) => Err(MessageError::Malformed),
        };
        if text("alg")?.is_some_and(|name| name != "hmac-sha256") {
            return Err(MessageError::Algorithm);
        }
        text("nonce")?;
        let key_id = text("keyid")?.filter(|id| is_name(id)).ok_or(MessageError::Malformed)?;
        let (created_s, expires_s) = (time("created")?, time("expires")?);
        let (base, dated) = signature_base(request, input)?;
        let date_s = if dated { Some(date(request.headers)?) } else { None };
        let digest = if request.has_body { Some(BodyDigest::of(request.headers)?) } else { None };
        Ok(Self { key_id, base, signature, created_s, expires_s, date_s, digest })
    }

    /// Verifies the signature at a time, in seconds since 1970. Its time may differ from that by `skew_s`.
    ///
    /// # Errors
    /// It is too old, of the future, or not of the secret.
    pub fn verify(self, secret: &Secret, now_s: u64, skew_s: u64) -> Result<Proof, MessageError> {
        // The signature first: without the secret nobody learns anything else.
        hmac::verify(&secret.0, self.base.as_bytes(), &self.signature).map_err(|_| MessageError::Signature)?;
        for made_s in [self.created_s, self.date_s].into_iter().flatten() {
            if made_s.saturating_add(skew_s) < now_s {
                return Err(MessageError::Expired);
            }
            if made_s > now_s.saturating_add(skew_s) {
                return Err(MessageError::NotYet);
            }
        }
        match self.expires_s.is_some_and(|expires_s| expires_s < now_s) {
            true => Err(MessageError::Expired),
            false => Ok(Proof { signature: self.signature, digest: self.digest }),
        }
    }
}

pub(super) fn dictionary(headers: &HeaderMap, name: &str) -> Result<Dictionary, MessageError> {
    let mut joined = Vec::new();
    for value in headers.get_all(name) {
        if !joined.is_empty() {
            joined.extend_from_slice(b", ");
        }
        joined.extend_from_slice(value.as_bytes());
        if joined.len() > FIELD_BYTES_MAX {
            return Err(MessageError::Malformed);
        }
    }
    Parser::new(&joined).parse().map_err(|_| MessageError::Malformed)
}

fn date(headers: &HeaderMap) -> Result<u64, MessageError> {
    let mut dates = headers.get_all(DATE).iter();
    let (Some(date), None) = (dates.next(), dates.next()) else { return Err(MessageError::Malformed) };
    let parsed = date.to_str().ok().and_then(|date| httpdate::parse_http_date(date).ok());
    let since = parsed.and_then(|date| date.duration_since(std::time::UNIX_EPOCH).ok());
    since.map(|since| since.as_secs()).ok_or(MessageError::Malformed)
}
