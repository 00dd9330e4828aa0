package main

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/brotherpos/bpos/bindings/go"
)

const keyLength = 41

// keys are made-up keys, in the order in which they are asked. Where they lie in the registry has nothing to do with
// it.
type keys struct {
	text  string // one after another
	count int
	asked uint64 // how often, so far: no key is asked twice within 1.1 seconds of the time that is handed in
	step  time.Duration
}

func makeKeys(count int) *keys {
	var text strings.Builder
	for _, number := range rand.New(rand.NewPCG(1, 2)).Perm(count) {
		fmt.Fprintf(&text, "bpos_%036d", number)
	}
	return &keys{text: text.String(), count: count, step: 1100 * time.Millisecond / time.Duration(count)}
}

func (k *keys) key(i int) string {
	return k.text[i*keyLength : (i+1)*keyLength]
}

// document is a registry with the keys, in another order, and 60 requests a minute for each.
func (k *keys) document() []byte {
	var document strings.Builder
	document.WriteString(`{"version": 1, "keys": [`)
	for number := range k.count {
		if number > 0 {
			document.WriteByte(',')
		}
		digest := sha256.Sum256(fmt.Appendf(nil, "bpos_%036d", number))
		fmt.Fprintf(&document, `{"id": "key_%d", "name": "Key %d", "store": %q, "sha256": "%x", "scopes": ["products:read"]}`,
			number, number, store, digest)
	}
	document.WriteString("]}")
	return []byte(document.String())
}

// each asks one key after another.
func (k *keys) each(expected int, call func(key string, now bpos.Now) int) calls {
	return func(n int) (right int) {
		for range n {
			elapsed := time.Duration(k.asked) * k.step
			now := bpos.Now{Wall: time.Unix(1_800_000_000, int64(elapsed)), Monotonic: elapsed}
			if call(k.key(int(k.asked%uint64(k.count))), now) == expected {
				right++
			}
			k.asked++
		}
		return right
	}
}
