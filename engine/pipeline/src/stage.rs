//! What a stage is: what it declares at load, and its hooks.

use crate::{Exchange, Route, StreamStage};
use futures::future::BoxFuture;
use std::any::Any;
use std::ops::BitOr;
use std::sync::Arc;
use std::time::Duration;
use weir_message::{Denial, Operation, Reply, Request};
use weir_script::StageLimits;
use weir_state::Space;

/// How a hook ends. One vocabulary for every stage.
#[derive(Debug)]
pub enum Verdict {
    /// The request (or reply) goes on.
    Continue,
    /// This is the reply; nothing below is asked.
    Answer(Box<Reply>),
    /// The stage decides against it.
    Deny(Box<Denial>),
    /// The stage could not decide; the reason is for the operator and quotes no prompt.
    Fault(String),
}

/// A hook's verdict, at once or after I/O or inference.
pub enum Hook<'a> {
    /// Decided.
    Done(Verdict),
    /// To be awaited.
    Wait(BoxFuture<'a, Verdict>),
}

/// The hook let it go on.
pub const CONTINUE: Hook<'static> = Hook::Done(Verdict::Continue);

/// What a plan must provide because its stages read it. A plan adds these up at load and pays for nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs(u16);

impl Needs {
    /// The envelope alone.
    pub const NONE: Needs = Needs(0);
    /// The typed body of the request.
    pub const BODY: Needs = Needs(1);
    /// The request as it came, beside the request as it is now.
    pub const ORIGINAL: Needs = Needs(1 << 1);
    /// The typed body of a whole reply.
    pub const REPLY: Needs = Needs(1 << 2);
    /// Tokens spent.
    pub const USAGE: Needs = Needs(1 << 3);
    /// The events of a stream with their texts.
    pub const EVENTS: Needs = Needs(1 << 4);
    /// What callers spent today.
    pub const SPENT: Needs = Needs(1 << 5);

    /// Whether all of `other` is among these.
    pub fn has(self, other: Needs) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Needs {
    type Output = Needs;

    fn bitor(self, other: Needs) -> Needs {
        Needs(self.0 | other.0)
    }
}

/// How a stage takes a streamed reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Streaming {
    /// It does not look at replies.
    #[default]
    None,
    /// Event by event, through [`Stage::stream`].
    Events,
    /// Only whole: the stream is held until its end, then [`Stage::reply`] runs.
    Whole,
}

/// What a stage declares about itself at load.
#[derive(Clone, Debug)]
pub struct Declares {
    /// What it reads.
    pub needs: Needs,
    /// How it takes streams.
    pub streaming: Streaming,
    /// Whether its request hook may edit the request's texts.
    pub edits_request: bool,
    /// Whether it judges requests (a guard without a request hook does not).
    pub judges_request: bool,
    /// Whether its request hook only looks: all that it does stands in its verdict, its slot and its notes. Such a guard may
    /// judge a copy of the request, beside others.
    pub only_judges: bool,
    /// Whether its `reply` hook runs.
    pub reads_reply: bool,
    /// The operations whose bodies it can read; `None`: it needs no body and works on all.
    pub reads_operations: Option<&'static [Operation]>,
    /// Whether it refuses every request of a caller who is not known.
    pub requires_caller: bool,
    /// How long its request hook may wait for others, on top of what a hook may take where its stage sets no `timeout`.
    pub patience: Duration,
    /// Whether it keeps counts that [`Stage::limits`] tells.
    pub limits: bool,
    /// Of a route: which requests it takes that name no model.
    pub passes: Passes,
}

/// Which requests a route takes: those that name a model, or those that go to an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Passes {
    /// Those that name a model.
    #[default]
    Models,
    /// Files and batches.
    Kept,
    /// Files, batches, and other paths.
    Paths,
}

impl Passes {
    /// Whether it may take requests of an operation.
    pub fn takes(self, operation: Operation) -> bool {
        match operation {
            Operation::File | Operation::Batch => self != Passes::Models,
            Operation::Http => self == Passes::Paths,
            _ => self == Passes::Models,
        }
    }
}

impl Default for Declares {
    fn default() -> Self {
        Self {
            needs: Needs::NONE,
            streaming: Streaming::None,
            edits_request: false,
            judges_request: true,
            only_judges: false,
            reads_reply: false,
            reads_operations: None,
            requires_caller: false,
            patience: Duration::ZERO,
            limits: false,
            passes: Passes::Models,
        }
    }
}

/// Operations whose texts have a typed form.
pub const TEXT_OPERATIONS: &[Operation] = &[
    Operation::Chat,
    Operation::Count,
    Operation::Completion,
    Operation::Response,
    Operation::Embedding,
    Operation::Rerank,
    Operation::Moderation,
    Operation::Image,
    Operation::Speech,
    Operation::Transcription,
];

/// Operations whose texts can be read: those, and what providers keep and other paths, whose strings are all read alike.
pub const READABLE_OPERATIONS: &[Operation] = &[
    Operation::Chat,
    Operation::Count,
    Operation::Completion,
    Operation::Response,
    Operation::Embedding,
    Operation::Rerank,
    Operation::Moderation,
    Operation::Image,
    Operation::Speech,
    Operation::Transcription,
    Operation::File,
    Operation::Batch,
    Operation::Http,
];

/// Operations with the turns of a conversation; the others have prompts, inputs or documents.
pub const CONVERSATIONS: &[Operation] = &[Operation::Chat, Operation::Count, Operation::Response];

/// What a stage keeps for one request, from its request hook to its end.
pub type Slot = Option<Box<dyn Any + Send + Sync>>;

/// What a stage tells the trace.
#[derive(Debug, Default)]
pub struct Notes {
    /// Why it decided so, without quoting the prompt.
    pub reason: Option<String>,
    /// Facts: names and values.
    pub facts: Vec<(&'static str, serde_json::Value)>,
    /// Tags that the request gets: expressions below read them as `tags`.
    pub tags: Vec<Arc<str>>,
}

impl Notes {
    /// Whether it tells nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.reason.is_none() && self.facts.is_empty() && self.tags.is_empty()
    }

    /// Adds a fact.
    pub fn fact(&mut self, name: &'static str, value: impl Into<serde_json::Value>) {
        self.facts.push((name, value.into()));
    }

    /// Tags the request, and says so in the trace. In shadow only the trace has it.
    pub fn tag(&mut self, tag: &Arc<str>) {
        self.fact("tag", &**tag);
        self.tags.push(Arc::clone(tag));
    }
}

/// One visit of a stage to a request.
pub struct Visit<'a> {
    /// The request and all that belongs to it.
    pub exchange: &'a mut Exchange,
    /// What the stage keeps for this request.
    pub slot: &'a mut Slot,
    /// What it tells the trace.
    pub notes: &'a mut Notes,
}

/// One step of a pipeline, compiled: immutable and shared by all requests. What it keeps for one request lives in its
/// [`Slot`]; what it keeps across requests lives in the process's state.
///
/// Hooks are plain functions that return [`Hook::Done`]; only I/O and inference return a future. A stage that lets a request
/// go on unedited allocates nothing.
pub trait Stage: Send + Sync {
    /// What it reads and does; asked once, at load.
    fn declares(&self) -> Declares;

    /// On the way down.
    fn request<'a>(&'a self, _visit: Visit<'a>) -> Hook<'a> {
        CONTINUE
    }

    /// On the way up, for a whole reply, which stands in [`Exchange::reply`].
    fn reply<'a>(&'a self, _visit: Visit<'a>) -> Hook<'a> {
        CONTINUE
    }

    /// On the way up, when a stream begins: what handles its events. Asked only of stages that declare
    /// [`Streaming::Events`]; `None` if this request needs no handling.
    fn stream(&self, _visit: Visit<'_>) -> Option<Box<dyn StreamStage>> {
        None
    }

    /// Once, however the request ended, if the request hook ran: settle, free, book.
    fn end(&self, _visit: Visit<'_>) {}

    /// Once, after all ends, for every `observe` stage of the pipeline, reached or not: the record of the request.
    fn record(&self, _visit: Visit<'_>) {}

    /// What it has left for this request, counted in `space`; of a stage that declares that it limits.
    ///
    /// # Errors
    /// Why it cannot be told.
    fn limits(&self, _exchange: &Exchange, _space: Space) -> Result<StageLimits, String> {
        Err("it limits nothing".to_owned())
    }

    /// Of a route that takes requests which name no model: whether it takes this one.
    fn passes(&self, _request: &Request) -> bool {
        false
    }

    /// The chooser of targets, if this is a route.
    fn route(&self) -> Option<&dyn Route> {
        None
    }
}
