//! A Rhai script of a policy: compiled once, its hooks called with a fresh scope per request.

use crate::changes::{self, Changes};
use crate::reads::Reads;
use crate::script_check::{ScriptCheck, span_at};
use crate::script_engine::{Stopped, engine, limited};
use crate::script_handle::{Answer, Common, Decided, Handle, Held, Piece, Try, request_map};
use crate::script_surface::{HANDLES, Handle as Surface};
use crate::types::ParamTypes;
use crate::view::EventView;
use http::HeaderMap;
use rhai::{AST, CallFnOptions, Dynamic, EvalAltResult, Map, ParseErrorType, Position, Scope};
use std::sync::Arc;
use std::time::Duration;
use weir_diagnostic::{Code, Diagnostic, Embedded, Span, nearest};
use weir_message::{Attempt, Caller, Dialect, Operation, Reply, Request, Trace, Verb};

/// The hooks that a script defines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hooks {
    /// `fn request(r)`
    pub request: bool,
    /// `fn reply(r)`
    pub reply: bool,
    /// `fn event(e)`
    pub event: bool,
    /// `fn attempt(a)`
    pub attempt: bool,
    /// `fn end(t)`
    pub end: bool,
}

/// What one call may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScriptLimits {
    /// Operations of the script; a call of a built-in function is one.
    pub operations: u64,
    /// Time by the clock that is handed in: where it serves, that of the processor, so that a busy machine fails nobody.
    pub wall: Duration,
}

impl Default for ScriptLimits {
    /// 100,000 operations and 2 ms.
    fn default() -> Self {
        Self { operations: 100_000, wall: Duration::from_millis(2) }
    }
}

/// What a call gets besides the thing that passes through.
#[derive(Clone)]
pub struct ScriptRun {
    /// The policy's parameters: a JSON object.
    pub params: Arc<serde_json::Value>,
    /// Who calls, for hooks that see no request.
    pub caller: Option<Arc<Caller>>,
    /// What the call may use.
    pub limits: ScriptLimits,
    /// Tells the time spent since any fixed moment, and never goes back.
    pub clock: Arc<dyn Fn() -> Duration + Send + Sync>,
}

/// What a script decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ScriptVerdict {
    /// Go on.
    #[default]
    Continue,
    /// Deny the request.
    Deny {
        /// The HTTP status, if the script names one.
        status: Option<u16>,
        /// What the client is told.
        message: String,
    },
    /// Rule the target of the attempt out.
    RuleOut {
        /// Why.
        why: String,
    },
}

/// What came of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScriptOutcome {
    /// What it decided.
    pub verdict: ScriptVerdict,
    /// Whether it edited what passes through.
    pub edited: bool,
    /// The new text of an event, if it set one.
    pub text: Option<String>,
    /// What it changed: names and counts, never a value of the request's.
    pub changes: Changes,
    /// What it printed, a line each, cut after 16 KiB.
    pub prints: Vec<String>,
}

/// A script that failed. What it edited before is undone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ScriptFault {
    /// Whether it was stopped for what it used: operations, time, sizes or depth.
    pub costly: bool,
    /// What went wrong.
    pub message: String,
    /// Where in the policy set; the whole script where the engine does not know.
    pub span: Span,
    /// Line and column in the script, from 1.
    pub line_column: Option<(usize, usize)>,
    /// What it printed before.
    pub prints: Vec<String>,
}

/// A compiled script. Shared by all threads; no lock is held while it runs.
#[derive(Debug)]
pub struct Script {
    text: Embedded,
    verb: Verb,
    ast: AST,
    hooks: Hooks,
    reads: Reads,
    reads_request: bool,
}

impl Script {
    /// Compiles a script for a stage of this verb, which reads these parameters.
    ///
    /// # Errors
    /// What does not compile (`bad-rhai`), variables, functions and members of handles that do not exist
    /// (`unknown-reference`), members used wrongly (`type-mismatch`), and a script without any hook (`bad-rhai`).
    pub fn compile(text: &Embedded, verb: Verb, params: &ParamTypes) -> Result<Script, Vec<Diagnostic>> {
        let mut ast = engine(verb).compile(&*text.text).map_err(|error| vec![refused(text, &error)])?;
        let defines = |hook: &str| ast.iter_functions().any(|f| f.name == hook && f.params.len() == 1);
        let hooks = Hooks {
            request: defines("request"),
            reply: defines("reply"),
            event: defines("event"),
            attempt: defines("attempt"),
            end: defines("end"),
        };
        if hooks == Hooks::default() {
            let wrong =
                ast.iter_functions().find(|f| Surface::of(f.name).is_some()).map(|f| f.name.to_owned());
            let mut none = Diagnostic::new(Code::BadRhai, "the script defines no hook").at(text.span);
            none.help = Some(match wrong {
                Some(name) => format!("a hook takes one argument: `fn {name}(r) {{ … }}`"),
                None => {
                    let names =
                        HANDLES.iter().map(|handle| format!("`fn {}({})`", handle.hook, handle.letter));
                    format!("hooks are {}", names.collect::<Vec<_>>().join(", "))
                }
            });
            return Err(vec![none]);
        }
        let mut check = ScriptCheck::new(text, verb, params, &ast);
        for handle in HANDLES {
            if defines(handle.hook) {
                check.hook(handle);
            }
        }
        let (found, names) = check.done();
        if !found.is_empty() {
            return Err(found);
        }
        // Statements outside functions would run at no stated time; only the functions are kept.
        ast.clear_statements();
        let has = |name: &str| names.contains(name);
        let mut reads = Reads::NONE;
        // Edits need to know where texts stand, so a request hook reads the body.
        for (yes, read) in [
            (hooks.request, Reads::BODY | Reads::HEADERS),
            (hooks.reply, Reads::REPLY | Reads::REPLY_BODY),
            (hooks.event, Reads::EVENT),
            (hooks.attempt || hooks.end, Reads::ATTEMPTS),
            (hooks.end, Reads::TRACE),
            (has("caller"), Reads::CALLER),
            (has("usage") || has("cost"), Reads::USAGE),
            (has("request"), Reads::BODY),
            (has("messages") || has("system"), Reads::TURNS),
            (has("text") || has("all_text"), Reads::TEXTS),
        ] {
            if yes {
                reads |= read;
            }
        }
        Ok(Script { text: text.clone(), verb, ast, hooks, reads, reads_request: has("request") })
    }

    /// The hooks that it defines.
    pub fn hooks(&self) -> Hooks {
        self.hooks
    }

    /// What it reads.
    pub fn reads(&self) -> Reads {
        self.reads
    }

    /// Its text as it was written.
    pub fn source(&self) -> &str {
        &self.text.text
    }

    /// Calls `request`. The caller is the request's own.
    ///
    /// # Errors
    /// A fault; the request is then as it was.
    pub fn request(&self, request: &mut Request, run: &ScriptRun) -> Result<ScriptOutcome, ScriptFault> {
        let caller = request.caller.clone();
        let placeholder = Request::new("", Dialect::OpenAi, Operation::Http, "");
        let moved = std::mem::replace(request, placeholder);
        self.call("request", moved, caller, run, changes::of_request, |thing| *request = thing)
            .map(|(outcome, ())| outcome)
    }

    /// Calls `reply`, which may read `request` too.
    ///
    /// # Errors
    /// A fault; the reply is then as it was.
    pub fn reply(
        &self,
        reply: &mut Reply,
        request: &Request,
        run: &ScriptRun,
    ) -> Result<ScriptOutcome, ScriptFault> {
        let caller = request.caller.clone();
        let shown = if self.reads_request { request_map(request) } else { Map::new() };
        let moved = Answer { reply: std::mem::replace(reply, Reply::new(0, "")), request: shown };
        self.call("reply", moved, caller, run, changes::of_reply, |thing| *reply = thing.reply)
            .map(|(outcome, ())| outcome)
    }

    /// Calls `event` with one piece of a stream; [`ScriptOutcome::text`] is what stands there from now on.
    ///
    /// # Errors
    /// A fault.
    pub fn event(&self, event: EventView<'_>, run: &ScriptRun) -> Result<ScriptOutcome, ScriptFault> {
        let piece = Piece {
            kind: event.kind.name(),
            text: event.text.to_owned(),
            block: event.block.map(|block| block.kind.name()),
            choice: event.block.map_or(0, |block| i64::from(block.choice)),
        };
        let (mut outcome, text) =
            self.call("event", piece, run.caller.clone(), run, |_, _| Changes::new(), |piece| piece.text)?;
        outcome.text = outcome.edited.then_some(text);
        Ok(outcome)
    }

    /// Calls `attempt` with the headers that will be sent.
    ///
    /// # Errors
    /// A fault; the headers are then as they were.
    pub fn attempt(
        &self,
        attempt: &Attempt,
        headers: &mut HeaderMap,
        run: &ScriptRun,
    ) -> Result<ScriptOutcome, ScriptFault> {
        let moved = Try { attempt: attempt.clone(), headers: std::mem::take(headers) };
        let caller = run.caller.clone();
        self.call("attempt", moved, caller, run, changes::of_attempt, |thing| *headers = thing.headers)
            .map(|(outcome, ())| outcome)
    }

    /// Calls `end` with the record of a request.
    ///
    /// # Errors
    /// A fault.
    pub fn end(&self, trace: &Trace, run: &ScriptRun) -> Result<ScriptOutcome, ScriptFault> {
        self.call("end", trace.clone(), run.caller.clone(), run, |_, _| Changes::new(), |_| ())
            .map(|(outcome, ())| outcome)
    }

    /// Moves a thing into a handle, calls the hook, and gives the thing back: edited, or as it was after a fault.
    fn call<T: Clone + Send + 'static, R>(
        &self,
        hook: &str,
        thing: T,
        caller: Option<Arc<Caller>>,
        run: &ScriptRun,
        compare: impl FnOnce(&T, &T) -> Changes,
        give_back: impl FnOnce(T) -> R,
    ) -> Result<(ScriptOutcome, R), ScriptFault> {
        let common = Common { params: Arc::clone(&run.params), caller, ..Common::default() };
        let handle = Handle::new(thing, common);
        let argument = Dynamic::from(handle.clone());
        let (result, prints) = limited(&run.clock, run.limits.wall, run.limits.operations, || {
            let options = CallFnOptions::new().eval_ast(false);
            engine(self.verb).call_fn_with_options::<Dynamic>(
                options,
                &mut Scope::new(),
                &self.ast,
                hook,
                (argument,),
            )
        });
        let Held { thing, before, mut common } = handle.into_held();
        let decided = std::mem::take(&mut common.decided);
        match (result, decided) {
            (Err(error), Decided::GoOn) => {
                give_back(before.map_or(thing, |before| *before));
                Err(self.fault(&error, run.limits.wall, prints))
            }
            (_, decided) => {
                let verdict = match decided {
                    Decided::GoOn => ScriptVerdict::Continue,
                    Decided::Deny(status, message) => ScriptVerdict::Deny { status, message },
                    Decided::RuleOut(why) => ScriptVerdict::RuleOut { why },
                };
                let edited = common.edited;
                let changes = before.map(|before| compare(&before, &thing)).unwrap_or_default();
                Ok((ScriptOutcome { verdict, edited, text: None, changes, prints }, give_back(thing)))
            }
        }
    }

    fn fault(&self, error: &EvalAltResult, wall: Duration, prints: Vec<String>) -> ScriptFault {
        // A fault inside a function of the script is wrapped once for each call.
        let mut inner = error;
        while let EvalAltResult::ErrorInFunctionCall(_, _, next, _) = inner {
            inner = next;
        }
        let position = inner.position();
        let (costly, message) = match inner {
            EvalAltResult::ErrorTerminated(token, _) => match token.clone().try_cast::<Stopped>() {
                Some(Stopped::Time) => (true, format!("the script ran longer than {} ms", wall.as_millis())),
                _ => (true, "the script made too many operations".to_owned()),
            },
            EvalAltResult::ErrorTooManyOperations(_) => {
                (true, "the script made too many operations".to_owned())
            }
            EvalAltResult::ErrorStackOverflow(_) => {
                (true, "the script's functions call each other too deeply".to_owned())
            }
            EvalAltResult::ErrorDataTooLarge(what, _) => (true, format!("{what} is over the limit")),
            EvalAltResult::ErrorTooManyVariables(_) => (true, "the script has too many variables".to_owned()),
            other => (false, plain(other)),
        };
        let line_column = position.line().map(|line| (line, position.position().unwrap_or(1)));
        ScriptFault { costly, message, span: span_at(&self.text, position, 1), line_column, prints }
    }
}

/// The message of a fault without the place that Rhai puts behind it: spans tell it.
fn plain(error: &EvalAltResult) -> String {
    without_place(&error.to_string()).to_owned()
}

fn without_place(message: &str) -> &str {
    message.rsplit_once(" (line ").filter(|(_, tail)| tail.ends_with(')')).map_or(message, |(head, _)| head)
}

/// The finding for a script that does not compile.
fn refused(text: &Embedded, error: &rhai::ParseError) -> Diagnostic {
    let position: Position = error.1;
    let at = |len: usize| span_at(text, position, len);
    match &*error.0 {
        ParseErrorType::VariableUndefined(name) => {
            let mut found = Diagnostic::new(Code::UnknownReference, format!("`{name}` is not defined"))
                .at(at(name.chars().count()));
            let letters = HANDLES.iter().map(|handle| handle.letter);
            found.help = nearest(name, letters).map(|near| format!("did you mean `{near}`?"));
            found
        }
        other => {
            let message = other.to_string();
            let mut found = Diagnostic::new(Code::BadRhai, without_place(&message)).at(at(1));
            if message.contains("eval") || message.contains("import") || message.contains("export") {
                found.help = Some("scripts have no `eval`, `import` or `export`".to_owned());
            }
            found
        }
    }
}
