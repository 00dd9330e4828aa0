/*
 * What a buffer held is overwritten before its memory goes back, and a key that was made is nowhere but in its buffer: seen
 * from inside free() and realloc(), which this program replaces, and in all memory that this program may write.
 */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#include "check.h"

void __libc_free(void *memory); /* glibc's own */
void *__libc_realloc(void *memory, size_t size);

enum { SECRET_LEN = 41, PUBLIC_LEN = 9, PART_LEN = 12, MASK = 0x5A };

static const char *watched;
static size_t watched_len;
static int frees, zeros;

/* ---- Given back ---- */

static volatile int keys_given_back; /* the compiler takes free() for one that changes nothing */

static int is_alphanumeric(char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* Whether a block has a key in it: "bpos_" and 36 letters and digits. A hint has only four. */
static int holds_key(const char *block, size_t length) {
    size_t start, i;
    for (start = 0; start + SECRET_LEN <= length; start++) {
        if (memcmp(block + start, "bpos_", 5) == 0) {
            for (i = 5; i < SECRET_LEN && is_alphanumeric(block[start + i]); i++) {
            }
            if (i == SECRET_LEN) {
                return 1;
            }
        }
    }
    return 0;
}

static void look_into(const void *memory) {
    if (memory != NULL) {
        keys_given_back += holds_key((const char *)memory, malloc_usable_size((void *)memory));
    }
}

void free(void *memory) {
    look_into(memory);
    if (memory != NULL && memory == watched) {
        frees++;
        zeros = is_filled(watched, 0, watched_len + 1);
        watched = NULL;
    }
    __libc_free(memory);
}

/* A block that grows may leave what it held behind. */
void *realloc(void *memory, size_t size) {
    look_into(memory);
    return __libc_realloc(memory, size);
}

static void check_wiped(bpos_buffer *buffer) {
    watched = buffer->data;
    watched_len = buffer->len;
    frees = zeros = 0;
    bpos_buffer_free(buffer);
    CHECK(frees == 1);
    CHECK(zeros);
}

/* ---- Left behind ---- */

/* The secret, so that this program does not hold it itself. */
static unsigned char masked[SECRET_LEN];

static void note_secret(const volatile char *plain) {
    int i;
    for (i = 0; i < SECRET_LEN; i++) {
        masked[i] = (unsigned char)(plain[i] ^ MASK);
    }
}

/* Whether a part of the secret stands here: as it is, or each four bytes turned round, as SHA-256 works on them. */
static int is_part(const unsigned char *memory, int part, int turned) {
    int i;
    for (i = 0; i < PART_LEN; i++) {
        const int at = turned ? i ^ 3 : i;
        if ((memory[at] ^ MASK) != masked[part + i]) {
            return 0;
        }
    }
    return 1;
}

/*
 * How often a part of the secret is in memory that may be written: heap, stacks, data. Not through stdio, whose calls would
 * overwrite what the library left on the stack.
 */
static int count_parts(int turned) {
    static const int parts[] = {12, 16, 20, 24, 28}; /* after what is public, at words of SHA-256 */
    static char maps[1 << 16];
    char *line;
    size_t length = 0;
    ssize_t got;
    int found = 0;
    const int file = open("/proc/self/maps", O_RDONLY);
    while (file >= 0 && (got = read(file, maps + length, sizeof maps - 1 - length)) > 0) {
        length += (size_t)got;
    }
    close(file);
    maps[length] = '\0';
    for (line = maps; *line != '\0'; line = strchr(line, '\n') + 1) {
        char *end;
        const unsigned char *at = (const unsigned char *)strtoul(line, &end, 16);
        const unsigned char *stop = (const unsigned char *)strtoul(end + 1, &end, 16);
        if (strncmp(end, " rw", 3) != 0) {
            continue;
        }
        for (; at + PART_LEN <= stop; at++) {
            size_t i;
            for (i = 0; i < sizeof parts / sizeof parts[0]; i++) {
                found += is_part(at, parts[i], turned);
            }
        }
    }
    return found;
}

/* A call that fills a buffer with a new key. */
#define MAKES_KEY(call)                                                        \
    do {                                                                       \
        bpos_status made = (call);                                             \
        int plain, turned;                                                     \
        note_secret(buffer.data + strlen("{\"key\":\""));                      \
        plain = count_parts(0);                                                \
        turned = count_parts(1);                                               \
        CHECK(made == BPOS_OK && strlen(buffer.data) == buffer.len);           \
        CHECK(plain == 5); /* each part once, in the buffer: so the search finds it */ \
        CHECK(turned == 0);                                                    \
        CHECK(keys_given_back == 0);                                           \
        check_wiped(&buffer);                                                  \
        CHECK(count_parts(0) == 0);                                            \
        CHECK(keys_given_back == 0);                                           \
    } while (0)

static void check_keys(bpos_registry *registry) {
    static const char spec[] = "{\"name\": \"Website Sync\", \"store\": \"yourstore\", \"scopes\": [\"products:read\"]}";
    char id[32] = "";
    const char *start;
    bpos_buffer buffer;
    int i;
    for (i = 0; i < 3; i++) { /* later ones in memory that was used before */
        MAKES_KEY(bpos_key_create(registry, TEXT(spec), &buffer, NULL));
    }
    CHECK(bpos_key_list(registry, NULL, 0, &buffer, NULL) == BPOS_OK);
    start = strstr(buffer.data, "\"id\":\"");
    if (start != NULL) {
        memcpy(id, start + strlen("\"id\":\""), 24);
    }
    check_wiped(&buffer);
    MAKES_KEY(bpos_key_rotate(registry, id, strlen(id), 60, &buffer, NULL));
    MAKES_KEY(bpos_key_rotate(registry, id, strlen(id), 0, &buffer, NULL));

}

/* The hooks and the search find a key that is not wiped. */
static void check_findable(void) {
    static const char key[] = "bpos_abcdefghijklmnopqrstuvwxyz0123456789";
    volatile char *block = (volatile char *)malloc(128);
    int i;
    if (block == NULL) {
        exit(EXIT_FAILURE);
    }
    note_secret(key);
    for (i = 0; i < SECRET_LEN; i++) {
        block[i] = key[i];
        block[64 + (i ^ 3)] = key[i];
    }
    CHECK(count_parts(0) == 5 && count_parts(1) == 5);
    keys_given_back = 0;
    free((void *)block);
    CHECK(keys_given_back == 1);
    block = (volatile char *)malloc(64);
    for (i = 0; block != NULL && i < SECRET_LEN; i++) {
        block[i] = key[i];
    }
    block = (volatile char *)realloc((void *)block, 4096);
    CHECK(keys_given_back == 2);
    free((void *)block);
    CHECK(keys_given_back == 3);
}

int main(void) {
    bpos_registry *registry = new_registry("{\"version\": 1, \"keys\": []}", NULL);
    bpos_buffer buffer;
    CHECK(bpos_registry_export(registry, &buffer, NULL) == BPOS_OK);
    CHECK(buffer.len > 0 && strlen(buffer.data) == buffer.len);
    check_wiped(&buffer);
    check_keys(registry);
    check_findable();
    bpos_registry_close(registry);
    return verdict("wiped");
}
