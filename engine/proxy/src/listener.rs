//! What a listener is to the proxy: an address, a certificate, limits.

use crate::Error;
use crate::counters::Count;
use crate::serve::{Certificate, ClientAuthorities, ClientsSpec};
use arc_swap::ArcSwap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use weir_diagnostic::Diagnostic;
use weir_policy::{Listener, TextOrSecret};

/// How long one write to a client may wait for it to read. Not a setting: a client that reads nothing for so long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// A listener as the set declares it, its secrets resolved.
#[derive(Clone, Debug)]
pub struct ListenerSpec {
    /// Its name in the set.
    pub name: Arc<str>,
    /// Address and port.
    pub address: String,
    /// The certificate, if it speaks TLS.
    pub tls: Option<TlsSpec>,
    /// Whether HTTP/2 is taken without TLS.
    pub h2c: bool,
    /// What it allows.
    pub limits: Limits,
}

/// A certificate chain in a PEM file, and its key.
#[derive(Clone, Debug)]
pub struct TlsSpec {
    /// The chain.
    pub certificate: PathBuf,
    /// The key.
    pub key: TlsKey,
    /// Which certificates clients are asked for.
    pub clients: Option<ClientsSpec>,
}

/// A private key. Prints `…`.
#[derive(Clone)]
pub enum TlsKey {
    /// In a PEM file.
    File(PathBuf),
    /// As PEM text, from a secret.
    Pem(Arc<str>),
}

impl fmt::Debug for TlsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsKey::File(path) => path.fmt(f),
            TlsKey::Pem(_) => f.write_str("…"),
        }
    }
}

/// What a listener allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest body in bytes, also once decompressed.
    pub body: u64,
    /// The largest head in bytes.
    pub headers: usize,
    /// Most headers of one request.
    pub header_count: usize,
    /// Until a request's head is there.
    pub header_timeout: Duration,
    /// Until a request's body is there.
    pub body_timeout: Duration,
    /// Most connections at a time.
    pub connections: u64,
    /// How long a connection may wait for its next request.
    pub idle: Duration,
    /// How long one write may wait for the client to read.
    pub write_timeout: Duration,
}

impl ListenerSpec {
    /// A listener of a set whose folder is `root`.
    ///
    /// # Errors
    /// The key's secret is missing.
    #[allow(clippy::result_large_err, reason = "asked once per load, never on the way of a request")]
    pub fn of(
        name: &str,
        listener: &Listener,
        root: &Path,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Diagnostic> {
        let tls = match &listener.tls {
            None => None,
            Some(tls) => Some(TlsSpec {
                certificate: root.join(&*tls.certificate),
                key: match &tls.key {
                    TextOrSecret::Text(path) => TlsKey::File(root.join(path)),
                    secret @ TextOrSecret::Secret(_) => {
                        TlsKey::Pem(Arc::from(secret.resolve(env, root)?.expose()))
                    }
                },
                clients: tls
                    .clients
                    .as_ref()
                    .map(|clients| ClientsSpec { ca: root.join(&*clients.ca), required: clients.required }),
            }),
        };
        let limits = &listener.limits;
        Ok(Self {
            name: Arc::from(name),
            address: listener.address.to_string(),
            tls,
            h2c: listener.h2c,
            limits: Limits {
                body: limits.body.0,
                headers: usize::try_from(limits.headers.0).unwrap_or(usize::MAX),
                header_count: limits.header_count,
                header_timeout: limits.header_timeout.0,
                body_timeout: limits.body_timeout.0,
                connections: limits.connections as u64,
                idle: limits.idle.0,
                write_timeout: WRITE_TIMEOUT,
            },
        })
    }
}

/// A listener that is bound. Its limits and its certificate change in place; its address and protocol do not.
pub(crate) struct Bound {
    pub name: Arc<str>,
    /// As the set spells it; the key under which its socket is handed on.
    pub address: String,
    pub h2c: bool,
    pub certificate: Option<Arc<Certificate>>,
    pub clients: Option<Arc<ClientAuthorities>>,
    /// How many of its connections are open.
    pub open: Arc<Count>,
    limits: ArcSwap<Limits>,
}

impl Bound {
    pub(crate) fn new(spec: &ListenerSpec) -> Result<Self, Error> {
        let certificate = spec.tls.as_ref().map(Certificate::read).transpose()?;
        let clients = spec.tls.as_ref().and_then(|tls| tls.clients.as_ref());
        let clients = clients.map(ClientAuthorities::read).transpose()?;
        Ok(Self {
            name: Arc::clone(&spec.name),
            address: spec.address.clone(),
            h2c: spec.h2c,
            certificate: certificate.map(Arc::new),
            clients: clients.map(Arc::new),
            open: Arc::default(),
            limits: ArcSwap::from_pointee(spec.limits),
        })
    }

    pub(crate) fn limits(&self) -> Limits {
        **self.limits.load()
    }

    /// Whether clients are asked for certificates, and whether they must have one; `None`: they are not asked.
    fn asks_clients(&self) -> Option<bool> {
        self.clients.as_ref().map(|clients| clients.is_required())
    }

    /// Reads what lies in files of its own again.
    pub(crate) fn refresh(&self) {
        if let Some(certificate) = &self.certificate {
            certificate.refresh();
        }
        if let Some(clients) = &self.clients {
            clients.refresh();
        }
    }

    /// Takes over what can change in place.
    pub(crate) fn adopt(&self, spec: &ListenerSpec) {
        self.limits.store(Arc::new(spec.limits));
        if let (Some(certificate), Some(tls)) = (&self.certificate, &spec.tls) {
            certificate.adopt(tls);
            if let (Some(clients), Some(spec)) = (&self.clients, &tls.clients) {
                clients.adopt(&spec.ca);
            }
        }
    }
}

/// What a set would change about sockets that are bound; `None`: nothing.
pub(crate) fn moved(bound: &[Arc<Bound>], wanted: &[ListenerSpec]) -> Option<String> {
    for new in wanted {
        let name = &new.name;
        match bound.iter().find(|old| old.name == *name) {
            None => return Some(format!("the listener \"{name}\" is new")),
            Some(old) if old.address != new.address => {
                return Some(format!("the listener \"{name}\" has another address"));
            }
            Some(old) if old.certificate.is_some() != new.tls.is_some() || old.h2c != new.h2c => {
                return Some(format!("the listener \"{name}\" speaks another protocol"));
            }
            Some(old) if old.asks_clients() != asks_clients(new) => {
                return Some(format!("the listener \"{name}\" asks clients for other certificates"));
            }
            Some(_) => {}
        }
    }
    bound
        .iter()
        .find(|old| !wanted.iter().any(|new| new.name == old.name))
        .map(|old| format!("the listener \"{}\" is gone", old.name))
}

fn asks_clients(spec: &ListenerSpec) -> Option<bool> {
    Some(spec.tls.as_ref()?.clients.as_ref()?.required)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, address: &str, h2c: bool) -> ListenerSpec {
        let limits = Limits {
            body: 1,
            headers: 1,
            header_count: 1,
            header_timeout: Duration::ZERO,
            body_timeout: Duration::ZERO,
            connections: 1,
            idle: Duration::ZERO,
            write_timeout: WRITE_TIMEOUT,
        };
        ListenerSpec { name: Arc::from(name), address: address.into(), tls: None, h2c, limits }
    }

    #[test]
    fn tells_what_only_another_process_can_change() {
        let bound = [Arc::new(Bound::new(&spec("edge", "127.0.0.1:1", true)).unwrap())];
        for (wanted, want) in [
            (vec![spec("edge", "127.0.0.1:1", true)], None),
            (vec![spec("edge", "127.0.0.1:2", true)], Some("another address")),
            (vec![spec("edge", "127.0.0.1:1", false)], Some("another protocol")),
            (vec![spec("edge", "127.0.0.1:1", true), spec("b", "127.0.0.1:2", true)], Some("\"b\" is new")),
            (vec![], Some("\"edge\" is gone")),
        ] {
            let got = moved(&bound, &wanted);
            assert_eq!(got.is_some(), want.is_some(), "{got:?}");
            assert!(want.is_none_or(|part| got.is_some_and(|got| got.contains(part))), "{want:?}");
        }
    }

    #[test]
    fn limits_change_in_place() {
        let bound = Bound::new(&spec("edge", "127.0.0.1:1", true)).unwrap();
        let mut other = spec("edge", "127.0.0.1:1", true);
        other.limits.body = 99;
        bound.adopt(&other);
        assert_eq!(bound.limits().body, 99);
    }
}
