package main

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"sync"

	"golang.org/x/time/rate"

	"github.com/brotherpos/bpos/bindings/go"
)

// A peer is what one would write in Go alone: the key's digest in hexadecimal, a sync.Map, a token bucket for each key.
// It leaves out most checks: paths and queries that mislead, expiry, test mode, headers for the answer.
type peer struct {
	keys   sync.Map // of *peerKey, by digest
	routes map[string]string
}

type peerKey struct {
	store   string
	scopes  map[string]bool
	limiter *rate.Limiter
}

func newPeer(keys *keys) *peer {
	p := &peer{routes: map[string]string{"GET /api/v1/products": "products:read"}}
	for i := range keys.count {
		p.keys.Store(digest(keys.key(i)), &peerKey{store, map[string]bool{"products:read": true}, rate.NewLimiter(1, 60)})
	}
	return p
}

func (p *peer) authorize(key string, now bpos.Now) int {
	found, ok := p.keys.Load(digest(key))
	if !ok {
		return 401
	}
	known := found.(*peerKey)
	if known.store != store {
		return 401
	}
	path, _, _ := strings.Cut(target, "?")
	if scope, ok := p.routes[method+" "+path]; !ok || !known.scopes[scope] {
		return 403
	}
	if !known.limiter.AllowN(now.Wall, 1) {
		return 429
	}
	return 200
}

func digest(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}
