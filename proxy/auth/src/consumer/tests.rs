use super::*;

fn two() -> (Consumers, Arc<Consumer>, Arc<Consumer>) {
    let mut consumers = Consumers::default();
    let acme = consumers.add("acme", vec![Arc::from("partners")]);
    let other = consumers.add("other", Vec::new());
    (consumers, acme, other)
}

fn shown(outcome: Outcome) -> String {
    match outcome {
        Outcome::Absent => "absent".to_owned(),
        Outcome::Failed(failure) => failure.reason.to_string(),
        Outcome::Succeeded(principal) => {
            let text = |text: Option<Arc<str>>| text.as_deref().unwrap_or("-").to_owned();
            format!("{} {}", text(principal.consumer), text(principal.credential_id))
        }
        Outcome::Unavailable(detail) => detail,
    }
}

#[test]
fn keys_belong_to_one_consumer_and_end() {
    let (mut consumers, acme, other) = two();
    consumers.add_key(&acme, "k1", digest(b"one"), None).unwrap();
    consumers.add_key(&other, "k1", digest(b"two"), Some(1_000)).unwrap();
    let taken = consumers.add_key(&other, "k2", digest(b"one"), None).unwrap_err();
    assert_eq!(taken.to_string(), "consumer `acme` has it already, as `k1`");
    assert_eq!(shown(consumers.key(b"one", 5)), "acme k1");
    assert_eq!(shown(consumers.key(b"two", 999)), "other k1");
    assert_eq!(shown(consumers.key(b"two", 1_000)), "expired");
    assert_eq!(shown(consumers.key(b"three", 0)), "unknown");
    let Outcome::Failed(failure) = consumers.key(b"two", 1_000) else { panic!() };
    assert_eq!((failure.consumer.as_deref(), failure.credential_id.as_deref()), (Some("other"), Some("k1")));
}

#[test]
fn certificates_are_found_by_what_is_in_them() {
    let (mut consumers, acme, other) = two();
    for selector in [
        Selector::dns("A.acme.com"),
        Selector::Uri("spiffe://acme/a".to_owned()),
        Selector::email("Ops@ACME.com"),
        Selector::Ip("192.0.2.7".parse().unwrap()),
        Selector::CommonName("acme".to_owned()),
        Selector::Sha256([7; 32]),
    ] {
        consumers.add_certificate(&acme, selector).unwrap();
    }
    consumers.add_certificate(&other, Selector::dns("b.acme.com")).unwrap();
    assert!(consumers.add_certificate(&other, Selector::dns("a.acme.com")).is_err());
    let none = CertificateFacts { sha256: [0; 32], uris: &[], dns: &[], emails: &[], ips: &[], common_name: None };
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let find = |facts: CertificateFacts<'_>| shown(consumers.certificate(&facts));
    assert_eq!(find(none), "unknown");
    assert_eq!(find(CertificateFacts { sha256: [7; 32], ..none }), "acme sha256:0707070707070707");
    assert_eq!(find(CertificateFacts { dns: &texts(&["x.example", "a.acme.com"]), ..none }), "acme dns:a.acme.com");
    assert_eq!(find(CertificateFacts { dns: &texts(&["b.acme.com"]), common_name: Some("acme"), ..none }), "conflict");
    assert_eq!(find(CertificateFacts { dns: &texts(&["*.acme.com"]), ..none }), "unknown", "no pattern");
    assert_eq!(find(CertificateFacts { uris: &texts(&["spiffe://acme/a"]), ..none }), "acme uri:spiffe://acme/a");
    assert_eq!(find(CertificateFacts { uris: &texts(&["spiffe://acme/A"]), ..none }), "unknown");
    assert_eq!(find(CertificateFacts { emails: &texts(&["Ops@acme.com"]), ..none }), "acme email:Ops@acme.com");
    assert_eq!(find(CertificateFacts { emails: &texts(&["ops@acme.com"]), ..none }), "unknown");
    assert_eq!(find(CertificateFacts { ips: &["192.0.2.7".parse().unwrap()], ..none }), "acme ip:192.0.2.7");
    assert_eq!(find(CertificateFacts { common_name: Some("Acme"), ..none }), "unknown", "exactly");
}
