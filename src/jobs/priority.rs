//! Training gives way to answering.

/// How far threads that train stand back (`nice`): where cores are short, a prediction has nine times their share, and
/// is not kept waiting for the end of a time slice. Where there is time to spare they lose nothing.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Has the calling thread, and those it starts from now on, stand back. On Linux alone: elsewhere a niceness is the whole
/// process's.
pub(super) fn stand_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::warn!(%error, "training takes as much of the cores as predictions do");
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use rustix::process::getpriority_process;
    use std::thread;

    #[test]
    fn a_thread_and_those_it_starts_stand_back_and_no_other_does() {
        let before = getpriority_process(None).unwrap();
        let (own, its_childs) = thread::spawn(|| {
            stand_back();
            let child = thread::spawn(|| getpriority_process(None).unwrap());
            (getpriority_process(None).unwrap(), child.join().unwrap())
        })
        .join()
        .unwrap();
        assert_eq!((own, its_childs), (NICENESS, NICENESS));
        assert_eq!(getpriority_process(None).unwrap(), before);
    }
}
