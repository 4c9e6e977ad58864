//! Passes on what names no model to an account: files and batches, and other paths of its API that the policy allows.
//!
//! A pipeline that ends in it takes these requests and no others; which of them, its `when` says. A request goes to the first of the
//! accounts that speaks its client's API. Ids that come back are sealed for the caller: what they name is asked for where it lies,
//! by nobody else. Lists show what is the caller's.
//!
//! ```yaml
//! - route: pass-through
//!   with:
//!     to: [openai, anthropic]
//!     allow: [POST /v1/vector_stores, GET /v1/vector_stores/*, "* /v1/conversations/**"]
//! ```

use http::{HeaderName, Method};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic};
use weir_message::{Operation, Request};
use weir_pipeline::{
    Ask, CONTINUE, Declares, Hook, Models, Passes, Pick, Reaches, Route, Stage, Target, Visit, Workbench,
};
use weir_policy::{Spanned, StageDecl};

/// The settings of `route: pass-through`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// The accounts, by their names under `providers:`. Of those with the same API the first takes what is new.
    #[schemars(length(min = 1))]
    to: Vec<Spanned<String>>,
    /// Other paths that are passed on besides files and batches: a method or `*`, and a path as clients ask it here. In it `*` is any
    /// one segment, `**` at its end any rest. Unset: none.
    #[serde(default)]
    allow: Vec<Spanned<String>>,
    /// The client's headers that go on, besides those that say what the body is. Unset: all but credentials and those of its connection.
    #[serde(default)]
    headers: Option<Vec<Spanned<String>>>,
}

pub(crate) fn compile(decl: &StageDecl, bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
    let settings: Settings = bench.settings(decl)?;
    let targets: Vec<Option<Arc<Target>>> =
        settings.to.iter().map(|name| bench.account(&name.value, name.span)).collect();
    let mut allowed = |text: &Spanned<String>| {
        let read = Allowed::read(&text.value);
        if let Err(help) = &read {
            let message = format!("`{}` is no method with a path", text.value);
            bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(text.span).help(*help));
        }
        read.ok()
    };
    let allow: Vec<Option<Allowed>> = settings.allow.iter().map(&mut allowed).collect();
    let headers: Option<Vec<Option<HeaderName>>> = settings.headers.as_ref().map(|names| {
        let header = |name: &Spanned<String>| {
            let known = HeaderName::try_from(&*name.value).ok();
            if known.is_none() {
                let message = format!("`{}` is no name of a header", name.value);
                bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(name.span));
            }
            known
        };
        names.iter().map(header).collect()
    });
    Some(Arc::new(PassThrough {
        targets: targets.into_iter().collect::<Option<_>>()?,
        allow: allow.into_iter().collect::<Option<_>>()?,
        headers: match headers {
            None => None,
            Some(names) => Some(names.into_iter().collect::<Option<_>>()?),
        },
    }))
}

struct PassThrough {
    targets: Vec<Arc<Target>>,
    allow: Vec<Allowed>,
    headers: Option<Vec<HeaderName>>,
}

/// A method and a path that are passed on.
#[derive(Debug, PartialEq, Eq)]
struct Allowed {
    /// `None`: any.
    method: Option<Method>,
    /// `None`: any one segment.
    segments: Vec<Option<String>>,
    /// Whether any rest may follow.
    is_open: bool,
}

impl Allowed {
    /// The error says what to write.
    fn read(text: &str) -> Result<Self, &'static str> {
        let form = "write `GET /v1/vector_stores/*`, or `*` for any method";
        let (method, path) = text.split_once(' ').ok_or(form)?;
        let method = match method {
            "*" => None,
            name if name.bytes().all(|byte| byte.is_ascii_uppercase()) => {
                Some(Method::from_bytes(name.as_bytes()).map_err(|_| form)?)
            }
            _ => return Err("methods are written in capitals"),
        };
        let rest = path.trim().strip_prefix('/').ok_or("a path begins with `/`")?;
        let (rest, is_open) = match rest.strip_suffix("/**") {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let is_plain =
            |segment: &str| segment == "*" || !(segment.contains('*') || matches!(segment, "" | "." | ".."));
        if !rest.split('/').all(is_plain) {
            return Err("`*` stands for one whole segment, `**` at the end for the rest behind at least one");
        }
        let segments = rest.split('/').map(|segment| (segment != "*").then(|| segment.to_owned()));
        Ok(Self { method, segments: segments.collect(), is_open })
    }

    fn fits(&self, method: &Method, path: &str) -> bool {
        let mut rest = path.split('/').skip(1);
        let begins = self.segments.iter().all(|want| match (want, rest.next()) {
            (Some(want), Some(segment)) => want == segment,
            (None, Some(segment)) => !segment.is_empty(),
            (_, None) => false,
        });
        begins
            && (self.is_open || rest.next().is_none())
            && self.method.as_ref().is_none_or(|known| known == method)
    }
}

/// Headers that say what a body is and what is wanted back; without them nothing can be asked.
const OF_THE_BODY: [HeaderName; 2] = [http::header::CONTENT_TYPE, http::header::ACCEPT];

impl Stage for PassThrough {
    fn declares(&self) -> Declares {
        let passes = if self.allow.is_empty() { Passes::Kept } else { Passes::Paths };
        Declares { judges_request: false, passes, ..Declares::default() }
    }

    fn request<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        let request = &mut visit.exchange.request;
        if let Some(names) = &self.headers {
            let gone: Vec<HeaderName> = request
                .headers
                .keys()
                .filter(|name| !OF_THE_BODY.contains(name) && !names.contains(name))
                .cloned()
                .collect();
            for name in gone {
                request.headers.remove(name);
            }
        }
        CONTINUE
    }

    fn passes(&self, request: &Request) -> bool {
        let has_account = self.targets.iter().any(|target| target.provider.dialect == request.dialect);
        let is_allowed = || {
            let fits = |allowed: &Allowed| allowed.fits(&request.method, &request.path);
            !weir_dialect::is_disguised(&request.path) && self.allow.iter().any(fits)
        };
        has_account && (request.operation != Operation::Http || is_allowed())
    }

    fn route(&self) -> Option<&dyn Route> {
        Some(self)
    }
}

impl Route for PassThrough {
    /// The first account that may be asked. What is made twice is there twice, so nothing is tried again.
    fn next(&self, ask: Ask<'_>) -> Option<Pick> {
        if ask.attempts.iter().any(|attempt| attempt.cause != Some(weir_message::Cause::RuledOut)) {
            return None;
        }
        let is_tried = |n: usize| {
            ask.attempts.iter().any(|a| a.path.get(ask.depth).map(|at| usize::from(*at)) == Some(n))
        };
        self.targets.iter().enumerate().find_map(|(n, target)| {
            let fits = target.provider.dialect == ask.request.dialect && !is_tried(n) && (ask.allows)(target);
            fits.then(|| Pick {
                target: Arc::clone(target),
                path: u16::try_from(n).ok().into_iter().collect(),
                wait: std::time::Duration::ZERO,
                within: None,
            })
        })
    }

    fn targets(&self, _models: &Models) -> Vec<Arc<Target>> {
        self.targets.clone()
    }

    fn reaches(&self) -> Reaches {
        Reaches::Named
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::wrongs;

    #[test]
    fn a_method_and_a_path_are_allowed_as_they_are_written() {
        for (rule, method, path, want) in [
            ("GET /v1/stores/*", "GET", "/v1/stores/a", true),
            ("GET /v1/stores/*", "POST", "/v1/stores/a", false),
            ("GET /v1/stores/*", "GET", "/v1/stores", false),
            ("GET /v1/stores/*", "GET", "/v1/stores/", false),
            ("GET /v1/stores/*", "GET", "/v1/stores/a/b", false),
            ("* /v1/stores/**", "DELETE", "/v1/stores/a/b", true),
            ("* /v1/stores/**", "GET", "/v1/stores", true),
            ("* /v1/stores/**", "GET", "/v1/storesx", false),
            ("POST /v1/*/items", "POST", "/v1/a/items", true),
        ] {
            let rule = Allowed::read(rule).unwrap();
            assert_eq!(rule.fits(&method.parse().unwrap(), path), want, "{rule:?} {method} {path}");
        }
        for wrong in [
            "/v1/stores",
            "GET v1/stores",
            "get /v1/stores",
            "GET /",
            "GET /**",
            "GET /v1//a",
            "GET /v1/a*",
            "GET /v1/..",
        ] {
            assert!(Allowed::read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (with, want) in [
            ("{ to: [ech] }", "did you mean `echo`?"),
            ("{ to: [] }", "to"),
            ("{ to: [echo], allow: [/v1/x] }", "is no method with a path"),
            ("{ to: [echo], headers: [\"a b\"] }", "no name of a header"),
        ] {
            let found = wrongs(&format!("- route: pass-through\n  with: {with}"));
            assert!(found.contains(want), "{with}\n{found}");
        }
    }
}
