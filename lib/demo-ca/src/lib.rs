//! A certificate authority for tests, benchmarks and the demo. It guards nothing: its key lies beside its certificate.
//!
//! ```text
//! DIR/ca.pem, ca.key          the authority itself
//! DIR/NAME.pem, NAME.key      what it issued
//! DIR/NAME.crl                which of them it has revoked, once it was asked to
//! ```
//!
//! Everything is made once and reused while it is valid. Keys are ECDSA P-256 in files of mode 0600; every file is
//! written beside its place and renamed into it, so that no reader ever sees half of one.
//!
//! It is a crate of its own so that rcgen, which signs certificates, is compiled into no process that only checks them.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
};
use tollgate_storage::Replacement;
use tollgate_tls::{Identity, TlsError};
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

/// A day.
const DAY: Duration = Duration::from_secs(86_400);

/// Permissions of a key's file.
const KEY_MODE: u32 = 0o600;
/// Permissions of a certificate's or a revocation list's file.
const CERT_MODE: u32 = 0o644;

/// Days for which the authority itself is valid.
const CA_DAYS: u32 = 3_650;

/// A certificate is valid from so long before now: clocks differ.
const CLOCK_SKEW: Duration = Duration::from_secs(3_600);

/// Why the authority cannot issue.
#[derive(Debug, thiserror::Error)]
pub enum DemoCaError {
    /// A file cannot be written.
    #[error("{}: cannot be written: {source}", file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Files of an earlier run cannot be read back; once the folder is deleted, they are made again.
    #[error("{0}; delete the folder of the demo authority to start anew")]
    Load(#[from] TlsError),
    /// A name cannot stand in a certificate, or the key cannot sign.
    #[error("a certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
}

/// When a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// First moment.
    pub not_before: SystemTime,
    /// Last moment.
    pub not_after: SystemTime,
}

impl Lifetime {
    /// Begins an hour ago, and lasts this many days from now.
    pub fn days(days: u32) -> Self {
        let now = SystemTime::now();
        Self { not_before: now - CLOCK_SKEW, not_after: now + DAY * days }
    }

    /// Ended yesterday: for tests of what is refused.
    pub fn expired() -> Self {
        let now = SystemTime::now();
        Self { not_before: now - 2 * DAY, not_after: now - DAY }
    }

    /// Begins tomorrow: for tests of what is refused.
    pub fn not_yet() -> Self {
        let now = SystemTime::now();
        Self { not_before: now + DAY, not_after: now + 2 * DAY }
    }

    fn covers_now(self) -> bool {
        let now = SystemTime::now();
        self.not_before <= now && now <= self.not_after
    }
}

/// The files of an issued certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The certificate, PEM.
    pub cert: PathBuf,
    /// Its key, PEM, mode 0600.
    pub key: PathBuf,
}

impl Issued {
    /// Loads the certificate with its key.
    ///
    /// # Errors
    /// As for [`Identity::load`].
    pub fn identity(&self) -> Result<Identity, TlsError> {
        Identity::load(&self.cert, &self.key)
    }
}

/// A certificate authority in a folder.
#[derive(Debug)]
pub struct DemoCa {
    dir: PathBuf,
    roots: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    key_identifier: Vec<u8>,
}

impl DemoCa {
    /// Opens the authority in `dir`, or makes one. Its name ends in a part of its key's fingerprint, so that two
    /// authorities are never mistaken for each other.
    ///
    /// # Errors
    /// The folder cannot be written, or holds something else.
    pub fn open(dir: &Path) -> Result<Self, DemoCaError> {
        std::fs::create_dir_all(dir).map_err(|source| DemoCaError::Write { file: dir.to_owned(), source })?;
        let files = Issued { cert: dir.join("ca.pem"), key: dir.join("ca.key") };
        if !(files.cert.is_file() && files.key.is_file()) {
            make_authority(&files)?;
        }
        let identity = files.identity()?;
        let certificate = &identity.certified_key().cert[0];
        let pem =
            std::fs::read_to_string(&files.key).map_err(|source| TlsError::Read { file: files.key.clone(), source })?;
        let key_identifier = facts(certificate).subject_key;
        let issuer = Issuer::from_ca_cert_der(certificate, KeyPair::from_pem(&pem)?)?;
        Ok(Self { dir: dir.to_owned(), roots: files.cert, issuer, key_identifier })
    }

    /// Returns the file of the bundle that trusts this authority, PEM.
    pub fn roots(&self) -> &Path {
        &self.roots
    }

    /// Issues a server's certificate for these DNS names and addresses, in `NAME.pem` and `NAME.key`.
    ///
    /// # Errors
    /// A name cannot stand in a certificate, or the folder cannot be written.
    pub fn server(&self, name: &str, hosts: &[&str], lifetime: Lifetime) -> Result<Issued, DemoCaError> {
        let common_name = hosts.first().copied().unwrap_or(name);
        self.issue(name, common_name, hosts, ExtendedKeyUsagePurpose::ServerAuth, lifetime)
    }

    /// Issues a client's certificate with this common name and these DNS names, in `NAME.pem` and `NAME.key`.
    ///
    /// # Errors
    /// A name cannot stand in a certificate, or the folder cannot be written.
    pub fn client(
        &self,
        name: &str,
        common_name: &str,
        dns_names: &[&str],
        lifetime: Lifetime,
    ) -> Result<Issued, DemoCaError> {
        self.issue(name, common_name, dns_names, ExtendedKeyUsagePurpose::ClientAuth, lifetime)
    }

    /// Issues a revocation list of these certificates, in `NAME.crl`; an older list of that name is replaced.
    ///
    /// # Errors
    /// A certificate cannot be read, or the folder cannot be written.
    pub fn revoke(&self, name: &str, revoked: &[&Issued], lifetime: Lifetime) -> Result<PathBuf, DemoCaError> {
        let revoked_cert = |issued: &&Issued| -> Result<RevokedCertParams, DemoCaError> {
            let identity = issued.identity()?;
            let der = &identity.certified_key().cert[0];
            let serial = X509Certificate::from_der(der).map(|(_, x509)| x509.raw_serial().to_vec()).unwrap_or_default();
            Ok(RevokedCertParams {
                serial_number: SerialNumber::from(serial),
                revocation_time: lifetime.not_before.into(),
                reason_code: None,
                invalidity_date: None,
            })
        };
        let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let list = CertificateRevocationListParams {
            this_update: lifetime.not_before.into(),
            next_update: lifetime.not_after.into(),
            crl_number: SerialNumber::from(seconds),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(revoked_cert).collect::<Result<_, _>>()?,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let file = self.dir.join(format!("{name}.crl"));
        write(&file, &list.signed_by(&self.issuer)?.pem()?, CERT_MODE)?;
        Ok(file)
    }

    fn issue(
        &self,
        name: &str,
        common_name: &str,
        names: &[&str],
        usage: ExtendedKeyUsagePurpose,
        lifetime: Lifetime,
    ) -> Result<Issued, DemoCaError> {
        let files = Issued { cert: self.dir.join(format!("{name}.pem")), key: self.dir.join(format!("{name}.key")) };
        if lifetime.covers_now() && self.still_good(&files, common_name, names, &usage) {
            return Ok(files);
        }
        let owned: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(owned)?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.distinguished_name.push(DnType::OrganizationName, "Tollgate demo");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = (lifetime.not_before.into(), lifetime.not_after.into());
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        write(&files.key, &key.serialize_pem(), KEY_MODE)?;
        write(&files.cert, &certificate.pem(), CERT_MODE)?;
        Ok(files)
    }

    /// Returns whether the files hold what would be issued: by this authority, for these names, valid, with their key.
    fn still_good(&self, files: &Issued, common_name: &str, names: &[&str], usage: &ExtendedKeyUsagePurpose) -> bool {
        let Ok(identity) = files.identity() else { return false };
        let Ok(der) = identity.certified_key().end_entity_cert() else { return false };
        let facts = facts(der);
        identity.validity_warning().is_none()
            && identity.certificate().common_name.as_deref() == Some(common_name)
            && facts.names == names
            && facts.authority_key == self.key_identifier
            && facts.is_server == (*usage == ExtendedKeyUsagePurpose::ServerAuth)
    }
}

fn make_authority(files: &Issued) -> Result<(), DemoCaError> {
    let key = KeyPair::generate()?;
    let fingerprint: String =
        digest(&SHA256, key.public_key_raw()).as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("Tollgate demo CA {fingerprint}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let lifetime = Lifetime::days(CA_DAYS);
    (params.not_before, params.not_after) = (lifetime.not_before.into(), lifetime.not_after.into());
    let certificate = params.self_signed(&key)?;
    write(&files.key, &key.serialize_pem(), KEY_MODE)?;
    write(&files.cert, &certificate.pem(), CERT_MODE)
}

/// The facts of a certificate that decide whether it can be reused.
#[derive(Default)]
struct Facts {
    names: Vec<String>,
    subject_key: Vec<u8>,
    authority_key: Vec<u8>,
    is_server: bool,
}

fn facts(der: &[u8]) -> Facts {
    let mut facts = Facts::default();
    let Ok((_, x509)) = X509Certificate::from_der(der) else { return facts };
    for extension in x509.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => {
                facts.names = names.general_names.iter().map(general_name).collect();
            }
            ParsedExtension::SubjectKeyIdentifier(id) => facts.subject_key = id.0.to_vec(),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                facts.authority_key = id.key_identifier.as_ref().map(|id| id.0.to_vec()).unwrap_or_default();
            }
            ParsedExtension::ExtendedKeyUsage(usage) => facts.is_server = usage.server_auth,
            _ => {}
        }
    }
    facts
}

fn general_name(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) => (*name).to_owned(),
        GeneralName::IPAddress(bytes) => match (<[u8; 4]>::try_from(*bytes), <[u8; 16]>::try_from(*bytes)) {
            (Ok(v4), _) => std::net::Ipv4Addr::from(v4).to_string(),
            (_, Ok(v6)) => std::net::Ipv6Addr::from(v6).to_string(),
            _ => String::new(),
        },
        _ => String::new(),
    }
}

/// Replaces a file. Processes that open one authority at the same time write under names of their own.
fn write(file: &Path, text: &str, mode: u32) -> Result<(), DemoCaError> {
    let failed = |source| DemoCaError::Write { file: file.to_owned(), source };
    Replacement::of(file).by_many_processes().mode(mode).write(text.as_bytes()).map_err(failed)
}
