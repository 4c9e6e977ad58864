//! Microsoft's Presidio finds personal data: its analyzer says where, its anonymizer, or the guard itself, what stands there instead.
//!
//! Both are servers of your own. `guard: pii` needs neither; this one is for recognizers that Presidio has and Weir has not.
//!
//! ```yaml
//! - guard: presidio
//!   with: { analyzer: "http://presidio-analyzer.test:3000", then: mask }
//! ```

use super::action::{Role, Side, both};
use super::service::ask::{Ask, Asks, Line, Proof};
use super::service::batch::{Batch, Most};
use super::service::{Asking, Judgement, Masking, Scene, Service, misshapen};
use futures::FutureExt;
use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::ops::Range;
use std::sync::Arc;
use weir_diagnostic::units::Ratio;
use weir_diagnostic::{Code, Diagnostic};
use weir_pipeline::{Stage, Workbench};
use weir_policy::{Node, Spanned, StageDecl};

/// The settings of `guard: presidio`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Where the analyzer is: the URL in front of `/analyze`.
    analyzer: Spanned<String>,
    /// Where the anonymizer is: the URL in front of `/anonymize`. Unset: the kind of each find stands in its place (`<PERSON>`).
    anonymizer: Option<Spanned<String>>,
    /// What the anonymizer does with each kind, as it takes it: `{ PHONE_NUMBER: { type: mask, masking_char: "*", chars_to_mask: 4,
    /// from_end: true } }`.
    #[schemars(extend("type" = "object"))]
    operators: Option<Node>,
    /// The language of the texts.
    #[serde(default = "english")]
    language: String,
    /// The kinds that are looked for; all that the analyzer knows if none is named.
    #[serde(default)]
    entities: Vec<String>,
    /// From which score on a find counts, from 0 to 1.
    #[serde(default = "half")]
    threshold: Ratio,
    /// How they are asked.
    #[serde(default)]
    asks: Asks,
    /// Which way it looks: at what clients send, at what models say.
    #[serde(default = "both")]
    on: Vec<Side>,
    /// Whose texts it is shown; all if none is named.
    #[serde(default)]
    roles: Vec<Role>,
    /// What is done with a find.
    #[serde(default)]
    then: Masking,
    /// The tag of `then: tag`.
    tag: Option<String>,
    /// What the client is told of a denial.
    message: Option<String>,
}

fn english() -> String {
    "en".to_owned()
}

fn half() -> Ratio {
    Ratio(0.5)
}

/// Checks the settings and compiles the guard.
pub(crate) fn compile(decl: &StageDecl, bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
    let settings: Settings = bench.settings(decl)?;
    let before = bench.diagnostics.len();
    let mut wrong = |message: &str, help: &str| {
        bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(decl.span).help(help));
    };
    if settings.operators.is_some() && settings.anonymizer.is_none() {
        wrong("`operators` go with `anonymizer`", "name the anonymizer, or leave `operators` out");
    }
    if settings.anonymizer.is_some() && settings.then != Masking::Mask {
        wrong("`anonymizer` goes with `then: mask`", "say `then: mask`, or leave `anonymizer` out");
    }
    let (action, edits) = settings.then.action(&settings.on, settings.tag, &mut wrong);
    let mut line = |url: &Spanned<String>| {
        let proof = Proof::Headers(Vec::new());
        Line::compile(url, url.span, &settings.asks, proof, decl, bench)
    };
    let (analyzer, anonymizer) = (line(&settings.analyzer), settings.anonymizer.as_ref().map(line));
    if bench.diagnostics.len() > before {
        return None;
    }
    let service = Presidio {
        anonymizer: match anonymizer {
            Some(line) => Some(line?),
            None => None,
        },
        operators: settings.operators.map(|operators| operators.to_json()),
        language: settings.language,
        entities: settings.entities,
        threshold: settings.threshold.0,
    };
    let asking = Asking {
        service: Box::new(service),
        line: analyzer?,
        on: settings.on,
        roles: settings.roles,
        action,
        edits,
        message: settings.message.or_else(|| Some("the text holds personal data: take it out".to_owned())),
    };
    Some(asking.stage(decl))
}

struct Presidio {
    anonymizer: Option<Line>,
    operators: Option<Value>,
    language: String,
    entities: Vec<String>,
    threshold: f64,
}

/// A find of the analyzer, in characters.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Found {
    entity_type: String,
    start: usize,
    end: usize,
    score: f64,
}

/// What the anonymizer put where, in characters of its own text.
#[derive(Clone, Debug, Deserialize)]
struct Put {
    start: usize,
    end: usize,
    text: String,
}

impl Presidio {
    async fn judged(&self, ask: &Ask<'_>, batch: &Batch<'_>) -> Result<Judgement, String> {
        let text = batch.joined();
        let mut question =
            json!({ "text": text, "language": self.language, "score_threshold": self.threshold });
        if let (false, Some(fields)) = (self.entities.is_empty(), question.as_object_mut()) {
            fields.insert("entities".to_owned(), json!(self.entities));
        }
        let found: Vec<Found> = serde_json::from_value(ask.json("/analyze", &question).await?)
            .map_err(|_| misshapen("entity_type, start, end, score"))?;
        let found: Vec<Found> =
            found.into_iter().filter(|one| one.score >= self.threshold && one.start < one.end).collect();
        let mut judgement = Judgement::default();
        if found.is_empty() {
            return Ok(judgement);
        }
        let mut instead: Vec<(Range<usize>, String, String)> = found
            .iter()
            .map(|one| (one.start..one.end, one.entity_type.clone(), format!("<{}>", one.entity_type)))
            .collect();
        if let Some(anonymizer) = &self.anonymizer {
            let mut question = json!({ "text": text, "analyzer_results": found });
            if let (Some(operators), Some(fields)) = (&self.operators, question.as_object_mut()) {
                fields.insert("anonymizers".to_owned(), operators.clone());
            }
            let answer = ask.along(anonymizer).json("/anonymize", &question).await?;
            let put: Vec<Put> = serde_json::from_value(answer.get("items").cloned().unwrap_or_default())
                .map_err(|_| misshapen("items"))?;
            instead = aligned(&text, &found, put)?;
        }
        for (range, kind, with) in instead {
            // What stands over two texts is taken out of both, and its stand-in put into the first.
            for (n, (part, bytes)) in batch.locate(range).into_iter().enumerate() {
                let with = if n == 0 { with.clone() } else { String::new() };
                judgement.span(part, bytes, format!("holds a {kind}"), with);
            }
        }
        Ok(judgement)
    }
}

/// What stands where in the text that the anonymizer was given: it says where in its own, and joins finds that overlap.
fn aligned(
    text: &str,
    found: &[Found],
    mut put: Vec<Put>,
) -> Result<Vec<(Range<usize>, String, String)>, String> {
    put.sort_by_key(|one| one.start);
    let (mut theirs, mut ours) = (0, 0);
    let mut instead = Vec::with_capacity(put.len());
    for one in put {
        let start = ours + one.start.saturating_sub(theirs);
        let widest = found.iter().filter(|known| known.start == start).max_by_key(|known| known.end);
        let known = widest.ok_or("the anonymizer changes what the analyzer did not find")?;
        let mut end = known.end;
        while let Some(over) =
            found.iter().find(|other| (start..end).contains(&other.start) && other.end > end)
        {
            end = over.end;
        }
        (theirs, ours) = (one.end, end);
        instead.push((start..end, known.entity_type.clone(), one.text));
    }
    match found
        .iter()
        .all(|one| instead.iter().any(|(range, ..)| range.start <= one.start && one.end <= range.end))
        && found.iter().all(|one| one.end <= text.chars().count())
    {
        true => Ok(instead),
        false => Err("the anonymizer leaves something of what the analyzer found".to_owned()),
    }
}

impl Service for Presidio {
    fn most(&self) -> Most {
        Most { chars: 50_000, texts: 256 }
    }

    fn judge<'a>(
        &'a self,
        ask: &'a Ask<'a>,
        batch: &'a Batch<'a>,
        _: &'a Scene,
    ) -> BoxFuture<'a, Result<Judgement, String>> {
        self.judged(ask, batch).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::pii::gateway::{Went, refused, says, send_asking, stream, user};
    use weir_message::Operation;

    /// An analyzer that knows Bob and his telephone, and an anonymizer that masks all but the first character.
    fn service(path: &str, question: &Value) -> (u16, Value) {
        let text = question["text"].as_str().unwrap();
        let at = |word: &str| {
            text.match_indices(word).map(|(at, _)| text[..at].chars().count()).collect::<Vec<_>>()
        };
        if path == "/analyze" {
            let bob = at("Bob")
                .into_iter()
                .map(|at| json!({ "entity_type": "PERSON", "start": at, "end": at + 3, "score": 0.85 }));
            let phone = at("555-1234")
                .into_iter()
                .map(|at| json!({ "entity_type": "PHONE_NUMBER", "start": at, "end": at + 8, "score": 0.4 }));
            return (200, bob.chain(phone).collect());
        }
        let mut out: Vec<char> = Vec::new();
        let mut items = Vec::new();
        let chars: Vec<char> = text.chars().collect();
        let mut results = question["analyzer_results"].as_array().unwrap().clone();
        results.sort_by_key(|one| one["start"].as_u64());
        let mut from = 0;
        for one in results {
            let (start, end) =
                (one["start"].as_u64().unwrap() as usize, one["end"].as_u64().unwrap() as usize);
            out.extend(&chars[from..start]);
            let masked: String = format!("{}***", chars[start]);
            items.push(json!({ "start": out.len(), "end": out.len() + masked.chars().count(), "text": masked, "operator": "mask", "entity_type": one["entity_type"] }));
            out.extend(masked.chars());
            from = end;
        }
        items.reverse();
        (200, json!({ "text": out.iter().collect::<String>(), "items": items }))
    }

    fn ask(with: &str, text: &str, reply: String) -> Went {
        let guard = format!("{{ guard: presidio, with: {{ analyzer: \"http://an.test\"{with} }} }}");
        let mut body = user(text);
        body["stream"] = json!(reply.starts_with("data"));
        send_asking(&guard, Operation::Chat, &body, reply, service)
    }

    #[test]
    fn finds_deny_or_are_masked_by_the_guard_or_by_the_anonymizer() {
        let text = "é Bob is at 555-1234, says Bob";
        assert_eq!(ask("", text, says("ok")).status, 403);
        assert_eq!(ask("", "nobody", says("Bob")).status, 403);
        let sent =
            |went: &Went| went.sent.as_ref().unwrap()["messages"][0]["content"].as_str().unwrap().to_owned();
        for (with, want) in [
            (", then: mask", "é <PERSON> is at 555-1234, says <PERSON>"),
            (", then: mask, threshold: 0.3", "é <PERSON> is at <PHONE_NUMBER>, says <PERSON>"),
            (", then: mask, anonymizer: \"http://anon.test\"", "é B*** is at 555-1234, says B***"),
            (", then: observe", text),
        ] {
            let went = ask(with, text, says("ok, Bob"));
            assert_eq!((went.status, sent(&went).as_str()), (200, want), "{with}");
            if with.contains("mask") {
                assert!(!went.text().contains("Bob"), "{}", went.text());
            }
        }
        let pieces = ["so B", "ob sai", "d: Bob", "."].map(|piece| json!({ "content": piece }));
        let went = ask(", then: mask, on: [reply], asks: { window: 16B }", "hi", stream(pieces));
        assert_eq!(went.text(), "so <PERSON> said: <PERSON>.");
        assert_eq!(went.fact("reply_found")[0]["what"], "holds a PERSON");
    }

    #[test]
    fn what_the_anonymizer_leaves_is_a_fault() {
        let found = |start, end| Found { entity_type: "X".into(), start, end, score: 1.0 };
        let put = |start, end, text: &str| Put { start, end, text: text.into() };
        let text = "0123456789";
        let both = [found(2, 4), found(6, 8)];
        let instead = aligned(text, &both, vec![put(7, 8, "b"), put(2, 5, "aaa")]).unwrap();
        let ranges: Vec<_> = instead.iter().map(|(range, _, with)| (range.clone(), with.as_str())).collect();
        assert_eq!(ranges, [(2..4, "aaa"), (6..8, "b")]);
        let overlapping = [found(2, 4), found(2, 6), found(5, 7)];
        assert_eq!(aligned(text, &overlapping, vec![put(2, 3, "a")]).unwrap()[0].0, 2..7);
        assert!(aligned(text, &both, vec![put(2, 5, "aaa")]).is_err(), "one is left");
        assert!(aligned(text, &both, vec![put(1, 2, "a")]).is_err(), "nothing stands there");
        assert!(aligned("012", &both, vec![put(2, 5, "aaa"), put(7, 8, "b")]).is_err(), "behind the end");
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        for (with, want) in [
            (", operators: {}", "`operators` go with `anonymizer`"),
            (", anonymizer: \"http://x\"", "goes with `then: mask`"),
            (", then: tag", "go together"),
            (", then: mask, anonymizer: x", "is no URL"),
        ] {
            let said =
                refused(&format!("{{ guard: presidio, with: {{ analyzer: \"http://an.test\"{with} }} }}"));
            assert!(said.contains(want), "{with}: {said}");
        }
    }
}
