package bpos

import (
	"net/http"
	"strings"
)

const (
	maxLabel = 63 // bytes in a label of a domain name (RFC 1035, section 2.3.4)
	maxPort  = 5  // digits
)

// StoreOfHost returns the store that a request's host names, one level below the platform's domain: "yourstore" for
// "YourStore.brotherpos.ca:443" and "brotherpos.ca". It is in lower case, so the stores of the keys have to be as well.
//
//	authorized := registry.Middleware(func(request *http.Request) string {
//		return bpos.StoreOfHost(request, "brotherpos.ca")
//	})
//
// The host is request.Host, which net/http takes from the Host header, or in HTTP/2 from :authority. A port and one
// trailing dot are cut off. Wherever there is doubt the answer is "", which matches no key:
//
//   - no host, or in HTTP/2 a Host header that names another one: a proxy may have routed by that;
//   - another domain, the domain itself, two levels below it, or an IP address;
//   - user information ("user@"), a port that is not a number, or a label that is not 1 to 63 ASCII letters, digits,
//     "-" or "_".
func StoreOfHost(request *http.Request, domain string) string {
	host, sound := hostOf(request.Host)
	for _, header := range request.Header["Host"] { // net/http leaves it there in HTTP/2 only
		other, isHost := hostOf(header)
		sound = sound && isHost && strings.EqualFold(other, host)
	}
	label, parent, _ := strings.Cut(host, ".")
	if !sound || len(label) > maxLabel || domain == "" || !strings.EqualFold(parent, domain) {
		return ""
	}
	return strings.ToLower(label)
}

// hostOf cuts off the port and a trailing dot. It is false for what is not a name and a port, such as "[::1]". A name is
// ASCII, so that lower case is what DNS takes for the same: Unicode's of a Kelvin sign is a k.
func hostOf(authority string) (string, bool) {
	host, port, _ := strings.Cut(authority, ":")
	sound := len(port) <= maxPort && strings.Trim(port, "0123456789") == "" && !strings.ContainsFunc(host, notOfNames)
	return strings.TrimSuffix(host, "."), sound
}

func notOfNames(char rune) bool {
	isLetter := 'a' <= char && char <= 'z' || 'A' <= char && char <= 'Z'
	return !isLetter && (char < '0' || char > '9') && !strings.ContainsRune("-_.", char)
}
