//! The closed table of what can be said about a policy set or a case file.

use crate::Severity;

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $id:literal, $severity:ident, $summary:literal;)+) => {
        /// The kind of a finding. Stable: an id, once released, keeps its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $($(#[doc = $doc])+ $variant,)+ }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &[Code] = &[$(Code::$variant,)+];

            /// The id shown to people and used by `weir help CODE`.
            pub fn id(self) -> &'static str {
                match self { $(Code::$variant => $id,)+ }
            }

            /// Whether a set with this finding can be served.
            pub fn severity(self) -> Severity {
                match self { $(Code::$variant => Severity::$severity,)+ }
            }

            /// What it means in one line.
            pub fn summary(self) -> &'static str {
                match self { $(Code::$variant => $summary,)+ }
            }

            /// What it means, why it is so, and what to do.
            pub fn explanation(self) -> &'static str {
                match self { $(Code::$variant => concat!($($doc, "\n",)+),)+ }
            }
        }
    };
}

codes! {
    /// The folder holds no `.yaml` or `.yml` file other than cases. Check the path given to the command.
    EmptySet = "empty-set", Error, "no policy file was found";
    /// A file could not be read, is not UTF-8, or is larger than the limit (4 MiB a file, 64 MiB a set).
    UnreadableFile = "unreadable-file", Error, "a file cannot be read";
    /// The text is not YAML. The message is the parser's; the place is where it gave up, so the slip may stand just above.
    BadYaml = "bad-yaml", Error, "the text is not valid YAML";
    /// The document is nested too deeply, has too many nodes, or expands aliases without end. Limits keep a set loadable in bounded memory.
    TooLarge = "too-large", Error, "the document passes a limit on size, depth, aliases or stages";
    /// The same key stands twice in one mapping; only one of them could count.
    DuplicateKey = "duplicate-key", Error, "a key stands twice in one mapping";
    /// `weir: v1` is missing, or names an edition that this version does not know.
    BadEdition = "bad-edition", Error, "the edition is missing or unknown";
    /// Top-level sections are a closed list. A name of your own goes inside one of them.
    UnknownSection = "unknown-section", Error, "a top-level section does not exist";
    /// The section or setting is part of the language, but this version of Weir does not serve it. It is refused rather than ignored.
    NotServed = "not-served", Error, "this version does not serve that part of the language";
    /// The field does not exist here. Unknown fields are errors, so that a slip of the pen never turns a guard off.
    UnknownField = "unknown-field", Error, "a field does not exist here";
    /// A field that has no default is not set.
    MissingField = "missing-field", Error, "a required field is missing";
    /// The value is of another type than the field takes.
    WrongType = "wrong-type", Error, "a value has the wrong type";
    /// The value has the right type but is none that the field takes: out of range, misspelt, or without its unit.
    BadValue = "bad-value", Error, "a value is not one that the field takes";
    /// Two things of one kind have the same name. Rename one; nothing is ever overridden silently.
    DuplicateName = "duplicate-name", Error, "a name is defined twice";
    /// A stage, pipeline, model, provider or param is referred to by a name that nothing defines.
    UnknownName = "unknown-name", Error, "a name is not defined";
    /// A stage names a built-in that does not exist, or not for this verb.
    UnknownStage = "unknown-stage", Error, "no such built-in stage";
    /// A stage has no verb, more than one, or none or several bodies.
    BadStage = "bad-stage", Error, "a stage needs one verb and one body";
    /// Definitions (`use`, models, routes) lead back to themselves.
    Cycle = "cycle", Error, "definitions refer to each other in a circle";
    /// Two files hold pipelines or frames and no `order` says which comes first. Nothing depends on file names.
    UnclearOrder = "unclear-order", Error, "the order of pipelines in several files is not stated";
    /// The section may stand only in the set's root folder.
    RootOnly = "root-only", Error, "the section may stand only at the root of the set";
    /// A parameter of a used policy is missing, unknown, or of the wrong type.
    BadParam = "bad-param", Error, "a parameter does not fit";
    /// The CEL expression does not parse.
    BadCel = "bad-cel", Error, "a CEL expression does not parse";
    /// The Rhai script does not compile.
    BadRhai = "bad-rhai", Error, "a Rhai script does not compile";
    /// An expression or a script reads a variable, field or function that the view does not have.
    UnknownReference = "unknown-reference", Error, "the view has no such name or function";
    /// A root of the view is read in a hook that runs before it exists, such as `reply` in a request hook.
    TooEarly = "too-early", Error, "a root of the view is read before it exists";
    /// The types of an expression cannot fit: the comparison or call could only ever be a fault.
    TypeMismatch = "type-mismatch", Error, "the types of an expression cannot fit";
    /// The expression could run too long: too many nodes or nested loops. Cost is bounded so that no policy holds a thread.
    TooCostly = "too-costly", Error, "an expression may cost too much";
    /// A regular expression does not compile or is too large.
    BadRegex = "bad-regex", Error, "a regular expression does not compile";
    /// A pipeline that callers without credentials can reach forwards to a provider. Add `identify` to the listener and a guard on `caller`, or say `anonymous: true` on the pipeline.
    OpenRelay = "open-relay", Error, "anyone can reach a provider through this pipeline";
    /// A guard cannot read an operation that can pass it, so that operation would slip by. Narrow the pipeline's `when`, or say `unread: pass` on the guard.
    BlindGuard = "blind-guard", Error, "a guard cannot read an operation that passes it";
    /// A cache stands above a guard that edits, so it would store what the guard takes out. Move the cache below the guard.
    CacheBeforePii = "cache-before-pii", Error, "a cache stores text before the guard below cleans it";
    /// A guard of requests stands below a cache and would be skipped on a hit. Move it above the cache, or say `on_hit: skip` on it.
    GuardBelowCache = "guard-below-cache", Error, "a guard below a cache is skipped on a hit";
    /// A stage edits the whole reply but does not say how it treats streams. Add an `event` hook, or `stream: whole` to hold streams back.
    StreamNeedsWhole = "stream-needs-whole", Error, "a whole-reply stage does not say what it does with streams";
    /// A stage stands where its verb may not: after the route, in `attempt:` without fitting there, or a second route.
    Misplaced = "misplaced", Error, "a stage stands where it cannot work";
    /// A secret reference stands in a field that is not typed as a secret, where it could leak into logs.
    MisplacedSecret = "misplaced-secret", Error, "a secret stands outside a secret field";
    /// The environment variable or file that a secret refers to is missing or empty. `serve` needs it; `check` and `test` do not.
    MissingSecret = "missing-secret", Error, "a secret is missing";
    /// A stage needs a model that is not on this machine. `make setup` fetches it.
    MissingModel = "missing-model", Error, "a model file is missing";
    /// A listener cannot be opened or its certificate read.
    BadListener = "bad-listener", Error, "a listener cannot work";
    /// Listeners and state change by a graceful upgrade of the process, not by reload.
    NeedsUpgrade = "needs-upgrade", Error, "the change needs a graceful upgrade";
    /// The condition is constant, or an earlier one always matches, so this can never take effect.
    NeverHappens = "never-happens", Warning, "this can never take effect";
    /// A client may leave any header out. Reading one that is not there is a fault and not null: a guard that cannot decide refuses with 503 `stage-unavailable`, and not with its own denial. Ask first: `"x-team" in request.headers && request.headers["x-team"] == "blue"`. It may be asked in the same expression, in a `when` above it, or by a guard before it.
    MayBeAbsent = "may-be-absent", Warning, "a header is read that a client may leave out";
    /// A pipeline takes chats behind guards, and another, which takes whatever is left over, gets the same conversations asked in another way (as responses, to be counted) without these guards. Name all of them in the first one's `when`, or the operations that the other one is for in its own.
    BesideGuards = "beside-guards", Warning, "conversations pass beside the guards of chats";
    /// A stage in shadow mode decides nothing, and no `observe` stage sees what it would have done.
    UnseenShadow = "unseen-shadow", Warning, "a shadowed stage is observed by nobody";
    /// A definition is used by nothing.
    Unused = "unused", Warning, "a definition is never used";
    /// A case file holds no cases, or a case expects nothing: it cannot fail.
    VacuousCase = "vacuous-case", Error, "a case cannot fail";
    /// A case file cannot be read as one.
    BadCase = "bad-case", Error, "a case is malformed";
}

impl Code {
    /// The code with this id.
    pub fn from_id(id: &str) -> Option<Code> {
        Self::ALL.iter().copied().find(|code| code.id() == id)
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.id())
    }
}
