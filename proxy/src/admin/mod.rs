//! The admin endpoint, and what it shows.

pub mod http;
pub mod upstreams_view;
