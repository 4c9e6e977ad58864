//! The scripted upstream's process, and its control port.

use super::wire::{Wire, request};
use crate::case::EntrySpec;
use crate::upstream::{Act, Reaction, Record, Script};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// The scripted upstream, running. Ends when dropped.
pub struct Provider {
    child: Child,
    /// Where providers are.
    pub address: SocketAddr,
    control: SocketAddr,
}

/// The path of a binary of this workspace, beside the tests'.
pub(super) fn beside(name: &str) -> PathBuf {
    let me = std::env::current_exe().expect("the path of this test");
    let folder = me.parent().and_then(|deps| if deps.ends_with("deps") { deps.parent() } else { Some(deps) });
    folder.expect("the folder of this test").join(name)
}

impl Provider {
    /// Starts it.
    pub fn start() -> Self {
        let path = beside("weir-scripted-upstream");
        let mut child = Command::new(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut line = String::new();
        let out = child.stdout.take().expect("its standard output");
        BufReader::new(out).read_line(&mut line).expect("its addresses");
        let words: Vec<&str> = line.split_whitespace().collect();
        let address = |at: usize| words.get(at).and_then(|word| word.parse().ok());
        let (Some(provider), Some(control)) = (address(1), address(3)) else {
            panic!("no addresses in {line:?}")
        };
        Self { child, address: provider, control }
    }

    fn ask(&self, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
        let reply = Wire::connect(self.control)
            .exchange(&request(method, path, &[], body))
            .expect("the control port");
        assert_eq!(reply.status(), 200, "{path}: {}", reply.text());
        reply.body
    }

    /// Loads a script and forgets what was seen.
    pub fn load(&self, script: &Script) {
        self.ask("POST", "/script", &serde_json::to_vec(script).expect("a script is JSON"));
    }

    /// Answers in order; a call without one is a problem.
    pub fn answers(&self, answers: Vec<Reaction>) {
        self.load(&Script { answers, otherwise: None });
    }

    /// Answers every call alike.
    pub fn always(&self, answer: Reaction) {
        self.load(&Script { answers: Vec::new(), otherwise: Some(answer) });
    }

    /// What came since the script was loaded.
    pub fn seen(&self) -> Record {
        serde_json::from_slice(&self.ask("GET", "/seen", b"")).expect("a record")
    }

    /// The time on its clock, in milliseconds.
    pub fn now(&self) -> u64 {
        let now: serde_json::Value = serde_json::from_slice(&self.ask("GET", "/now", b"")).expect("a time");
        now.get("now").and_then(serde_json::Value::as_u64).expect("a time")
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer as cases script it, from JSON.
pub fn entry(json: serde_json::Value) -> Reaction {
    let entry: EntrySpec = serde_json::from_value(json).expect("an entry");
    Reaction::Entry(Box::new(entry))
}

/// A whole answer with a status, headers and a body as they are.
pub fn whole(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Reaction {
    let mut headers: Vec<(String, String)> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    headers.push(("content-length".to_owned(), body.len().to_string()));
    Reaction::Acts(vec![Act::Head { status, headers }, Act::Binary(body.to_vec()), Act::End])
}
