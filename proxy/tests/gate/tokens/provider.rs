//! A real provider: oidc-provider, which is certified by the OpenID Foundation, from npm.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{bearer, status};
use crate::programs;
use crate::rig::{Gate, PATIENCE, Setup, Upstream, assert_row};

/// The provider's process. It ends with its standard input.
struct Provider {
    child: Child,
    issuer: String,
}

impl Provider {
    /// Starts it; `None`, with a warning, where it cannot be installed. With `CI` set, that fails the test.
    fn start() -> Option<Self> {
        let installed = tollgate_tests::process::script("oidc-provider.sh", &[]);
        let program = match installed {
            Ok(program) => program,
            Err(error) => {
                assert!(std::env::var("CI").as_deref() != Ok("true"), "scripts/oidc-provider.sh: {error:#}");
                eprintln!("SKIPPED: scripts/oidc-provider.sh: {error:#}");
                return None;
            }
        };
        let mut command = Command::new("node");
        command.arg(program).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.map_while(Result::ok).find_map(|line| Some(line.strip_prefix("listening ")?.to_owned()));
        let issuer = format!("http://127.0.0.1:{}", port.expect("the provider did not start"));
        Some(Self { child, issuer })
    }

    fn post(&self, path: &str, user: &str, form: &[&str]) -> Value {
        let url = format!("{}{path}", self.issuer);
        let mut arguments = vec!["-sS", "-m", "20", "-u", user, &url];
        for pair in form {
            arguments.extend(["--data-urlencode", *pair]);
        }
        let output = programs::run("curl", &arguments, b"").expect("curl");
        assert!(!output.contains("curl: ("), "{output}");
        serde_json::from_str(output.trim()).unwrap_or(Value::Null)
    }

    /// A token by client credentials; an opaque one if `resource` says so.
    fn token(&self, resource: &str) -> String {
        let resource = format!("resource=https://api.example.com{resource}");
        let form = ["grant_type=client_credentials", "scope=read write", &resource];
        let answer = self.post("/token", "svc:svc-secret-svc-secret-svc-secret", &form);
        answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    fn count(&self, path: &str) -> u64 {
        self.post("/control/counts", ":", &[])[path].as_u64().unwrap_or(0)
    }

    fn stop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn gate(provider: &Provider) -> Gate {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "gate-secret: gate+secret/gate%secret").unwrap();
    let issuer = &provider.issuer;
    let extra = format!(
        "identity:\n  providers:\n    - name: corp\n      issuer: {issuer}\n      \
         audiences: [\"https://api.example.com\"]\n      groups_claim: groups\n      introspection: \
         {{url: {issuer}/token/introspection, client_id: gate, client_secret_file: {}, active_ttl: 1s}}\n",
        secret.path().display()
    );
    let targets = [format!("http://{}", Upstream::echo().addr)];
    let service = "    auth: {any_of: [{jwt: corp}, {oauth2: corp}]}\n    allow: {groups: [partners]}";
    Gate::with(&Setup { targets: &targets, service, extra: &extra, ..Setup::default() })
}

/// Asks until the answer has this status.
fn until_status(gate: &Gate, token: &str, wanted: u16, what: &str) {
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = bearer(gate, token);
        if status(&answer) == wanted {
            return;
        }
        assert!(Instant::now() < end, "{what}: {answer}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn tokens_of_a_certified_provider_pass_rotate_are_revoked_and_survive_its_end() {
    let Some(mut provider) = Provider::start() else { return };
    let gate = gate(&provider);
    let jwt = provider.token("");
    let answer = bearer(&gate, &jwt);
    assert_eq!(status(&answer), 200, "{answer}");
    assert_eq!(provider.count("/jwks"), 1);

    let opaque = provider.token("/opaque");
    for _ in 0..2 {
        let answer = bearer(&gate, &opaque);
        assert_eq!(status(&answer), 200, "{answer}");
    }
    provider.post("/token/revocation", "svc:svc-secret-svc-secret-svc-secret", &[&format!("token={opaque}")]);
    until_status(&gate, &opaque, 401, "the revocation is seen");

    provider.post("/control/rotate", ":", &["x=1"]);
    let rotated = provider.token("");
    let answer = bearer(&gate, &rotated);
    assert_eq!(status(&answer), 200, "the first token under a new key: {answer}");
    assert_eq!(provider.count("/jwks"), 2, "with one fetch");

    provider.post("/control/rotate", ":", &["x=1"]);
    let unknown = provider.token("");
    provider.stop();
    assert_eq!(status(&bearer(&gate, &rotated)), 200, "a known key goes on");
    // Whether a search is due or the last one is too fresh, there is no verdict once a fetch has failed.
    until_status(&gate, &unknown, 503, "an unknown key has no verdict");
    assert_eq!(status(&bearer(&gate, &opaque.replace(|c: char| c.is_ascii_digit(), "x"))), 503);
    let rows = gate.finish();
    assert_row(
        &rows[0],
        json!({"tollgate.auth_pattern": "jwt", "user.name": null, "tollgate.credential_id": "svc",
        "user.roles": ["partners", "readers"], "tollgate.acl_decision": "allow"}),
    );
    assert_row(
        &rows[1],
        json!({"tollgate.auth_pattern": "oauth2", "tollgate.credential_id": "svc", "tollgate.acl_decision": "allow"}),
    );
}
