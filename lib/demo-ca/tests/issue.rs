//! What is reused, what is renewed, and who may read the keys.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tollgate_demo_ca::{DemoCa, Lifetime};
use tollgate_tls::{PeerCertificate, Roots};

#[test]
fn the_demo_reuses_what_is_good_and_renews_what_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let ca = DemoCa::open(folder.path()).unwrap();
    let first = ca.client("orders", "orders", &["gate-1"], Lifetime::days(30)).unwrap();
    let identity = first.identity().unwrap();
    assert_eq!(std::fs::metadata(&first.key).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(folder.path().join("ca.key")).unwrap().permissions().mode() & 0o777, 0o600);

    let again = DemoCa::open(folder.path()).unwrap();
    assert_eq!(Roots::load(again.roots()).unwrap(), Roots::load(ca.roots()).unwrap());
    let issue =
        |names: &[&str], lifetime| again.client("orders", "orders", names, lifetime).unwrap().identity().unwrap();
    assert_eq!(issue(&["gate-1"], Lifetime::days(30)), identity, "still good");
    let renamed = issue(&["gate-2"], Lifetime::days(30));
    assert_ne!(renamed, identity, "other names");
    let expired = issue(&["gate-2"], Lifetime::expired());
    assert!(expired.validity_warning().is_some());
    assert_eq!(issue(&["gate-2"], Lifetime::days(30)).validity_warning(), None, "what has expired is renewed");

    let served = again.server("orders", &["gate-2"], Lifetime::days(30)).unwrap();
    assert_eq!(served.identity().unwrap().certificate().common_name.as_deref(), Some("gate-2"), "another usage");

    std::fs::remove_file(folder.path().join("ca.key")).unwrap();
    let anew = DemoCa::open(folder.path()).unwrap();
    assert_ne!(
        Roots::load(anew.roots()).unwrap(),
        Roots::load(served.cert.with_file_name("orders.pem").as_path()).unwrap()
    );
    let reissued = anew.server("orders", &["gate-2"], Lifetime::days(30)).unwrap();
    let issuer = PeerCertificate::parse(&der(anew.roots())).unwrap().subject;
    assert_eq!(reissued.identity().unwrap().certificate().issuer, issuer, "an authority does not reuse another's work");
}

fn der(pem_file: &Path) -> Vec<u8> {
    use rustls_pki_types::pem::PemObject;
    rustls_pki_types::CertificateDer::from_pem_file(pem_file).unwrap().to_vec()
}
