//! A folder of YAML to a typed set of policies with places, or to everything that is wrong with it.
//!
//! [`snapshot`] reads the files and their revision, [`load`] turns them into [`Loaded`]: pass by pass *read* (nodes with
//! places, within limits), *shape* (each section against its own type) and *meaning* (names, parameters, order). What needs
//! CEL, scripts or stages is checked one floor up; those rooms read their settings through [`bind`] and give the loader
//! their names and schemas through [`Builtins`].
#![forbid(unsafe_code)]

mod arguments;
mod bind;
mod declare;
mod deserialize;
mod expand;
mod fields;
mod files;
mod gather;
mod identify;
mod load;
mod meaning;
mod mend;
mod node;
mod read;
mod scalar;
mod schema;
mod secret;
mod sections;
mod set;
mod shape;
mod snapshot;
mod stage;
mod state;
mod tables;

pub use bind::{bind, bind_as};
pub use fields::{Expr, Spanned};
pub use files::Files;
pub use identify::{
    Allow, AllowSettings, CallerSays, External, GuessSettings, Identify, IdentifyWord, Jwt, Mtls, Names,
    TokenAlgorithm,
};
pub use load::{Environment, Loaded, load};
pub use mend::Lost;
pub use node::{Key, Node, NodeKind};
pub use read::{MAX_ALIASED, MAX_DEPTH, MAX_NODES, read};
pub use schema::{language_schema, policy_schema};
pub use secret::{Secret, SecretValue, TextOrSecret};
pub use sections::{
    AdminSection, Aws, Azure, CallerKey, DialectName, Entra, Google, Http2, Limits, Listener, Model,
    ModelRoute, Observe, PreviousKey, Price, PriceTier, Provider, ProviderModel, Target, Timeouts, Tls,
    TlsClients, Unsupported,
};
pub use set::{Gaps, Named, Params, PolicySet};
pub use snapshot::{MAX_FILE, MAX_SET, Revision, Snapshot, SnapshotFile, is_read, snapshot};
pub use stage::{
    BodyDecl, Condition, Deny, DenyForm, FrameDecl, Hold, OnError, ParamType, PipelineDecl, StageDecl,
    Stages, Together, VERBS, verbs_of_field,
};
pub use state::{LedgerError, LedgerKeeping, RedisCertificates, RedisSentinel, RedisState, StateSection};
pub use tables::settings;

use weir_message::Verb;

/// A pipeline, with the frames around it, has at most this many stages.
pub const MAX_PIPELINE_STAGES: usize = 512;
/// A set has at most this many stages, those of `use` counted each time.
pub const MAX_SET_STAGES: usize = 4096;

/// What the loader needs to know of the built-in stages, which live above it.
pub trait Builtins {
    /// The names of the built-ins of a verb.
    fn names(&self, verb: Verb) -> Vec<&'static str>;

    /// The JSON Schema (as `schemars` writes it, draft 2020-12) of a built-in's `with`; `None` where there is no such built-in.
    fn schema(&self, verb: Verb, name: &str) -> Option<schemars::Schema>;
}

/// What the loader needs to know of the catalogue of providers.
pub trait Catalogue {
    /// The names that `from` of a provider takes.
    fn row_names(&self) -> Vec<String>;
}

/// Why a set could not be looked at at all. What is wrong inside it are diagnostics.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The folder, or the one file, cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        /// The path given.
        path: std::path::PathBuf,
        /// Why.
        error: std::io::Error,
    },
}
