//! Whether a part is what the log says of it.

use std::sync::Arc;

use futures::TryStreamExt as _;
use object_store::path::Path as ObjectPath;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt as _};

use crate::damage::{self, Place};
use crate::part_file::extended;
use crate::snapshot::DataFile;
use crate::tags::SidecarPart;

/// Whether a part of a data file's sidecar is there and whole: its length and checksum are those of the log. All of it is read
/// the first time; the answer is remembered for the process. A part that is not whole is counted
/// ([`crate::sidecars_damaged_total`]) and logged. One that cannot be read now is tried again the next time.
pub async fn verified(store: &Arc<dyn ObjectStore>, file: &DataFile, part: &str) -> bool {
    let Some(expected) = file.sidecar.get(part) else { return false };
    let path = file.sidecar_path(part);
    let place = Place::new(store.to_string(), path.as_str());
    if let Some(whole) = damage::verdict(&place) {
        return whole;
    }
    match read_through(store, &ObjectPath::from(path.as_str())).await {
        Ok(found) if found == *expected => {
            damage::is_whole(place);
            true
        }
        Ok(_) => {
            damage::is_damaged(place, "its length or checksum is another");
            false
        }
        Err(StoreError::NotFound { .. }) => {
            damage::is_damaged(place, "it is missing");
            false
        }
        Err(error) => {
            tracing::warn!(%path, %error, "a sidecar cannot be read; its data file is scanned");
            false
        }
    }
}

async fn read_through(store: &Arc<dyn ObjectStore>, location: &ObjectPath) -> object_store::Result<SidecarPart> {
    let mut bytes = store.get(location).await?.into_stream();
    let mut found = SidecarPart { bytes: 0, crc32c: 0 };
    while let Some(chunk) = bytes.try_next().await? {
        found = extended(found, &chunk);
    }
    Ok(found)
}
