//! Certificates of clients: which are taken, and what they say.

use crate::Error;
use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::listeners::TlsAccept;
use pingora::protocols::tls::TlsRef;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use serde_json::{Map, Value, json};
use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate, X509Name};

/// The authorities that sign clients' certificates, swapped in place when their file changes.
#[derive(Debug)]
pub(crate) struct ClientAuthorities {
    is_required: bool,
    current: ArcSwap<Authorities>,
}

#[derive(Debug)]
struct Authorities {
    file: PathBuf,
    certificates: Vec<CertificateDer<'static>>,
    verifier: Arc<dyn ClientCertVerifier>,
}

/// Which authorities sign clients' certificates, and whether a client must have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientsSpec {
    /// The authorities, in a PEM file.
    pub ca: PathBuf,
    /// Whether a client without a certificate gets no connection.
    pub required: bool,
}

impl ClientAuthorities {
    pub(crate) fn read(spec: &ClientsSpec) -> Result<Self, Error> {
        let current = ArcSwap::from_pointee(read(&spec.ca, spec.required)?);
        Ok(Self { is_required: spec.required, current })
    }

    pub(crate) fn is_required(&self) -> bool {
        self.is_required
    }

    /// Reads the file again and swaps the authorities if they changed. What is half written is left alone.
    pub(crate) fn refresh(&self) {
        let file = self.current.load().file.clone();
        self.adopt(&file);
    }

    /// Takes the authorities from elsewhere from now on.
    pub(crate) fn adopt(&self, file: &Path) {
        let old = self.current.load_full();
        match read(file, self.is_required) {
            Ok(fresh) if fresh.certificates != old.certificates => {
                self.current.store(Arc::new(fresh));
                tracing::info!(path = %file.display(), "the authorities of clients were renewed");
            }
            Ok(fresh) if fresh.file != old.file => self.current.store(Arc::new(fresh)),
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the authorities of clients in use stay"),
        }
    }

    fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.current.load().verifier)
    }
}

fn read(file: &Path, is_required: bool) -> Result<Authorities, Error> {
    let bad = |reason: String| Error::Certificate { path: file.to_owned(), reason };
    let certificates = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| bad(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        roots.add(certificate.clone()).map_err(|error| bad(error.to_string()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = if is_required { builder } else { builder.allow_unauthenticated() };
    let verifier = builder.build().map_err(|error| bad(error.to_string()))?;
    Ok(Authorities { file: file.to_owned(), certificates, verifier })
}

impl ClientCertVerifier for ClientAuthorities {
    fn client_auth_mandatory(&self) -> bool {
        self.is_required
    }

    /// None: clients pick by themselves, and the names may change under a connection.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.verifier().verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier().verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier().verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier().supported_verify_schemes()
    }
}

/// What a connection's client has shown in its certificate.
pub(crate) struct ClientCertificate {
    pub claims: Arc<Map<String, Value>>,
}

/// Notes the certificate of each connection once.
pub(crate) struct NoteCertificates;

#[async_trait]
impl TlsAccept for NoteCertificates {
    async fn handshake_complete_callback(&self, tls: &TlsRef) -> Option<Arc<dyn Any + Send + Sync>> {
        let claims = Arc::new(claims(tls.peer_certificate_der()?)?);
        Some(Arc::new(ClientCertificate { claims }))
    }
}

/// What a certificate says (RFC 5280); `None` if it cannot be read.
fn claims(der: &[u8]) -> Option<Map<String, Value>> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let (mut dns, mut uri, mut email) = (Vec::new(), Vec::new(), Vec::new());
    if let Ok(Some(names)) = certificate.subject_alternative_name() {
        for name in &names.value.general_names {
            match name {
                GeneralName::DNSName(name) => dns.push(*name),
                GeneralName::URI(name) => uri.push(*name),
                GeneralName::RFC822Name(name) => email.push(*name),
                _ => {}
            }
        }
    }
    let subject = certificate.subject();
    let common = texts(subject.iter_common_name());
    let first = [uri.first(), email.first(), dns.first()].into_iter().flatten().next().copied();
    let name = first.or(common.first().copied());
    let said = json!({
        "name": name,
        "subject": {
            "cn": common,
            "o": texts(subject.iter_organization()),
            "ou": texts(subject.iter_organizational_unit()),
        },
        "issuer": { "cn": issuer_names(certificate.issuer()) },
        "san": { "dns": dns, "uri": uri, "email": email },
        "serial": certificate.raw_serial_as_string(),
        "fingerprint": hex(ring::digest::digest(&ring::digest::SHA256, der).as_ref()),
    });
    match said {
        Value::Object(claims) => Some(claims),
        _ => None,
    }
}

fn issuer_names<'a>(issuer: &'a X509Name<'_>) -> Vec<&'a str> {
    texts(issuer.iter_common_name())
}

fn texts<'a>(
    attributes: impl Iterator<Item = &'a x509_parser::prelude::AttributeTypeAndValue<'a>>,
) -> Vec<&'a str> {
    attributes.filter_map(|attribute| attribute.as_str().ok()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
