//! The sample services behind the demo's proxy.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use tollgate_upstreams::{Behaviour, Upstream};

/// A sample service: its name, its owner, and how it behaves.
struct Sample {
    name: &'static str,
    app_id: &'static str,
    behaviour: Behaviour,
}

const SAMPLES: &[Sample] = &[
    Sample { name: "members", app_id: "membership", behaviour: Behaviour::Healthy },
    Sample { name: "claims", app_id: "claims-team", behaviour: Behaviour::Slow(Duration::from_millis(700)) },
    Sample { name: "payments", app_id: "treasury", behaviour: Behaviour::Failing { succeeds_every: 3 } },
    Sample { name: "legacy", app_id: "mainframe", behaviour: Behaviour::Closing },
    Sample { name: "partners", app_id: "b2b", behaviour: Behaviour::Healthy },
];

/// The running sample services.
pub struct Services {
    running: Vec<(&'static Sample, Upstream)>,
}

impl Services {
    /// Starts each on a free port.
    pub async fn start() -> anyhow::Result<Self> {
        let mut running = Vec::new();
        for sample in SAMPLES {
            let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let upstream = Upstream::start(addr, sample.behaviour).await.context("starting a sample service")?;
            running.push((sample, upstream));
        }
        Ok(Self { running })
    }

    /// The `services` and `routes` of the proxy's configuration.
    pub fn configuration(&self) -> String {
        let mut text = String::from("services:\n");
        for (sample, upstream) in &self.running {
            text.push_str(&format!(
                "  - name: {}\n    app_id: {}\n    targets: [\"http://{}\"]\n",
                sample.name, sample.app_id, upstream.addr
            ));
        }
        text.push_str("routes:\n");
        for (sample, _) in &self.running {
            let name = sample.name;
            text.push_str(&format!(
                "  - name: {name}\n    service: {name}\n    paths: [/{name}]\n    strip_prefix: true\n"
            ));
            match name {
                "members" => text.push_str("    query_allow: [fields]\n"),
                "partners" => text.push_str("    require_client_cert: true\n"),
                "claims" => text.push_str("    timeouts: {first_byte: 2s}\n"),
                _ => {}
            }
        }
        text
    }
}
