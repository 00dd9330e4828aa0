module github.com/brotherpos/bpos/bindings/go/bench

go 1.24

require (
	github.com/brotherpos/bpos/bindings/go v0.0.0
	golang.org/x/time v0.0.0
)

replace github.com/brotherpos/bpos/bindings/go => ../

// Debian's golang-golang-x-time-dev.
replace golang.org/x/time => /usr/share/gocode/src/golang.org/x/time
