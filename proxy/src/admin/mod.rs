//! The admin endpoint, and what it shows.

mod http;
mod upstreams_view;

pub use http::{Admin, INFLIGHT_MAX, InFlightQuery};
