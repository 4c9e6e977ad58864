//! The functions of expressions: one table that the checker, the evaluator and the reference share.

use crate::fault::{FaultCause, Trouble};
use crate::object::{Context, LIMITS, Object, STAGE, STAGE_LIMITS, TRACE};
use crate::reads::Reads;
use crate::types::Type;
use crate::value::{List, Value};
use crate::{function_text as text, function_time as time};

/// How a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `f(a, b)`
    Global,
    /// `a.f(b)`
    Method,
    /// Either.
    Both,
}

/// One way to call a function.
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) form: Form,
    /// What it takes, a method's target first.
    pub(crate) takes: &'static [Type],
    pub(crate) gives: Type,
    pub(crate) doc: &'static str,
    pub(crate) run: Run,
    pub(crate) reads: Reads,
    /// Checks an argument (by its number, a method's target being 0) that is written out.
    pub(crate) literal: Option<(usize, Check)>,
}

/// Whether a text is one that a function takes; if not, what to tell.
pub(crate) type Check = fn(&str) -> Result<(), String>;
pub(crate) type Answer<'a> = Result<Value<'a>, Trouble>;
pub(crate) type Run = for<'a> fn(&Context<'a>, &[Value<'a>]) -> Answer<'a>;

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Function({})", self.name)
    }
}

const fn function(
    name: &'static str,
    form: Form,
    takes: &'static [Type],
    gives: Type,
    run: Run,
    doc: &'static str,
) -> Function {
    Function { name, form, takes, gives, doc, run, reads: Reads::NONE, literal: None }
}

const fn checked(mut f: Function, argument: usize, check: Check) -> Function {
    f.literal = Some((argument, check));
    f
}

const fn reading(mut f: Function, reads: Reads) -> Function {
    f.reads = reads;
    f
}

use Form::{Both, Global, Method};
use Type::{Any, Bool, Bytes, Double, Duration, Int, Object as Of, String as Str, Timestamp, Uint};

const LIST: Type = Type::List(&Any);
const STRINGS: Type = Type::List(&Str);
const MAP: Type = Type::Map(&Any);

/// Every function. `matches` stands here for the reference; its pattern is compiled at load.
pub(crate) static FUNCTIONS: &[Function] = &[
    function("size", Both, &[Str], Int, size, "The characters of a text."),
    function("size", Both, &[Bytes], Int, size, "The bytes of a byte string."),
    function("size", Both, &[LIST], Int, size, "The items of a list."),
    function("size", Both, &[MAP], Int, size, "The entries of a map."),
    function("contains", Method, &[Str, Str], Bool, text::contains, "Whether the text stands inside."),
    function("startsWith", Method, &[Str, Str], Bool, text::starts_with, "Whether it begins so."),
    function("endsWith", Method, &[Str, Str], Bool, text::ends_with, "Whether it ends so."),
    function(
        "matches",
        Both,
        &[Str, Str],
        Bool,
        text::matches,
        "Whether the regular expression matches anywhere; the pattern is written out and compiled at load.",
    ),
    function("lowerAscii", Method, &[Str], Str, text::lower_ascii, "A to Z in lower case."),
    function("upperAscii", Method, &[Str], Str, text::upper_ascii, "a to z in upper case."),
    function("trim", Method, &[Str], Str, text::trim, "Without white space at both ends."),
    function("replace", Method, &[Str, Str, Str], Str, text::replace, "Every occurrence replaced."),
    function(
        "replace",
        Method,
        &[Str, Str, Str, Int],
        Str,
        text::replace,
        "The first occurrences replaced, at most that many.",
    ),
    function("split", Method, &[Str, Str], STRINGS, text::split, "The pieces between the separators."),
    function("split", Method, &[Str, Str, Int], STRINGS, text::split, "At most that many pieces."),
    function("join", Method, &[STRINGS], Str, text::join, "The texts of a list, joined."),
    function(
        "join",
        Method,
        &[STRINGS, Str],
        Str,
        text::join,
        "The texts of a list, joined with a separator.",
    ),
    function(
        "substring",
        Method,
        &[Str, Int],
        Str,
        text::substring,
        "From that character on, counted from 0.",
    ),
    function(
        "substring",
        Method,
        &[Str, Int, Int],
        Str,
        text::substring,
        "From one character up to but without another.",
    ),
    function(
        "indexOf",
        Method,
        &[Str, Str],
        Int,
        text::index_of,
        "The first place of a text, in characters; -1 if there is none.",
    ),
    function(
        "lastIndexOf",
        Method,
        &[Str, Str],
        Int,
        text::last_index_of,
        "The last place of a text, in characters; -1 if there is none.",
    ),
    function("string", Global, &[Any], Str, text::string, "A scalar as text."),
    function("bytes", Global, &[Str], Bytes, text::bytes, "The UTF-8 bytes of a text."),
    function(
        "int",
        Global,
        &[Any],
        Int,
        int,
        "A number, a text of digits or a timestamp (seconds since 1970) as a whole number.",
    ),
    function(
        "uint",
        Global,
        &[Any],
        Uint,
        uint,
        "A number or a text of digits as a whole number without sign.",
    ),
    function("double", Global, &[Any], Double, double, "A number or a text as a float."),
    function("bool", Global, &[Any], Bool, boolean, "`\"true\"` or `\"false\"` as a bool."),
    function(
        "dyn",
        Global,
        &[Any],
        Any,
        same,
        "The same value, of a type that is looked at only at run time.",
    ),
    checked(
        function(
            "timestamp",
            Global,
            &[Str],
            Timestamp,
            time::timestamp,
            "A moment from RFC 3339: `timestamp(\"2026-01-31T08:00:00Z\")`.",
        ),
        0,
        time::check_timestamp,
    ),
    checked(
        function(
            "duration",
            Global,
            &[Str],
            Duration,
            time::duration,
            "A length of time: `duration(\"1h30m\")`.",
        ),
        0,
        time::check_duration,
    ),
    checked(
        function("getFullYear", Method, &[Timestamp, Str], Int, time::full_year, "The year there."),
        1,
        time::check_zone,
    ),
    function("getFullYear", Method, &[Timestamp], Int, time::full_year, "The year (UTC)."),
    checked(
        function("getMonth", Method, &[Timestamp, Str], Int, time::month, "The month there, from 0."),
        1,
        time::check_zone,
    ),
    function("getMonth", Method, &[Timestamp], Int, time::month, "The month, from 0 (UTC)."),
    checked(
        function(
            "getDate",
            Method,
            &[Timestamp, Str],
            Int,
            time::date,
            "The day of the month there, from 1.",
        ),
        1,
        time::check_zone,
    ),
    function("getDate", Method, &[Timestamp], Int, time::date, "The day of the month, from 1 (UTC)."),
    checked(
        function(
            "getDayOfMonth",
            Method,
            &[Timestamp, Str],
            Int,
            time::day_of_month,
            "The day of the month there, from 0.",
        ),
        1,
        time::check_zone,
    ),
    function(
        "getDayOfMonth",
        Method,
        &[Timestamp],
        Int,
        time::day_of_month,
        "The day of the month, from 0 (UTC).",
    ),
    checked(
        function(
            "getDayOfWeek",
            Method,
            &[Timestamp, Str],
            Int,
            time::day_of_week,
            "The day of the week there, Sunday being 0.",
        ),
        1,
        time::check_zone,
    ),
    function(
        "getDayOfWeek",
        Method,
        &[Timestamp],
        Int,
        time::day_of_week,
        "The day of the week, Sunday being 0 (UTC).",
    ),
    checked(
        function(
            "getDayOfYear",
            Method,
            &[Timestamp, Str],
            Int,
            time::day_of_year,
            "The day of the year there, from 0.",
        ),
        1,
        time::check_zone,
    ),
    function(
        "getDayOfYear",
        Method,
        &[Timestamp],
        Int,
        time::day_of_year,
        "The day of the year, from 0 (UTC).",
    ),
    checked(
        function(
            "getHours",
            Method,
            &[Timestamp, Str],
            Int,
            time::hours,
            "The hour there: `now.getHours(\"Europe/Berlin\")`.",
        ),
        1,
        time::check_zone,
    ),
    function("getHours", Method, &[Timestamp], Int, time::hours, "The hour (UTC)."),
    function("getHours", Method, &[Duration], Int, time::hours, "Whole hours."),
    checked(
        function("getMinutes", Method, &[Timestamp, Str], Int, time::minutes, "The minute there."),
        1,
        time::check_zone,
    ),
    function("getMinutes", Method, &[Timestamp], Int, time::minutes, "The minute (UTC)."),
    function("getMinutes", Method, &[Duration], Int, time::minutes, "Whole minutes."),
    function("getSeconds", Method, &[Timestamp], Int, time::seconds, "The second (UTC)."),
    function("getSeconds", Method, &[Duration], Int, time::seconds, "Whole seconds."),
    function(
        "getMilliseconds",
        Method,
        &[Timestamp],
        Int,
        time::milliseconds,
        "The millisecond of the second.",
    ),
    function("getMilliseconds", Method, &[Duration], Int, time::milliseconds, "Whole milliseconds."),
    checked(
        function(
            "inCidr",
            Both,
            &[Str, Str],
            Bool,
            text::in_cidr,
            "Whether an address lies in a network: `source.address.inCidr(\"10.0.0.0/8\")`.",
        ),
        1,
        text::check_cidr,
    ),
    function("sha256", Global, &[Str], Str, text::sha256, "The SHA-256 of a text, in hexadecimal."),
    function("sha256", Global, &[Bytes], Str, text::sha256, "The SHA-256 of bytes, in hexadecimal."),
    function("json.parse", Global, &[Str], Any, text::json_parse, "The value of a JSON text."),
    reading(
        function("tokens", Global, &[Str], Int, tokens, "The tokens of a text for the request's model."),
        Reads::TOKENS,
    ),
    function(
        "stage",
        Method,
        &[Of(&TRACE), Str],
        Of(&STAGE),
        stage,
        "What the stage of this name did: `trace.stage(\"pii\").decision`; a fault if there is none.",
    ),
    function(
        "stage",
        Method,
        &[Of(&LIMITS), Str],
        Of(&STAGE_LIMITS),
        stage,
        "What the stage of this name has left: `limits.stage(\"rate\").remaining`. A name written out must be that of a stage of the pipeline that limits.",
    ),
];

/// The functions with this name.
pub(crate) fn named(name: &str) -> impl Iterator<Item = &'static Function> + '_ {
    FUNCTIONS.iter().filter(move |f| f.name == name)
}

pub(crate) fn wrong<'a>(function: &str, args: &[Value<'_>]) -> Answer<'a> {
    let kinds: Vec<&str> = args.iter().map(Value::kind).collect();
    let cause =
        if args.iter().any(|a| matches!(a, Value::Null)) { FaultCause::Null } else { FaultCause::WrongType };
    Err(Trouble::new(cause, format!("`{function}` does not take ({})", kinds.join(", "))))
}

pub(crate) fn bad<'a>(message: impl Into<std::borrow::Cow<'static, str>>) -> Answer<'a> {
    Err(Trouble::new(FaultCause::BadValue, message))
}

fn size<'a>(cx: &Context<'a>, args: &[Value<'a>]) -> Answer<'a> {
    let size = match args {
        [Value::Text(text)] => {
            cx.budget.scan(text.as_str().len(), 128)?;
            text.as_str().chars().count()
        }
        [Value::Bytes(bytes)] => bytes.len(),
        [Value::List(list)] => list.len(),
        [Value::Map(map)] => map.len(),
        _ => return wrong("size", args),
    };
    Ok(Value::uint_as_int(size as u64))
}

fn same<'a>(_: &Context<'a>, args: &[Value<'a>]) -> Answer<'a> {
    Ok(args.first().cloned().unwrap_or(Value::Null))
}

fn out_of_range<'a>() -> Answer<'a> {
    Err(Trouble::new(FaultCause::Overflow, "the number does not fit"))
}

#[allow(clippy::cast_possible_truncation, reason = "the range is checked first")]
fn int<'a>(_: &Context<'a>, args: &[Value<'a>]) -> Answer<'a> {
    match args {
        [Value::Int(n)] => Ok(Value::Int(*n)),
        [Value::Uint(n)] => i64::try_from(*n).map_or_else(|_| out_of_range(), |n| Ok(Value::Int(n))),
        [Value::Double(n)] if n.is_finite() && n.abs() < 9.2e18 => Ok(Value::Int(*n as i64)),
        [Value::Double(_)] => out_of_range(),
        [Value::Timestamp(n)] => Ok(Value::Int(n.div_euclid(1_000_000_000))),
        [Value::Text(text)] => match text.as_str().parse() {
            Ok(n) => Ok(Value::Int(n)),
            Err(_) => bad("the text is no whole number"),
        },
        _ => wrong("int", args),
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked first")]
fn uint<'a>(_: &Context<'a>, args: &[Value<'a>]) -> Answer<'a> {
    match args {
        [Value::Uint(n)] => Ok(Value::Uint(*n)),
        [Value::Int(n)] => u64::try_from(*n).map_or_else(|_| out_of_range(), |n| Ok(Value::Uint(n))),
        [Value::Double(n)] if (0.0..1.8e19).contains(n) => Ok(Value::Uint(*n as u64)),
        [Value::Double(_)] => out_of_range(),
        [Value::Text(text)] => match text.as_str().parse() {
            Ok(n) => Ok(Value::Uint(n)),
            Err(_) => bad("the text is no whole number without sign"),
        },
        _ => wrong("uint", args),
    }
}

fn double<'a>(_: &Context<'a>, args: &[Value<'a>]) -> Answer<'a> {
    match args {
        [Value::Text(text)] => match text.as_str().parse() {
            Ok(n) => Ok(Value::Double(n)),
            Err(_) => bad("the text is no number"),
        },
        [one] => one.number().map_or_else(|| wrong("double", args), |n| Ok(Value::Double(n))),
        _ => wrong("double", args),
    }
}

fn boolean<'a>(_: &Context<'a>, args: &[Value<'a>]) -> Answer<'a> {
    match args {
        [Value::Bool(value)] => Ok(Value::Bool(*value)),
        [Value::Text(text)] => match text.as_str() {
            "true" | "True" | "TRUE" | "t" | "1" => Ok(Value::Bool(true)),
            "false" | "False" | "FALSE" | "f" | "0" => Ok(Value::Bool(false)),
            _ => bad("the text is neither true nor false"),
        },
        _ => wrong("bool", args),
    }
}

fn tokens<'a>(cx: &Context<'a>, args: &[Value<'a>]) -> Answer<'a> {
    match args {
        [Value::Text(text)] => {
            cx.budget.scan(text.as_str().len(), 256)?;
            let count = || cx.services.count_tokens(cx.view.request.model(), text.as_str());
            Ok(Value::uint_as_int(cx.memo.counted(text, count)))
        }
        _ => wrong("tokens", args),
    }
}

fn stage<'a>(_: &Context<'a>, args: &[Value<'a>]) -> Answer<'a> {
    let found = match args {
        [Value::Object(Object::Trace(trace)), Value::Text(name)] => {
            trace.stage(name.as_str()).map(|stage| Value::Object(Object::Stage(stage)))
        }
        [Value::Object(Object::Limits(counters)), Value::Text(name)] => {
            let limits = counters.limits(name.as_str());
            return limits
                .map(|limits| Value::Object(Object::StageLimits(limits)))
                .map_err(|reason| Trouble::new(FaultCause::Missing, reason));
        }
        _ => return wrong("stage", args),
    };
    found.ok_or_else(|| Trouble::new(FaultCause::Missing, "there is no stage of this name"))
}

/// The items of a list of texts.
pub(crate) fn texts<'v, 'a>(list: &'v List<'a>) -> impl Iterator<Item = Option<Value<'a>>> + 'v {
    (0..list.len()).map(|n| list.get(n).filter(|item| item.as_str().is_some()))
}
