//! A strict JSON reader (RFC 8259) that goes over a body once and knows where each thing stands in it.
//!
//! It is stricter than most readers where two readers could disagree, so that a guard never sees another text than the
//! provider: a field that is read may stand only once, in plain letters, and no other field may differ from it by case
//! alone. Its errors say where and never quote.

mod string;

pub(crate) use crate::flaw::{Flaw, What};

use crate::flaw::MAX_DEPTH;
use bytestring::ByteString;
use std::borrow::Cow;
use std::ops::Range;
use weir_message::{Text, TextForm};

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

    /// At the start of a value that was passed over ([`Scan::skip`]).
    pub(crate) fn inside(&self, range: Range<usize>) -> Scanned<Self> {
        Self::new(self.whole, range)
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
        let passed = string::pass(self.src.as_bytes(), self.at + 1);
        let (at, escaped) = passed.map_or_else(|at| (at, None), |(at, escaped)| (at, Some(escaped)));
        self.at = at;
        escaped.ok_or_else(|| self.not_json())
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

/// Which of `known` a key is. A key that another reader might take for one of them is refused: Go's reader ignores case.
fn recognise(key: &Lit<'_>, known: &'static [&'static str]) -> Scanned<Option<(usize, &'static str)>> {
    if !key.escaped && key.inner.is_ascii() {
        for (n, name) in known.iter().enumerate().filter(|(_, name)| name.len() == key.inner.len()) {
            if *name == key.inner {
                return Ok(Some((n, name)));
            }
            if name.eq_ignore_ascii_case(key.inner) {
                return Err(Flaw::new(What::Disguised, key.at.start).under(name));
            }
        }
        return Ok(None);
    }
    let value = key.value().map_err(|_| Flaw::new(What::Surrogate, key.at.start))?;
    for name in known {
        let alike = if value.is_ascii() {
            value.eq_ignore_ascii_case(name)
        } else {
            // The long s and the Kelvin sign fold to ASCII letters.
            let folded = value.chars().map(|c| match c {
                'ſ' => 's',
                '\u{212A}' => 'k',
                other => other.to_ascii_lowercase(),
            });
            folded.eq(name.chars())
        };
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
mod tests;
