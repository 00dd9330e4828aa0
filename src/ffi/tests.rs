//! A panic in every export, and what its caller sees of it.

use std::ffi::{CStr, c_char};
use std::ptr;

use super::bpos_status_code::*;
use super::guard::injection;
use super::pointers::Sizable;
use super::*;

/// The exported symbols, one a line, as the built library is held against them.
const SYMBOLS: &str = include_str!("../../tests/c/symbols.txt");

type Call = fn(&Fixture);

/// Each export, called with a panic to come.
const EXPORTS: &[(&str, Call)] = &[
    ("bpos_abi_version", |_| assert_eq!(struck(|| bpos_abi_version()), BPOS_ABI_VERSION)),
    ("bpos_authorize", |fixture| {
        fixture.decide(|registry, [key, store, method, target], out| {
            // SAFETY: the fixture's pointers are sound, as in all calls below.
            unsafe { bpos_authorize(registry, key, KEY.len(), store, 1, method, 3, target, TARGET.len(), out) }
        });
    }),
    ("bpos_authorize_at", |fixture| {
        fixture.decide(|registry, [key, store, method, target], out| {
            // SAFETY: as above.
            unsafe { bpos_authorize_at(registry, key, KEY.len(), store, 1, method, 3, target, TARGET.len(), 0, 0, out) }
        });
    }),
    ("bpos_authorize_scope", |fixture| {
        fixture.decide(|registry, [key, store, ..], out| {
            // SAFETY: as above.
            unsafe { bpos_authorize_scope(registry, key, KEY.len(), store, 1, 1, out) }
        });
    }),
    ("bpos_authorize_scope_at", |fixture| {
        fixture.decide(|registry, [key, store, ..], out| {
            // SAFETY: as above.
            unsafe { bpos_authorize_scope_at(registry, key, KEY.len(), store, 1, 1, 0, 0, out) }
        });
    }),
    ("bpos_buffer_free", |_| {
        let mut buffer = bpos_buffer { data: ptr::null_mut(), len: 0 };
        // SAFETY: as above.
        struck(|| unsafe { bpos_buffer_free(&raw mut buffer) });
    }),
    ("bpos_decision_body", |_| {
        let mut room = [1; 8];
        // SAFETY: as above.
        assert_eq!(struck(|| unsafe { bpos_decision_body(&raw const UNFILLED, room.as_mut_ptr(), 8) }), 0);
        assert_eq!(room[0], 0, "a C text all the same");
    }),
    ("bpos_decision_headers", |_| {
        let mut room = [1; 8];
        // SAFETY: as above.
        assert_eq!(struck(|| unsafe { bpos_decision_headers(&raw const UNFILLED, room.as_mut_ptr(), 8) }), 0);
        assert_eq!(room[0], 0, "a C text all the same");
    }),
    ("bpos_key_create", |fixture| {
        let spec = r#"{"name": "n", "store": "s", "scopes": []}"#;
        // SAFETY: as above.
        filling(|out, error| unsafe { bpos_key_create(fixture.registry, pointer(spec), spec.len(), out, error) });
        assert_eq!(fixture.export(), fixture.before, "nothing was created");
    }),
    ("bpos_key_disable", |fixture| {
        // SAFETY: as above.
        failing(|error| unsafe { bpos_key_disable(fixture.registry, pointer(ID), ID.len(), error) });
        assert_eq!(fixture.export(), fixture.before, "nothing was disabled");
    }),
    ("bpos_key_enable", |fixture| {
        // SAFETY: as above.
        failing(|error| unsafe { bpos_key_enable(fixture.registry, pointer(ID), ID.len(), error) });
    }),
    ("bpos_key_get", |fixture| {
        // SAFETY: as above.
        filling(|out, error| unsafe { bpos_key_get(fixture.registry, pointer(ID), ID.len(), out, error) });
    }),
    ("bpos_key_list", |fixture| {
        // SAFETY: as above.
        filling(|out, error| unsafe { bpos_key_list(fixture.registry, ptr::null(), 0, out, error) });
    }),
    ("bpos_key_list_page", |fixture| {
        let none = ptr::null();
        // SAFETY: as above.
        filling(|out, error| unsafe { bpos_key_list_page(fixture.registry, none, 0, none, 0, 9, out, error) });
    }),
    ("bpos_key_remove", |fixture| {
        // SAFETY: as above.
        failing(|error| unsafe { bpos_key_remove(fixture.registry, pointer(ID), ID.len(), error) });
    }),
    ("bpos_key_revoke", |fixture| {
        // SAFETY: as above.
        failing(|error| unsafe { bpos_key_revoke(fixture.registry, pointer(ID), ID.len(), error) });
        assert_eq!(fixture.export(), fixture.before, "nothing was revoked");
    }),
    ("bpos_key_rotate", |fixture| {
        // SAFETY: as above.
        filling(|out, error| unsafe { bpos_key_rotate(fixture.registry, pointer(ID), ID.len(), 0, out, error) });
        assert_eq!(fixture.export(), fixture.before, "nothing was rotated");
    }),
    ("bpos_key_update", |fixture| {
        let (id, patch) = (pointer(ID), pointer("{}"));
        // SAFETY: as above.
        filling(|out, error| unsafe { bpos_key_update(fixture.registry, id, ID.len(), patch, 2, out, error) });
    }),
    ("bpos_reason_code", |_| assert_eq!(text(struck(|| bpos_reason_code(13))), "internal")),
    ("bpos_reason_name", |_| assert_eq!(text(struck(|| bpos_reason_name(13))), "internal")),
    ("bpos_redact", |_| {
        let mut line = *b"bpos_abcdefghijklmnop";
        // SAFETY: as above.
        assert_eq!(struck(|| unsafe { bpos_redact(line.as_mut_ptr().cast(), line.len()) }), 0);
    }),
    ("bpos_registry_apply", |fixture| {
        // SAFETY: as above.
        failing(|error| unsafe { bpos_registry_apply(fixture.registry, pointer("[]"), 2, error) });
    }),
    ("bpos_registry_close", |fixture| {
        // The registry stays: its memory is lost, not used twice.
        // SAFETY: as above.
        struck(|| unsafe { bpos_registry_close(fixture.registry) });
    }),
    ("bpos_registry_edit", |fixture| {
        let changes = r#"[{"revoke": "key_1"}]"#;
        // SAFETY: as above.
        filling(|out, error| unsafe {
            bpos_registry_edit(fixture.registry, pointer(changes), changes.len(), out, error)
        });
        assert_eq!(fixture.export(), fixture.before, "nothing was revoked");
    }),
    ("bpos_registry_export", |fixture| {
        // SAFETY: as above.
        filling(|out, error| unsafe { bpos_registry_export(fixture.registry, out, error) });
    }),
    ("bpos_registry_from_json", |_| {
        let mut registry = ptr::null_mut();
        failing(|error| {
            let (json, out) = (pointer(DOCUMENT), &raw mut registry);
            // SAFETY: as above.
            unsafe { bpos_registry_from_json(json, DOCUMENT.len(), ptr::null(), 0, out, error) }
        });
        assert!(registry.is_null());
    }),
    ("bpos_registry_init", |_| {
        let mut registry = ptr::null_mut();
        let path = "/nonexistent/keys.json";
        failing(|error| {
            // SAFETY: as above.
            unsafe { bpos_registry_init(pointer(path), path.len(), ptr::null(), 0, &raw mut registry, error) }
        });
        assert!(registry.is_null());
    }),
    ("bpos_registry_open", |_| {
        let mut registry = ptr::null_mut();
        // SAFETY: as above.
        failing(|error| unsafe { bpos_registry_open(pointer("x"), 1, ptr::null(), 0, &raw mut registry, error) });
        assert!(registry.is_null());
    }),
    ("bpos_registry_reload", |fixture| {
        // SAFETY: as above.
        failing(|error| unsafe { bpos_registry_reload(fixture.registry, error) });
    }),
    ("bpos_registry_reload_if_changed", |fixture| {
        let mut changed = 0;
        // SAFETY: as above.
        failing(|error| unsafe { bpos_registry_reload_if_changed(fixture.registry, &raw mut changed, error) });
        assert_eq!(changed, 0);
    }),
    ("bpos_registry_stats", |fixture| {
        // SAFETY: as above.
        filling(|out, error| unsafe { bpos_registry_stats(fixture.registry, out, error) });
    }),
    ("bpos_scope_id", |fixture| {
        let name = "products:read";
        // SAFETY: as above.
        assert_eq!(struck(|| unsafe { bpos_scope_id(fixture.registry, pointer(name), name.len()) }), 0);
        // SAFETY: as above.
        assert_eq!(unsafe { bpos_scope_id(fixture.registry, pointer(name), name.len()) }, 1, "but for the panic");
    }),
    ("bpos_status_name", |_| assert_eq!(text(struck(|| bpos_status_name(0))), "unknown")),
    ("bpos_version", |_| assert_eq!(text(struck(|| bpos_version())), env!("CARGO_PKG_VERSION"))),
];

#[test]
fn no_panic_crosses_an_export() {
    let called: Vec<_> = EXPORTS.iter().map(|(name, _)| *name).collect();
    assert_eq!(called, SYMBOLS.lines().collect::<Vec<_>>(), "every export of the committed list is called here");
    let fixture = Fixture::new();
    for (_, call) in EXPORTS {
        call(&fixture);
    }
    fixture.close();
}

/// A document with a fault on its third line.
const FAULTY: &str = r#"{"version": 1, "keys": [{
    "id": "key_1", "name": "Website Sync", "store": "s", "scopes": ["products:read"],
    "rate_limit": 7000, "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}]}"#;

/// Loads [`FAULTY`], and gives what is then in an error struct that says it has this size.
fn faulted(size: u32) -> bpos_error {
    let mut error = bpos_error { size, ..UNWRITTEN };
    let (mut out, json) = (ptr::null_mut(), pointer(FAULTY));
    // SAFETY: the pointers are sound for the call.
    let status = unsafe { bpos_registry_from_json(json, FAULTY.len(), ptr::null(), 0, &raw mut out, &raw mut error) };
    assert_eq!(status, BPOS_ERR_FORMAT as i32);
    assert_eq!((error.size, error.code), (size, status));
    let message = text(error.message.as_ptr());
    assert!(message.ends_with("at line 3 column 22"), "{message}");
    error
}

#[test]
fn an_error_has_the_place_in_the_document() {
    let error = faulted(<bpos_error as Sizable>::SIZE);
    assert_eq!((error.line, error.column, error.in_file), (3, 22, 0));
}

#[test]
fn an_older_programs_error_is_written_up_to_its_size() {
    let untouched = UNWRITTEN.line;
    for (size, line, column) in [(512, untouched, untouched), (516, 3, untouched), (520, 3, 22)] {
        let error = faulted(size);
        assert_eq!((error.line, error.column, error.in_file), (line, column, untouched), "{size}");
    }
}

const KEY: &str = "bpos_abcdefghijklmnop";
const ID: &str = "key_1";
const TARGET: &str = "/api/v1/products";
const DOCUMENT: &str = r#"{"version": 1, "keys": [{
    "id": "key_1", "name": "Website Sync", "store": "s", "scopes": ["products:read"],
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}]}"#;

static UNFILLED: bpos_decision = bpos_decision {
    size: <bpos_decision as Sizable>::SIZE,
    status: 7,
    reason: 7,
    required_scope: 7,
    limit: 7,
    remaining: 7,
    retry_after_s: 7,
    reset_s: 7,
    test_mode: 7,
    reserved: [7; 7],
    key_id: [7; 32],
    store: [7; 64],
    scope: [7; 64],
};

const UNWRITTEN: bpos_error =
    bpos_error { size: <bpos_error as Sizable>::SIZE, code: 7, message: [7; 504], line: 7, column: 7, in_file: 7 };

struct Fixture {
    registry: *mut bpos_registry,
    /// The document at the beginning.
    before: String,
}

impl Fixture {
    fn new() -> Self {
        let mut registry = ptr::null_mut();
        let (json, out) = (pointer(DOCUMENT), &raw mut registry);
        // SAFETY: the pointers are sound for the call.
        let status = unsafe { bpos_registry_from_json(json, DOCUMENT.len(), ptr::null(), 0, out, ptr::null_mut()) };
        assert_eq!(status, BPOS_OK as i32);
        let fixture = Self { registry, before: String::new() };
        Self { before: fixture.export(), ..fixture }
    }

    /// The document in force.
    fn export(&self) -> String {
        let mut buffer = bpos_buffer { data: ptr::null_mut(), len: 0 };
        // SAFETY: the pointers are sound for the call.
        let status = unsafe { bpos_registry_export(self.registry, &raw mut buffer, ptr::null_mut()) };
        assert_eq!(status, BPOS_OK as i32);
        let document = text(buffer.data).to_owned();
        // SAFETY: filled above.
        unsafe { bpos_buffer_free(&raw mut buffer) };
        document
    }

    /// A decision that panics is 500, in the struct too, which holds nothing of what was there.
    #[track_caller]
    fn decide(&self, call: impl FnOnce(*const bpos_registry, [*const c_char; 4], *mut bpos_decision) -> i32) {
        let mut out = UNFILLED;
        let arguments = [pointer(KEY), pointer("s"), pointer("GET"), pointer(TARGET)];
        assert_eq!(struck(|| call(self.registry, arguments, &raw mut out)), 500);
        assert_eq!((out.size, out.status, out.reason), (UNFILLED.size, 500, 0));
        assert_eq!((out.required_scope, out.limit, out.remaining), (0, 0, 0));
        assert_eq!((out.retry_after_s, out.reset_s, out.test_mode, out.reserved), (0, 0, 0, [0; 7]));
        assert_eq!((out.key_id, out.store, out.scope), ([0; 32], [0; 64], [0; 64]));
    }

    fn close(self) {
        // SAFETY: made by `new`, and not used after this.
        unsafe { bpos_registry_close(self.registry) };
    }
}

/// Calls a cold function, with a panic to come: it says so, in words that hold no key.
#[track_caller]
fn failing(call: impl FnOnce(*mut bpos_error) -> bpos_status) {
    let mut error = UNWRITTEN;
    assert_eq!(struck(|| call(&raw mut error)), BPOS_ERR_PANIC as i32);
    assert_eq!(error.code, BPOS_ERR_PANIC as i32);
    assert_eq!((error.line, error.column, error.in_file), (0, 0, 0));
    let message = text(error.message.as_ptr());
    assert_eq!(message, "bpos panicked; this is a bug in bpos: injected bpos_abcd************");
}

/// Likewise one that fills a buffer, which has nothing to free afterwards.
#[track_caller]
fn filling(call: impl FnOnce(*mut bpos_buffer, *mut bpos_error) -> bpos_status) {
    let mut buffer = bpos_buffer { data: ptr::null_mut(), len: 0 };
    failing(|error| call(&raw mut buffer, error));
    assert!(buffer.data.is_null() && buffer.len == 0);
}

/// Calls an export, with a panic to come, which must have come.
#[track_caller]
fn struck<T>(call: impl FnOnce() -> T) -> T {
    injection::arm();
    let answer = call();
    assert!(!injection::is_armed(), "the export does not run in the guard");
    answer
}

fn pointer(text: &str) -> *const c_char {
    text.as_ptr().cast()
}

fn text<'a>(pointer: *const c_char) -> &'a str {
    // SAFETY: the tests pass texts with a NUL behind them.
    unsafe { CStr::from_ptr(pointer) }.to_str().expect("it is UTF-8")
}
