//! An issuer that the tests hold in their hands: how often it is asked, when it answers, which keys it has.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tollgate_proxy_token::testkit::Issuer;

use super::{ask, bearer, now_s, status};
use crate::rig::{Gate, PATIENCE, Setup, Upstream, assert_row, read_request};

/// The issuer's server: discovery, keys, introspection.
struct Server {
    addr: SocketAddr,
    /// What `/keys` answers.
    keys: Arc<Mutex<String>>,
    /// What `/introspect` answers.
    said: Arc<Mutex<String>>,
    up: Arc<AtomicBool>,
    fetches: Arc<AtomicUsize>,
    questions: Arc<AtomicUsize>,
}

impl Server {
    fn start(issuer: &Issuer) -> Self {
        let (keys, said) = (Arc::new(Mutex::new(issuer.key_set())), Arc::new(Mutex::new(String::new())));
        let up = Arc::new(AtomicBool::new(true));
        let counts: [Arc<AtomicUsize>; 2] = Default::default();
        let served = (keys.clone(), said.clone(), up.clone(), counts.clone());
        let upstream = Upstream::start(move |mut stream, _| {
            let (keys, said, up, [fetches, questions]) = &served;
            let addr = stream.local_addr().unwrap();
            let Some(request) = read_request(&mut stream) else { return };
            if !up.load(SeqCst) {
                return;
            }
            let body = match request.split(' ').nth(1) {
                Some("/keys") => {
                    fetches.fetch_add(1, SeqCst);
                    keys.lock().unwrap().clone()
                }
                Some("/introspect") => {
                    questions.fetch_add(1, SeqCst);
                    let known = request.to_ascii_lowercase().contains("authorization: basic z2f0ztpzjtnbjtnbcmv0");
                    if known { said.lock().unwrap().clone() } else { String::new() }
                }
                _ => json!({"issuer": format!("http://{addr}"), "jwks_uri": format!("http://{addr}/keys")}).to_string(),
            };
            let _gone = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        });
        let [fetches, questions] = counts;
        Self { addr: upstream.addr, keys, said, up, fetches, questions }
    }

    fn gate(&self, auth: &str, ttl: &str) -> Gate {
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), "s::ret\n").unwrap();
        let addr = self.addr;
        let extra = format!(
            "identity:\n  providers:\n    - name: corp\n      issuer: http://{addr}\n      audiences: [members-api]\n      \
             groups_claim: scope\n      introspection: {{url: \"http://{addr}/introspect\", client_id: gate, \
             client_secret_file: {}{ttl}}}\n",
            secret.path().display()
        );
        let service = format!("    auth: {{any_of: [{auth}]}}");
        let targets = [format!("http://{}", Upstream::echo().addr)];
        Gate::with(&Setup { targets: &targets, service: &service, extra: &extra, ..Setup::default() })
    }

    fn claims(&self) -> Value {
        json!({"iss": format!("http://{}", self.addr), "aud": "members-api", "exp": now_s() + 300, "sub": "alice"})
    }
}

/// The status line of the next answer, whose rest is read.
fn answer_of(answers: &mut impl BufRead) -> String {
    let (mut first, mut length) = (String::new(), 0);
    answers.read_line(&mut first).unwrap();
    loop {
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        match line.trim_end().to_ascii_lowercase().strip_prefix("content-length: ") {
            Some(value) => length = value.parse().unwrap(),
            None if line.trim_end().is_empty() => break,
            None => {}
        }
    }
    answers.read_exact(&mut vec![0; length]).unwrap();
    first
}

/// Waits until something is so.
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_first_token_under_a_new_key_passes_with_one_fetch_more() {
    let (first, second) = (Issuer::rsa("first"), Issuer::rsa("second"));
    let server = Server::start(&first);
    let gate = server.gate("{jwt: corp}", "");
    assert_eq!(status(&bearer(&gate, &first.token(&server.claims()))), 200);
    assert_eq!(server.fetches.load(SeqCst), 1);
    *server.keys.lock().unwrap() = second.key_set();
    assert_eq!(status(&bearer(&gate, &second.token(&server.claims()))), 200);
    assert_eq!(server.fetches.load(SeqCst), 2);
    assert_eq!(status(&bearer(&gate, &first.token(&server.claims()))), 401, "the key is withdrawn");
}

#[test]
fn ten_thousand_unknown_keys_cause_at_most_two_fetches() {
    let issuer = Issuer::rsa("k");
    let server = Server::start(&issuer);
    let gate = server.gate("{jwt: corp}", "");
    assert_eq!(status(&bearer(&gate, &issuer.token(&server.claims()))), 200);
    let before = server.fetches.load(SeqCst);
    let began = Instant::now();
    let payload = server.claims().to_string();
    let signed = issuer.sign(r#"{"alg":"RS256","kid":"0"}"#, &payload);
    let (_, rest) = signed.split_once('.').unwrap();
    let mut stream = gate.connect();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    for number in 0..10_000 {
        let header = tollgate_proxy_token::testkit::encoded(format!(r#"{{"alg":"RS256","kid":"{number}"}}"#));
        let request =
            format!("GET /api HTTP/1.1\r\nhost: api.example.com\r\nauthorization: Bearer {header}.{rest}\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        assert_eq!(status(&answer_of(&mut answers)), 401);
    }
    // One for each ten seconds that have begun, however slow the machine is.
    let most = 1 + (began.elapsed().as_secs() / 10) as usize;
    assert!(server.fetches.load(SeqCst) - before <= most.max(1), "{} fetches", server.fetches.load(SeqCst) - before);
}

#[test]
fn an_issuer_that_is_down_leaves_known_keys_in_use_and_unknown_tokens_without_a_verdict() {
    let (issuer, stranger) = (Issuer::rsa("k"), Issuer::rsa("new"));
    let server = Server::start(&issuer);
    let gate = server.gate("{jwt: corp}, {oauth2: corp}", "");
    let known = issuer.token(&server.claims());
    assert_eq!(status(&bearer(&gate, &known)), 200);
    server.up.store(false, SeqCst);
    assert_eq!(status(&bearer(&gate, &known)), 200, "a verified token goes on");
    let mut fresh = server.claims();
    fresh["sub"] = json!("bob");
    assert_eq!(status(&bearer(&gate, &issuer.token(&fresh))), 200, "and so does another under a known key");
    let answer = bearer(&gate, &stranger.token(&server.claims()));
    assert_eq!(status(&answer), 503, "{answer}");
    assert!(answer.to_ascii_lowercase().contains("retry-after: "), "{answer}");
    assert_eq!(status(&bearer(&gate, "opaque")), 503);
    until("the metric says that the issuer is down", || gate.metric("tollgate_proxy_issuer_up") == 0.0);
    server.up.store(true, SeqCst);
    until("the issuer is asked again", || gate.metric("tollgate_proxy_issuer_up") == 1.0);
    let rows = gate.finish();
    let unavailable: Vec<&Value> = rows.iter().filter(|row| row.to_string().contains("auth_unavailable")).collect();
    assert_eq!(unavailable.len(), 2, "{rows:#?}");
    assert_row(unavailable[0], json!({"tollgate.auth_pattern": "jwt"}));
    assert_row(unavailable[1], json!({"tollgate.auth_pattern": "oauth2"}));
}

#[test]
fn an_opaque_token_is_asked_about_once_and_refused_ones_are_remembered_too() {
    let issuer = Issuer::rsa("k");
    let server = Server::start(&issuer);
    let gate = server.gate("{jwt: corp}, {oauth2: corp}", ", active_ttl: 30s, inactive_ttl: 10s");
    let said = json!({"active": true, "aud": "members-api", "client_id": "svc", "scope": "read write",
        "exp": now_s() + 300});
    *server.said.lock().unwrap() = said.to_string();
    for _ in 0..3 {
        let answer = bearer(&gate, "opaque-good");
        assert_eq!(status(&answer), 200, "{answer}");
    }
    assert_eq!(server.questions.load(SeqCst), 1);
    *server.said.lock().unwrap() = json!({"active": false}).to_string();
    for _ in 0..3 {
        assert_eq!(status(&bearer(&gate, "opaque-bad")), 401);
    }
    assert_eq!(server.questions.load(SeqCst), 2);
    *server.said.lock().unwrap() = "<html>busy</html>".to_owned();
    assert_eq!(status(&bearer(&gate, "opaque-other")), 503, "that is no verdict");
    *server.said.lock().unwrap() = said.to_string();
    assert_eq!(status(&bearer(&gate, "opaque-other")), 200, "and it is not remembered");
    assert_eq!(status(&ask(&gate, "")), 401);
    let rows = gate.finish();
    assert_row(
        &rows[0],
        json!({"tollgate.auth_pattern": "oauth2", "tollgate.auth_result": "success", "tollgate.credential_id": "svc",
        "user.roles": ["read", "write"]}),
    );
    assert_row(
        &rows[3],
        json!({"tollgate.auth_pattern": "oauth2", "tollgate.auth_result": "failed", "tollgate.auth_fail_reason": "unknown"}),
    );
}

#[test]
fn a_revoked_token_ends_with_the_time_for_which_it_is_taken_as_active() {
    let issuer = Issuer::rsa("k");
    let server = Server::start(&issuer);
    let gate = server.gate("{oauth2: corp}", ", active_ttl: 1s");
    *server.said.lock().unwrap() = json!({"active": true, "aud": "members-api"}).to_string();
    assert_eq!(status(&bearer(&gate, "opaque")), 200);
    *server.said.lock().unwrap() = json!({"active": false}).to_string();
    until("the revocation is seen", || status(&bearer(&gate, "opaque")) == 401);
}
