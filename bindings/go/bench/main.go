// Bench prints what a decision costs from Go: beside the bare crossing to C and the same call in a loop in C, and
// beside what one would write in Go alone (crypto/sha256, sync.Map, golang.org/x/time/rate).
//
//	go run .           the table, in a minute or two; close other programs
//	go run . -once     each row once, with few keys: whether it works
package main

import (
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/brotherpos/bpos/bindings/go"
)

const (
	store   = "yourstore"
	method  = "GET"
	target  = "/api/v1/products?page=2"
	unknown = "bpos_nobodyhasthiskey00000000000000000000"
)

var once = flag.Bool("once", false, "make each call once, with few keys")

func main() {
	flag.Parse()
	sizes := []int{100, 10_000, 1_000_000}
	if *once {
		sizes = []int{10, 100}
	}
	fmt.Println("   keys  what, in ns a call              Go = crossing +     C +  rest  allocs |   peer  peer/Go")
	for _, size := range sizes {
		if err := table(makeKeys(size)); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
	}
}

// table prints the rows for some keys. On a key that is admitted, every call is so much later than the one before that
// the limit does not matter. The other rows are asked now, as in a server.
func table(keys *keys) error {
	registry, err := bpos.FromJSON(keys.document())
	if err != nil {
		return err
	}
	defer registry.Close()
	inC := loopInC(registry, keys)
	peer := newPeer(keys)

	request := bpos.Request{Store: store, Method: method, Target: target}
	routed := keys.each(200, func(key string, now bpos.Now) int {
		request := request
		request.APIKey = key
		return registry.AuthorizeAt(request, now).Status()
	})
	routed(keys.count) // each key's first request makes its window
	scoped := keys.each(200, func(key string, now bpos.Now) int {
		return registry.AuthorizeScopeAt(bpos.Request{APIKey: key, Store: store}, bpos.ScopeProductsRead, now).Status()
	})
	row(keys, "200, routed", routed, crossing, inC.routed(), keys.each(200, peer.authorize))
	row(keys, "200, scope named", scoped, crossing, inC.scoped(), nil)

	ask := func(key string, expected int) calls {
		request := request
		request.APIKey = key
		return now(expected, func() int { return registry.Authorize(request).Status() })
	}
	peer401 := now(401, func() int { return peer.authorize(unknown, bpos.Now{Wall: time.Now()}) })
	row(keys, "401, unknown key", ask(unknown, 401), crossing, inC.now(unknown, 401), peer401)

	hot := keys.key(0)
	for registry.Authorize(bpos.Request{APIKey: hot, Store: store, Method: method, Target: target}).Allowed() {
	}
	row(keys, "429, one hot key", ask(hot, 429), crossing, inC.now(hot, 429), nil)
	parallelRow(keys, "401", ask(unknown, 401))
	parallelRow(keys, "429", ask(hot, 429))
	return nil
}

// row prints what a call costs from Go, and of what that is made up.
func row(keys *keys, what string, inGo, crossing, inC, peer calls) {
	costs := measure(keys, inGo, crossing, inC)
	allocations := testing.AllocsPerRun(100, func() { inGo(1) })
	fmt.Printf("%7d  %-28s %8.1f = %8.1f + %5.1f + %5.1f  %6.0f", keys.count, what, costs[0], costs[1], costs[2],
		costs[0]-costs[1]-costs[2], allocations)
	if peer != nil {
		cost := measure(keys, peer)[0]
		fmt.Printf(" | %6.1f  %7.2f", cost, cost/costs[0])
	}
	fmt.Println()
}

// parallelRow prints how many times as much two goroutines get done as one.
func parallelRow(keys *keys, what string, one calls) {
	two := func(n int) int {
		var right [2]int
		var both sync.WaitGroup
		for i := range right {
			both.Add(1)
			go func() {
				defer both.Done()
				right[i] = one(n)
			}()
		}
		both.Wait()
		return (right[0] + right[1]) / 2
	}
	costs := measure(keys, one, two)
	fmt.Printf("%7d  %-28s %8.2f times as many calls\n", keys.count, what+", two goroutines", 2*costs[0]/costs[1])
}

// calls makes n calls, and returns how many were answered as expected.
type calls func(n int) (right int)

// now makes calls that are all the same.
func now(expected int, call func() int) calls {
	return func(n int) (right int) {
		for range n {
			if call() == expected {
				right++
			}
		}
		return right
	}
}

// measure returns the nanoseconds of a call of each kind: in the fastest of several rounds, in which they take turns,
// so that a machine that is slow for a while is slow for all. A round asks each key.
func measure(keys *keys, kinds ...calls) []float64 {
	counts, best, rounds := make([]int, len(kinds)), make([]float64, len(kinds)), 1
	for i, calls := range kinds {
		counts[i] = 1
		if !*once {
			counts[i] = max(keys.count, 10_000)
			rounds = max(7, int(time.Second/elapsed(calls, counts[i])))
		}
	}
	for round := range rounds {
		for i, calls := range kinds {
			cost := float64(elapsed(calls, counts[i]).Nanoseconds()) / float64(counts[i])
			if round == 0 || cost < best[i] {
				best[i] = cost
			}
		}
	}
	return best
}

func elapsed(calls calls, n int) time.Duration {
	start := time.Now()
	right := calls(n)
	elapsed := time.Since(start)
	if right != n {
		panic(fmt.Sprintf("%d of %d calls were answered as expected", right, n))
	}
	return elapsed
}
