//! The admin endpoint of operators and scrapers, on a thread of its own.

mod http;
mod upstreams_view;

pub use http::{Admin, INFLIGHT_MAX, InFlightQuery};
