//! The proxy between real sockets: every way in which a transaction can end, and the way of its record.

mod admin;
mod caps;
mod client_tls;
mod collector;
mod collectors;
mod config;
mod endings;
mod files;
mod handshakes;
mod http2;
mod limits;
mod programs;
mod proxy_protocol;
mod reload;
mod reload_load;
mod rig;
mod routes;
mod shipping;
mod tls;
mod tunnel;
mod upstream_balance;
mod upstream_http2;
mod upstream_nginx;
mod upstream_pool;
mod upstream_rig;
mod upstream_stages;
