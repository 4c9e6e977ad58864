//! The engines that scripts run in: one for each verb, made once, without files, network, clock or `eval`, with sizes bounded.

use crate::script_handle::{Fallible, register};
use memchr::memmem;
use rhai::module_resolvers::DummyModuleResolver;
use rhai::packages::{
    BasicArrayPackage, BasicMapPackage, BasicMathPackage, CorePackage, LogicPackage, MoreStringPackage,
    Package,
};
use rhai::{Array, Dynamic, Engine, EvalAltResult, ImmutableString, OptimizationLevel, Position};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use weir_message::Verb;

/// Tells the time since any fixed moment; it never goes back.
pub(crate) type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Characters of the longest text, and items of the longest array or map.
pub(crate) const LONGEST_TEXT: usize = 1 << 20;
pub(crate) const MOST_ITEMS: usize = 10_000;
const DEEPEST_CALL: usize = 32;
const DEEPEST_EXPR: usize = 64;
/// Bytes of output kept of one call.
const MOST_PRINTED: usize = 16 << 10;
/// Operations between two looks at the clock: a script of a few lines is over before a busy machine can be taken for an endless loop.
const LOOK: u64 = 64;

/// The call that runs on this thread.
struct Running {
    clock: Clock,
    until: Duration,
    /// Operations left. The engine's own count begins anew in a closure that a function calls.
    operations: u64,
    prints: Vec<String>,
    printed: usize,
}

thread_local! {
    static RUNNING: RefCell<Option<Running>> = const { RefCell::new(None) };
}

/// Why the engine stopped a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    Operations,
    Time,
}

/// Runs `call` under limits and gives back what it printed.
pub(crate) fn limited<T>(
    clock: &Clock,
    wall: Duration,
    operations: u64,
    call: impl FnOnce() -> T,
) -> (T, Vec<String>) {
    let until = clock().saturating_add(wall);
    let running = Running { clock: Arc::clone(clock), until, operations, prints: Vec::new(), printed: 0 };
    RUNNING.with(|cell| *cell.borrow_mut() = Some(running));
    let out = call();
    let prints =
        RUNNING.with(|cell| cell.borrow_mut().take()).map_or_else(Vec::new, |running| running.prints);
    (out, prints)
}

fn progress(_: u64) -> Option<Dynamic> {
    RUNNING.with(|cell| {
        let mut cell = cell.borrow_mut();
        let running = cell.as_mut()?;
        let Some(left) = running.operations.checked_sub(1) else {
            return Some(Dynamic::from(Stopped::Operations));
        };
        running.operations = left;
        let late = left.is_multiple_of(LOOK) && (running.clock)() > running.until;
        late.then(|| Dynamic::from(Stopped::Time))
    })
}

fn print(text: &str) {
    RUNNING.with(|cell| {
        if let Some(running) = cell.borrow_mut().as_mut()
            && running.printed + text.len() <= MOST_PRINTED
        {
            running.printed += text.len();
            running.prints.push(text.to_owned());
        }
    });
}

static ENGINES: LazyLock<BTreeMap<Verb, Engine>> =
    LazyLock::new(|| Verb::ALL.iter().map(|verb| (*verb, build(*verb))).collect());

static BARE: LazyLock<Engine> = LazyLock::new(|| build(Verb::Observe));

/// The engine of a verb.
pub(crate) fn engine(verb: Verb) -> &'static Engine {
    ENGINES.get(&verb).unwrap_or(&BARE)
}

/// Names that scripts may not call though packages bring them: they wait, or read files and clocks.
pub(crate) const FORBIDDEN: &[&str] = &["eval", "sleep", "timestamp", "import", "export"];

/// The functions of an engine by name, with the numbers of arguments they take.
pub(crate) fn functions(verb: Verb) -> &'static BTreeMap<String, BTreeSet<usize>> {
    static ALL: LazyLock<BTreeMap<Verb, BTreeMap<String, BTreeSet<usize>>>> = LazyLock::new(|| {
        Verb::ALL
            .iter()
            .map(|verb| {
                let mut names: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
                let all = engine(*verb).collect_fn_metadata(
                    None,
                    |f| Some((f.metadata.name.to_string(), f.metadata.num_params)),
                    true,
                );
                for (name, params) in all {
                    if !FORBIDDEN.contains(&name.as_str()) {
                        names.entry(name).or_default().insert(params);
                    }
                }
                (*verb, names)
            })
            .collect()
    });
    static NONE: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    ALL.get(&verb).unwrap_or(&NONE)
}

fn build(verb: Verb) -> Engine {
    let mut engine = Engine::new_raw();
    CorePackage::new().register_into_engine(&mut engine);
    LogicPackage::new().register_into_engine(&mut engine);
    BasicMathPackage::new().register_into_engine(&mut engine);
    BasicArrayPackage::new().register_into_engine(&mut engine);
    BasicMapPackage::new().register_into_engine(&mut engine);
    MoreStringPackage::new().register_into_engine(&mut engine);
    engine
        .set_module_resolver(DummyModuleResolver::new())
        .set_optimization_level(OptimizationLevel::None)
        .set_strict_variables(true)
        .set_max_call_levels(DEEPEST_CALL)
        .set_max_expr_depths(DEEPEST_EXPR, DEEPEST_EXPR)
        .set_max_string_size(LONGEST_TEXT)
        .set_max_array_size(MOST_ITEMS)
        .set_max_map_size(MOST_ITEMS)
        .set_max_variables(256)
        .set_max_functions(64)
        .set_fail_on_invalid_map_property(true)
        .set_max_modules(0)
        .set_max_strings_interned(64)
        .disable_symbol("eval")
        .disable_symbol("import")
        .disable_symbol("export")
        .on_progress(progress)
        .on_print(print)
        .on_debug(|text, _, _| print(text));
    // Reached only by a name made at run time; the checker refuses it where it is written out.
    engine.register_fn("sleep", |_: i64| -> Fallible<()> { forbidden("sleep") });
    engine.register_fn("sleep", |_: f64| -> Fallible<()> { forbidden("sleep") });
    bounded_replace(&mut engine);
    bounded_split(&mut engine);
    register(&mut engine, verb);
    engine
}

fn forbidden<T>(name: &str) -> Fallible<T> {
    Err(Box::new(EvalAltResult::ErrorRuntime(format!("`{name}` is not for policies").into(), Position::NONE)))
}

/// The places that one `replace` may change: about a millisecond.
const MOST_REPLACED: usize = 20_000;

/// Rhai looks at the size of an array after it is made; those that take a text apart are replaced by ones that stop before.
fn bounded_split(engine: &mut Engine) {
    fn taken<'t>(parts: impl Iterator<Item = &'t str>) -> Fallible<Array> {
        let mut out = Array::new();
        for part in parts {
            if out.len() == MOST_ITEMS {
                let what = "Size of array".to_owned();
                return Err(Box::new(EvalAltResult::ErrorDataTooLarge(what, Position::NONE)));
            }
            out.push(part.into());
        }
        Ok(out)
    }
    engine.register_fn("split", |text: &str| taken(text.split_whitespace()));
    engine.register_fn("split", |text: &str, by: &str| taken(text.split(by)));
    engine.register_fn("split", |text: &str, by: char| taken(text.split(by)));
    engine.register_fn("split_rev", |text: &str, by: &str| taken(text.rsplit(by)));
    engine.register_fn("split_rev", |text: &str, by: char| taken(text.rsplit(by)));
    engine.register_fn("to_chars", |text: &str| -> Fallible<Array> {
        if text.chars().count() > MOST_ITEMS {
            let what = "Size of array".to_owned();
            return Err(Box::new(EvalAltResult::ErrorDataTooLarge(what, Position::NONE)));
        }
        Ok(text.chars().map(Dynamic::from).collect())
    });
}

/// Rhai looks at the size of a text after it is made; `replace` could make any size first, so it is replaced by one that
/// counts before.
fn bounded_replace(engine: &mut Engine) {
    fn replace(text: &mut ImmutableString, from: &str, to: &str) -> Fallible<()> {
        let found = match from.is_empty() {
            true => text.chars().count() + 1,
            false => memmem::find_iter(text.as_bytes(), from).count(),
        };
        if text.len().saturating_add(found.saturating_mul(to.len())) > LONGEST_TEXT {
            let what = "Length of string".to_owned();
            return Err(Box::new(EvalAltResult::ErrorDataTooLarge(what, Position::NONE)));
        }
        if found > MOST_REPLACED {
            let what = format!("Number of places where {from:?} is replaced");
            return Err(Box::new(EvalAltResult::ErrorDataTooLarge(what, Position::NONE)));
        }
        if found > 0 {
            *text = text.replace(from, to).into();
        }
        Ok(())
    }
    engine.register_fn("replace", |text: &mut ImmutableString, from: &str, to: &str| replace(text, from, to));
    engine.register_fn("replace", |text: &mut ImmutableString, from: &str, to: char| {
        replace(text, from, to.encode_utf8(&mut [0; 4]))
    });
    engine.register_fn("replace", |text: &mut ImmutableString, from: char, to: &str| {
        replace(text, from.encode_utf8(&mut [0; 4]), to)
    });
    engine.register_fn("replace", |text: &mut ImmutableString, from: char, to: char| {
        replace(text, from.encode_utf8(&mut [0; 4]), to.encode_utf8(&mut [0; 4]))
    });
}
