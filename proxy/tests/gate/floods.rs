//! HTTP/2 floods, frame by frame: the connection gets ENHANCE_YOUR_CALM, is cut after bounded work, and no other client
//! notices.

use std::io::Write;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::rig::{Gate, PATIENCE, Upstream, assert_row, read_request};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ENHANCE_YOUR_CALM: [u8; 4] = [0, 0, 0, 11];
/// Far more than any bound allows.
const MANY: usize = 50_000;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// GET or POST https://localhost/api by HPACK's static table (RFC 7541 appendix A).
fn request(method: u8) -> Vec<u8> {
    let mut block = vec![method, 0x87, 0x04, 4];
    block.extend(b"/api");
    block.extend([0x01, 9]);
    block.extend(b"localhost");
    block
}

const GET: u8 = 0x82;
const POST: u8 = 0x83;

struct Received {
    kind: u8,
    flags: u8,
    payload: Vec<u8>,
}

pub struct Client {
    reader: ReadHalf<TlsStream<TcpStream>>,
    writer: WriteHalf<TlsStream<TcpStream>>,
}

impl Client {
    async fn connect(gate: &Gate) -> Self {
        let mut client = Self::silent(gate).await;
        client.writer.write_all(&hello()).await.unwrap();
        client
    }

    /// TLS alone.
    pub async fn silent(gate: &Gate) -> Self {
        let config = tollgate_tls::client(Some(gate.ca.roots()), None, &["h2"]).unwrap();
        let stream = TcpStream::connect(gate.tls).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(config);
        let stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
        let (reader, writer) = tokio::io::split(stream);
        Self { reader, writer }
    }

    /// Sends PINGs until the connection is cut.
    pub async fn ping(gate: &Gate) {
        let ping = frame(PING, 0, 0, &[7; 8]);
        assert!(calmed(&Self::connect(gate).await.flood(Vec::new(), move |_| ping.clone()).await));
    }

    /// Sends the first frames with one GET, and returns whether DATA came before the end.
    pub async fn get_first(&mut self) -> bool {
        let get = frame(HEADERS, END_HEADERS | END_STREAM, 1, &request(GET));
        let _refused = self.writer.write_all(&[hello(), get].concat()).await;
        self.read_to_end().await
    }

    /// Waits for the end, and returns whether DATA came before.
    pub async fn read_to_end(&mut self) -> bool {
        let reading = async {
            let mut data = false;
            while let Some(frame) = next(&mut self.reader).await {
                data |= frame.kind == DATA;
                if frame.kind == PING && frame.flags == 0 {
                    let _closed = self.writer.write_all(&super::floods::frame(PING, ACK, 0, &frame.payload)).await;
                }
            }
            data
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("the connection is closed")
    }

    /// Sends `first`, then `again` more often than any bound allows, and returns what came until the end.
    async fn flood(self, first: Vec<u8>, again: impl Fn(u32) -> Vec<u8> + Send + 'static) -> Vec<Received> {
        let Self { mut reader, mut writer } = self;
        let sending = tokio::spawn(async move {
            writer.write_all(&first).await?;
            for nth in 0..MANY as u32 {
                writer.write_all(&again(nth)).await?;
            }
            writer.flush().await?;
            // Open until the other side closes.
            std::future::pending::<std::io::Result<()>>().await
        });
        let mut received = Vec::new();
        let reading = async {
            while let Some(frame) = next(&mut reader).await {
                received.push(frame);
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("the connection is cut");
        sending.abort();
        received
    }
}

fn hello() -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &frame(SETTINGS, 0, 0, &[])].concat()
}

async fn next(reader: &mut ReadHalf<TlsStream<TcpStream>>) -> Option<Received> {
    let mut head = [0; 9];
    reader.read_exact(&mut head).await.ok()?;
    let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
    reader.read_exact(&mut payload).await.ok()?;
    Some(Received { kind: head[3], flags: head[4], payload })
}

fn calmed(received: &[Received]) -> bool {
    received.iter().any(|frame| frame.kind == GOAWAY && frame.payload[4..8] == ENHANCE_YOUR_CALM)
}

fn acknowledged(received: &[Received], kind: u8) -> usize {
    received.iter().filter(|frame| frame.kind == kind && frame.flags == ACK).count()
}

/// Asserts that the one connection was cut for `cause`, and that another is served.
async fn others_are_served(gate: Gate, cause: &'static str, detail: &'static str) -> Vec<Value> {
    tokio::task::spawn_blocking(move || {
        assert!(gate.get("/api").ends_with("hello"));
        let floods = crate::rig::get_text(gate.admin, "/metrics");
        let counted = format!("tollgate_proxy_http2_floods_total{{cause=\"{cause}\",listener=\"tls\"}} 1\n");
        let found: Vec<_> = floods.lines().filter(|line| line.contains("floods_total{")).collect();
        assert!(floods.contains(&counted), "{counted} in {found:?}");
        let rows = gate.finish();
        let cut =
            rows.iter().find(|row| row.get("http.response.status_code").is_none() && row.get("url.path").is_none());
        let cut = cut.unwrap_or_else(|| panic!("no record of the cut connection in {rows:#?}"));
        assert_row(
            cut,
            json!({"error.type": "rate_limited", "tollgate.termination": "gateway", "client.address": "127.0.0.1"}),
        );
        assert!(cut["error.message"].as_str().unwrap().contains(detail), "{cut:#}");
        rows
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn control_frames() {
    let settings = [0, 3, 0, 0, 0, 100];
    let kinds: [(&str, Vec<u8>); 6] = [
        ("ping", frame(PING, 0, 0, &[7; 8])),
        ("acknowledged ping", frame(PING, ACK, 0, &[7; 8])),
        ("settings", frame(SETTINGS, 0, 0, &settings)),
        ("priority", frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 16])),
        ("window update", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("unknown", frame(0xbe, 0, 0, b"anything")),
    ];
    for (name, flood) in kinds {
        let bounds = "http2: {control_frame_burst_max: 50, control_frames_per_second_max: 1}";
        let gate = Gate::before(&Upstream::answering(OK), bounds);
        let kind = flood[3];
        let received = Client::connect(&gate).await.flood(Vec::new(), move |_| flood.clone()).await;
        assert!(calmed(&received), "{name}");
        // A slow loop gets a few more, by the second.
        assert!(acknowledged(&received, kind) <= 50 + PATIENCE.as_secs() as usize, "{name}: work without a bound");
        others_are_served(gate, "control_frames", "too many HTTP/2 control frames").await;
    }
}

#[tokio::test]
async fn rapid_reset_before_streams_are_accepted() {
    let gate = Gate::before(&Upstream::answering(OK), "");
    let received = Client::connect(&gate).await.flood(Vec::new(), |nth| {
        let headers = frame(HEADERS, END_HEADERS | END_STREAM, 2 * nth + 1, &request(GET));
        [headers, frame(RST_STREAM, 0, 2 * nth + 1, &[0, 0, 0, 8])].concat()
    });
    assert!(calmed(&received.await));
    let rows = tokio::task::spawn_blocking(move || {
        assert!(gate.get("/api").ends_with("hello"));
        assert_eq!(gate.metric("tollgate_proxy_http2_floods_total"), 1.0);
        gate.finish()
    });
    let rows = rows.await.unwrap();
    assert!(rows.len() < 1_000, "{} transactions of {MANY}", rows.len());
}

#[tokio::test]
async fn streams_that_are_reset_once_they_are_answered() {
    let upstream = Upstream::start(|mut stream, _| {
        while let Some(request) = read_request(&mut stream) {
            // The HTTP/1.1 client gets all of it.
            let whole = request.contains("connection: close") || !request.contains("localhost");
            let answer: &[u8] = if whole { OK } else { b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe" };
            if stream.write_all(answer).is_err() {
                return;
            }
        }
    });
    let bounds = "http2: {reset_burst_max: 5, resets_per_second_max: 1}";
    let targets = [format!("http://{}", upstream.addr)];
    let setup =
        crate::rig::Setup { targets: &targets, service: "    host: client", extra: bounds, ..Default::default() };
    let gate = Gate::with(&setup);
    let mut client = Client::connect(&gate).await;
    let (mut calm, mut answered) = (false, 0);
    let looped = async {
        for nth in 0..200 {
            let stream = 2 * nth + 1;
            if client.writer.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &request(GET))).await.is_err()
            {
                break;
            }
            loop {
                match next(&mut client.reader).await {
                    Some(frame) if frame.kind == HEADERS => break answered += 1,
                    Some(frame) => calm |= calmed(&[frame]),
                    None => return,
                }
            }
            if client.writer.write_all(&frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])).await.is_err() {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, looped).await.unwrap();
    assert!(calm);
    assert!((5..=12 + PATIENCE.as_secs() as usize).contains(&answered), "{answered}");
    let rows = others_are_served(gate, "resets", "too many HTTP/2 streams reset by the client").await;
    assert!(rows.iter().any(|row| row["error.type"] == "client_abort"), "{rows:#?}");
}

#[tokio::test]
async fn what_the_protocol_engine_bounds() {
    let open = |method| frame(HEADERS, END_HEADERS, 1, &request(method));
    // A field of 4,000 bytes in HPACK's dynamic table, then one byte for each reference to it.
    let mut bomb = request(GET);
    bomb.extend([0x40, 1, b'x', 0x7f, 0xa1, 0x1e]);
    bomb.extend([b'y'; 4_000]);
    bomb.extend([0xbe; 2_000]);
    let begun = frame(HEADERS, END_STREAM, 1, &request(GET));
    let padded = frame(DATA, 8, 1, &[&[200u8][..], &[0; 200]].concat());
    let floods: [(&str, Vec<u8>, Vec<u8>); 5] = [
        ("continuation", begun.clone(), frame(CONTINUATION, 0, 1, &[])),
        ("continuation with fields", begun, frame(CONTINUATION, 0, 1, &[0x40, 1, b'z', 1, b'z'])),
        ("header bomb", frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb), Vec::new()),
        ("empty data", open(POST), frame(DATA, 0, 1, &[])),
        ("padding alone", open(POST), padded),
    ];
    for (name, first, again) in floods {
        let gate = Gate::before(&Upstream::answering(OK), "");
        let received = Client::connect(&gate).await.flood(first, move |_| again.clone()).await;
        assert!(calmed(&received), "{name}");
        others_are_served(gate, "engine", "connection error detected").await;
    }
}

#[tokio::test]
async fn a_busy_client_is_no_flood() {
    let gate = Gate::before(&Upstream::answering(OK), "http2: {control_frame_burst_max: 20, reset_burst_max: 1}");
    let mut client = Client::connect(&gate).await;
    let looped = async {
        for nth in 0..300 {
            let priority = frame(PRIORITY, 0, 2 * nth + 1, &[0, 0, 0, 0, 16]);
            let get = frame(HEADERS, END_HEADERS | END_STREAM, 2 * nth + 1, &request(GET));
            client.writer.write_all(&[get, priority].concat()).await.unwrap();
            while next(&mut client.reader).await.expect("it is served").kind != DATA {}
        }
    };
    tokio::time::timeout(3 * PATIENCE, looped).await.unwrap();
    drop(client);
    let rows = tokio::task::spawn_blocking(move || gate.finish()).await.unwrap();
    assert_eq!(rows.len(), 300);
    assert!(rows.iter().all(|row| row["http.response.status_code"] == 200), "{rows:#?}");
}
