//! The third pass: what can be said of a set without running its expressions: names, exclusions, values with a form.

use crate::load::twice;
use crate::set::Named;
use crate::stage::StageDecl;
use crate::{CallerKey, Environment, Listener, Model, PolicySet, Price, Provider, Secret, Spanned};
use std::collections::HashMap;
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic, Diagnostics, Span, nearest};

/// Checks a set. `providers` are the names defined, those with errors of their own included; where not all files could be
/// read (`whole` is false), nothing is said about names that may stand in them.
pub(crate) fn check(
    set: &PolicySet,
    providers: &[Arc<str>],
    whole: bool,
    environment: &Environment<'_>,
    diagnostics: &mut Diagnostics,
) {
    let rows = environment.catalogue.row_names();
    let mut addresses: HashMap<&str, Span> = HashMap::new();
    for listener in set.listeners.values() {
        check_listener(listener, &mut addresses, diagnostics);
    }
    set.keys.values().for_each(|key| check_key(key, diagnostics));
    set.providers.values().for_each(|provider| check_provider(provider, &rows, diagnostics));
    set.models.values().for_each(|model| check_model(model, providers, whole, diagnostics));

    let mut names: HashMap<&str, Span> = HashMap::new();
    for pipeline in &set.pipelines {
        if let Some(first) = names.insert(&pipeline.name.value, pipeline.name.span) {
            diagnostics.push(twice("pipelines", &pipeline.name.value, pipeline.name.span, first));
        }
    }
    let mut names: HashMap<&str, Span> = HashMap::new();
    let mut framed: HashMap<&str, Span> = HashMap::new();
    for frame in &set.frames {
        if let Some(first) = names.insert(&frame.name.value, frame.name.span) {
            diagnostics.push(twice("frames", &frame.name.value, frame.name.span, first));
        }
        check_stage_names(&frame.stages, &mut framed, diagnostics);
    }
    for pipeline in &set.pipelines {
        check_stage_names(&pipeline.stages, &mut framed.clone(), diagnostics);
    }
}

fn check_stage_names<'s>(
    stages: &'s [StageDecl],
    names: &mut HashMap<&'s str, Span>,
    diagnostics: &mut Diagnostics,
) {
    for stage in stages {
        // What comes from a library entry is told apart where it is used.
        let place = stage.used.as_ref().map_or(stage.span, |used| used.span);
        match names.get(&*stage.name) {
            Some(first) => diagnostics.push(
                Diagnostic::new(
                    Code::DuplicateName,
                    format!("two stages of this pipeline are called `{}`", stage.name),
                )
                .at(place)
                .label("again")
                .also(*first, "first here")
                .cause("traces, metrics and counts tell stages apart by their names; frames count too")
                .help("add `name:` to one of them"),
            ),
            None => {
                names.insert(&stage.name, place);
            }
        }
        check_stage_names(&stage.attempt, names, diagnostics);
    }
}

fn check_listener<'s>(
    listener: &'s Named<Listener>,
    addresses: &mut HashMap<&'s str, Span>,
    diagnostics: &mut Diagnostics,
) {
    let address = &listener.value.address;
    let port = address.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>()));
    let good = match port {
        Some(("localhost", Ok(_))) => true,
        _ => address.parse::<std::net::SocketAddr>().is_ok(),
    };
    if !good {
        diagnostics.push(
            Diagnostic::new(Code::BadValue, format!("`{}` is not an address to listen on", address.value))
                .at(address.span)
                .help("write an IP address and a port: 127.0.0.1:8080, 0.0.0.0:8080, \"[::]:8080\""),
        );
    }
    let fixed = !address.ends_with(":0");
    if let (true, Some(first)) = (fixed, addresses.insert(&address.value, address.span)) {
        diagnostics.push(
            Diagnostic::new(Code::BadListener, format!("two listeners want `{}`", address.value))
                .at(address.span)
                .also(first, "first here"),
        );
    }
}

fn check_key(key: &Named<CallerKey>, diagnostics: &mut Diagnostics) {
    let what = format!("the key `{}`", key.name.value);
    check_proof(&key.value.hash, &key.value.secret, &what, key.name.span, diagnostics);
    if let Some(previous) = &key.value.previous {
        let what = format!("`previous` of {what}");
        check_proof(&previous.hash, &previous.secret, &what, previous.until.span, diagnostics);
    }
    for pattern in &key.value.models {
        check_pattern(pattern, key.name.span, diagnostics);
    }
}

/// What proves a key: its hash or itself.
fn check_proof(
    hash: &Option<Spanned<String>>,
    secret: &Option<Secret>,
    what: &str,
    place: Span,
    diagnostics: &mut Diagnostics,
) {
    match (hash, secret) {
        (None, None) => diagnostics.push(
            Diagnostic::new(Code::MissingField, format!("{what} has neither `hash` nor `secret`"))
                .at(place)
                .help("`hash: \"blake3:…\"` of the key, or `secret: \"${env:NAME}\"`"),
        ),
        (Some(hash), Some(secret)) => diagnostics.push(
            Diagnostic::new(Code::BadValue, format!("{what} has both `hash` and `secret`"))
                .at(hash.span)
                .also(secret.span, "and here")
                .help("keep one of the two"),
        ),
        (Some(hash), None) => {
            let hex = hash.strip_prefix("blake3:").unwrap_or("");
            if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
                diagnostics.push(
                    Diagnostic::new(Code::BadValue, "a hash is `blake3:` and 64 hex digits")
                        .at(hash.span)
                        .help("make one with `printf %s KEY | weir keys hash`"),
                );
            }
        }
        (None, Some(_)) => {}
    }
}

fn check_pattern(pattern: &str, span: Span, diagnostics: &mut Diagnostics) {
    if pattern.strip_suffix('*').unwrap_or(pattern).contains('*') {
        diagnostics.push(
            Diagnostic::new(Code::BadValue, format!("`{pattern}`: a pattern has one `*`, at its end"))
                .at(span)
                .help("write for example `gpt-5*`"),
        );
    }
}

fn check_provider(provider: &Named<Provider>, rows: &[String], diagnostics: &mut Diagnostics) {
    let (name, value) = (&provider.name, &provider.value);
    match &value.from {
        Some(row) if !rows.contains(row) => {
            let found =
                Diagnostic::new(Code::UnknownName, format!("the catalogue has no provider `{}`", row.value))
                    .at(row.span);
            diagnostics.push(match nearest(row, rows.iter().map(String::as_str)) {
                Some(near) => found.help(format!("did you mean `{near}`?")),
                None => found.help("`weir models` lists them; for another API give `dialect` and `base_url`"),
            });
        }
        Some(_) => {}
        None => {
            let missing = [("dialect", value.dialect.is_none()), ("base_url", value.base_url.is_none())];
            let missing: Vec<_> =
                missing.iter().filter(|(_, absent)| *absent).map(|(n, _)| format!("`{n}`")).collect();
            if !missing.is_empty() {
                diagnostics.push(
                    Diagnostic::new(
                        Code::MissingField,
                        format!("the provider `{}` has no {}", name.value, missing.join(" and no ")),
                    )
                    .at(name.span)
                    .help("`from:` names a row of the catalogue; without it `dialect` and `base_url` say where it is"),
                );
            }
        }
    }
    if let Some(aws) = &value.aws {
        let place = aws.secret_access_key.span;
        if value.region.as_deref().unwrap_or_default().is_empty() {
            let message = format!("the provider `{}` signs for no region", name.value);
            diagnostics.push(Diagnostic::new(Code::MissingField, message).at(place).help("say `region:`"));
        }
    }
    let entra = value.azure.as_ref().and_then(|azure| azure.entra.as_ref());
    let ways = [
        ("`key`", value.key.is_some()),
        ("`aws`", value.aws.is_some()),
        ("`azure.entra`", entra.is_some()),
        ("`google`", value.google.is_some()),
    ];
    let ways: Vec<&str> = ways.iter().filter(|(_, is_there)| *is_there).map(|(way, _)| *way).collect();
    if ways.len() > 1 {
        let message = format!("the provider `{}` has two credentials: {}", name.value, ways.join(" and "));
        let help = "keep one: a key that is shown, keys that sign, or an account that gets tokens";
        diagnostics.push(Diagnostic::new(Code::BadValue, message).at(name.span).help(help));
    }
    let mut rows: HashMap<&str, Span> = HashMap::new();
    for model in &value.models {
        check_pattern(&model.name, model.name.span, diagnostics);
        check_price(model.price.as_ref(), model.name.span, diagnostics);
        if let Some(first) = rows.insert(&model.name.value, model.name.span) {
            diagnostics.push(twice("models", &model.name.value, model.name.span, first));
        }
    }
    if let Some(url) = &value.base_url {
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        let host = rest.map(|r| r.split(['/', '?', '#']).next().unwrap_or(""));
        let wrong = match host {
            None => Some("a base URL begins with http:// or https://"),
            Some("") => Some("the URL names no host"),
            Some(host) if host.contains('@') => Some("a URL holds no credentials; `key` is for them"),
            Some(host) if host.contains(char::is_whitespace) => Some("a host has no spaces"),
            Some(_) if url.contains(['?', '#']) => Some("a base URL has no query and no fragment"),
            Some(_) => None,
        };
        if let Some(why) = wrong {
            diagnostics.push(
                Diagnostic::new(Code::BadValue, format!("`base_url` of `{}`: {why}", name.value))
                    .at(url.span),
            );
        }
    }
}

/// Prices for long prompts stand in the order of their lengths.
fn check_price(price: Option<&Price>, place: Span, diagnostics: &mut Diagnostics) {
    let above = price.map(|price| price.above.as_slice()).unwrap_or_default();
    if !above.is_sorted_by(|before, after| before.tokens < after.tokens) {
        diagnostics.push(
            Diagnostic::new(Code::BadValue, "`above` is not in the order of `tokens`")
                .at(place)
                .help("put the shortest prompts first, each length once"),
        );
    }
}

fn check_model(model: &Named<Model>, providers: &[Arc<str>], whole: bool, diagnostics: &mut Diagnostics) {
    check_pattern(&model.name.value, model.name.span, diagnostics);
    check_price(model.value.price.as_ref(), model.name.span, diagnostics);
    for target in &model.value.targets {
        if !whole || providers.iter().any(|p| **p == *target.provider.value) {
            continue;
        }
        let found =
            Diagnostic::new(Code::UnknownName, format!("no provider is called `{}`", target.provider.value))
                .at(target.provider.span);
        diagnostics.push(match nearest(&target.provider, providers.iter().map(|p| &**p)) {
            Some(near) => found.help(format!("did you mean `{near}`?")),
            None => found.help("define it under `providers`"),
        });
    }
    if !model.value.targets.is_empty() && model.value.targets.iter().all(|t| t.weight == 0) {
        diagnostics.push(
            Diagnostic::new(Code::BadValue, format!("every target of `{}` has weight 0", model.name.value))
                .at(model.name.span)
                .help("give at least one a weight"),
        );
    }
}
