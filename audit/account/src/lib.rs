//! The account of a producer's numbers: which `seq` have a record, which have two, which a gap declares as shed.
//!
//! ```text
//!   rows of one producer ─▶ Account { runs: 1..9, 12..40   doubled: 17   shed: 10..11 buffer_full }
//!                             │ holes(1, 42)
//!                             ▼
//!                           41..42: numbers that nothing accounts for
//! ```
//! The queries offer it to SQL (`seq_account` and its companions), `tollgate audit` judges it: both are made of this crate, and
//! so agree. An [`Account`] keeps no number by itself; a day of a producer that lost nothing is one run. [`Numbers`]
//! collects numbers that come in any order: a bitmap, in which a full stretch of 65,536 costs a few bytes.
//!
//! The crate knows Arrow for the form of an account in an answer, and nothing of SQL, HTTP or files.

mod account;
mod numbers;
mod value;

pub use account::{Account, Shed};
pub use numbers::Numbers;
pub use value::{account_array, account_type, runs_array, runs_of, runs_type};
