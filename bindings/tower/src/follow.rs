//! Following a registry file that other processes change.

use std::sync::{Arc, Mutex, PoisonError};

use bpos::{Error, Registry};

/// Reads the file if it has changed, and reports each failure once.
#[derive(Clone)]
pub(crate) struct Follow {
    not_reloaded: Arc<dyn Fn(&Error) + Send + Sync>,
    told: Arc<Mutex<Option<Error>>>,
}

impl Follow {
    pub(crate) fn new(not_reloaded: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        Self { not_reloaded: Arc::new(not_reloaded), told: Arc::default() }
    }

    pub(crate) fn look(&self, registry: &Registry) {
        let failed = registry.reload_if_changed().err();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if *told != failed {
            failed.iter().for_each(|error| (self.not_reloaded)(error));
            *told = failed;
        }
    }
}
