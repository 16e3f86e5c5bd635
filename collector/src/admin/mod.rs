//! What the collector says of itself: `/metrics`, `/healthz`, `/readyz`, `/status`.

mod pages;
pub(crate) mod status;

pub(crate) use pages::serve;
