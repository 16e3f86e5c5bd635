//! Which kind of id a text is.

use tollgate_record::id::RequestId;

use crate::error::{ErrorKind, QueryError};

/// Longest id that is looked up, in bytes.
const ID_BYTES_MAX: usize = 256;

/// An id, by its form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Id {
    /// A request id of this gateway.
    Request(RequestId),
    /// A W3C trace id, lower case.
    Trace(String),
    /// Anything else: the caller's own id.
    Correlation(String),
}

impl Id {
    /// Recognizes an id by its form. Capitals, spaces around it and a whole `traceparent` are accepted.
    ///
    /// # Errors
    /// If it is empty or too long.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        let text = text.trim();
        if text.is_empty() || text.len() > ID_BYTES_MAX {
            return Err(QueryError::new(ErrorKind::Parameter, format!("an id has 1 to {ID_BYTES_MAX} characters"))
                .hint("look up a request id (X-Request-Id), a trace id, or the caller's correlation id"));
        }
        let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        // traceparent: version-traceid-spanid-flags
        let parts: Vec<&str> = text.split('-').collect();
        if let [version, trace, span, _flags] = parts.as_slice()
            && version.len() == 2
            && trace.len() == 32
            && span.len() == 16
            && is_hex(trace)
        {
            return Ok(Self::Trace(trace.to_ascii_lowercase()));
        }
        if let Ok(id) = RequestId::parse(text)
            && text.contains('-')
        {
            return Ok(Self::Request(id));
        }
        if text.len() == 32 && is_hex(text) {
            return Ok(Self::Trace(text.to_ascii_lowercase()));
        }
        Ok(Self::Correlation(text.to_owned()))
    }

    /// The probable mistake in a text that was taken for a correlation id, if it resembles another kind of id.
    pub(super) fn resembles(text: &str) -> Option<String> {
        let text = text.trim();
        let hex = text.bytes().filter(u8::is_ascii_hexdigit).count();
        let dashes = text.bytes().filter(|byte| *byte == b'-').count();
        if hex + dashes != text.len() {
            return None;
        }
        if dashes == 4 && hex == 32 {
            return Some(match RequestId::parse(text) {
                Err(error) => error.to_string(),
                Ok(_) => "it is a request id".to_owned(),
            });
        }
        if dashes >= 3 && (24..=40).contains(&hex) {
            return Some(format!(
                "it resembles a request id, but has {hex} hexadecimal digits where one has 32, in groups of 8-4-4-4-12"
            ));
        }
        if dashes == 0 && (28..=36).contains(&hex) && hex != 32 {
            return Some(format!("it resembles a trace id, but has {hex} hexadecimal digits where one has 32"));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_by_their_form() {
        let id = RequestId::from_parts(1_790_000_000_000_000, 7, 42);
        assert_eq!(Id::parse(&format!(" {} ", id.to_string().to_uppercase())).expect("id"), Id::Request(id));
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(Id::parse(trace).expect("trace"), Id::Trace(trace.to_owned()));
        let traceparent = format!("00-{trace}-00f067aa0ba902b7-01");
        assert_eq!(Id::parse(&traceparent).expect("traceparent"), Id::Trace(trace.to_owned()));
        assert_eq!(Id::parse("order-4711").expect("other"), Id::Correlation("order-4711".to_owned()));
        assert!(Id::parse("  ").is_err());
    }

    #[test]
    fn a_mangled_id_is_recognized() {
        let cut = &RequestId::from_parts(1_790_000_000_000_000, 7, 42).to_string()[..34];
        assert!(Id::resembles(cut).is_some_and(|text| text.contains("30 hexadecimal digits")));
        assert!(Id::resembles("4bf92f3577b34da6a3ce929d0e0e473").is_some_and(|text| text.contains("31")));
        assert!(Id::resembles("7b2f6a52-8b1e-4d0f-9d3a-1f2e3d4c5b6a").is_some_and(|text| text.contains("version 7")));
        assert_eq!(Id::resembles("order-4711"), None);
    }
}
