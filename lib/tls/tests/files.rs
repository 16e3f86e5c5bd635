//! Certificates and keys on disk: what is loaded, what is refused and in which words.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use proptest::prelude::*;
use tollgate_demo_ca::{DemoCa, Lifetime};
use tollgate_tls::{Certificates, Identity, PeerCertificate, Roots, TlsError, ValidityWarning};

fn folder() -> (tempfile::TempDir, DemoCa) {
    let folder = tempfile::tempdir().unwrap();
    let ca = DemoCa::open(folder.path()).unwrap();
    (folder, ca)
}

fn written(folder: &tempfile::TempDir, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_key_of_another_certificate_is_refused_with_both_files() {
    let (_folder, ca) = folder();
    let a = ca.server("a", &["a.example"], Lifetime::days(1)).unwrap();
    let b = ca.server("b", &["b.example"], Lifetime::days(1)).unwrap();
    let error = Identity::load(&a.cert, &b.key).unwrap_err();
    assert!(matches!(&error, TlsError::KeyMismatch { cert, key } if *cert == a.cert && *key == b.key), "{error}");
    let text = error.to_string();
    assert!(text.contains(&a.cert.display().to_string()) && text.contains(&b.key.display().to_string()), "{text}");
    assert!(text.contains("put the server's own certificate before its issuers"), "{text}");
}

#[test]
fn each_wrong_file_is_refused_with_its_cure() {
    let (folder, ca) = folder();
    let good = ca.server("a", &["a.example"], Lifetime::days(1)).unwrap();
    let empty = written(&folder, "empty.pem", "");
    let binary = written(&folder, "a.der", b"\x30\x82\x01\x00\xff");
    let torn = written(&folder, "torn.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    let junk = written(&folder, "junk.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let locked = written(
        &folder,
        "locked.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let bad_key = written(&folder, "bad.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    let missing = folder.path().join("missing.pem");

    let cases: &[(&Path, &Path, &str)] = &[
        (&missing, &good.key, "missing.pem: cannot be read"),
        (&good.cert, &missing, "missing.pem: cannot be read"),
        (&empty, &good.key, "empty.pem: holds no certificate; it must have a `-----BEGIN CERTIFICATE-----` section"),
        (&binary, &good.key, "a.der: holds no certificate"),
        (
            &good.key,
            &good.cert,
            "a.key: holds no certificate; it must have a `-----BEGIN CERTIFICATE-----` section; this is a key file: are the two swapped?",
        ),
        (
            &good.cert,
            &good.cert,
            "a.pem: holds no private key; it must have a PKCS#8, SEC1 or RSA `PRIVATE KEY` section; this is a certificate file: are the two swapped?",
        ),
        (
            &good.cert,
            &locked,
            "locked.key: holds no private key; it must have a PKCS#8, SEC1 or RSA `PRIVATE KEY` section; this one is encrypted: decrypt it with `openssl pkey",
        ),
        (&good.cert, &bad_key, "bad.key: holds a private key that cannot be used"),
        (&torn, &good.key, "torn.pem: is not valid PEM"),
        (&junk, &good.key, "junk.pem: holds a certificate that cannot be understood"),
    ];
    for (cert, key, expected) in cases {
        let error = Identity::load(cert, key).unwrap_err().to_string();
        assert!(error.contains(expected), "expected: {expected}\nfound:    {error}");
    }
    assert!(Roots::load(&empty).unwrap_err().to_string().contains("empty.pem: holds no certificate"));
    assert!(matches!(Roots::load(&junk), Err(TlsError::BadCertificate { .. })));
    assert!(matches!(Certificates::new(Vec::new()), Err(TlsError::NoIdentity)));
}

#[test]
fn an_expired_certificate_loads_with_a_warning() {
    let (_folder, ca) = folder();
    let expired = ca.server("late", &["a.example"], Lifetime::expired()).unwrap().identity().unwrap();
    let warning = expired.validity_warning().unwrap();
    assert!(matches!(warning, ValidityWarning::Expired { .. }));
    assert!(warning.to_string().contains("late.pem: the certificate expired "), "{warning}");

    let early = ca.server("early", &["a.example"], Lifetime::not_yet()).unwrap().identity().unwrap();
    assert!(matches!(early.validity_warning(), Some(ValidityWarning::NotYetValid { .. })));

    let good = ca.server("good", &["a.example"], Lifetime::days(2)).unwrap().identity().unwrap();
    assert_eq!(good.validity_warning(), None);
    let later = SystemTime::now() + std::time::Duration::from_secs(3 * 86_400);
    assert!(matches!(good.validity_warning_at(later), Some(ValidityWarning::Expired { .. })));
}

#[test]
fn keys_in_the_older_formats_load_too() {
    let folder = tempfile::tempdir().unwrap();
    for (algorithm, label) in
        [(&rcgen::PKCS_ECDSA_P384_SHA384, "EC PRIVATE KEY"), (&rcgen::PKCS_RSA_SHA256, "RSA PRIVATE KEY")]
    {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let certificate =
            rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap().self_signed(&key).unwrap();
        let cert = written(&folder, "old.pem", certificate.pem());
        let plain = written(&folder, "plain.key", key.serialize_pem());
        let old = written(&folder, "old.key", pem(label, inside_pkcs8(&key.serialize_der())));
        let identity = Identity::load(&cert, &old).unwrap();
        assert_eq!(identity, Identity::load(&cert, &plain).unwrap(), "{label}");
    }
}

#[test]
fn a_certificate_says_who_it_is() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["A.Example".to_owned(), "10.0.0.1".to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CountryName, "CH");
    params.distinguished_name.push(rcgen::DnType::OrganizationName, "Acme, Inc. \"A+B\"");
    params.distinguished_name.push(rcgen::DnType::CommonName, " orders\n#1 ");
    params.serial_number = Some(rcgen::SerialNumber::from_slice(&[0x00, 0x0a, 0xff]));
    params.not_after = rcgen::date_time_ymd(2030, 1, 2);
    let certificate = params.self_signed(&key).unwrap();
    let parsed = PeerCertificate::parse(certificate.der()).unwrap();
    assert_eq!(parsed.subject, r#"CN=\ orders\0A#1\ ,O=Acme\, Inc. \"A\+B\",C=CH"#);
    assert_eq!(parsed.issuer, parsed.subject);
    assert_eq!(parsed.common_name.as_deref(), Some(" orders\n#1 "));
    assert_eq!(parsed.dns_names, ["a.example"]);
    assert_eq!(parsed.serial_hex, "0aff");
    assert_eq!(parsed.not_after_us, 1_893_542_400_000_000);
    assert_eq!(
        parsed.sha256.as_slice(),
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate.der()).as_ref()
    );
}

#[test]
fn the_bundle_of_the_system_loads_where_there_is_one() {
    match Roots::system() {
        Ok(roots) => assert!(!roots.store().is_empty()),
        Err(error) => assert!(error.to_string().contains("install ca-certificates"), "{error}"),
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = PeerCertificate::parse(&bytes);
    }

    /// Damaged certificates get further than random bytes.
    #[test]
    fn no_damage_makes_the_parser_panic(places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut in any::<prop::sample::Index>()) {
        static GOOD: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
            let key = rcgen::KeyPair::generate().unwrap();
            let params = rcgen::CertificateParams::new(vec!["a.example".to_owned(), "10.0.0.1".to_owned()]).unwrap();
            params.self_signed(&key).unwrap().der().to_vec()
        });
        let mut der = GOOD.clone();
        for (place, byte) in places {
            let place = place.index(der.len());
            der[place] = byte;
        }
        let _ = PeerCertificate::parse(&der);
        let _ = PeerCertificate::parse(&der[..cut.index(der.len())]);
    }
}

/// The key inside a PKCS#8 document (RFC 5958): version, algorithm, then an octet string that holds it.
fn inside_pkcs8(der: &[u8]) -> &[u8] {
    let (body, _) = element(der);
    let (_version, rest) = element(body);
    let (_algorithm, rest) = element(rest);
    element(rest).0
}

/// Content and rest of the first DER element.
fn element(der: &[u8]) -> (&[u8], &[u8]) {
    let (length, head) = match der[1] {
        short if short < 0x80 => (usize::from(short), 2),
        long => {
            let count = usize::from(long & 0x7f);
            (der[2..2 + count].iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), 2 + count)
        }
    };
    (&der[head..head + length], &der[head + length..])
}

fn pem(label: &str, der: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in der.chunks(48) {
        for three in line.chunks(3) {
            let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
            for digit in 0..4 {
                let sextet = (bits >> (18 - 6 * digit)) as usize & 63;
                text.push(if digit <= three.len() { ALPHABET[sextet] as char } else { '=' });
            }
        }
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}
