"""Configuration files of the recording: one of each program that runs, and mistakes in it."""

PROXY = """node_id: edge-1
environment: test
zone: local
workers: 1
listeners:
  - {name: http, address: "127.0.0.1:%(http)d"}
  - name: https
    address: 127.0.0.1:%(https)d
    tls:
      certificates: [{certificate: tls/server.pem, key: tls/server.key}]
      client_auth: optional
      client_ca: tls/ca.pem
services:
  - {name: a, app_id: team-a, targets: ["http://127.0.0.1:%(upstream)d"]}
  - {name: refused, targets: ["http://127.0.0.1:%(nobody)d"]}
routes:
  - {name: a, service: a, paths: [/a], strip_prefix: true}
  - {name: only-get, service: a, paths: [/a/only-get], methods: [GET]}
  - {name: small, service: a, paths: [/small], strip_prefix: true, request_body_bytes_max: 1 KiB}
  - {name: impatient, service: a, paths: [/impatient], timeouts: {first_byte: 300ms}}
  - {name: refused, service: refused, paths: [/refused]}
  - {name: partners, service: a, paths: [/partners], strip_prefix: true, require_client_cert: true}
hmac: {key_file: hmac.key, key_id: test-1}
records:
  collectors: ["https://127.0.0.1:%(ingest)d"]
  tls: {ca: tls/ca.pem, certificate: tls/edge-1.pem, key: tls/edge-1.key}
  spool: {dir: data/spool}
  quarantine_dir: data/quarantine
admin: {address: "127.0.0.1:%(proxy_admin)d"}
"""

COLLECTOR = """ingest:
  address: 127.0.0.1:%(ingest)d
  tls: {certificate: tls/collector.pem, key: tls/collector.key, client_ca: tls/ca.pem}
journal: {dir: data/journal}
admin: {address: 127.0.0.1:%(collector_admin)d}
sinks:
  table: {dir: data/table, commit_every: 1s}
  metrics: {}
queries:
  postgres: {address: 127.0.0.1:%(postgres)d}
  http: {address: 127.0.0.1:%(query)d}
"""

# Each mistake replaces the first text by the second.
PROXY_MISTAKES = [
    ("listeners:", "listners:"),
    ("node_id: edge-1", "node_id: [1]"),
    ("node_id: edge-1", "node_id: \"\""),
    ("workers: 1", "workers: many"),
    ("workers: 1", "workers: 100000"),
    ("tls/server.pem", "tls/nothing.pem"),
    ("tls/server.key", "tls/collector.key"),
    ("client_auth: optional", "client_auth: perhaps"),
    ("service: a,", "service: b,"),
    ("paths: [/small]", "paths: [/a]"),
    ("paths: [/small]", "paths: [small]"),
    ("paths: [/small]", "paths: []"),
    ("methods: [GET]", "methods: [\"G T\"]"),
    ("bytes_max: 1 KiB", "bytes_max: lots"),
    ("request_body_bytes_max", "request_body_byte_max"),
    ("first_byte: 300ms", "first_byte: 300"),
    ("first_byte: 300ms", "first_byte: 3 weeks"),
    ("hmac.key", "nothing.key"),
    ("https://127.0.0.1", "http://127.0.0.1"),
    ("tls/edge-1.pem", "tls/partner.pem"),
    ("\"127.0.0.1:%(http)d\"", "nowhere"),
    ("strip_prefix: true}", "strip_prefix: yes please}"),
    ("node_id: edge-1\n", "node_id: edge-1\nnode_id: edge-2\n"),
    ("node_id: edge-1\n", "node_id: edge-1\n  deeper: {\n"),
    ("targets: [\"http://127.0.0.1:%(nobody)d\"]", "targets: [\"ftp://127.0.0.1\"]"),
    ("targets: [\"http://127.0.0.1:%(nobody)d\"]", "targets: []"),
    ("admin: {", "admin: {listen: x, "),
]

SPANS = "  metrics: {}\n  spans: {endpoint: \"http://127.0.0.1:1\""
KAFKA = "  metrics: {}\n  kafka: {brokers: [\"127.0.0.1:1\"]"
COLLECTOR_MISTAKES = [
    ("journal:", "jurnal:"),
    ("{dir: data/journal}", "{dir: data/journal, segment_bytes: lots}"),
    ("{dir: data/journal}", "{dir: data/journal, segment_bytes: 1 KiB}"),
    ("{dir: data/journal}", "{dir: data/journal, bytes_max: 1 MiB}"),
    ("tls/collector.key", "tls/server.key"),
    ("tls/ca.pem", "tls/nothing.pem"),
    ("  table: {dir: data/table, commit_every: 1s}\n", ""),
    ("commit_every: 1s", "commit_every: 1"),
    ("commit_every: 1s", "comit_every: 1s"),
    ("127.0.0.1:%(ingest)d", "localhost"),
    ("127.0.0.1:%(query)d", "localhost"),
    ("  metrics: {}\n", "  metrics: {service_max: 1}\n"),
    ("  metrics: {}\n", "  metrics: {missing_grace: 1}\n"),
    ("  metrics: {}\n", KAFKA + "}\n"),
    ("  metrics: {}\n", KAFKA + ", topic: a b}\n"),
    ("  metrics: {}\n", KAFKA + ", topics: x}\n"),
    ("  metrics: {}\n", KAFKA + ", linger: 1m}\n"),
    ("  metrics: {}\n", KAFKA + ", message_bytes_max: 10 B}\n"),
    ("  metrics: {}\n", KAFKA + ", tls: {certificate: tls/ca.pem}}\n"),
    ("  metrics: {}\n", KAFKA + ", tls: {ca: tls/nothing.pem}}\n"),
    ("  metrics: {}\n", KAFKA + ", sasl: {username: u, password_file: nothing}}\n"),
    ("  metrics: {}\n", KAFKA + ", properties: {acks: \"1\"}}\n"),
    ("  metrics: {}\n", KAFKA + ", properties: {no.such.setting: x}}\n"),
    ("  metrics: {}\n", "  kafka: {brokers: []}\n"),
    ("  metrics: {}\n", SPANS + "}\n"),
    ("  metrics: {}\n", SPANS + ", ratio: 1.5}\n"),
    ("  metrics: {}\n", SPANS + ", timeout: 0s}\n"),
    ("  metrics: {}\n", SPANS + ", batch_spans_max: 7}\n"),
    ("  metrics: {}\n", SPANS + ", headers_file: nothing}\n"),
    ("  metrics: {}\n", SPANS + ", ca: tls/ca.pem}\n"),
    ("  metrics: {}\n", "  spans: {endpoint: localhost}\n"),
    ("journal:", "delivery: {skip_when_full: [nothing]}\njournal:"),
    ("journal:", "delivery: {skip_when_full: [table]}\njournal:"),
    ("queries:\n", "queries:\n  limits: {rows_max: x}\n"),
]
