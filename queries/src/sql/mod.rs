//! From text to a plan that only reads.
//!
//! ```text
//!   text ─▶ parse ─▶ statement kind allowed? ─▶ plan ─▶ every node of the plan allowed? ─▶ run
//!             │               │                   │                  │
//!             └───────────────┴── refusals and errors say where ─────┘
//! ```
//!
//! The gate is the plan: a node that is not on its list is refused, whatever text led to it. The list of statement
//! kinds before it only makes the refusal clearer, and spares planning. Functions that make much out of little are absent
//! or weighed (see `capped`).

mod capped;
mod functions;
mod gate;
mod parse;
mod session;
mod translate;

pub(crate) use capped::capped;
pub(crate) use functions::setting;
pub(crate) use gate::{check_plan, check_statement};
pub(crate) use parse::{Parsed, Parser};
pub(crate) use session::{new_context, state_of};
pub(crate) use translate::{nearest, translate};
