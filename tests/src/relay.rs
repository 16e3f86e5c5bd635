//! A network that can be cut: a TCP relay between two processes, whose connections can be broken, held still, or left half
//! open, as firewalls, cables and crashed machines do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// Most bytes in one direction's hands.
const BUFFER_BYTES: usize = 64 * 1024;

/// How the network behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Bytes pass.
    Up,
    /// Every connection is broken, and new ones are closed at once.
    Cut,
    /// Connections stay, new ones are accepted, and nothing passes; what waits is delivered once it is up again.
    Stalled,
    /// The servers' side is gone without telling the clients: what they send vanishes, and nothing comes back.
    HalfOpen,
}

/// A relay; it ends when dropped.
#[derive(Debug)]
pub struct Relay {
    /// Where clients connect.
    pub addr: SocketAddr,
    network: watch::Sender<Network>,
    accepted: Arc<AtomicU64>,
    /// Dropped last: the relay's tasks live on it.
    _runtime: Runtime,
}

impl Relay {
    /// Relays from a free port of the loopback interface to `server`.
    ///
    /// # Errors
    /// When no port can be bound or no thread started.
    pub fn start(server: SocketAddr) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let addr = listener.local_addr()?;
        let (network, state) = watch::channel(Network::Up);
        let accepted = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&accepted);
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                if *state.borrow() != Network::Cut {
                    tokio::spawn(connection(client, server, state.clone()));
                }
            }
        });
        Ok(Self { addr, network, accepted, _runtime: runtime })
    }

    /// Makes the network behave like this from now on.
    pub fn set(&self, network: Network) {
        self.network.send_replace(network);
    }

    /// Breaks every connection that there is; new ones pass.
    pub fn break_connections(&self) {
        self.set(Network::Cut);
        // A watch keeps the last value only: the tasks must have seen the cut before it is over.
        std::thread::sleep(std::time::Duration::from_millis(20));
        self.set(Network::Up);
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }
}

async fn connection(client: TcpStream, server: SocketAddr, mut network: watch::Receiver<Network>) {
    if network.wait_for(|now| *now != Network::Stalled).await.is_err() {
        return;
    }
    let _ = client.set_nodelay(true);
    let Ok(server) = TcpStream::connect(server).await else { return };
    let _ = server.set_nodelay(true);
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    let mut cut = network.clone();
    tokio::select! {
        () = async { tokio::join!(
            pump(client_read, server_write, network.clone()),
            pump(server_read, client_write, network.clone()),
        ); } => {}
        // Both sockets close with unread bytes in them: their peers see a reset.
        _ = cut.wait_for(|now| *now == Network::Cut) => {}
    }
}

/// Moves bytes one way until that way ends.
async fn pump(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut network: watch::Receiver<Network>,
) {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        if network.wait_for(|now| *now != Network::Stalled).await.is_err() {
            return;
        }
        // What was in flight when the other side vanished is gone, and so is this connection: it never speaks again.
        if *network.borrow() == Network::HalfOpen {
            return swallow(from).await;
        }
        if read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            let _ = to.shutdown().await;
            return;
        }
    }
}

/// Reads and discards bytes until the sender closes.
async fn swallow(mut from: tokio::net::tcp::OwnedReadHalf) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while from.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;

    fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let addr = listener.local_addr().expect("address");
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let (mut from, mut to) = (stream.try_clone().expect("clones"), stream);
                    let _ = std::io::copy(&mut from, &mut to);
                });
            }
        });
        addr
    }

    fn connect(relay: &Relay) -> TcpStream {
        let stream = TcpStream::connect(relay.addr).expect("connects");
        stream.set_read_timeout(Some(Duration::from_millis(300))).expect("sets");
        stream
    }

    fn ping(stream: &mut TcpStream) -> std::io::Result<[u8; 4]> {
        stream.write_all(b"ping")?;
        let mut back = [0; 4];
        stream.read_exact(&mut back)?;
        Ok(back)
    }

    #[test]
    fn a_network_passes_stalls_half_opens_and_cuts() {
        let relay = Relay::start(echo()).expect("starts");
        let mut stream = connect(&relay);
        assert_eq!(&ping(&mut stream).expect("passes"), b"ping");
        relay.set(Network::Stalled);
        assert!(ping(&mut stream).is_err(), "nothing passes");
        relay.set(Network::Up);
        let mut back = [0; 4];
        stream.read_exact(&mut back).expect("what waited is delivered");
        relay.set(Network::HalfOpen);
        assert!(ping(&mut stream).is_err(), "it vanishes");
        relay.set(Network::Up);
        assert!(ping(&mut stream).is_err(), "a connection that vanished stays silent");
        let mut other = connect(&relay);
        assert_eq!(&ping(&mut other).expect("a new one passes"), b"ping");
        relay.break_connections();
        assert!(ping(&mut other).is_err(), "it is broken");
        assert_eq!(&ping(&mut connect(&relay)).expect("a new one passes"), b"ping");
    }
}
