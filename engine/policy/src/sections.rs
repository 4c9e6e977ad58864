//! The sections of a policy file but for stages: listeners, keys, providers, models, observe, state. Their doc comments are the reference.

use crate::{GuessSettings, Identify, Secret, Spanned, TextOrSecret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use weir_diagnostic::units::{ByteSize, Duration, Network};

/// Where clients connect.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Address and port to listen on: `127.0.0.1:8080`, `0.0.0.0:443`, `[::]:8080`.
    pub address: Spanned<String>,
    /// How callers are told apart: the first of these that knows the caller. Who shows nothing is anonymous, who shows something wrong is
    /// refused (401). Empty: every caller is anonymous.
    #[serde(default)]
    pub identify: Vec<Spanned<Identify>>,
    /// How many wrong credentials one address may show before it is left out for a while. Unset: as many as it likes. Not for a
    /// listener behind a proxy that hides its clients' addresses: all of them would be one.
    #[serde(default)]
    pub guesses: Option<GuessSettings>,
    /// Serve TLS with this certificate. Unset: plain HTTP/1.1 and h2c.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// Accept HTTP/2 without TLS (h2c).
    #[serde(default = "yes")]
    pub h2c: bool,
    /// Bounds on what a client may send and how long it may take.
    #[serde(default)]
    pub limits: Limits,
}

/// A certificate and its key, as PEM files.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Path of the certificate chain in PEM, relative to the set's folder.
    pub certificate: Spanned<String>,
    /// Path of the private key in PEM, relative to the set's folder, or a secret that holds the PEM text.
    pub key: TextOrSecret,
    /// Ask clients for certificates too.
    #[serde(default)]
    pub clients: Option<TlsClients>,
}

/// Which certificates of clients are taken.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsClients {
    /// Path of a PEM file with the authorities that must have signed them, relative to the set's folder. It is read again when it
    /// changes.
    pub ca: Spanned<String>,
    /// Whether a client without a certificate gets no connection.
    #[serde(default)]
    pub required: bool,
}

/// Bounds of a listener.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Largest request body, also once decompressed; more is 413.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub body: ByteSize,
    /// Largest sum of all headers; more is 431.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub headers: ByteSize,
    /// Most headers of one request; more is 431.
    #[schemars(range(min = 1, max = 10000))]
    pub header_count: usize,
    /// Longest time for a request's headers to arrive.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub header_timeout: Duration,
    /// Longest time for a request's body to arrive.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub body_timeout: Duration,
    /// Most connections at a time; more are closed at once.
    #[schemars(range(min = 1))]
    pub connections: usize,
    /// Longest time that a connection may wait for its next request.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: ByteSize(32 << 20),
            headers: ByteSize(64 << 10),
            header_count: 100,
            header_timeout: seconds(10),
            body_timeout: seconds(60),
            connections: 10_000,
            idle: seconds(75),
        }
    }
}

fn yes() -> bool {
    true
}

fn seconds(n: u64) -> Duration {
    Duration(std::time::Duration::from_secs(n))
}

/// An API key that callers show, and who they are then.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CallerKey {
    /// BLAKE3 of the key: `blake3:` and 64 hex digits. Exactly one of `hash` and `secret` is set.
    #[serde(default)]
    pub hash: Option<Spanned<String>>,
    /// The key itself, by reference.
    #[serde(default)]
    pub secret: Option<Secret>,
    /// The key that it takes the place of, which is good too for a while.
    #[serde(default)]
    pub previous: Option<PreviousKey>,
    /// The user that this key stands for: `caller.user`.
    #[serde(default)]
    pub user: Option<String>,
    /// The team that this key stands for: `caller.team`.
    #[serde(default)]
    pub team: Option<String>,
    /// The project that this key is for: `caller.project`.
    #[serde(default)]
    pub project: Option<String>,
    /// Free-form attributes: `caller.tags`.
    #[serde(default)]
    pub tags: BTreeMap<String, serde_json::Value>,
    /// Models that this key may ask for: names, or patterns ending in `*`. Empty: all.
    #[serde(default)]
    pub models: Vec<String>,
    /// Operations that this key may ask for: `chat`, `embedding` and the others of `request.operation`. Empty: all.
    #[serde(default)]
    pub operations: Vec<Spanned<String>>,
    /// From when on the key is refused: a day (`2027-01-01`, as it begins in UTC) or a moment (RFC 3339).
    #[serde(default)]
    pub expires: Option<Spanned<String>>,
    /// Networks that the key may be shown from: `10.0.0.0/8`. Empty: all.
    #[serde(default)]
    pub networks: Vec<Network>,
    /// Whether the key is refused for now.
    #[serde(default)]
    pub disabled: bool,
}

/// A key that another takes the place of.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviousKey {
    /// BLAKE3 of the key: `blake3:` and 64 hex digits. Exactly one of `hash` and `secret` is set.
    #[serde(default)]
    pub hash: Option<Spanned<String>>,
    /// The key itself, by reference.
    #[serde(default)]
    pub secret: Option<Secret>,
    /// From when on it is refused: a day (`2027-01-01`, as it begins in UTC) or a moment (RFC 3339).
    pub until: Spanned<String>,
}

/// An account at a model API.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// The catalogue's provider that this account belongs to: `openai`, `echo` … (see `weir models`). Unset: `dialect` and `base_url` say all.
    #[serde(default)]
    pub from: Option<Spanned<String>>,
    /// The wire format; the catalogue's by default.
    #[serde(default)]
    pub dialect: Option<Spanned<DialectName>>,
    /// Whether it has OpenAI's Responses API; a client who asks it for a response gets one made of a chat completion
    /// otherwise. The catalogue's by default, and `false` without `from`.
    #[serde(default)]
    pub responses: Option<bool>,
    /// Where the API begins, such as `http://10.0.0.5:8000/v1`; the catalogue's by default. The version is part of it in the
    /// dialect `openai` and not in others: `https://api.anthropic.com`.
    #[serde(default)]
    pub base_url: Option<Spanned<String>>,
    /// The credential.
    #[serde(default)]
    pub key: Option<Secret>,
    /// Keys of AWS that sign each request, instead of `key`; `region` goes with them.
    #[serde(default)]
    pub aws: Option<Aws>,
    /// What is Azure's own: deployments, and tokens of Entra ID instead of `key`.
    #[serde(default)]
    pub azure: Option<Azure>,
    /// Google Cloud's Vertex AI: its paths, and tokens of an account there instead of `key`.
    #[serde(default)]
    pub google: Option<Google>,
    /// Whether Weir serves without this account when its key is missing; its targets are then never chosen.
    #[serde(default)]
    pub optional: bool,
    /// Headers sent with every request to it.
    #[serde(default)]
    pub headers: BTreeMap<String, TextOrSecret>,
    /// The region it runs in: `attempt.provider.region`, and `{region}` of the catalogue's address.
    #[serde(default)]
    pub region: Option<String>,
    /// Path of a PEM file with the authorities to trust instead of the system's, relative to the set's folder.
    #[serde(default)]
    pub ca: Option<Spanned<String>>,
    /// Whether to speak HTTP/2.
    #[serde(default)]
    pub http2: Http2,
    /// What becomes of a request that its API has no place for in full, when the client speaks another one.
    #[serde(default)]
    pub unsupported: Unsupported,
    /// How long to wait for it.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// What is known of its models besides what the catalogue says, and above it.
    #[serde(default)]
    pub models: Vec<ProviderModel>,
}

/// Keys of AWS (Signature Version 4).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Aws {
    /// The key's id.
    pub access_key_id: TextOrSecret,
    /// The key.
    pub secret_access_key: Secret,
    /// The token that goes with temporary keys.
    #[serde(default)]
    pub session_token: Option<Secret>,
    /// The service that is signed for.
    #[serde(default = "bedrock")]
    pub service: String,
}

fn bedrock() -> String {
    "bedrock".to_owned()
}

/// What is Azure's own.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Azure {
    /// The version of the API (`2024-10-21`). With it a model is asked for at the deployment of its name, below a `base_url`
    /// that ends in `/openai`; without it that ends in `/openai/v1`, which knows no versions.
    #[serde(default)]
    pub api_version: Option<String>,
    /// An application of Entra ID that gets tokens, instead of `key`.
    #[serde(default)]
    pub entra: Option<Entra>,
}

/// An application of Entra ID with its own secret (OAuth 2.0, client credentials). Tokens are renewed before they end.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Entra {
    /// The directory's id.
    pub tenant: String,
    /// The application's id.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
    /// What tokens are for.
    #[serde(default = "cognitive_services")]
    pub scope: String,
    /// Where Entra ID is, if not in the public cloud.
    #[serde(default = "entra")]
    pub authority: String,
}

fn cognitive_services() -> String {
    "https://cognitiveservices.azure.com/.default".to_owned()
}

fn entra() -> String {
    "https://login.microsoftonline.com".to_owned()
}

/// An account of Google Cloud. Tokens are renewed before they end.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Google {
    /// The project: `{project}` of the catalogue's address.
    #[serde(default)]
    pub project: Option<String>,
    /// The key file of a service account, all of it: `${file:/etc/weir/vertex.json}`. Unset: the metadata server of the machine
    /// is asked, which knows the account that the workload runs as.
    #[serde(default)]
    pub service_account: Option<Secret>,
    /// Where the metadata server is.
    #[serde(default = "metadata")]
    pub metadata: String,
}

fn metadata() -> String {
    "http://metadata.google.internal".to_owned()
}

impl Provider {
    /// Whether tokens prove who asks, which are got with a credential and not one themselves.
    pub fn gets_tokens(&self) -> bool {
        self.google.is_some() || self.azure.as_ref().is_some_and(|azure| azure.entra.is_some())
    }

    /// The secrets that prove who asks.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let aws = self.aws.iter().flat_map(|aws| {
            let id = aws.access_key_id.secret().into_iter();
            id.chain([&aws.secret_access_key]).chain(&aws.session_token)
        });
        let entra = self.azure.iter().flat_map(|azure| &azure.entra).map(|entra| &entra.client_secret);
        let google = self.google.iter().flat_map(|google| &google.service_account);
        self.key.iter().chain(aws).chain(entra).chain(google)
    }
}

/// What is known of a model of an account. What is left out is as the catalogue says.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderModel {
    /// The model's name there, or a pattern ending in `*`.
    #[schemars(length(min = 1))]
    pub name: Spanned<String>,
    /// What it costs.
    #[serde(default)]
    pub price: Option<Price>,
    /// The vocabulary that counts its tokens, such as `o200k_base`.
    #[serde(default)]
    pub tokenizer: Option<Spanned<String>>,
    /// How many tokens fit into its context.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub context: Option<u64>,
}

/// What becomes of what a change of dialect cannot carry. What is left out is named in `x-weir-dropped` and in the trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unsupported {
    /// Hints are left out; what the answer may mean something else without rules the target out.
    #[default]
    Reject,
    /// All of it is left out.
    Drop,
}

/// A wire format, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DialectName {
    /// OpenAI's API and all that speak it.
    OpenAi,
    /// Anthropic's messages.
    Anthropic,
    /// Google's Gemini.
    Gemini,
    /// AWS Bedrock.
    Bedrock,
    /// Cohere v2.
    Cohere,
}

impl From<DialectName> for weir_message::Dialect {
    fn from(name: DialectName) -> Self {
        match name {
            DialectName::OpenAi => Self::OpenAi,
            DialectName::Anthropic => Self::Anthropic,
            DialectName::Gemini => Self::Gemini,
            DialectName::Bedrock => Self::Bedrock,
            DialectName::Cohere => Self::Cohere,
        }
    }
}

/// Whether to speak HTTP/2 to a provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Http2 {
    /// Where TLS agrees on it (ALPN); HTTP/1.1 in the clear.
    #[default]
    Auto,
    /// Always, also in the clear.
    Always,
    /// HTTP/1.1 only.
    Never,
}

/// How long to wait for a provider.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// For the connection, TLS included.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub connect: Duration,
    /// From the request's last byte to the reply's first.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub first_byte: Duration,
    /// Between two parts of a reply.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub between: Duration,
    /// For the whole reply.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: seconds(5), first_byte: seconds(60), between: seconds(60), total: seconds(600) }
    }
}

/// A name that clients ask for, and where its requests go.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Where requests may go.
    #[schemars(length(min = 1))]
    pub targets: Vec<Target>,
    /// How a target is chosen: by weight, or in written order where the one before fails.
    #[serde(default)]
    pub route: ModelRoute,
    /// The vocabulary that counts its tokens, such as `o200k_base`; by the upstream model's name by default.
    #[serde(default)]
    pub tokenizer: Option<Spanned<String>>,
    /// What it costs; the catalogue's by default.
    #[serde(default)]
    pub price: Option<Price>,
    /// How many tokens fit into its context; the catalogue's by default.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub context: Option<u64>,
}

/// How a model chooses among its targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ModelRoute {
    /// By weight.
    #[default]
    Weighted,
    /// The first that works, in written order.
    Fallback,
}

/// A provider and the model to ask it for.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// A name under `providers`.
    pub provider: Spanned<String>,
    /// The model's name there; the name that the client asked for by default.
    #[serde(default)]
    pub model: Option<String>,
    /// Its share among the targets.
    #[serde(default = "one")]
    #[schemars(range(max = 1_000_000))]
    pub weight: u32,
}

fn one() -> u32 {
    1
}

/// Prices in US dollars: of a million tokens by class, and of what is not counted in tokens.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// The prompt.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub input: f64,
    /// The part of the prompt that the provider had cached; as `input` by default.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub cached_input: Option<f64>,
    /// The part of the prompt that is written to the cache; as `input` by default.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub cache_write: Option<f64>,
    /// The part of the prompt that is written to the cache for an hour or longer; as `cache_write` by default.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub cache_write_1h: Option<f64>,
    /// Sound in the prompt; as `input` by default.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub audio_input: Option<f64>,
    /// Images in the prompt; as `input` by default.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub image_input: Option<f64>,
    /// The reply.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub output: f64,
    /// Reasoning; as `output` by default.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub reasoning: Option<f64>,
    /// Sound in the reply; as `output` by default.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub audio_output: Option<f64>,
    /// Images in the reply; as `output` by default.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub image_output: Option<f64>,
    /// An image made.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub per_image: Option<f64>,
    /// A second of sound heard, or of sound or video made.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub per_second: Option<f64>,
    /// A million characters spoken.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub per_million_characters: Option<f64>,
    /// A page read.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub per_page: Option<f64>,
    /// A request, whatever else it costs.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub per_request: Option<f64>,
    /// Other prices for longer prompts, shortest first.
    #[serde(default)]
    pub above: Vec<PriceTier>,
    /// Prices of the same in a batch; as ever by default.
    #[serde(default)]
    pub batch: Option<Box<Price>>,
}

/// Prices in US dollars per million tokens where the prompt has more than so many: of all of them.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceTier {
    /// How many.
    #[schemars(range(min = 1))]
    pub tokens: u64,
    /// The prompt.
    #[schemars(range(min = 0))]
    pub input: f64,
    /// The part of the prompt that the provider had cached; as `input` by default.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub cached_input: Option<f64>,
    /// The part of the prompt that is written to the cache; as `input` by default.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub cache_write: Option<f64>,
    /// The part of the prompt that is written to the cache for an hour or longer; as `cache_write` by default.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub cache_write_1h: Option<f64>,
    /// The reply.
    #[schemars(range(min = 0))]
    pub output: f64,
}

/// The admin API's part that changes things (`/admin/v1`).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminSection {
    /// What its callers show, as a bearer token. Keys that are made there are kept beside the file of `state`.
    pub token: Secret,
}

/// What operators see.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Observe {
    /// How many of the last requests `/traces/{id}` knows.
    #[schemars(range(max = 100000))]
    pub traces: usize,
}

impl Default for Observe {
    fn default() -> Self {
        Self { traces: 256 }
    }
}
