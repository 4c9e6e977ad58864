//! A running `weir serve` over a policy folder of its own.

use super::eventually;
use super::provider::beside;
use super::wire::{Reply, Wire, get, post};
use serde_json::Value;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use tempfile::TempDir;

/// A policy folder with its ports: `{EDGE}` in a file becomes the listener's address, `{UPSTREAM}` the scripted upstream's.
pub struct Set {
    folder: TempDir,
    edge: SocketAddr,
    admin: SocketAddr,
    upstream: Option<SocketAddr>,
}

impl Set {
    /// An empty folder.
    pub fn new(upstream: Option<SocketAddr>) -> Self {
        let folder = tempfile::Builder::new().prefix("weir-set-").tempdir().expect("a temporary folder");
        std::fs::create_dir(folder.path().join("policy")).expect("a folder");
        // Both at once, so that they are two.
        let (edge, admin) = (listening(), listening());
        Self { folder, edge: address_of(&edge), admin: address_of(&admin), upstream }
    }

    /// A folder with one file.
    pub fn of(upstream: Option<SocketAddr>, policy: &str) -> Self {
        let set = Self::new(upstream);
        set.write("policy.yaml", policy);
        set
    }

    /// The folder that is served.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("policy")
    }

    /// A folder beside it, for what is not part of the set.
    pub fn beside(&self) -> &Path {
        self.folder.path()
    }

    /// The listener's address.
    pub fn edge(&self) -> SocketAddr {
        self.edge
    }

    /// The text of a file with its addresses filled in.
    pub fn filled(&self, text: &str) -> String {
        let upstream = self.upstream.map(|address| address.to_string()).unwrap_or_default();
        text.replace("{EDGE}", &self.edge.to_string()).replace("{UPSTREAM}", &upstream)
    }

    /// Writes a file as editors do: beside it first, then in its place.
    pub fn write(&self, name: &str, text: &str) {
        let (draft, place) = (self.folder.path().join("draft"), self.path().join(name));
        std::fs::write(&draft, self.filled(text)).expect("writing a file");
        std::fs::rename(&draft, &place).expect("putting a file in place");
    }
}

/// A running gateway. Killed when dropped.
pub struct Gateway {
    child: Child,
    /// Where clients connect.
    pub edge: SocketAddr,
    /// Where the admin API is.
    pub admin: SocketAddr,
    /// Its policy folder.
    pub set: Set,
    log: PathBuf,
}

/// Where what it says on standard output goes, beside its log.
fn out_beside(log: &Path) -> PathBuf {
    log.with_extension("out")
}

/// The `weir` binary: `WEIR_BIN`, else the one beside the tests.
pub fn weir_binary() -> PathBuf {
    let path = std::env::var_os("WEIR_BIN").map_or_else(|| beside("weir"), PathBuf::from);
    assert!(path.exists(), "{} does not exist: build it with `cargo build --bin weir`", path.display());
    path
}

/// An address of this machine that nobody listens on.
pub fn free_port() -> SocketAddr {
    address_of(&listening())
}

/// A free port below those that the system gives to connections, so that none of them takes it before the gateway does.
fn listening() -> TcpListener {
    for _ in 0..1_000 {
        let chance = RandomState::new().build_hasher().finish();
        let port = 10_000 + u16::try_from(chance % 22_000).unwrap_or(0);
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener;
        }
    }
    panic!("no free port");
}

fn address_of(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().expect("its address")
}

impl Gateway {
    /// Serves a set; returns when it is ready.
    pub fn start(set: Set) -> Self {
        Self::start_with(set, &[], &[])
    }

    /// The same with more arguments and environment variables.
    pub fn start_with(set: Set, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let log = set.beside().join("weir.log");
        let child = spawn(&set, &log, arguments, variables);
        let mut gateway = Self { child, edge: set.edge, admin: set.admin, set, log };
        gateway.ready();
        gateway
    }

    /// Serves the set again once the process has ended.
    pub fn start_again(&mut self) {
        self.start_again_with(&[]);
    }

    /// The same with environment variables.
    pub fn start_again_with(&mut self, variables: &[(&str, &str)]) {
        self.ended();
        self.child = spawn(&self.set, &self.log, &[], variables);
        self.ready();
    }

    fn ready(&mut self) {
        eventually("the gateway's start", || {
            if let Some(status) = self.child.try_wait().expect("its state") {
                panic!("weir ended with {status}:\n{}", self.log());
            }
            (TcpStream::connect(self.edge).is_ok() && TcpStream::connect(self.admin).is_ok()).then_some(())
        });
    }

    /// Starts a process that takes over this one's sockets; returns it and its log. The caller ends this one.
    pub fn successor(&self, arguments: &[&str]) -> (Child, PathBuf) {
        let log = self.set.beside().join("weir-successor.log");
        (spawn(&self.set, &log, arguments, &[]), log)
    }

    /// What it logged so far, on standard error.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What it said so far on standard output: its greeting, and what `observe: log` writes.
    pub fn out(&self) -> String {
        std::fs::read_to_string(out_beside(&self.log)).unwrap_or_default()
    }

    /// The lines of `observe: log` about a request so far.
    pub fn lines(&self, id: &str) -> Vec<Value> {
        let out = self.out();
        let whole = out.rfind('\n').and_then(|end| out.get(..end)).unwrap_or("");
        whole
            .lines()
            .filter(|line| line.starts_with('{'))
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .filter(|line: &Value| line.get("id").is_some_and(|have| have == id))
            .collect()
    }

    /// The lines about a request, once there are so many.
    pub fn lines_of(&self, id: &str, count: usize) -> Vec<Value> {
        eventually(&format!("{count} lines about {id}"), || {
            let lines = self.lines(id);
            (lines.len() >= count).then_some(lines)
        })
    }

    /// A connection to its listener.
    pub fn wire(&self) -> Wire {
        Wire::connect(self.edge)
    }

    /// Sends a chat over a connection of its own.
    pub fn chat(&self, body: &Value) -> Reply {
        post(self.edge, "/v1/chat/completions", &[], body)
    }

    /// Reads from its admin API.
    pub fn admin(&self, path: &str) -> Reply {
        get(self.admin, path)
    }

    /// The trace of a request, once it has ended.
    pub fn trace(&self, id: &str) -> Value {
        eventually(&format!("the trace of {id}"), || {
            let reply = self.admin(&format!("/traces/{id}"));
            (reply.status() == 200).then(|| reply.json())
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal by name (`TERM`, `QUIT`, `HUP`).
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("its state").is_none()
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually("the gateway's end", || child.try_wait().expect("its state"))
    }

    /// Bytes of memory that it holds.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("its status");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its memory");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") * 1024
    }
}

/// Sends a process a signal by name.
fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().expect("kill");
    assert!(status.success(), "kill -{name} {pid}");
}

fn spawn(set: &Set, log: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Child {
    let out = std::fs::File::create(out_beside(log)).expect("a file for its output");
    let err = std::fs::File::create(log).expect("a log");
    Command::new(weir_binary())
        .arg("serve")
        .arg(set.path())
        .arg("--admin")
        .arg(set.admin.to_string())
        .args(arguments)
        .envs(variables.iter().copied())
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .spawn()
        .expect("weir starts")
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            // From a panic on, if there was one: what follows it is its backtrace.
            let panic = lines.iter().rposition(|line| line.contains(" panicked at "));
            let from = panic.unwrap_or(lines.len().saturating_sub(30));
            let last: Vec<&str> = lines.into_iter().skip(from).take(30).collect();
            #[allow(clippy::print_stderr, reason = "shown under the failing test")]
            {
                eprintln!("--- the gateway's log ---\n{}", last.join("\n"));
            }
        }
    }
}
