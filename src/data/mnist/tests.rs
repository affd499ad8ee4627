//! The entry against folders, made up and real.

use super::*;
use std::fs;

/// The folder that holds `mnist/` with the real files, if this machine has one.
pub(crate) fn real_folder() -> Option<PathBuf> {
    let folder = std::env::var_os("LETHE_DATASETS_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from);
    let found = folder.join(NAME).join("train-images-idx3-ubyte.gz").exists();
    if !found {
        // not `eprintln!`: the test runner would keep that to itself
        let words =
            format!("SKIPPED: no MNIST in {}; name its folder by LETHE_DATASETS_DIR\n", folder.display());
        std::io::Write::write_all(&mut std::io::stderr(), words.as_bytes()).unwrap();
    }
    found.then_some(folder)
}

/// A datasets folder and a cache, with some files in each.
struct Folders {
    root: tempfile::TempDir,
}

impl Folders {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for dir in ["datasets/mnist", "cache/mnist"] {
            fs::create_dir_all(root.path().join(dir)).unwrap();
        }
        Self { root }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn write(&self, path: &str, bytes: &[u8]) -> &Self {
        fs::write(self.path(path), bytes).unwrap();
        self
    }

    /// Copies real files, as they are, into a folder.
    fn copy(&self, files: &[File<'_>], from: &Path, to: &str) -> &Self {
        for file in files {
            let name = format!("{}.gz", file.name);
            fs::copy(from.join(NAME).join(&name), self.path(to).join(name)).unwrap();
        }
        self
    }

    fn mnist(&self) -> Mnist {
        Mnist::new(Some(self.path("datasets")), self.path("cache"), Mirrors::test(NOBODY))
    }
}

fn detail(error: DataError, folders: &Folders, path: &str) -> String {
    match error {
        DataError::Damaged { path: named, detail } => {
            assert_eq!(named, folders.path(path).display().to_string());
            detail
        }
        other => panic!("{other}"),
    }
}

fn plain(file: &File<'_>, from: &Path) -> Vec<u8> {
    files::read_checked(file, &from.join(NAME).join(format!("{}.gz", file.name))).unwrap()
}

#[test]
fn nothing_is_available_from_empty_folders_and_the_listing_says_what_to_do() {
    let folders = Folders::new();
    let mnist = folders.mnist();
    assert_eq!(mnist.available().unwrap(), None);
    let entry = mnist.describe();
    assert_eq!((entry.source, entry.digest.as_str()), (None, Writers::Known.digest()));
    let note = entry.note.unwrap();
    assert!(note.contains("`train-images-idx3-ubyte.gz`"), "{note}");
    assert!(note.contains(&format!("into `{}`", folders.path("datasets/mnist").display())), "{note}");
}

#[test]
fn without_a_datasets_folder_the_advice_names_the_setting() {
    let folders = Folders::new();
    let note = Mnist::new(None, folders.path("cache"), Mirrors::test(NOBODY)).describe().note.unwrap();
    assert!(note.contains("`--datasets-dir`") && note.contains("cache/mnist"), "{note}");
}

#[test]
fn offline_the_error_names_the_mirror_the_files_and_the_folder() {
    let folders = Folders::new();
    let error = folders.mnist().fetch(Writers::Known, &mut carry_on).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, DataError::Unavailable(_)));
    assert!(text.contains("http://127.0.0.1:1/files/train-labels-idx1-ubyte.gz: "), "{text}");
    for file in files::ALL {
        assert!(text.contains(&format!("`{}.gz`", file.name)), "{text}");
    }
    assert!(text.contains(&folders.path("datasets/mnist").display().to_string()), "{text}");
}

#[test]
fn a_damaged_file_is_named_with_what_is_wrong_with_it() {
    let file = files::LABELS[0];
    let path = format!("datasets/mnist/{}", file.name);
    let folders = Folders::new();
    let mnist = folders.mnist();
    let found = |bytes: &[u8]| {
        folders.write(&path, bytes);
        let found = mnist.find(&file).unwrap().unwrap();
        assert!(!found.in_cache);
        detail(files::read_checked(&file, &found.path).unwrap_err(), &folders, &path)
    };
    assert_eq!(found(b""), "it holds 0 bytes unpacked, `train-labels-idx1-ubyte` has 60008");
    assert_eq!(found(&[0x1f, 0x8b, 8]).split(':').next(), Some("its gzip stream is broken"));
    let wrong = found(&[7; 60_008]);
    assert!(wrong.starts_with("its SHA-256 is ") && wrong.ends_with(file.sha256), "{wrong}");
    assert_eq!(found(&[7; 60_009]), "it holds more than the 60008 bytes allowed for it");
    assert_eq!(found(&[7; 99_999]), "it holds more than the 61632 bytes allowed for it");
}

#[test]
fn a_folder_in_place_of_a_file_is_an_error_that_names_it() {
    let folders = Folders::new();
    let path = format!("datasets/mnist/{}.gz", files::LABELS[0].name);
    fs::create_dir(folders.path(&path)).unwrap();
    let error = files::read_checked(&files::LABELS[0], &folders.path(&path)).unwrap_err();
    assert!(detail(error, &folders, &path).starts_with("it cannot be read: "));
}

#[test]
fn a_damaged_file_in_the_datasets_folder_is_not_passed_over_for_the_cache() {
    let Some(real) = real_folder() else { return };
    let folders = Folders::new();
    folders.copy(&files::ALL, &real, "cache/mnist");
    let path = "datasets/mnist/t10k-labels-idx1-ubyte";
    folders.write(path, b"not labels");
    let mnist = folders.mnist();
    assert_eq!(mnist.available().unwrap(), Some(Writers::Known));
    detail(mnist.load(Writers::Known).unwrap_err(), &folders, path);
}

#[test]
fn a_damaged_file_in_the_cache_is_an_error_that_says_how_to_mend_it() {
    let folders = Folders::new();
    let path = format!("cache/mnist/{}.gz", files::IMAGES[0].name);
    folders.write(&path, b"torn");
    let detail = detail(folders.mnist().load(Writers::Unknown).unwrap_err(), &folders, &path);
    assert!(detail.ends_with("; once deleted it will be downloaded again"), "{detail}");
}

#[test]
fn the_real_files_are_the_dataset_its_digest_says() {
    let Some(real) = real_folder() else { return };
    let folders = Folders::new();
    let mnist = Mnist::new(Some(real), folders.path("cache"), Mirrors::test(NOBODY));
    let dataset = mnist.load(Writers::Known).unwrap();
    assert_eq!(dataset.compute_digest(), Writers::Known.digest());
    assert_eq!(dataset.source, Source::File);
    assert_eq!((dataset.train.n_rows(), dataset.test.n_rows()), (60_000, 10_000));
    assert_eq!(dataset.train.labels[..5], [5, 0, 4, 1, 9]);
    assert_eq!(dataset.n_subjects(), Some(N_TRAIN_WRITERS as usize));

    let writers_of = |table: &Table| {
        table.subjects.as_ref().unwrap().iter().copied().collect::<std::collections::BTreeSet<u64>>()
    };
    let (training, testing) = (writers_of(&dataset.train), writers_of(&dataset.test));
    assert!(training.is_disjoint(&testing));
    assert_eq!(testing.len(), 297);

    let entry = mnist.describe();
    assert_eq!((entry.digest, entry.source, entry.note), (dataset.digest, Some(Source::File), None));
}

#[test]
fn without_writers_the_same_rows_have_another_digest() {
    let Some(real) = real_folder() else { return };
    let folders = Folders::new();
    folders.copy(&files::LABELS, &real, "datasets/mnist").copy(&files::IMAGES[1..], &real, "cache/mnist");
    // unpacked, as some people keep it
    folders.write("datasets/mnist/train-images-idx3-ubyte", &plain(&files::IMAGES[0], &real));
    let mnist = folders.mnist();
    assert_eq!(mnist.available().unwrap(), Some(Writers::Unknown));
    let dataset = mnist.load(Writers::Unknown).unwrap();
    assert_eq!(dataset.compute_digest(), Writers::Unknown.digest());
    assert_eq!((dataset.source, dataset.n_subjects()), (Source::Download, None));
    assert!(dataset.description.contains("without QMNIST's writers"));

    let entry = mnist.describe();
    assert_eq!((entry.digest, entry.source), (dataset.digest, Some(Source::Download)));
    assert_eq!(entry.n_subjects, None);
    assert!(entry.note.unwrap().contains("`qmnist-train-labels-idx2-int.gz`"));
}

#[test]
fn writers_of_other_rows_are_refused() {
    let row = |label: i32, writer: i32| [label, 0, writer, 0, 0, 0, 0, 0];
    let table = |rows: &[[i32; 8]]| {
        let data: Vec<u8> = rows.iter().flatten().flat_map(|value| value.to_be_bytes()).collect();
        idx::tests::encode(12, &[u32::try_from(rows.len()).unwrap(), 8], &data)
    };
    let plain = table(&[row(3, 70), row(4, 71), row(9, 72)]);
    assert_eq!(subjects(&plain, &[3, 4]), Ok(vec![70, 71]));
    assert_eq!(subjects(&plain, &[3, 5]), Err("row 1 says 4, MNIST says 5".to_owned()));
    assert_eq!(subjects(&plain, &[3, 4, 9, 1]), Err("it holds 3×8 numbers".to_owned()));
    assert_eq!(subjects(&table(&[row(3, -1)]), &[3]), Err("row 0 names no writer".to_owned()));
}
