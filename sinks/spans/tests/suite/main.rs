//! The sink against a receiver of another make.

mod answers;
mod contract;
mod receiver;
