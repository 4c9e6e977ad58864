//! `weir models check`: asks a provider which models it has, and compares them with the catalogue.

use super::provider;
use crate::out::{BAD, COULD_NOT, Format, USAGE, fail, say};
use bytes::Bytes;
use futures::TryStreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use weir_catalog::{Auth, Provider, find};
use weir_message::Dialect;
use weir_pipeline::{Access, AuthScheme, Call, Credential, Endpoint, SystemClock, Timeouts, Upstream};
use weir_proxy::NetUpstream;

/// The largest list taken, in bytes. The longest known is below 1 MiB.
const LARGEST: u64 = 16 << 20;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A provider of the catalogue. Its key is read from the environment variable that its row names
    provider: String,
    /// Where its API begins, if elsewhere than the catalogue says
    #[arg(long)]
    base_url: Option<String>,
    /// The region, for providers with one in their address
    #[arg(long)]
    region: Option<String>,
    /// How it is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let row = match provider(&args.provider) {
        Ok(row) => row,
        Err(why) => return fail(BAD, &why),
    };
    let key = row.env.as_ref().and_then(|name| std::env::var(name).ok()).filter(|key| !key.is_empty());
    let call = match call(row, args.base_url.as_deref(), args.region.as_deref(), key.as_deref()) {
        Ok(call) => call,
        Err(why) => return fail(USAGE, &why),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(COULD_NOT, &error.to_string()),
    };
    let names = match runtime.block_on(ask(call)).and_then(|body| names(&body)) {
        Ok(names) => names,
        Err(why) => {
            let unset = row.env.as_ref().filter(|_| key.is_none());
            let hint = unset.map(|name| format!(" (`{name}` is not set)")).unwrap_or_default();
            return fail(COULD_NOT, &format!("{}: {why}{hint}", row.name));
        }
    };
    let found = Found::new(row, &names);
    say(&match args.format {
        Format::Pretty => found.text(row),
        Format::Json => format!("{:#}", found.json(row)),
    });
    if found.gone.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(BAD) }
}

/// The question for the list of models.
fn call(row: &Provider, base: Option<&str>, region: Option<&str>, key: Option<&str>) -> Result<Call, String> {
    let Some(path) = &row.models_path else {
        return Err(format!("{} does not list its models, as far as the catalogue knows", row.name));
    };
    let address = match base {
        Some(base) => base.trim_end_matches('/').into(),
        None => row.address(region, None).map_err(|blank| match blank {
            "region" => format!("{} has a region in its address: say --region", row.name),
            _ => format!("say --base-url: the catalogue knows {} without its `{blank}`", row.base_url),
        })?,
    };
    let endpoint = Endpoint::at(&address).ok_or_else(|| format!("{address} is no URL of http or https"))?;
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("weir/", env!("CARGO_PKG_VERSION"))));
    if row.dialect == Dialect::Anthropic {
        headers.insert(HeaderName::from_static("anthropic-version"), HeaderValue::from_static("2023-06-01"));
    }
    if let Some(key) = key {
        let (name, value) = match &row.auth {
            Auth::None => (None, String::new()),
            Auth::Bearer => (Some(header::AUTHORIZATION), format!("Bearer {key}")),
            Auth::Scheme(word) => (Some(header::AUTHORIZATION), format!("{word} {key}")),
            Auth::Header(name) => (HeaderName::try_from(name).ok(), key.to_owned()),
        };
        if let Some(name) = name {
            let mut value = HeaderValue::try_from(value).map_err(|_| "the key cannot stand in a header")?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
    let timeouts = Timeouts { total: Duration::from_secs(30), ..Timeouts::default() };
    Ok(Call {
        provider: Arc::new(weir_pipeline::Provider {
            name: row.name.as_str().into(),
            row: None,
            dialect: row.dialect,
            has_responses: row.has_responses,
            access: Access::Http(endpoint),
            auth: AuthScheme::None,
            credential: Arc::new(Credential::default()),
            is_available: true,
            headers: HeaderMap::new(),
            region: None,
            hosting: weir_dialect::Hosting::default(),
            drops_unsupported: false,
            timeouts,
        }),
        model: "".into(),
        attempt: 1,
        method: Method::GET,
        path: path.clone(),
        headers,
        body: Bytes::new(),
        timeouts,
        decode: true,
        body_limit: LARGEST,
    })
}

/// The list as the provider sends it, or why there is none.
async fn ask(call: Call) -> Result<Vec<u8>, String> {
    let upstream = NetUpstream::new(Arc::new(SystemClock::new()));
    let answer = upstream.send(call).await.map_err(|error| error.to_string())?;
    if !(200..300).contains(&answer.status) {
        return Err(format!("it answered with status {}", answer.status));
    }
    let whole = answer.body.try_fold(Vec::new(), |mut whole: Vec<u8>, piece| async move {
        whole.extend_from_slice(&piece);
        Ok(whole)
    });
    whole.await.map_err(|error| error.to_string())
}

/// The names in a list of models, as any of the dialects writes one.
fn names(body: &[u8]) -> Result<BTreeSet<String>, String> {
    let list: Value =
        serde_json::from_slice(body).map_err(|error| format!("its answer is no JSON: {error}"))?;
    let items = ["data", "models", "result"].iter().find_map(|field| list.get(field)?.as_array());
    let items = items.or_else(|| list.as_array()).ok_or("its answer is no list of models")?;
    let name = |item: &Value| {
        let name = ["id", "name", "model"].iter().find_map(|field| item.get(field)?.as_str());
        name.or_else(|| item.as_str()).map(|name| name.strip_prefix("models/").unwrap_or(name).to_owned())
    };
    Ok(items.iter().filter_map(name).collect())
}

/// How a provider's list differs from the catalogue.
#[derive(Debug, PartialEq)]
struct Found {
    /// How many it lists that the catalogue knows.
    known: usize,
    /// What it lists and the catalogue does not know.
    new: Vec<String>,
    /// What the catalogue knows and it does not list.
    gone: Vec<String>,
}

impl Found {
    fn new(row: &Provider, names: &BTreeSet<String>) -> Self {
        let (known, new): (Vec<&String>, Vec<&String>) =
            names.iter().partition(|name| row.model(name).is_some());
        let is_gone = |name: &str| {
            // A list may have the snapshots of a model only, or the model without them.
            let rows = [weir_catalog::Model { name: name.to_owned(), ..Default::default() }];
            !names.iter().any(|listed| find(&rows, listed).is_some())
                && !names.contains(name.trim_end_matches("-latest"))
        };
        Self {
            known: known.len(),
            new: new.into_iter().cloned().collect(),
            gone: row.models.iter().map(|model| &model.name).filter(|name| is_gone(name)).cloned().collect(),
        }
    }

    fn text(&self, row: &Provider) -> String {
        let mut out =
            format!("{}: {} known, {} new, {} gone\n", row.name, self.known, self.new.len(), self.gone.len());
        for (sign, names) in [('+', &self.new), ('-', &self.gone)] {
            names.iter().for_each(|name| out.push_str(&format!("{sign} {name}\n")));
        }
        out
    }

    fn json(&self, row: &Provider) -> Value {
        json!({ "provider": row.name, "known": self.known, "new": self.new, "gone": self.gone })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(head: &str, models: &[&str]) -> Provider {
        let models: Vec<String> =
            models.iter().map(|name| format!("  - {{ name: \"{name}\", capabilities: [chat] }}\n")).collect();
        let models = if models.is_empty() { "  []\n".to_owned() } else { models.concat() };
        weir_catalog::parse(&format!("name: a\ntitle: A\n{head}\nmodels:\n{models}")).unwrap()
    }

    const HEAD: &str =
        "base_url: https://a.example/v1\ndialect: openai\nauth: bearer\nenv: A_KEY\nmodels_path: /models";

    #[test]
    fn every_shape_of_list_is_read() {
        let cases = [
            (r#"{"object":"list","data":[{"id":"a","object":"model"},{"id":"b"}]}"#, &["a", "b"][..]),
            (r#"{"models":[{"name":"models/a"},{"name":"b"}]}"#, &["a", "b"]),
            (r#"[{"id":"a"},{"name":"b","id":"c"}]"#, &["a", "c"]),
            (r#"{"result":["a"]}"#, &["a"]),
            (r#"{"data":[{"object":"model"},3]}"#, &[]),
        ];
        for (body, want) in cases {
            let found = names(body.as_bytes()).unwrap();
            assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), want, "{body}");
        }
        for body in ["", "<html>", "{}", r#"{"data":"a"}"#, "3"] {
            assert!(names(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn a_list_is_compared_by_models_and_not_by_snapshots() {
        let row = row(HEAD, &["kept", "dated", "gone", "cut-2025-01-01", "wide*", "old-wide*", "now-latest"]);
        let listed = ["kept", "dated-2025-01-01", "wide-1", "now", "fresh", "fresh-20250101"];
        let found = Found::new(&row, &listed.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(found.new, ["fresh", "fresh-20250101", "now"]);
        assert_eq!(found.gone, ["gone", "cut-2025-01-01", "old-wide*"]);
        assert_eq!(found.known, 3);
        assert_eq!(found.text(&row).lines().count(), 7);
    }

    #[test]
    fn the_question_goes_where_the_row_says_with_its_key() {
        let shown = |call: &Call| {
            let Access::Http(to) = &call.provider.access else { panic!("over HTTP") };
            format!("{}:{} {}{}", to.host, to.port, to.base_path, call.path)
        };
        let call_of = |head: &str, base, region| call(&row(head, &[]), base, region, Some("k"));
        let plain = call_of(HEAD, None, None).unwrap();
        assert_eq!(shown(&plain), "a.example:443 /v1/models");
        assert_eq!(plain.headers.get("authorization").unwrap(), "Bearer k");
        assert!(plain.headers.get("authorization").unwrap().is_sensitive());
        let header =
            call_of(&HEAD.replace("bearer", "{ header: X-Key }"), Some("http://[::1]:9/x/"), None).unwrap();
        assert_eq!(
            (shown(&header), header.headers.get("x-key").unwrap().as_bytes()),
            ("::1:9 /x/models".to_owned(), &b"k"[..])
        );
        let scheme = call_of(&HEAD.replace("bearer", "{ scheme: Key }"), None, None).unwrap();
        assert_eq!(scheme.headers.get("authorization").unwrap(), "Key k");
        let claude = call_of(&HEAD.replace("openai", "anthropic"), None, None).unwrap();
        assert!(claude.headers.contains_key("anthropic-version"));

        let regional = HEAD.replace("https://a.example/v1", "\"https://{region}.a.example\"");
        assert_eq!(shown(&call_of(&regional, None, Some("eu")).unwrap()), "eu.a.example:443 /models");
        let wrong = [
            (regional.clone(), None, "--region"),
            (HEAD.replace("https://a.example/v1", "\"https://{account}.a.example\""), None, "--base-url"),
            (HEAD.replace("models_path: /models", ""), None, "does not list"),
            (HEAD.to_owned(), Some("ftp://a.example"), "http or https"),
            (HEAD.to_owned(), Some("a b"), "a b"),
        ];
        for (head, base, want) in wrong {
            let why = call_of(&head, base, None).unwrap_err();
            assert!(why.contains(want), "{why}");
        }
    }
}
