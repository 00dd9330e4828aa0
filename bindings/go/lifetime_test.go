package bpos

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"
)

func TestTheEndWaitsForEachCallAndHappensOnce(t *testing.T) {
	var what int
	var life lifetime
	life.begin(unsafe.Pointer(&what))

	const calls = 100
	var freed atomic.Int64
	inside, leave := make(chan *lane, calls), make(chan struct{})
	var callers, enders sync.WaitGroup
	for range calls {
		callers.Add(1)
		go func() {
			defer callers.Done()
			registry, in := life.enter()
			if registry != unsafe.Pointer(&what) {
				t.Error("there is another registry")
			}
			inside <- in
			<-leave
			if freed.Load() != 0 {
				t.Error("the registry was freed while a call used it")
			}
			life.leave(in)
		}()
	}
	lanes := map[*lane]bool{}
	for range calls {
		lanes[<-inside] = true
	}
	if len(lanes) < calls/10 {
		t.Errorf("%d calls share %d lanes", calls, len(lanes))
	}
	for range 3 {
		enders.Add(1)
		go func() {
			defer enders.Done()
			life.end(func(registry unsafe.Pointer) {
				if registry != unsafe.Pointer(&what) {
					t.Error("another registry was freed")
				}
				freed.Add(1)
			})
			if freed.Load() != 1 {
				t.Errorf("an end came back, and the registry was freed %d times", freed.Load())
			}
		}()
	}
	for atomic.LoadPointer(&life.registry) != nil {
		runtime.Gosched()
	}
	if registry, in := life.enter(); registry != nil || in != nil {
		t.Error("a call began after the end")
	}
	if freed.Load() != 0 {
		t.Error("the registry was freed while calls used it")
	}
	close(leave)
	callers.Wait()
	enders.Wait()
}

// Calls begin while the registry ends, again and again: each has the registry until it leaves, or has none.
func TestACallThatBeginsDuringTheEndIsBeforeOrAfterIt(t *testing.T) {
	const rounds = 20_000
	var what, used int
	for range rounds {
		var life lifetime
		var freed atomic.Bool
		life.begin(unsafe.Pointer(&what))
		begun, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			close(begun)
			for range 100 {
				registry, in := life.enter()
				if registry == nil {
					return
				}
				used++
				if freed.Load() {
					t.Error("a call has a registry that was freed")
				}
				life.leave(in)
			}
		}()
		<-begun
		life.end(func(unsafe.Pointer) { freed.Store(true) })
		<-done
	}
	if used == 0 {
		t.Error("no call came before the end")
	}
}
