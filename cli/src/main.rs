//! The `tollgate` command: the collector, the demo, and the questions that support engineers ask.
//!
//! ```text
//!   args ─▶ commands/NAME ─▶ client (HTTP API of the queries)      ─▶ output (tables, escaped for terminals)
//!                         ├▶ folders (journal, dead letters)
//!                         ├▶ tollgate_audit, tollgate_collector_service
//!                         └▶ demo: everything on this machine
//! ```
//! A command parses what it was given, asks the crate that knows, and prints. `exit` has the statuses.

mod address;
mod args;
mod client;
mod commands;
mod completion;
mod demo;
mod exit;
mod output;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use clap_complete::env::CompleteEnv;

use crate::args::{Args, Command};

// Rows are allocated by one thread and freed by another: with an arena for each thread, as the system's allocator has them,
// a collector at full load keeps three times the memory that it uses.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // Ends here when it is the shell that calls, to complete a command line.
    CompleteEnv::with_factory(Args::command).complete();
    let args = Args::parse();
    let result = match args.command {
        Command::Collector(args) => commands::collector::main(&args),
        Command::Query(args) => commands::query::main(&args),
        Command::Demo(args) => demo::main(&args),
        Command::Sql(args) => commands::sql::main(&args),
        Command::Find(args) => commands::find::main(&args),
        Command::Ask(args) => commands::ask::main(&args),
        Command::Audit(args) => commands::audit::main(&args),
        Command::Journal(args) => commands::journal::main(&args),
        Command::LoadTest(args) => commands::load_test::main(&args),
        Command::Dlq(args) => commands::dlq::main(&args),
        Command::Import(args) => commands::import::main(&args),
    };
    match result {
        Ok(code) => code,
        // The reader of the rows has seen enough: `tollgate ask | head`.
        Err(error) if exit::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            exit::explain(&error);
            ExitCode::from(exit::FAILED)
        }
    }
}
