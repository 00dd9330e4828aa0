// Package bpos decides, inside a server's process, whether a request that comes with an API key is allowed: one call,
// and the answer is 200, 401, 403 or 429.
//
//	registry, err := bpos.Open("keys.json") // once; any goroutine may use it
//	if err != nil {
//		return err
//	}
//	defer registry.Close()
//
//	store := func(request *http.Request) string { return bpos.StoreOfHost(request, "brotherpos.ca") }
//	authorized := registry.Middleware(store, bpos.FollowFile(nil))
//	return http.ListenAndServe("localhost:8080", authorized(shop))
//
// [Registry.Authorize] decides on a request and returns a [Decision]; [Registry.Middleware] does so for net/http.
// [Registry.Create], [Registry.Rotate], [Registry.Revoke] and others change keys, and [Registry.Edit] several together;
// they return errors that [errors.Is] tells apart. [Redact] and [RedactHandler] keep keys out of logs.
//
// Whatever fails denies. The zero Decision is a denial, and so is what a closed or a nil registry answers.
//
// # Linking
//
// The package is a thin layer over the C library libbpos. By default pkg-config says where that is (bpos.pc). The build
// tag bpos_static links the library into the program (bpos-static.pc). The build tag bpos_source takes the library from
// the source tree that this package lies in, where `make lib` puts it.
package bpos

/*
#include <bpos.h>

#if BPOS_ABI_VERSION != 0
#error "bpos.h has another BPOS_ABI_VERSION than 0, for which this Go package is written: take both from one release"
#endif
*/
import "C"

import (
	"fmt"
	"sync"
)

// abi is the BPOS_ABI_VERSION that this package is written for.
const abi = C.BPOS_ABI_VERSION

// Version is the version of the library that is loaded, such as "0.1.0".
func Version() string {
	return C.GoString(C.bpos_version())
}

// abiError refuses a library whose functions or structs are not those that this package calls: the loader finds
// libraries by their names, and a name can be given to anything. No other function of such a library is called.
var abiError = sync.OnceValue(func() error {
	if loaded := C.bpos_abi_version(); loaded != abi {
		return fmt.Errorf("bpos: the loaded library %s has the ABI %d, and this program was built for the ABI %d: "+
			"build it against that library, or have the loader find the other one", Version(), loaded, abi)
	}
	return nil
})
