//! The running proxy: the only wing that knows all the others. Starts the threads, and stops them.

mod running;
mod sockets;
mod worker;

pub use running::{Running, StartError, start, start_on};
pub use sockets::{SocketError, inherited};
