//! The loss of every sample at the end of every epoch, a file a run.
//!
//! Behind a head of 24 bytes (`lethe losses v1\n`, then the number of rows of the training file, u64 little-endian) a row
//! for every epoch, in order: as many f32 little-endian, in nats. A row is on the disk before the epoch it belongs to is
//! told of; what an epoch that is measured again writes is what was there. Rows of epochs that were not measured are
//! `NaN`.

use super::dir::Dir;
use super::file::bytes;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use uuid::Uuid;

const MAGIC: &[u8; 16] = b"lethe losses v1\n";
const HEAD_LEN: u64 = 24;
const F32_BYTES: u64 = size_of::<f32>() as u64;

/// The folder of these files; names are those of the runs.
#[derive(Clone, Debug)]
pub struct Losses {
    dir: Dir,
}

/// A run's file, open, at its first epoch.
#[derive(Debug)]
pub struct LossFile {
    pub file: File,
    /// Of the training file: numbers in an epoch's row.
    pub n_rows: u64,
    /// Rows that are whole.
    pub n_epochs: u64,
}

impl Losses {
    /// Creates the folder if need be.
    pub(super) fn new(path: PathBuf) -> io::Result<Self> {
        Ok(Self { dir: Dir::new(path, "losses", "f32")? })
    }

    /// Writes the row of `epoch`, from 1, and syncs it.
    pub fn put(&self, run: Uuid, epoch: u32, losses: &[f32]) -> io::Result<()> {
        let n_rows = losses.len() as u64;
        self.dir.point("create")?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.dir.finished(run))?;
        self.dir.point("write")?;
        if read_head(&file)? != Some(n_rows) {
            // a head that is not whole is older than any epoch that was told of
            file.set_len(0)?;
            file.write_all_at(&[&MAGIC[..], &n_rows.to_le_bytes()].concat(), 0)?;
        }
        let row_bytes = n_rows * F32_BYTES;
        let place_of = |epoch: u64| HEAD_LEN + (epoch - 1) * row_bytes;
        let first_missing = (file.metadata()?.len() - HEAD_LEN) / row_bytes.max(1) + 1;
        if first_missing < u64::from(epoch) {
            let nothing = bytes(&vec![f32::NAN; losses.len()]);
            for missing in first_missing..u64::from(epoch) {
                file.write_all_at(&nothing, place_of(missing))?;
            }
        }
        file.write_all_at(&bytes(losses), place_of(u64::from(epoch)))?;
        self.dir.point("sync")?;
        file.sync_all()?;
        // every time: whoever made the file may have died before this
        self.dir.point("sync_folder")?;
        self.dir.sync()
    }

    /// `None` if there is no such file, or nothing in it that can be read.
    pub fn open(&self, run: Uuid) -> io::Result<Option<LossFile>> {
        let mut file = match File::open(self.dir.finished(run)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let Some(n_rows) = read_head(&file)? else { return Ok(None) };
        file.seek(SeekFrom::Start(HEAD_LEN))?;
        let n_epochs = (file.metadata()?.len() - HEAD_LEN) / n_rows.saturating_mul(F32_BYTES).max(1);
        Ok(Some(LossFile { file, n_rows, n_epochs }))
    }

    /// Removes the file; fine if there is none.
    pub fn remove(&self, run: Uuid) -> io::Result<()> {
        self.dir.remove_all(&[run])
    }

    /// Removes every file of ours that is not of one of these runs. Returns how many went.
    pub fn sweep(&self, runs: &[Uuid]) -> io::Result<usize> {
        self.dir.sweep(runs)
    }

    /// Whether there is no file of ours.
    pub fn is_empty(&self) -> io::Result<bool> {
        self.dir.is_empty()
    }
}

/// The number of rows a head tells; `None` if there is no whole head.
fn read_head(file: &File) -> io::Result<Option<u64>> {
    let mut head = Vec::new();
    let mut reader = file;
    reader.seek(SeekFrom::Start(0))?;
    reader.take(HEAD_LEN).read_to_end(&mut head)?;
    let n_rows = head.strip_prefix(&MAGIC[..]).and_then(|rest| rest.try_into().ok());
    Ok(n_rows.map(u64::from_le_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Losses) {
        let dir = tempfile::tempdir().unwrap();
        let losses = Losses::new(dir.path().join("losses")).unwrap();
        (dir, losses)
    }

    /// Rows of the file, `None` for `NaN`.
    fn read(losses: &Losses, run: Uuid) -> Vec<Vec<Option<f32>>> {
        let mut open = losses.open(run).unwrap().unwrap();
        let mut bytes = Vec::new();
        open.file.read_to_end(&mut bytes).unwrap();
        let numbers: Vec<_> = bytes
            .chunks_exact(4)
            .map(|chunk| Some(f32::from_le_bytes(chunk.try_into().unwrap())).filter(|loss| !loss.is_nan()))
            .collect();
        let rows: Vec<_> = numbers.chunks_exact(open.n_rows as usize).map(<[_]>::to_vec).collect();
        assert_eq!(rows.len() as u64, open.n_epochs);
        rows
    }

    #[test]
    fn rows_are_where_their_epoch_is_however_often_they_are_written() {
        let (_dir, losses) = folder();
        let run = Uuid::now_v7();
        for epoch in [1, 2, 2, 1, 3] {
            losses.put(run, epoch, &[epoch as f32, 0.5]).unwrap();
        }
        let row = |epoch: u8| vec![Some(f32::from(epoch)), Some(0.5)];
        assert_eq!(read(&losses, run), [row(1), row(2), row(3)]);
    }

    #[test]
    fn epochs_that_were_not_measured_are_not_numbers() {
        let (_dir, losses) = folder();
        let run = Uuid::now_v7();
        losses.put(run, 3, &[0.25]).unwrap();
        assert_eq!(read(&losses, run), [[None], [None], [Some(0.25)]]);
    }

    #[test]
    fn a_file_whose_making_was_cut_off_is_made_anew() {
        let (dir, losses) = folder();
        for beginning in [&b""[..], b"lethe losses v1\n\x07", b"something else, and more than a head has"] {
            let run = Uuid::now_v7();
            std::fs::write(dir.path().join(format!("losses/{run}.f32")), beginning).unwrap();
            assert!(losses.open(run).unwrap().is_none());
            losses.put(run, 1, &[1.0, 2.0]).unwrap();
            assert_eq!(read(&losses, run), [[Some(1.0), Some(2.0)]]);
        }
    }

    #[test]
    fn a_row_that_was_cut_off_counts_for_nothing_and_is_written_again() {
        let (dir, losses) = folder();
        let run = Uuid::now_v7();
        losses.put(run, 1, &[1.0, 2.0]).unwrap();
        losses.put(run, 2, &[3.0, 4.0]).unwrap();
        let path = dir.path().join(format!("losses/{run}.f32"));
        OpenOptions::new().write(true).open(&path).unwrap().set_len(24 + 8 + 5).unwrap();
        assert_eq!(losses.open(run).unwrap().unwrap().n_epochs, 1);
        losses.put(run, 2, &[3.0, 4.0]).unwrap();
        assert_eq!(read(&losses, run), [[Some(1.0), Some(2.0)], [Some(3.0), Some(4.0)]]);
    }

    #[test]
    fn files_nobody_speaks_of_are_swept_and_others_left_alone() {
        let (dir, losses) = folder();
        let (kept, gone) = (Uuid::now_v7(), Uuid::now_v7());
        assert!(losses.is_empty().unwrap());
        for run in [kept, gone] {
            losses.put(run, 1, &[1.0]).unwrap();
        }
        std::fs::write(dir.path().join("losses/notes.txt"), "mine").unwrap();
        assert_eq!(losses.sweep(&[kept]).unwrap(), 1);
        assert!(losses.open(gone).unwrap().is_none() && losses.open(kept).unwrap().is_some());
        losses.remove(kept).unwrap();
        losses.remove(kept).unwrap();
        assert!(losses.is_empty().unwrap() && dir.path().join("losses/notes.txt").exists());
    }
}
