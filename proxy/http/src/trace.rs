//! W3C trace context: a caller's trace is continued under a span of this gateway, or a trace is begun for a sample.
//!
//! `traceparent: 00-<trace id, 32 hex>-<parent span, 16 hex>-<flags, 2 hex>` (W3C Trace Context, section 3.2).

use http::header::{HeaderMap, HeaderName, HeaderValue};
use rand::rngs::SmallRng;
use rand::{Rng, RngCore};

/// The header that carries a trace.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A trace, and the gateway's span in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The same for every span of the trace.
    pub trace_id: [u8; 16],
    /// The span of this transaction, which is the parent of the upstream's.
    pub span_id: [u8; 8],
    /// The caller's span; `None` = the trace begins here.
    pub parent: Option<[u8; 8]>,
    /// Flags; bit 0 = sampled.
    pub flags: u8,
}

/// Bit of [`TraceContext::flags`]: the spans of the trace are to be kept.
const SAMPLED: u8 = 1;

/// Returns the caller's trace, or a new one for a share of `sampling` of the requests without one.
///
/// `random` is the worker's own generator, so that no lock is taken and a test can seed it.
pub fn of(headers: &HeaderMap, sampling: f64, random: &mut SmallRng) -> Option<TraceContext> {
    let inherited = headers.get(TRACEPARENT).and_then(|value| parse(value.as_bytes()));
    let (trace_id, parent, flags) = match inherited {
        Some((trace_id, parent, flags)) => (trace_id, Some(parent), flags),
        None if sampling > 0.0 && random.random::<f64>() < sampling => {
            let mut trace_id = [0; 16];
            random.fill_bytes(&mut trace_id);
            (trace_id, None, SAMPLED)
        }
        None => return None,
    };
    let span_id = (random.next_u64() | 1).to_be_bytes();
    Some(TraceContext { trace_id, span_id, parent, flags })
}

impl TraceContext {
    /// Returns whether the spans of this trace are to be kept.
    #[must_use]
    #[inline]
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Writes the header for the upstream.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        write_hex(&self.trace_id, &mut text[3..35]);
        write_hex(&self.span_id, &mut text[36..52]);
        write_hex(&[self.flags], &mut text[53..55]);
        let mut value = HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static(""));
        // A sensitive value stays out of HTTP/2's table of fields, where a value that never repeats only displaces
        // others.
        value.set_sensitive(true);
        value
    }
}

/// Reads trace, span of the caller, and flags. A later version is read as far as version 00 goes (section 3.2.2).
fn parse(text: &[u8]) -> Option<([u8; 16], [u8; 8], u8)> {
    let later_version = text.len() > 55 && text[55] == b'-' && &text[..2] != b"00";
    if (text.len() != 55 && !later_version) || text[2] != b'-' || text[35] != b'-' || text[52] != b'-' {
        return None;
    }
    let (mut version, mut trace_id, mut parent, mut flags) = ([0; 1], [0; 16], [0; 8], [0; 1]);
    read_hex(&text[..2], &mut version)?;
    read_hex(&text[3..35], &mut trace_id)?;
    read_hex(&text[36..52], &mut parent)?;
    read_hex(&text[53..55], &mut flags)?;
    (version[0] != 0xff && trace_id != [0; 16] && parent != [0; 8]).then_some((trace_id, parent, flags[0]))
}

fn read_hex(text: &[u8], bytes: &mut [u8]) -> Option<()> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(())
}

fn write_hex(bytes: &[u8], text: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, pair) in bytes.iter().zip(text.chunks_exact_mut(2)) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn context(value: &'static str, sampling: f64) -> Option<TraceContext> {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, HeaderValue::from_static(value));
        of(&headers, sampling, &mut SmallRng::seed_from_u64(7))
    }

    #[test]
    fn a_callers_trace_goes_on_under_a_new_span() {
        let context = context(PARENT, 0.0).unwrap();
        let sent = context.header();
        let sent = sent.to_str().unwrap();
        assert_eq!(&sent[..36], &PARENT[..36]);
        assert_ne!(&sent[36..52], &PARENT[36..52]);
        assert_eq!(&sent[52..], "-01");
        assert_eq!((context.parent, context.is_sampled()), (Some(0x00f0_67aa_0ba9_02b7_u64.to_be_bytes()), true));
    }

    #[test]
    fn what_is_no_traceparent_begins_a_trace_only_for_the_sample() {
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert_eq!(context(bad, 0.0), None, "{bad}");
            let begun = context(bad, 1.0).unwrap();
            assert_eq!((begun.flags, begun.is_sampled(), begun.parent), (1, true, None), "{bad}");
        }
        let later = context("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02-x", 0.0).unwrap();
        assert!(!later.is_sampled() && later.parent.is_some());
    }
}
