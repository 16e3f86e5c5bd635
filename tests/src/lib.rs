//! The parts that whole-system tests are built from: the real binaries as child processes, real clients (curl, psql,
//! kcat, python), real Kafka, Prometheus and Alertmanager through the project's scripts, and a receiver of pages.
//!
//! Everything listens on free ports of the loopback interface and lives in a temporary folder, so that several tests
//! run beside each other. Waits have generous deadlines: they end as soon as what they wait for is there.

pub mod batches;
pub mod certificates;
pub mod client;
pub mod net;
pub mod pages;
pub mod process;
pub mod stack;
