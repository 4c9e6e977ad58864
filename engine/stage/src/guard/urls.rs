//! Links and images that a model shows: only to hosts that the policy trusts, and none that carries data away.
//!
//! An image is loaded as soon as it is shown, with all that its address holds: who can put words into a prompt has a model write
//! what it knows into one. Links and images are found in Markdown (inline, by reference, in `<…>`), in HTML, and bare. A host in
//! `allow` or `deny` stands for itself and all hosts below it. Without `allow` any host may be linked to, but images of it, long
//! queries, and passwords are not.
//!
//! ```yaml
//! - guard: urls
//!   with: { allow: [acme.com, en.wikipedia.org], then: strip }
//! ```

mod address;
mod links;

use super::action::{Action, Role, Side, check};
use super::spans::{Finder, Treatment};
use links::{Form, Link, growing, links};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic};
use weir_pipeline::{Stage, Workbench};
use weir_policy::{Spanned, StageDecl};

/// The settings of `guard: urls`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Hosts that may be linked to and give images, with those below them; links to others are found. Any if none is named.
    #[serde(default)]
    allow: Vec<Spanned<String>>,
    /// Hosts that may not, whatever `allow` says, with those below them.
    #[serde(default)]
    deny: Vec<Spanned<String>>,
    /// Whether images may come from hosts that `allow` does not name.
    #[serde(default)]
    images: bool,
    /// The most bytes of query and fragment, and of one piece of the path, in links to hosts that `allow` does not name: longer
    /// ones carry data.
    #[serde(default = "query")]
    query: usize,
    /// Which way it looks: at what clients send, at what models say.
    #[serde(default = "reply")]
    on: Vec<Side>,
    /// Whose texts it reads; all if none is named.
    #[serde(default)]
    roles: Vec<Role>,
    /// What is done with a find.
    #[serde(default)]
    then: Stripping,
    /// The tag of `then: tag`.
    tag: Option<String>,
    /// What the client is told when a find denies.
    message: Option<String>,
}

fn query() -> usize {
    80
}

fn reply() -> Vec<Side> {
    vec![Side::Reply]
}

/// What is done with a find.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Stripping {
    /// The request or reply is refused.
    #[default]
    Deny,
    /// Images are taken out, of links the words are left; `[LINK REMOVED]` stands in the place of a bare one.
    Strip,
    /// It is counted in the trace and left as it is.
    Observe,
    /// It is left as it is, and the request gets the tag `tag`, which expressions below and the trace can read.
    Tag,
}

/// Checks the settings and compiles the guard.
pub(crate) fn compile(decl: &StageDecl, bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
    let settings: Settings = bench.settings(decl)?;
    let before = bench.diagnostics.len();
    for host in settings.allow.iter().chain(&settings.deny) {
        let is_host = !host.is_empty() && host.chars().all(|c| c.is_alphanumeric() || "-._:[]".contains(c));
        if !is_host {
            let message = format!("`{}` is no host", host.value);
            let help = "name a host alone, such as `acme.com`: no scheme, no path, no `*`";
            bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(host.span).help(help));
        }
    }
    check(settings.then == Stripping::Tag, &settings.on, settings.tag.as_deref(), |message, help| {
        bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(decl.span).help(help));
    });
    if bench.diagnostics.len() > before {
        return None;
    }
    let hosts = |list: &[Spanned<String>]| {
        list.iter().map(|host| address::host(&host.value).unwrap_or_default()).collect::<Vec<_>>()
    };
    let finder = Urls {
        allow: hosts(&settings.allow),
        deny: hosts(&settings.deny),
        images: settings.images,
        query: settings.query,
    };
    let treatment = Treatment {
        on: settings.on,
        roles: settings.roles,
        action: match settings.then {
            Stripping::Deny => Action::Deny,
            Stripping::Strip => Action::Rewrite,
            Stripping::Observe => Action::Observe,
            Stripping::Tag => Action::Tag(Arc::from(settings.tag.unwrap_or_default())),
        },
        message: settings.message.unwrap_or_else(|| {
            "the text holds a link or an image that the policy does not let pass".to_owned()
        }),
    };
    Some(treatment.of(Arc::new(finder), decl))
}

/// What is wrong with a link. The number of a find is this and the link's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Denied,
    NotAllowed,
    Image,
    Data,
    Password,
    Disguised,
}

impl Wrong {
    const ALL: [Wrong; 6] =
        [Wrong::Denied, Wrong::NotAllowed, Wrong::Image, Wrong::Data, Wrong::Password, Wrong::Disguised];

    fn says(self) -> &'static str {
        match self {
            Wrong::Denied => "a host that is denied",
            Wrong::NotAllowed => "a host that is not allowed",
            Wrong::Image => "an image of a host that is not allowed",
            Wrong::Data => "a host that is not allowed, with data in the address",
            Wrong::Password => "a user or password in the address",
            Wrong::Disguised => "an address that hides where it leads",
        }
    }
}

struct Urls {
    allow: Vec<String>,
    deny: Vec<String>,
    images: bool,
    query: usize,
}

/// Whether a host is one of these, or below one.
fn is_of(host: &str, list: &[String]) -> bool {
    list.iter().any(|known| {
        host.strip_suffix(known.as_str()).is_some_and(|head| head.is_empty() || head.ends_with('.'))
    })
}

impl Urls {
    fn wrong(&self, link: &Link) -> Option<Wrong> {
        let Some(address) = &link.address else {
            return link.is_disguised.then_some(Wrong::Disguised);
        };
        if is_of(&address.host, &self.deny) {
            return Some(Wrong::Denied);
        }
        if address.has_user {
            return Some(Wrong::Password);
        }
        if is_of(&address.host, &self.allow) {
            return None;
        }
        match link.form.shows() && !self.images {
            true => Some(Wrong::Image),
            false if !self.allow.is_empty() => Some(Wrong::NotAllowed),
            false => (address.longest > self.query).then_some(Wrong::Data),
        }
    }
}

impl Finder for Urls {
    fn find(&self, text: &str) -> Vec<(Range<usize>, usize)> {
        let mut found: Vec<(Range<usize>, usize)> = Vec::new();
        for link in links(text) {
            match self.wrong(&link) {
                Some(_) if found.last().is_some_and(|(last, _)| link.range.start < last.end) => {}
                Some(wrong) => found.push((link.range, wrong as usize * Form::COUNT + link.form as usize)),
                None => {
                    // A link that may stand can have an image for its words that may not.
                    let (start, words) = (link.words.start, text.get(link.words).unwrap_or_default());
                    let inner = if words.is_empty() { Vec::new() } else { self.find(words) };
                    let moved =
                        |(range, n): (Range<usize>, usize)| (start + range.start..start + range.end, n);
                    found.extend(inner.into_iter().map(moved));
                }
            }
        }
        found
    }

    fn says(&self, number: usize) -> String {
        let wrong = Wrong::ALL.get(number / Form::COUNT).map_or("", |wrong| wrong.says());
        let shows = Form::of(number % Form::COUNT).is_some_and(Form::shows);
        format!("{} {wrong}", if shows { "may show" } else { "links to" })
    }

    fn longest(&self) -> usize {
        256
    }

    fn growing(&self, text: &str) -> usize {
        growing(text)
    }

    fn rewrite(&self, number: usize, found: &str) -> String {
        match Form::of(number % Form::COUNT) {
            Some(Form::Link) => {
                let words = links::words(found);
                let mut out = words.to_owned();
                for (range, number) in self.find(words).into_iter().rev() {
                    let inner = words.get(range.clone()).unwrap_or_default();
                    out.replace_range(range, &self.rewrite(number, inner));
                }
                out
            }
            Some(Form::Bare | Form::Definition) => "[LINK REMOVED]".to_owned(),
            Some(Form::Image | Form::Tag | Form::Anchor) | None => String::new(),
        }
    }
}

#[cfg(test)]
mod tests;
