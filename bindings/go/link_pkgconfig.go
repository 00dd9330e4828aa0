//go:build !bpos_static && !bpos_source

package bpos

// #cgo pkg-config: bpos
import "C"
