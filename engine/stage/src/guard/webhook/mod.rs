//! A service of your own judges texts: it is asked over HTTP and lets them pass, refuses or edits them.
//!
//! It gets a `POST` with the texts, each with its place, and who calls, signed as Standard Webhooks say; `schemas/webhook.json` has
//! the shape of questions and answers. A service that gives no answer by the `deadline` is a fault: `on_error` says what becomes of
//! the request. Redirects are not followed.
//!
//! ```yaml
//! - guard: webhook
//!   with: { url: "https://judge.acme.test/v1/judge", secret: "${env:JUDGE_SECRET}", edits: true }
//! ```

mod shape;
mod sign;

use super::action::{Judged, Role, Side, both, is_tag};
use super::service::ask::{Ask, Asks, Line, Proof};
use super::service::batch::{Batch, Most, Piece, bytes};
use super::service::{Asking, Judgement, Scene, Service};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use shape::{Answer, CallerSaid, Edit, Question, StreamPart, TextSaid, Verdict};
use sign::Signer;
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic};
use weir_message::Caller;
use weir_pipeline::{Stage, Workbench};
use weir_policy::{Secret, Spanned, StageDecl};

pub use shape::webhook_schema;

/// The settings of `guard: webhook`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Where the service is.
    url: Spanned<String>,
    /// What questions are signed with: `whsec_` and base64, or any text.
    secret: Option<Secret>,
    /// How it is asked.
    #[serde(default)]
    asks: Asks,
    /// What it is told beside the texts.
    #[serde(default = "fields")]
    fields: Vec<Field>,
    /// Whether it may edit. A verdict to edit of a guard without is a fault.
    #[serde(default)]
    edits: bool,
    /// Which way it looks: at what clients send, at what models say.
    #[serde(default = "both")]
    on: Vec<Side>,
    /// Whose texts it is shown; all if none is named.
    #[serde(default)]
    roles: Vec<Role>,
    /// What is done where its verdict is to deny.
    #[serde(default)]
    then: Judged,
    /// The tag of `then: tag`.
    tag: Option<String>,
    /// What the client is told of a denial, in the place of what the service says.
    message: Option<String>,
}

/// What a webhook is told beside the texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Field {
    /// Who calls: how they were identified, key name, user, team, project and tags.
    Caller,
    /// All that their token says of them.
    Claims,
    /// What is asked of the model.
    Operation,
    /// The model that the client asks for.
    Model,
    /// The tags that stages above gave the request.
    Tags,
    /// Where a reply is judged, what the client said.
    Prompt,
}

fn fields() -> Vec<Field> {
    vec![Field::Caller, Field::Operation, Field::Model, Field::Tags]
}

/// Checks the settings and compiles the guard.
pub(crate) fn compile(decl: &StageDecl, bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
    let settings: Settings = bench.settings(decl)?;
    let before = bench.diagnostics.len();
    let mut wrong = |message: &str, help: &str| {
        bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(decl.span).help(help));
    };
    let action = settings.then.action(&settings.on, settings.tag, &mut wrong);
    let signer = match settings.secret.as_ref().and_then(|secret| (bench.secret)(secret)) {
        Some(secret) => {
            let signer = Signer::new(secret.expose());
            if signer.is_none() {
                wrong(
                    "`secret` is empty, or no base64 behind `whsec_`",
                    "make one: `openssl rand -base64 32`",
                );
            }
            signer
        }
        None => None,
    };
    let url = &settings.url;
    let line = Line::compile(url, url.span, &settings.asks, Proof::Headers(Vec::new()), decl, bench);
    if bench.diagnostics.len() > before {
        return None;
    }
    let service = Hook { signer, fields: settings.fields, edits: settings.edits };
    let asking = Asking {
        service: Box::new(service),
        line: line?,
        on: settings.on,
        roles: settings.roles,
        action,
        edits: settings.edits,
        message: settings.message,
    };
    Some(asking.stage(decl))
}

struct Hook {
    signer: Option<Signer>,
    fields: Vec<Field>,
    edits: bool,
}

/// What a service says is cut off here, in characters.
const SAID: usize = 300;

impl Hook {
    fn has(&self, field: Field) -> bool {
        self.fields.contains(&field)
    }

    fn question<'a>(&self, batch: &'a Batch<'_>, scene: &'a Scene) -> Question<'a> {
        let side = if scene.side == Side::Reply { "reply" } else { "request" };
        let caller = scene.caller.as_deref().filter(|_| self.has(Field::Caller) || self.has(Field::Claims));
        let tags = || scene.tags.iter().map(|tag| &**tag).collect();
        let asks_prompt = self.has(Field::Prompt) && scene.side == Side::Reply;
        Question {
            version: 1,
            request: &scene.id,
            revision: &scene.revision,
            pipeline: &scene.pipeline,
            stage: &scene.stage,
            side,
            stream: scene.stream.map(|last| StreamPart { last }),
            operation: self.has(Field::Operation).then(|| scene.operation.name()),
            model: self.has(Field::Model).then_some(&scene.model),
            caller: caller.map(|caller| self.caller(caller)),
            tags: self.has(Field::Tags).then(tags),
            texts: batch.parts.iter().map(|part| said(part.piece, part.text)).collect(),
            prompt: asks_prompt.then(|| scene.prompt.iter().map(|piece| said(piece, &piece.text)).collect()),
        }
    }

    fn caller<'a>(&self, caller: &'a Caller) -> CallerSaid<'a> {
        let all = self.has(Field::Caller);
        let text = |text: &'a Option<Arc<str>>| text.as_deref().filter(|_| all);
        let tags = caller.tags.iter().filter(|_| all).map(|(name, value)| (&**name, value));
        CallerSaid {
            by: &caller.by,
            key: text(&caller.key),
            user: text(&caller.user),
            team: text(&caller.team),
            project: text(&caller.project),
            tags: tags.collect(),
            claims: self.has(Field::Claims).then_some(&caller.claims),
        }
    }

    /// What its answer comes to.
    fn read(&self, answer: Answer, batch: &Batch<'_>) -> Result<Judgement, String> {
        let mut judgement = Judgement::default();
        let reason = || match &answer.reason {
            Some(reason) => format!("is judged by the service: {}", line(reason)),
            None => "is judged by the service".to_owned(),
        };
        match answer.verdict {
            Verdict::Allow => {}
            Verdict::Deny => {
                judgement.whole(reason());
                judgement.message = answer.message.as_deref().map(line);
            }
            Verdict::Edit if !self.edits => {
                return Err(
                    "the service edits, which the guard does not let it do (`edits: true`)".to_owned()
                );
            }
            Verdict::Edit => {
                for edit in &answer.edits {
                    let (part, range) = place(edit, batch).ok_or_else(|| {
                        format!("the service edits what it was not shown, in text {}", edit.text)
                    })?;
                    judgement.span(part, range, reason(), edit.with.clone());
                }
            }
        }
        if let Some(tag) = answer.tags.iter().find(|tag| !is_tag(tag)) {
            return Err(format!("the service gives a tag of {} bytes that is none", tag.len()));
        }
        judgement.tags = answer.tags.iter().map(|tag| Arc::from(tag.as_str())).collect();
        Ok(judgement)
    }
}

/// A text as the webhook is shown it: apart from what stands before it.
fn said<'a>(piece: &'a Piece, text: &'a str) -> TextSaid<'a> {
    let (before, text) = text.split_at_checked(piece.before).unwrap_or(("", text));
    TextSaid { role: piece.role.name(), message: piece.place.message, before, text }
}

/// Where an edit stands: the number of its part, and the bytes of the part's text.
fn place(edit: &Edit, batch: &Batch<'_>) -> Option<(usize, std::ops::Range<usize>)> {
    let part = batch.parts.get(edit.text)?;
    let shown = said(part.piece, part.text);
    let count = shown.text.chars().count();
    let (start, end) = (edit.start.unwrap_or(0), edit.end.unwrap_or(count));
    if start > end || end > count {
        return None;
    }
    let range = bytes(shown.text, start..end);
    let at = shown.before.len();
    Some((edit.text, at + range.start..at + range.end))
}

/// One line of what a service says, not too long.
fn line(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).take(SAID).collect()
}

impl Service for Hook {
    fn most(&self) -> Most {
        Most { chars: 1 << 20, texts: 4096 }
    }

    fn judge<'a>(
        &'a self,
        ask: &'a Ask<'a>,
        batch: &'a Batch<'a>,
        scene: &'a Scene,
    ) -> BoxFuture<'a, Result<Judgement, String>> {
        async move {
            let question = self.question(batch, scene);
            let body = serde_json::to_vec(&question).map_err(|error| error.to_string())?;
            let body = Bytes::from(body);
            let id = blake3::hash(&[&body[..], &batch.number.to_le_bytes()].concat()).to_hex();
            let id = format!("msg_{}", id.get(..32).unwrap_or_default());
            let signed = body.clone();
            let more = move |seconds| sign::headers(self.signer.as_ref(), &id, seconds, &signed);
            let answer = ask.bytes("", body, &more).await?;
            // What is wrong with it is not quoted: it may hold the text.
            let answer: Answer = serde_json::from_value(answer).map_err(|_| {
                "the service's answer is not of the shape in `schemas/webhook.json`".to_owned()
            })?;
            self.read(answer, batch)
        }
        .boxed()
    }

    fn wants_prompt(&self) -> bool {
        self.has(Field::Prompt)
    }
}

#[cfg(test)]
mod tests;
