//! What went wrong, as RFC 9457 writes it.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use weir_state::StateError;

/// What went wrong.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    headers: Box<HeaderMap>,
}

pub(super) fn problem(status: StatusCode, detail: impl Into<String>) -> Problem {
    Problem { status, detail: detail.into(), headers: Box::default() }
}

impl Problem {
    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    pub(super) fn response(self) -> Response<Vec<u8>> {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let body = serde_json::json!({
            "type": "about:blank", "title": title, "status": self.status.as_u16(), "detail": self.detail,
        });
        let mut response = super::super::reply(self.status, super::super::JSON, format!("{body}\n"));
        response.headers_mut().extend(*self.headers);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}

impl From<StateError> for Problem {
    fn from(error: StateError) -> Self {
        let status = match error {
            StateError::NoSuchKey => StatusCode::NOT_FOUND,
            StateError::KeyNameTaken => StatusCode::CONFLICT,
            StateError::Outdated => StatusCode::PRECONDITION_FAILED,
            StateError::OtherRequest | StateError::BadKey(_) => StatusCode::UNPROCESSABLE_ENTITY,
            StateError::KeysNotKept => StatusCode::CONFLICT,
            ref failure => {
                // Where the file is, is for the log.
                tracing::error!(%failure, "the keys' file");
                return problem(StatusCode::SERVICE_UNAVAILABLE, "the keys' file cannot be used now");
            }
        };
        problem(status, error.to_string())
    }
}
