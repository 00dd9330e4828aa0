/* A library of an ABI that nobody knows yet: NEWER_ABI is its number, and there is nothing else in it. */
#include <stdint.h>

uint32_t bpos_abi_version(void) {
    return NEWER_ABI;
}
