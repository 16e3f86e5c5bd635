//! The row that the proxy appends.

use crate::columns::record_columns;
use crate::vocabulary::Kind;

macro_rules! value {
    ($life:lifetime timestamp required) => { i64 };
    ($life:lifetime timestamp nullable) => { Option<i64> };
    ($life:lifetime int64 required) => { i64 };
    ($life:lifetime int64 nullable) => { Option<i64> };
    ($life:lifetime int32 nullable) => { Option<i32> };
    ($life:lifetime boolean nullable) => { Option<bool> };
    ($life:lifetime text nullable) => { Option<&$life str> };
    ($life:lifetime json nullable) => { Option<&$life str> };
    ($life:lifetime dictionary nullable) => { Option<&$life str> };
    ($life:lifetime (closed $vocabulary:ident) required) => { $crate::vocabulary::$vocabulary };
    ($life:lifetime (closed $vocabulary:ident) nullable) => { Option<$crate::vocabulary::$vocabulary> };
    ($life:lifetime (bytes $width:literal) nullable) => { Option<&$life [u8; $width]> };
    ($life:lifetime texts nullable) => { &$life [&$life str] };
    ($life:lifetime int32s nullable) => { &$life [i32] };
}

macro_rules! empty {
    (timestamp required) => {
        0
    };
    (int64 required) => {
        0
    };
    ((closed Kind) required) => {
        Kind::Transaction
    };
    (texts nullable) => {
        &[]
    };
    (int32s nullable) => {
        &[]
    };
    ($storage:tt nullable) => {
        None
    };
}

macro_rules! record {
    (
        first [ $($first:ident($first_field:ident): $first_storage:tt $first_null:tt, $first_cap:expr, $first_otel:tt, $first_ecs:tt, $first_meaning:literal;)* ]
        header [ $($header:tt)* ]
        rest [ $($name:ident($field:ident): $storage:tt $null:tt, $cap:expr, $otel:tt, $ecs:tt, $meaning:literal;)* ]
    ) => {
        /// One row, borrowed from wherever its facts live: one field per column of
        /// [`COLUMNS`](crate::columns::COLUMNS).
        ///
        /// `node_id` and `producer` are the same for all rows of a batch and come from its
        /// [`BatchHeader`](crate::BatchHeader). `None` and the empty list become null: that phase was not reached.
        /// Text past its column's cap is cut.
        #[derive(Clone, Copy, Debug)]
        pub struct Record<'a> {
            $(#[doc = $first_meaning] pub $first_field: value!('a $first_storage $first_null),)*
            $(#[doc = $meaning] pub $field: value!('a $storage $null),)*
        }

        impl Default for Record<'_> {
            fn default() -> Self {
                Self {
                    $($first_field: empty!($first_storage $first_null),)*
                    $($field: empty!($storage $null),)*
                }
            }
        }
    };
}
record_columns!(record);
