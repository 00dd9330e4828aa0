/* PHP forgets its variables at the end of a request; a variable in C lives as long as the process. This one holds the
 * registry of Bpos::kept(), and the shared library that it makes stands in for libbpos in PHP's ffi.preload:
 *
 *   cc -shared -fPIC keep.c $(pkg-config --cflags --libs bpos) -o libbpos-php.so
 *
 * It is for PHP without threads (NTS), in which one process serves one request at a time. */
#include <bpos.h>

bpos_registry *bpos_kept;
