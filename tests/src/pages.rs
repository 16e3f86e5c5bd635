//! A receiver of pages: what stands at the other end of Alertmanager's webhook.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use anyhow::Context;
use serde_json::Value;

/// Largest page that is read.
const PAGE_BYTES_MAX: u64 = 1 << 20;

/// Listens for webhooks and keeps what they carried.
#[derive(Debug, Clone)]
pub struct Pages {
    /// Where it listens.
    pub addr: SocketAddr,
    received: Arc<Mutex<Vec<Value>>>,
}

impl Pages {
    /// Listens on a free port of the loopback interface, until the process ends.
    ///
    /// # Errors
    /// When no port can be bound.
    pub fn listen() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let pages = Self { addr: listener.local_addr()?, received: Arc::default() };
        let received = Arc::clone(&pages.received);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if let Ok(page) = read_page(stream)
                    && let Ok(mut received) = received.lock()
                {
                    received.push(page);
                }
            }
        });
        Ok(pages)
    }

    /// The firing alerts received so far, in order of arrival.
    #[must_use]
    pub fn firing(&self) -> Vec<Value> {
        let received = self.received.lock().map(|pages| pages.clone()).unwrap_or_default();
        let alerts = received.iter().filter_map(|page| page["alerts"].as_array()).flatten();
        alerts.filter(|alert| alert["status"] == "firing").cloned().collect()
    }
}

fn read_page(stream: TcpStream) -> anyhow::Result<Value> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut length = 0;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse::<u64>().context("content-length")?.min(PAGE_BYTES_MAX);
        }
        line.clear();
    }
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body)?;
    let mut stream = stream;
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")?;
    Ok(serde_json::from_slice(&body)?)
}
