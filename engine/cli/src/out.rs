//! What commands print, and how they end.

use clap::ValueEnum;
use std::io::Write;
use std::process::ExitCode;

/// The thing asked about is bad.
pub(crate) const BAD: u8 = 1;
/// The command was called wrongly.
pub(crate) const USAGE: u8 = 2;
/// It could not run.
pub(crate) const COULD_NOT: u8 = 4;

/// For people or for programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Pretty,
    /// For programs.
    Json,
}

/// Prints a text to standard output. A reader that went away (`| head`) is no error.
pub(crate) fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let end = if text.ends_with('\n') { "" } else { "\n" };
    // Nothing can be said about a closed output.
    let _ = write!(out, "{text}{end}").and_then(|()| out.flush());
}

/// Prints a text to standard error.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", text.trim_end());
}

/// Ends with a code after saying why.
pub(crate) fn fail(code: u8, why: &str) -> ExitCode {
    complain(&format!("weir: {why}"));
    ExitCode::from(code)
}

/// Whether colours reach a person: standard output is a terminal and `NO_COLOR` is not set.
pub(crate) fn colours() -> bool {
    use std::io::IsTerminal;
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}
