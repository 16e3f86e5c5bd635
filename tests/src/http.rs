//! A small blocking HTTP/1.1 client with a deadline: for admin pages of processes that may be stopped or gone, and for
//! traffic whose every answer must be accounted for.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, ensure};

/// Longest answer head, and longest body that is kept.
const ANSWER_BYTES_MAX: u64 = 16 << 20;
/// How long an admin page may take.
const PAGE_TIMEOUT: Duration = Duration::from_secs(3);

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// X-Request-Id, if the answer has one.
    pub request_id: Option<String>,
    /// Retry-After, if the answer has one.
    pub retry_after: Option<String>,
    /// The connection ends with this answer.
    pub closes: bool,
    /// The body.
    pub body: Vec<u8>,
}

/// How an exchange failed.
#[derive(Debug)]
pub enum Failure {
    /// Before any byte of an answer: on a connection that was used before, the request may be sent again if it is
    /// idempotent (RFC 9110, section 9.2.2).
    Unanswered(io::Error),
    /// In the middle of the answer.
    Broken(io::Error),
}

/// A connection to one server.
#[derive(Debug)]
pub struct Connection {
    reader: BufReader<TcpStream>,
    /// Exchanges that it has seen to their end.
    pub exchanges: u64,
}

impl Connection {
    /// Connects; every wait of an exchange is at most `timeout`.
    ///
    /// # Errors
    /// When nothing accepts.
    pub fn open(addr: SocketAddr, timeout: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, timeout)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        Ok(Self { reader: BufReader::new(stream), exchanges: 0 })
    }

    /// Sends a request as it stands and reads its answer.
    ///
    /// # Errors
    /// When the connection ends or stalls before the answer is complete.
    pub fn exchange(&mut self, request: &[u8]) -> Result<Answer, Failure> {
        // A server that refuses early answers before it closes: what it said counts more than that writing failed.
        let written = self.reader.get_mut().write_all(request);
        match self.reader.fill_buf() {
            Ok([]) => return Err(Failure::Unanswered(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => {}
            Err(error) => return Err(Failure::Unanswered(written.err().unwrap_or(error))),
        }
        let answer = self.answer().map_err(Failure::Broken)?;
        self.exchanges += 1;
        Ok(answer)
    }

    fn answer(&mut self) -> io::Result<Answer> {
        let malformed = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| malformed(&first))?;
        let mut answer =
            Answer { status, request_id: None, retry_after: None, closes: first.starts_with("HTTP/1.0"), body: vec![] };
        let (mut length, mut chunked) = (None, false);
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = Some(value.parse::<u64>().map_err(|_| malformed(&line))?),
                "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
                "connection" => answer.closes |= value.eq_ignore_ascii_case("close"),
                "x-request-id" => answer.request_id = Some(value.to_owned()),
                "retry-after" => answer.retry_after = Some(value.to_owned()),
                _ => {}
            }
        }
        if chunked {
            while let size @ 1.. = u64::from_str_radix(self.line()?.trim(), 16).map_err(|_| malformed("chunk size"))? {
                self.read_body(size, &mut answer.body)?;
                self.line()?;
            }
            self.line()?;
        } else if let Some(length) = length {
            self.read_body(length, &mut answer.body)?;
        } else if answer.closes {
            self.reader.by_ref().take(ANSWER_BYTES_MAX).read_to_end(&mut answer.body)?;
        }
        Ok(answer)
    }

    fn read_body(&mut self, bytes: u64, body: &mut Vec<u8>) -> io::Result<()> {
        let read = self.reader.by_ref().take(bytes.min(ANSWER_BYTES_MAX)).read_to_end(body)?;
        if read as u64 == bytes { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.reader.by_ref().take(ANSWER_BYTES_MAX).read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.truncate(line.trim_end().len());
        Ok(line)
    }
}

/// Reads a page of a local admin endpoint, waiting for a few seconds at most.
///
/// # Errors
/// When it cannot be read in time, or answers anything but 200.
pub fn page(port: u16, path: &str) -> anyhow::Result<String> {
    let mut connection = Connection::open(([127, 0, 0, 1], port).into(), PAGE_TIMEOUT)?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    let answer = connection.exchange(request.as_bytes()).map_err(|failure| anyhow::anyhow!("{path}: {failure:?}"))?;
    let body = String::from_utf8(answer.body)?;
    ensure!(answer.status == 200, "{path} answers {}: {body}", answer.status);
    Ok(body)
}

/// The sum of a metric's samples whose labels contain `labels`, in a page of the Prometheus text format.
///
/// # Errors
/// When a sample's value is no number.
pub fn metric(page: &str, name: &str, labels: &str) -> anyhow::Result<f64> {
    let samples = page.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let (series, value) = rest.rsplit_once(' ')?;
        ((series.is_empty() || series.starts_with('{')) && series.contains(labels)).then_some(value)
    });
    samples.map(|value| value.parse::<f64>().with_context(|| format!("{name} is {value:?}"))).sum()
}
