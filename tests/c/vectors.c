/* The vectors of tests/vectors through the C API: vectors.py says how they come in, on the standard input. */
#include <inttypes.h>

#include "check.h"

typedef struct text {
    char *bytes; /* NULL if it is absent; otherwise with a NUL behind it */
    size_t length;
} text;

enum { FILE_FIELDS = 3, CASE_FIELDS = 1, CALL_FIELDS = 21, MOST_FIELDS = CALL_FIELDS };

static text fields[MOST_FIELDS];
static char place[512]; /* file and case, for messages */

static void malformed(void) {
    printf("%s: the input is not what vectors.py prints\n", place);
    exit(EXIT_FAILURE);
}

static text read_text(void) {
    text read = {NULL, 0};
    int c = getchar();
    if (c == '-') {
        return read;
    }
    for (; c >= '0' && c <= '9'; c = getchar()) {
        read.length = read.length * 10 + (size_t)(c - '0');
    }
    read.bytes = (char *)malloc(read.length + 1);
    if (c != ':' || read.bytes == NULL || fread(read.bytes, 1, read.length, stdin) != read.length) {
        malformed();
    }
    read.bytes[read.length] = '\0';
    return read;
}

static void free_fields(void) {
    int i;
    for (i = 0; i < MOST_FIELDS; i++) {
        free(fields[i].bytes);
    }
    memset(fields, 0, sizeof fields);
}

static void read_fields(int count) {
    int i;
    free_fields();
    for (i = 0; i < count; i++) {
        fields[i] = read_text();
    }
    if (getchar() != '\n') {
        malformed();
    }
}

static void report(const char *what, const char *found, const char *expected) {
    checks++;
    if (strcmp(found, expected) != 0) {
        failures++;
        printf("%s: %s is %s; expected %s\n", place, what, found, expected);
    }
}

static void report_number(const char *what, int64_t found, const text *expected) {
    char digits[32];
    snprintf(digits, sizeof digits, "%" PRId64, found);
    report(what, digits, expected->bytes);
}

/* What one of the two renderers writes, into memory of exactly the size that it asks for. */
static char *rendered(size_t (*render)(const bpos_decision *, char *, size_t), const bpos_decision *decision) {
    const size_t length = render(decision, NULL, 0);
    char *written = (char *)malloc(length + 1);
    if (written == NULL) {
        exit(EXIT_FAILURE);
    }
    CHECK(render(decision, written, length + 1) == length);
    CHECK(strlen(written) == length);
    return written;
}

static int32_t decide(const bpos_registry *registry, bpos_decision *out) {
    const text *key = &fields[0], *store = &fields[1], *method = &fields[2], *target = &fields[3], *scope = &fields[4];
    const int64_t unix_ms = strtoll(fields[5].bytes, NULL, 10);
    const uint64_t monotonic_us = strtoull(fields[6].bytes, NULL, 10);
    if (scope->bytes != NULL) {
        const uint32_t id = bpos_scope_id(registry, scope->bytes, scope->length);
        CHECK(id != 0);
        return bpos_authorize_scope_at(registry, key->bytes, key->length, store->bytes, store->length, id, unix_ms,
                                       monotonic_us, out);
    }
    return bpos_authorize_at(registry, key->bytes, key->length, store->bytes, store->length, method->bytes,
                             method->length, target->bytes, target->length, unix_ms, monotonic_us, out);
}

static void compare(const bpos_registry *registry, const bpos_decision *decision) {
    const text *scope = &fields[10];
    char *headers = rendered(bpos_decision_headers, decision);
    char *body = rendered(bpos_decision_body, decision);
    CHECK(decision->size == sizeof *decision);
    CHECK(is_filled(decision->reserved, 0, sizeof decision->reserved));
    CHECK(decision->required_scope == bpos_scope_id(registry, scope->bytes, scope->length));
    report_number("limit", decision->limit, &fields[11]);
    report_number("remaining", decision->remaining, &fields[12]);
    report_number("retry_after_s", decision->retry_after_s, &fields[13]);
    report_number("reset_s", decision->reset_s, &fields[14]);
    report_number("test_mode", decision->test_mode, &fields[15]);
    report("key_id", decision->key_id, fields[16].bytes);
    report("store", decision->store, fields[17].bytes);
    report("the headers", headers, fields[18].bytes);
    report("the body", body, fields[19].bytes);
    report("scope", decision->scope, fields[20].bytes);
    free(headers);
    free(body);
}

static void replay(const bpos_registry *registry) {
    bpos_decision decision = new_decision();
    long times = strtol(fields[7].bytes, NULL, 10);
    for (; times > 0; times--) {
        decision = new_decision();
        report_number("the return value", decide(registry, &decision), &fields[8]);
        report_number("status", decision.status, &fields[8]);
        report("reason", bpos_reason_name(decision.reason), fields[9].bytes);
    }
    compare(registry, &decision);
}

int main(void) {
    text name = {NULL, 0}, options = {NULL, 0}, document = {NULL, 0};
    bpos_registry *registry = NULL;
    unsigned long cases = 0, calls = 0;
    int kind;
    while ((kind = getchar()) != EOF) {
        if (kind == 'F') {
            free(name.bytes);
            free(options.bytes);
            free(document.bytes);
            read_fields(FILE_FIELDS);
            name = fields[0];
            options = fields[1];
            document = fields[2];
            memset(fields, 0, sizeof fields);
        } else if (kind == 'C' && document.bytes != NULL) {
            read_fields(CASE_FIELDS);
            snprintf(place, sizeof place, "%s: %s", name.bytes, fields[0].bytes);
            bpos_registry_close(registry);
            registry = new_registry(document.bytes, options.bytes);
            cases++;
        } else if (kind == 'R' && registry != NULL) {
            read_fields(CALL_FIELDS);
            replay(registry);
            calls++;
        } else {
            malformed();
        }
    }
    free_fields();
    free(name.bytes);
    free(options.bytes);
    free(document.bytes);
    bpos_registry_close(registry);
    CHECK(cases > 0 && calls >= cases);
    printf("vectors: %lu cases, %lu calls\n", cases, calls);
    return verdict("vectors");
}
