//! `explain`: tells step by step how a request would be decided. It sends nothing, and prints no secret.

use std::path::{Path, PathBuf};

use anyhow::Context;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tollgate_proxy::explain::{Asked, explain};
use tollgate_proxy::plan::RuntimeConfig;
use tollgate_tls::PeerCertificate;

/// Bytes of a file with a request.
const REQUEST_BYTES_MAX: u64 = 1 << 20;

/// What the request comes with.
#[derive(Debug, clap::Args)]
pub struct Settings {
    /// A file with one HTTP/1.1 request, as a client sends it; lines may end with LF alone.
    request: PathBuf,
    /// PEM file with the client certificate, which is taken to be verified.
    #[arg(long)]
    certificate: Option<PathBuf>,
}

/// Prints one line for each step.
pub fn run(config: &RuntimeConfig, settings: &Settings) -> anyhow::Result<()> {
    let text = read(&settings.request)?;
    let certificate = settings.certificate.as_deref().map(certificate).transpose()?;
    for step in explain(config, &Asked { request: &text, certificate: certificate.as_ref() }) {
        println!("{step}");
    }
    Ok(())
}

fn certificate(file: &Path) -> anyhow::Result<PeerCertificate> {
    let der = CertificateDer::from_pem_slice(&read(file)?);
    let der = der.with_context(|| format!("{}: name a PEM file with a certificate", file.display()))?;
    PeerCertificate::parse(&der).with_context(|| format!("{}", file.display()))
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let wrong = || format!("{}: name a file that can be read", file.display());
    let length = std::fs::metadata(file).with_context(wrong)?.len();
    anyhow::ensure!(
        length <= REQUEST_BYTES_MAX,
        "{}: the file has more than {REQUEST_BYTES_MAX} bytes",
        file.display()
    );
    std::fs::read(file).with_context(wrong)
}
