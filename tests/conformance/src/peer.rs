//! Other proxies for the same cases: nginx and HAProxy as Debian ships them, each in front of a recording origin.
//!
//! Their configuration says what ours says (see [`crate::gate`]) in their words, and is theirs by default otherwise.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use tollgate_tests::net::{free_port, wait_listening};
use tollgate_tests::process::Process;

use crate::tool;

/// Which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// nginx.
    Nginx,
    /// HAProxy.
    Haproxy,
}

/// A running peer.
#[derive(Debug)]
pub struct Peer {
    /// Where it listens.
    pub addr: SocketAddr,
    _process: Process,
    _dir: tempfile::TempDir,
}

impl Peer {
    /// Starts one in front of `origin`; `None` where it is not installed, see [`tool::find`].
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(kind: Kind, origin: SocketAddr) -> anyhow::Result<Option<Self>> {
        let name = match kind {
            Kind::Nginx => "nginx",
            Kind::Haproxy => "haproxy",
        };
        let Some(program) = tool::find(name, "run scripts/install-deps.sh test") else { return Ok(None) };
        let dir = tempfile::tempdir()?;
        let addr = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let file = dir.path().join(name);
        let mut command = Command::new(program);
        match kind {
            Kind::Nginx => {
                std::fs::write(&file, nginx_conf(dir.path(), &nginx(addr, origin)))?;
                command.arg("-e").arg(dir.path().join("error.log")).arg("-c").arg(&file);
            }
            Kind::Haproxy => {
                std::fs::write(&file, haproxy(addr, origin))?;
                command.arg("-db").arg("-f").arg(&file);
            }
        }
        let process = Process::start(name, dir.path(), &mut command)?;
        wait_listening(addr)?;
        Ok(Some(Self { addr, _process: process, _dir: dir }))
    }
}

/// nginx as an origin: it answers every path, reads bodies by its own rules, and keeps its connections.
#[derive(Debug)]
pub struct Site {
    /// Where it listens.
    pub addr: SocketAddr,
    _process: Process,
    _dir: tempfile::TempDir,
}

impl Site {
    /// Starts it; `None` where it is not installed, see [`tool::find`].
    ///
    /// # Errors
    /// When it does not start.
    pub fn start() -> anyhow::Result<Option<Self>> {
        let Some(program) = tool::find("nginx", "run scripts/install-deps.sh test") else { return Ok(None) };
        let dir = tempfile::tempdir()?;
        let addr = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let file = dir.path().join("nginx");
        std::fs::write(&file, nginx_conf(dir.path(), &site(addr)))?;
        let mut command = Command::new(program);
        command.arg("-e").arg(dir.path().join("error.log")).arg("-c").arg(&file);
        let process = Process::start("nginx", dir.path(), &mut command)?;
        wait_listening(addr)?;
        Ok(Some(Self { addr, _process: process, _dir: dir }))
    }
}

/// A whole configuration of nginx: `http` is what its http section says.
fn nginx_conf(dir: &Path, http: &str) -> String {
    let dir = dir.display();
    format!(
        r#"
daemon off;
master_process off;
pid {dir}/nginx.pid;
error_log {dir}/error.log crit;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
  uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
{http}}}
"#
    )
}

fn site(addr: SocketAddr) -> String {
    format!(
        r#"
  server {{
    listen {addr};
    location = / {{ return 200 "hello"; }}
    location / {{ return 404 "no such page"; }}
  }}
"#
    )
}

fn nginx(addr: SocketAddr, origin: SocketAddr) -> String {
    format!(
        r#"
  client_header_timeout 2s; client_body_timeout 2s; proxy_read_timeout 5s;
  client_max_body_size 1g;
  map $http_upgrade $passed_connection {{ default upgrade; '' close; }}
  server {{
    listen {addr};
    location / {{
      proxy_pass http://{origin};
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $passed_connection;
    }}
    location /guarded {{ return 401; }}
    location /limited {{
      client_max_body_size 10;
      proxy_pass http://{origin};
      proxy_http_version 1.1;
      proxy_set_header Host $host;
    }}
  }}
"#
    )
}

fn haproxy(addr: SocketAddr, origin: SocketAddr) -> String {
    format!(
        r#"
global
  maxconn 256
defaults
  mode http
  timeout connect 2s
  timeout client 2s
  timeout server 5s
  timeout http-request 2s
  timeout http-keep-alive 2s
frontend cases
  bind {addr}
  http-request deny deny_status 401 if {{ path_beg /guarded }}
  http-request deny deny_status 413 if {{ path_beg /limited }} {{ req.body_size gt 10 }}
  default_backend origin
backend origin
  http-reuse never
  server origin {origin}
"#
    )
}
