//go:build bpos_source

package bpos

// #cgo CFLAGS: -I${SRCDIR}/../../include
// #cgo LDFLAGS: -L${SRCDIR}/../../target/lib -lbpos -Wl,-rpath,${SRCDIR}/../../target/lib
import "C"
