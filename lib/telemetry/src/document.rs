//! Writes `docs/metrics.md` from the registry of names.

use std::fmt::Write;

use crate::names::{ALL, Kind, Process};

/// Returns the text of `docs/metrics.md`.
pub fn metrics_document() -> String {
    let mut text = String::from(
        "# Metrics\n\n\
         Written from the registry in `lib/telemetry/src/names.rs`; a test fails when the two differ.\n\
         Renew it with `UPDATE_DOCS=1 cargo test -p tollgate-telemetry`.\n",
    );
    let sections = [
        (Process::Every, "Every process"),
        (Process::Proxy, "Proxy, `:9901/metrics`"),
        (Process::Collector, "Collector, `:9902/metrics`"),
        (Process::Records, "Derived from the records, `:9902/metrics`"),
    ];
    for (process, title) in sections {
        let _ = write!(text, "\n## {title}\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n");
        for metric in ALL.iter().filter(|metric| metric.process == process) {
            let labels = if metric.labels.is_empty() { "-".to_owned() } else { metric.labels.join(", ") };
            let _ = writeln!(text, "| `{}` | {} | {labels} | {} |", metric.name, metric.kind.as_str(), metric.help);
        }
    }
    text.push_str("\n## Buckets\n\nUpper bounds in seconds.\n\n| metric | buckets |\n|---|---|\n");
    for metric in ALL {
        if let Kind::Histogram(buckets) = metric.kind {
            let bounds: Vec<String> = buckets.iter().map(f64::to_string).collect();
            let _ = writeln!(text, "| `{}` | {} |", metric.name, bounds.join(", "));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_document_is_not_stale() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
        let text = metrics_document();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(written == text, "docs/metrics.md is stale: UPDATE_DOCS=1 cargo test -p tollgate-telemetry");
    }
}
