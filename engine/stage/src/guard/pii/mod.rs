//! Personal data is found and kept from passing: refused, masked, or replaced and put back into the reply.
//!
//! ```yaml
//! - guard: pii
//!   with: { find: [email, phone, card, person], then: replace, restore: true }
//! ```

mod find;
#[cfg(test)]
pub(crate) mod gateway;
mod guard;
mod kind;
pub(crate) mod reading;
mod rules;
mod settings;
mod stream;
mod table;
mod words;

pub(crate) use settings::Settings;
pub(crate) use table::shaped as placeholders;

use bytestring::ByteString;
use guard::{Guard, Report, Work};
use kind::{Kind, Kinds};
use regex::RegexBuilder;
use rules::{Region, Rules};
use settings::Side;
use std::sync::Arc;
use table::Table;
use weir_diagnostic::{Code, Diagnostic, Span};
use weir_inference::Tag;
use weir_message::{Denial, ErrorCode, TextAt, TextForm, TextRole};
use weir_pipeline::{
    CONTINUE, Declares, HELD_LIMIT, Hold, Hook, Needs, READABLE_OPERATIONS, Stage, StreamStage, Streaming,
    Verdict, Visit, Windows, Workbench,
};
use weir_policy::StageDecl;

/// A pattern of the policy's own takes at most this much memory compiled, in bytes.
const PATTERN_SIZE: usize = 1 << 20;

/// Checks the settings and compiles the guard.
pub(crate) fn compile(decl: &StageDecl, bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
    let settings: Settings = bench.settings(decl)?;
    let kinds = Kinds::of(&settings.find);
    let before = bench.diagnostics.len();
    let mut wrong = |code, message: String, at: Span, help: &str| {
        bench.diagnostics.push(Diagnostic::new(code, message).at(at).help(help));
    };
    if settings.find.is_empty() && settings.custom.is_empty() {
        wrong(
            Code::BadValue,
            "the guard looks for nothing".into(),
            decl.span,
            "name kinds in `find`, or patterns in `custom`",
        );
    }
    if settings.on.is_empty() {
        wrong(
            Code::BadValue,
            "the guard looks nowhere".into(),
            decl.span,
            "leave `on` out, or name `request` or `reply`",
        );
    }
    if !(0.0..=1.0).contains(&settings.min_score) {
        wrong(Code::BadValue, "`min_score` is no share".into(), decl.span, "give a number from 0 to 1");
    }
    let mut custom = Vec::new();
    let mut patterns = Vec::new();
    for (name, pattern) in &settings.custom {
        let named = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.len() <= 32
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && Kind::ALL.iter().all(|kind| kind.label() != label(name));
        if !named {
            let help = "letters, digits and `-`, at most 32, and no name of a kind";
            wrong(Code::BadValue, format!("`{name}` cannot name a pattern"), pattern.span, help);
        }
        match RegexBuilder::new(pattern).size_limit(PATTERN_SIZE).build() {
            Ok(regex) => patterns.push(regex),
            Err(error) => {
                let help = "look-around and back-references are not supported; see https://docs.rs/regex";
                wrong(
                    Code::BadRegex,
                    format!("the pattern `{name}` does not compile: {error}"),
                    pattern.span,
                    help,
                );
            }
        }
        custom.push((name.clone(), label(name)));
    }
    let mut regions: Vec<Region> = Vec::new();
    for region in &settings.regions {
        match Region::new(region) {
            Some(region) => regions.push(region),
            None => wrong(
                Code::BadValue,
                format!("there is no region `{}`", region.value),
                region.span,
                "give a code of two capital letters (ISO 3166), such as `DE`",
            ),
        }
    }
    if settings.regions.is_empty() {
        regions.extend(Region::new("US"));
    }
    let tagger = if kinds.any(Kind::by_model) {
        match bench.inference.tagger(&settings.model) {
            Ok(tagger) => Some(tagger),
            Err(error) => {
                let help = "run `make setup`, or leave `person`, `place` and `address` out of `find`";
                wrong(Code::MissingModel, error.to_string(), decl.span, help);
                None
            }
        }
    } else {
        None
    };
    if bench.diagnostics.len() > before {
        return None;
    }
    let salt = settings.salt.as_ref().and_then(|salt| (bench.secret)(salt));
    let guard = Guard {
        rules: Rules::new(kinds, regions, patterns),
        tagger,
        kinds,
        min_score: settings.min_score,
        then: settings.then,
        then_for: settings.then_for.clone(),
        custom,
        restore: settings.restore,
        salt: salt.map(|salt| blake3::derive_key("weir guard pii, salt of hashes", salt.expose().as_bytes())),
        message: settings.message.clone(),
    };
    Some(Arc::new(Pii {
        guard: Arc::new(guard),
        request: settings.on.contains(&Side::Request),
        reply: settings.on.contains(&Side::Reply),
        hold: match decl.hold {
            weir_policy::Hold::Declared => Hold::Declared,
            weir_policy::Hold::Sentence => Hold::Sentence,
            weir_policy::Hold::All => Hold::All,
        },
        unread_pass: decl.unread_pass,
    }))
}

/// What a pattern's name looks like in masks and placeholders.
fn label(name: &str) -> String {
    name.to_ascii_uppercase().replace('-', "_")
}

/// The guard in its place.
struct Pii {
    guard: Arc<Guard>,
    request: bool,
    reply: bool,
    hold: Hold,
    unread_pass: bool,
}

impl Stage for Pii {
    fn declares(&self) -> Declares {
        let reply = self.reply || self.restores();
        let needs = if reply { Needs::BODY | Needs::REPLY | Needs::EVENTS } else { Needs::BODY };
        Declares {
            needs,
            streaming: if reply { Streaming::Events } else { Streaming::None },
            edits_request: self.request && self.guard.edits(),
            judges_request: self.request,
            only_judges: !self.restores(),
            reads_reply: reply,
            reads_operations: Some(READABLE_OPERATIONS),
            ..Declares::default()
        }
    }

    fn request<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        if !self.request {
            return CONTINUE;
        }
        if !self.unread_pass && visit.exchange.request.body.has_token_ids() {
            let message =
                "the input came as token ids, which a guard of the policy cannot read: send it as text";
            return Hook::Done(Verdict::Deny(Box::new(Denial::new(ErrorCode::ContentDenied, message))));
        }
        if self.guard.tagger.is_none() {
            return Hook::Done(self.judge_request(visit, &[]));
        }
        let mut texts: Vec<(TextForm, ByteString)> = Vec::new();
        visit.exchange.request.each_text(|at| texts.push(prose(at)));
        Hook::Wait(Box::pin(async move {
            match self.guard.tags(&texts).await {
                Ok(tags) => self.judge_request(visit, &tags),
                Err(error) => Verdict::Fault(error),
            }
        }))
    }

    fn reply<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        let Some(reply) = visit.exchange.reply.as_ref() else { return CONTINUE };
        if !self.reply || self.guard.tagger.is_none() {
            return Hook::Done(self.judge_reply(visit, &[]));
        }
        let mut texts: Vec<(TextForm, ByteString)> = Vec::new();
        reply.each_text(|at| texts.push((at.text.form, at.text.value.clone())));
        Hook::Wait(Box::pin(async move {
            match self.guard.tags(&texts).await {
                Ok(tags) => self.judge_reply(visit, &tags),
                Err(error) => Verdict::Fault(error),
            }
        }))
    }

    fn stream(&self, visit: Visit<'_>) -> Option<Box<dyn StreamStage>> {
        let table = taken(visit.slot);
        if !self.reply && table.is_empty() {
            return None;
        }
        let seed = visit.exchange.gateway.seed;
        let judge = stream::Judge::new(Arc::clone(&self.guard), table, seed, self.reply);
        Some(Box::new(Windows::new(judge, self.hold, HELD_LIMIT)))
    }
}

impl Pii {
    fn restores(&self) -> bool {
        self.request && self.guard.restore && self.guard.replaces()
    }

    /// Judges all texts of the request; `tags` are the model's, in their order.
    fn judge_request(&self, visit: Visit<'_>, tags: &[Arc<[Tag]>]) -> Verdict {
        let Visit { exchange, slot, notes } = visit;
        let mut table = Table::default();
        let mut hits = Vec::new();
        exchange.request.each_text(|at| {
            let tags = tags.get(at.index).map_or(&[][..], |tags| tags);
            hits.extend(self.guard.look(at, tags, true, &table));
        });
        if hits.is_empty() {
            return Verdict::Continue;
        }
        if self.guard.replaces() {
            exchange.request.each_text(|at| table.avoid(at.text.as_str()));
        }
        let mut report = Report::default();
        let seed = exchange.gateway.seed;
        let mut work = Work { table: &mut table, report: &mut report, reply: false, seed };
        for hit in &hits {
            let changes = self.guard.settle(hit, &mut work);
            if !changes.is_empty() && !exchange.request.edit_text(hit.index, &changes) {
                return Verdict::Fault("what was found could not be taken out of the request".into());
            }
        }
        self.guard.tell(&report, false, notes);
        if !table.is_empty() {
            exchange.placeholders.extend(table.made().map(Box::from));
            exchange.placeholders.sort_unstable();
            *slot = Some(Box::new(table));
        }
        self.guard.denial(&report).map_or(Verdict::Continue, Verdict::Deny)
    }

    /// Judges all texts of the whole reply, and puts originals back.
    fn judge_reply(&self, visit: Visit<'_>, tags: &[Arc<[Tag]>]) -> Verdict {
        let Visit { exchange, slot, notes } = visit;
        let seed = exchange.gateway.seed;
        let Some(reply) = exchange.reply.as_mut() else { return Verdict::Continue };
        let mut table = taken(slot);
        let mut hits = Vec::new();
        reply.each_text(|at| {
            let tags = tags.get(at.index).map_or(&[][..], |tags| tags);
            hits.extend(self.guard.look(at, tags, self.reply, &table));
        });
        let mut report = Report::default();
        let mut work = Work { table: &mut table, report: &mut report, reply: true, seed };
        for hit in &hits {
            let changes = self.guard.settle(hit, &mut work);
            if !changes.is_empty() && !reply.edit_text(hit.index, &changes) {
                return Verdict::Fault("what was found could not be taken out of the reply".into());
            }
        }
        self.guard.tell(&report, true, notes);
        if !table.is_empty() {
            *slot = Some(Box::new(table));
        }
        self.guard.denial(&report).map_or(Verdict::Continue, Verdict::Deny)
    }
}

/// What the model is to tag of a text. It knows sentences: names, words of schemas and metadata are for the rules alone.
fn prose(at: TextAt<'_>) -> (TextForm, ByteString) {
    match at.role {
        TextRole::Field => (TextForm::Plain, ByteString::new()),
        _ => (at.text.form, at.text.value.clone()),
    }
}

/// The request's table out of the slot; an empty one if nothing was replaced.
fn taken(slot: &mut weir_pipeline::Slot) -> Table {
    slot.take().and_then(|kept| kept.downcast::<Table>().ok()).map(|table| *table).unwrap_or_default()
}

#[cfg(test)]
mod tests;
