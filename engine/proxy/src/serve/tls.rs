//! A listener's certificate, swapped in place when its files change.

use crate::Error;
use crate::listener::{TlsKey, TlsSpec};
use arc_swap::ArcSwap;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// A certificate chain and its key.
#[derive(Debug)]
pub(crate) struct Certificate {
    spec: ArcSwap<TlsSpec>,
    current: ArcSwap<CertifiedKey>,
}

impl Certificate {
    /// Reads the files.
    pub(crate) fn read(spec: &TlsSpec) -> Result<Self, Error> {
        Ok(Self { spec: ArcSwap::from_pointee(spec.clone()), current: ArcSwap::from_pointee(read(spec)?) })
    }

    /// Reads the files again and swaps the certificate if it changed. What is half written or does not fit is left alone.
    pub(crate) fn refresh(&self) {
        let spec = self.spec.load_full();
        match read(&spec) {
            Ok(fresh) if fresh.cert != self.current.load().cert => {
                self.current.store(Arc::new(fresh));
                tracing::info!(path = %spec.certificate.display(), "the certificate was renewed");
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the certificate in use stays"),
        }
    }

    /// Takes the certificate from elsewhere from now on.
    pub(crate) fn adopt(&self, spec: &TlsSpec) {
        self.spec.store(Arc::new(spec.clone()));
        self.refresh();
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn read(spec: &TlsSpec) -> Result<CertifiedKey, Error> {
    let chain = &spec.certificate;
    let bad = |reason: String| Error::Certificate { path: chain.clone(), reason };
    let certificates = CertificateDer::pem_file_iter(chain)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| bad(error.to_string()))?;
    if certificates.is_empty() {
        return Err(bad("no certificate in it".to_owned()));
    }
    let private = match &spec.key {
        TlsKey::File(path) => PrivateKeyDer::from_pem_file(path),
        TlsKey::Pem(text) => PrivateKeyDer::from_pem_slice(text.as_bytes()),
    };
    let private = private.map_err(|error| bad(format!("its key: {error}")))?;
    let signing = any_supported_type(&private).map_err(|error| bad(format!("its key: {error}")))?;
    let certified = CertifiedKey::new(certificates, signing);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(certified),
        Err(error) => Err(bad(format!("its key: {error}"))),
    }
}
