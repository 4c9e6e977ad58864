//! What clients and operators can see, shown against a running `weir serve` over real sockets.
//!
//! `conformance/README.md` says which test shows which sentence.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod admin_keys;
mod adversarial;
mod agree;
mod bodies;
mod budget;
mod caching;
mod commands;
mod errors;
mod forms;
mod http2;
mod identify;
mod judge;
mod kept;
mod ledger;
mod limits;
mod matrix;
mod observe;
mod packed;
mod process;
mod proxy;
mod saves;
mod secrets;
mod services;
mod start;
mod streaming;
mod table;
mod timeouts;
mod tls;
mod tokens;
mod two;

/// Whether the models are wanted. `WEIR_MODELS=none` (`make test MODELS=none`) passes over what needs them; a run that wants
/// them and has none fails.
fn has_models() -> bool {
    if std::env::var_os("WEIR_MODELS").is_some_and(|value| value == "none") {
        return false;
    }
    let folder = weir_inference::default_directory(|name| std::env::var_os(name)).unwrap_or_default();
    let names = weir_inference::Models::open(&folder).names();
    assert!(
        !names.is_empty(),
        "no models in {}: run `make setup`, or set WEIR_MODELS=none",
        folder.display()
    );
    true
}
