/* What the C tests share: a check that counts, texts with their lengths, and structs that are ready for a call. */
#ifndef BPOS_CHECK_H
#define BPOS_CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpos.h"

static unsigned long checks;
static unsigned long failures;

#define CHECK(condition) check((condition) ? 1 : 0, #condition, __FILE__, __LINE__)

/* A literal as a pointer and a length, NULs inside included. */
#define TEXT(literal) (literal), (sizeof(literal) - 1)

static void check(int holds, const char *condition, const char *file, int line) {
    checks++;
    if (!holds) {
        failures++;
        printf("%s:%d: not so: %s\n", file, line, condition);
    }
}

/* Ends a program: how much was checked, and whether all of it holds. */
static int verdict(const char *program) {
    printf("%s: %lu checks, %lu failures\n", program, checks, failures);
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Every byte but the size holds something that no call would write. */
static inline bpos_decision new_decision(void) {
    bpos_decision decision;
    memset(&decision, 0xA5, sizeof decision);
    decision.size = sizeof decision;
    return decision;
}

static inline bpos_error new_error(void) {
    bpos_error error;
    memset(&error, 0xA5, sizeof error);
    error.size = sizeof error;
    return error;
}

static inline int is_filled(const void *memory, int byte, size_t length) {
    const unsigned char *bytes = (const unsigned char *)memory;
    size_t i;
    for (i = 0; i < length; i++) {
        if (bytes[i] != byte) {
            return 0;
        }
    }
    return 1;
}

/* A memory registry, or the end of the program. */
static inline bpos_registry *new_registry(const char *json, const char *options) {
    bpos_registry *registry = NULL;
    bpos_error error = new_error();
    size_t options_len = options == NULL ? 0 : strlen(options);
    if (bpos_registry_from_json(json, strlen(json), options, options_len, &registry, &error) != BPOS_OK) {
        printf("the test's registry does not load: %s\n", error.message);
        exit(EXIT_FAILURE);
    }
    return registry;
}

#endif
