/*
 * Takes every path of a decision, under callgrind: cost DOCUMENT, with the document of document.py.
 *
 * The calls of a path are dumped under "KEYS CALLS NAME": how many keys it asks with, and how many calls they are. The
 * calls before them, which make the path what it is called, are not instrumented.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <valgrind/callgrind.h>

#include "bpos.h"

#define KEYS 1000000UL /* as in document.py */
#define ONE UINT32_MAX /* one key, again and again */
enum { CALLS = 100, SPREAD_CALLS = 10000 };

/* Given times, so that the counts repeat: the window holds 30 requests, and each call finds that one has left it. */
#define NOON_MS INT64_C(1795521600000) /* 2026-11-24 */
#define STEADY_US 2000001
#define AT_ONCE_US 1
#define NOW UINT64_MAX /* the system's clock, where that repeats too */

#define KEY(name, zeros) "bpos_" name zeros
#define ADMITTED KEY("admitted", "0000000000000000000000000000")
#define STORE "yourstore"
#define PRODUCT "/api/v1/products/1207"
#define ROUTED(target) "GET", target, 0
#define NAMED(scope) NULL, NULL, BPOS_SCOPE_##scope

typedef struct {
    const char *name;
    const char *api_key; /* NULL with ONE: none */
    const char *store;
    const char *method; /* NULL: the host names the scope */
    const char *target;
    uint32_t scope;
    uint64_t step_us; /* from one call to the next */
    uint32_t reason;
    uint32_t first; /* the number of its first key */
    int uses;       /* how often its calls have been made before */
} path;

static const path paths[] = {
    {"key_in_url", ADMITTED, STORE, ROUTED(PRODUCT "?api_key=" ADMITTED), STEADY_US, BPOS_REASON_KEY_IN_URL, ONE, 1},
    {"missing_key", NULL, STORE, ROUTED(PRODUCT), STEADY_US, BPOS_REASON_MISSING_KEY, ONE, 1},
    {"malformed_key, by its length", KEY("short", "0000000000"), STORE, ROUTED(PRODUCT), STEADY_US,
     BPOS_REASON_MALFORMED_KEY, ONE, 1},
    {"malformed_key, by a character", KEY("malformed-", "00000000000000000000000000"), STORE, ROUTED(PRODUCT),
     STEADY_US, BPOS_REASON_MALFORMED_KEY, ONE, 1},
    {"unknown_key", KEY("unknown", "00000000000000000000000000000"), STORE, ROUTED(PRODUCT), STEADY_US,
     BPOS_REASON_UNKNOWN_KEY, ONE, 1},
    {"revoked_key", KEY("revoked", "00000000000000000000000000000"), STORE, ROUTED(PRODUCT), STEADY_US,
     BPOS_REASON_REVOKED_KEY, ONE, 1},
    {"disabled_key", KEY("disabled", "0000000000000000000000000000"), STORE, ROUTED(PRODUCT), STEADY_US,
     BPOS_REASON_DISABLED_KEY, ONE, 1},
    {"expired_key", KEY("expired", "00000000000000000000000000000"), STORE, ROUTED(PRODUCT), STEADY_US,
     BPOS_REASON_EXPIRED_KEY, ONE, 1},
    {"wrong_store", ADMITTED, "mystore00", ROUTED(PRODUCT), STEADY_US, BPOS_REASON_WRONG_STORE, ONE, 1},
    {"unmapped_route", ADMITTED, STORE, ROUTED("/api/v1/unmapped/1207"), STEADY_US, BPOS_REASON_UNMAPPED_ROUTE, ONE, 1},
    {"insufficient_scope", ADMITTED, STORE, ROUTED("/api/v1/customers/1207"), STEADY_US,
     BPOS_REASON_INSUFFICIENT_SCOPE, ONE, 1},
    {"test_mode", KEY("testing", "00000000000000000000000000000"), STORE, NAMED(INVENTORY_WRITE), STEADY_US,
     BPOS_REASON_TEST_MODE, ONE, 1},
    {"rate_limited, scope named", KEY("limited", "00000000000000000000000000000"), STORE, NAMED(PRODUCTS_READ),
     AT_ONCE_US, BPOS_REASON_RATE_LIMITED, ONE, 1},
    {"rate_limited, routed", KEY("limited", "00000000000000000000000000000"), STORE, ROUTED(PRODUCT), AT_ONCE_US,
     BPOS_REASON_RATE_LIMITED, ONE, 1},
    {"rate_limited, scope named, now", KEY("waiting", "00000000000000000000000000000"), STORE, NAMED(PRODUCTS_READ),
     NOW, BPOS_REASON_RATE_LIMITED, ONE, 1},
    {"allowed, scope named", ADMITTED, STORE, NAMED(PRODUCTS_READ), STEADY_US, BPOS_REASON_ALLOWED, ONE, 1},
    {"allowed, routed", ADMITTED, STORE, ROUTED(PRODUCT), STEADY_US, BPOS_REASON_ALLOWED, ONE, 1},
    {"allowed, scope named, now", KEY("clock", "0000000000000000000000000000000"), STORE, NAMED(PRODUCTS_READ), NOW,
     BPOS_REASON_ALLOWED, ONE, 1},
    {"allowed, a key's first use", NULL, STORE, NAMED(PRODUCTS_READ), AT_ONCE_US, BPOS_REASON_ALLOWED, 0, 0},
    {"allowed, keys in random order", NULL, STORE, NAMED(PRODUCTS_READ), AT_ONCE_US, BPOS_REASON_ALLOWED,
     SPREAD_CALLS, 1},
    {"rate_limited, keys in random order", NULL, STORE, NAMED(PRODUCTS_READ), AT_ONCE_US, BPOS_REASON_RATE_LIMITED,
     KEYS / 2, 2},
    {"unknown_key, keys in random order", NULL, STORE, NAMED(PRODUCTS_READ), AT_ONCE_US, BPOS_REASON_UNKNOWN_KEY,
     KEYS, 0},
};

static uint64_t time_us; /* of the latest call */

/* Whether other processes share what is measured: then the times are the machine's, since a caller's count apart. */
static int is_shared;

static size_t length(const char *text) {
    return text == NULL ? 0 : strlen(text);
}

static uint32_t ask(const bpos_registry *registry, const path *asked, const char *api_key) {
    const char *store = asked->store, *method = asked->method, *target = asked->target;
    bpos_decision decision = {.size = sizeof decision};
    if (asked->step_us == NOW || is_shared) {
        bpos_authorize_scope(registry, api_key, length(api_key), store, length(store), asked->scope, &decision);
        return decision.reason;
    }
    time_us += asked->step_us;
    if (method == NULL) {
        bpos_authorize_scope_at(registry, api_key, length(api_key), store, length(store), asked->scope, NOON_MS,
                                time_us, &decision);
    } else {
        bpos_authorize_at(registry, api_key, length(api_key), store, length(store), method, length(method), target,
                          length(target), NOON_MS, time_us, &decision);
    }
    return decision.reason;
}

/* Makes the calls of a path. Returns how many were decided for another reason. */
static uint32_t make_calls(const bpos_registry *registry, const path *asked, uint32_t calls) {
    uint32_t i, others = 0;
    for (i = 0; i < calls; i++) {
        char numbered[64];
        snprintf(numbered, sizeof numbered, "bpos_%036lu", (unsigned long)asked->first + i);
        others += ask(registry, asked, asked->first == ONE ? asked->api_key : numbered) != asked->reason;
    }
    return others;
}

static void count(const bpos_registry *registry, const path *asked) {
    const uint32_t calls = asked->first == ONE ? CALLS : SPREAD_CALLS;
    uint32_t others;
    char dump[96];
    int use;
    for (use = 0; use < asked->uses; use++) {
        (void)make_calls(registry, asked, calls);
    }
    CALLGRIND_START_INSTRUMENTATION;
    others = make_calls(registry, asked, calls);
    snprintf(dump, sizeof dump, "%u %u %s%s", asked->first == ONE ? 1 : calls, calls, is_shared ? "shared: " : "",
             asked->name);
    CALLGRIND_DUMP_STATS_AT(dump);
    CALLGRIND_STOP_INSTRUMENTATION;
    if (others > 0) {
        printf("%s: %u of %u calls were decided for another reason\n", asked->name, others, calls);
        exit(EXIT_FAILURE);
    }
}

static void measure(const char *file, const char *options) {
    bpos_registry *registry = NULL;
    bpos_error error = {.size = sizeof error};
    size_t i;
    if (bpos_registry_open(file, strlen(file), options, strlen(options), &registry, &error) != BPOS_OK) {
        printf("%s\n", error.message);
        exit(EXIT_FAILURE);
    }
    for (i = 0; i < sizeof paths / sizeof *paths; i++) {
        if (!is_shared || paths[i].step_us == NOW || paths[i].first != ONE) {
            count(registry, &paths[i]);
        }
    }
    bpos_registry_close(registry);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        printf("usage: cost DOCUMENT OPTIONS_TO_SHARE\n");
        return EXIT_FAILURE;
    }
    measure(argv[1], "{\"shared\": false}");
    is_shared = 1;
    measure(argv[1], argv[2]);
    return EXIT_SUCCESS;
}
