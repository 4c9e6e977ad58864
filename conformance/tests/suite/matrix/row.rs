//! The kinds of stages, and what each is there for.

use super::path::{Asks, Meets, Path, Place};

/// A kind of stage.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// The built-in that it shows, `verb: name`; none for bodies in CEL and Rhai.
    pub(crate) builtin: Option<&'static str>,
    pub(crate) stage: &'static str,
    pub(crate) stands: Stands,
    pub(crate) proof: Proof,
    /// Which part of replies it reads.
    pub(crate) reads: Reads,
}

/// Which part of replies a stage reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    /// Words and the arguments of tool calls.
    All,
    /// Words alone.
    Words,
    /// Tool calls alone.
    Calls,
}

/// Where in the pipeline it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stands {
    /// Above the cache and the route.
    Above,
    /// In the place of the cache.
    AsCache,
    /// In the route, once per attempt.
    InAttempt,
}

/// What a stage is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// The request is refused with this code and no provider is called.
    RefusesRequest(&'static str),
    /// One request passes, the next is refused with this code.
    Counts(&'static str),
    /// While one request is under way, the next is refused with this code.
    Holds(&'static str),
    /// No provider sees the first text; each sees the second.
    EditsRequest(Option<&'static str>, &'static str),
    /// The client sees nothing of this text, but an error.
    RefusesReply(&'static str),
    /// The client sees the second text in place of the first.
    EditsReply(&'static str, &'static str),
    /// Each provider gets this header.
    SetsHeader(&'static str, &'static str),
    /// This provider gets no request.
    RulesOut(&'static str),
    /// The same request again is answered without a provider, if its reply ended as it should.
    Answers,
    /// Each request leaves a line of the log.
    Logs,
    /// Each request is counted.
    Measures,
}

const ROW: Row =
    Row { name: "", builtin: None, stage: "", stands: Stands::Above, proof: Proof::Logs, reads: Reads::All };

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "key",
        builtin: Some("guard: key"),
        stage: "- guard: key",
        proof: Proof::RefusesRequest("invalid-key"),
        ..ROW
    },
    Row {
        name: "rate",
        builtin: Some("guard: rate"),
        stage: "- guard: rate\n        with: { requests: 1/hour, per: everyone }",
        proof: Proof::Counts("rate-limited"),
        ..ROW
    },
    Row {
        name: "concurrency",
        builtin: Some("guard: concurrency"),
        stage: "- guard: concurrency\n        with: { max: 1, per: everyone }",
        proof: Proof::Holds("concurrency-exceeded"),
        ..ROW
    },
    Row {
        name: "quota",
        builtin: Some("guard: quota"),
        stage: "- guard: quota\n        with: { tokens: 1/hour, per: everyone, assume_output: 1000 }",
        proof: Proof::RefusesRequest("quota-exceeded"),
        ..ROW
    },
    Row {
        name: "budget",
        builtin: Some("guard: budget"),
        stage: "- guard: budget\n        with: { money: 0.000001 USD/hour, per: everyone, assume_output: 1000 }",
        proof: Proof::RefusesRequest("budget-exceeded"),
        ..ROW
    },
    Row {
        name: "tokens",
        builtin: Some("guard: tokens"),
        stage: "- guard: tokens\n        with: { max: 3 }",
        proof: Proof::RefusesRequest("too-many-tokens"),
        ..ROW
    },
    Row {
        name: "regex on requests",
        builtin: Some("guard: regex"),
        stage: "- guard: regex\n        with: { deny: [secret-word], on: [request] }",
        proof: Proof::RefusesRequest("content-denied"),
        ..ROW
    },
    Row {
        name: "regex on replies",
        stage: "- guard: regex\n        with: { deny: [forbidden-word], on: [reply] }",
        proof: Proof::RefusesReply("forbidden-word"),
        ..ROW
    },
    Row {
        name: "regex that masks replies",
        stage: "- guard: regex\n        with: { deny: [forbidden-word], on: [reply], then: mask }",
        proof: Proof::EditsReply("forbidden-word", "[REMOVED]"),
        ..ROW
    },
    Row {
        name: "pii on requests",
        builtin: Some("guard: pii"),
        stage: "- guard: pii\n        with: { find: [email], then: replace, on: [request] }",
        proof: Proof::EditsRequest(Some("bob@example.com"), "<EMAIL_1>"),
        ..ROW
    },
    Row {
        name: "pii on replies",
        stage: "- guard: pii\n        with: { find: [email], then: mask, on: [reply] }",
        proof: Proof::EditsReply("bob@example.com", "[EMAIL]"),
        ..ROW
    },
    Row {
        name: "injection on requests",
        builtin: Some("guard: injection"),
        stage: "- guard: injection\n        with: { model: none, threshold: 0, roles: [user, tool, arguments] }",
        proof: Proof::RefusesRequest("content-denied"),
        ..ROW
    },
    Row {
        name: "injection on replies",
        stage: "- guard: injection\n        with: { canaries: [forbidden-word], on: [] }",
        proof: Proof::RefusesReply("forbidden-word"),
        ..ROW
    },
    Row {
        name: "words on requests",
        builtin: Some("guard: words"),
        stage: "- guard: words\n        with: { words: [Secret-Word], on: [request] }",
        proof: Proof::RefusesRequest("content-denied"),
        ..ROW
    },
    Row {
        name: "words on replies",
        stage: "- guard: words\n        with: { words: [forbidden-word], on: [reply], then: mask }",
        proof: Proof::EditsReply("forbidden-word", "[REMOVED]"),
        ..ROW
    },
    Row {
        name: "unicode on requests",
        builtin: Some("guard: unicode"),
        stage: "- guard: unicode\n        with: { on: [request] }",
        proof: Proof::EditsRequest(Some("\u{200b}"), "lease say"),
        ..ROW
    },
    Row {
        name: "unicode on replies",
        stage: "- guard: unicode\n        with: { on: [reply] }",
        proof: Proof::EditsReply("\u{200b}", "the forbidden-word"),
        ..ROW
    },
    Row {
        name: "tools on replies",
        builtin: Some("guard: tools"),
        stage: "- guard: tools\n        with: { deny: [send], on: [reply] }",
        proof: Proof::RefusesReply("forbidden-word"),
        reads: Reads::Calls,
        ..ROW
    },
    Row {
        name: "schema",
        builtin: Some("guard: schema"),
        stage: "- guard: schema\n        with: { schema: { type: object } }",
        proof: Proof::RefusesReply("forbidden-word"),
        reads: Reads::Words,
        ..ROW
    },
    Row {
        name: "urls on replies",
        builtin: Some("guard: urls"),
        stage: "- guard: urls\n        with: { allow: [acme.com], then: strip }",
        proof: Proof::EditsReply("leak.example", "forbidden-word"),
        ..ROW
    },
    Row {
        name: "urls that refuse replies",
        stage: "- guard: urls\n        with: { allow: [acme.com] }",
        proof: Proof::RefusesReply("leak.example"),
        ..ROW
    },
    Row {
        name: "webhook on requests",
        builtin: Some("guard: webhook"),
        stage: "- guard: webhook\n        with: { url: \"http://{JUDGE}/deny/secret-word\", on: [request] }",
        proof: Proof::RefusesRequest("content-denied"),
        ..ROW
    },
    Row {
        name: "webhook on replies",
        stage: "- guard: webhook\n        with: { url: \"http://{JUDGE}/deny/forbidden-word\", on: [reply], asks: { window: 16B } }",
        proof: Proof::RefusesReply("forbidden-word"),
        ..ROW
    },
    Row {
        name: "webhook that edits requests",
        stage: "- guard: webhook\n        with: { url: \"http://{JUDGE}/edit/secret-word/kind-word\", on: [request], edits: true }",
        proof: Proof::EditsRequest(Some("secret-word"), "kind-word"),
        ..ROW
    },
    Row {
        name: "webhook that edits replies",
        stage: "- guard: webhook\n        with: { url: \"http://{JUDGE}/edit/forbidden-word/kind-word\", on: [reply], edits: true }",
        proof: Proof::EditsReply("forbidden-word", "kind-word"),
        ..ROW
    },
    Row {
        name: "topics on requests",
        builtin: Some("guard: topics"),
        stage: "- guard: topics\n        with: { deny: { any: [\"Please say the secret-word to Bob.\"] }, threshold: 0.3, roles: [] }",
        proof: Proof::RefusesRequest("content-denied"),
        ..ROW
    },
    Row {
        name: "topics on replies",
        stage: "- guard: topics\n        with: { deny: { any: [\"The forbidden-word of bob@example.com\"] }, threshold: 0.2, on: [reply], roles: [] }",
        proof: Proof::RefusesReply("forbidden-word"),
        ..ROW
    },
    Row {
        name: "content on requests",
        builtin: Some("guard: content"),
        stage: "- guard: content\n        with: { model: none, thresholds: { hate: 0 }, on: [request], roles: [] }",
        proof: Proof::RefusesRequest("content-denied"),
        ..ROW
    },
    Row {
        name: "content on replies",
        stage: "- guard: content\n        with: { model: none, thresholds: { hate: 0 }, on: [reply], roles: [] }",
        proof: Proof::RefusesReply("forbidden-word"),
        ..ROW
    },
    Row {
        name: "size of requests",
        builtin: Some("guard: size"),
        stage: "- guard: size\n        with: { text: 20 B }",
        proof: Proof::RefusesRequest("body-too-large"),
        ..ROW
    },
    Row {
        name: "size of replies",
        stage: "- guard: size\n        with: { reply: 6 B }",
        proof: Proof::RefusesReply("bob@example.com"),
        ..ROW
    },
    Row {
        name: "language of requests",
        builtin: Some("guard: language"),
        stage: "- guard: language\n        with: { allow: [ja], on: [request], unknown: deny }",
        proof: Proof::RefusesRequest("content-denied"),
        ..ROW
    },
    Row {
        name: "language of replies",
        stage: "- guard: language\n        with: { allow: [ja], on: [reply], unknown: deny }",
        proof: Proof::RefusesReply("forbidden-word"),
        reads: Reads::Words,
        ..ROW
    },
    Row {
        name: "CEL on requests",
        stage: "- guard: mine\n        cel: '!request.all_text.contains(\"secret-word\")'",
        proof: Proof::RefusesRequest("denied"),
        ..ROW
    },
    Row {
        name: "CEL on replies",
        stage: "- guard: mine\n        cel: '!reply.text.contains(\"forbidden-word\")'\n        hold: all",
        proof: Proof::RefusesReply("forbidden-word"),
        reads: Reads::Words,
        ..ROW
    },
    Row {
        name: "Rhai that edits requests",
        stage: "- transform: mine\n        rhai: |\n          fn request(r) { r.set_header(\"x-mine\", \"yes\"); }",
        proof: Proof::SetsHeader("x-mine", "yes"),
        ..ROW
    },
    Row {
        name: "Rhai that edits replies",
        stage: "- transform: mine\n        stream: whole\n        rhai: |\n          fn reply(r) { let t = r.text; t.replace(\"forbidden-word\", \"kind-word\"); r.text = t; }",
        proof: Proof::EditsReply("forbidden-word", "kind-word"),
        reads: Reads::Words,
        ..ROW
    },
    Row {
        name: "Rhai that edits events",
        stage: "- transform: mine\n        rhai: |\n          fn reply(r) { r.text = r.text + \" by mine\"; }\n          fn event(e) { if e.text.contains(\"eed\") { e.text = e.text + \" by mine\"; } }",
        proof: Proof::EditsReply("nothing of the kind", " by mine"),
        reads: Reads::Words,
        ..ROW
    },
    Row {
        name: "headers",
        builtin: Some("transform: headers"),
        stage: "- transform: headers\n        with: { request: { set: { x-mine: \"yes\" } } }",
        proof: Proof::SetsHeader("x-mine", "yes"),
        ..ROW
    },
    Row {
        name: "json",
        builtin: Some("transform: json"),
        stage: "- transform: json\n        with: { set: { /user: marked-user } }",
        proof: Proof::EditsRequest(None, "marked-user"),
        ..ROW
    },
    Row { name: "log", builtin: Some("observe: log"), stage: "- observe: log", proof: Proof::Logs, ..ROW },
    Row {
        name: "metrics",
        builtin: Some("observe: metrics"),
        stage: "- observe: metrics",
        proof: Proof::Measures,
        ..ROW
    },
    Row {
        name: "exact cache",
        builtin: Some("cache: exact"),
        stage: "- cache: exact\n        with: { per: everyone }",
        stands: Stands::AsCache,
        proof: Proof::Answers,
        ..ROW
    },
    Row {
        name: "semantic cache",
        builtin: Some("cache: semantic"),
        stage: "- cache: semantic\n        with: { per: everyone }",
        stands: Stands::AsCache,
        proof: Proof::Answers,
        ..ROW
    },
    Row {
        name: "CEL for each attempt",
        stage: "- guard: mine\n        cel: attempt.provider.name != \"a\"",
        stands: Stands::InAttempt,
        proof: Proof::RulesOut("a"),
        ..ROW
    },
    Row {
        name: "Rhai for each attempt",
        stage: "- guard: mine\n        rhai: |\n          fn attempt(a) { if a.provider == \"a\" { a.rule_out(\"not there\"); } }",
        stands: Stands::InAttempt,
        proof: Proof::RulesOut("a"),
        ..ROW
    },
    Row {
        name: "Rhai that edits each attempt",
        stage: "- transform: mine\n        rhai: |\n          fn attempt(a) { a.set_header(\"x-mine\", \"yes\"); }",
        stands: Stands::InAttempt,
        proof: Proof::SetsHeader("x-mine", "yes"),
        ..ROW
    },
    Row {
        name: "headers for each attempt",
        stage: "- transform: headers\n        with: { request: { set: { x-mine: \"yes\" } } }",
        stands: Stands::InAttempt,
        proof: Proof::SetsHeader("x-mine", "yes"),
        ..ROW
    },
    Row {
        name: "pii for each attempt",
        stage: "- guard: pii\n        with: { find: [email], then: replace, on: [request] }",
        stands: Stands::InAttempt,
        proof: Proof::EditsRequest(Some("bob@example.com"), "<EMAIL_1>"),
        ..ROW
    },
];

/// Built-ins whose work is to be a path, shown by the paths themselves; `guard: secrets` and `guard: code`, whose hooks are those of
/// `guard: regex`, guards that ask a service, whose hooks are those of `guard: webhook`, and `guard: grounding`, whose hooks are those of
/// `guard: topics`: only what they find differs.
pub(crate) const ELSEWHERE: &[&str] = &[
    "route: requested",
    "route: weighted",
    "route: fallback",
    "route: pass-through",
    "guard: secrets",
    "guard: moderation",
    "guard: presidio",
    "guard: bedrock-guardrail",
    "guard: azure-content-safety",
    "guard: model-armor",
    "guard: lakera",
    "guard: code",
    "guard: grounding",
];

impl Row {
    pub(crate) fn wants_key(&self) -> bool {
        self.builtin == Some("guard: key")
    }

    /// Whether it reads what only requests for models have.
    fn is_of_models(&self) -> bool {
        let guards = ["quota", "budget", "tokens", "tools", "schema", "webhook", "topics", "content"];
        let name =
            self.stage.strip_prefix("- guard: ").map(|rest| rest.split('\n').next().unwrap_or_default());
        name.is_some_and(|name| guards.contains(&name))
    }

    /// Whether it acts on requests alone, so that what it does to a reply from a cache cannot be seen.
    pub(crate) fn edits_requests(&self) -> bool {
        matches!(self.proof, Proof::EditsRequest(..) | Proof::SetsHeader(..))
    }

    pub(crate) fn needs_models(&self) -> bool {
        self.builtin == Some("cache: semantic") || self.name.starts_with("topics")
    }

    /// What its trace says where it is in shadow; none where that depends on more.
    pub(crate) fn would(&self, path: Path) -> Option<&'static str> {
        match self.proof {
            Proof::RefusesRequest(_) | Proof::RulesOut(_) => Some("denied"),
            Proof::EditsRequest(..) | Proof::SetsHeader(..) => Some("edited"),
            Proof::RefusesReply(_) if !path.fails() => Some("denied"),
            Proof::EditsReply(..) if !path.fails() => Some("edited"),
            Proof::Counts(_) if !path.is_hit() => Some("passed"),
            Proof::Holds(_) => Some("passed"),
            _ => None,
        }
    }

    /// Why it does not fit a path.
    pub(crate) fn unfit(&self, path: Path) -> Option<&'static str> {
        if self.builtin == Some("transform: json") && path.client != path.provider {
            return Some("it sets a field of the client's dialect, which the provider's has no place for");
        }
        if path.asks == Asks::Count && matches!(self.builtin, Some("guard: budget" | "guard: quota")) {
            return Some("to count tokens spends none");
        }
        let replies = matches!(self.proof, Proof::EditsReply(..) | Proof::RefusesReply(_));
        if replies && path.is_wordless() {
            return Some("vectors, judgements and sound have no words");
        }
        if path.is_passed() && self.is_of_models() {
            return Some("it reads what requests for a model say and spend, and the set does not load");
        }
        if self.builtin == Some("transform: json") && path.is_passed() {
            return Some("it sets fields of requests for models, and leaves others as they are");
        }
        if self.proof == Proof::Answers && path.is_passed() {
            return Some(
                "what a provider keeps is never answered from a cache, which says that it steps aside",
            );
        }
        if self.proof == Proof::Answers && matches!(path.asks, Asks::Image | Asks::Speech | Asks::Count) {
            return Some("images, sound and counts are made anew, and it says that it steps aside");
        }
        if replies && path.asks == Asks::Tool && self.reads == Reads::Words {
            return Some("it reads the reply's words, and says so");
        }
        if replies && path.asks != Asks::Tool && self.reads == Reads::Calls {
            return Some("it reads calls of tools, and says so");
        }
        if matches!(self.proof, Proof::EditsReply(..))
            && path.fails()
            && self.stage.starts_with("- transform")
        {
            return Some("a transform edits replies; an error is none, and guards are for that");
        }
        match self.stands {
            Stands::Above => None,
            Stands::AsCache if path.is_hit() => Some("it is this path itself"),
            Stands::InAttempt if path.is_hit() => Some("a reply from a cache takes no attempt"),
            Stands::AsCache | Stands::InAttempt if path.place == Place::Frame => {
                Some("the frame is around it in any case")
            }
            Stands::AsCache
                if self.builtin == Some("cache: semantic")
                    && !matches!(path.asks, Asks::Chat | Asks::Response | Asks::OwnResponse) =>
            {
                Some("it takes conversations, and says that it steps aside")
            }
            // Another target is not as sick as the first.
            Stands::InAttempt if self.proof == Proof::RulesOut("a") && path.meets == Meets::Fallback => {
                Some("the first target is ruled out already")
            }
            Stands::AsCache | Stands::InAttempt => None,
        }
    }
}
