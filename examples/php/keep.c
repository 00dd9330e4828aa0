/* PHP forgets its variables at the end of a request; a variable in C lives as long as the process. These hold the
 * registry of Bpos::kept(), and the shared library that they make stands in for libbpos in PHP's ffi.preload:
 *
 *   cc -shared -fPIC keep.c $(pkg-config --cflags --libs bpos) -o libbpos-php.so
 *
 * It is for PHP without threads (NTS), in which one process serves one request at a time. */
#include <bpos.h>

bpos_registry *bpos_kept;
char bpos_kept_as[65]; /* what it was opened as: the SHA-256 of its path and options, in hexadecimal */
