module github.com/brotherpos/bpos/bindings/go/routers

go 1.24

require (
	github.com/brotherpos/bpos/bindings/go v0.0.0
	github.com/go-chi/chi/v5 v5.0.0
)

replace github.com/brotherpos/bpos/bindings/go => ../

// Debian's golang-github-go-chi-chi-dev.
replace github.com/go-chi/chi/v5 => /usr/share/gocode/src/github.com/go-chi/chi
