//! Keys of a gateway that serves, by its admin API.

use crate::out::{BAD, COULD_NOT, USAGE, fail, say};
use bytes::Bytes;
use futures::TryStreamExt;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, json};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use weir_pipeline::{Call, Endpoint, Provider, SystemClock, Timeouts, Upstream};
use weir_proxy::NetUpstream;

/// The largest answer that is read, in bytes.
const LARGEST: u64 = 16 << 20;

/// How long the gateway may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The gateway that is asked.
#[derive(clap::Args)]
pub(super) struct Remote {
    /// The gateway's admin API. Its token is read from WEIR_ADMIN_TOKEN
    #[arg(long, default_value = "http://127.0.0.1:9090")]
    admin: String,
}

impl Remote {
    /// Asks, and prints what is answered.
    pub(super) fn run(&self, method: Method, path: &str, body: Option<&Value>) -> ExitCode {
        let Some(token) = std::env::var("WEIR_ADMIN_TOKEN").ok().filter(|token| !token.is_empty()) else {
            return fail(USAGE, "WEIR_ADMIN_TOKEN is not set: it is the token of the set's `admin` section");
        };
        let call = match self.call(method, path, body, &token) {
            Ok(call) => call,
            Err(why) => return fail(USAGE, &why),
        };
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return fail(COULD_NOT, &error.to_string()),
        };
        match runtime.block_on(ask(call)) {
            Err(why) => fail(COULD_NOT, &format!("{}: {why}", self.admin)),
            Ok((200..=299, text)) => {
                if !text.trim().is_empty() {
                    say(&pretty(&text));
                }
                ExitCode::SUCCESS
            }
            Ok((status, text)) => fail(BAD, &format!("{status}: {}", detail(&text))),
        }
    }

    fn call(&self, method: Method, path: &str, body: Option<&Value>, token: &str) -> Result<Call, String> {
        let endpoint = Endpoint::at(self.admin.trim_end_matches('/'))
            .ok_or_else(|| format!("{} is no URL of http or https", self.admin))?;
        let timeouts =
            Timeouts { connect: PATIENCE, first_byte: PATIENCE, between: PATIENCE, total: PATIENCE };
        let mut headers = HeaderMap::new();
        let mut shown = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| "WEIR_ADMIN_TOKEN holds characters that a header cannot".to_owned())?;
        shown.set_sensitive(true);
        headers.insert(AUTHORIZATION, shown);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(Call {
            provider: Arc::new(Provider::plain("admin", endpoint, timeouts)),
            model: "".into(),
            attempt: 1,
            method,
            path: format!("/admin/v1{path}"),
            headers,
            body: body.map(|body| Bytes::from(body.to_string())).unwrap_or_default(),
            timeouts,
            decode: true,
            body_limit: LARGEST,
        })
    }
}

async fn ask(call: Call) -> Result<(u16, String), String> {
    let upstream = NetUpstream::new(Arc::new(SystemClock::new()));
    let answer = upstream.send(call).await.map_err(|error| error.to_string())?;
    let pieces: Vec<Bytes> = answer.body.try_collect().await.map_err(|error| error.to_string())?;
    Ok((answer.status, String::from_utf8_lossy(&pieces.concat()).into_owned()))
}

fn pretty(text: &str) -> String {
    serde_json::from_str::<Value>(text).map_or_else(|_| text.to_owned(), |json| format!("{json:#}"))
}

/// What a problem says.
fn detail(text: &str) -> String {
    let json: Value = serde_json::from_str(text).unwrap_or_else(|_| json!({}));
    json.get("detail").and_then(Value::as_str).map_or_else(|| text.trim().to_owned(), str::to_owned)
}
