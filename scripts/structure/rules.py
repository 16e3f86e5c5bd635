"""The rules of check-structure.py as data, each with its reason."""

import collections

# The crates in these folders (globs) never depend on those crates, not even through others. Tests may.
Never = collections.namedtuple("Never", "folders crates why")
# The code of these files (globs) never matches the pattern. Comments, strings and modules of tests may.
Unnamed = collections.namedtuple("Unnamed", "files pattern why")

HEAVY = ("datafusion", "deltalake", "rdkafka", "parquet")
# Their tests start programs: processes of ours, or readers that are installed first. `make quick` leaves them out.
START_PROGRAMS = ("tests", "tests/*", "proxy", "sinks/spans")
RUNTIME = ("tokio", "hyper", "rustls", "axum")

# The tests of one crate may use the other although that depends on the first.
ForTests = collections.namedtuple("ForTests", "crate uses why")

FOR_TESTS = [
    ForTests("tollgate-tls", "tollgate-demo-ca", "handshakes need certificates; the demo CA issues them and reads its files as tollgate-tls does"),
]

NEVER = [
    Never(("record", "lib/*", "proxy", "proxy/*", "collector", "collector/journal", "sinks/contract", "audit"), HEAVY,
          "what is not the table, the queries or Kafka stays small: these take minutes to compile and megabytes to ship"),
    Never(("collector", "audit", "audit/*"), ("datafusion", "deltalake", "rdkafka"),
          "the collector knows sinks by their contract, and the audit asks over HTTP: only collector/service names them"),
    Never(("audit/account",), ("tollgate-audit", "tollgate-collector", "tollgate-queries", "ureq"), "an account is data: SQL functions and the audit are made of it"),
    Never(("record",), RUNTIME, "a record is data: the processes that hold one decide how it travels"),
    Never(("proxy/http",), ("tokio",), "the meaning of a request is decided without I/O, so that it can be fuzzed and read alone"),
    Never(("proxy/auth",), RUNTIME, "who called is decided without I/O; what takes long runs where the proxy wants it"),
    Never(("proxy/token",), ("tokio", "hyper"), "whether a token is true is decided without I/O, so that it can be fuzzed and read alone"),
    Never(("proxy/config",), ("tokio", "arc-swap", "prometheus", "tollgate-telemetry"), "the schema of a file knows no state"),
    Never(("proxy/ship",), ("tollgate-proxy", "tollgate-proxy-config", "tollgate-proxy-http"), "shipping takes options of its own, not the whole configuration"),
    Never(("lib/*",), ("tollgate-record", "tollgate-proxy", "tollgate-collector"), "what processes share knows none of them"),
    Never(("queries", "table"), ("tollgate-sink", "tollgate-sink-table", "tollgate-collector"), "the table is read without the sink that fills it"),
    Never(("proxy", "proxy/*", "lib/tls"), ("rcgen",), "a proxy makes no certificates; the demo and tests do"),
]

UNNAMED = [
    Unnamed(("record/src/**/*.rs",), r"\bstd::(fs|net|process|env|thread)\b", "record/ does no I/O and reads no environment"),
    Unnamed(("proxy/http/src/**/*.rs",), r"\bstd::(fs|process|env|thread)\b|\b(TcpStream|TcpListener|UdpSocket|ToSocketAddrs)\b", "proxy/http does no I/O"),
    Unnamed(("proxy/token/src/**/*.rs",), r"\bstd::(fs|net|process|env|thread)\b|\b(SystemTime|Instant)::now\b", "proxy/token does no I/O and reads no clock"),
    Unnamed(("proxy/src/upstream/**/*.rs",), r"\b(Worker|Transaction)\b", "upstream/ is generic over the body, and knows neither its worker nor its transaction"),
]

# The most lines of a source file.
LINES_MAX = 500
SOURCES = ("**/*.rs", "**/*.py", "**/*.sh")
