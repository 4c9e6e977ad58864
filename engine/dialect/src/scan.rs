//! A strict JSON reader (RFC 8259) that goes over a body once and knows where each thing stands in it.
//!
//! It is stricter than most readers where two readers could disagree, so that a guard never sees another text than the
//! provider: a field that is read may stand only once, in plain letters, and no other field may differ from it by case
//! alone. Its errors say where and never quote.

use bytestring::ByteString;
use std::borrow::Cow;
use std::ops::Range;
use weir_message::{ErrorCode, Fault, Text, TextForm};

/// The deepest nesting taken.
const MAX_DEPTH: u32 = 128;

/// What is wrong with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    NotUtf8,
    NotJson,
    TooDeep,
    TooLarge,
    TooMany,
    Surrogate,
    Repeated,
    Disguised,
    Want(&'static str),
}

/// A flaw of a body and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    pub(crate) what: What,
    /// The byte.
    pub(crate) at: usize,
    /// The field (`messages[3].content`); made of names that we know, so it quotes nothing.
    path: String,
}

impl Flaw {
    pub(crate) fn new(what: What, at: usize) -> Self {
        Self { what, at, path: String::new() }
    }

    fn under(mut self, outer: &str) -> Self {
        if self.path.is_empty() || self.path.starts_with('[') {
            self.path.insert_str(0, outer);
        } else {
            self.path = format!("{outer}.{}", self.path);
        }
        self
    }

    /// As a fault with this code, whose message begins with what the bytes are ("the body").
    pub(crate) fn fault(self, code: ErrorCode, subject: &str) -> Fault {
        let at = self.at;
        let message = match self.what {
            What::NotUtf8 => format!("{subject} is not UTF-8 (byte {at})"),
            What::NotJson => format!("{subject} is not JSON (byte {at})"),
            What::TooDeep => format!("{subject} is nested deeper than {MAX_DEPTH} levels (byte {at})"),
            What::TooLarge => format!("{subject} is larger than 4 GiB"),
            What::TooMany => format!("{subject} has too many fields (byte {at})"),
            What::Surrogate => format!("{subject} has half a character in an escape (byte {at})"),
            What::Repeated => format!("{subject} has the same field twice (byte {at})"),
            What::Disguised => {
                format!(
                    "{subject} has a field spelt almost, but not quite, like one with a meaning (byte {at})"
                )
            }
            What::Want(want) => format!("{subject} must have {want} here (byte {at})"),
        };
        let fault = Fault::new(code, message);
        if self.path.is_empty() { fault } else { fault.param(self.path) }
    }
}

pub(crate) type Scanned<T> = Result<T, Flaw>;

/// A string literal.
#[derive(Clone, Debug)]
pub(crate) struct Lit<'a> {
    /// What stands between the quotes, as spelt.
    pub(crate) inner: &'a str,
    /// Where, quotes included.
    pub(crate) at: Range<usize>,
    /// Whether it has escapes.
    pub(crate) escaped: bool,
}

impl<'a> Lit<'a> {
    /// The string it stands for.
    pub(crate) fn value(&self) -> Scanned<Cow<'a, str>> {
        if !self.escaped {
            return Ok(Cow::Borrowed(self.inner));
        }
        let mut quoted = String::with_capacity(self.inner.len() + 2);
        quoted.push('"');
        quoted.push_str(self.inner);
        quoted.push('"');
        match serde_json::from_str::<String>(&quoted) {
            Ok(value) => Ok(Cow::Owned(value)),
            Err(_) => Err(Flaw::new(What::Surrogate, self.at.start)),
        }
    }
}

/// What kind of value comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Object,
    Array,
    String,
    Number,
    Bool,
    Null,
}

/// A place in a JSON text.
pub(crate) struct Scan<'a> {
    whole: &'a ByteString,
    src: &'a str,
    at: usize,
    depth: u32,
}

impl<'a> Scan<'a> {
    /// At the start of `range` of `whole`; reads nothing behind the range.
    pub(crate) fn new(whole: &'a ByteString, range: Range<usize>) -> Scanned<Self> {
        if u32::try_from(whole.len()).is_err() {
            return Err(Flaw::new(What::TooLarge, 0));
        }
        let src = whole.get(..range.end).ok_or(Flaw::new(What::NotJson, 0))?;
        Ok(Self { whole, src, at: range.start, depth: 0 })
    }

    /// At the start of all of `whole`.
    pub(crate) fn all(whole: &'a ByteString) -> Scanned<Self> {
        Self::new(whole, 0..whole.len())
    }

    /// That nothing but space is left.
    pub(crate) fn end(mut self) -> Scanned<()> {
        self.space();
        if self.at == self.src.len() { Ok(()) } else { Err(self.not_json()) }
    }

    fn not_json(&self) -> Flaw {
        Flaw::new(What::NotJson, self.at)
    }

    /// That something else should stand here.
    pub(crate) fn want(&self, want: &'static str) -> Flaw {
        Flaw::new(What::Want(want), self.at)
    }

    /// Where it stands: behind what was read last (and, after [`Scan::next`], at the value to come).
    pub(crate) fn place(&self) -> usize {
        self.at
    }

    fn byte(&self) -> u8 {
        self.src.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    fn space(&mut self) {
        while matches!(self.byte(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Scanned<()> {
        self.space();
        if self.byte() == byte {
            self.at += 1;
            Ok(())
        } else {
            Err(self.not_json())
        }
    }

    /// What comes next.
    pub(crate) fn next(&mut self) -> Scanned<Next> {
        self.space();
        Ok(match self.byte() {
            b'{' => Next::Object,
            b'[' => Next::Array,
            b'"' => Next::String,
            b'-' | b'0'..=b'9' => Next::Number,
            b't' | b'f' => Next::Bool,
            b'n' => Next::Null,
            _ => return Err(self.not_json()),
        })
    }

    fn deeper(&mut self) -> Scanned<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(Flaw::new(What::TooDeep, self.at)) } else { Ok(()) }
    }

    /// An object: `field` is called with each field's known name (empty if it is not among `known`) and its literal, and
    /// reads the value. Returns where the inside of the braces stands.
    pub(crate) fn object(
        &mut self,
        known: &'static [&'static str],
        mut field: impl FnMut(&mut Self, &'static str, Lit<'a>) -> Scanned<()>,
    ) -> Scanned<Range<usize>> {
        if self.next()? != Next::Object {
            return Err(self.want("an object"));
        }
        self.deeper()?;
        self.at += 1;
        let start = self.at;
        let mut seen = 0u64;
        self.space();
        if self.byte() != b'}' {
            loop {
                self.space();
                let key = self.string()?;
                let name = match recognise(&key, known)? {
                    Some((n, name)) => {
                        if seen & (1 << n) != 0 {
                            return Err(Flaw::new(What::Repeated, key.at.start).under(name));
                        }
                        seen |= 1 << n;
                        name
                    }
                    None => "",
                };
                self.take(b':')?;
                field(self, name, key)
                    .map_err(|flaw| if name.is_empty() { flaw } else { flaw.under(name) })?;
                self.space();
                match self.byte() {
                    b',' => self.at += 1,
                    b'}' => break,
                    _ => return Err(self.not_json()),
                }
            }
        }
        let end = self.at;
        self.at += 1;
        self.depth -= 1;
        Ok(start..end)
    }

    /// An array: `item` is called for each item and reads it. Returns where the inside of the brackets stands.
    pub(crate) fn array(
        &mut self,
        mut item: impl FnMut(&mut Self, usize) -> Scanned<()>,
    ) -> Scanned<Range<usize>> {
        if self.next()? != Next::Array {
            return Err(self.want("an array"));
        }
        self.deeper()?;
        self.at += 1;
        let start = self.at;
        self.space();
        if self.byte() != b']' {
            for n in 0usize.. {
                item(self, n).map_err(|flaw| flaw.under(&format!("[{n}]")))?;
                self.space();
                match self.byte() {
                    b',' => self.at += 1,
                    b']' => break,
                    _ => return Err(self.not_json()),
                }
            }
        }
        let end = self.at;
        self.at += 1;
        self.depth -= 1;
        Ok(start..end)
    }

    /// A string.
    pub(crate) fn string(&mut self) -> Scanned<Lit<'a>> {
        if self.next()? != Next::String {
            return Err(self.want("a string"));
        }
        let start = self.at;
        let escaped = self.pass_string()?;
        let inner = self.src.get(start + 1..self.at - 1).unwrap_or_default();
        Ok(Lit { inner, at: start..self.at, escaped })
    }

    /// A string, or nothing if it is null.
    pub(crate) fn string_or_null(&mut self) -> Scanned<Option<Lit<'a>>> {
        match self.next()? {
            Next::Null => self.skip().map(|_| None),
            _ => self.string().map(Some),
        }
    }

    /// A boolean; null counts as false.
    pub(crate) fn bool_or_null(&mut self) -> Scanned<bool> {
        match self.next()? {
            Next::Bool | Next::Null => {
                let range = self.skip()?;
                Ok(self.src.get(range) == Some("true"))
            }
            _ => Err(self.want("true or false")),
        }
    }

    /// A count; null and what is no number count as none.
    pub(crate) fn count(&mut self) -> Scanned<Option<u64>> {
        let is_number = self.next()? == Next::Number;
        let range = self.skip()?;
        if !is_number {
            return Ok(None);
        }
        let spelt = self.src.get(range).unwrap_or_default();
        Ok(spelt.parse().ok().or_else(|| {
            let float: f64 = spelt.parse().ok()?;
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a float cast saturates, and no count is negative or fractional"
            )]
            let whole = float as u64;
            Some(whole)
        }))
    }

    /// Passes over one value of any kind and returns where it stands.
    pub(crate) fn skip(&mut self) -> Scanned<Range<usize>> {
        self.space();
        let start = self.at;
        // Which of the open ones are objects, innermost in the lowest bit.
        let mut objects: u128 = 0;
        let mut open = 0u32;
        loop {
            let is_open = match self.next()? {
                kind @ (Next::Object | Next::Array) => {
                    let is_object = kind == Next::Object;
                    self.at += 1;
                    self.space();
                    if self.byte() == if is_object { b'}' } else { b']' } {
                        self.at += 1;
                        false
                    } else {
                        open += 1;
                        if self.depth + open > MAX_DEPTH {
                            return Err(Flaw::new(What::TooDeep, self.at));
                        }
                        objects = objects << 1 | u128::from(is_object);
                        if is_object {
                            self.pass_key()?;
                        }
                        true
                    }
                }
                Next::String => {
                    self.pass_string()?;
                    false
                }
                Next::Number => {
                    self.pass_number()?;
                    false
                }
                Next::Bool | Next::Null => {
                    self.pass_word()?;
                    false
                }
            };
            if is_open {
                continue;
            }
            loop {
                if open == 0 {
                    return Ok(start..self.at);
                }
                self.space();
                match (self.byte(), objects & 1 == 1) {
                    (b',', is_object) => {
                        self.at += 1;
                        if is_object {
                            self.pass_key()?;
                        }
                        break;
                    }
                    (b'}', true) | (b']', false) => {
                        self.at += 1;
                        open -= 1;
                        objects >>= 1;
                    }
                    _ => return Err(self.not_json()),
                }
            }
        }
    }

    /// The spelling of a place.
    pub(crate) fn spelt(&self, range: Range<usize>) -> &'a str {
        self.src.get(range).unwrap_or_default()
    }

    /// A literal's string; shares the body's memory if it has no escapes.
    pub(crate) fn shared(&self, lit: &Lit<'a>) -> Scanned<ByteString> {
        Ok(match lit.value()? {
            Cow::Borrowed(value) => self.share(value),
            Cow::Owned(value) => ByteString::from(value),
        })
    }

    /// A part of the body, sharing its memory.
    pub(crate) fn share(&self, part: &'a str) -> ByteString {
        // An empty slice may point anywhere.
        if part.is_empty() { ByteString::new() } else { self.whole.slice_ref(part) }
    }

    /// A literal as a text.
    pub(crate) fn text(&self, lit: &Lit<'a>, form: TextForm) -> Scanned<Text> {
        Ok(Text::at(self.shared(lit)?, place(lit.at.clone()), form))
    }

    fn pass_key(&mut self) -> Scanned<()> {
        self.space();
        if self.byte() != b'"' {
            return Err(self.not_json());
        }
        self.pass_string()?;
        self.take(b':')
    }

    /// Passes over a string that starts here; whether it has escapes.
    fn pass_string(&mut self) -> Scanned<bool> {
        self.at += 1;
        let bytes = self.src.as_bytes();
        let mut escaped = false;
        loop {
            self.at += plain_run(bytes.get(self.at..).unwrap_or_default());
            match bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    match bytes.get(self.at + 1) {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
                        Some(b'u') => {
                            let digits = bytes.get(self.at + 2..self.at + 6).unwrap_or_default();
                            if digits.len() != 4 || !digits.iter().all(u8::is_ascii_hexdigit) {
                                return Err(self.not_json());
                            }
                            self.at += 6;
                        }
                        _ => return Err(self.not_json()),
                    }
                }
                _ => return Err(self.not_json()),
            }
        }
    }

    fn digits(&mut self) -> Scanned<()> {
        let start = self.at;
        while self.byte().is_ascii_digit() {
            self.at += 1;
        }
        if self.at == start { Err(self.not_json()) } else { Ok(()) }
    }

    fn pass_number(&mut self) -> Scanned<()> {
        if self.byte() == b'-' {
            self.at += 1;
        }
        if self.byte() == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.byte() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.byte(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.byte(), b'+' | b'-') {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn pass_word(&mut self) -> Scanned<()> {
        let rest = self.src.as_bytes().get(self.at..).unwrap_or_default();
        for word in ["true", "false", "null"] {
            if rest.starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(());
            }
        }
        Err(self.not_json())
    }
}

/// How many bytes from the start are neither `"` nor `\` nor a control character. Written so that it compiles to vector
/// instructions: strings are nearly all of a body.
fn plain_run(bytes: &[u8]) -> usize {
    let stops = |b: u8| (b == b'"') | (b == b'\\') | (b < 0x20);
    let mut run = 0;
    let chunks = bytes.chunks_exact(32);
    for chunk in chunks {
        if chunk.iter().fold(false, |hit, &b| hit | stops(b)) {
            break;
        }
        run += 32;
    }
    let rest = bytes.get(run..).unwrap_or_default();
    run + rest.iter().position(|&b| stops(b)).unwrap_or(rest.len())
}

/// Which of `known` a key is. A key that another reader might take for one of them is refused: Go's reader ignores case.
fn recognise(key: &Lit<'_>, known: &'static [&'static str]) -> Scanned<Option<(usize, &'static str)>> {
    if !key.escaped
        && let Some(found) = known.iter().enumerate().find(|(_, name)| **name == key.inner)
    {
        return Ok(Some((found.0, found.1)));
    }
    let value = key.value().map_err(|_| Flaw::new(What::Surrogate, key.at.start))?;
    for name in known {
        // The long s and the Kelvin sign fold to ASCII letters.
        let alike = value.len() >= name.len()
            && value.len() <= name.len() * 3
            && value.chars().count() == name.len()
            && value.chars().zip(name.chars()).all(|(a, b)| {
                let a = match a {
                    'ſ' => 's',
                    '\u{212A}' => 'k',
                    other => other.to_ascii_lowercase(),
                };
                a == b
            });
        if alike {
            return Err(Flaw::new(What::Disguised, key.at.start).under(name));
        }
    }
    Ok(None)
}

/// A place in the original bytes, as messages keep it. [`Scan::new`] refused bodies that do not fit.
pub(crate) fn place(range: Range<usize>) -> Range<u32> {
    let fit = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    fit(range.start)..fit(range.end)
}

/// What an optional count of tokens adds.
pub(crate) fn set_count(scan: &mut Scan<'_>, count: &mut u64) -> Scanned<()> {
    if let Some(n) = scan.count()? {
        *count = n;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn skipped(json: &str) -> Result<(), What> {
        let whole = ByteString::from(json);
        let mut scan = Scan::all(&whole).unwrap();
        scan.skip().map_err(|flaw| flaw.what)?;
        scan.end().map_err(|flaw| flaw.what)
    }

    #[test]
    fn takes_what_is_json_and_nothing_else() {
        let good = ["{}", "[]", " [1, -0.5e+3,\"a\\u00e9\\n\", {\"a\":[null,true,false]}] ", "\"\"", "0"];
        for json in good {
            assert_eq!(skipped(json), Ok(()), "{json}");
        }
        let bad = [
            "",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "{a:1}",
            "01",
            "1.",
            ".5",
            "1e",
            "-",
            "tru",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\n\"",
            "\"",
            "[1 2]",
            "{\"a\" 1}",
            "[}",
            "{]",
            "1 1",
            "NaN",
            "'a'",
            "[1]]",
            "\"\\",
            "\u{feff}{}",
        ];
        for json in bad {
            assert_eq!(skipped(json), Err(What::NotJson), "{json}");
        }
    }

    #[test]
    fn nesting_is_bounded_without_recursion() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert_eq!(skipped(&deep(128)), Ok(()));
        assert_eq!(skipped(&deep(130)), Err(What::TooDeep));
        assert_eq!(skipped(&"{\"a\":".repeat(1_000_000)), Err(What::TooDeep));
    }

    #[test]
    fn a_field_that_another_reader_might_take_for_a_known_one_is_refused() {
        let cases = [
            (r#"{"stream":true,"stream":false}"#, What::Repeated),
            (r#"{"Stream":true}"#, What::Disguised),
            (r#"{"\u0073tream":true}"#, What::Disguised),
            ("{\"\u{17f}tream\":true}", What::Disguised),
        ];
        for (json, want) in cases {
            let whole = ByteString::from(json);
            let flaw = Scan::all(&whole)
                .unwrap()
                .object(&["stream"], |scan, _, _| scan.skip().map(|_| ()))
                .unwrap_err();
            assert_eq!((flaw.what, flaw.path.as_str()), (want, "stream"), "{json}");
        }
        let whole = ByteString::from(r#"{"x":1,"x":2,"streams":3,"":4}"#);
        let mut scan = Scan::all(&whole).unwrap();
        assert!(scan.object(&["stream"], |scan, _, _| scan.skip().map(|_| ())).is_ok());
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json(text in "[\\[\\]{}:,\" a-bntrue0-9.eE+\\\\u-]{0,24}") {
            let serde = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
            prop_assert_eq!(skipped(&text).is_ok(), serde);
        }
    }
}
