/*
 * Decides on one request, from the command line:
 *
 *   API_KEY=bpos_... ./authorize keys.json yourstore GET /api/v1/products
 *
 * Build it against the library in target/lib (`make lib`):
 *
 *   cc -Iinclude examples/authorize.c -Ltarget/lib -lbpos -Wl,-rpath,target/lib -o authorize
 *
 * A server does the same: it opens the registry once, and asks it for each request, from any thread.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpos.h"

/* A text may be absent: no key was sent, or the host serves only one store. */
static size_t length(const char *text) {
    return text == NULL ? 0 : strlen(text);
}

int main(int argc, char **argv) {
    const char *path, *store, *method, *target;
    const char *api_key = getenv("API_KEY"); /* a server takes it from the X-API-Key header */
    bpos_registry *registry;
    bpos_error error;
    bpos_decision decision;
    char headers[512], body[1024];

    if (argc != 5) {
        fprintf(stderr, "usage: API_KEY=... %s REGISTRY STORE METHOD TARGET\n", argv[0]);
        return EXIT_FAILURE;
    }
    path = argv[1];
    store = argv[2];
    method = argv[3];
    target = argv[4];

    error.size = sizeof error;
    if (bpos_registry_open(path, strlen(path), NULL, 0, &registry, &error) != BPOS_OK) {
        fprintf(stderr, "%s: %s\n", bpos_status_name(error.code), error.message);
        return EXIT_FAILURE;
    }

    decision.size = sizeof decision;
    if (bpos_authorize(registry, api_key, length(api_key), store, length(store), method, length(method), target,
                       length(target), &decision) == 200) {
        fprintf(stderr, "serve %s, to the key %s\n", decision.store, decision.key_id);
    } else {
        fprintf(stderr, "deny: %s\n", bpos_reason_name(decision.reason)); /* for us: the client is told less */
    }

    bpos_decision_headers(&decision, headers, sizeof headers);
    bpos_decision_body(&decision, body, sizeof body);
    printf("HTTP/1.1 %d\r\n%s\r\n%s\n", (int)decision.status, headers, body);

    bpos_registry_close(registry);
    return EXIT_SUCCESS;
}
