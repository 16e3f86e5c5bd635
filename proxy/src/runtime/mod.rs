//! The running proxy: the workers' threads, their start, their reloads and their stop.

pub mod reload;
pub mod running;
pub mod sockets;
pub mod worker;
