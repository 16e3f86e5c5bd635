//! `tollgate demo`: everything on this machine, until Ctrl-C.

mod companions;
mod guide;
mod layout;
mod pager;
mod services;
mod traffic;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio_util::sync::CancellationToken;
use tollgate_collector_service::Service;
use tollgate_proxy::plan::RuntimeConfig;
use tollgate_signals::Signals;
use tollgate_telemetry::init_logging;
use tollgate_tls::Identity;

use crate::args::{Companion, DemoArgs};
use crate::demo::companions::{ALERTMANAGER_PORT, Companions, KAFKA_PORT, PROMETHEUS_PORT, TOPIC};
use crate::demo::guide::Endpoints;
use crate::demo::layout::Layout;
use crate::demo::services::Services;
use crate::demo::traffic::Target;

/// How long transactions may go on after Ctrl-C.
const DRAIN: Duration = Duration::from_secs(2);

/// Runs the command.
pub fn main(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    init_logging(false, "warn")?;
    tollgate_tls::install_provider();
    let layout = Layout::prepare(&args.dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(args, &layout))?;
    Ok(ExitCode::SUCCESS)
}

async fn run(args: &DemoArgs, layout: &Layout) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let mut companions = match args.with.as_slice() {
        [] => None,
        _ => Some(Companions::new(&layout.path(""))?),
    };
    let with = |companion| args.with.contains(&companion);
    if let Some(companions) = companions.as_mut().filter(|_| with(Companion::Kafka)) {
        companions.kafka()?;
    }

    let services = Services::start().await?;
    let file = tollgate_collector_service::read(&layout.collector_yaml(args, with(Companion::Kafka))?)?;
    let mut collector = tollgate_collector_service::start(file.value).await.context("starting the collector")?;
    collector.open_queries().await.context("starting the collector")?;
    let proxy_yaml = layout.proxy_yaml(args, collector.ingest(), &services.configuration())?;
    let proxy = tollgate_proxy::start(RuntimeConfig::load(&proxy_yaml)?).context("starting the proxy")?;
    let endpoints = endpoints(&collector, &proxy)?;
    layout.endpoints(&endpoints.json())?;

    if let Some(companions) = &mut companions {
        if with(Companion::Alertmanager) {
            companions.alertmanager(pager::listen(stop.clone()).await?)?;
        }
        if with(Companion::Prometheus) {
            companions.prometheus(endpoints.proxy_admin, endpoints.collector_admin, endpoints.query)?;
        }
    }
    if !args.no_traffic {
        tokio::spawn(traffic::run(target(layout, &endpoints)?, args.rate, stop.clone()));
    }
    let mut signals = Signals::to_stop().context("signals cannot be waited for")?;
    guide::print(&endpoints, layout, &lines(&args.with));

    signals.stop().await;
    println!("stopping …");
    stop.cancel();
    tokio::task::spawn_blocking(move || proxy.stop(DRAIN)).await?;
    collector.stop().await?;
    drop(companions);
    println!("stopped; state is kept in {}", layout.path("").display());
    Ok(())
}

fn endpoints(collector: &Service, proxy: &tollgate_proxy::Running) -> anyhow::Result<Endpoints> {
    let query_server = |key: &str| collector.query_server(key).with_context(|| format!("queries.{key} does not run"));
    let listener = |name: &str| -> anyhow::Result<SocketAddr> {
        let found = proxy.addresses.iter().find(|(known, _)| known == name);
        found.map(|(_, addr)| *addr).with_context(|| format!("the proxy has no listener {name}"))
    };
    Ok(Endpoints {
        http: listener("http")?,
        https: listener("https")?,
        proxy_admin: proxy.admin,
        ingest: collector.ingest(),
        collector_admin: collector.admin(),
        postgres: query_server("postgres")?,
        query: query_server("http")?,
    })
}

fn target(layout: &Layout, endpoints: &Endpoints) -> anyhow::Result<Target> {
    let tls = layout.path("tls");
    let client = |identity: Option<&str>| -> anyhow::Result<Arc<rustls::ClientConfig>> {
        let identity = identity
            .map(|name| Identity::load(&tls.join(format!("{name}.pem")), &tls.join(format!("{name}.key"))))
            .transpose()?;
        Ok(tollgate_tls::client(Some(&tls.join("ca.pem")), identity, &[])?)
    };
    Ok(Target {
        http: endpoints.http,
        https: endpoints.https,
        anonymous: client(None)?,
        partner: client(Some("partner"))?,
        stranger: client(Some("unknown/stranger"))?,
    })
}

/// What the guide says of the companions.
fn lines(with: &[Companion]) -> Vec<String> {
    let line = |companion: &Companion| match companion {
        Companion::Kafka => format!(
            "Kafka: kcat -b 127.0.0.1:{KAFKA_PORT} -t {TOPIC} -o -5 -e     (topic {TOPIC}, one JSON document a record)"
        ),
        Companion::Prometheus => format!("Prometheus: http://127.0.0.1:{PROMETHEUS_PORT}/alerts"),
        Companion::Alertmanager => {
            format!("Alertmanager: http://127.0.0.1:{ALERTMANAGER_PORT}; its pages are printed in this terminal")
        }
    };
    with.iter().map(line).collect()
}
