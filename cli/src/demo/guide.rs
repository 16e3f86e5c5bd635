//! What the demo prints: where everything is, and what to try.

use std::net::SocketAddr;

use crate::demo::layout::Layout;

/// Where everything listens.
#[derive(Debug, Clone, Copy)]
pub struct Endpoints {
    /// The proxy's plaintext listener.
    pub http: SocketAddr,
    /// The proxy's TLS listener.
    pub https: SocketAddr,
    /// The proxy's admin endpoint.
    pub proxy_admin: SocketAddr,
    /// The collector's ingest.
    pub ingest: SocketAddr,
    /// The collector's admin endpoint.
    pub collector_admin: SocketAddr,
    /// The query server of the PostgreSQL wire protocol.
    pub postgres: SocketAddr,
    /// The query server over HTTP.
    pub query: SocketAddr,
}

impl Endpoints {
    /// The same for programs.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "http": self.http,
            "https": self.https,
            "proxy_admin": self.proxy_admin,
            "ingest": self.ingest,
            "collector_admin": self.collector_admin,
            "postgres": self.postgres,
            "query": self.query,
        })
    }
}

/// Prints what to try.
pub fn print(endpoints: &Endpoints, layout: &Layout, companions: &[String]) {
    let Endpoints { http, https, proxy_admin, collector_admin, postgres, query, .. } = endpoints;
    let tls = layout.path("tls");
    let (tls, dir) = (tls.display(), layout.path(""));
    let port = https.port();
    let url = if query.port() == 8088 { String::new() } else { format!(" --url http://{query}") };
    println!(
        "
Tollgate runs. In another terminal, try:

  a request over HTTP/1.1     curl -i http://{http}/members/4711
  over HTTP/2 and TLS         curl -i --cacert {tls}/ca.pem https://localhost:{port}/members/4711
  with a client certificate   curl -i --cacert {tls}/ca.pem --cert {tls}/partner.pem --key {tls}/partner.key https://localhost:{port}/partners/orders
  one that fails              curl -i http://{http}/payments/balance
  what happened to it         tollgate find X-REQUEST-ID-OF-THE-ANSWER{url}
  saved questions             tollgate ask{url}
                              tollgate ask{url} why-failed --service payments --since 15m
  SQL                         tollgate sql{url} \"SELECT service, status, count(*) FROM transactions GROUP BY 1, 2 ORDER BY 3 DESC\"
  psql                        psql -h 127.0.0.1 -p {pg} -U reader tollgate
  metrics                     curl http://{proxy_admin}/metrics http://{collector_admin}/metrics
  the pipeline's state        curl http://{collector_admin}/status

Sample services: /members (healthy), /claims (slow), /payments (fails two times in three), /legacy (hangs up), /partners (needs a client certificate).
`tollgate` is {exe}.
State and configuration are in {dir}; Ctrl-C stops everything.",
        pg = postgres.port(),
        exe = std::env::current_exe().map_or_else(|_| "this binary".into(), |path| path.display().to_string()),
        dir = dir.display(),
    );
    for line in companions {
        println!("{line}");
    }
    println!();
}
