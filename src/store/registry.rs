//! Whether what references to models mean may have changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the transactions that may have changed it, for those who remember what a reference meant: a memory is true
/// while the count is what it was before the table was read.
#[derive(Clone, Debug, Default)]
pub(super) struct Registry(Arc<AtomicU64>);

impl Registry {
    pub(super) fn generation(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    /// To be dropped behind the transaction, however that ends.
    pub(super) fn changing(&self) -> Changing {
        Changing(self.clone())
    }
}

#[derive(Debug)]
pub(super) struct Changing(Registry);

impl Drop for Changing {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::SeqCst);
    }
}
