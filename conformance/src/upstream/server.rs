//! The scripted upstream over sockets: HTTP/1.1 written by hand, so that it can misbehave.
//!
//! One port is the provider; the first segment of a path names which one. The other is the control port: `POST /script` loads
//! answers, `GET /seen` tells what came, `GET /now` the time on its clock.

use super::{Act, Got, play};
use crate::case::EntrySpec;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// What `POST /script` takes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Script {
    /// Answers, in order.
    #[serde(default)]
    pub answers: Vec<Reaction>,
    /// What to answer when there are no more; without it such a call is a problem.
    #[serde(default)]
    pub otherwise: Option<Reaction>,
}

/// One answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reaction {
    /// As cases script it.
    Entry(Box<EntrySpec>),
    /// Step by step.
    Acts(Vec<Act>),
}

/// What `GET /seen` gives.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Record {
    /// The calls since the script was loaded, in order.
    pub calls: Vec<CallRecord>,
    /// Answers not asked for.
    pub left: usize,
    /// What does not agree with the script.
    pub problems: Vec<String>,
}

/// One call.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CallRecord {
    /// Which connection it came over, from 1.
    pub connection: u64,
    /// The method.
    pub method: String,
    /// The provider: the first segment of the path.
    pub provider: String,
    /// The rest of the path.
    pub path: String,
    /// The headers as they came, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body; bytes that are no UTF-8 are replaced.
    pub body: String,
    /// The body's length in bytes.
    pub body_len: usize,
    /// Whether the answer was played to its end.
    pub is_finished: bool,
    /// When the gateway closed the connection under the answer, in milliseconds on this process's clock.
    pub gone_at: Option<u64>,
    /// How many acts were played.
    pub played: usize,
}

struct Shared {
    began: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    answers: VecDeque<Reaction>,
    otherwise: Option<Reaction>,
    record: Record,
    /// Counts scripts, so that what belongs to an old one is not recorded in a new one.
    generation: u64,
    connections: u64,
    calls: usize,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Serves both ports for ever.
///
/// # Errors
/// What the sockets say.
pub async fn serve(provider: TcpListener, control: TcpListener) -> io::Result<()> {
    let shared = Arc::new(Shared { began: Instant::now(), state: Mutex::default() });
    let mine = Arc::clone(&shared);
    tokio::spawn(async move {
        while let Ok((stream, _)) = control.accept().await {
            let shared = Arc::clone(&mine);
            tokio::spawn(async move {
                // A control connection that breaks is its sender's trouble.
                let _ = controlled(stream, &shared).await;
            });
        }
    });
    loop {
        let (stream, _) = provider.accept().await?;
        stream.set_nodelay(true)?;
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let connection = {
                let mut state = shared.state();
                state.connections += 1;
                state.connections
            };
            // A gateway that leaves is recorded; other trouble of a connection ends it.
            let _ = connected(stream, connection, &shared).await;
        });
    }
}

/// A request's head and body.
struct Received {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Received {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }
}

/// Reads one request; `None` at the connection's end.
async fn receive(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Received>> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if more(stream, buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(buffer.get(..end).unwrap_or_default()).into_owned();
    buffer.drain(..end + 4);
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or("").split(' ');
    let (method, target) = (first.next().unwrap_or("").to_owned(), first.next().unwrap_or("").to_owned());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut received = Received { method, target, headers, body: Vec::new() };
    if received.header("transfer-encoding").is_some() {
        received.body = chunked(stream, buffer).await?;
    } else {
        let length = received.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        while buffer.len() < length {
            if more(stream, buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        received.body = buffer.drain(..length).collect();
    }
    Ok(Some(received))
}

async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let mut piece = vec![0; 64 << 10];
    let n = stream.read(&mut piece).await?;
    buffer.extend_from_slice(piece.get(..n).unwrap_or_default());
    Ok(n)
}

async fn chunked(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = loop {
            if let Some(at) = buffer.windows(2).position(|window| window == b"\r\n") {
                let line: Vec<u8> = buffer.drain(..at + 2).collect();
                break String::from_utf8_lossy(&line).trim().to_owned();
            }
            if more(stream, buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let size = usize::from_str_radix(&line, 16).map_err(|_| io::ErrorKind::InvalidData)?;
        while buffer.len() < size + 2 {
            if more(stream, buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        body.extend(buffer.drain(..size));
        buffer.drain(..2);
        if size == 0 {
            return Ok(body);
        }
    }
}

async fn connected(mut stream: TcpStream, connection: u64, shared: &Shared) -> io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(received) = receive(&mut stream, &mut buffer).await? {
        let (acts, generation, place) = answer(&received, connection, shared);
        let mut played = 0;
        let played_well = perform(&mut stream, &acts, &mut played).await;
        let mut state = shared.state();
        let now = shared.now();
        if state.generation == generation
            && let Some(call) = state.record.calls.get_mut(place)
        {
            call.played = played;
            match &played_well {
                Ok(Ended::Gone) | Err(_) => call.gone_at = Some(now),
                Ok(Ended::Kept | Ended::Closed) => call.is_finished = true,
            }
        }
        drop(state);
        match played_well? {
            Ended::Kept => {}
            Ended::Closed | Ended::Gone => break,
        }
    }
    Ok(())
}

/// Notes a call and picks its answer: the acts, the script's number and the call's place in it.
fn answer(received: &Received, connection: u64, shared: &Shared) -> (Vec<Act>, u64, usize) {
    let trimmed = received.target.trim_start_matches('/');
    let (provider, rest) = trimmed.split_once('/').unwrap_or((trimmed, ""));
    let path = format!("/{rest}");
    let got = Got::read(&path, &received.body);
    let mut state = shared.state();
    state.record.calls.push(CallRecord {
        connection,
        method: received.method.clone(),
        provider: provider.to_owned(),
        path,
        headers: received.headers.clone(),
        body: String::from_utf8_lossy(&received.body).into_owned(),
        body_len: received.body.len(),
        ..CallRecord::default()
    });
    state.calls += 1;
    let (n, place) = (state.calls, state.record.calls.len() - 1);
    let target = format!("{provider}/{}", got.model);
    let acts = match state.answers.pop_front().or_else(|| state.otherwise.clone()) {
        Some(Reaction::Acts(acts)) => acts,
        Some(Reaction::Entry(entry)) => {
            if let Some(wanted) = entry.target.as_ref().filter(|wanted| **wanted != target) {
                state
                    .record
                    .problems
                    .push(format!("call {} went to {target}, the script says {wanted}", place + 1));
            }
            play(&entry, &got, place + 1)
        }
        None => {
            state.record.problems.push(format!("call {} to {target} is not in the script", place + 1));
            let entry = EntrySpec { status: Some(500), ..EntrySpec::default() };
            play(&entry, &got, n)
        }
    };
    (acts, state.generation, place)
}

enum Ended {
    /// The connection can take another request.
    Kept,
    /// The script closed it.
    Closed,
    /// The gateway closed it.
    Gone,
}

async fn perform(stream: &mut TcpStream, acts: &[Act], played: &mut usize) -> io::Result<Ended> {
    let mut is_chunked = false;
    for act in acts {
        match act {
            Act::Wait(millis) => {
                if gone(stream, Duration::from_millis(*millis)).await {
                    return Ok(Ended::Gone);
                }
            }
            Act::Head { status, headers } => {
                is_chunked = !headers.iter().any(|(name, _)| name == "content-length");
                let mut head = format!("HTTP/1.1 {status} scripted\r\n");
                for (name, value) in headers {
                    head.push_str(&format!("{name}: {value}\r\n"));
                }
                if is_chunked {
                    head.push_str("transfer-encoding: chunked\r\n");
                }
                head.push_str("\r\n");
                stream.write_all(head.as_bytes()).await?;
            }
            Act::Data(text) => piece(stream, text.as_bytes(), is_chunked).await?,
            Act::Binary(bytes) => piece(stream, bytes, is_chunked).await?,
            Act::Raw(bytes) => stream.write_all(bytes).await?,
            Act::End => {
                if is_chunked {
                    stream.write_all(b"0\r\n\r\n").await?;
                }
                *played += 1;
                return Ok(Ended::Kept);
            }
            Act::Cut | Act::Refuse => {
                *played += 1;
                stream.shutdown().await?;
                return Ok(Ended::Closed);
            }
            Act::Stall => {
                gone(stream, Duration::from_secs(3600)).await;
                return Ok(Ended::Gone);
            }
        }
        *played += 1;
    }
    if is_chunked {
        stream.write_all(b"0\r\n\r\n").await?;
    }
    Ok(Ended::Kept)
}

async fn piece(stream: &mut TcpStream, bytes: &[u8], is_chunked: bool) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    if !is_chunked {
        return stream.write_all(bytes).await;
    }
    let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
    framed.extend_from_slice(bytes);
    framed.extend_from_slice(b"\r\n");
    stream.write_all(&framed).await
}

/// Waits, watching whether the other side leaves. Nothing is read: what it sends meanwhile stays for later.
async fn gone(stream: &TcpStream, time: Duration) -> bool {
    let watch = async {
        let mut one = [0];
        loop {
            match stream.peek(&mut one).await {
                Ok(0) | Err(_) => return,
                // It sends on while it waits for an answer: look again later.
                Ok(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::select! {
        () = tokio::time::sleep(time) => false,
        () = watch => true,
    }
}

async fn controlled(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(received) = receive(&mut stream, &mut buffer).await? {
        let (status, body) = match (received.method.as_str(), received.target.as_str()) {
            ("POST", "/script") => match serde_json::from_slice::<Script>(&received.body) {
                Ok(script) => {
                    let mut state = shared.state();
                    state.answers = script.answers.into();
                    state.otherwise = script.otherwise;
                    state.record = Record::default();
                    state.generation += 1;
                    (200, "{}".to_owned())
                }
                Err(error) => (400, json!({ "error": error.to_string() }).to_string()),
            },
            ("GET", "/seen") => {
                let state = shared.state();
                let mut record = state.record.clone();
                record.left = state.answers.len();
                (200, serde_json::to_string(&record).unwrap_or_default())
            }
            ("GET", "/now") => (200, json!({ "now": shared.now() }).to_string()),
            _ => (404, "{}".to_owned()),
        };
        let head = format!(
            "HTTP/1.1 {status} control\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
    }
    Ok(())
}
