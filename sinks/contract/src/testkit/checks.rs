//! The checks, one promise each.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{Destination, Driver, Promise, Stored, frames};
use crate::{Delivery, Position, SinkError};

/// Records in a frame.
const ROWS: usize = 10;
/// Time within which calls without frames store all held frames.
const POLLS_TIME_MAX: Duration = Duration::from_secs(60);

/// The destination holds these frames, and nothing else.
async fn holds(destination: &mut impl Destination, frames: &[Delivery]) -> Result<(), String> {
    has(destination, frames, true).await
}

/// The destination holds at least these frames.
async fn holds_at_least(destination: &mut impl Destination, frames: &[Delivery]) -> Result<(), String> {
    has(destination, frames, false).await
}

async fn has(destination: &mut impl Destination, frames: &[Delivery], nothing_else: bool) -> Result<(), String> {
    let once = destination.promise() == Promise::ExactlyOnce;
    let expected: Vec<(String, i64)> = frames.iter().flat_map(identities).collect();
    match destination.stored().await {
        Stored::Count(count) => {
            let wanted = expected.len() as u64;
            let wrong = count < wanted || once && nothing_else && count != wanted;
            if wrong { Err(format!("{count} records are there in place of {wanted}")) } else { Ok(()) }
        }
        Stored::Records(found) => {
            if let Some(lost) = expected.iter().find(|identity| !found.contains_key(*identity)) {
                return Err(format!("{lost:?} is not there, of {} records", expected.len()));
            }
            if let Some((double, times)) = found.iter().find(|(_, times)| once && **times != 1) {
                return Err(format!("{double:?} is there {times} times"));
            }
            match found.keys().find(|identity| nothing_else && !expected.contains(identity)) {
                Some(stranger) => Err(format!("{stranger:?} is there and was not delivered")),
                None => Ok(()),
            }
        }
    }
}

/// The testkit numbers records through, so a frame's own range says them all.
fn identities(frame: &Delivery) -> impl Iterator<Item = (String, i64)> + '_ {
    let meta = &frame.batch.meta;
    (meta.first_seq..=meta.last_seq).map(|seq| (meta.producer.clone(), seq))
}

fn through(frames: &[Delivery], through: Option<Position>) -> &[Delivery] {
    let end = frames.partition_point(|frame| Some(frame.position) <= through);
    &frames[..end]
}

/// Answered positions ascend, and never pass the frames that were given or stored; `close` stores the rest.
///
/// # Errors
/// When the sink breaks the promise; the message says how.
pub async fn positions(destination: &mut impl Destination) -> Result<(), String> {
    let all = frames(7, ROWS);
    let mut driver = Driver::start(destination.open().await, None).await?;
    for some in all.chunks(2) {
        driver.deliver(some).await?;
        holds_at_least(destination, through(&all, driver.through)).await?;
    }
    driver.close().await?;
    if driver.through != Some(6) {
        return Err(format!("closed at {:?}, the last frame is 6", driver.through));
    }
    holds(destination, &all).await
}

/// Frames that were held back when the process died are delivered again.
///
/// # Errors
/// When the sink breaks the promise; the message says how.
pub async fn restart(destination: &mut impl Destination) -> Result<(), String> {
    let all = frames(9, ROWS);
    let mut cursor = None;
    for end in [3, 6, 9] {
        let first = Driver::start(destination.open().await, cursor).await?.through;
        let mut driver = Driver::start(destination.open().await, cursor).await?;
        if driver.through != first {
            return Err(format!("recovers at {first:?} and then at {:?}", driver.through));
        }
        let first = driver.through.map_or(0, |through| through as usize + 1);
        driver.deliver(&all[first.min(end)..end]).await?;
        holds_at_least(destination, through(&all, driver.through)).await?;
        cursor = driver.through;
    }
    let mut driver = Driver::start(destination.open().await, cursor).await?;
    let first = driver.through.map_or(0, |through| through as usize + 1);
    driver.deliver(&all[first..]).await?;
    driver.close().await?;
    holds(destination, &all).await
}

/// Calls without frames store the frames that are held back; before any frame they claim no position.
///
/// # Errors
/// When the sink breaks the promise; the message says how.
pub async fn polls(destination: &mut impl Destination) -> Result<(), String> {
    let all = frames(3, ROWS);
    let mut driver = Driver::start(destination.open().await, None).await?;
    // The driver knows of no frame: any position would be past what was given.
    for _ in 0..3 {
        let polled = driver.once(&[]).await?;
        polled.map_err(|error| format!("a call without frames fails: {error}"))?;
    }
    driver.deliver(&all).await?;
    let deadline = Instant::now() + POLLS_TIME_MAX;
    while driver.through != Some(2) {
        if Instant::now() > deadline {
            return Err(format!("calls without frames leave rows unstored after {:?}", driver.through));
        }
        sleep(driver.poll_interval()).await;
        let polled = driver.once(&[]).await?;
        polled.map_err(|error| format!("a call without frames fails: {error}"))?;
    }
    holds(destination, &all).await
}

/// The frame that cannot be stored is the one that is named, and all others are stored.
///
/// # Errors
/// When the sink breaks the promise; the message says how.
pub async fn refusal(destination: &mut impl Destination) -> Result<(), String> {
    let all = frames(6, ROWS);
    let mut offered = all.clone();
    for bad in [2, 5] {
        offered[bad] = destination.refused(&all[bad]);
    }
    let mut driver = Driver::start(destination.open().await, None).await?;
    driver.deliver(&offered).await?;
    driver.close().await?;
    if driver.refused != [2, 5] {
        return Err(format!("{:?} were refused in place of 2 and 5", driver.refused));
    }
    let good: Vec<_> = [0, 1, 3, 4].map(|at: usize| all[at].clone()).into();
    holds_at_least(destination, &good).await
}

/// Frames that are offered again move nothing back.
///
/// # Errors
/// When the sink breaks the promise; the message says how.
pub async fn again(destination: &mut impl Destination) -> Result<(), String> {
    let all = frames(4, ROWS);
    let mut driver = Driver::start(destination.open().await, None).await?;
    driver.deliver(&all[..3]).await?;
    let before = driver.through;
    driver.deliver(&all).await?;
    driver.deliver(&all[2..]).await?;
    if driver.through < before {
        return Err(format!("went back from {before:?} to {:?}", driver.through));
    }
    driver.close().await?;
    holds(destination, &all).await
}

/// While the destination fails, the sink claims no position. Once it is back, the same frames are stored.
///
/// # Errors
/// When the sink breaks the promise; the message says how.
pub async fn failure(destination: &mut impl Destination) -> Result<(), String> {
    let all = frames(4, ROWS);
    let mut driver = Driver::start(destination.open().await, None).await?;
    driver.deliver(&all[..2]).await?;
    let before = driver.through;
    if !destination.set_failing(true).await {
        return Ok(());
    }
    for _ in 0..3 {
        let tried = driver.once(&all[2..]).await?;
        if tried.is_ok() && driver.through > before.max(Some(1)) {
            return Err(format!("claims {:?} while the destination fails", driver.through));
        }
    }
    destination.set_failing(false).await;
    driver.deliver(&all[2..]).await?;
    driver.close().await?;
    holds(destination, &all).await
}

/// A delivery that is dropped at any point, and made again, stores its frames.
///
/// # Errors
/// When the sink breaks the promise; the message says how.
pub async fn cancellation(destination: &mut impl Destination) -> Result<(), String> {
    const TIMES: usize = 12;
    let all = frames(TIMES, ROWS);
    let mut driver = Driver::start(destination.open().await, None).await?;
    for (polls, frame) in all.iter().enumerate() {
        let frame = std::slice::from_ref(frame);
        driver.deliver_for(frame, polls).await;
        driver.deliver(frame).await?;
    }
    driver.close().await?;
    holds(destination, &all).await
}

/// A frame from the dead letters is stored though its position is long past.
///
/// # Errors
/// When the sink breaks the promise; the message says how.
pub async fn dead_letter(destination: &mut impl Destination) -> Result<(), String> {
    let all = frames(3, ROWS);
    let mut driver = Driver::start(destination.open().await, None).await?;
    driver.deliver(&[all[0].clone(), all[2].clone()]).await?;
    driver.close().await?;
    let before = driver.through;
    match driver.replay(&destination.refused(&all[1])).await {
        Err(SinkError::Reject { position: 1, .. }) => {}
        other => return Err(format!("a letter that cannot be stored is answered {other:?}")),
    }
    for _ in 0..2 {
        driver.replay(&all[1]).await.map_err(|error| format!("a letter is refused: {error}"))?;
    }
    let polled = driver.once(&[]).await?;
    polled.map_err(|error| format!("after a letter: {error}"))?;
    if driver.through != before {
        return Err(format!("a letter moved the position from {before:?} to {:?}", driver.through));
    }
    match destination.promise() {
        Promise::ExactlyOnce => holds(destination, &all).await,
        Promise::AtLeastOnce => holds_at_least(destination, &all).await,
    }
}
