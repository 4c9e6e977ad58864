//! Links and images in a text: Markdown, HTML, and bare addresses.

use super::address::{Address, Target, is_web, target};
use crate::guard::spans::floor;
use std::ops::Range;

/// How a link is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// An address alone, or in `<…>`.
    Bare,
    /// `[words](address)`.
    Link,
    /// `![words](address)`.
    Image,
    /// `[name]: address`, of a link or an image elsewhere.
    Definition,
    /// A tag of HTML.
    Tag,
    /// A tag of HTML that is followed by a click.
    Anchor,
}

impl Form {
    pub(super) const COUNT: usize = 6;

    /// The form of this number.
    pub(super) fn of(number: usize) -> Option<Form> {
        [Form::Bare, Form::Link, Form::Image, Form::Definition, Form::Tag, Form::Anchor].get(number).copied()
    }

    /// Whether the address may be loaded without a click.
    pub(super) fn shows(self) -> bool {
        matches!(self, Form::Image | Form::Definition | Form::Tag)
    }
}

/// A link or an image.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) range: Range<usize>,
    pub(super) form: Form,
    /// Where it leads, if that is another host.
    pub(super) address: Option<Address>,
    /// Whether it is written so that it hides where it leads.
    pub(super) is_disguised: bool,
    /// Its words, in which others may stand.
    pub(super) words: Range<usize>,
}

impl Link {
    fn new(range: Range<usize>, form: Form, written: &str) -> Self {
        let words = range.start..range.start;
        let (address, is_disguised) = match target(written, form.shows()) {
            Target::Host(address) => (Some(address), false),
            Target::Disguised => (None, true),
            Target::Here => (None, false),
        };
        Self { range, form, address, is_disguised, words }
    }
}

/// Words between brackets have at most this many bytes.
const WORDS: usize = 1024;
/// What stands behind them, or inside a tag, has at most this many bytes.
const WRITTEN: usize = 4096;

/// All links of a text, in order. Those inside the words of another are not among them.
pub(super) fn links(text: &str) -> Vec<Link> {
    let mut found = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let next = match byte {
            b'!' if bytes.get(at + 1) == Some(&b'[') => markdown(text, at + 1, true),
            b'[' => markdown(text, at, false),
            b'<' => tag(text, at),
            b':' | b'w' | b'W' => bare(text, at).map_or(Parsed::Nothing, |range| {
                let written = text.get(range.clone()).unwrap_or_default();
                Parsed::Links(range.end, vec![Link::new(range.clone(), Form::Bare, written)])
            }),
            _ => Parsed::Nothing,
        };
        match next {
            Parsed::Links(end, links) => {
                found.extend(links);
                at = end.max(at + 1);
            }
            Parsed::Nothing | Parsed::Open => at += 1,
        }
    }
    found
}

/// What begins at a place.
enum Parsed {
    Nothing,
    /// It may become something with what follows.
    Open,
    /// These, and where they end.
    Links(usize, Vec<Link>),
}

/// Where the end of a text begins that may become a link with what follows.
pub(super) fn growing(text: &str) -> usize {
    let tail = floor(text, text.len().saturating_sub(WORDS + WRITTEN));
    let opens = |at: usize| match text.as_bytes().get(at) {
        Some(b'!') => at + 1 == text.len() || matches!(markdown_at(text, at + 1), Parsed::Open),
        Some(b'[') => match markdown(text, at, false) {
            Parsed::Open => true,
            // The address of a definition may go on.
            Parsed::Links(end, links) => {
                end == text.len() && links.iter().any(|link| link.form == Form::Definition)
            }
            Parsed::Nothing => false,
        },
        Some(b'<') => matches!(tag(text, at), Parsed::Open),
        Some(b':' | b'w' | b'W') => bare(text, at).is_some_and(|range| {
            let rest = text.get(range.end..).unwrap_or_default();
            rest.chars().all(|char| TRAILING.contains(char))
        }),
        _ => false,
    };
    let open = (tail..text.len()).find(|at| opens(*at));
    let mut growing = match open {
        Some(at) if matches!(text.as_bytes().get(at), Some(b':' | b'w' | b'W')) => {
            bare(text, at).map_or(at, |range| range.start)
        }
        Some(at) => at,
        None => text.len(),
    };
    // The beginning of a scheme, or of `www.`.
    let begun = text
        .bytes()
        .rev()
        .take(16)
        .take_while(|byte| byte.is_ascii_alphanumeric() || b"+.-:/".contains(byte));
    growing = growing.min(text.len() - begun.count());
    growing
}

fn markdown_at(text: &str, at: usize) -> Parsed {
    match text.as_bytes().get(at) {
        Some(b'[') => markdown(text, at, true),
        _ => Parsed::Nothing,
    }
}

/// What begins with the bracket at this place; `image`: behind a `!`.
fn markdown(text: &str, at: usize, image: bool) -> Parsed {
    let Some((words, behind)) = bracketed(text, at) else {
        let rest = text.get(at..).unwrap_or_default();
        let open = rest.len() <= WORDS && !rest.contains("\n\n");
        return if open { Parsed::Open } else { Parsed::Nothing };
    };
    let start = if image { at - 1 } else { at };
    match text.as_bytes().get(behind) {
        None => Parsed::Open,
        Some(b'(') => match inline(text, behind + 1) {
            Destination::Open => Parsed::Open,
            Destination::None => Parsed::Nothing,
            Destination::Written(written, end) => {
                let form = if image { Form::Image } else { Form::Link };
                let link = Link::new(start..end, form, text.get(written).unwrap_or_default());
                Parsed::Links(end, vec![Link { words, ..link }])
            }
        },
        Some(b':') if !image && begins_line(text, at) => {
            let rest = text.get(behind + 1..).unwrap_or_default();
            let blank = rest.len() - rest.trim_start().len();
            let written = rest.get(blank..).unwrap_or_default();
            let len = written.find(char::is_whitespace).unwrap_or(written.len());
            if len == written.len() && len < WRITTEN {
                // It may go on; at the end of the text this is all of it.
                let link = Link::new(at..text.len(), Form::Definition, written);
                return Parsed::Links(text.len(), vec![link]).or_open(text, at);
            }
            let end = behind + 1 + blank + len;
            Parsed::Links(
                end,
                vec![Link::new(at..end, Form::Definition, written.get(..len).unwrap_or_default())],
            )
        }
        Some(_) => Parsed::Nothing,
    }
}

impl Parsed {
    /// A definition at the end of a text that stands in front of nothing yet.
    fn or_open(self, text: &str, at: usize) -> Self {
        match text.get(at..).is_some_and(|rest| rest.trim_end().ends_with(':')) {
            true => Parsed::Open,
            false => self,
        }
    }
}

/// The inside of the brackets that open here, and the place behind them.
fn bracketed(text: &str, at: usize) -> Option<(Range<usize>, usize)> {
    let mut depth = 0usize;
    let mut bytes = text.as_bytes().get(at..)?.iter().take(WORDS).enumerate();
    let mut line_ended = false;
    while let Some((n, byte)) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'[' => depth += 1,
            b']' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some((at + 1..at + n, at + n + 1));
                }
            }
            b'\n' if line_ended => return None,
            _ => {}
        }
        line_ended = *byte == b'\n';
    }
    None
}

enum Destination {
    None,
    Open,
    /// Where the address stands, and the place behind the parenthesis.
    Written(Range<usize>, usize),
}

/// What stands in the parentheses of a link, from behind the first.
fn inline(text: &str, from: usize) -> Destination {
    let Some(rest) = text.get(from..) else { return Destination::None };
    let start = from + (rest.len() - rest.trim_start().len());
    let bytes = text.as_bytes();
    let (mut depth, mut quoted) = (0usize, None);
    let pointed = bytes.get(start) == Some(&b'<');
    let mut end = None;
    let mut at = start;
    while let Some(byte) = bytes.get(at).filter(|_| at < start + WRITTEN) {
        match (byte, quoted) {
            (b'\\', _) => at += 1,
            (b'>', None) if pointed && end.is_none() => end = Some((start + 1, at)),
            (_, Some(quote)) if *byte == quote => quoted = None,
            (_, Some(_)) => {}
            (b'"' | b'\'', None) if end.is_some() => quoted = Some(*byte),
            (b'(', None) => depth += 1,
            (b')', None) if depth > 0 => depth -= 1,
            (b')', None) => {
                let (first, last) = end.unwrap_or((start, at));
                return Destination::Written(first..last.max(first), at + 1);
            }
            (b' ' | b'\t' | b'\n' | b'\r', None) if !pointed && end.is_none() => end = Some((start, at)),
            _ => {}
        }
        at += 1;
    }
    if text.len() - from < WRITTEN { Destination::Open } else { Destination::None }
}

/// Whether nothing but blanks and marks of quotes and lists stands in front on the line.
fn begins_line(text: &str, at: usize) -> bool {
    let head = text.get(..at).unwrap_or_default();
    let line = head.rsplit('\n').next().unwrap_or_default();
    line.chars().all(|char| char.is_whitespace() || ">-*+".contains(char))
}

/// What may stand behind an address without being of it.
const TRAILING: &str = ".,;:!?'\"*_)]}";

/// The address with a scheme whose colon stands here, or that begins here with `www.`.
fn bare(text: &str, at: usize) -> Option<Range<usize>> {
    let rest = text.get(at..)?;
    let head = text.get(..at)?;
    let start = match rest.strip_prefix("://") {
        Some(_) => {
            let scheme: usize =
                head.bytes().rev().take(8).take_while(|byte| byte.is_ascii_alphanumeric()).count();
            // A scheme that follows letters is a scheme all the same: `xhttps://…` is shown as a link by some.
            let letters = head.get(at - scheme..)?;
            at - is_web(letters)?
        }
        None if rest.get(..4)?.eq_ignore_ascii_case("www.") => {
            if head.chars().next_back().is_some_and(|char| char.is_alphanumeric() || "/@.".contains(char)) {
                return None;
            }
            at
        }
        None => return None,
    };
    let stops = |char: char| char.is_whitespace() || char.is_control() || "<>\"`|^{}".contains(char);
    let whole = text.get(start..)?;
    let len = whole.find(stops).unwrap_or(whole.len());
    let mut written = whole.get(..len)?;
    while let Some(last) = written.chars().next_back().filter(|char| TRAILING.contains(*char)) {
        if last == ')' && written.matches('(').count() >= written.matches(')').count() {
            break;
        }
        written = written.get(..written.len() - last.len_utf8())?;
    }
    let least = if rest.starts_with("://") { at - start + 3 } else { 4 };
    Some(start..start + written.len().max(least))
}

/// What a tag of HTML, or an address in `<…>`, that begins here leads to.
fn tag(text: &str, at: usize) -> Parsed {
    let Some(rest) = text.get(at + 1..) else { return Parsed::Nothing };
    let first = rest.chars().next();
    if first.is_some_and(|char| !(char.is_ascii_alphabetic() || char == '/' || char == '!')) {
        return Parsed::Nothing;
    }
    let mut quoted = None;
    let mut end = None;
    for (n, byte) in rest.bytes().enumerate().take(WRITTEN) {
        match (byte, quoted) {
            (b'>', None) => {
                end = Some(n);
                break;
            }
            (b'"' | b'\'', None) => quoted = Some(byte),
            (_, Some(quote)) if byte == quote => quoted = None,
            _ => {}
        }
    }
    let Some(end) = end else {
        return if rest.len() < WRITTEN { Parsed::Open } else { Parsed::Nothing };
    };
    let (inside, range) = (rest.get(..end).unwrap_or_default(), at..at + end + 2);
    if inside.split_once(':').is_some_and(|(scheme, _)| is_web(scheme) == Some(scheme.len())) {
        return Parsed::Links(range.end, vec![Link::new(range, Form::Bare, inside)]);
    }
    let name = inside.split(|char: char| !char.is_ascii_alphanumeric()).next().unwrap_or_default();
    // What is followed by a click alone is not shown.
    let form = if matches!(name, "a" | "A" | "area") { Form::Anchor } else { Form::Tag };
    let links = attributes(inside).into_iter().map(|written| Link::new(range.clone(), form, &written));
    let links: Vec<Link> = links.collect();
    if links.is_empty() { Parsed::Nothing } else { Parsed::Links(range.end, links) }
}

/// The addresses in the attributes of a tag.
fn attributes(inside: &str) -> Vec<String> {
    const NAMES: [&str; 12] = [
        "src",
        "href",
        "srcset",
        "poster",
        "background",
        "action",
        "formaction",
        "data",
        "style",
        "ping",
        "cite",
        "content",
    ];
    let mut out = Vec::new();
    let mut rest = inside;
    while let Some((head, behind)) = rest.split_once('=') {
        let name =
            head.trim_end().rsplit(|char: char| !char.is_ascii_alphanumeric()).next().unwrap_or_default();
        let behind = behind.trim_start();
        let (value, next) = match behind.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let value = behind.get(1..).unwrap_or_default();
                value.split_once(quote).unwrap_or((value, ""))
            }
            _ => behind.split_once(char::is_whitespace).unwrap_or((behind, "")),
        };
        rest = next;
        let name = name.to_ascii_lowercase();
        if !NAMES.contains(&name.as_str()) {
            continue;
        }
        match name.as_str() {
            "srcset" | "ping" => {
                out.extend(value.split([',', ' ']).filter(|one| !one.is_empty()).map(str::to_owned));
            }
            "style" | "content" => out.extend(value.split("//").skip(1).map(|one| {
                let end = one.find(['"', '\'', ')', ' ', ';']).unwrap_or(one.len());
                format!("//{}", one.get(..end).unwrap_or_default())
            })),
            _ => out.push(value.to_owned()),
        }
    }
    out
}

/// The words of a link of Markdown.
pub(super) fn words(link: &str) -> &str {
    bracketed(link, 0).and_then(|(words, _)| link.get(words)).unwrap_or_default()
}
