//! Where code stands: fences of Markdown (CommonMark 0.31, 4.5), and lines in a row that look like code.

use std::ops::Range;

/// A block in a fence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fence {
    /// All of it, both fences included.
    pub(super) all: Range<usize>,
    /// The word behind the opening fence: the language.
    pub(super) word: Range<usize>,
    pub(super) inside: Range<usize>,
    /// Whether its closing fence is there.
    is_closed: bool,
}

/// The lines of a text: where each is, without its end, and where the next begins.
fn lines(text: &str) -> impl Iterator<Item = (Range<usize>, usize)> {
    let mut at = 0;
    text.split_inclusive('\n').map(move |line| {
        let start = at;
        at += line.len();
        (start..start + line.trim_end_matches(['\n', '\r']).len(), at)
    })
}

/// The sign of a fence and how often it stands, if a line begins with one; and what stands behind it.
fn opening(line: &str) -> Option<(char, usize, usize)> {
    let indent = line.len() - line.trim_start_matches([' ', '>']).len();
    let rest = line.get(indent..)?;
    let sign = rest.chars().next().filter(|sign| matches!(sign, '`' | '~'))?;
    let count = rest.chars().take_while(|one| *one == sign).count();
    let behind = rest.get(count..)?;
    // Of backticks the info has none: those are code in a line of words.
    (count >= 3 && !(sign == '`' && behind.contains('`'))).then_some((sign, count, indent + count))
}

/// All fences, the last to the text's end where it is not closed.
pub(super) fn fences(text: &str) -> Vec<Fence> {
    let mut all: Vec<Fence> = Vec::new();
    let mut open: Option<(char, usize)> = None;
    for (range, next) in lines(text) {
        let line = text.get(range.clone()).unwrap_or_default();
        match (open, opening(line)) {
            (Some((sign, count)), Some((found, length, behind))) => {
                let closes = found == sign
                    && length >= count
                    && line.get(behind..).unwrap_or_default().trim().is_empty();
                if let (true, Some(fence)) = (closes, all.last_mut()) {
                    fence.inside.end = range.start;
                    fence.all.end = range.end;
                    fence.is_closed = true;
                    open = None;
                }
            }
            (None, Some((sign, count, behind))) => {
                let info = line.get(behind..).unwrap_or_default();
                let word = info.trim_start();
                let start = range.start + behind + (info.len() - word.len());
                let word = word.trim_start_matches("{.").trim_start_matches('{');
                let start = start + (info.trim_start().len() - word.len());
                let length =
                    word.find(|one: char| one.is_whitespace() || "},:".contains(one)).unwrap_or(word.len());
                all.push(Fence {
                    all: range.start..text.len(),
                    word: start..start + length,
                    inside: next..text.len(),
                    is_closed: false,
                });
                open = Some((sign, count));
            }
            _ => {}
        }
    }
    all
}

/// So many lines in a row make code of them.
const LEAST: usize = 3;

/// What lines of code begin with.
const BEGINS: &[&str] = &[
    "def ",
    "class ",
    "import ",
    "from ",
    "return ",
    "return;",
    "for (",
    "if (",
    "while (",
    "else {",
    "} else",
    "elif ",
    "else:",
    "try:",
    "#include",
    "public ",
    "private ",
    "static ",
    "function ",
    "const ",
    "let ",
    "var ",
    "fn ",
    "pub ",
    "use ",
    "impl ",
    "package ",
    "func ",
    "struct ",
    "SELECT ",
    "INSERT ",
    "UPDATE ",
    "DELETE ",
    "FROM ",
    "WHERE ",
    "CREATE TABLE",
    "sudo ",
    "echo ",
    "curl ",
    "apt-get ",
    "pip install",
    "npm ",
    "git ",
    "export ",
    "$ ",
    "#!/",
    "print(",
    "console.log",
    "System.out",
    "</",
    "<div",
    "<script",
    "@",
];

/// Whether a line looks like code.
fn looks(line: &str) -> bool {
    let trimmed = line.trim();
    let ends = trimmed.ends_with([';', '{', '}']) || trimmed.ends_with("):") || trimmed.ends_with("=>");
    let assigns = trimmed.contains(" = ")
        || trimmed.contains(" := ")
        || trimmed.contains(" == ")
        || trimmed.contains("->");
    let calls = trimmed.ends_with(')') && trimmed.contains('(') && !trimmed.contains(". ");
    // A sentence ends as sentences do.
    let says = trimmed.ends_with(['.', '!', '?', ',']) && trimmed.split(' ').count() > 6;
    !trimmed.is_empty()
        && !says
        && (ends || assigns || calls || BEGINS.iter().any(|begin| trimmed.starts_with(begin)))
}

/// Lines in a row that look like code. Empty and indented lines between two of them belong to them.
pub(super) fn runs(text: &str) -> Vec<Range<usize>> {
    let mut all = Vec::new();
    let mut run: Option<(Range<usize>, usize)> = None;
    let mut close = |run: &mut Option<(Range<usize>, usize)>| {
        all.extend(run.take().filter(|(_, count)| *count >= LEAST).map(|(range, _)| range));
    };
    for (range, _) in lines(text) {
        let line = text.get(range.clone()).unwrap_or_default();
        match (&mut run, looks(line)) {
            (Some((whole, count)), true) => {
                whole.end = range.end;
                *count += 1;
            }
            (None, true) => run = Some((range, 1)),
            (Some(_), false) if line.trim().is_empty() || line.starts_with([' ', '\t']) => {}
            (_, false) => close(&mut run),
        }
    }
    close(&mut run);
    all
}

/// Where the end of a text begins that may become a block, or belongs to one that is open.
pub(super) fn growing(text: &str, unfenced: bool) -> usize {
    let mut from = text.len();
    if let Some(open) = fences(text).last().filter(|fence| !fence.is_closed || fence.all.end == text.len()) {
        // What stands behind a closing fence on its line may make it no closing one.
        from = open.all.start;
    }
    let all: Vec<(Range<usize>, usize)> = lines(text).collect();
    if let Some((last, next)) = all.last().filter(|_| !text.ends_with('\n')) {
        let line = text.get(last.start..*next).unwrap_or_default();
        let begun = line.trim_start_matches([' ', '>']);
        // A line that may yet be a fence.
        if unfenced || begun.is_empty() || begun.starts_with(['`', '~']) {
            from = from.min(last.start);
        }
    }
    if unfenced {
        let belongs = |line: &str| looks(line) || line.trim().is_empty() || line.starts_with([' ', '\t']);
        let complete = all.iter().filter(|(_, next)| *next <= from).rev();
        let run = complete.take_while(|(range, _)| belongs(text.get(range.clone()).unwrap_or_default()));
        from = run.last().map_or(from, |(range, _)| from.min(range.start));
    }
    from
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fences_are_found_with_their_language_and_to_the_end_where_they_are_open() {
        for (text, want) in [
            ("a\n```py\nx\n```\nb", vec![("```py\nx\n```", "py", "x\n")]),
            ("~~~ c++ title\nx\n~~~~\n", vec![("~~~ c++ title\nx\n~~~~", "c++", "x\n")]),
            ("````\n```\n````", vec![("````\n```\n````", "", "```\n")]),
            ("```sh\nx", vec![("```sh\nx", "sh", "x")]),
            ("> ```{.rust}\n> x\n> ```", vec![("> ```{.rust}\n> x\n> ```", "rust", "> x\n")]),
            ("```js,ignore\r\nx\r\n```\r\n", vec![("```js,ignore\r\nx\r\n```", "js", "x\r\n")]),
            ("use ```x``` so", vec![]),
            ("``two``\n", vec![]),
            ("```a\n```b\n```", vec![("```a\n```b\n```", "a", "```b\n")]),
        ] {
            let part = |range: &Range<usize>| text.get(range.clone()).unwrap();
            let found: Vec<_> = fences(text)
                .iter()
                .map(|fence| (part(&fence.all), part(&fence.word), part(&fence.inside)))
                .collect();
            assert_eq!(found, want, "{text:?}");
        }
    }

    #[test]
    fn lines_that_look_like_code_are_told_from_prose() {
        let code = "Here it is:\nimport os\n\nfor name in os.listdir():\n    print(name)\nThat is all.";
        let found = runs(code);
        assert_eq!(
            found.iter().map(|range| &code[range.clone()]).collect::<Vec<_>>(),
            ["import os\n\nfor name in os.listdir():\n    print(name)"]
        );
        for prose in [
            "Dear Ann,\nthank you for the letter (and the book).\nI read it at once; it is good.\nYours, Bob",
            "- one thing\n- another; a third\n- let us see\n- from here on, nothing more happens to them at all.",
            "import os\nThat is one line of it.",
        ] {
            assert!(runs(prose).is_empty(), "{prose:?}: {:?}", runs(prose));
        }
    }

    #[test]
    fn what_may_become_a_block_waits() {
        for (text, unfenced, want) in [
            ("plain words", false, "plain words"),
            ("plain\n", false, "plain\n"),
            ("a\n``", false, "a\n"),
            ("a\n  ", false, "a\n"),
            ("a\n```py\nx", false, "a\n"),
            ("a\n```py\nx\n```", false, "a\n"),
            ("a\n```py\nx\n```\n", false, "a\n```py\nx\n```\n"),
            ("plain words", true, ""),
            ("plain words.\nimport os\n", true, "plain words.\n"),
            ("plain words.\nmore", true, "plain words.\n"),
        ] {
            assert_eq!(text.get(..growing(text, unfenced)), Some(want), "{text:?} {unfenced}");
        }
    }
}
