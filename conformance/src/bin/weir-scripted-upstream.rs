//! A provider that answers by script, as a process of its own: `weir-scripted-upstream`, then
//! `provider ADDRESS control ADDRESS` on standard output. Ends when its standard input does.
#![allow(clippy::print_stdout, reason = "the addresses are its output")]

use tokio::net::TcpListener;
use weir_conformance::upstream::serve;

fn main() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Who started it holds its standard input open; when that process ends, so does this one.
    std::thread::spawn(|| {
        let ended = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(i32::from(ended.is_err()));
    });
    runtime.block_on(async {
        let provider = TcpListener::bind("127.0.0.1:0").await?;
        let control = TcpListener::bind("127.0.0.1:0").await?;
        println!("provider {} control {}", provider.local_addr()?, control.local_addr()?);
        serve(provider, control).await
    })
}
