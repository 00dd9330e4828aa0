module github.com/brotherpos/bpos/examples/go

go 1.24

require github.com/brotherpos/bpos/bindings/go v0.0.0

replace github.com/brotherpos/bpos/bindings/go => ../../bindings/go
