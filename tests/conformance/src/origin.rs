//! An upstream that writes down every byte it gets, and answers as the case at hand says.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::bytes;
use crate::case::Upstream;
use crate::message::{Message, Reader, Side};

/// Longest wait for a byte of a request that has begun, and for connections to end.
const PATIENCE: Duration = Duration::from_secs(10);
/// Path of the requests that the runner sends for its own ends; they are not written down.
pub const PROBE: &str = "/probe";

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
const PROBED: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nprobed";

/// A running origin; it ends with the test's process.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Where it listens.
    pub addr: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    script: Upstream,
    heard: Vec<Message>,
    open: usize,
}

impl Origin {
    /// Listens on a free port of the loopback interface.
    ///
    /// # Errors
    /// When no port can be bound.
    pub fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let origin = Self { addr: listener.local_addr()?, state: Arc::default() };
        let accepted = origin.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let origin = accepted.clone();
                origin.state().open += 1;
                std::thread::spawn(move || {
                    let _the_proxy_may_leave = origin.serve(stream);
                    origin.state().open -= 1;
                });
            }
        });
        Ok(origin)
    }

    /// Begins a case: forgets what was heard, and answers by `script` from now on.
    pub fn begin(&self, script: &Upstream) {
        let mut state = self.state();
        state.script = script.clone();
        state.heard.clear();
    }

    /// Waits until no connection is open, and returns the requests of the case at hand, without the runner's own.
    #[must_use]
    pub fn heard(&self) -> Vec<Message> {
        let until = Instant::now() + PATIENCE;
        while self.state().open > 0 && !self.state().script.keeps && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.state().heard.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, stream: TcpStream) -> anyhow::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut writer = stream.try_clone()?;
        let mut reader = Reader::new(stream);
        while let Some(mut request) = reader.next_head() {
            let script = self.state().script.clone();
            let probe = request.first_line().contains(PROBE);
            let answer = script.answers.as_deref().map(bytes::of_text).transpose()?;
            let answer = if probe { PROBED.to_vec() } else { answer.unwrap_or_else(|| OK.to_vec()) };
            if script.early && !probe {
                writer.write_all(&answer)?;
            }
            reader.read_body(&mut request, Side::Request);
            let complete = request.complete;
            if !probe {
                self.state().heard.push(request);
            }
            if !complete {
                break;
            }
            if probe || !script.early {
                writer.write_all(&answer)?;
            }
            if answer.starts_with(b"HTTP/1.1 101") {
                std::io::copy(&mut writer.try_clone()?, &mut writer)?;
                break;
            }
            if probe || !script.keeps {
                break;
            }
        }
        // What comes after the answer is to be read, not reset: a reset could overtake the answer.
        writer.shutdown(Shutdown::Write)?;
        std::io::copy(&mut writer, &mut std::io::sink())?;
        Ok(())
    }
}
