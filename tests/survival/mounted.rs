//! File systems of a test's own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Taken away when dropped, even from under those who use it.
pub struct Mounted(PathBuf);

impl Mounted {
    /// `None` if this process may not mount, or the system has no such file system.
    pub fn new(how: &[&str], at: &Path) -> Option<Self> {
        mount(how, at).then(|| Self(at.to_owned()))
    }

    /// Takes it away now; nobody may use it any more.
    pub fn end(self) {
        assert!(run(Command::new("umount").arg(&self.0)), "somebody still uses {}", self.0.display());
        std::mem::forget(self);
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run(Command::new("umount").arg("-l").arg(&self.0));
    }
}

pub fn mount(how: &[&str], at: &Path) -> bool {
    run(Command::new("mount").args(how).arg(at))
}

/// Whether it did what it should; not so where there is no such program.
pub fn run(command: &mut Command) -> bool {
    command.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
