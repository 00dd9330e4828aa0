//! The hot path: decide on a request, and tell the client.

use std::ffi::c_char;
use std::ptr;

use super::guard::guard_or;
use super::pointers::{Out, Sizable, borrowed, bytes, room, sized};
use super::registry::bpos_registry;
use super::text::print;
use crate::authorize::Outcome;
use crate::clock::Now;
use crate::decision::{ALLOWED, Decision, Denial, DenyReason, Grant};
use crate::policy::Scope;
use crate::registry::Registry;
use crate::request::Request;
use crate::text::ScopeName;

/// The answer to one request: what to do, why, and what to tell the client.
///
/// The caller owns it, sets `size` to sizeof(bpos_decision) and passes it to one call, which fills it in; it holds no
/// pointer, needs no freeing, and stays valid after its registry is closed. One thread may use it at a time. Fields that
/// the decision did not reach are zero or empty; all zero is a denial (status 0 is not 200). Fields of a newer header than
/// this library's are set to zero; a `size` over 4096 is misuse.
///
/// Methods:
///   bpos_authorize(), bpos_authorize_at()               fill one in, routing by method and target
///   bpos_authorize_scope(), bpos_authorize_scope_at()   fill one in, for a scope that the host names
///   bpos_decision_headers(), bpos_decision_body()       the answer to send to the client
///   bpos_reason_name()                                  its reason, for logs
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct bpos_decision {
    /// sizeof(bpos_decision), set by the caller. Not changed.
    pub size: u32,
    /// The HTTP status: 200 if the request is allowed; 401, 403 or 429 if not; 500 if bpos could not decide.
    pub status: i32,
    /// The exact reason, one of bpos_reason. For the host only: send a client what bpos_decision_body() gives.
    pub reason: u32,
    /// The scope that the operation needs; 0 if the decision did not get that far.
    pub required_scope: u32,
    /// The key's limit, in requests in any 60 seconds, on 200 and 429; otherwise 0.
    pub limit: u32,
    /// How many more requests would be allowed now, after this one.
    pub remaining: u32,
    /// On 429: whole seconds, rounded up and at least 1, until a request will be allowed again. Otherwise 0.
    pub retry_after_s: u32,
    /// On 200 and 429: whole seconds, rounded up, until the oldest counted request leaves the window and frees a slot.
    /// Otherwise 0.
    pub reset_s: u32,
    /// 1 if the key is in test mode, otherwise 0. Known once the client has proved that it holds the secret.
    pub test_mode: u8,
    /// Zero.
    pub reserved: [u8; 7],
    /// The id of the key, for logs, NUL-terminated. Empty unless the client proved that it holds the secret.
    pub key_id: [c_char; 32],
    /// The store that the key belongs to, NUL-terminated. Empty unless the client proved that it holds the secret. On a
    /// denial, do not show it to the client.
    pub store: [c_char; 64],
    /// The name of the required scope, NUL-terminated, on a 403 whose body names it. Otherwise empty.
    pub scope: [c_char; 64],
}

// SAFETY: as declared above.
unsafe impl Sizable for bpos_decision {}

const _: () = {
    use std::mem::offset_of;
    assert!(size_of::<bpos_decision>() == 200 && align_of::<bpos_decision>() == 4);
    assert!(offset_of!(bpos_decision, size) == 0);
    assert!(offset_of!(bpos_decision, status) == 4);
    assert!(offset_of!(bpos_decision, reason) == 8);
    assert!(offset_of!(bpos_decision, required_scope) == 12);
    assert!(offset_of!(bpos_decision, limit) == 16);
    assert!(offset_of!(bpos_decision, remaining) == 20);
    assert!(offset_of!(bpos_decision, retry_after_s) == 24);
    assert!(offset_of!(bpos_decision, reset_s) == 28);
    assert!(offset_of!(bpos_decision, test_mode) == 32);
    assert!(offset_of!(bpos_decision, reserved) == 33);
    assert!(offset_of!(bpos_decision, key_id) == 40);
    assert!(offset_of!(bpos_decision, store) == 72);
    assert!(offset_of!(bpos_decision, scope) == 136);
};

/// Decides on a request by its method and target, now. Takes no lock, and allocates at some keys' first use, so it must
/// not be called from a signal handler.
///
/// registry: NULL is misuse.
/// api_key, api_key_len: the value of the X-API-Key header, as received. NULL and 0 if there is none.
/// store, store_len: the store that the request is for, such as the first label of the host name. NULL and 0 skip that
///   check; an empty store that is not NULL matches no key.
/// method, method_len: such as "GET". NULL and 0 match no route.
/// target, target_len: the request target, path and query, as received and not decoded. NULL and 0 match no route.
/// out: always filled in, unless it is NULL, misaligned or has a wrong `size`: that is misuse, and nothing is written.
///
/// A text is (pointer, length) and need not end with a NUL. NULL with a length that is not 0 is misuse. All arguments
/// stay the caller's and are not used after the call.
///
/// Returns the HTTP status, the same as out->status: 200 if the request is allowed, and only then; 401, 403 or 429 if it
/// is not; 500 after misuse, or if bpos could not decide.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpos_authorize(
    registry: *const bpos_registry,
    api_key: *const c_char,
    api_key_len: usize,
    store: *const c_char,
    store_len: usize,
    method: *const c_char,
    method_len: usize,
    target: *const c_char,
    target_len: usize,
    out: *mut bpos_decision,
) -> i32 {
    // SAFETY: as the caller of every export promises.
    unsafe {
        answer(out, |out| {
            let credentials = [(api_key, api_key_len), (store, store_len)];
            let request = request(credentials, [(method, method_len), (target, target_len)])?;
            let core = core(registry)?;
            Some(core.decide_routed(&request, core.clock(), |outcome| fill(out, outcome)))
        })
    }
}

/// Decides on a request whose scope the host names, now: for hosts that do their own routing. The operation writes if the
/// scope is a write scope. Everything else is as with bpos_authorize(), but bpos does not see the request target, so the
/// host must refuse a key in a URL itself.
///
/// scope: one of bpos_scope, or from bpos_scope_id(). A number that is not in the registry's policy gives 500.
///
/// Returns the HTTP status, as bpos_authorize().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpos_authorize_scope(
    registry: *const bpos_registry,
    api_key: *const c_char,
    api_key_len: usize,
    store: *const c_char,
    store_len: usize,
    scope: u32,
    out: *mut bpos_decision,
) -> i32 {
    // SAFETY: as the caller of every export promises.
    unsafe {
        answer(out, |out| {
            let request = request([(api_key, api_key_len), (store, store_len)], [ABSENT; 2])?;
            let (core, scope) = (core(registry)?, Scope::from_id(scope)?);
            Some(core.decide_named(&request, scope, core.clock(), |outcome| fill(out, outcome)))
        })
    }
}

/// Like bpos_authorize(), at a given time: for tests and replays. All functions must use times from the same clocks: a
/// monotonic time before the key's last admission counts as the time of that admission.
///
/// unix_ms: milliseconds since 1970-01-01T00:00:00Z. Used only to decide whether a key has expired.
/// monotonic_us: microseconds on a clock that never goes back and counts suspended time. Used only for the rate limit.
///   More than 2^48 - 2 gives 500.
///
/// Returns the HTTP status, as bpos_authorize().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpos_authorize_at(
    registry: *const bpos_registry,
    api_key: *const c_char,
    api_key_len: usize,
    store: *const c_char,
    store_len: usize,
    method: *const c_char,
    method_len: usize,
    target: *const c_char,
    target_len: usize,
    unix_ms: i64,
    monotonic_us: u64,
    out: *mut bpos_decision,
) -> i32 {
    // SAFETY: as the caller of every export promises.
    unsafe {
        answer(out, |out| {
            let credentials = [(api_key, api_key_len), (store, store_len)];
            let request = request(credentials, [(method, method_len), (target, target_len)])?;
            let now = Now { unix_ms, monotonic_us };
            Some(core(registry)?.decide_routed(&request, &now, |outcome| fill(out, outcome)))
        })
    }
}

/// Like bpos_authorize_scope(), at a given time: for tests and replays. The times are as with bpos_authorize_at().
///
/// Returns the HTTP status, as bpos_authorize().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpos_authorize_scope_at(
    registry: *const bpos_registry,
    api_key: *const c_char,
    api_key_len: usize,
    store: *const c_char,
    store_len: usize,
    scope: u32,
    unix_ms: i64,
    monotonic_us: u64,
    out: *mut bpos_decision,
) -> i32 {
    // SAFETY: as the caller of every export promises.
    unsafe {
        answer(out, |out| {
            let request = request([(api_key, api_key_len), (store, store_len)], [ABSENT; 2])?;
            let now = Now { unix_ms, monotonic_us };
            let scope = Scope::from_id(scope)?;
            Some(core(registry)?.decide_named(&request, scope, &now, |outcome| fill(out, outcome)))
        })
    }
}

/// Writes the headers of the answer, each as "Name: value" and CR LF: WWW-Authenticate on 401, Retry-After on 429,
/// RateLimit-Policy and RateLimit on 200 and 429, and on a denial the Content-Type of the body.
///
/// decision: a filled-in one. NULL, a wrong `size` and contradictory contents are answered as 500.
/// buf, cap: where to write, and how many bytes fit. If cap is not 0, the text is cut to fit and ends with a NUL. NULL and 0
///   only ask for the length; NULL with another cap is misuse.
///
/// Returns the full length, without the NUL: if it is not less than cap, the text was cut. After misuse it returns 0 and
/// writes nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpos_decision_headers(decision: *const bpos_decision, buf: *mut c_char, cap: usize) -> usize {
    // SAFETY: as the caller of every export promises.
    unsafe {
        render(decision, buf, cap, |decided| {
            let headers = match decided {
                Ok(grant) => grant.headers(),
                Err(denial) => denial.headers(),
            };
            headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect()
        })
    }
}

/// Writes the body of the answer: on a denial an RFC 9457 problem in JSON, UTF-8; nothing when the request is allowed. It
/// tells the client no more than it may know.
///
/// decision, buf, cap: as with bpos_decision_headers().
///
/// Returns the full length, without the NUL, as bpos_decision_headers().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpos_decision_body(decision: *const bpos_decision, buf: *mut c_char, cap: usize) -> usize {
    // SAFETY: as the caller of every export promises.
    unsafe {
        render(decision, buf, cap, |decided| match decided {
            Ok(_) => String::new(),
            Err(denial) => denial.body(),
        })
    }
}

type Decided = Result<Grant, Denial>;

/// Has the caller's struct filled in, and returns its status. Misuse, for which `decide` gives `None`, and a panic are 500.
///
/// # Safety
///
/// As for every use of a pointer from C (see `pointers.rs`).
#[inline]
unsafe fn answer(out: *mut bpos_decision, decide: impl FnOnce(&mut Out<'_, bpos_decision>) -> Option<i32>) -> i32 {
    // SAFETY: as asked of our caller.
    let Ok(mut out) = (unsafe { Out::new(out, "out") }) else { return bpos_decision::UNDECIDED.status };
    guard_or(None, || decide(&mut out)).unwrap_or_else(|| {
        out.write(bpos_decision { size: out.size, ..bpos_decision::UNDECIDED });
        bpos_decision::UNDECIDED.status
    })
}

/// Fills in the caller's struct, straight from where the decision found what it tells: a copy in between would cost as much as
/// the rest of the way through C.
#[inline]
fn fill(out: &mut Out<'_, bpos_decision>, outcome: Outcome<'_>) -> i32 {
    let decision = bpos_decision::of(out.size, &outcome);
    let status = decision.status;
    out.write(decision);
    status
}

/// A text as C passes it: where it is, and how long.
type Text = (*const c_char, usize);

const ABSENT: Text = (ptr::null(), 0);

/// The request that C describes. `None` after misuse.
///
/// # Safety
///
/// As for every use of a pointer from C (see `pointers.rs`).
#[inline]
unsafe fn request<'a>([api_key, store]: [Text; 2], [method, target]: [Text; 2]) -> Option<Request<'a>> {
    // SAFETY: as asked of our caller.
    let text = |(pointer, length): Text| unsafe { bytes(pointer, length, "") }.ok();
    Some(Request::new(text(method)?, text(target)?).api_key(text(api_key)?).store(text(store)?))
}

/// # Safety
///
/// As for every use of a pointer from C (see `pointers.rs`).
#[inline]
unsafe fn core<'a>(registry: *const bpos_registry) -> Option<&'a Registry> {
    // SAFETY: as asked of our caller.
    Some(unsafe { borrowed(registry, "") }.ok()?.core())
}

/// Prints what a decision that C passes tells the client.
///
/// # Safety
///
/// As for every use of a pointer from C (see `pointers.rs`).
unsafe fn render(
    decision: *const bpos_decision,
    buf: *mut c_char,
    cap: usize,
    text: impl FnOnce(&Decided) -> String,
) -> usize {
    // SAFETY: as asked of our caller.
    let Ok(room) = (unsafe { room(buf, cap, "buf") }) else { return 0 };
    print("", room); // whatever happens next, `buf` holds a C string
    guard_or(0, || {
        // SAFETY: as asked of our caller.
        let decided = unsafe { sized(decision, "decision") }
            .map_or(Err(Denial::of(DenyReason::Internal)), bpos_decision::decided);
        print(&text(&decided), room)
    })
}

impl bpos_decision {
    /// Zero, but for the status.
    const UNDECIDED: Self = Self {
        size: 0,
        status: 500,
        reason: DenyReason::Internal as u32,
        required_scope: 0,
        limit: 0,
        remaining: 0,
        retry_after_s: 0,
        reset_s: 0,
        test_mode: 0,
        reserved: [0; 7],
        key_id: [0; 32],
        store: [0; 64],
        scope: [0; 64],
    };

    #[inline]
    fn of(size: u32, outcome: &Outcome<'_>) -> Self {
        let retry_after_s = if outcome.denied == Some(DenyReason::RateLimited) { outcome.reset_s } else { 0 };
        Self {
            size,
            status: outcome.denied.map_or(200, |reason| i32::from(reason.status())),
            reason: outcome.denied.map_or(ALLOWED, |reason| reason as u32),
            required_scope: outcome.scope.map_or(0, Scope::id),
            limit: outcome.limit,
            remaining: outcome.remaining,
            retry_after_s,
            reset_s: outcome.reset_s,
            test_mode: outcome.key.map_or(0, |key| u8::from(key.test_mode)),
            key_id: outcome.key.map_or([0; 32], |key| key.id.padded().map(|byte| byte as c_char)),
            store: outcome.key.map_or([0; 64], |key| key.store.padded().map(|byte| byte as c_char)),
            scope: outcome.scope_name.map_or([0; 64], |name| name.padded().map(|byte| byte as c_char)),
            ..Self::UNDECIDED
        }
    }

    /// The way back, as far as the client sees it. C may have put anything into the struct: contradictory contents become
    /// an internal error.
    #[allow(clippy::result_large_err, reason = "it is what the core gives")]
    fn decided(&self) -> Decided {
        let found = Decision { limit: self.limit, remaining: self.remaining, reset_s: self.reset_s, ..Decision::EMPTY };
        if (self.status, self.reason) == (200, ALLOWED) {
            return Ok(Grant { decision: found });
        }
        let reason = usize::try_from(self.reason).ok().and_then(|reason| DenyReason::ALL.get(reason));
        Err(match reason.filter(|reason| i32::from(reason.status()) == self.status) {
            None => Denial::of(DenyReason::Internal),
            Some(DenyReason::RateLimited) => {
                let decision = Decision { reset_s: self.retry_after_s.max(1), ..found };
                Denial { decision, ..Denial::of(DenyReason::RateLimited) }
            }
            Some(reason) => Denial { scope_name: self.scope_name(), ..Denial::of(*reason) },
        })
    }

    /// The name of the scope that the client is told; empty if it is not a valid one: a policy takes visible ASCII only.
    #[allow(clippy::cast_sign_loss, reason = "a byte is meant; whether C's char is signed depends on the platform")]
    fn scope_name(&self) -> ScopeName {
        let bytes = self.scope.map(|byte| byte as u8);
        bytes
            .iter()
            .position(|byte| *byte == 0)
            .and_then(|end| std::str::from_utf8(bytes.get(..end)?).ok())
            .filter(|name| name.bytes().all(|byte| byte.is_ascii_graphic()))
            .and_then(ScopeName::new)
            .unwrap_or(ScopeName::EMPTY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reasons_stand_at_their_numbers() {
        for (number, reason) in DenyReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number);
        }
    }

    /// What a client is told survives the way through C, for every reason.
    #[test]
    fn a_decision_renders_without_its_registry() {
        let scope_name = ScopeName::new("orders:\"\\").expect("it is short");
        let known = Outcome { limit: 7, reset_s: 42, scope_name: Some(&scope_name), ..Outcome::default() };
        for reason in DenyReason::ALL {
            let outcome = Outcome { denied: Some(reason), ..known };
            let denial = Denial { reason, decision: Decision { limit: 7, reset_s: 42, ..Decision::EMPTY }, scope_name };
            let back = bpos_decision::of(200, &outcome).decided().expect_err("a denial stays one");
            assert_eq!((back.headers(), back.body()), (denial.headers(), denial.body()), "{reason}");
        }
        let grant = Grant { decision: Decision { limit: 7, remaining: 6, reset_s: 42, ..Decision::EMPTY } };
        let outcome = Outcome { limit: 7, remaining: 6, reset_s: 42, ..Outcome::default() };
        let back = bpos_decision::of(200, &outcome).decided().expect("a grant stays one");
        assert_eq!(back.headers(), grant.headers());
    }

    #[test]
    fn what_no_decision_can_be_is_internal() {
        let sound = bpos_decision { size: 200, ..bpos_decision::UNDECIDED };
        let odd = [
            bpos_decision { status: 0, ..sound },
            bpos_decision { status: 200, reason: 0, ..sound },
            bpos_decision { status: 200, reason: 12, ..sound },
            bpos_decision { status: 401, reason: ALLOWED, ..sound },
            bpos_decision { status: 403, reason: 1, ..sound },
            bpos_decision { status: -1, reason: 14, ..sound },
            bpos_decision { status: 500, reason: u32::MAX, ..sound },
        ];
        for decision in odd {
            let denial = decision.decided().expect_err("not allowed");
            assert_eq!(denial.reason(), DenyReason::Internal, "{decision:?}");
        }
        let unterminated = bpos_decision { status: 403, reason: 10, scope: [b'a' as c_char; 64], ..sound };
        let control =
            bpos_decision { scope: std::array::from_fn(|at| if at < 3 { b'\n' as c_char } else { 0 }), ..unterminated };
        for decision in [unterminated, control] {
            let denial = decision.decided().expect_err("not allowed");
            assert_eq!(denial.reason(), DenyReason::InsufficientScope);
            assert!(!denial.body().contains("required_scope"), "{}", denial.body());
        }
    }
}
