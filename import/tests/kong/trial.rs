//! Other people's files, which are not part of the project: `TOLLGATE_KONG_FILES=DIR cargo test -p tollgate-import trial --
//! --ignored --nocapture` imports every file below a folder, and checks what was written as the proxy does.

use std::path::{Path, PathBuf};

use tollgate_import::kong_file;
use tollgate_proxy::plan::RuntimeConfig;

#[test]
#[ignore = "needs a folder with files of Kong in TOLLGATE_KONG_FILES"]
fn every_file_is_imported_or_refused_with_its_place() {
    let folder = std::env::var_os("TOLLGATE_KONG_FILES").expect("TOLLGATE_KONG_FILES names a folder");
    let mut files = Vec::new();
    list(Path::new(&folder), &mut files);
    let (mut whole, mut part, mut refused, mut unchecked) = (0, 0, 0, Vec::new());
    for file in &files {
        let dir = tempfile::tempdir().unwrap();
        let began = std::time::Instant::now();
        let imported = match kong_file(file, Some(dir.path()), std::env::vars().collect()) {
            Ok(imported) => imported,
            Err(error) => {
                println!("refused {error}");
                assert!(error.to_string().starts_with(&format!("{}:", file.display())), "{error}");
                refused += 1;
                continue;
            }
        };
        let took = began.elapsed();
        if imported.is_complete() {
            whole += 1;
        } else {
            part += 1;
        }
        let routes = imported.files.iter().any(|file| file.text.contains("\nroutes:\n"));
        let checked = RuntimeConfig::load(dir.path());
        println!("imported {} in {took:?}, {}", file.display(), checked.as_ref().map_or("unchecked", |_| "checked"));
        if let (true, Err(error)) = (routes, checked) {
            println!("{error}");
            unchecked.push(file.display().to_string());
        }
    }
    println!("{} files: {whole} whole, {part} in part, {refused} refused", files.len());
    assert!(unchecked.is_empty(), "{unchecked:#?}");
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            _ if path.is_dir() => list(&path, files),
            Some("yaml" | "yml" | "json") => files.push(path),
            _ => {}
        }
    }
}
