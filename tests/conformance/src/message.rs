//! Reading HTTP/1 messages as the plainest of servers and clients would, keeping the bytes as they came.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::net::TcpStream;

/// Largest message that is read.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// A message as it came over the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// Every byte of it.
    pub raw: Vec<u8>,
    /// Bytes of the head, with its empty line.
    pub head_bytes: usize,
    /// The body, without chunk sizes.
    pub body: Vec<u8>,
    /// The trailer section.
    pub trailers: Vec<u8>,
    /// The framing was followed to the end.
    pub complete: bool,
}

impl Message {
    /// The first line.
    #[must_use]
    pub fn first_line(&self) -> String {
        let head = &self.raw[..self.head_bytes];
        let end = head.iter().position(|b| *b == b'\n').unwrap_or(head.len());
        String::from_utf8_lossy(&head[..end]).trim_end().to_owned()
    }

    /// The status of a response.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        let line = self.first_line();
        line.starts_with("HTTP/1.").then(|| line.split(' ').nth(1)?.parse().ok())?
    }

    /// Names (in lower case) and values of the head's fields.
    #[must_use]
    pub fn fields(&self) -> Vec<(String, String)> {
        fields(&self.raw[..self.head_bytes])
    }

    /// The first field of this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<String> {
        self.fields().into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }
}

fn fields(head: &[u8]) -> Vec<(String, String)> {
    let text: String = head.iter().map(|b| char::from(*b)).collect();
    let lines = text.split('\n').skip(1).filter_map(|line| line.split_once(':'));
    lines.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect()
}

/// How the body of the next message ends where its fields do not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// A request: there is none.
    Request,
    /// A response: at the end of the connection.
    Response,
    /// A response to HEAD has no body, whatever its fields say.
    ResponseToHead,
}

/// A connection that messages are read from.
#[derive(Debug)]
pub struct Reader {
    stream: TcpStream,
    buffer: VecDeque<u8>,
    /// The peer has closed or reset the connection.
    pub ended: bool,
}

impl Reader {
    /// Reads from `stream`, whose read timeout is how long each wait may take.
    #[must_use]
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: VecDeque::new(), ended: false }
    }

    /// The next message; `None` at the end of the connection or of patience. One that breaks off comes incomplete.
    pub fn next(&mut self, side: Side) -> Option<Message> {
        let mut message = self.next_head()?;
        self.read_body(&mut message, side);
        Some(message)
    }

    /// The head of the next message.
    pub fn next_head(&mut self) -> Option<Message> {
        let mut message = Message::default();
        while !ends_head(&message.raw) {
            if !self.take_byte(&mut message.raw) {
                message.head_bytes = message.raw.len();
                return (!message.raw.is_empty()).then_some(message);
            }
        }
        message.head_bytes = message.raw.len();
        message.complete = true;
        Some(message)
    }

    /// The body that follows a head.
    pub fn read_body(&mut self, message: &mut Message, side: Side) {
        if !message.complete {
            return;
        }
        let bodyless = message.status().is_some_and(|status| status < 200 || status == 204 || status == 304);
        if side == Side::ResponseToHead || (side == Side::Response && bodyless) {
            return;
        }
        let chunked =
            message.field("transfer-encoding").is_some_and(|coding| coding.to_ascii_lowercase().ends_with("chunked"));
        let length = message.field("content-length").and_then(|length| length.parse::<usize>().ok());
        message.complete = match (chunked, length, side) {
            (true, _, _) => self.read_chunks(message).is_some(),
            (false, Some(length), _) => self.read_exactly(message, length),
            (false, None, Side::Response) => {
                while self.take_body_byte(message) {}
                self.ended
            }
            (false, None, _) => true,
        };
    }

    /// The next bytes, as many as `count` if there are.
    pub fn read_bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < count && self.take_byte(&mut bytes) {}
        bytes
    }

    fn read_exactly(&mut self, message: &mut Message, length: usize) -> bool {
        (0..length).all(|_| self.take_body_byte(message))
    }

    fn read_chunks(&mut self, message: &mut Message) -> Option<()> {
        loop {
            let line = self.take_line(message)?;
            let size = String::from_utf8_lossy(&line).trim().split(';').next().unwrap_or_default().trim().to_owned();
            let size = usize::from_str_radix(&size, 16).ok()?;
            if size == 0 {
                break;
            }
            self.read_exactly(message, size).then_some(())?;
            self.take_line(message)?;
        }
        loop {
            let line = self.take_line(message)?;
            if line == b"\r\n" || line == b"\n" {
                return Some(());
            }
            message.trailers.extend_from_slice(&line);
        }
    }

    fn take_line(&mut self, message: &mut Message) -> Option<Vec<u8>> {
        let from = message.raw.len();
        loop {
            self.take_byte(&mut message.raw).then_some(())?;
            if message.raw.ends_with(b"\n") {
                return Some(message.raw[from..].to_vec());
            }
        }
    }

    fn take_body_byte(&mut self, message: &mut Message) -> bool {
        let taken = self.take_byte(&mut message.raw);
        if taken {
            message.body.extend(message.raw.last());
        }
        taken
    }

    fn take_byte(&mut self, into: &mut Vec<u8>) -> bool {
        if self.buffer.is_empty() && !self.fill() {
            return false;
        }
        if into.len() >= MESSAGE_BYTES_MAX {
            return false;
        }
        into.extend(self.buffer.pop_front());
        true
    }

    fn fill(&mut self) -> bool {
        let mut some = [0; 16 * 1024];
        match self.stream.read(&mut some) {
            Ok(0) => self.ended = true,
            Ok(count) => self.buffer.extend(&some[..count]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(_) => self.ended = true,
        }
        !self.buffer.is_empty()
    }
}

fn ends_head(raw: &[u8]) -> bool {
    raw.ends_with(b"\r\n\r\n") || raw.ends_with(b"\n\n")
}
