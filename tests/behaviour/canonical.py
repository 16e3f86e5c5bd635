"""Replaces what differs between two runs of the same program: ids, times, ports and folders."""

import re

# Applied in order, to every text of the transcript.
PATTERNS = [
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "UUID"),
    (re.compile(r"\bedge-1/[0-9a-f]+/"), "edge-1/START/"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?"), "TIME"),
    (re.compile(r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT"), "TIME"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "HEX64"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "HEX32"),
    (re.compile(r"\b[0-9a-f]{16}\b"), "HEX16"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "HEX12"),
    (re.compile(r"\b\d+(\.\d+)?(ns|µs|us|ms)\b"), "DURATION"),
    (re.compile(r'"elapsed_ms":\d+'), '"elapsed_ms":N'),
]

# Columns whose values differ from run to run. A value is replaced by the name of its type, so that null stays null.
UNSTABLE_COLUMNS = {
    "time", "received", "request_id", "producer", "batch_seq", "trace_id", "span_id", "parent_span_id",
    "client_port", "upstream_addr", "config_revision", "client_cert_not_after", "client_cert_serial",
}


class Canonical:
    """The replacements of one run: those of every run, and its ports and folders."""

    def __init__(self, ports, folders):
        self.exact = sorted(folders.items(), key=lambda pair: -len(pair[0]))
        numbers = "|".join(str(port) for port in ports.values())
        self.names = {str(port): f"PORT_{name.upper()}" for name, port in ports.items()}
        self.ports = re.compile(rf"(?<![0-9a-f])({numbers})(?![0-9a-f])")

    def text(self, text):
        """Returns the text with placeholders."""
        for folder, name in self.exact:
            text = text.replace(folder, name)
        text = self.ports.sub(lambda found: self.names[found[1]], text)
        for pattern, name in PATTERNS:
            text = pattern.sub(name, text)
        return text

    def row(self, row):
        """Returns a row of SQL with placeholders in place of unstable values."""
        return {name: self._value(name, value) for name, value in row.items()}

    def _value(self, name, value):
        if value is None or isinstance(value, bool):
            return value
        if name in UNSTABLE_COLUMNS or name.endswith("_us"):
            return type(value).__name__
        if isinstance(value, list):
            return [self._value(name, item) for item in value]
        text = value if isinstance(value, str) else str(value)
        return self.text(text)
