//! No bytes may make the certificate parser panic, and no name may bring a control character into a record.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate_tls::PeerCertificate;

fuzz_target!(|der: &[u8]| {
    if let Ok(certificate) = PeerCertificate::parse(der) {
        assert!(!certificate.subject.chars().any(char::is_control));
        assert!(!certificate.issuer.chars().any(char::is_control));
    }
});
