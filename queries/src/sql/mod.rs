//! From text to a plan that only reads.
//!
//! ```text
//!   text ─▶ parse ─▶ statement kind allowed? ─▶ plan ─▶ every node of the plan allowed? ─▶ run
//!             │               │                   │                  │
//!             └───────────────┴── refusals and errors say where ─────┘
//! ```
//!
//! The plan decides (see `statement_policy`): a node that is not on the list is refused, whatever text led to it. The list
//! of statement kinds before it only makes the refusal clearer, and saves the planning. Functions whose result can be much
//! larger than their arguments are absent or limited (see `growing_functions`).

mod catalog;
mod distinct;
mod functions;
mod growing_functions;
mod parse;
mod session;
mod sketch;
mod statement_policy;
mod translate;
mod views;

pub(crate) use functions::{TokenHmac, setting};
pub(crate) use growing_functions::capped;
pub(crate) use parse::{Parsed, Parser};
pub(crate) use session::{new_context, state_of};
pub(crate) use statement_policy::{check_plan, check_statement};
pub(crate) use translate::{nearest, translate};
