//! The third pass: what can be said of a set without running its expressions: names, exclusions, values with a form.

use crate::load::twice;
use crate::set::Named;
use crate::stage::StageDecl;
use crate::{
    CallerKey, Environment, Identify, Listener, Model, ModelRoute, PolicySet, Price, Provider, Secret,
    Spanned,
};
use std::collections::HashMap;
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic, Diagnostics, Span, nearest};

/// Checks a set. `providers` are the names defined, those with errors of their own included. What is found wrong in a field is
/// noted as lost, so that no room above says it again.
pub(crate) fn check(
    set: &mut PolicySet,
    providers: &[Arc<str>],
    environment: &Environment<'_>,
    diagnostics: &mut Diagnostics,
) {
    let rows = environment.catalogue.row_names();
    let mut addresses: HashMap<&str, Span> = HashMap::new();
    for listener in set.listeners.values() {
        check_listener(listener, &mut addresses, diagnostics);
    }
    check_identity(set, diagnostics);
    set.keys.values_mut().for_each(|key| check_key(key, diagnostics));
    set.providers.values_mut().for_each(|provider| check_provider(provider, &rows, diagnostics));
    // Where not all providers are known, nothing is said about their names.
    let providers = (!set.gaps.may_hold("providers")).then_some(providers);
    set.models.values().for_each(|model| check_model(model, providers, diagnostics));

    let mut names: HashMap<&str, Span> = HashMap::new();
    for pipeline in set.pipelines.iter().filter(|pipeline| !pipeline.lost.has("pipeline")) {
        if let Some(first) = names.insert(&pipeline.name.value, pipeline.name.span) {
            diagnostics.push(twice("pipelines", &pipeline.name.value, pipeline.name.span, first));
        }
    }
    let mut names: HashMap<&str, Span> = HashMap::new();
    let mut framed: HashMap<&str, Span> = HashMap::new();
    for frame in &set.frames {
        if !frame.lost.has("frame")
            && let Some(first) = names.insert(&frame.name.value, frame.name.span)
        {
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
    // A stage whose name is wrong has another one once it is mended.
    for stage in stages.iter().filter(|stage| !stage.lost.any(&["name", stage.verb.name()])) {
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

/// Keys that no listener asks for.
fn check_identity(set: &PolicySet, diagnostics: &mut Diagnostics) {
    fn takes_keys(way: &Spanned<Identify>) -> bool {
        match &way.value {
            Identify::Key | Identify::Basic => true,
            Identify::Any(ways) | Identify::All(ways) => ways.iter().any(takes_keys),
            Identify::Mtls(_) | Identify::Jwt(_) | Identify::Allow(_) | Identify::External(_) => false,
        }
    }
    let asks = |listener: &Named<Listener>| {
        listener.value.identify.iter().any(takes_keys) || listener.lost.has("identify")
    };
    let all_known = !set.gaps.may_hold("listeners") && !set.listeners.is_empty();
    if let (Some(key), true) = (set.keys.values().next(), all_known)
        && !set.listeners.values().any(asks)
    {
        diagnostics.push(
            Diagnostic::new(Code::Unused, format!("no listener asks for the key `{}`", key.name.value))
                .at(key.name.span)
                .cause("a listener knows callers only by what its `identify` names")
                .help("say `identify: [ key ]` on the listener"),
        );
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

fn check_key(key: &mut Named<CallerKey>, diagnostics: &mut Diagnostics) {
    let what = format!("the key `{}`", key.name.value);
    let (value, place) = (&key.value, key.name.span);
    if !key.lost.any(&["hash", "secret"])
        && !check_proof(&value.hash, &value.secret, &what, place, diagnostics)
    {
        key.lost.add("hash");
    }
    if let Some(previous) = &value.previous {
        let what = format!("`previous` of {what}");
        let place = previous.until.span;
        if !key.lost.has("previous")
            && !check_proof(&previous.hash, &previous.secret, &what, place, diagnostics)
        {
            key.lost.add("previous");
        }
    }
    for pattern in &value.models {
        check_pattern(pattern, place, diagnostics);
    }
}

/// What proves a key: its hash or itself. False where that was found wrong.
fn check_proof(
    hash: &Option<Spanned<String>>,
    secret: &Option<Secret>,
    what: &str,
    place: Span,
    diagnostics: &mut Diagnostics,
) -> bool {
    let before = diagnostics.len();
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
    diagnostics.len() == before
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

fn check_provider(provider: &mut Named<Provider>, rows: &[String], diagnostics: &mut Diagnostics) {
    let (name, value, lost) = (&provider.name, &provider.value, &mut provider.lost);
    match &value.from {
        Some(row) if !rows.contains(row) => {
            let found =
                Diagnostic::new(Code::UnknownName, format!("the catalogue has no provider `{}`", row.value))
                    .at(row.span);
            diagnostics.push(match nearest(row, rows.iter().map(String::as_str)) {
                Some(near) => found.help(format!("did you mean `{near}`?")),
                None => found.help("`weir models` lists them; for another API give `dialect` and `base_url`"),
            });
            lost.add("from");
        }
        None if lost.has("from") => {}
        Some(_) => {}
        None => {
            let missing = [("dialect", value.dialect.is_none()), ("base_url", value.base_url.is_none())];
            let missing: Vec<_> = missing
                .iter()
                .filter(|(name, absent)| *absent && !lost.has(name))
                .map(|(n, _)| format!("`{n}`"))
                .collect();
            if !missing.is_empty() {
                diagnostics.push(
                    Diagnostic::new(
                        Code::MissingField,
                        format!("the provider `{}` has no {}", name.value, missing.join(" and no ")),
                    )
                    .at(name.span)
                    .help("`from:` names a row of the catalogue; without it `dialect` and `base_url` say where it is"),
                );
                lost.add("from");
            }
        }
    }
    if let Some(aws) = &value.aws {
        let place = aws.secret_access_key.span;
        if value.region.as_deref().unwrap_or_default().is_empty() && !lost.has("region") {
            let message = format!("the provider `{}` signs for no region", name.value);
            diagnostics.push(Diagnostic::new(Code::MissingField, message).at(place).help("say `region:`"));
        }
    }
    if value.optional && value.secrets().next().is_none() && !lost.any(&["key", "aws", "azure", "google"]) {
        diagnostics.push(
            Diagnostic::new(
                Code::NeverHappens,
                format!(
                    "`optional` changes nothing: the provider `{}` has no key that could be missing",
                    name.value
                ),
            )
            .at(name.span)
            .help("leave it out, or give it a `key`"),
        );
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
            lost.add("base_url");
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

fn check_model(model: &Named<Model>, providers: Option<&[Arc<str>]>, diagnostics: &mut Diagnostics) {
    check_pattern(&model.name.value, model.name.span, diagnostics);
    check_price(model.value.price.as_ref(), model.name.span, diagnostics);
    for target in &model.value.targets {
        let Some(providers) = providers else { break };
        if providers.iter().any(|p| **p == *target.provider.value) {
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
    if model.value.route == ModelRoute::Weighted && model.value.targets.iter().any(|target| target.weight > 0)
    {
        for target in model.value.targets.iter().filter(|target| target.weight == 0) {
            let message = format!("this target of `{}` is never chosen: its weight is 0", model.name.value);
            diagnostics.push(
                Diagnostic::new(Code::NeverHappens, message)
                    .at(target.provider.span)
                    .help("take it out, give it a weight, or say `route: fallback` to try it where the one before fails"),
            );
        }
    }
    if model.value.route == ModelRoute::Fallback {
        for target in model.value.targets.iter().filter(|target| target.weight != 1) {
            let message = "a `weight` counts for nothing where `route` is `fallback`";
            diagnostics.push(
                Diagnostic::new(Code::NeverHappens, message)
                    .at(target.provider.span)
                    .help("leave it out: targets are tried in written order"),
            );
        }
    }
    if !model.value.targets.is_empty()
        && !model.lost.has("targets")
        && model.value.targets.iter().all(|t| t.weight == 0)
    {
        diagnostics.push(
            Diagnostic::new(Code::BadValue, format!("every target of `{}` has weight 0", model.name.value))
                .at(model.name.span)
                .help("give at least one a weight"),
        );
    }
}
