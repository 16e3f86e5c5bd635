//! The certificates of a test stack.

use std::path::Path;

use tollgate_demo_ca::{DemoCa, Lifetime};

/// Days that the tests' certificates are valid.
const DAYS: u32 = 30;

/// Writes into `dir`: an authority (ca), the listeners' certificate (server), the collector's (collector), the proxy's
/// (edge-1), a client's (partner), and one of an authority that nobody knows (stranger).
///
/// # Errors
/// When the folder cannot be written.
pub fn write(dir: &Path) -> anyhow::Result<()> {
    let valid = Lifetime::days(DAYS);
    let ca = DemoCa::open(dir)?;
    ca.server("server", &["localhost", "127.0.0.1"], valid)?;
    ca.server("collector", &["localhost", "127.0.0.1"], valid)?;
    ca.client("edge-1", "edge-1", &["edge-1"], valid)?;
    ca.client("partner", "partner", &["partner.example"], valid)?;
    let unknown = dir.join("unknown");
    let stranger = DemoCa::open(&unknown)?.client("stranger", "stranger", &["stranger.example"], valid)?;
    std::fs::copy(stranger.cert, dir.join("stranger.pem"))?;
    std::fs::copy(stranger.key, dir.join("stranger.key"))?;
    Ok(())
}
