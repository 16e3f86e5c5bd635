//! Brings the journal to every sink, to each at its own pace.
//!
//! `runner` is the loop of one sink: `source` reads the frames, `deliver` gives them to the sink, `replay` offers it dead letters
//! again, `cursor` stores how far it is. `sink_state` is what trimming, metrics and the status page see of it.

pub(crate) mod cursor;
mod deliver;
mod replay;
pub(crate) mod runner;
pub(crate) mod sink_state;
pub(crate) mod source;
