//! The parts that whole-system tests are built from: the real binaries as child processes, real clients (curl, psql,
//! kcat, python), real Kafka, Prometheus and Alertmanager through the project's scripts, and a receiver of pages.
//!
//! Everything listens on free ports of the loopback interface and lives in a temporary folder, so that several tests
//! run beside each other. Waits have generous deadlines: they end as soon as what they wait for is there.
//!
//! What is promised of records in spite of faults is tested with [`soak`]: bounded [`traffic`] with a ledger of every
//! answer, a [`prober`] with a ledger of every acknowledgement, a [`relay`] that is a network to cut, a small [`disk`].

pub mod batches;
pub mod certificates;
pub mod client;
pub mod disk;
pub mod http;
pub mod net;
pub mod pages;
#[path = "../../record/examples/plausible/mod.rs"]
pub mod plausible;
pub mod post;
pub mod prober;
pub mod process;
pub mod relay;
pub mod soak;
pub mod spans;
pub mod stack;
pub mod trace;
pub mod traffic;
