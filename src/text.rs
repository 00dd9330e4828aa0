//! Short text that is copied as a block of fixed size, with the length checked once, when it is made.

use std::fmt;

/// At most `N` bytes of UTF-8, followed by zeros.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Text<const N: usize> {
    bytes: [u8; N],
    length: u8,
}

/// `key_` and 20 characters, or whatever a host calls its keys; 31 bytes, and a NUL behind them for C.
pub(crate) type KeyId = Text<32>;
/// A store's name; 63 bytes, and a NUL behind them for C.
pub(crate) type Store = Text<64>;
/// A scope's name; 63 bytes, and a NUL behind them for C.
pub(crate) type ScopeName = Text<64>;

impl<const N: usize> Text<N> {
    /// The longest text that fits.
    pub(crate) const MAX: usize = N - 1;

    pub(crate) const EMPTY: Self = Self { bytes: [0; N], length: 0 };

    /// `None` if the text is longer than [`Text::MAX`].
    pub(crate) fn new(text: &str) -> Option<Self> {
        let mut bytes = [0; N];
        if text.len() > Self::MAX {
            return None;
        }
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Self { bytes, length: u8::try_from(text.len()).ok()? })
    }

    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    pub(crate) fn as_str(&self) -> &str {
        // It was text when it came in.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The text and the zeros behind it.
    #[cfg(feature = "ffi")]
    pub(crate) fn padded(&self) -> &[u8; N] {
        &self.bytes
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}
