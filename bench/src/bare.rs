//! The baseline: Pingora's own proxy with nothing in it. It forwards bytes and looks at none.

use crate::Outcome;
use async_trait::async_trait;
use pingora::prelude::{HttpPeer, ProxyHttp, Session, http_proxy_service};
use pingora::server::Server;
use pingora::server::configuration::ServerConf;

struct Bare {
    upstream: HttpPeer,
}

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _session: &mut Session, (): &mut ()) -> pingora::Result<Box<HttpPeer>> {
        Ok(Box::new(self.upstream.clone()))
    }
}

/// Forwards a port to another, both on the loopback address, with one thread and a pool as large as Weir's.
pub(crate) fn serve(port: u16, upstream: u16) -> Outcome<()> {
    // Already installed is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let conf = ServerConf { threads: 1, upstream_keepalive_pool_size: 1024, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let bare = Bare { upstream: HttpPeer::new(("127.0.0.1", upstream), false, String::new()) };
    let mut service = http_proxy_service(&server.configuration, bare);
    service.add_tcp(&format!("127.0.0.1:{port}"));
    server.add_service(service);
    server.run_forever()
}
