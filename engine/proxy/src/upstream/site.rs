//! Where providers are: names to addresses, briefly remembered, and what a connection to them must be like.

use super::lines::Lines;
use super::spare::Spare;
use arc_swap::ArcSwap;
use http::HeaderValue;
use pingora::connectors::ConnectorOptions;
use pingora::listeners::ALPN;
use pingora::upstreams::peer::HttpPeer;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use weir_message::Cause;
use weir_pipeline::{CallError, Endpoint, Http2};

/// How long an address is taken as known. For as long again it serves on while it is looked up behind; past that, requests
/// wait for the lookup, and where it fails, the old one serves them.
const ADDRESS_LIFE: Duration = Duration::from_secs(30);
/// How many idle connections are kept in all.
const POOL: usize = 1024;
/// How many requests share one HTTP/2 connection.
const STREAMS: usize = 100;
/// How often an HTTP/2 connection is asked whether it lives.
const PING: Duration = Duration::from_secs(30);

/// A map that is read without waiting and copied to be changed; for a few entries that change rarely.
struct Shelf<K, V>(ArcSwap<HashMap<K, Arc<V>, ahash::RandomState>>);

impl<K: Clone + Eq + Hash, V> Shelf<K, V> {
    fn new() -> Self {
        Self(ArcSwap::from_pointee(HashMap::default()))
    }

    fn get(&self, key: &K) -> Option<Arc<V>> {
        self.0.load().get(key).cloned()
    }

    /// What is there, or what this makes.
    fn get_or_put(&self, key: &K, make: impl Fn() -> V) -> Arc<V> {
        if let Some(value) = self.get(key) {
            return value;
        }
        let value = Arc::new(make());
        let before = self.0.rcu(|map| {
            let mut map = HashMap::clone(map);
            map.entry(key.clone()).or_insert_with(|| Arc::clone(&value));
            map
        });
        before.get(key).map_or(value, Arc::clone)
    }

    fn put(&self, key: &K, value: Arc<V>) {
        self.0.rcu(|map| {
            let mut map = HashMap::clone(map);
            map.insert(key.clone(), Arc::clone(&value));
            map
        });
    }
}

/// An address of a provider, and the free connections to it.
pub(crate) struct Peer {
    address: SocketAddr,
    /// How it is reached.
    pub http: HttpPeer,
    /// The free connections of HTTP/1.
    pub spare: Spare,
}

impl Peer {
    /// An address of an endpoint, with no connection yet.
    pub(crate) fn new(endpoint: &Endpoint, address: SocketAddr) -> Self {
        Self { address, http: http_peer(endpoint, address), spare: Spare::default() }
    }
}

/// A provider's place, resolved.
pub(crate) struct Site {
    /// One per address, in the resolver's order. Never empty.
    pub peers: Vec<Arc<Peer>>,
    /// What to put into `host`.
    pub host: HeaderValue,
    /// The connections to it.
    pub lines: Arc<Lines>,
    until: Instant,
    /// Whether somebody looks it up again.
    renewed: AtomicBool,
}

/// All places known so far.
pub(crate) struct Sites {
    sites: Shelf<Endpoint, Site>,
    /// By the file of trusted certificates; without one, the system's. Reading them takes milliseconds: once for all who wait.
    lines: Shelf<Option<PathBuf>, OnceCell<Arc<Lines>>>,
}

impl Sites {
    pub(crate) fn new() -> Self {
        Self { sites: Shelf::new(), lines: Shelf::new() }
    }

    /// The place of an endpoint, if it is known. What has aged is looked up again by one, behind the request that sees it first.
    pub(crate) fn known(self: &Arc<Self>, endpoint: &Endpoint, now: Instant) -> Option<Arc<Site>> {
        let site = self.sites.get(endpoint).filter(|site| now < site.until + ADDRESS_LIFE)?;
        if now >= site.until && !site.renewed.swap(true, Ordering::Relaxed) {
            let (sites, endpoint) = (Arc::clone(self), endpoint.clone());
            // Where it fails, the next lookup is in the way of a request, which says so.
            tokio::spawn(async move { sites.find(&endpoint).await.is_ok() });
        }
        Some(site)
    }

    /// The place of an endpoint, looked up. The error says that its name or its certificates lead nowhere.
    pub(crate) async fn find(&self, endpoint: &Endpoint) -> Result<Arc<Site>, CallError> {
        match self.resolve(endpoint).await {
            Ok(site) => {
                let site = Arc::new(site);
                self.sites.put(endpoint, Arc::clone(&site));
                Ok(site)
            }
            Err(error) => self.sites.get(endpoint).ok_or(error),
        }
    }

    async fn resolve(&self, endpoint: &Endpoint) -> Result<Site, CallError> {
        let unreachable = |detail: String| CallError::new(Cause::Connect, detail);
        let lines = self.lines.get_or_put(&endpoint.ca, OnceCell::new);
        let lines = lines.get_or_try_init(async || {
            let ca = endpoint.ca.clone();
            let made = tokio::task::spawn_blocking(move || lines_to(ca.as_deref())).await;
            made.map_err(|error| unreachable(error.to_string()))?.map(Arc::new).map_err(unreachable)
        });
        let lines = Arc::clone(lines.await?);
        let found: Vec<SocketAddr> = tokio::net::lookup_host((&*endpoint.host, endpoint.port))
            .await
            .map_err(|error| unreachable(format!("{}: {error}", endpoint.host)))?
            .collect();
        if found.is_empty() {
            return Err(unreachable(format!("{}: the name has no address", endpoint.host)));
        }
        let host = authority(endpoint);
        // An address that it had before keeps its connections.
        let before = self.sites.get(endpoint).filter(|site| Arc::ptr_eq(&site.lines, &lines));
        let peer = |address| {
            let mut known = before.iter().flat_map(|site| &site.peers);
            let known = known.find(|peer| peer.address == address).map(Arc::clone);
            known.unwrap_or_else(|| Arc::new(Peer::new(endpoint, address)))
        };
        Ok(Site {
            peers: found.into_iter().map(peer).collect(),
            host: HeaderValue::try_from(host).map_err(|error| unreachable(error.to_string()))?,
            lines,
            until: Instant::now() + ADDRESS_LIFE,
            renewed: AtomicBool::new(false),
        })
    }
}

/// `host`, with the port where it is not the scheme's own.
fn authority(endpoint: &Endpoint) -> String {
    let host =
        if endpoint.host.contains(':') { format!("[{}]", endpoint.host) } else { endpoint.host.clone() };
    let usual = if endpoint.tls { 443 } else { 80 };
    if endpoint.port == usual { host } else { format!("{host}:{}", endpoint.port) }
}

fn http_peer(endpoint: &Endpoint, address: SocketAddr) -> HttpPeer {
    // Without a name the certificate would not be checked; an address is a name, too.
    let mut peer = HttpPeer::new(address, endpoint.tls, endpoint.host.clone());
    peer.options.alpn = match endpoint.http2 {
        Http2::Always => ALPN::H2,
        Http2::Auto if endpoint.tls => ALPN::H2H1,
        Http2::Auto | Http2::Never => ALPN::H1,
    };
    // Connections that offered something else are not shared.
    peer.group_key = match endpoint.http2 {
        Http2::Auto => 0,
        Http2::Always => 2,
        Http2::Never => 4,
    };
    peer.options.max_h2_streams = STREAMS;
    peer.options.h2_ping_interval = Some(PING);
    peer
}

fn lines_to(ca: Option<&Path>) -> Result<Lines, String> {
    let mut options = ConnectorOptions::new(POOL);
    if let Some(path) = ca {
        let certificates = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| format!("the certificates in {}: {error}", path.display()))?;
        if certificates.is_empty() {
            return Err(format!("no certificate in {}", path.display()));
        }
        options.ca_file = Some(path.to_str().ok_or("the path of the certificates is not UTF-8")?.to_owned());
    }
    Ok(Lines::new(options))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(host: &str, port: u16, tls: bool) -> Endpoint {
        Endpoint { tls, host: host.into(), port, base_path: String::new(), ca: None, http2: Http2::Auto }
    }

    #[test]
    fn host_names_the_port_only_where_it_is_unusual() {
        for (host, port, tls, want) in [
            ("api.example", 443, true, "api.example"),
            ("api.example", 80, false, "api.example"),
            ("api.example", 80, true, "api.example:80"),
            ("::1", 8000, false, "[::1]:8000"),
            ("127.0.0.1", 443, true, "127.0.0.1"),
        ] {
            assert_eq!(authority(&endpoint(host, port, tls)), want);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_has_aged_serves_on_while_one_looks_it_up() {
        let sites = Arc::new(Sites::new());
        let here = endpoint("127.0.0.1", 9, false);
        let first = sites.find(&here).await.expect("an address needs no lookup");
        let aged = Instant::now() + ADDRESS_LIFE;
        assert!(sites.known(&here, aged).is_some_and(|site| Arc::ptr_eq(&site, &first)));
        assert!(sites.known(&here, aged).is_some_and(|site| Arc::ptr_eq(&site, &first)));
        tokio::time::sleep(ADDRESS_LIFE).await;
        let second = sites.known(&here, Instant::now()).expect("it was looked up behind");
        assert!(!Arc::ptr_eq(&second, &first));
        assert!(sites.known(&here, Instant::now() + 2 * ADDRESS_LIFE).is_none(), "nobody saw it age");
        let other = sites.find(&here).await.expect("an address needs no lookup");
        assert!(Arc::ptr_eq(&other.lines, &first.lines), "certificates are read once");
        assert!(Arc::ptr_eq(&other.peers[0], &first.peers[0]), "its connections stay");
    }

    #[test]
    fn a_certificate_is_always_checked_against_a_name() {
        let peer = http_peer(&endpoint("10.0.0.1", 443, true), SocketAddr::from(([10, 0, 0, 1], 443)));
        assert_eq!(peer.sni, "10.0.0.1");
        assert!(peer.options.verify_cert && peer.options.verify_hostname);
    }
}
