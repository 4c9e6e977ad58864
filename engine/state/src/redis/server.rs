//! Real servers for tests: each in a folder of its own, on a free port of this machine, ended with the test.

use super::{RedisPlace, RedisSettings, RedisTls};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A server.
pub(crate) struct Server {
    pub folder: TempDir,
    pub port: u16,
    child: Option<Child>,
    options: Vec<String>,
}

impl Server {
    /// A server that forgets all when it ends.
    pub(crate) fn start() -> Self {
        Self::with(&["--save", "", "--appendonly", "no"])
    }

    /// A server that finds again what it had.
    pub(crate) fn durable() -> Self {
        Self::with(&["--save", "", "--appendonly", "yes", "--appendfsync", "always"])
    }

    pub(crate) fn with(options: &[&str]) -> Self {
        let mut server = Self {
            folder: tempfile::tempdir().unwrap(),
            port: free_port(),
            child: None,
            options: options.iter().map(ToString::to_string).collect(),
        };
        server.restart();
        server
    }

    /// Begins anew, in the same place.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string(), "--dir"])
            .arg(self.folder.path())
            .args(&self.options)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is needed for this test: `make setup` fetches it, or install it (Debian: apt-get install redis-server)");
        self.child = Some(child);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert_eq!(ended, None, "redis-server ended");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Stops it where it is, connections and all.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    /// Brings it back, whatever became of it.
    pub(crate) fn thaw_or_restart(&mut self) {
        match self.child {
            Some(_) => self.thaw(),
            None => self.restart(),
        }
    }

    fn signal(&self, name: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    pub(crate) fn settings(&self) -> RedisSettings {
        settings(RedisPlace::Single(format!("redis://127.0.0.1:{}", self.port)))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) fn settings(place: RedisPlace) -> RedisSettings {
    RedisSettings {
        place,
        username: None,
        password: None,
        tls: RedisTls::default(),
        timeout: Duration::from_millis(500),
        prefix: "weir".to_owned(),
    }
}

/// A port that nobody had a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
