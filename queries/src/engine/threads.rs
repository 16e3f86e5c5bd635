//! The threads that run queries: apart from those that receive and store records, and behind them.

use std::io;

use tokio::runtime::{Builder, Runtime};

use crate::limits::Limits;

/// Highest niceness there is (`nice(2)`).
pub(crate) const NICE_MAX: u8 = 19;

/// The runtime of the queries. Its threads, those for blocking reads among them, give way to all others: a thread's niceness
/// is its own on Linux, and the share of a core that a thread of niceness 10 has beside one of 0 is a tenth (`sched(7)`).
pub(super) fn runtime(limits: &Limits) -> io::Result<Runtime> {
    let nice = limits.nice.min(NICE_MAX);
    Builder::new_multi_thread()
        .worker_threads(limits.threads.max(1))
        .thread_name("tollgate-query")
        .on_thread_start(move || give_way(nice))
        .enable_all()
        .build()
}

/// A lower priority is always allowed; where it is refused all the same, queries run at that of the process.
fn give_way(nice: u8) {
    if nice > 0
        && let Err(error) = rustix::process::nice(i32::from(nice))
    {
        tracing::debug!(%error, "a query thread keeps the priority of the process");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The niceness of the calling thread, from its line in `/proc` (field 19 of `proc_pid_stat(5)`).
    fn own_nice() -> i32 {
        let line = std::fs::read_to_string("/proc/thread-self/stat").expect("stat");
        let after_name = line.rsplit_once(')').expect("name").1;
        after_name.split_whitespace().nth(16).expect("nice").parse().expect("number")
    }

    #[test]
    fn query_threads_are_nicer_than_the_rest_of_the_process() {
        let before = own_nice();
        let runtime = runtime(&Limits { nice: 3, threads: 2, ..Limits::default() }).expect("runtime");
        let (worker, blocking) = runtime.block_on(async {
            let worker = tokio::spawn(async { own_nice() }).await.expect("worker");
            (worker, tokio::task::spawn_blocking(own_nice).await.expect("blocking"))
        });
        let wanted = (before + 3).min(i32::from(NICE_MAX));
        assert_eq!((worker, blocking, own_nice()), (wanted, wanted, before));
    }
}
