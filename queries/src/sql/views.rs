//! The views: what support asks `transactions` for most, by a name of its own.
//!
//! A view is text. It is planned once, and stands in each query as its own plan: filters and columns go through it to the
//! scan. None of them holds rows.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::datasource::ViewTable;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement as PlannerStatement;

use super::parse::Parser;

/// A view, by its name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    pub name: &'static str,
    /// What a row of it is, for `\d+` and the documents.
    pub meaning: &'static str,
    /// What it selects.
    pub sql: &'static str,
}

/// All views.
pub(crate) const VIEWS: [View; 4] = [
    View {
        name: "failures",
        meaning: "transactions that failed, were refused or blocked, failed handshakes, and gaps",
        sql: "SELECT * FROM transactions
WHERE error_class IS NOT NULL
   OR status >= 500
   OR auth_result = 'failed'
   OR waf_action = 'blocked'
   OR kind <> 'transaction'",
    },
    View {
        name: "handshakes",
        meaning: "TLS handshakes that failed, with what is known of the client",
        sql: "SELECT time, node_id, producer, seq, request_id, client_ip, client_port, peer_ip, server_port,
       tls_sni, tls_version, tls_cipher, tls_alpn, mtls_verify, auth_fail_reason, error_class, error_detail,
       client_cert_sha256, client_cert_subject, client_cert_issuer, client_cert_serial, client_cert_not_after,
       config_revision, total_us
FROM transactions
WHERE kind = 'handshake_failed'",
    },
    View {
        name: "gaps",
        meaning: "runs of numbers whose records were shed on purpose, with the reason",
        sql: "SELECT time, node_id, producer, seq AS from_seq, seq + coalesce(gap_count, 1) - 1 AS to_seq,
       coalesce(gap_count, 1) AS records, gap_reason
FROM transactions
WHERE kind = 'gap'",
    },
    View {
        name: "nodes",
        meaning: "the proxies that sent something in the last hour",
        sql: "SELECT node_id,
       count(DISTINCT producer) AS producers,
       min(time) AS first_seen,
       max(time) AS last_seen,
       count(*) FILTER (WHERE kind <> 'gap') AS records,
       count(*) FILTER (WHERE error_class IS NOT NULL) AS failures,
       sum(CASE WHEN kind = 'gap' THEN coalesce(gap_count, 1) ELSE 0 END) AS shed,
       last_value(config_revision ORDER BY time) FILTER (WHERE config_revision IS NOT NULL) AS config_revision,
       count(DISTINCT config_revision) AS config_revisions
FROM transactions
WHERE time >= ago('1h')
GROUP BY node_id",
    },
];

/// Adds the views to a context that has the table and the functions.
pub(super) fn register(context: &SessionContext, parser: &Parser) -> Result<()> {
    for view in VIEWS {
        let statement =
            parser.own(view.sql).map_err(|error| datafusion::error::DataFusionError::External(error.into()))?;
        // Planning waits for nothing: tables and functions are in memory.
        let statement = PlannerStatement::Statement(Box::new(statement));
        let plan = futures::executor::block_on(context.state().statement_to_plan(statement))?;
        context.register_table(view.name, Arc::new(ViewTable::new(plan, Some(view.sql.to_owned()))))?;
    }
    Ok(())
}
