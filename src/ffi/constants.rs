//! The numbers of the ABI and their names.

use std::ffi::{CStr, c_char};

use super::guard::guard_or;
use crate::decision::{ALLOWED, DenyReason, REASON_CODES, REASON_NAMES};

/// The version of the ABI: it changes when a program built against an older header would misbehave, and the SONAME of
/// the shared library, libbpos.so.0, ends in it. 0 until the first stable release.
pub const BPOS_ABI_VERSION: u32 = 0;

/// What a function that can fail returns: one of bpos_status_code, 0 for success. A future library may return others.
pub type bpos_status = i32;

/// The values of a bpos_status. These numbers never change and are never reused.
///
/// Methods:
///   bpos_status_name()   the name of one, for logs
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum bpos_status_code {
    /// Success.
    BPOS_OK = 0,
    /// An argument is NULL, misaligned, or has no meaning here: a memory registry was told to reload, for instance.
    BPOS_ERR_INVALID_ARGUMENT = 1,
    /// The operating system refused to open, read or write the registry file.
    BPOS_ERR_IO = 2,
    /// A document does not follow its format. The message names the key, the member, line and column.
    BPOS_ERR_FORMAT = 3,
    /// No key has that id.
    BPOS_ERR_NOT_FOUND = 4,
    /// The change contradicts what is in force: a duplicate id or digest, or a revoked key brought back.
    BPOS_ERR_CONFLICT = 5,
    /// The registry file is writable by others, or belongs to another user.
    BPOS_ERR_PERMISSION = 6,
    /// The change may not survive: it is not certain that the registry file keeps it. What it takes away is in force in
    /// this process; what it grants is not. bpos_error's message and `in_file` say whether the file has it.
    BPOS_ERR_NOT_DURABLE = 7,
    /// The registry was opened read-only.
    BPOS_ERR_READ_ONLY = 8,
    /// The document is older (its revision is lower) than the one in force.
    BPOS_ERR_STALE = 9,
    /// Something is larger than its stated maximum, or memory ran out.
    BPOS_ERR_LIMIT = 10,
    /// bpos panicked; this is a bug in bpos. The registry can still be used.
    BPOS_ERR_PANIC = 11,
}

/// Why a request was denied, in the order of the checks: the first that fails decides. The `reason` of a
/// bpos_decision. These numbers never change and are never reused; a future library may have others.
///
/// Methods:
///   bpos_reason_name()   the name of one, for logs
///   bpos_reason_code()   what a client may be told about it
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum bpos_reason {
    /// bpos could not decide: misuse, no memory, a time out of range, or a scope that does not exist. 500.
    BPOS_REASON_INTERNAL = 0,
    /// The request target's query holds a key, where logs and histories record it. 401.
    BPOS_REASON_KEY_IN_URL = 1,
    /// There is no key, or an empty one. 401.
    BPOS_REASON_MISSING_KEY = 2,
    /// The key is not "bpos_" and 16 to 123 ASCII letters and digits. 401.
    BPOS_REASON_MALFORMED_KEY = 3,
    /// The registry does not hold the key's digest. 401.
    BPOS_REASON_UNKNOWN_KEY = 4,
    /// The key was revoked, permanently. 401.
    BPOS_REASON_REVOKED_KEY = 5,
    /// The key is disabled. 401.
    BPOS_REASON_DISABLED_KEY = 6,
    /// The key, or the grace period of its previous secret, has expired. 401.
    BPOS_REASON_EXPIRED_KEY = 7,
    /// The key belongs to another store than the request's. 401.
    BPOS_REASON_WRONG_STORE = 8,
    /// No route of the policy matches the method and the path. 403.
    BPOS_REASON_UNMAPPED_ROUTE = 9,
    /// The key lacks the scope that the route needs. 403.
    BPOS_REASON_INSUFFICIENT_SCOPE = 10,
    /// The key is in test mode, and the operation writes. 403.
    BPOS_REASON_TEST_MODE = 11,
    /// As many requests as the key's limit were admitted in the last 60 seconds. 429.
    BPOS_REASON_RATE_LIMITED = 12,
    /// The request is allowed. 200.
    BPOS_REASON_ALLOWED = 13,
}

/// The scopes of the built-in policy, for bpos_authorize_scope(). Other scopes of a custom policy have numbers from 12
/// on: bpos_scope_id() gives them. These numbers never change and are never reused; 0 is no scope.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum bpos_scope {
    /// products:read: products, categories, brands, store settings.
    BPOS_SCOPE_PRODUCTS_READ = 1,
    /// customers:read: customer profiles, loyalty info.
    BPOS_SCOPE_CUSTOMERS_READ = 2,
    /// sales:read: sales history, receipts, line items.
    BPOS_SCOPE_SALES_READ = 3,
    /// inventory:read: stock levels, inventory adjustments.
    BPOS_SCOPE_INVENTORY_READ = 4,
    /// loyalty:read: loyalty tiers, rewards, transactions.
    BPOS_SCOPE_LOYALTY_READ = 5,
    /// gift_cards:read: gift card balances.
    BPOS_SCOPE_GIFT_CARDS_READ = 6,
    /// store_credits:read: store credit balances.
    BPOS_SCOPE_STORE_CREDITS_READ = 7,
    /// products:write: bulk-update product prices and stock. Includes products:read.
    BPOS_SCOPE_PRODUCTS_WRITE = 8,
    /// customers:write: create and update customer records. Includes customers:read.
    BPOS_SCOPE_CUSTOMERS_WRITE = 9,
    /// inventory:write: create stock adjustments. Includes inventory:read.
    BPOS_SCOPE_INVENTORY_WRITE = 10,
    /// webhooks:manage: create, update, and delete webhook subscriptions.
    BPOS_SCOPE_WEBHOOKS_MANAGE = 11,
}

/// The BPOS_ABI_VERSION of the loaded library. If it differs from the header's, the program has loaded the wrong
/// library.
#[unsafe(no_mangle)]
pub extern "C" fn bpos_abi_version() -> u32 {
    guard_or(BPOS_ABI_VERSION, || BPOS_ABI_VERSION)
}

/// The version of the loaded library, such as "0.1.0": the BPOS_VERSION of its header.
///
/// Returns a static string. Never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn bpos_version() -> *const c_char {
    const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => c"",
    };
    guard_or(VERSION.as_ptr(), || VERSION.as_ptr())
}

/// The name of a status, for logs: "ok", "io", "not_durable".
///
/// status: any number. The name of an unknown one is "unknown".
///
/// Returns a static string. Never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn bpos_status_name(status: bpos_status) -> *const c_char {
    static NAMES: [Name; STATUS_NAMES.len()] = terminated(&STATUS_NAMES);
    named(&NAMES, u32::try_from(status).ok(), c"unknown")
}

/// The name of a reason, for logs: "rate_limited", "allowed".
///
/// reason: any number. The name of an unknown one is "internal".
///
/// Returns a static string. Never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn bpos_reason_name(reason: u32) -> *const c_char {
    static NAMES: [Name; REASON_NAMES.len()] = terminated(&REASON_NAMES);
    named(&NAMES, Some(reason), c"internal")
}

/// What a client may be told about a reason: the `code` of the body, for hosts that write their own body. It is the
/// reason's name, except that unknown_key, wrong_store and malformed_key all become "invalid_key": a client must not be
/// able to tell them apart.
///
/// reason: any number. The code of an unknown one is "internal".
///
/// Returns a static string. Never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn bpos_reason_code(reason: u32) -> *const c_char {
    static CODES: [Name; REASON_NAMES.len()] = terminated(&REASON_CODES);
    named(&CODES, Some(reason), c"internal")
}

/// The names of the statuses, by number.
const STATUS_NAMES: [&str; 12] = [
    "ok",
    "invalid_argument",
    "io",
    "format",
    "not_found",
    "conflict",
    "permission",
    "not_durable",
    "read_only",
    "stale",
    "limit",
    "panic",
];

/// A name, and zeros behind it.
type Name = [u8; 24];

const fn terminated<const N: usize>(names: &[&str; N]) -> [Name; N] {
    let mut texts = [[0; size_of::<Name>()]; N];
    let mut index = 0;
    while index < N {
        #[expect(clippy::indexing_slicing, reason = "worked out by the compiler: out of range does not compile")]
        let (text, name): (&mut Name, &str) = (&mut texts[index], names[index]);
        assert!(name.len() < text.len(), "a zero stands behind it");
        text.split_at_mut(name.len()).0.copy_from_slice(name.as_bytes());
        index += 1;
    }
    texts
}

fn named(names: &'static [Name], number: Option<u32>, instead: &'static CStr) -> *const c_char {
    guard_or(instead.as_ptr(), || {
        let name = number.and_then(|number| names.get(usize::try_from(number).ok()?));
        name.map_or(instead.as_ptr(), |name| name.as_ptr().cast())
    })
}

// The enums above are typed out, because a header shows numbers. They are the core's.
const _: () = {
    use bpos_reason::*;
    assert!(BPOS_REASON_INTERNAL as u32 == DenyReason::Internal as u32);
    assert!(BPOS_REASON_KEY_IN_URL as u32 == DenyReason::KeyInUrl as u32);
    assert!(BPOS_REASON_MISSING_KEY as u32 == DenyReason::MissingKey as u32);
    assert!(BPOS_REASON_MALFORMED_KEY as u32 == DenyReason::MalformedKey as u32);
    assert!(BPOS_REASON_UNKNOWN_KEY as u32 == DenyReason::UnknownKey as u32);
    assert!(BPOS_REASON_REVOKED_KEY as u32 == DenyReason::RevokedKey as u32);
    assert!(BPOS_REASON_DISABLED_KEY as u32 == DenyReason::DisabledKey as u32);
    assert!(BPOS_REASON_EXPIRED_KEY as u32 == DenyReason::ExpiredKey as u32);
    assert!(BPOS_REASON_WRONG_STORE as u32 == DenyReason::WrongStore as u32);
    assert!(BPOS_REASON_UNMAPPED_ROUTE as u32 == DenyReason::UnmappedRoute as u32);
    assert!(BPOS_REASON_INSUFFICIENT_SCOPE as u32 == DenyReason::InsufficientScope as u32);
    assert!(BPOS_REASON_TEST_MODE as u32 == DenyReason::TestMode as u32);
    assert!(BPOS_REASON_RATE_LIMITED as u32 == DenyReason::RateLimited as u32);
    assert!(BPOS_REASON_ALLOWED as u32 == ALLOWED);
};

#[cfg(test)]
mod tests {
    use super::bpos_scope::*;
    use crate::policy::Scope;

    #[test]
    fn the_scopes_are_the_cores() {
        let scopes = [
            (BPOS_SCOPE_PRODUCTS_READ, Scope::PRODUCTS_READ),
            (BPOS_SCOPE_CUSTOMERS_READ, Scope::CUSTOMERS_READ),
            (BPOS_SCOPE_SALES_READ, Scope::SALES_READ),
            (BPOS_SCOPE_INVENTORY_READ, Scope::INVENTORY_READ),
            (BPOS_SCOPE_LOYALTY_READ, Scope::LOYALTY_READ),
            (BPOS_SCOPE_GIFT_CARDS_READ, Scope::GIFT_CARDS_READ),
            (BPOS_SCOPE_STORE_CREDITS_READ, Scope::STORE_CREDITS_READ),
            (BPOS_SCOPE_PRODUCTS_WRITE, Scope::PRODUCTS_WRITE),
            (BPOS_SCOPE_CUSTOMERS_WRITE, Scope::CUSTOMERS_WRITE),
            (BPOS_SCOPE_INVENTORY_WRITE, Scope::INVENTORY_WRITE),
            (BPOS_SCOPE_WEBHOOKS_MANAGE, Scope::WEBHOOKS_MANAGE),
        ];
        assert_eq!(scopes.len(), crate::policy::BUILT_IN.len());
        for (ours, the_cores) in scopes {
            assert_eq!(ours as u32, the_cores.id(), "{ours:?}");
        }
    }
}
