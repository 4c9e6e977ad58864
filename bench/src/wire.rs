//! A kept HTTP/1.1 connection of a client that waits for its reply.

use memchr::memmem;
use std::io::{Error, ErrorKind};
use std::time::Instant;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection; its buffer is used again for every reply.
pub(crate) struct Wire {
    stream: TcpStream,
    read: Vec<u8>,
    body: Vec<u8>,
}

/// What came back.
pub(crate) struct Reply {
    /// The HTTP status.
    pub(crate) status: u16,
    /// When the body's first byte came.
    pub(crate) first: Option<Instant>,
    /// How many `data:` lines the body holds.
    pub(crate) events: usize,
    /// The values of `x-weir-cache` and `x-weir-revision`.
    pub(crate) cache: Option<String>,
    pub(crate) revision: Option<String>,
}

/// How a body ends.
enum Framing {
    Length(usize),
    Chunked,
}

impl Wire {
    pub(crate) async fn connect(port: u16) -> std::io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, read: Vec::with_capacity(64 << 10), body: Vec::new() })
    }

    /// Sends a request and reads its reply whole.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> std::io::Result<Reply> {
        self.stream.write_all(request).await?;
        self.read.clear();
        self.body.clear();
        let (mut reply, framing, mut at) = loop {
            self.more().await?;
            if let Some(found) = head(&self.read)? {
                break found;
            }
        };
        match framing {
            Framing::Length(length) => {
                while self.read.len() < at + length {
                    self.more().await?;
                }
                reply.first = Some(Instant::now());
            }
            Framing::Chunked => loop {
                let done = self.chunks(&mut at)?;
                if reply.first.is_none() && !self.body.is_empty() {
                    reply.first = Some(Instant::now());
                }
                if done {
                    break;
                }
                self.more().await?;
            },
        }
        reply.events = memmem::find_iter(&self.body, b"data:").count();
        Ok(reply)
    }

    async fn more(&mut self) -> std::io::Result<()> {
        match self.stream.read_buf(&mut self.read).await? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Takes the chunks that are there whole; whether the last one was among them.
    fn chunks(&mut self, at: &mut usize) -> std::io::Result<bool> {
        loop {
            let rest = self.read.get(*at..).unwrap_or_default();
            let Some(line) = memmem::find(rest, b"\r\n") else { return Ok(false) };
            let size = rest.get(..line).and_then(|hex| std::str::from_utf8(hex).ok());
            let size = size.and_then(|hex| usize::from_str_radix(hex.trim(), 16).ok());
            let size = size.ok_or_else(|| bad("a chunk has no size"))?;
            let Some(data) = rest.get(line + 2..line + 2 + size + 2) else { return Ok(false) };
            if size == 0 {
                return Ok(true);
            }
            self.body.extend_from_slice(data.get(..size).unwrap_or_default());
            *at += line + 2 + size + 2;
        }
    }
}

/// The head of a reply, how its body ends and where it begins; `None` if the head is not there yet.
fn head(read: &[u8]) -> std::io::Result<Option<(Reply, Framing, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(at) = parsed.parse(read).map_err(Error::other)? else { return Ok(None) };
    let header = |name: &str| {
        let found = parsed.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(found.value).ok()
    };
    let framing = match header("content-length") {
        Some(length) => Framing::Length(length.parse().map_err(Error::other)?),
        None if header("transfer-encoding").is_some() => Framing::Chunked,
        None => return Err(bad("a reply without an end")),
    };
    let reply = Reply {
        status: parsed.code.unwrap_or(0),
        first: None,
        events: 0,
        cache: header("x-weir-cache").map(str::to_owned),
        revision: header("x-weir-revision").map(str::to_owned),
    };
    Ok(Some((reply, framing, at)))
}

fn bad(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}
