//! bpos as C programs use it: the functions of `libbpos.so`, with the types of `include/bpos.h`.

#![allow(unsafe_code, reason = "a foreign library is called")]

use std::ffi::{OsString, c_char};
use std::mem::MaybeUninit;
use std::path::Path;
use std::ptr;
use std::sync::LazyLock;

use libloading::Library;

use crate::authority::{Authority, METHOD, Need, TARGET};
use crate::keys::{Call, Terms, document};

/// `bpos_decision`. What the benchmark does not read is `rest`.
#[repr(C)]
struct Decision {
    size: u32,
    status: i32,
    reason: u32,
    rest: [u32; 47],
}

/// `bpos_registry`.
#[repr(C)]
struct Opaque([u8; 0]);

type Text = *const c_char;

struct Functions {
    from_json: unsafe extern "C" fn(Text, usize, Text, usize, *mut *mut Opaque, *mut u8) -> i32,
    close: unsafe extern "C" fn(*mut Opaque),
    authorize:
        unsafe extern "C" fn(*const Opaque, Text, usize, Text, usize, Text, usize, Text, usize, *mut Decision) -> i32,
    authorize_scope: unsafe extern "C" fn(*const Opaque, Text, usize, Text, usize, u32, *mut Decision) -> i32,
    authorize_scope_at:
        unsafe extern "C" fn(*const Opaque, Text, usize, Text, usize, u32, i64, u64, *mut Decision) -> i32,
    _library: Library,
}

/// Loaded once, and never unloaded.
static FUNCTIONS: LazyLock<Functions> = LazyLock::new(|| {
    // `make bench` names the folder; otherwise it is where `make lib` puts the library.
    let folder = std::env::var_os("BPOS_LIB")
        .unwrap_or_else(|| OsString::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target/lib")));
    let path = Path::new(&folder).join("libbpos.so");
    // SAFETY: loading bpos runs no code of its own, and these are the functions of include/bpos.h with their types.
    unsafe {
        let library = Library::new(&path).expect("`make lib` has built it");
        Functions {
            from_json: *library.get(b"bpos_registry_from_json").unwrap(),
            close: *library.get(b"bpos_registry_close").unwrap(),
            authorize: *library.get(b"bpos_authorize").unwrap(),
            authorize_scope: *library.get(b"bpos_authorize_scope").unwrap(),
            authorize_scope_at: *library.get(b"bpos_authorize_scope_at").unwrap(),
            _library: library,
        }
    }
});

pub(crate) struct Registry {
    registry: *mut Opaque,
    functions: &'static Functions,
}

// SAFETY: "A bpos_registry is safe to use from any thread at once."
unsafe impl Sync for Registry {}

impl Registry {
    pub(crate) fn from_json(json: &[u8]) -> Self {
        let functions = &*FUNCTIONS;
        let mut registry = ptr::null_mut();
        // SAFETY: the texts are pointers and lengths, the registry's place may be written, and the error may be NULL.
        let status = unsafe {
            (functions.from_json)(json.as_ptr().cast(), json.len(), ptr::null(), 0, &raw mut registry, ptr::null_mut())
        };
        assert_eq!(status, 0, "the document is sound");
        Self { registry, functions }
    }

    #[inline]
    pub(crate) fn routed(&self, Call { key, store }: Call<'_>) -> u32 {
        let (key, key_len) = text(key);
        let (store, store_len) = text(store);
        let (method, method_len) = text(METHOD.as_bytes());
        let (target, target_len) = text(TARGET.as_bytes());
        answer(|out| {
            // SAFETY: the registry is open, the texts are pointers and lengths, and `out` has its size.
            unsafe {
                (self.functions.authorize)(
                    self.registry,
                    key,
                    key_len,
                    store,
                    store_len,
                    method,
                    method_len,
                    target,
                    target_len,
                    out,
                )
            }
        })
    }

    /// As [`Authority::named`], at a time of the monotonic clock.
    #[inline]
    pub(crate) fn named_at(&self, Call { key, store }: Call<'_>, us: u64) -> u32 {
        let scope = Need::ProductsRead as u32;
        let ((key, key_len), (store, store_len)) = (text(key), text(store));
        answer(|out| {
            // SAFETY: as in `routed`.
            unsafe {
                (self.functions.authorize_scope_at)(self.registry, key, key_len, store, store_len, scope, 0, us, out)
            }
        })
    }
}

impl Authority for Registry {
    fn with_limit(keys: usize, limit: u32) -> Self {
        Self::from_json(&document(keys, |_| Terms { limit, revoked: false }))
    }

    #[inline]
    fn named(&self, Call { key, store }: Call<'_>, scope: Need) -> u32 {
        let ((key, key_len), (store, store_len)) = (text(key), text(store));
        answer(|out| {
            // SAFETY: as in `routed`.
            unsafe {
                (self.functions.authorize_scope)(self.registry, key, key_len, store, store_len, scope as u32, out)
            }
        })
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // SAFETY: this is its last use.
        unsafe { (self.functions.close)(self.registry) }
    }
}

fn text(bytes: &[u8]) -> (Text, usize) {
    (bytes.as_ptr().cast(), bytes.len())
}

/// The reason of the decision that the call fills in. As in C, only its size is set before.
#[inline]
fn answer(call: impl FnOnce(*mut Decision) -> i32) -> u32 {
    let mut decision = MaybeUninit::<Decision>::uninit();
    let out = decision.as_mut_ptr();
    // SAFETY: the place is the decision's, and the library, called right, has written all of it.
    unsafe {
        (&raw mut (*out).size).write(size_of::<Decision>() as u32);
        let status = call(out);
        debug_assert_eq!(status, (*out).status);
        (*out).reason
    }
}
