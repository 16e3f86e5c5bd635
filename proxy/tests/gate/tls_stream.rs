//! The stream of a TLS connection, with bytes that come and go in any parts.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::parking::config;
use crate::rig::{Gate, PATIENCE, Upstream, read_until};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
const BODY_BYTES: usize = 3 << 20;

/// A socket that passes on as few bytes at a time as it can, in both directions.
struct Crumbs(TcpStream);

impl Read for Crumbs {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let some = buf.len().min(7);
        self.0.read(&mut buf[..some])
    }
}

impl Write for Crumbs {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(&buf[..buf.len().min(1)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn open<IO: Read + Write>(gate: &Gate, config: &Arc<ClientConfig>, io: fn(TcpStream) -> IO) -> Tls<IO> {
    let stream = TcpStream::connect(gate.tls).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    StreamOwned::new(ClientConnection::new(config.clone(), "localhost".try_into().unwrap()).unwrap(), io(stream))
}

type Tls<IO> = StreamOwned<ClientConnection, IO>;

/// Bytes that repeat late, so that a lost, doubled or moved byte shows.
fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

#[test]
fn large_bodies_pass_whole_both_ways() {
    let upstream = Upstream::start(|mut stream, _| {
        while read_until(&mut stream, "\r\n\r\n").is_some() {
            let mut body = vec![0; BODY_BYTES];
            stream.read_exact(&mut body).unwrap();
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {BODY_BYTES}\r\n\r\n").unwrap();
            stream.write_all(&body).unwrap();
        }
    });
    let gate = Gate::before(&upstream, "");
    let body = pattern(BODY_BYTES);
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let mut stream = open(&gate, &config(&gate.ca, version), |stream| stream);
        for _ in 0..2 {
            write!(stream, "POST /api HTTP/1.1\r\nhost: a\r\ncontent-length: {BODY_BYTES}\r\n\r\n").unwrap();
            stream.write_all(&body).unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
            let mut back = vec![0; BODY_BYTES];
            stream.read_exact(&mut back).unwrap();
            assert!(back == body, "another body came back");
        }
    }
    assert_eq!(gate.finish().len(), 4);
}

#[test]
fn it_does_not_matter_how_the_bytes_are_cut() {
    let gate = Gate::before(&Upstream::answering(OK), "");
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let mut stream = open(&gate, &config(&gate.ca, version), Crumbs);
        write!(stream, "GET /api HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
    }
    assert_eq!(gate.finish().len(), 2);
}

#[test]
fn a_hello_of_many_reads_is_one_hello() {
    let gate = Gate::before(&Upstream::answering(OK), "");
    let mut large = Arc::unwrap_or_clone(config(&gate.ca, &rustls::version::TLS13));
    // Some 20 KB: more than a record may hold.
    large.alpn_protocols = (0..200).map(|n| format!("{n:0>100}").into_bytes()).collect();
    large.alpn_protocols.push(b"http/1.1".to_vec());
    let mut stream = open(&gate, &Arc::new(large), |stream| stream);
    write!(stream, "GET /api HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("hello"), "{answer}");
    assert_eq!(gate.finish().len(), 1);
}

/// Reads one TLS record, and returns its type.
fn read_record(stream: &mut TcpStream) -> u8 {
    let mut head = [0; 5];
    stream.read_exact(&mut head).unwrap();
    let mut payload = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
    stream.read_exact(&mut payload).unwrap();
    head[0]
}

#[test]
fn a_handshake_message_in_crumbs_is_kept_up_to_a_bound() {
    let gate = Gate::before(&Upstream::answering(OK), "timeouts: {handshake: 10m}");
    let mut stream = TcpStream::connect(gate.tls).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let config = config(&gate.ca, &rustls::version::TLS12);
    let mut hello = ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
    hello.write_tls(&mut stream).unwrap();
    assert_eq!(read_record(&mut stream), 22, "it shakes hands");
    // A key exchange of 60,000 bytes (RFC 5246 section 7.4), of which each comes in a record of its own: six bytes.
    let begun = [22, 3, 3, 0, 4, 16, 0, 0xea, 0x60];
    let crumbs: Vec<u8> = begun.into_iter().chain([22, 3, 3, 0, 1, 0].repeat(12_000)).collect();
    // The gate may refuse it before all of it is sent.
    let _sent = stream.write_all(&crumbs);
    let _reset_counts_as_end = stream.read_to_end(&mut Vec::new());
    let rows = gate.rows(1);
    assert_eq!(rows.len(), 1, "{rows:#?}");
    let why = rows[0]["error.message"].as_str().unwrap();
    assert!(why.contains("too long"), "{why}");
}
