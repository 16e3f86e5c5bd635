//! Asks the filters of data files, a few bytes of each.

use std::ops::Range;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use object_store::path::Path as ObjectPath;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt as _};
use siphasher::sip::SipHasher13;

use super::directory::Parsed;
use super::{COLUMNS, Directory, PART, cache};
use crate::damage::{self, Place};
use crate::snapshot::DataFile;
use crate::tags::SidecarPart;

/// Bytes at the end of a part that are read first: the directory of 145 row groups.
const END_BYTES: u64 = 16 << 10;
/// Files that are asked at once.
const CONCURRENT_FILES: usize = 16;

enum Fault {
    /// Missing, cut short, or a checksum does not hold.
    Damaged(String),
    /// It cannot be read now.
    Unreadable(object_store::Error),
}

/// Row groups of the file that may hold the value in the column, which is one of [`COLUMNS`]. `None` if that is not known, as the
/// file has no filters or damaged ones (counted, and logged once): then all of it must be scanned.
pub async fn row_groups_with(
    store: &Arc<dyn ObjectStore>,
    file: &DataFile,
    column: &str,
    value: &[u8],
) -> Option<Vec<usize>> {
    let column = COLUMNS.iter().position(|name| *name == column)?;
    ask(store, &Arc::from(store.to_string()), file, column, value).await
}

/// The files that may hold the value in the column, as their index in `files`, ascending, with their row groups as
/// [`row_groups_with`] answers them. Files that cannot hold it are left out.
pub async fn candidates(
    store: &Arc<dyn ObjectStore>,
    files: &[&DataFile],
    column: &str,
    value: &[u8],
) -> Vec<(usize, Option<Vec<usize>>)> {
    let Some(column) = COLUMNS.iter().position(|name| *name == column) else {
        return (0..files.len()).map(|at| (at, None)).collect();
    };
    let name: Arc<str> = Arc::from(store.to_string());
    let asked = files.iter().enumerate().map(|(at, file)| -> BoxFuture<'_, _> {
        let name = Arc::clone(&name);
        async move { (at, ask(store, &name, file, column, value).await) }.boxed()
    });
    let asked: Vec<_> = asked.collect();
    let mut answers: Vec<_> = futures::stream::iter(asked)
        .buffer_unordered(CONCURRENT_FILES)
        .filter(|(_, groups)| futures::future::ready(groups.as_ref().is_none_or(|groups| !groups.is_empty())))
        .collect()
        .await;
    answers.sort_unstable_by_key(|(at, _)| *at);
    answers
}

async fn ask(
    store: &Arc<dyn ObjectStore>,
    store_name: &Arc<str>,
    file: &DataFile,
    column: usize,
    value: &[u8],
) -> Option<Vec<usize>> {
    let part = file.sidecar.get(PART)?;
    let path = file.sidecar_path(PART);
    let place = Place::new(Arc::clone(store_name), path.as_str());
    if damage::verdict(&place) == Some(false) {
        return None;
    }
    let location = ObjectPath::from(path.as_str());
    match probe(store, &place, &location, part, column, value).await {
        Ok(groups) => Some(groups),
        Err(Fault::Damaged(why)) => {
            damage::is_damaged(place, &why);
            None
        }
        Err(Fault::Unreadable(error)) => {
            tracing::warn!(%path, %error, "the ids beside a data file cannot be read; the file is scanned");
            None
        }
    }
}

async fn probe(
    store: &Arc<dyn ObjectStore>,
    place: &Place,
    location: &ObjectPath,
    part: &SidecarPart,
    column: usize,
    value: &[u8],
) -> Result<Vec<usize>, Fault> {
    let directory = match cache::directory(place) {
        Some(directory) => directory,
        None => {
            let directory = Arc::new(read_directory(store, location, part).await?);
            cache::keep(place.clone(), Arc::clone(&directory));
            directory
        }
    };
    let filters = || directory.groups.iter().map(|group| (&group.filters[column], hash(&group.key, value)));
    let wanted: Vec<Vec<Range<u64>>> = filters().map(|(filter, hash)| filter.blocks(hash)).collect();
    let ranges = wanted.concat();
    let blocks = match ranges.is_empty() {
        true => Vec::new(),
        false => match store.get_ranges(location, &ranges).await {
            Ok(blocks) => blocks,
            Err(error) => return Err(fault(store, location, part, error).await),
        },
    };
    let mut blocks = blocks.as_slice();
    let mut groups = Vec::new();
    for (group, ((filter, hash), wanted)) in filters().zip(&wanted).enumerate() {
        let (its, rest) = blocks.split_at_checked(wanted.len()).unwrap_or((&[], &[]));
        blocks = rest;
        match filter.may_hold(hash, its) {
            Some(true) => groups.push(group),
            Some(false) => {}
            None => return Err(Fault::Damaged(format!("the checksum of a block of row group {group} does not hold"))),
        }
    }
    Ok(groups)
}

/// What values are known by in a row group with this key.
pub(super) fn hash(key: &[u8; 16], value: &[u8]) -> u64 {
    SipHasher13::new_with_key(key).hash(value)
}

async fn read_directory(
    store: &Arc<dyn ObjectStore>,
    location: &ObjectPath,
    part: &SidecarPart,
) -> Result<Directory, Fault> {
    let mut length = END_BYTES.min(part.bytes);
    loop {
        let range = Some(GetRange::Bounded(part.bytes - length..part.bytes));
        let got = store.get_opts(location, GetOptions { range, ..GetOptions::default() }).await;
        let got = match got {
            Ok(got) => got,
            Err(error) => return Err(fault(store, location, part, error).await),
        };
        let size = got.meta.size;
        if size != part.bytes {
            return Err(Fault::Damaged(format!("{size} bytes in place of {}", part.bytes)));
        }
        let end = match got.bytes().await {
            Ok(end) => end,
            Err(error) => return Err(fault(store, location, part, error).await),
        };
        match Directory::parse(&end, part.bytes) {
            Some(Parsed::Whole(directory)) => return Ok(directory),
            Some(Parsed::Needs(bytes)) if bytes as u64 > length && bytes as u64 <= part.bytes => length = bytes as u64,
            _ => return Err(Fault::Damaged("its directory is damaged".to_owned())),
        }
    }
}

/// What an error means: a part that is not there, or not of its length, stays so.
async fn fault(
    store: &Arc<dyn ObjectStore>,
    location: &ObjectPath,
    part: &SidecarPart,
    error: object_store::Error,
) -> Fault {
    match store.head(location).await {
        Ok(meta) if meta.size == part.bytes => Fault::Unreadable(error),
        Ok(meta) => Fault::Damaged(format!("{} bytes in place of {}", meta.size, part.bytes)),
        Err(object_store::Error::NotFound { .. }) => Fault::Damaged("it is missing".to_owned()),
        Err(error) => Fault::Unreadable(error),
    }
}
