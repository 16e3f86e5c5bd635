//! Bounds on HTTP/2 frames that cost a client little and the gateway much: control frames of a few bytes, and streams
//! that are opened only to be reset (CVE-2023-44487, and the floods of CVE-2019-9511 to 9518).
//!
//! h2 bounds header lists, CONTINUATION, small and empty DATA, streams that are reset before they are accepted, and
//! streams that it has to reset itself. It bounds neither PING, SETTINGS, PRIORITY, WINDOW_UPDATE and unknown frames
//! nor streams that are reset after they were accepted. The meter therefore follows the socket's bytes from frame head
//! to frame head (RFC 9113 section 4.1), and skips payloads:
//!
//! ```text
//! control frames ─▶ bucket: burst + per second + one a request + one for each 256 bytes sent (WINDOW_UPDATE)
//! RST_STREAM ─────▶ bucket: burst + per second + one for two requests
//! ```
//! A client that finds a bucket empty gets a GOAWAY with ENHANCE_YOUR_CALM, unless another frame is half sent, and its
//! connection is closed. The clock is read only when a bucket runs out.

use std::time::{Duration, Instant};

use tollgate_proxy_config::Http2;

const FRAME_HEAD: usize = 9;
/// Bytes before a client's first frame (RFC 9113 section 3.4).
const PREFACE: u32 = 24;
/// Sent bytes that earn the client one more control frame. An acknowledgement of a PING has 17, so that pings earn
/// none.
const SENT_BYTES_PER_FRAME: u64 = 256;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
const GOAWAY: u8 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;
const STREAM_ID: u32 = (1 << 31) - 1;

/// The bound that a connection passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.detail())]
pub enum Flood {
    /// PING, SETTINGS, PRIORITY, WINDOW_UPDATE and the like.
    ControlFrames,
    /// Streams that the client reset.
    Resets,
}

impl Flood {
    /// Returns the label of the metric.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ControlFrames => "control_frames",
            Self::Resets => "resets",
        }
    }

    /// Returns the sentence for the record and for the client.
    #[must_use]
    pub fn detail(self) -> &'static str {
        match self {
            Self::ControlFrames => "too many HTTP/2 control frames",
            Self::Resets => "too many HTTP/2 streams reset by the client",
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Head {
    kind: u8,
    stream: u32,
}

/// Walks from frame head to frame head, across reads of any size.
#[derive(Debug)]
struct Walk {
    head: [u8; FRAME_HEAD],
    have: usize,
    payload_left: u32,
}

impl Walk {
    fn after(bytes: u32) -> Self {
        Self { head: [0; FRAME_HEAD], have: 0, payload_left: bytes }
    }

    /// Returns whether all frames so far are complete.
    fn at_boundary(&self) -> bool {
        self.have == 0 && self.payload_left == 0
    }

    fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(Head)) {
        while !bytes.is_empty() {
            let skipped = bytes.len().min(self.payload_left as usize);
            self.payload_left -= skipped as u32;
            bytes = &bytes[skipped..];
            let taken = bytes.len().min(FRAME_HEAD - self.have);
            self.head[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have == FRAME_HEAD {
                let [a, b, c, kind, _flags, s @ ..] = self.head;
                self.payload_left = u32::from_be_bytes([0, a, b, c]);
                self.have = 0;
                each(Head { kind, stream: u32::from_be_bytes(s) & STREAM_ID });
            }
        }
    }
}

/// A token bucket in thousandths of tokens. It is filled only when it runs out, by time and by what the client earned.
#[derive(Debug)]
struct Bucket {
    milli: u64,
    burst_milli: u64,
    per_second: u64,
    filled_at: Instant,
}

const TOKEN: u64 = 1_000;

impl Bucket {
    fn full(burst: u32, per_second: u32, now: Instant) -> Self {
        let burst_milli = u64::from(burst) * TOKEN;
        Self { milli: burst_milli, burst_milli, per_second: u64::from(per_second), filled_at: now }
    }

    /// Takes a token. `earned` returns the thousandths that the client earned since the last filling.
    fn take(&mut self, now: impl FnOnce() -> Instant, earned: impl FnOnce() -> u64) -> bool {
        if self.milli < TOKEN {
            let elapsed_ms = now().saturating_duration_since(self.filled_at).as_millis() as u64;
            self.filled_at += Duration::from_millis(elapsed_ms);
            let more = elapsed_ms.saturating_mul(self.per_second).saturating_add(earned());
            self.milli = self.milli.saturating_add(more).min(self.burst_milli);
        }
        match self.milli.checked_sub(TOKEN) {
            Some(left) => {
                self.milli = left;
                true
            }
            None => false,
        }
    }
}

/// Counts the frames of one client connection.
#[derive(Debug)]
pub struct FloodMeter {
    received: Walk,
    sent: Walk,
    control: Bucket,
    resets: Bucket,
    /// Sent bytes that have earned no control frame yet.
    sent_bytes: u64,
    /// Requests that have earned no token yet, for each bucket.
    requests: [u64; 2],
    last_stream: u32,
}

impl FloodMeter {
    /// Begins with full buckets.
    #[must_use]
    pub fn new(bounds: &Http2) -> Self {
        let now = Instant::now();
        Self {
            received: Walk::after(PREFACE),
            sent: Walk::after(0),
            control: Bucket::full(bounds.control_frame_burst_max, bounds.control_frames_per_second_max, now),
            resets: Bucket::full(bounds.reset_burst_max, bounds.resets_per_second_max, now),
            sent_bytes: 0,
            requests: [0; 2],
            last_stream: 0,
        }
    }

    /// Counts received bytes.
    ///
    /// # Errors
    /// The bound that is passed.
    #[inline]
    pub fn received(&mut self, bytes: &[u8], now: impl Fn() -> Instant) -> Result<(), Flood> {
        let Self { received, control, resets, sent_bytes, requests, last_stream, .. } = self;
        let mut outcome = Ok(());
        received.feed(bytes, |head| match head.kind {
            HEADERS => {
                // Trailers come in a HEADERS frame too, on a stream that is open already.
                if head.stream > *last_stream {
                    *last_stream = head.stream;
                    requests.iter_mut().for_each(|count| *count += 1);
                }
            }
            // h2 bounds these itself.
            DATA | CONTINUATION => {}
            RST_STREAM => {
                let earned = || std::mem::take(&mut requests[1]) * (TOKEN / 2);
                if outcome.is_ok() && !resets.take(&now, earned) {
                    outcome = Err(Flood::Resets);
                }
            }
            _ => {
                let earned = || {
                    let frames = *sent_bytes / SENT_BYTES_PER_FRAME + std::mem::take(&mut requests[0]);
                    *sent_bytes %= SENT_BYTES_PER_FRAME;
                    frames * TOKEN
                };
                if outcome.is_ok() && !control.take(&now, earned) {
                    outcome = Err(Flood::ControlFrames);
                }
            }
        });
        outcome
    }

    /// Counts sent bytes.
    #[inline]
    pub fn sent(&mut self, bytes: &[u8]) {
        self.sent_bytes += bytes.len() as u64;
        self.sent.feed(bytes, |_| {});
    }

    /// Returns the frame that says why the connection ends (RFC 9113 section 6.8). `None` = another frame is half sent,
    /// and this one would be read as its payload.
    #[must_use]
    pub fn goaway(&self, flood: Flood) -> Option<Vec<u8>> {
        let detail = flood.detail().as_bytes();
        let mut frame = vec![0, 0, 8 + detail.len() as u8, GOAWAY, 0, 0, 0, 0, 0];
        frame.extend_from_slice(&self.last_stream.to_be_bytes());
        frame.extend_from_slice(&ENHANCE_YOUR_CALM.to_be_bytes());
        frame.extend_from_slice(detail);
        self.sent.at_boundary().then_some(frame)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PING: u8 = 6;

    fn frame(kind: u8, stream: u32, payload: usize) -> Vec<u8> {
        let mut bytes = (payload as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([kind, 0]);
        bytes.extend(stream.to_be_bytes());
        // Payload that looks like frame heads.
        bytes.extend(vec![RST_STREAM; payload]);
        bytes
    }

    fn meter(burst: u32, now: Instant) -> FloodMeter {
        let bounds = Http2 {
            control_frame_burst_max: burst,
            control_frames_per_second_max: 10,
            reset_burst_max: burst,
            resets_per_second_max: 10,
            ..Http2::default()
        };
        let mut meter = FloodMeter::new(&bounds);
        (meter.control.filled_at, meter.resets.filled_at) = (now, now);
        meter.received(&[b'x'; PREFACE as usize], || now).unwrap();
        meter
    }

    #[test]
    fn a_burst_then_so_many_a_second() {
        let now = Instant::now();
        for (kind, flood) in [(PING, Flood::ControlFrames), (RST_STREAM, Flood::Resets), (0xbe, Flood::ControlFrames)] {
            let mut meter = meter(3, now);
            for _ in 0..3 {
                assert_eq!(meter.received(&frame(kind, 1, 8), || now), Ok(()));
            }
            let later = || now + Duration::from_millis(250);
            for _ in 0..2 {
                assert_eq!(meter.received(&frame(kind, 1, 8), later), Ok(()), "10 a second, for a quarter of one");
            }
            assert_eq!(meter.received(&frame(kind, 1, 8), later), Err(flood));
        }
    }

    #[test]
    fn requests_and_bytes_sent_earn_frames() {
        let now = Instant::now();
        let mut served = meter(2, now);
        for request in 0..100 {
            let bytes = [frame(HEADERS, 2 * request + 1, 30), frame(PING, 0, 8)].concat();
            assert_eq!(served.received(&bytes, || now), Ok(()));
        }
        let mut rapid = meter(10, now);
        let outcome: Vec<_> = (0..40)
            .map(|nth| {
                rapid.received(&[frame(HEADERS, 2 * nth + 1, 30), frame(RST_STREAM, 2 * nth + 1, 4)].concat(), || now)
            })
            .collect();
        let cut = outcome.iter().position(Result::is_err);
        assert!(cut.is_some_and(|cut| (15..=20).contains(&cut)), "every second request may be reset: {cut:?}");
        let mut download = meter(2, now);
        for _ in 0..100 {
            download.sent(&frame(DATA, 1, 16_384));
            for _ in 0..2 {
                assert_eq!(download.received(&frame(8, 1, 4), || now), Ok(()));
            }
        }
        let mut pinged = meter(2, now);
        let cut = (0..100).position(|_| {
            pinged.sent(&frame(PING, 0, 8));
            pinged.received(&frame(PING, 0, 8), || now).is_err()
        });
        assert!(cut.is_some_and(|cut| cut <= 3), "answers to a flood earn next to nothing: {cut:?}");
    }

    #[test]
    fn goaway_only_between_frames() {
        let mut meter = meter(1, Instant::now());
        let whole = frame(DATA, 1, 10);
        meter.sent(&whole[..12]);
        assert_eq!(meter.goaway(Flood::Resets), None);
        meter.sent(&whole[12..]);
        let goaway = meter.goaway(Flood::Resets).unwrap();
        assert_eq!(goaway.len(), FRAME_HEAD + usize::from(goaway[2]));
        assert_eq!(goaway[13..17], ENHANCE_YOUR_CALM.to_be_bytes());
    }

    proptest! {
        #[test]
        fn frames_are_counted_however_they_are_cut(
            frames in proptest::collection::vec((any::<u8>(), 0..40usize), 0..30),
            cuts in proptest::collection::vec(1..30usize, 1..9),
        ) {
            let now = Instant::now();
            let free = [DATA, HEADERS, RST_STREAM, CONTINUATION];
            let charged = frames.iter().filter(|(kind, _)| !free.contains(kind)).count();
            let bytes: Vec<u8> = frames.iter().flat_map(|(kind, payload)| frame(*kind, 0, *payload)).collect();
            let mut meter = meter(100, now);
            let mut rest = &bytes[..];
            for cut in cuts.iter().cycle() {
                let (part, after) = rest.split_at(rest.len().min(*cut));
                prop_assert_eq!(meter.received(part, || now), Ok(()));
                rest = after;
                if rest.is_empty() { break; }
            }
            prop_assert!(meter.received.at_boundary());
            prop_assert_eq!(meter.control.milli, (100 - charged as u64) * TOKEN);
        }
    }
}
