//! The kit passes what keeps the contract, and finds each way of breaking it.

use super::*;
use crate::SinkError;

/// One way to break the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Answers what it only holds.
    Ahead,
    /// Answers a position that it was not given.
    Invented,
    /// Answers the first position for ever.
    Backwards,
    /// Forgets what it holds at the end.
    ForgetsAtClose,
    /// Takes no notice of what it has stored already.
    Doubles,
    /// Names the frame after the one that it cannot store.
    WrongName,
    /// Stores no letter.
    NoLetters,
    /// Claims what failed.
    ClaimsFailed,
    /// Takes a frame out of what it was given before it waits.
    LosesWhenDropped,
}

struct Broken {
    fault: Fault,
    sink: MemorySink,
    store: Arc<std::sync::Mutex<Store>>,
    lost: Vec<Position>,
}

#[async_trait]
impl Sink for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    async fn recover(&mut self) -> Result<Option<Position>, SinkError> {
        self.sink.recover().await
    }

    async fn deliver(&mut self, frames: &[Delivery]) -> Result<Option<Position>, SinkError> {
        let last = frames.last().map(|frame| frame.position);
        match self.fault {
            Fault::Doubles if last.is_some() => {
                self.sink.deliver(&[]).await?;
                self.store.lock().expect("no panic inside").through = None;
            }
            Fault::LosesWhenDropped if frames.len() == 1 => {
                let fresh: Vec<_> =
                    frames.iter().filter(|frame| !self.lost.contains(&frame.position)).cloned().collect();
                self.lost.extend(frames.iter().map(|frame| frame.position));
                tokio::task::yield_now().await;
                return self.sink.deliver(&fresh).await;
            }
            _ => {}
        }
        let answer = self.sink.deliver(frames).await;
        match self.fault {
            Fault::Ahead if last.is_some() && answer.is_ok() => Ok(last),
            Fault::ClaimsFailed if matches!(answer, Err(SinkError::Retry { .. })) => Ok(last),
            Fault::Invented if answer.is_ok() => Ok(Some(last.unwrap_or(0) + 1)),
            Fault::Backwards if matches!(answer, Ok(Some(_))) => Ok(Some(0)),
            Fault::WrongName => match answer {
                Err(SinkError::Reject { position, reason }) => {
                    Err(SinkError::Reject { position: position.saturating_sub(1), reason })
                }
                answer => answer,
            },
            _ => answer,
        }
    }

    async fn replay(&mut self, frame: &Delivery) -> Result<(), SinkError> {
        if self.fault == Fault::NoLetters {
            return self.sink.deliver(std::slice::from_ref(frame)).await.map(drop);
        }
        self.sink.replay(frame).await
    }

    fn poll_interval(&self) -> std::time::Duration {
        std::time::Duration::from_millis(1)
    }

    async fn close(&mut self) -> Result<Option<Position>, SinkError> {
        if self.fault == Fault::ForgetsAtClose {
            return self.sink.recover().await;
        }
        self.sink.close().await
    }
}

struct BrokenDestination(Fault, MemoryDestination);

#[async_trait]
impl Destination for BrokenDestination {
    async fn open(&mut self) -> Box<dyn Sink> {
        let store = Arc::clone(&self.1.store);
        let sink = MemorySink::new(Arc::clone(&store), 1);
        Box::new(Broken { fault: self.0, sink, store, lost: Vec::new() })
    }

    async fn stored(&mut self) -> Stored {
        self.1.stored().await
    }

    fn promise(&self) -> Promise {
        Promise::ExactlyOnce
    }

    async fn set_failing(&mut self, failing: bool) -> bool {
        self.1.set_failing(failing).await
    }
}

#[tokio::test]
async fn the_reference_passes() {
    for held_max in [0, 1, 2, 100] {
        passes(async || MemoryDestination::new(held_max))
            .await
            .unwrap_or_else(|problem| panic!("{held_max}: {problem}"));
    }
}

#[tokio::test]
async fn every_way_of_breaking_the_contract_is_found() {
    let faults = [
        (Fault::Ahead, "positions"),
        (Fault::Invented, "positions"),
        (Fault::Backwards, "restart"),
        (Fault::ForgetsAtClose, "positions"),
        (Fault::Doubles, "refusal"),
        (Fault::WrongName, "refusal"),
        (Fault::NoLetters, "letter"),
        (Fault::ClaimsFailed, "failure"),
        (Fault::LosesWhenDropped, "cancellation"),
    ];
    for (fault, check) in faults {
        let found = passes(async || BrokenDestination(fault, MemoryDestination::new(1))).await;
        let Err(problem) = found else { panic!("{fault:?} is not found") };
        assert!(problem.starts_with(check), "{fault:?}: {problem}");
    }
}
