//! Completeness of a producer's records: which `seq` are here, twice here, declared as shed, or missing.
//!
//! ```text
//!   rows of one producer ──▶ seq_account(seq, kind, gap_count, gap_reason) ──▶ { rows, runs, doubled, gaps, … }
//!     one bit a number while it reads (a bitmap; a full stretch of 65,536 costs a few bytes)       │
//!                                                seq_holes(account, first, last) ──▶ what nothing accounts for
//! ```
//! `tollgate audit` and the question `missing-records` use these functions, and so agree. The rows may come in any order. No
//! number is stored by itself: a day of a producer that lost nothing is one run. The memory of a growing account counts
//! towards the queries' limit.
//!
//! | function | answers |
//! |---|---|
//! | `seq_account(seq, kind, gap_count, gap_reason)` | aggregate: the account, a struct |
//! | `seq_holes(account, first, last)` | the numbers from first to last that are neither here nor declared as shed, as runs |
//! | `seq_count(runs)` | how many numbers the runs hold, each once |
//! | `seq_text(runs)` | the first [`TEXT_RUNS_MAX`] runs as text: `5..7, 10` |
//! | `producer_start(producer)` | when the producer's process started, by its name |

mod aggregate;
mod ledger;
mod scalar;

use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use datafusion::prelude::SessionContext;

pub use scalar::TEXT_RUNS_MAX;

/// Makes the functions known to a context.
pub(crate) fn register(context: &SessionContext) {
    context.register_udaf(AggregateUDF::from(aggregate::SeqAccount::default()));
    for function in scalar::all() {
        context.register_udf(ScalarUDF::from(function));
    }
}
