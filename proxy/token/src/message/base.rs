//! The signature base (RFC 9421 section 2.5): the text that is signed.

use std::fmt::Write;

use http::header::{HeaderMap, HeaderName};
use sfv::{BareItem, InnerList, ListEntry, ListSerializer};

use super::{COMPONENTS_MAX, FIELD_BYTES_MAX, MessageError};

/// The parts of a request that a signature may cover, as the client sent them.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Method.
    pub method: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Host, with its port if it is there.
    pub authority: &'a str,
    /// Path, encoded.
    pub path: &'a str,
    /// Query, without its question mark.
    pub query: Option<&'a str>,
    /// Fields.
    pub headers: &'a HeaderMap,
    /// Whether there is, or may be, a body.
    pub has_body: bool,
}

/// What a signature covers, of what it must cover.
#[derive(Debug, Default)]
pub(super) struct Coverage {
    method: bool,
    authority: bool,
    path: bool,
    query: bool,
    date: bool,
    digest: bool,
}

/// Makes the base of a signature whose input is `input`. Returns it with whether the field `date` is covered.
pub fn signature_base(request: &Request<'_>, input: &InnerList) -> Result<(String, bool), MessageError> {
    let (base, covered) = text_of(request, input)?;
    covered.check(request, input)?;
    Ok((base, covered.date))
}

/// The text, and what of the request is in it.
pub(super) fn text_of(request: &Request<'_>, input: &InnerList) -> Result<(String, Coverage), MessageError> {
    if input.items.len() > COMPONENTS_MAX {
        return Err(MessageError::Malformed);
    }
    let (mut base, mut covered, mut seen) = (String::new(), Coverage::default(), Vec::new());
    for item in &input.items {
        let BareItem::String(name) = &item.bare_item else { return Err(MessageError::Malformed) };
        let name = name.as_str();
        if !item.params.is_empty() || seen.contains(&name) {
            return Err(MessageError::Malformed);
        }
        seen.push(name);
        let value = component(request, name, &mut covered)?;
        // A String takes everything.
        let _infallible = writeln!(base, "\"{name}\": {value}");
    }
    let mut params = ListSerializer::new();
    params.members(&[ListEntry::InnerList(input.clone())]);
    let params = params.finish().ok_or(MessageError::Malformed)?;
    let _infallible = write!(base, "\"@signature-params\": {params}");
    Ok((base, covered))
}

/// The value of a component (RFC 9421 sections 2.1 and 2.2).
fn component(request: &Request<'_>, name: &str, covered: &mut Coverage) -> Result<String, MessageError> {
    let query = || request.query.map_or(String::new(), |query| format!("?{query}"));
    let path = if request.path.is_empty() { "/" } else { request.path };
    let authority = || authority(request);
    Ok(match name {
        "@method" => {
            covered.method = true;
            request.method.to_owned()
        }
        "@target-uri" => {
            (covered.authority, covered.path, covered.query) = (true, true, true);
            format!("{}://{}{path}{}", request.scheme, authority(), query())
        }
        "@authority" => {
            covered.authority = true;
            authority()
        }
        "@scheme" => request.scheme.to_owned(),
        "@request-target" => {
            (covered.path, covered.query) = (true, true);
            format!("{path}{}", query())
        }
        "@path" => {
            covered.path = true;
            path.to_owned()
        }
        "@query" => {
            covered.query = true;
            format!("?{}", request.query.unwrap_or_default())
        }
        derived if derived.starts_with('@') => return Err(MessageError::Malformed),
        field => {
            covered.date |= field == "date";
            covered.digest |= field == "content-digest";
            field_value(request.headers, field)?
        }
    })
}

/// The authority, in small letters and without the scheme's own port (section 2.2.3).
fn authority(request: &Request<'_>) -> String {
    let authority = request.authority.to_ascii_lowercase();
    let port = if request.scheme == "https" { ":443" } else { ":80" };
    authority.strip_suffix(port).map(str::to_owned).unwrap_or(authority)
}

/// All values of a field, joined (section 2.1).
fn field_value(headers: &HeaderMap, name: &str) -> Result<String, MessageError> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(MessageError::Malformed);
    }
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| MessageError::Malformed)?;
    let mut joined = String::new();
    let mut values = headers.get_all(name).iter().peekable();
    if values.peek().is_none() {
        return Err(MessageError::NoField);
    }
    while let Some(value) = values.next() {
        joined.push_str(value.to_str().map_err(|_| MessageError::Malformed)?.trim());
        if values.peek().is_some() {
            joined.push_str(", ");
        }
        if joined.len() > FIELD_BYTES_MAX {
            return Err(MessageError::Malformed);
        }
    }
    Ok(joined)
}

impl Coverage {
    fn check(&self, request: &Request<'_>, input: &InnerList) -> Result<(), MessageError> {
        let created = input.params.keys().any(|name| name.as_str() == "created");
        for (covered, what) in [
            (self.method, "`@method`"),
            (self.authority, "`@target-uri` or `@authority`"),
            (self.path, "`@target-uri`, `@request-target` or `@path`"),
            (self.query, "`@target-uri`, `@request-target` or `@query`"),
            (self.date || created, "a time: `created` or the field `date`"),
            (self.digest || !request.has_body, "`content-digest`, though there is a body"),
        ] {
            if !covered {
                return Err(MessageError::NotCovered(what));
            }
        }
        Ok(())
    }
}
