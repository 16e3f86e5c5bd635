use super::*;

const SALTED: &str = "c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g";

fn login(value: &str) -> Option<Result<(String, String), &'static str>> {
    let parsed = Credentials::parse(&HeaderValue::from_bytes(value.as_bytes()).unwrap())?;
    Some(parsed.map(|login| (login.user, String::from_utf8_lossy(&login.password).into_owned())))
}

#[test]
fn a_hash_is_of_one_password() {
    let hash = PasswordHash::parse(&PasswordHash::of(b"correct horse").unwrap()).unwrap();
    assert!(hash.is_of(b"correct horse"));
    assert!(!hash.is_of(b"correct horse ") && !hash.is_of(b""));
    assert!(!format!("{hash:?}").contains("argon2id"));
}

#[test]
fn hashes_that_are_weak_or_dear_or_none_are_refused() {
    let of = |algorithm: &str, params: &str| PasswordHash::parse(&format!("${algorithm}$v=19${params}${SALTED}"));
    for (params, fault) in [
        ("m=19456,t=2,p=1", None),
        ("m=47104,t=1,p=1", None),
        ("m=7168,t=5,p=1", None),
        ("m=19456,t=1,p=1", Some(HashFault::Weak)),
        ("m=4096,t=10,p=1", Some(HashFault::Weak)),
        ("m=1048576,t=1,p=1", Some(HashFault::Dear)),
        ("m=19456,t=1000,p=1", Some(HashFault::Dear)),
        ("m=19456,t=2,p=64", Some(HashFault::Dear)),
    ] {
        assert_eq!(of("argon2id", params).err(), fault, "{params}");
    }
    assert_eq!(of("argon2i", "m=19456,t=2,p=1").err(), Some(HashFault::NoHash));
    for none in ["", "hunter2", "$argon2id$v=19$m=19456,t=2,p=1", "$2b$10$abc", "{SHA}abc"] {
        let fault = PasswordHash::parse(none).unwrap_err();
        assert_eq!(fault, HashFault::NoHash, "{none}");
        assert!(none.is_empty() || !fault.to_string().contains(none));
    }
}

#[test]
fn credentials_are_read_as_clients_write_them() {
    let read = |user: &str, password: &str| Some(Ok((user.to_owned(), password.to_owned())));
    for (value, found) in [
        ("Basic YTpi", read("a", "b")),
        ("bAsIc  YTpi ", read("a", "b")),
        ("Basic YTpiOmM=", read("a", "b:c")),
        ("Basic YTpiOmM", read("a", "b:c")),
        ("Basic Og==", read("", "")),
        ("Bearer YTpi", None),
        ("Basics YTpi", None),
        ("Basic", Some(Err("the credential has no colon"))),
        ("Basic YWI=", Some(Err("the credential has no colon"))),
        ("Basic !", Some(Err("the credential is not base64"))),
        ("Basic YTpiCg==", Some(Err("name or password has control characters"))),
        ("Basic /zph", Some(Err("the name is not UTF-8"))),
    ] {
        assert_eq!(login(value), found, "{value}");
    }
    let of = |bytes: usize| format!("Basic {}", general_purpose_encode(&format!("a:{}", "b".repeat(bytes - 2))));
    assert!(login(&of(LOGIN_BYTES_MAX)).unwrap().is_ok());
    assert!(login(&of(LOGIN_BYTES_MAX + 1)).unwrap().is_err());
    assert!(login(&of(LOGIN_BYTES_MAX * 2)).unwrap().is_err());
}

fn general_purpose_encode(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}
