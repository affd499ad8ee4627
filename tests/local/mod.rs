//! Datasets this machine has, for the tests that need real ones.

use lethe::data::{Catalogue, Dataset};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

/// The dataset from `LETHE_DATASETS_DIR` or the folder beside the repository; says loudly when it is not there.
pub fn open(name: &str) -> Option<Arc<Dataset>> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let folder = std::env::var_os("LETHE_DATASETS_DIR").map_or(beside, PathBuf::from);
    let cache = tempfile::tempdir().unwrap();
    let catalogue =
        Catalogue::new(Some(folder.clone()).filter(|folder| folder.is_dir()), cache.path().to_owned());
    let found = catalogue.open_local(name).unwrap();
    if found.is_none() {
        // not `eprintln!`: the test runner would keep that to itself
        let words = format!(
            "SKIPPED: no `{name}` in {}; set LETHE_DATASETS_DIR to run this test\n",
            folder.display()
        );
        std::io::stderr().write_all(words.as_bytes()).unwrap();
    }
    found
}
