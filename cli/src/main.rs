//! The `tollgate` command: the collector, the demo, and the questions that support engineers ask.

mod args;
mod ask;
mod audit;
mod collector;
mod demo;
mod dlq;
mod door;
mod find;
mod journal;
mod lines;
mod sql;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};

// Rows are allocated by one thread and freed by another: with an arena for each thread, as the system's allocator has them,
// a collector at full load keeps three times the memory that it uses.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match args.command {
        Command::Collector(args) => collector::main(&args),
        Command::Demo(args) => demo::main(&args),
        Command::Sql(args) => sql::main(&args),
        Command::Find(args) => find::main(&args),
        Command::Ask(args) => ask::main(&args),
        Command::Audit(args) => audit::main(&args),
        Command::Journal(args) => journal::main(&args),
        Command::Dlq(args) => dlq::main(&args),
    };
    match result {
        Ok(code) => code,
        // Whoever reads the rows has seen enough: `tollgate ask | head`.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tollgate: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Exit status when the command understood what to do, and could not.
const FAILED: u8 = 1;
/// Exit status for a configuration or an argument that is wrong.
const USAGE: u8 = 2;
