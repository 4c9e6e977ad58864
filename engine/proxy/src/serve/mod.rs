//! Requests in: listeners, connections, HTTP, bytes.

mod app;
mod body;
mod clients;
mod edge;
mod ids;
mod reply;
mod strict;
mod tls;

pub(crate) use app::Shared;
pub use clients::ClientsSpec;
pub(crate) use clients::{ClientAuthorities, NoteCertificates};
pub(crate) use edge::Edge;
pub(crate) use tls::Certificate;
