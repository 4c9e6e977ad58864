//! A policy set to a plan: expressions, scripts and stages compiled, what can be reached checked.

use crate::fingerprint::Below;
use crate::plan::{DenyAnswer, OnError, Pipeline, Plan, Step, When};
use crate::services::Counting;
use crate::{
    Access, AuthScheme, Child, Credential, Endpoint, Fallback, FallbackChild, Http2, Models, Needs, Provider,
    Registry, Retry, Stage, Streaming, Target, Timeouts, Weighted, Workbench, cel, fingerprint, reach, rhai,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use weir_catalog::{Auth, Catalogue, Kind, Price};
use weir_diagnostic::{Code, Diagnostic, Diagnostics};
use weir_message::{Caller, Decision, Dialect, Mode, Money, Operation, StageTrace, StatusSet, Verb};
use weir_policy::{
    BodyDecl, FrameDecl, ModelRoute, Named, PolicySet, Secret, SecretValue, StageDecl, TextOrSecret,
};
use weir_script::{Expect, Expression, HookKind, ParamType, ParamTypes, Services};
use weir_state::{BreakerSettings, KeyRing, KeyRow, State, digest, parse_digest};

/// How long a hook may wait where its stage does not say.
const HOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// What plans are compiled with; made once per process.
pub struct Workshop {
    /// The built-in stages.
    pub registry: Arc<dyn Registry>,
    /// Providers and prices.
    pub catalogue: &'static Catalogue,
    /// Models that run in this process.
    pub inference: weir_inference::Models,
    /// What outlives plans.
    pub state: Arc<State>,
}

/// Where secrets come from.
pub enum Secrets<'a> {
    /// They are not needed: `check`, `test`, `explain`.
    Ignored,
    /// Variables by this function, files below this folder; a missing one is an error.
    From {
        /// Looks up an environment variable.
        env: &'a dyn Fn(&str) -> Option<String>,
        /// The set's folder.
        root: &'a Path,
    },
}

/// Compiles a set. `None` if anything found is an error.
pub fn compile(
    set: &PolicySet,
    workshop: &Workshop,
    secrets: &Secrets<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Plan> {
    let mut compiler =
        Compiler { set, workshop, secrets, diagnostics, home: String::new(), known_params: Vec::new() };
    let plan = compiler.plan();
    plan.filter(|_| !compiler.diagnostics.has_errors())
}

/// Parameters as they are written.
type Params = Arc<serde_json::Map<String, serde_json::Value>>;

struct Compiler<'a> {
    set: &'a PolicySet,
    workshop: &'a Workshop,
    secrets: &'a Secrets<'a>,
    diagnostics: &'a mut Diagnostics,
    /// The pipeline or frame whose stages are being compiled.
    home: String,
    /// Parameters seen so far, as they are written and as expressions read them.
    known_params: Vec<(Params, Arc<serde_json::Value>)>,
}

impl Compiler<'_> {
    fn plan(&mut self) -> Option<Plan> {
        let keys = self.keys();
        let providers = self.providers();
        let models = self.models(&providers);
        let counted =
            self.set.models.iter().map(|(name, model)| (name.to_string(), self.tokenizer(model, &models)));
        let services: Arc<dyn Services> = Arc::new(Counting::new(counted.collect::<Vec<_>>()));
        let set_params = self.params(&self.set.params);
        let frames: Vec<(Option<When>, &FrameDecl)> = self
            .set
            .frames
            .iter()
            .map(|frame| {
                let params = params_of(&self.set.params);
                let when = self.condition(frame.when.as_ref(), HookKind::Match, &params);
                let params = Arc::clone(&set_params);
                (when.map(|expression| When { expression, params, shared: None }), frame)
            })
            .collect();
        let mut pipelines = Vec::new();
        let mut taken = reach::Taken::default();
        for decl in &self.set.pipelines {
            let params = params_of(&self.set.params);
            let when = self.condition(decl.when.as_ref(), HookKind::Match, &params);
            taken.check(decl, when.as_deref(), self.diagnostics);
            let mut steps = Vec::new();
            let mut decls: Vec<&StageDecl> = Vec::new();
            for (condition, frame) in &frames {
                self.home = format!("frame {}", frame.name.value);
                for stage in &frame.stages {
                    if let Some(step) = self.step(stage, condition.clone(), &models, &services, false) {
                        steps.push(step);
                        decls.push(stage);
                    }
                }
            }
            let framed = steps.len();
            self.home = decl.name.value.to_string();
            for stage in &decl.stages {
                if let Some(step) = self.step(stage, None, &models, &services, false) {
                    steps.push(step);
                    decls.push(stage);
                }
            }
            reach::check(decl, when.as_deref(), &decls, &steps, framed, self.diagnostics);
            fingerprint::seal(&mut steps, &decls, &models);
            let shared_conditions = share_conditions(&mut steps);
            let of_when = when.as_ref().map_or(Needs::NONE, |when| cel::needs_of(when.reads()));
            let all = |firm: bool| {
                let taking = |step: &&Step| match step.mode {
                    Mode::Enforce => true,
                    Mode::Shadow => !firm,
                    Mode::Off => false,
                };
                let steps = steps.iter().filter(taking);
                let needs = steps.clone().map(needs_of_step);
                let tried = steps.flat_map(|step| &step.attempt).filter(taking).map(needs_of_step);
                needs.chain(tried).fold(of_when, |all, needs| all | needs)
            };
            let (needs, firm) = (all(false), all(true));
            let blank =
                steps.iter().chain(steps.iter().flat_map(|step| &step.attempt)).map(blank_trace).collect();
            pipelines.push(Pipeline {
                name: Arc::clone(&decl.name),
                when: when.and_then(Arc::into_inner),
                guards_replies: steps
                    .iter()
                    .any(|step| step.verb == Verb::Guard && step.declares.reads_reply),
                needs,
                firm,
                shared_conditions,
                deadline: decl.deadline,
                blank,
                steps,
            });
        }
        let eager = SERVED.iter().copied().filter(|operation| reads_whole(&pipelines, *operation)).collect();
        let listeners = self.set.listeners.values().map(|listener| Arc::new(listener.clone())).collect();
        let revision = self.set.revision.to_string();
        Some(Plan {
            revision_header: HeaderValue::from_str(&revision).ok(),
            revision: Arc::from(revision),
            listeners,
            keys: keys?,
            pipelines,
            models,
            providers: providers.into_values().collect(),
            services,
            eager,
            is_open: self.set.pipelines.iter().any(|pipeline| pipeline.anonymous),
            breaker: BreakerSettings::default(),
            no_params: set_params,
            no_name: Arc::from(""),
        })
    }

    fn keys(&mut self) -> Option<KeyRing> {
        let mut rows: Vec<KeyRow> = Vec::new();
        for (name, key) in &self.set.keys {
            let decl = &key.value;
            let hashed = match (&decl.hash, &decl.secret) {
                (Some(hash), _) => match parse_digest(hash) {
                    Ok(digest) => Some(digest),
                    Err(error) => {
                        let help = "write `blake3:` and 64 hex digits; `weir key new` makes a key and prints its hash";
                        let found =
                            Diagnostic::new(Code::BadValue, error.to_string()).at(hash.span).help(help);
                        self.diagnostics.push(found);
                        None
                    }
                },
                (None, Some(secret)) => self.secret(secret).map(|value| digest(value.expose())),
                (None, None) => None,
            };
            let Some(digest) = hashed else { continue };
            let same = rows.iter().find(|row| row.digest == digest);
            if let Some(first) = same.and_then(|row| self.set.keys.get(&row.name)) {
                let message = format!("`{name}` and `{}` are the same key", first.name.value);
                self.diagnostics.push(
                    Diagnostic::new(Code::DuplicateName, message)
                        .at(key.name.span)
                        .also(first.name.span, "the same key")
                        .cause("a key says who calls; one key cannot be two callers")
                        .help("give each caller a key of its own (`weir key new`)"),
                );
                continue;
            }
            let caller = Caller {
                by: Arc::from("key"),
                key: Some(Arc::clone(name)),
                user: decl.user.as_deref().map(Arc::from),
                team: decl.team.as_deref().map(Arc::from),
                tags: decl
                    .tags
                    .iter()
                    .map(|(name, value)| (Arc::from(name.as_str()), value.clone()))
                    .collect(),
                claims: serde_json::Map::new(),
                models: decl.models.iter().map(|model| Arc::from(model.as_str())).collect(),
            };
            rows.push(KeyRow {
                name: Arc::clone(name),
                digest,
                caller: Arc::new(caller),
                disabled: decl.disabled,
            });
        }
        match KeyRing::new(rows) {
            Ok(ring) => Some(ring),
            Err(error) => {
                self.diagnostics.push(Diagnostic::new(Code::DuplicateName, error.to_string()));
                None
            }
        }
    }

    /// The value of a secret; `None` where it is missing (then it was said) or not needed.
    fn secret(&mut self, secret: &Secret) -> Option<SecretValue> {
        let Secrets::From { env, root } = self.secrets else { return None };
        match secret.resolve(env, root) {
            Ok(value) => Some(value),
            Err(found) => {
                self.diagnostics.push(found);
                None
            }
        }
    }

    fn providers(&mut self) -> BTreeMap<Arc<str>, Arc<Provider>> {
        let set = self.set;
        set.providers
            .iter()
            .filter_map(|(name, decl)| Some((Arc::clone(name), Arc::new(self.provider(name, decl)?))))
            .collect()
    }

    fn provider(&mut self, name: &Arc<str>, decl: &Named<weir_policy::Provider>) -> Option<Provider> {
        let place = decl.name.span;
        let decl = &decl.value;
        let row = decl.from.as_ref().and_then(|from| self.workshop.catalogue.provider(from));
        let dialect = match (&decl.dialect, row) {
            (Some(dialect), _) => Dialect::from(dialect.value),
            (None, Some(row)) => row.dialect,
            (None, None) => Dialect::OpenAi,
        };
        if !weir_dialect::speaks(dialect) {
            let span = decl.dialect.as_ref().map_or(place, |dialect| dialect.span);
            let message = format!("the dialect `{dialect}` is not spoken by this version");
            self.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(span).help("use `openai`"));
            return None;
        }
        let access = match (&decl.base_url, row) {
            (Some(url), _) => self.endpoint(url, url.span, decl),
            (None, Some(row)) if row.kind == Kind::Echo => Some(Access::Echo),
            (None, Some(row)) => self.endpoint(&row.base_url, place, decl),
            (None, None) => {
                let message = format!("the provider `{name}` has no address");
                let help = "say `from:` with a name of the catalogue (`weir models`), or `base_url:`";
                self.diagnostics.push(Diagnostic::new(Code::MissingField, message).at(place).help(help));
                None
            }
        };
        let credential = Arc::new(Credential::default());
        let mut is_missing = false;
        if let (Some(secret), Secrets::From { env, root }) = (&decl.key, self.secrets) {
            match secret.resolve(env, root) {
                Ok(value) => credential.set(value.expose()),
                // An optional account without its key is left alone: its targets are never chosen.
                Err(_) if decl.optional => is_missing = true,
                Err(found) => self.diagnostics.push(found),
            }
        }
        let auth = match row.map(|row| &row.auth) {
            _ if decl.key.is_none() => AuthScheme::None,
            Some(Auth::Header(header)) => match HeaderName::try_from(header) {
                Ok(header) => AuthScheme::Header(header),
                Err(_) => AuthScheme::Bearer,
            },
            Some(Auth::None | Auth::Bearer) | None => AuthScheme::Bearer,
        };
        Some(Provider {
            name: Arc::clone(name),
            row: row.map(|row| Arc::from(row.name.as_str())),
            dialect,
            access: access?,
            auth,
            credential,
            is_available: !is_missing,
            headers: self.headers(&decl.headers, place),
            region: decl.region.as_deref().map(Arc::from),
            timeouts: Timeouts {
                connect: decl.timeouts.connect.0,
                first_byte: decl.timeouts.first_byte.0,
                between: decl.timeouts.between.0,
                total: decl.timeouts.total.0,
            },
        })
    }

    fn headers(&mut self, decl: &BTreeMap<String, TextOrSecret>, place: weir_diagnostic::Span) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in decl {
            let text = match (value, self.secrets) {
                (TextOrSecret::Text(text), _) => text.clone(),
                (TextOrSecret::Secret(_), Secrets::Ignored) => continue,
                (TextOrSecret::Secret(secret), Secrets::From { .. }) => match self.secret(secret) {
                    Some(value) => value.expose().to_owned(),
                    None => continue,
                },
            };
            match (HeaderName::try_from(name), HeaderValue::try_from(text)) {
                (Ok(name), Ok(mut value)) => {
                    value.set_sensitive(true);
                    headers.insert(name, value);
                }
                _ => {
                    let message = format!("`{name}` and its value cannot stand in a header");
                    self.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(place));
                }
            }
        }
        headers
    }

    fn endpoint(
        &mut self,
        url: &str,
        span: weir_diagnostic::Span,
        decl: &weir_policy::Provider,
    ) -> Option<Access> {
        let parsed = http::Uri::try_from(url).ok().and_then(|uri| {
            let tls = match uri.scheme_str()? {
                "https" => true,
                "http" => false,
                _ => return None,
            };
            let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
            let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
            if uri.query().is_some() || host.is_empty() {
                return None;
            }
            Some((tls, host, port, uri.path().trim_end_matches('/').to_owned()))
        });
        let Some((tls, host, port, base_path)) = parsed else {
            let message = format!("`{url}` is no base URL");
            let help = "write `https://host/path` or `http://host:port/path`, without a query";
            self.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(span).help(help));
            return None;
        };
        let http2 = match decl.http2 {
            weir_policy::Http2::Auto => Http2::Auto,
            weir_policy::Http2::Always => Http2::Always,
            weir_policy::Http2::Never => Http2::Never,
        };
        let ca = decl.ca.as_ref().map(|path| match self.secrets {
            Secrets::From { root, .. } => root.join(&path.value),
            Secrets::Ignored => path.value.clone().into(),
        });
        Some(Access::Http(Endpoint { tls, host, port, base_path, ca, http2 }))
    }

    fn models(&mut self, providers: &BTreeMap<Arc<str>, Arc<Provider>>) -> Models {
        let mut models = Models::default();
        for (name, decl) in &self.set.models {
            let targets: Vec<(u32, Arc<Target>)> = decl
                .value
                .targets
                .iter()
                .filter_map(|target| {
                    let provider = providers.get(target.provider.value.as_str())?;
                    let upstream: Option<Arc<str>> = target.model.as_deref().map(Arc::from);
                    Some((target.weight, self.target(name, &decl.value, provider, upstream)))
                })
                .collect();
            let route: Arc<dyn crate::Route> = match decl.value.route {
                ModelRoute::Weighted => {
                    let children =
                        targets.into_iter().map(|(weight, target)| (weight, Child::Target(target)));
                    Arc::new(Weighted::new(children.collect(), another_may_mend()))
                }
                ModelRoute::Fallback => Arc::new(Fallback {
                    children: targets
                        .into_iter()
                        .map(|(_, target)| FallbackChild { child: Child::Target(target), on: None })
                        .collect(),
                    retry: Retry::default(),
                    deadline: None,
                }),
            };
            models.insert(name, route);
        }
        models
    }

    fn target(
        &self,
        name: &str,
        decl: &weir_policy::Model,
        provider: &Arc<Provider>,
        upstream: Option<Arc<str>>,
    ) -> Arc<Target> {
        let row = provider.row.as_deref().and_then(|row| {
            self.workshop
                .catalogue
                .model(row, upstream.as_deref().unwrap_or_else(|| name.trim_end_matches('*')))
        });
        let price = decl.price.map(price_of).or_else(|| row.and_then(|row| row.price));
        let tokenizer = decl
            .tokenizer
            .as_ref()
            .map(|name| Arc::from(name.value.as_str()))
            .or_else(|| row.and_then(|row| row.tokenizer.as_deref().map(Arc::from)));
        let breaker = format!("{}/{}", provider.name, upstream.as_deref().unwrap_or(name));
        let shown = upstream.as_deref().map(|model| format!("{}/{model}", provider.name));
        Arc::new(Target {
            shown: shown.and_then(|shown| HeaderValue::try_from(shown).ok()),
            provider: Arc::clone(provider),
            model: upstream,
            price,
            tokenizer,
            context: decl.context.or_else(|| row.and_then(|row| row.context)),
            breaker: self.workshop.state.breakers.target(&breaker),
        })
    }

    /// The tokenizer that counts for a model: its own, or its first target's.
    fn tokenizer(&self, model: &Named<weir_policy::Model>, models: &Models) -> Option<Arc<str>> {
        models
            .get(&model.name)
            .and_then(|route| route.targets(models).into_iter().find_map(|t| t.tokenizer.clone()))
    }

    fn condition(
        &mut self,
        when: Option<&weir_policy::Expr>,
        hook: HookKind,
        params: &ParamTypes,
    ) -> Option<Arc<Expression>> {
        match Expression::compile(when?, hook, Expect::Bool, params) {
            Ok(expression) => {
                if let Some(weir_script::CelValue::Bool(value)) = expression.constant() {
                    let message = format!("the condition is always {value}");
                    let help = if *value {
                        "leave it out"
                    } else {
                        "this never takes part; use `mode: off` if so meant"
                    };
                    let span = expression.text().span;
                    self.diagnostics.push(Diagnostic::new(Code::NeverHappens, message).at(span).help(help));
                }
                Some(Arc::new(expression))
            }
            Err(found) => {
                self.diagnostics.extend(found);
                None
            }
        }
    }

    fn step(
        &mut self,
        decl: &StageDecl,
        frame: Option<When>,
        models: &Models,
        services: &Arc<dyn Services>,
        in_attempt: bool,
    ) -> Option<Step> {
        let params = params_of(&decl.params);
        let own: Vec<When> = decl
            .when
            .iter()
            .filter_map(|when| {
                let expression =
                    self.condition(Some(&when.expr), HookKind::Match, &params_of(&when.params))?;
                Some(When { expression, params: self.params(&when.params), shared: None })
            })
            .collect();
        let stage = self.stage(decl, &params, models, services, in_attempt)?;
        let mut declares = stage.declares();
        if declares.reads_reply && declares.streaming == Streaming::None {
            // What reads whole replies sees streams too.
            declares.streaming = Streaming::Whole;
        }
        let attempt =
            decl.attempt.iter().filter_map(|inner| self.step(inner, None, models, services, true)).collect();
        let deny = decl.deny.as_ref().map(|deny| DenyAnswer {
            status: deny.status,
            code: deny.code.as_deref().map(Arc::from),
            message: deny.message.as_deref().map(Arc::from),
            deny_as: deny.form.into(),
        });
        Some(Step {
            name: Arc::clone(&decl.name),
            verb: decl.verb,
            body: body_name(decl),
            stage,
            declares,
            mode: decl.mode,
            whens: frame.into_iter().chain(own).collect(),
            sample: (decl.sample < 1.0).then_some(decl.sample),
            timeout: decl.timeout.unwrap_or(HOOK_TIMEOUT),
            on_error: match decl.on_error {
                weir_policy::OnError::Skip => OnError::Skip,
                weir_policy::OnError::Deny | weir_policy::OnError::Fail => OnError::Refuse,
            },
            deny,
            params: self.params(&decl.params),
            below: Below::default(),
            attempt,
        })
    }

    /// Parameters as expressions read them. Stages of one place share theirs.
    fn params(&mut self, params: &Params) -> Arc<serde_json::Value> {
        if let Some((_, value)) = self.known_params.iter().find(|(known, _)| Arc::ptr_eq(known, params)) {
            return Arc::clone(value);
        }
        let value = Arc::new(serde_json::Value::Object((**params).clone()));
        self.known_params.push((Arc::clone(params), Arc::clone(&value)));
        value
    }

    fn stage(
        &mut self,
        decl: &StageDecl,
        params: &ParamTypes,
        models: &Models,
        services: &Arc<dyn Services>,
        in_attempt: bool,
    ) -> Option<Arc<dyn Stage>> {
        let (secrets, workshop) = (self.secrets, self.workshop);
        let resolve = move |secret: &Secret| match secrets {
            Secrets::Ignored => None,
            Secrets::From { env, root } => secret.resolve(env, root).ok(),
        };
        let mut bench = Workbench {
            diagnostics: self.diagnostics,
            home: &self.home,
            params,
            models,
            inference: &workshop.inference,
            state: &workshop.state,
            services,
            secret: &resolve,
        };
        match &decl.body {
            BodyDecl::Builtin(_) => workshop.registry.compile(decl, &mut bench),
            BodyDecl::Cel(text) => {
                let hook = if in_attempt { HookKind::Attempt } else { HookKind::Reply };
                match decl.verb {
                    Verb::Guard => {
                        let expression = bench.expression(text, hook, Expect::Bool)?;
                        Some(Arc::new(cel::CelGuard {
                            expression,
                            unread_pass: decl.unread_pass,
                            in_attempt,
                        }))
                    }
                    Verb::Route => {
                        let expression = bench.expression(text, HookKind::Request, Expect::String)?;
                        if let Some(weir_script::CelValue::String(model)) = expression.constant() {
                            bench.model(model, text.span)?;
                        }
                        Some(Arc::new(cel::CelRoute { expression }))
                    }
                    Verb::Observe => {
                        let expression = bench.expression(text, HookKind::End, Expect::Any)?;
                        Some(Arc::new(cel::CelObserver { expression }))
                    }
                    Verb::Cache | Verb::Transform => {
                        let message = format!("a {} cannot be a CEL expression", decl.verb);
                        let help = "use a built-in, or `rhai:` for a transform";
                        bench
                            .diagnostics
                            .push(Diagnostic::new(Code::BadStage, message).at(decl.span).help(help));
                        None
                    }
                }
            }
            BodyDecl::Rhai(text) => rhai::compile(decl, text, &mut bench),
        }
    }
}

/// What a request must fail with for another target to be tried, where nothing is said: all that another may mend.
fn another_may_mend() -> StatusSet {
    let causes =
        weir_message::Cause::ALL.iter().copied().filter(|cause| crate::route::mendable(*cause)).collect();
    StatusSet { statuses: Vec::new(), classes: Vec::new(), causes }
}

fn price_of(price: weir_policy::Price) -> Price {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "prices are far below nine billion dollars a million tokens"
    )]
    let money = |dollars: f64| Money::from_nanos((dollars * 1e9).round() as i64);
    Price {
        input: money(price.input),
        cached_input: price.cached_input.map(money),
        cache_write: None,
        output: money(price.output),
    }
}

fn body_name(decl: &StageDecl) -> Arc<str> {
    match &decl.body {
        BodyDecl::Builtin(name) => Arc::clone(name),
        BodyDecl::Cel(_) => Arc::from("cel"),
        BodyDecl::Rhai(_) => Arc::from("rhai"),
    }
}

fn blank_trace(step: &Step) -> StageTrace {
    StageTrace {
        name: Arc::clone(&step.name),
        verb: step.verb,
        body: Arc::clone(&step.body),
        mode: step.mode,
        decision: Decision::NotReached,
        reason: None,
        took: Duration::ZERO,
        facts: Vec::new(),
    }
}

/// What a step takes from the plan, its conditions included.
fn needs_of_step(step: &Step) -> Needs {
    let whens = step.whens.iter().map(|when| cel::needs_of(when.expression.reads()));
    whens.fold(step.declares.needs, |all, needs| all | needs)
}

/// Whether the body of every request of this operation is read, whichever pipeline takes it.
fn reads_whole(pipelines: &[Pipeline], operation: Operation) -> bool {
    let reads =
        |when: Option<&Expression>| when.is_some_and(|when| cel::needs_of(when.reads()).has(Needs::BODY));
    let may_take =
        |pipeline: &&Pipeline| pipeline.when.as_ref().is_none_or(|when| when.may_hold_for(operation));
    let mut takers = pipelines.iter().filter(may_take).peekable();
    // The first one's condition is asked of every request.
    if takers.peek().is_none_or(|first| reads(first.when.as_ref())) {
        return takers.peek().is_some();
    }
    takers.all(|pipeline| pipeline.firm.has(Needs::BODY) || reads(pipeline.when.as_ref()))
}

/// Numbers the conditions that neighbouring steps share (a frame's, a `use`'s), so that each is decided once: what the first of
/// them edits does not change which of the others take part. Returns how many there are.
fn share_conditions(steps: &mut [Step]) -> usize {
    let mut count = 0;
    for n in 1..steps.len() {
        let Some((before, after)) = steps.split_at_mut_checked(n) else { break };
        let (Some(before), Some(after)) = (before.last_mut(), after.first_mut()) else { break };
        for (mine, theirs) in after.whens.iter_mut().zip(&mut before.whens) {
            let same = mine.expression.text().span == theirs.expression.text().span
                && Arc::ptr_eq(&mine.params, &theirs.params);
            if !same {
                break;
            }
            let number = *theirs.shared.get_or_insert_with(|| {
                count += 1;
                count - 1
            });
            mine.shared = Some(number);
        }
    }
    count
}

/// The types of parameters, by their values.
fn params_of(params: &serde_json::Map<String, serde_json::Value>) -> ParamTypes {
    params.iter().fold(ParamTypes::none(), |types, (name, value)| {
        let kind = match value {
            serde_json::Value::Null => ParamType::Any,
            serde_json::Value::Bool(_) => ParamType::Bool,
            serde_json::Value::Number(_) => ParamType::Number,
            serde_json::Value::String(_) => ParamType::String,
            serde_json::Value::Array(_) => ParamType::List,
            serde_json::Value::Object(_) => ParamType::Map,
        };
        types.with(name.as_str(), kind)
    })
}

/// The operations that this version takes.
pub(crate) const SERVED: &[Operation] = &[Operation::Chat, Operation::Completion, Operation::Embedding];
