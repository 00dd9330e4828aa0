module github.com/brotherpos/bpos/bindings/go

go 1.24
