//go:build !cgo

package bpos

// Without cgo the other files are left out, and Go would only say that it knows no Registry.
var _ = bpos_needs_cgo__install_a_C_compiler_or_set_CGO_ENABLED_1
