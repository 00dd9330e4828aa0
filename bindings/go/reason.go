package bpos

// #include <bpos.h>
import "C"

// A Reason says why a request was denied, in the order of the checks: the first that fails decides. A future library
// may have others than the ones below.
type Reason uint32

// The reasons. Their numbers never change.
const (
	ReasonInternal          Reason = 0  // bpos could not decide: a closed registry, or an unknown scope. 500.
	ReasonKeyInURL          Reason = 1  // the target's query holds a key, where logs and histories record it. 401.
	ReasonMissingKey        Reason = 2  // there is no key, or an empty one. 401.
	ReasonMalformedKey      Reason = 3  // it is not "bpos_" and 16 to 123 ASCII letters and digits. 401.
	ReasonUnknownKey        Reason = 4  // the registry does not hold the key's digest. 401.
	ReasonRevokedKey        Reason = 5  // the key was revoked, permanently. 401.
	ReasonDisabledKey       Reason = 6  // the key is disabled. 401.
	ReasonExpiredKey        Reason = 7  // the key, or the grace period of its previous secret, has expired. 401.
	ReasonWrongStore        Reason = 8  // the key belongs to another store than the request's. 401.
	ReasonUnmappedRoute     Reason = 9  // no route of the policy matches the method and the path. 403.
	ReasonInsufficientScope Reason = 10 // the key lacks the scope that the route needs. 403.
	ReasonTestMode          Reason = 11 // the key is in test mode, and the operation writes. 403.
	ReasonRateLimited       Reason = 12 // as many requests as the key's limit were admitted in the last 60 seconds. 429.
	ReasonAllowed           Reason = 13 // the request is allowed. 200.
)

// String returns the name, for logs: "rate_limited". The name of an unknown number is "internal".
func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return C.GoString(C.bpos_reason_name(C.uint32_t(r))) // a newer library's
}

// reasonNames are the library's; here, so that a log line costs no call of C.
var reasonNames = [...]string{
	"internal", "key_in_url", "missing_key", "malformed_key", "unknown_key", "revoked_key", "disabled_key", "expired_key",
	"wrong_store", "unmapped_route", "insufficient_scope", "test_mode", "rate_limited", "allowed",
}
