//! The targets. In `cargo test` each replays its corpus and tries a few grown inputs; `fuzz/run.sh SECONDS` tries for longer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "tests")]

mod cel;
mod json;
mod pii;
mod policy;
mod rhai;
mod stream;

use std::panic::{RefUnwindSafe, UnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::time::Duration;
use weir_diagnostic::{Diagnostic, Sources};
use weir_fuzz::Corpus;

/// How many grown inputs `cargo test` tries.
const FEW: usize = 100;

/// Tries every seed of a target.
fn replay(target: &str, check: impl Fn(&[u8])) {
    for seed in Corpus::open(target, &[]).unwrap().seeds {
        println!("{}", seed.path.display());
        check(&seed.bytes);
    }
}

/// Tries inputs grown from the seeds: a few, or for `WEIR_FUZZ_SECONDS`. One that fails is kept.
fn grow(target: &str, words: &'static [&'static str], check: impl Fn(&[u8]) + RefUnwindSafe + UnwindSafe) {
    let corpus = Corpus::open(target, words).unwrap();
    let tried = bolero::check!(name = target)
        .with_type::<Vec<u8>>()
        .with_max_len(96)
        .with_shrink_time(Duration::from_secs(10));
    let tried = match std::env::var("WEIR_FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok()) {
        Some(seconds) => tried.with_test_time(Duration::from_secs(seconds)),
        None => tried.with_iterations(FEW),
    };
    tried.for_each(|recipe| {
        let input = corpus.grow(recipe);
        let outcome = catch_unwind(|| check(&input));
        if let Err(cause) = outcome {
            // Shrinking goes on, and the smallest is written last.
            let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{target}.failed"));
            std::fs::write(&kept, &input).unwrap();
            println!("the input is kept in {}; mend, then add it to fuzz/corpus/{target}/", kept.display());
            resume_unwind(cause);
        }
    });
}

/// Whether each place that a finding names lies in its text, between characters.
fn assert_in_place(sources: &Sources, found: &Diagnostic) {
    for span in found.span.iter().chain(found.related.iter().map(|(span, _)| span)) {
        let text = &sources.get(span.source).expect("a source that was read").text;
        assert!(
            text.get(span.range()).is_some(),
            "{found:?} points outside its text of {} bytes",
            text.len()
        );
    }
}
