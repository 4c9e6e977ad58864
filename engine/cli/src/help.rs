//! `weir help CODE`: what a code means.

use crate::out::{BAD, fail, say};
use std::process::ExitCode;
use weir_diagnostic::{Code, nearest};
use weir_message::ErrorCode;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A code of a diagnostic (`open-relay`) or of an error that clients get (`rate-limited`); without one, lists them
    code: Option<String>,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let Some(code) = &args.code else {
        say(&list());
        return ExitCode::SUCCESS;
    };
    if let Some(code) = Code::from_id(code) {
        say(&format!("{}: {}\n\n{}", code.id(), code.summary(), unwrapped(code.explanation())));
        return ExitCode::SUCCESS;
    }
    if let Some(code) = ErrorCode::from_id(code) {
        let text = unwrapped(code.explanation());
        say(&format!("{}: an error that clients get, with status {}\n\n{text}", code.id(), code.status()));
        return ExitCode::SUCCESS;
    }
    let names = Code::ALL.iter().map(|code| code.id()).chain(ErrorCode::ALL.iter().map(|code| code.id()));
    let near = nearest(code, names).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    fail(BAD, &format!("no code is called `{code}`{near}"))
}

fn list() -> String {
    let mut out = String::from("Findings in policies (weir check):\n");
    for code in Code::ALL {
        out.push_str(&format!("  {:<22} {}\n", code.id(), code.summary()));
    }
    out.push_str("\nErrors that clients get (error.code):\n");
    for code in ErrorCode::ALL {
        let first = code.explanation().trim().lines().next().unwrap_or_default();
        out.push_str(&format!("  {:<22} {} {first}\n", code.id(), code.status()));
    }
    out
}

/// The text of a doc comment without its leading blanks.
fn unwrapped(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join("\n")
}
