//! What is asked or told outside beside model APIs: keys of issuers, a service that knows callers, webhooks. Bounded in time and size.

use crate::{AuthScheme, Call, CallError, Credential, Endpoint, Gateway, Provider, Timeouts};
use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderMap, HeaderValue, Method, header};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use weir_message::Cause;

/// The longest document that is read, in bytes. Key sets have a few thousand.
pub(crate) const LARGEST: u64 = 256 << 10;

/// The longest judgement that is read, in bytes: it may hold the text that was judged once more.
const LARGEST_JUDGEMENT: u64 = 4 << 20;

/// After how long something is told again that was not taken.
const AGAIN_AFTER: &[Duration] =
    &[Duration::ZERO, Duration::from_secs(1), Duration::from_secs(10), Duration::from_secs(60)];

/// Somewhere outside that is asked or told something, and is no model API.
#[derive(Clone, Debug)]
pub struct Place {
    provider: Arc<Provider>,
    /// The query, with its `?`.
    query: String,
    timeouts: Timeouts,
}

impl Place {
    /// At a URL of http or https; `None` if it is none.
    pub fn at(url: &str, ca: Option<PathBuf>, patience: Duration) -> Option<Self> {
        let (base, query) = match url.split_once('?') {
            Some((base, query)) => (base, format!("?{query}")),
            None => (url, String::new()),
        };
        let endpoint = Endpoint { ca, ..Endpoint::at(base)? };
        let timeouts =
            Timeouts { connect: patience, first_byte: patience, between: patience, total: patience };
        Some(Self { provider: Arc::new(Provider::plain("outside", endpoint, timeouts)), query, timeouts })
    }

    /// A service at a URL that stages ask for their judgement. `name` is what the log calls it, and cases that script it.
    pub fn service(
        name: &str,
        url: &str,
        ca: Option<PathBuf>,
        auth: AuthScheme,
        credential: Credential,
    ) -> Option<Self> {
        let mut place = Self::at(url, ca, Duration::ZERO)?;
        let provider = Arc::get_mut(&mut place.provider)?;
        (provider.name, provider.auth, provider.credential) = (name.into(), auth, Arc::new(credential));
        Some(place)
    }

    /// `POST` to a path below it: the status, the headers and the whole body, all within `patience`. Redirects are not
    /// followed.
    pub async fn ask(
        &self,
        gateway: &Gateway,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
        patience: Duration,
    ) -> Result<(u16, HeaderMap, Vec<u8>), CallError> {
        let timeouts =
            Timeouts { connect: patience, first_byte: patience, between: patience, total: patience };
        let call = Call {
            provider: Arc::clone(&self.provider),
            model: "".into(),
            attempt: 1,
            method: Method::POST,
            path: format!("{path}{}", self.query),
            headers,
            body,
            timeouts,
            decode: true,
            body_limit: LARGEST_JUDGEMENT,
        };
        read(gateway, call).await
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        matches!(&self.provider.access, crate::Access::Http(endpoint) if endpoint.tls)
    }

    pub(crate) fn ca(&self) -> Option<PathBuf> {
        match &self.provider.access {
            crate::Access::Http(endpoint) => endpoint.ca.clone(),
            crate::Access::Echo => None,
        }
    }

    /// `GET`: the status and the whole body. Redirects are not followed.
    pub(crate) async fn get(&self, gateway: &Gateway, headers: HeaderMap) -> Result<(u16, Vec<u8>), String> {
        self.call(gateway, Method::GET, headers, Bytes::new()).await
    }

    async fn call(
        &self,
        gateway: &Gateway,
        method: Method,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<(u16, Vec<u8>), String> {
        let call = Call {
            provider: Arc::clone(&self.provider),
            model: "".into(),
            attempt: 1,
            method,
            path: self.query.clone(),
            headers,
            body,
            timeouts: self.timeouts,
            decode: true,
            body_limit: LARGEST,
        };
        let (status, _, body) = read(gateway, call).await.map_err(|error| error.to_string())?;
        Ok((status, body))
    }

    pub(crate) async fn document(&self, gateway: &Gateway) -> Result<Vec<u8>, String> {
        match self.get(gateway, HeaderMap::new()).await? {
            (200, body) => Ok(body),
            (status, _) => Err(format!("the status is {status}")),
        }
    }

    /// Tells it something, in a task of its own: `POST` of JSON, again after a while if it does not take it. What could not be told
    /// is written to the log.
    pub fn tell(&self, gateway: &Arc<Gateway>, mut headers: HeaderMap, json: &serde_json::Value) {
        // Without a runtime the process is about to end.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(weir_dialect::JSON));
        let (place, gateway, body) = (self.clone(), Arc::clone(gateway), Bytes::from(json.to_string()));
        drop(runtime.spawn(async move {
            for wait in AGAIN_AFTER {
                gateway.clock.sleep(*wait).await;
                let why = match place.call(&gateway, Method::POST, headers.clone(), body.clone()).await {
                    Ok((200..=299, _)) => return,
                    Ok((status, _)) => format!("the status is {status}"),
                    Err(why) => why,
                };
                tracing::warn!(provider = &*place.provider.name, "what was to be told was not taken: {why}");
            }
        }));
    }

    pub(crate) fn patience(&self) -> Duration {
        self.timeouts.total
    }
}

/// Sends a call and reads its whole answer.
async fn read(gateway: &Gateway, call: Call) -> Result<(u16, HeaderMap, Vec<u8>), CallError> {
    let limit = call.body_limit;
    let answer = gateway.upstream.send(call).await?;
    let mut body = Vec::new();
    let mut pieces = answer.body;
    while let Some(piece) = pieces.next().await {
        body.extend_from_slice(&piece?);
        if body.len() as u64 > limit {
            return Err(CallError::new(Cause::Invalid, format!("it is larger than {limit} bytes")));
        }
    }
    Ok((answer.status, answer.headers, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_kept() {
        let place = Place::at("https://idp.example/keys?p=a", None, Duration::from_secs(1)).unwrap();
        assert_eq!(place.query, "?p=a");
        assert!(Place::at("ftp://idp.example", None, Duration::ZERO).is_none());
    }
}
