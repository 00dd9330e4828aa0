package bpos

import (
	"sync"
	"sync/atomic"
	"unsafe"
)

// A lifetime holds a C registry for as long as calls use it. Entering and leaving cost an atomic addition each, on a
// cache line that other goroutines hardly ever touch: a call waits for nobody, and yet Close can wait for every call.
//
//   - A call counts itself in its lane, and then takes the registry.
//   - end takes the registry away, and then looks at the lanes.
//
// So either the call finds no registry, or end finds the call.
type lifetime struct {
	registry unsafe.Pointer // the C registry; nil once it is closed
	idle     chan struct{}  // holds something if a lane became empty since the registry was taken away
	ending   sync.Mutex
	_        [128]byte
	lanes    [1 << laneBits]lane
}

const laneBits = 6

// A lane counts some of the calls in flight. Processors fetch cache lines in pairs of 64 bytes.
type lane struct {
	calls atomic.Int64
	_     [120]byte
}

func (l *lifetime) begin(registry unsafe.Pointer) {
	l.registry, l.idle = registry, make(chan struct{}, 1)
}

// enter begins a call. It returns the registry and the lane to leave by, or nil and nil if the registry is closed.
func (l *lifetime) enter() (registry unsafe.Pointer, in *lane) {
	if atomic.LoadPointer(&l.registry) == nil {
		return nil, nil // whoever comes late does not keep a lane busy that end waits for
	}
	// Goroutines that run at the same time have different stacks, so addresses on them tell lanes apart. The multiplier
	// (Knuth's, from the golden ratio) spreads them.
	var here byte
	in = &l.lanes[uint64(uintptr(unsafe.Pointer(&here)))*0x9E3779B97F4A7C15>>(64-laneBits)]
	in.calls.Add(1)
	if registry = atomic.LoadPointer(&l.registry); registry == nil {
		l.leave(in)
		return nil, nil
	}
	return registry, in
}

// leave ends a call.
func (l *lifetime) leave(in *lane) {
	if in.calls.Add(-1) == 0 && atomic.LoadPointer(&l.registry) == nil {
		l.wake()
	}
}

func (l *lifetime) wake() {
	select {
	case l.idle <- struct{}{}:
	default: // end is to wake up already, and looks again then
	}
}

// end takes the registry away, waits for the calls that use it, and gives it to free. Whoever else ends it meanwhile
// waits too, and has nothing left to do.
func (l *lifetime) end(free func(registry unsafe.Pointer)) {
	l.ending.Lock()
	defer l.ending.Unlock()
	registry := atomic.SwapPointer(&l.registry, nil)
	if registry == nil {
		return
	}
	for i := range l.lanes {
		for l.lanes[i].calls.Load() != 0 {
			<-l.idle
		}
	}
	free(registry)
}
