//! The Prometheus text format.

use prometheus::{Registry, TextEncoder};

/// The media type of [`exposition`], for the answer's `content-type`.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Writes all metrics of a registry in the Prometheus text format 0.0.4.
pub fn exposition(registry: &Registry) -> String {
    let mut text = String::with_capacity(16 * 1024);
    for family in registry.gather() {
        // A family without samples, or of a kind that the format lacks, is left out; the others must still be shown.
        let kept = text.len();
        if TextEncoder::new().encode_utf8(&[family], &mut text).is_err() {
            text.truncate(kept);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{counter_vec, histogram, names};

    #[test]
    fn label_values_are_escaped() {
        let registry = Registry::new();
        let errors = counter_vec(&registry, names::PROXY_ERRORS_TOTAL).unwrap();
        errors.with_label_values(&["a\"b\\c\nd"]).inc_by(3);
        let text = exposition(&registry);
        assert!(text.contains(r#"tollgate_proxy_errors_total{error_class="a\"b\\c\nd"} 3"#), "{text}");
    }

    #[test]
    fn an_empty_family_hides_no_other() {
        let registry = Registry::new();
        let _without_samples = counter_vec(&registry, names::AUTH_TOTAL).unwrap();
        histogram(&registry, names::INGEST_ACK_SECONDS).unwrap().observe(0.02);
        let text = exposition(&registry);
        assert!(text.contains("tollgate_ingest_ack_seconds_bucket{le=\"0.025\"} 1"), "{text}");
        assert!(!text.contains("tollgate_auth_total"), "{text}");
    }
}
