//! Sends a case's bytes over one connection, and sees what comes back and how it goes on.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::bytes;
use crate::case::Case;
use crate::message::{Message, Reader, Side};

/// Longest wait for one read. A server that says nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(8);

const PROBE: &[u8] = b"GET /probe HTTP/1.1\r\nHost: probe.example\r\nConnection: close\r\n\r\n";
const PROBED: &[u8] = b"probed";
/// Sent through a tunnel, to come back.
const ECHOED: &[u8] = b"through the tunnel";

/// How a connection goes on after the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The connection serves another request.
    Keep,
    /// The connection was closed, or serves no other request.
    Close,
    /// Bytes pass both ways.
    Tunnel,
    /// Neither: nothing came, and it is open.
    Hangs,
}

impl End {
    /// As it is written in cases.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Close => "close",
            Self::Tunnel => "tunnel",
            Self::Hangs => "hangs",
        }
    }
}

/// The client's view of an exchange.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The answers, interim ones too.
    pub answers: Vec<Message>,
    /// How it went on.
    pub end: End,
    /// The probe was answered, so it reached the upstream and left a record.
    pub probed: bool,
}

impl Seen {
    /// Statuses and end, as cases write them.
    #[must_use]
    pub fn summary(&self) -> String {
        let statuses = self.answers.iter().map(|answer| match (answer.status(), answer.complete) {
            (None, _) => "garbage".to_owned(),
            (Some(status), true) => status.to_string(),
            (Some(status), false) => format!("{status}-cut"),
        });
        let mut words: Vec<String> = statuses.collect();
        words.push(self.end.as_str().to_owned());
        words.join(" ")
    }

    /// All answers as text.
    #[must_use]
    pub fn text(&self) -> String {
        let bytes: Vec<u8> = self.answers.iter().flat_map(|answer| answer.raw.clone()).collect();
        bytes.iter().map(|b| char::from(*b)).collect()
    }
}

/// Runs `case` against the server at `addr`, which is expected to give `count` answers.
///
/// # Errors
/// When the server cannot be connected to.
pub fn run(addr: SocketAddr, case: &Case, count: usize) -> anyhow::Result<Seen> {
    let stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut writer = stream.try_clone()?;
    let mut reader = Reader::new(stream);
    let side = if case.send.starts_with("HEAD ") { Side::ResponseToHead } else { Side::Response };
    let mut answers = Vec::new();
    // A server that has answered and closed before it read everything makes writing fail; its answer is read all the same.
    let _closed_early = writer.write_all(&bytes::of_text(&case.send)?);
    // Where no answer is expected, it is the end that is waited for.
    let first = if case.then_send.is_some() { 1 } else { count.max(1) };
    read(&mut reader, side, first, &mut answers);
    if let Some(text) = &case.then_send {
        let _closed_early = writer.write_all(&bytes::of_text(text)?);
        read(&mut reader, side, count - first.min(count), &mut answers);
    }
    if answers.last().is_some_and(|answer: &Message| answer.status() == Some(101)) {
        return Ok(tunnel(answers, &mut writer, &mut reader));
    }
    if reader.ended || answers.len() < count {
        let end = if reader.ended { End::Close } else { End::Hangs };
        return Ok(Seen { answers, end, probed: false });
    }
    let _closed_early = writer.write_all(PROBE);
    read(&mut reader, side, usize::MAX, &mut answers);
    let probed = answers.last().is_some_and(|answer| answer.body == PROBED);
    if probed {
        answers.pop();
    }
    let end = match (probed, reader.ended) {
        (true, _) => End::Keep,
        (false, true) => End::Close,
        (false, false) => End::Hangs,
    };
    Ok(Seen { answers, end, probed })
}

/// Reads answers until there are `count`, or no more come.
fn read(reader: &mut Reader, side: Side, count: usize, answers: &mut Vec<Message>) {
    let before = answers.len();
    while answers.len() - before < count {
        // Only the first request of a case is a HEAD.
        let side =
            if answers.iter().any(|a: &Message| a.status().is_some_and(|s| s >= 200)) { Side::Response } else { side };
        let Some(answer) = reader.next(side) else { return };
        let (complete, switched) = (answer.complete, answer.status() == Some(101));
        answers.push(answer);
        if !complete || switched {
            return;
        }
    }
}

fn tunnel(answers: Vec<Message>, writer: &mut TcpStream, reader: &mut Reader) -> Seen {
    let _closed_early = writer.write_all(ECHOED);
    let end = if reader.read_bytes(ECHOED.len()) == ECHOED { End::Tunnel } else { End::Close };
    let _closed_early = writer.shutdown(Shutdown::Both);
    Seen { answers, end, probed: false }
}

/// One request on a connection of its own, for when the server must only be alive.
///
/// # Errors
/// When it cannot be connected to.
pub fn probe(addr: SocketAddr, mark: &str) -> anyhow::Result<bool> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET /probe/{mark} HTTP/1.1\r\nHost: probe.example\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    let _a_reset_is_an_end = stream.read_to_end(&mut answer);
    Ok(answer.ends_with(PROBED))
}
