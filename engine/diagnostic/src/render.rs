//! Diagnostics as people and machines read them: frames with carets, JSON, SARIF 2.1.0.

use crate::{Diagnostic, Diagnostics, Severity, SourceId, Sources, Span};
use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::ops::Range;

/// More frames than this help nobody; the rest is counted.
const MOST_FRAMES: usize = 300;

/// All diagnostics as frames with carets, then a line that counts them; colours only if asked for.
pub fn render(sources: &Sources, diagnostics: &Diagnostics, colour: bool) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics.iter().take(MOST_FRAMES) {
        out.push_str(&render_one(sources, diagnostic, colour));
        out.push_str("\n\n");
    }
    if let Some(more) = diagnostics.len().checked_sub(MOST_FRAMES).filter(|more| *more > 0) {
        let _ = writeln!(out, "… and {more} more\n");
    }
    out.push_str(&summary(diagnostics));
    out.push('\n');
    out
}

/// How many errors and warnings, in words: `2 errors, 1 warning`.
pub fn summary(diagnostics: &Diagnostics) -> String {
    let errors = diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
    let warnings = diagnostics.len() - errors;
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    match (errors, warnings) {
        (0, 0) => "no problems".to_owned(),
        (errors, 0) => count(errors, "error"),
        (0, warnings) => count(warnings, "warning"),
        (errors, warnings) => format!("{}, {}", count(errors, "error"), count(warnings, "warning")),
    }
}

/// How a place is marked, where it is, and the words at it.
type Place<'d> = (AnnotationKind, Span, &'d str);

/// One diagnostic as a frame.
pub fn render_one(sources: &Sources, diagnostic: &Diagnostic, colour: bool) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group =
        Group::with_title(level.primary_title(diagnostic.message.as_str()).id(diagnostic.code.id()));
    // Places of one file share a frame; other files follow in frames of their own.
    let mut places: Vec<(SourceId, Vec<Place<'_>>)> = Vec::new();
    let primary =
        diagnostic.span.map(|s| (AnnotationKind::Primary, s, diagnostic.label.as_deref().unwrap_or("")));
    let related = diagnostic.related.iter().map(|(s, label)| (AnnotationKind::Context, *s, label.as_str()));
    for place in primary.into_iter().chain(related) {
        match places.iter_mut().find(|(source, _)| *source == place.1.source) {
            Some((_, list)) => list.push(place),
            None => places.push((place.1.source, vec![place])),
        }
    }
    for (id, list) in places {
        let Some(source) = sources.get(id) else { continue };
        let ranges = list.iter().map(|(_, span, _)| on_characters(&source.text, span.range()));
        let window = ranges.clone().reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)).unwrap_or(0..0);
        let window = whole_lines(&source.text, window);
        let shown = source.text.get(window.clone()).unwrap_or("");
        let (line, _) = sources.line_column(id, u32::try_from(window.start).unwrap_or(u32::MAX));
        let mut snippet = Snippet::source(shown).line_start(line).path(&*source.name).fold(true);
        for ((kind, _, label), range) in list.iter().zip(ranges) {
            let annotation = kind.span(range.start - window.start..range.end - window.start);
            snippet =
                snippet.annotation(if label.is_empty() { annotation } else { annotation.label(*label) });
        }
        group = group.element(snippet);
    }
    if let Some(cause) = &diagnostic.cause {
        group = group.element(Level::NOTE.message(cause.as_str()));
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    renderer.decor_style(DecorStyle::Ascii).term_width(120).render(&[group])
}

/// The range within the text, widened to whole characters, and cut at the end of its first line.
fn on_characters(text: &str, range: Range<usize>) -> Range<usize> {
    let mut start = range.start.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let mut end = range.end.clamp(start, text.len());
    while !text.is_char_boundary(end) {
        end += 1;
    }
    if let Some(line) = text.get(start..end).and_then(|t| t.find('\n'))
        && line > 0
    {
        end = start + line;
    }
    start..end
}

/// The range widened to whole lines, so that a frame costs what it shows and not what its file holds.
fn whole_lines(text: &str, range: Range<usize>) -> Range<usize> {
    let start = text.get(..range.start).and_then(|t| t.rfind('\n')).map_or(0, |n| n + 1);
    let end = text.get(range.end..).and_then(|t| t.find('\n')).map_or(text.len(), |n| range.end + n);
    start..end
}

fn place(sources: &Sources, span: Span) -> Value {
    let name = sources.get(span.source).map(|s| &*s.name);
    let (line, column) = sources.line_column(span.source, span.start);
    let (end_line, end_column) = sources.line_column(span.source, span.end);
    json!({
        "file": name, "line": line, "column": column, "end_line": end_line, "end_column": end_column,
        "start": span.start, "end": span.end,
    })
}

/// All diagnostics as one JSON object: `diagnostics` (code, severity, message, file, line, column …), `errors`, `warnings`.
pub fn to_json(sources: &Sources, diagnostics: &Diagnostics) -> Value {
    let list: Vec<Value> = diagnostics
        .iter()
        .map(|d| {
            let mut one =
                json!({ "code": d.code.id(), "severity": severity(d.severity), "message": d.message });
            if let Value::Object(map) = &mut one {
                if let Some(Value::Object(at)) = d.span.map(|span| place(sources, span)) {
                    map.extend(at);
                }
                for (name, text) in [("label", &d.label), ("cause", &d.cause), ("help", &d.help)] {
                    if let Some(text) = text {
                        map.insert(name.to_owned(), json!(text));
                    }
                }
                if !d.related.is_empty() {
                    let related = d.related.iter().map(|(span, label)| {
                        let mut at = place(sources, *span);
                        if let Value::Object(at) = &mut at {
                            at.insert("label".to_owned(), json!(label));
                        }
                        at
                    });
                    map.insert("related".to_owned(), related.collect());
                }
            }
            one
        })
        .collect();
    let errors = diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
    json!({ "errors": errors, "warnings": list.len() - errors, "diagnostics": list })
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// All diagnostics as a SARIF 2.1.0 log (OASIS, `sarif-v2.1.0`), for code hosts and editors.
pub fn to_sarif(sources: &Sources, diagnostics: &Diagnostics) -> Value {
    let location = |span: Span| {
        let (line, column) = sources.line_column(span.source, span.start);
        let (end_line, end_column) = sources.line_column(span.source, span.end);
        let uri = sources.get(span.source).map_or_else(String::new, |s| encoded_path(&s.name));
        json!({ "physicalLocation": {
            "artifactLocation": { "uri": uri },
            "region": { "startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column },
        }})
    };
    let mut codes: Vec<crate::Code> = diagnostics.iter().map(|d| d.code).collect();
    codes.sort_unstable();
    codes.dedup();
    let rules: Vec<Value> = codes
        .iter()
        .map(|code| {
            json!({
                "id": code.id(),
                "shortDescription": { "text": code.summary() },
                "fullDescription": { "text": code.explanation().trim() },
                "defaultConfiguration": { "level": severity(code.severity()) },
            })
        })
        .collect();
    let results: Vec<Value> = diagnostics
        .iter()
        .map(|d| {
            let mut text = d.message.clone();
            for (word, part) in [("cause", &d.cause), ("help", &d.help)] {
                if let Some(part) = part {
                    let _ = write!(text, "\n{word}: {part}");
                }
            }
            let related: Vec<Value> = d
                .related
                .iter()
                .map(|(span, label)| {
                    let mut at = location(*span);
                    if let Value::Object(at) = &mut at {
                        at.insert("message".to_owned(), json!({ "text": label }));
                    }
                    at
                })
                .collect();
            json!({
                "ruleId": d.code.id(),
                "ruleIndex": codes.binary_search(&d.code).unwrap_or(0),
                "level": severity(d.severity),
                "message": { "text": text },
                "locations": d.span.map(location).into_iter().collect::<Vec<_>>(),
                "relatedLocations": related,
            })
        })
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "weir",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

/// A relative path as a URI reference (RFC 3986, section 4.2): what is not unreserved or `/` is percent-encoded.
fn encoded_path(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(byte as char)
            }
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;

    fn example() -> (Sources, Diagnostics) {
        let mut sources = Sources::default();
        let a = sources.add("a.yaml", "models:\n  fast: { targts: [] }\n");
        let b = sources.add("b b.yaml", "models:\n  fast: {}\n");
        let mut all = Diagnostics::new();
        all.push(
            Diagnostic::new(Code::UnknownField, "models have no field `targts`")
                .at(Span::new(a, 18..24))
                .label("not a field")
                .help("did you mean `targets`?"),
        );
        all.push(
            Diagnostic::new(Code::DuplicateName, "model `fast` is defined twice")
                .at(Span::new(b, 10..14))
                .also(Span::new(a, 10..14), "first here")
                .cause("nothing is ever overridden silently"),
        );
        all.push(Diagnostic::new(Code::Unused, "nothing uses it"));
        (sources, all)
    }

    #[test]
    fn frames_show_every_file_the_cause_and_the_help() {
        let (sources, all) = example();
        insta::assert_snapshot!(render(&sources, &all, false), @r"
        error[unknown-field]: models have no field `targts`
         --> a.yaml:2:11
          |
        2 |   fast: { targts: [] }
          |           ^^^^^^ not a field
          |
          = help: did you mean `targets`?

        error[duplicate-name]: model `fast` is defined twice
         --> b b.yaml:2:3
          |
        2 |   fast: {}
          |   ^^^^
          |
         ::: a.yaml:2:3
          |
        2 |   fast: { targts: [] }
          |   ---- first here
          |
          = note: nothing is ever overridden silently

        warning[unused]: nothing uses it

        2 errors, 1 warning
        ");
    }

    #[test]
    fn json_has_lines_and_columns() {
        let (sources, all) = example();
        let json = to_json(&sources, &all);
        assert_eq!(json["errors"], 2);
        assert_eq!(json["warnings"], 1);
        assert_eq!(json["diagnostics"][0]["line"], 2);
        assert_eq!(json["diagnostics"][0]["column"], 11);
        assert_eq!(json["diagnostics"][1]["related"][0]["file"], "a.yaml");
        assert!(json["diagnostics"][2].get("file").is_none());
    }

    #[test]
    fn sarif_has_rules_places_and_encoded_names() {
        let (sources, all) = example();
        let sarif = to_sarif(&sources, &all);
        let run = &sarif["runs"][0];
        assert_eq!(
            run["results"][1]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"],
            "b%20b.yaml"
        );
        for result in run["results"].as_array().unwrap() {
            let rule = &run["tool"]["driver"]["rules"][result["ruleIndex"].as_u64().unwrap() as usize];
            assert_eq!(rule["id"], result["ruleId"]);
        }
        assert_eq!(run["results"][2]["level"], "warning");
    }

    #[test]
    fn places_outside_their_text_and_endless_lines_are_shown_as_well_as_can_be() {
        let mut sources = Sources::default();
        let long = sources.add("long.yaml", format!("a: é\nb: {}", "x".repeat(100_000)));
        for range in [4..5, 90_000..90_001, 500_000..600_000, 10..10] {
            let one = Diagnostic::new(Code::BadYaml, "m").at(Span::new(long, range));
            let shown = render_one(&sources, &one, false);
            assert!(shown.len() < 10_000, "{}", shown.len());
        }
    }
}
