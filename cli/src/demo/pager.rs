//! The demo's pager: Alertmanager calls it, and it prints the page in the terminal.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Json;
use axum::routing::post;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[derive(Debug, Deserialize)]
struct Notification {
    #[serde(default)]
    alerts: Vec<Alert>,
}

#[derive(Debug, Deserialize)]
struct Alert {
    status: String,
    #[serde(default)]
    labels: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

/// Listens on a free port until `stop` is cancelled, and answers where.
pub async fn listen(stop: CancellationToken) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let addr = listener.local_addr()?;
    let app = axum::Router::new().route("/", post(page)).fallback(post(page));
    tokio::spawn(async move {
        let served = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await;
        if let Err(error) = served {
            tracing::warn!(%error, "the demo's pager stopped");
        }
    });
    Ok(addr)
}

async fn page(Json(notification): Json<Notification>) {
    for alert in notification.alerts {
        let text = |name: &str| alert.annotations.get(name).map_or("", String::as_str);
        let label = |name: &str| alert.labels.get(name).map_or("", String::as_str);
        println!("\n[{}] {} {}: {}", label("severity"), alert.status, label("alertname"), text("summary"));
        for (name, title) in [("evidence_url", "evidence"), ("evidence_command", "or run"), ("runbook_url", "runbook")]
        {
            if !text(name).is_empty() {
                println!("    {title}: {}", text(name));
            }
        }
    }
}
