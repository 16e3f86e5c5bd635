//! Drives a sink as the collector does, without its concurrency.

use std::time::Duration;

use tokio::time::sleep;

use crate::{Delivery, Position, Sink, SinkError};

/// Failures in a row after which a sink is taken to be stuck.
const FAILURES_MAX: usize = 200;
const RETRY: Duration = Duration::from_millis(20);

/// A sink under delivery.
pub struct Driver {
    sink: Box<dyn Sink>,
    /// The last position that the sink answered.
    pub through: Option<Position>,
    /// The last position that the sink was given.
    given: Option<Position>,
    /// Frames that the sink took and has not answered to be stored.
    held: Vec<Delivery>,
    /// Positions that the sink refused.
    pub refused: Vec<Position>,
    /// Failed calls.
    pub failures: usize,
}

impl Driver {
    /// Recovers the sink. `through` is what the collector's cursor says: one that keeps no place of its own goes on after it.
    ///
    /// # Errors
    /// If it cannot be recovered.
    pub async fn start(sink: Box<dyn Sink>, through: Option<Position>) -> Result<Self, String> {
        let mut driver = Self { sink, through, given: through, held: Vec::new(), refused: Vec::new(), failures: 0 };
        driver.recover().await?;
        Ok(driver)
    }

    async fn recover(&mut self) -> Result<(), String> {
        for _ in 0..FAILURES_MAX {
            match self.sink.recover().await {
                // What it held is gone: frames go on from what it says to be stored.
                Ok(Some(stored)) => {
                    self.through = Some(stored);
                    self.given = self.given.max(Some(stored));
                    return Ok(());
                }
                Ok(None) => return Ok(()),
                Err(_) => sleep(RETRY).await,
            }
        }
        Err("it cannot be recovered".to_owned())
    }

    /// One call, and its answer as the collector takes it.
    ///
    /// # Errors
    /// If the answer breaks the contract. What the sink itself answers is in the inner result.
    pub async fn once(&mut self, frames: &[Delivery]) -> Result<Result<(), SinkError>, String> {
        self.given = self.given.max(frames.last().map(|frame| frame.position));
        let answer = match self.sink.deliver(frames).await {
            Ok(answer) => answer,
            Err(error) => return Ok(Err(error)),
        };
        let known = self.held.last().map(|held| held.position);
        self.held.extend(frames.iter().filter(|frame| Some(frame.position) > known).cloned());
        self.answered(answer).map(Ok)
    }

    fn answered(&mut self, answer: Option<Position>) -> Result<(), String> {
        if answer > self.given {
            return Err(format!("answered {answer:?} and was given positions up to {:?}", self.given));
        }
        // Without an answer the cursor stays.
        if answer.is_some() && answer < self.through {
            return Err(format!("answered {answer:?} after {:?}", self.through));
        }
        self.through = self.through.max(answer);
        self.held.retain(|held| Some(held.position) > self.through);
        Ok(())
    }

    /// Offers the frames until all are taken or refused.
    ///
    /// # Errors
    /// If the sink breaks the contract, or does not get on.
    pub async fn deliver(&mut self, frames: &[Delivery]) -> Result<(), String> {
        let mut failures = 0;
        let mut open: Vec<Delivery> = frames.to_vec();
        while !open.is_empty() {
            match self.once(&open).await? {
                Ok(()) => return Ok(()),
                Err(SinkError::Reject { position, .. } | SinkError::RejectRows { position, .. }) => {
                    if open.iter().chain(&self.held).all(|frame| frame.position != position) {
                        return Err(format!("refused position {position}, which it was not given"));
                    }
                    self.refused.push(position);
                    open.retain(|frame| frame.position != position);
                    self.held.retain(|frame| frame.position != position);
                    continue;
                }
                Err(SinkError::Retry { .. }) => sleep(RETRY).await,
                Err(SinkError::Rebuild { .. }) => {
                    // What it held is gone, and comes again.
                    open = std::mem::take(&mut self.held).into_iter().chain(open).collect();
                    self.recover().await?;
                    open.retain(|frame| Some(frame.position) > self.through);
                }
            }
            failures += 1;
            self.failures += 1;
            if failures > FAILURES_MAX {
                return Err(format!("frames are not taken after {FAILURES_MAX} tries"));
            }
        }
        Ok(())
    }

    /// Delivers, and gives up after the sink's future was polled so often. Answers whether it was over by then.
    pub async fn deliver_for(&mut self, frames: &[Delivery], polls: usize) -> bool {
        self.given = self.given.max(frames.last().map(|frame| frame.position));
        let mut delivering = self.sink.deliver(frames);
        for _ in 0..polls {
            let polled =
                std::future::poll_fn(|context| std::task::Poll::Ready(delivering.as_mut().poll(context).is_ready()));
            if polled.await {
                return true;
            }
            // What it waits for gets its turn.
            sleep(Duration::from_millis(1)).await;
        }
        false
    }

    /// Offers a frame from the dead letters.
    ///
    /// # Errors
    /// The sink's error.
    pub async fn replay(&mut self, frame: &Delivery) -> Result<(), SinkError> {
        self.sink.replay(frame).await
    }

    /// Closes the sink, as before the process ends. What it refuses or cannot store then comes again, as after a restart.
    ///
    /// # Errors
    /// If the sink breaks the contract or does not get on.
    pub async fn close(&mut self) -> Result<(), String> {
        let mut failure = String::new();
        for _ in 0..FAILURES_MAX {
            match self.sink.close().await {
                Ok(answer) => return self.answered(answer),
                Err(SinkError::Reject { position, .. } | SinkError::RejectRows { position, .. }) => {
                    self.refused.push(position);
                    self.held.retain(|frame| frame.position != position);
                    continue;
                }
                Err(error) => failure = error.to_string(),
            }
            let held = std::mem::take(&mut self.held);
            self.recover().await?;
            let through = self.through;
            let open: Vec<Delivery> = held.into_iter().filter(|held| Some(held.position) > through).collect();
            self.deliver(&open).await?;
        }
        Err(format!("close: {failure}"))
    }

    /// How long the sink wants to be left alone between calls without frames.
    pub fn poll_interval(&self) -> Duration {
        self.sink.poll_interval()
    }
}
