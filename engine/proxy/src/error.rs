//! What can keep the proxy from serving.

use std::io;
use std::path::PathBuf;

/// Why the proxy could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address as the policy or the command line spells it.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// A certificate or its key cannot be used.
    #[error("cannot use the certificate {}: {reason}", path.display())]
    Certificate {
        /// The file at fault.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The policy set declares no listener.
    #[error("the policy set declares no listener: add one under `listeners:`")]
    NoListener,
    /// The old process did not hand over its sockets.
    #[error("the old process did not hand over its sockets through {}: {reason}", path.display())]
    Upgrade {
        /// The upgrade socket.
        path: PathBuf,
        /// What happened.
        reason: String,
    },
    /// The system gave no threads, signals or files.
    #[error("{what}: {source}")]
    System {
        /// What was asked of the system.
        what: &'static str,
        /// What it says.
        source: io::Error,
    },
}
