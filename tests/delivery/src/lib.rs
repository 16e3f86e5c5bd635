//! From an acknowledged batch to rows in the table, with the real collector and the real table in processes that are killed
//! between any two steps. All of it is in `tests/`.
