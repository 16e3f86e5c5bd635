//! Plausible traffic of an API gateway, made up from a seed, at any rate and for any time.
//!
//! ```text
//!   Traffic (seed, rate, start, services) ─▶ World: services, callers, certificates, addresses (interned once)
//!                                              │
//!   Producer 0, 1, … ─▶ Facts of record n ─────┤─▶ sealed batch ─▶ collector (mutual TLS, several posts in flight)
//!                                              │                ─▶ Parquet files, for other engines
//!                                              └─▶ HTTP request ─▶ proxy
//! ```
//! Record n follows from the seed and n alone, and a batch from the records in it, so the same settings give the same batches
//! byte for byte. Producers take turns: record n belongs to producer n mod P, so that batches of one time overlap as those of
//! a proxy's workers do.
//!
//! What is imitated: services by Zipf, few callers for each service, skewed addresses, a day's curve, outages of single
//! services for minutes, log-normal latencies that differ from service to service, about 0.85 % failures, identifiers on a
//! part of the records, certificates of which a few expire soon. What is not: sessions, retries of callers, and anything that
//! one request would cause in another.

mod collector;
mod curve;
mod draws;
mod facts;
mod outcome;
mod parquet_files;
mod producer;
mod proxy;
mod report;
mod traffic;
mod world;
mod zipf;

pub use collector::{CollectorLoad, Destination, DestinationError};
pub use facts::Facts;
pub use parquet_files::{ParquetFiles, ParquetFilesError};
pub use producer::{GeneratedBatch, Producer, Producers};
pub use proxy::ProxyLoad;
pub use report::{Counters, Report};
pub use traffic::{Traffic, TrafficError};
pub use world::World;
