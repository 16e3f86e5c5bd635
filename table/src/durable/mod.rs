//! A local object store that syncs what it writes.
//!
//! `object_store` 0.13's `LocalFileSystem` never calls fsync, so that a power cut can undo a commit, or leave a log entry of
//! the right name full of zeros. Here every write is: temporary file, fsync, link or rename into place, fsync of the
//! directory. A new directory is synced into its parent first. Reads are left to `LocalFileSystem`.

mod disk;

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, RenameTargetMode, Result, UploadPart,
};

pub(crate) use self::disk::Disk;
pub use self::disk::SyncCounts;

const STORE: &str = "durable local store";

/// The local file system as an object store whose writes are on stable storage when they return.
#[derive(Debug, Clone)]
pub struct DurableStore {
    local: Arc<LocalFileSystem>,
    disk: Arc<Disk>,
}

impl DurableStore {
    /// A store whose paths are relative to `root`, which must exist.
    pub(crate) fn rooted(root: &Path, disk: Arc<Disk>) -> Result<Self> {
        Ok(Self { local: Arc::new(LocalFileSystem::new_with_prefix(root)?), disk })
    }

    /// What a store of this folder shows itself as.
    pub(crate) fn name(root: &Path) -> String {
        Self::rooted(root, Arc::default()).map_or_else(|_| root.display().to_string(), |store| store.to_string())
    }

    /// A store of the whole file system.
    pub(crate) fn whole(disk: Arc<Disk>) -> Self {
        Self { local: Arc::new(LocalFileSystem::new()), disk }
    }

    async fn run<F>(&self, location: &ObjectPath, work: F) -> Result<()>
    where
        F: FnOnce(&Disk) -> io::Result<()> + Send + 'static,
    {
        let disk = Arc::clone(&self.disk);
        let done = tokio::task::spawn_blocking(move || work(&disk)).await;
        match done {
            Ok(Ok(())) => Ok(()),
            Ok(Err(source)) => Err(store_error(location, source)),
            Err(source) => Err(Error::JoinError { source }),
        }
    }
}

fn store_error(location: &ObjectPath, source: io::Error) -> Error {
    let path = location.to_string();
    match source.kind() {
        io::ErrorKind::AlreadyExists => Error::AlreadyExists { path, source: source.into() },
        io::ErrorKind::NotFound => Error::NotFound { path, source: source.into() },
        _ => Error::Generic { store: STORE, source: format!("{path}: {source}").into() },
    }
}

fn refused(operation: &str) -> Error {
    Error::NotImplemented { operation: operation.to_owned(), implementer: STORE.to_owned() }
}

impl std::fmt::Display for DurableStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DurableStore({})", self.local)
    }
}

#[async_trait]
impl ObjectStore for DurableStore {
    async fn put_opts(&self, location: &ObjectPath, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let create = match options.mode {
            PutMode::Overwrite => false,
            PutMode::Create => true,
            PutMode::Update(_) => return Err(refused("put with a version to update")),
        };
        let target = self.local.path_to_filesystem(location)?;
        self.run(location, move |disk| disk.write(&target, &payload, create)).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(
        &self,
        location: &ObjectPath,
        _options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Ok(Box::new(Upload { store: self.clone(), location: location.clone(), parts: Vec::new() }))
    }

    async fn get_opts(&self, location: &ObjectPath, options: GetOptions) -> Result<GetResult> {
        self.local.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &ObjectPath, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.local.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<ObjectPath>>,
    ) -> BoxStream<'static, Result<ObjectPath>> {
        self.local.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&ObjectPath>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.local.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&ObjectPath>,
        offset: &ObjectPath,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.local.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&ObjectPath>) -> Result<ListResult> {
        self.local.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &ObjectPath, to: &ObjectPath, options: CopyOptions) -> Result<()> {
        let create = matches!(options.mode, CopyMode::Create);
        let (source, target) = (self.local.path_to_filesystem(from)?, self.local.path_to_filesystem(to)?);
        self.run(to, move |disk| disk.copy(&source, &target, create)).await
    }

    async fn rename_opts(&self, from: &ObjectPath, to: &ObjectPath, options: RenameOptions) -> Result<()> {
        let create = matches!(options.target_mode, RenameTargetMode::Create);
        let (source, target) = (self.local.path_to_filesystem(from)?, self.local.path_to_filesystem(to)?);
        self.run(to, move |disk| disk.rename(&source, &target, create)).await
    }
}

/// An upload in parts, kept in memory until it is complete: only checkpoints of the log come this way.
#[derive(Debug)]
struct Upload {
    store: DurableStore,
    location: ObjectPath,
    parts: Vec<Bytes>,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.parts.extend(data);
        Box::pin(std::future::ready(Ok(())))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let payload = PutPayload::from_iter(std::mem::take(&mut self.parts));
        self.store.put_opts(&self.location, payload, PutOptions::default()).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.parts.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use object_store::ObjectStoreExt as _;

    use super::*;

    fn store() -> (tempfile::TempDir, DurableStore) {
        let dir = tempfile::tempdir().unwrap();
        let store = DurableStore::rooted(dir.path(), Arc::default()).unwrap();
        (dir, store)
    }

    #[tokio::test]
    async fn a_put_syncs_the_file_its_directory_and_new_parents() {
        let (_dir, store) = store();
        let path = ObjectPath::from("a/b/c.json");
        store.put(&path, "one".into()).await.unwrap();
        // a into the root, b into a, c.json into b.
        assert_eq!(store.disk.counts(), SyncCounts { files: 1, directories: 3 });
        store.put(&path, "two".into()).await.unwrap();
        assert_eq!(store.disk.counts(), SyncCounts { files: 2, directories: 4 });
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "two");
    }

    #[tokio::test]
    async fn create_refuses_what_exists_and_leaves_nothing_behind() {
        let (dir, store) = store();
        let path = ObjectPath::from("entry.json");
        let create = || PutOptions::from(PutMode::Create);
        store.put_opts(&path, "one".into(), create()).await.unwrap();
        let again = store.put_opts(&path, "two".into(), create()).await;
        assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "one");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn copies_renames_and_parts_are_synced() {
        let (dir, store) = store();
        let [one, two, three] = ["one", "two", "x/three"].map(ObjectPath::from);
        let mut upload = store.put_multipart(&one).await.unwrap();
        upload.put_part("ab".into()).await.unwrap();
        upload.put_part("cd".into()).await.unwrap();
        upload.complete().await.unwrap();
        store.copy(&one, &two).await.unwrap();
        store.rename_if_not_exists(&two, &three).await.unwrap();
        assert_eq!(store.get(&three).await.unwrap().bytes().await.unwrap(), "abcd");
        assert!(!dir.path().join("two").exists());
        assert_eq!(store.disk.counts(), SyncCounts { files: 3, directories: 5 });
    }
}
