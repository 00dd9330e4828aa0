/* What a buffer held is overwritten before its memory goes back: seen from inside free(), which this program replaces. */
#include "check.h"

void __libc_free(void *memory); /* glibc's own */

static const char *watched;
static size_t watched_len;
static int frees, zeros;

void free(void *memory) {
    if (memory != NULL && memory == watched) {
        frees++;
        zeros = is_filled(watched, 0, watched_len + 1);
        watched = NULL;
    }
    __libc_free(memory);
}

int main(void) {
    bpos_registry *registry = new_registry("{\"version\": 1, \"keys\": []}", NULL);
    bpos_buffer buffer;
    CHECK(bpos_registry_export(registry, &buffer, NULL) == BPOS_OK);
    CHECK(buffer.len > 0 && strlen(buffer.data) == buffer.len);
    watched = buffer.data;
    watched_len = buffer.len;
    bpos_buffer_free(&buffer);
    CHECK(frees == 1);
    CHECK(zeros);
    bpos_registry_close(registry);
    return verdict("wiped");
}
