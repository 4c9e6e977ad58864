//! A client of raw bytes: it sends what no HTTP library would and reads what comes, piece by piece.

use crate::frames;
use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// How long any one read may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection.
pub struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// The head of a reply.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// The status.
    pub status: u16,
    /// The headers as they came, names in lower case.
    pub headers: Vec<(String, String)>,
}

/// A reply.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// The head.
    pub head: Head,
    /// The body, without framing.
    pub body: Vec<u8>,
}

impl Head {
    /// The value of a header, the first if there are several.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    fn is_chunked(&self) -> bool {
        self.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    }
}

impl Reply {
    /// The status.
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// `error.code` of the body, or `code` where the error is all of it; empty if there is none.
    pub fn code(&self) -> String {
        let body = self.json();
        let places = ["/error/code", "/error/details/error_code", "/code"];
        let code = places.iter().find_map(|place| body.pointer(place));
        code.and_then(Value::as_str).unwrap_or("").to_owned()
    }

    /// The words of the first choice.
    pub fn words(&self) -> String {
        self.json().pointer("/choices/0/message/content").and_then(Value::as_str).unwrap_or("").to_owned()
    }

    /// The data of each event.
    pub fn events(&self) -> Vec<String> {
        if self.header("content-type").is_some_and(|value| value.starts_with(frames::MEDIA_TYPE)) {
            return frames::payloads(&self.body);
        }
        self.text()
            .replace("\r\n", "\n")
            .split("\n\n")
            .filter_map(|event| event.lines().find_map(|line| line.strip_prefix("data: ")).map(str::to_owned))
            .collect()
    }

    /// The words of a stream, put together.
    pub fn streamed(&self) -> String {
        let mut out = String::new();
        for event in self.events() {
            let json: Value = serde_json::from_str(&event).unwrap_or(Value::Null);
            out.push_str(json.pointer("/choices/0/delta/content").and_then(Value::as_str).unwrap_or(""));
        }
        out
    }
}

impl Wire {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Self {
        let stream =
            TcpStream::connect(address).unwrap_or_else(|error| panic!("connecting to {address}: {error}"));
        stream.set_nodelay(true).expect("nodelay");
        stream.set_read_timeout(Some(PATIENCE)).expect("read timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("write timeout");
        Self { stream, buffer: Vec::new() }
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// What the socket says: the other side may have closed it.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a request and reads the reply.
    ///
    /// # Errors
    /// What the socket says.
    pub fn exchange(&mut self, bytes: &[u8]) -> io::Result<Reply> {
        // A server that refuses early may have closed before all was sent; its reply counts.
        let sent = self.send(bytes);
        match self.reply() {
            Ok(reply) => Ok(reply),
            Err(error) => Err(sent.err().unwrap_or(error)),
        }
    }

    fn more(&mut self) -> io::Result<usize> {
        let mut piece = vec![0; 64 << 10];
        let n = self.stream.read(&mut piece)?;
        self.buffer.extend_from_slice(piece.get(..n).unwrap_or_default());
        Ok(n)
    }

    fn need_more(&mut self) -> io::Result<()> {
        if self.more()? == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..at + 2).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            self.need_more()?;
        }
    }

    /// Reads a reply's head; `100 Continue` is a head of its own.
    ///
    /// # Errors
    /// What the socket says; `UnexpectedEof` if it closed first.
    pub fn head(&mut self) -> io::Result<Head> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let mut head = Head { status, headers: Vec::new() };
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(head);
            }
            if let Some((name, value)) = line.split_once(':') {
                head.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
    }

    /// Reads the next chunk of a chunked body; `None` at its end.
    ///
    /// # Errors
    /// What the socket says; `UnexpectedEof` if it closed before the end.
    pub fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let line = self.line()?;
        let size = usize::from_str_radix(line.split(';').next().unwrap_or(""), 16)
            .map_err(|_| io::ErrorKind::InvalidData)?;
        while self.buffer.len() < size + 2 {
            self.need_more()?;
        }
        let chunk: Vec<u8> = self.buffer.drain(..size).collect();
        self.buffer.drain(..2);
        Ok(if size == 0 { None } else { Some(chunk) })
    }

    /// Reads the body that belongs to a head.
    ///
    /// # Errors
    /// What the socket says.
    pub fn body(&mut self, head: &Head) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if head.is_chunked() {
            while let Some(chunk) = self.chunk()? {
                body.extend(chunk);
            }
            return Ok(body);
        }
        match head.header("content-length").and_then(|text| text.parse::<usize>().ok()) {
            Some(length) => {
                while self.buffer.len() < length {
                    self.need_more()?;
                }
                Ok(self.buffer.drain(..length).collect())
            }
            None if head.status == 204 || head.status == 304 => Ok(body),
            None => {
                while self.more()? > 0 {}
                Ok(std::mem::take(&mut self.buffer))
            }
        }
    }

    /// Reads a whole reply, passing over `100 Continue`.
    ///
    /// # Errors
    /// What the socket says.
    pub fn reply(&mut self) -> io::Result<Reply> {
        let mut head = self.head()?;
        while head.status == 100 {
            head = self.head()?;
        }
        let body = self.body(&head)?;
        Ok(Reply { head, body })
    }

    /// Whether bytes of an answer are there to be read.
    pub fn is_answered(&mut self) -> bool {
        if !self.buffer.is_empty() {
            return true;
        }
        self.stream.set_nonblocking(true).expect("no waiting");
        let there = self.stream.peek(&mut [0]).is_ok_and(|n| n > 0);
        self.stream.set_nonblocking(false).expect("waiting");
        there
    }

    /// Whether the other side has closed, or closes within the patience of a read.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.more(), Ok(0)) || self.stream.peek(&mut [0]).is_err()
    }

    /// Says that nothing more will be sent.
    pub fn finish_sending(&mut self) {
        // A socket that is closed already needs no closing.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Gives up waiting for a read after this long.
    pub fn patience(&mut self, time: Duration) {
        self.stream.set_read_timeout(Some(time)).expect("read timeout");
    }
}

/// A request's bytes, with `host` and `content-length`.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut out = format!("{method} {path} HTTP/1.1\r\nhost: weir.test\r\n");
    for (name, value) in headers {
        out.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() || method == "POST" {
        out.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    out.push_str("\r\n");
    let mut out = out.into_bytes();
    out.extend_from_slice(body);
    out
}

/// Sends a `GET` over a connection of its own.
pub fn get(address: SocketAddr, path: &str) -> Reply {
    let bytes = request("GET", path, &[], b"");
    Wire::connect(address).exchange(&bytes).unwrap_or_else(|error| panic!("GET {path}: {error}"))
}

/// Sends a `POST` of JSON over a connection of its own.
pub fn post(address: SocketAddr, path: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
    let mut all = vec![("content-type", "application/json")];
    all.extend_from_slice(headers);
    let bytes = request("POST", path, &all, body.to_string().as_bytes());
    Wire::connect(address).exchange(&bytes).unwrap_or_else(|error| panic!("POST {path}: {error}"))
}

/// The body of a chat of one turn.
pub fn chat(model: &str, text: &str, stream: bool) -> Value {
    let mut body = serde_json::json!({ "model": model, "messages": [{ "role": "user", "content": text }] });
    if stream && let Some(fields) = body.as_object_mut() {
        fields.insert("stream".to_owned(), true.into());
    }
    body
}
