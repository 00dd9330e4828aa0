//! Whether and where processes share.

use std::path::PathBuf;

/// Whether the processes that open one registry file share what they count, and where the memory for that lies.
///
/// Those that share admit a key together as often as its limit says, and each change is in force in all of them once it was
/// made. All must say the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sharing {
    /// Each process counts on its own, and hears of changes when it reads the file again.
    Off,
    /// In `/dev/shm`. Outside of Linux this is [`Sharing::Off`].
    #[default]
    On,
    /// In this folder, which should be in memory: for containers that do not have one `/dev/shm`.
    In(PathBuf),
}

impl From<bool> for Sharing {
    fn from(is_on: bool) -> Self {
        if is_on { Self::On } else { Self::Off }
    }
}
