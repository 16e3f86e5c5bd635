//! The proxy between real sockets: every way in which a transaction can end, and the way of its record.

mod admin;
mod collector;
mod config;
mod endings;
mod http2;
mod limits;
mod rig;
mod shipping;
mod tls;
mod tunnel;
