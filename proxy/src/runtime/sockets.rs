//! Listening sockets: bound here, or inherited from the parent process.
//!
//! A parent that holds the sockets beyond the life of one process (systemd's socket units; any parent with the
//! `LISTEN_FDS` protocol of sd_listen_fds(3)) lets another process take over without a lost connection: connections
//! that are not accepted yet wait in the kernel for the process that accepts next.

use std::io;
use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;
use socket2::{Domain, Protocol, Socket, Type};

use crate::plan::RuntimeConfig;

/// Connections that the kernel queues before they are accepted.
const BACKLOG: i32 = 4_096;

/// Why there is no listening socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// An address cannot be bound.
    #[error("{name}: the address {address} cannot be bound: {error}; choose a free one")]
    Bind {
        /// The listener, or `admin`.
        name: String,
        /// The address.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// An inherited socket cannot be used.
    #[error("socket {index} of LISTEN_FDS cannot be used: {error}; hand over listening TCP sockets only")]
    Unusable {
        /// Its place, from 0.
        index: usize,
        /// Why.
        error: io::Error,
    },
    /// No listener has the address of an inherited socket.
    #[error("a socket bound to {0} was handed over, but neither a listener nor admin has this address; write it there")]
    Unwanted(SocketAddr),
}

/// Takes the sockets that this process inherited, by the environment variables `LISTEN_PID` and `LISTEN_FDS`. Each can
/// be taken once.
///
/// # Errors
/// One of them is no listening TCP socket.
pub fn inherited() -> Result<Vec<TcpListener>, SocketError> {
    let mut handed = ListenFd::from_env();
    let mut sockets = Vec::new();
    for index in 0..handed.len() {
        let taken = handed.take_tcp_listener(index);
        sockets.extend(taken.map_err(|error| SocketError::Unusable { index, error })?);
    }
    Ok(sockets)
}

/// One socket of each listener for each worker, and the bound address of each listener.
pub type Sockets = (Vec<Vec<TcpListener>>, Vec<(String, SocketAddr)>);

/// Inherited sockets, by the address that they are bound to.
#[derive(Debug)]
pub struct InheritedSockets(Vec<(SocketAddr, TcpListener)>);

impl InheritedSockets {
    /// # Errors
    /// A socket has no local address.
    pub fn new(sockets: Vec<TcpListener>) -> Result<Self, SocketError> {
        let bound = |(index, socket): (usize, TcpListener)| {
            let address = socket.set_nonblocking(true).and_then(|()| socket.local_addr());
            address.map(|address| (address, socket)).map_err(|error| SocketError::Unusable { index, error })
        };
        sockets.into_iter().enumerate().map(bound).collect::<Result<_, _>>().map(Self)
    }

    fn take(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let index = self.0.iter().position(|(bound, _)| *bound == address)?;
        Some(self.0.swap_remove(index).1)
    }

    /// Takes the inherited socket of `address`, or binds one.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub fn one(&mut self, name: &str, address: SocketAddr) -> Result<(SocketAddr, TcpListener), SocketError> {
        let socket = self.take(address).map_or_else(|| bind(address, false), Ok);
        named(name, address, socket.and_then(|socket| Ok((socket.local_addr()?, socket))))
    }

    /// Makes a socket for each worker of each listener: one of its own on a shared address, or a duplicate of the
    /// inherited one.
    ///
    /// # Errors
    /// An address cannot be bound.
    pub fn listeners(&mut self, config: &RuntimeConfig) -> Result<Sockets, SocketError> {
        let mut sockets: Vec<Vec<TcpListener>> = (0..config.workers).map(|_| Vec::new()).collect();
        let mut addresses = Vec::new();
        for listener in &config.listeners {
            let mut address = listener.address;
            let inherited = self.take(address);
            for worker in &mut sockets {
                let socket = inherited.as_ref().map_or_else(|| bind(address, true), TcpListener::try_clone);
                let bound = socket.and_then(|socket| Ok((socket.local_addr()?, socket)));
                let (at, socket) = named(&listener.name, address, bound)?;
                // With port 0, the first worker's socket picks the port for the others.
                address = at;
                worker.push(socket);
            }
            addresses.push((listener.name.clone(), address));
        }
        Ok((sockets, addresses))
    }

    /// Checks that every inherited socket was taken.
    ///
    /// # Errors
    /// One was not. Its clients would wait for ever.
    pub fn none_left(self) -> Result<(), SocketError> {
        self.0.first().map_or(Ok(()), |(address, _)| Err(SocketError::Unwanted(*address)))
    }
}

fn named<T>(name: &str, address: SocketAddr, result: io::Result<T>) -> Result<T, SocketError> {
    result.map_err(|error| SocketError::Bind { name: name.to_owned(), address, error })
}

fn bind(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
