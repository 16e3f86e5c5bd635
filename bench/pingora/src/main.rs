//! Pingora as a reverse proxy, for `scripts/bench-proxy.sh`: one thread, one upstream, the same fields added as Tollgate
//! adds. `pingora-peer PLAIN_PORT TLS_PORT UPSTREAM_PORT CERTIFICATE` reads CERTIFICATE.pem and CERTIFICATE.key.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use pingora::listeners::tls::TlsSettings;
use pingora::prelude::*;
use pingora::server::configuration::ServerConf;

struct Peer {
    upstream: u16,
    number: AtomicU64,
}

#[async_trait]
impl ProxyHttp for Peer {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(("127.0.0.1", self.upstream), false, String::new())))
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        (): &mut (),
    ) -> Result<()> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        request.insert_header("x-request-id", format!("{number:036x}"))?;
        if let Some(peer) = session.client_addr().and_then(|addr| addr.as_inet()) {
            request.insert_header("x-forwarded-for", peer.ip().to_string())?;
        }
        request.insert_header("x-forwarded-proto", "http")?;
        Ok(())
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [plain, tls, upstream, certificate] = arguments.as_slice() else {
        return Err("usage: pingora-peer PLAIN_PORT TLS_PORT UPSTREAM_PORT CERTIFICATE".into());
    };
    let conf = ServerConf { threads: 1, upstream_keepalive_pool_size: 256, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let peer = Peer { upstream: upstream.parse()?, number: AtomicU64::new(0) };
    let mut service = http_proxy_service(&server.configuration, peer);
    service.add_tcp(&format!("127.0.0.1:{plain}"));
    let mut settings = TlsSettings::intermediate(&format!("{certificate}.pem"), &format!("{certificate}.key"))?;
    settings.enable_h2();
    service.add_tls_with_settings(&format!("127.0.0.1:{tls}"), None, settings);
    server.add_service(service);
    server.run_forever();
}
