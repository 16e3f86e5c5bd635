//! TLS towards a client, with buffers that exist only while something is in them.
//!
//! rustls' own buffers never shrink below 4 KiB once a byte was read, which is half the memory of a connection that
//! waits for its client. So this is not tokio-rustls. rustls' unbuffered interface leaves the buffers to its user:
//! ```text
//!             ┌──────────┐ records  ┌─────────┐ plaintext ┌───────┐
//!  socket ──▶ │ incoming │ ───────▶ │ session │ ────────▶ │ plain │ ──▶ reader     filled only when empty
//!             └──────────┘          │         │           └───────┘
//!             ┌──────────┐ records  │         │
//!  socket ◀── │ outgoing │ ◀─────── │         │ ◀────────────────────── writer     filled only when empty
//!             └──────────┘          └─────────┘
//! ```
//! * `incoming` holds part of a record, or of a handshake message of several: at most [`INCOMING_BYTES_MAX`] and one
//!   read.
//! * `plain` holds the plaintext of what `incoming` held.
//! * `outgoing` holds the records of one write of [`WRITE_BYTES_MAX`], and what the session sends by itself.
//!
//! Since each buffer must be empty before the stage before it runs again, none grows with what the peer does.
//!
//! The end of the socket without close_notify is an error: without it, an attacker could cut a body short unnoticed. So
//! is everything that the session refuses; the alert about it is written as far as the socket has room.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls::CommonState;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::io::poll_read_buf;

/// Least room of a read.
const READ_BYTES: usize = 4_096;
/// Header of a record: type, version, and two bytes of length (RFC 8446 section 5.1).
const HEADER_BYTES: usize = 5;
/// A record with its header. In TLS 1.2 the ciphertext may be 2 KiB longer than the plaintext (RFC 5246 section 6.2.3).
const RECORD_BYTES_MAX: usize = HEADER_BYTES + 16 * 1_024 + 2_048;
/// Bytes of an incomplete handshake message. rustls' own buffers have the same bound. A message is no longer than this,
/// but may come in records of one byte each.
const INCOMING_BYTES_MAX: usize = 64 * 1_024;
/// Bytes of one write: four records.
const WRITE_BYTES_MAX: usize = 64 * 1_024;
/// Bytes of small parts that are gathered into one record.
const GATHER_BYTES_MAX: usize = 16 * 1_024;
/// Room for the overhead of encrypting a write of four records, and for an alert.
const OVERHEAD_BYTES: usize = 256;
/// An empty buffer with more capacity is freed.
const KEPT_BYTES_MAX: usize = 8 * 1_024;

/// A session with a client, and its socket.
pub struct TlsStream {
    socket: TcpStream,
    session: UnbufferedServerConnection,
    /// Bytes read and not decrypted.
    incoming: Vec<u8>,
    /// Decrypted bytes; `plain_read` of them were handed on.
    plain: Vec<u8>,
    plain_read: usize,
    /// Encrypted bytes; `outgoing_written` of them are in the socket.
    outgoing: Vec<u8>,
    outgoing_written: usize,
    /// Whether the client sent close_notify.
    peer_closed: bool,
    /// Whether the session refused something. Its alert is written then.
    failed: bool,
    /// Whether close_notify is sent, or in `outgoing`.
    closing: bool,
}

impl std::fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsStream").field("socket", &self.socket).finish_non_exhaustive()
    }
}

/// What to write once the session can.
enum Write<'a> {
    Nothing,
    Plaintext(&'a [u8]),
    CloseNotify,
}

impl TlsStream {
    /// A session before its handshake. `incoming` is what was read from the socket already.
    #[must_use]
    pub fn new(socket: TcpStream, session: UnbufferedServerConnection, incoming: Vec<u8>) -> Self {
        let (plain, outgoing) = (Vec::new(), Vec::new());
        let (plain_read, outgoing_written, peer_closed, failed, closing) = (0, 0, false, false, false);
        Self { socket, session, incoming, plain, plain_read, outgoing, outgoing_written, peer_closed, failed, closing }
    }

    /// Returns what the handshake has agreed on.
    #[must_use]
    #[inline]
    pub fn session(&self) -> &CommonState {
        &self.session
    }

    /// Shakes hands.
    ///
    /// # Errors
    /// As tokio-rustls: with a [`rustls::Error`] inside, if the session refused something or got an alert.
    pub async fn shake(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_shake(cx)).await
    }

    fn poll_shake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.advance(cx)?;
            let sent = self.poll_send(cx)?;
            if !self.session.is_handshaking() {
                return sent.map(Ok);
            }
            // Not waited for before reading: the client may answer while our bytes wait for room in the socket.
            if ready!(self.poll_receive(cx))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Frees the buffers that are empty.
    pub fn shrink(&mut self) {
        if self.incoming.is_empty() {
            self.incoming = Vec::new();
        }
        if self.plain.is_empty() {
            self.plain = Vec::new();
        }
        if self.outgoing.is_empty() {
            self.outgoing = Vec::new();
        }
    }

    /// Reads from the socket once; 0 = its end.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.incoming.len() >= INCOMING_BYTES_MAX {
            let why = "the client sends a handshake message that is too long";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
        }
        // Without a buffer, the socket is asked first: a connection that waits for its client allocates nothing.
        if self.incoming.capacity() == 0 {
            ready!(self.socket.poll_read_ready(cx))?;
        }
        // Room for the rest of a record that has begun, so that it comes in one read.
        let record = match self.incoming.get(..HEADER_BYTES) {
            Some(&[.., high, low]) => HEADER_BYTES + usize::from(u16::from_be_bytes([high, low])),
            _ => 0,
        };
        let missing = record.min(RECORD_BYTES_MAX).saturating_sub(self.incoming.len());
        self.incoming.reserve(missing.max(READ_BYTES));
        poll_read_buf(Pin::new(&mut self.socket), cx, &mut self.incoming)
    }

    /// Drives the session as far as it goes with what was read. If it fails, writes its alert.
    fn advance(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.failed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.drive(Write::Nothing).inspect_err(|_| {
            self.failed = true;
            self.take_alert();
            // Best effort: the error is reported whether or not the alert leaves.
            let _sent = self.poll_send(cx);
        })
    }

    /// Runs the session's states until it waits for bytes, and does `write` once it can write.
    fn drive(&mut self, mut write: Write<'_>) -> io::Result<()> {
        loop {
            let UnbufferedStatus { mut discard, state } = self.session.process_tls_records(&mut self.incoming);
            let outcome = match state {
                Err(error) => Err(error.into()),
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    let mut read = Ok(true);
                    while let Some(record) = traffic.next_record() {
                        match record {
                            Ok(record) => {
                                discard += record.discard;
                                self.plain.extend_from_slice(record.payload);
                            }
                            Err(error) => read = Err(error.into()),
                        }
                    }
                    read
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    append(&mut self.outgoing, 0, |room| data.encode(room)).map(|()| true)
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    // Everything in `outgoing` is sent in order, so this counts as sent already.
                    data.done();
                    Ok(true)
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.peer_closed = true;
                    Ok(true)
                }
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    let outgoing = &mut self.outgoing;
                    match std::mem::replace(&mut write, Write::Nothing) {
                        Write::Nothing => Ok(()),
                        Write::Plaintext(plain) => append(outgoing, plain.len(), |room| traffic.encrypt(plain, room)),
                        Write::CloseNotify => append(outgoing, 0, |room| traffic.queue_close_notify(room)),
                    }
                    .map(|()| false)
                }
                Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed) => match write {
                    Write::Plaintext(_) => Err(Fault::Closed),
                    Write::Nothing | Write::CloseNotify => Ok(false),
                },
                // The other states are of early data, which is never accepted.
                Ok(_) => Err(Fault::Closed),
            };
            self.incoming.drain(..discard);
            if !outcome? {
                return Ok(());
            }
        }
    }

    /// Encodes the alert of a session that has failed. Only while the session has something to write: driven further,
    /// it would read `incoming` and fail once more.
    fn take_alert(&mut self) {
        while self.session.wants_write() {
            let UnbufferedStatus { discard, state } = self.session.process_tls_records(&mut self.incoming);
            let encoded = match state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    append(&mut self.outgoing, 0, |room| data.encode(room)).is_ok()
                }
                _ => false,
            };
            self.incoming.drain(..discard);
            if !encoded {
                return;
            }
        }
    }

    /// Writes `outgoing` into the socket.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.outgoing_written < self.outgoing.len() {
            let left = &self.outgoing[self.outgoing_written..];
            let written = ready!(Pin::new(&mut self.socket).poll_write(cx, left))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outgoing_written += written;
        }
        (self.outgoing_written, self.outgoing) = (0, emptied(std::mem::take(&mut self.outgoing)));
        Poll::Ready(Ok(()))
    }
}

/// Why a write failed.
enum Fault {
    Refused(rustls::Error),
    /// The session is over, or has sent as much as its keys may.
    Closed,
}

impl From<rustls::Error> for Fault {
    fn from(error: rustls::Error) -> Self {
        Self::Refused(error)
    }
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Refused(error) => Self::new(io::ErrorKind::InvalidData, error),
            Fault::Closed => io::ErrorKind::BrokenPipe.into(),
        }
    }
}

/// An error of putting something into a buffer.
trait Short {
    /// The room that is needed, if there was too little.
    fn required(&self) -> Option<usize>;
}

impl Short for EncodeError {
    fn required(&self) -> Option<usize> {
        match self {
            Self::InsufficientSize(short) => Some(short.required_size),
            Self::AlreadyEncoded => None,
        }
    }
}

impl Short for EncryptError {
    fn required(&self) -> Option<usize> {
        match self {
            Self::InsufficientSize(short) => Some(short.required_size),
            Self::EncryptExhausted => None,
        }
    }
}

/// Appends to a buffer what `put` writes, which is about `bytes` long.
fn append<E: Short>(
    buffer: &mut Vec<u8>,
    bytes: usize,
    mut put: impl FnMut(&mut [u8]) -> Result<usize, E>,
) -> Result<(), Fault> {
    let from = buffer.len();
    let mut room = bytes + OVERHEAD_BYTES;
    loop {
        buffer.resize(from + room, 0);
        let put = put(&mut buffer[from..]);
        buffer.truncate(from + put.as_ref().map_or(0, |bytes| *bytes));
        match put {
            Ok(_) => return Ok(()),
            // The error says how much room is needed, so that the second try is the last.
            Err(error) => match error.required().filter(|required| *required > room) {
                Some(required) => room = required,
                None => return Err(Fault::Closed),
            },
        }
    }
}

/// Empties a buffer, and frees it if it is large.
fn emptied(mut buffer: Vec<u8>) -> Vec<u8> {
    buffer.clear();
    if buffer.capacity() > KEPT_BYTES_MAX { Vec::new() } else { buffer }
}

impl AsyncRead for TlsStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            let plain = &this.plain[this.plain_read..];
            if !plain.is_empty() {
                let part = plain.len().min(buf.remaining());
                buf.put_slice(&plain[..part]);
                this.plain_read += part;
                if this.plain_read == this.plain.len() {
                    (this.plain_read, this.plain) = (0, emptied(std::mem::take(&mut this.plain)));
                }
                return Poll::Ready(Ok(()));
            }
            if this.peer_closed {
                return Poll::Ready(Ok(()));
            }
            if ready!(this.poll_receive(cx))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            this.advance(cx)?;
            if this.incoming.is_empty() {
                this.incoming = emptied(std::mem::take(&mut this.incoming));
            }
        }
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(cx))?;
        if self.failed || self.closing {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let part = &buf[..buf.len().min(WRITE_BYTES_MAX)];
        self.drive(Write::Plaintext(part))?;
        // The rest is written before the next write, and by a flush. These bytes count as written: they are encrypted,
        // and cannot be taken back.
        if let Poll::Ready(Err(error)) = self.poll_send(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(part.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut parts = bufs.iter().filter(|part| !part.is_empty());
        let first = parts.next().map_or(&[][..], |part| &**part);
        let rest = GATHER_BYTES_MAX.saturating_sub(first.len());
        let Some(second) = parts.next().filter(|_| rest > 0) else { return self.poll_write(cx, first) };
        let all: usize = first.len() + second.len() + parts.clone().map(|part| part.len()).sum::<usize>();
        let mut gathered = Vec::with_capacity(all.min(GATHER_BYTES_MAX));
        gathered.extend_from_slice(first);
        for part in std::iter::once(second).chain(parts) {
            let room = GATHER_BYTES_MAX - gathered.len();
            gathered.extend_from_slice(&part[..part.len().min(room)]);
        }
        self.poll_write(cx, &gathered)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closing {
            self.closing = true;
            if !self.failed {
                self.drive(Write::CloseNotify)?;
            }
        }
        ready!(self.poll_send(cx))?;
        match ready!(Pin::new(&mut self.socket).poll_shutdown(cx)) {
            // The client closed first.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            shut => Poll::Ready(shut),
        }
    }
}
