/*
 * Manages the keys of a registry file, from the command line:
 *
 *   ./keys keys.json create '{"name": "Website Sync", "store": "yourstore", "scopes": ["products:read"]}'
 *   ./keys keys.json list
 *   ./keys keys.json rotate key_... 3600        the secret before works for an hour more
 *   ./keys keys.json revoke key_...
 *
 * What create and rotate print holds the key: it is shown once, and nowhere else. A file without keys is
 * {"version": 1, "keys": []}, and nobody else may write it (chmod 600).
 *
 * Build it against the library in target/lib (`make lib`):
 *
 *   cc -Iinclude examples/keys.c -Ltarget/lib -lbpos -Wl,-rpath,target/lib -o keys
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpos.h"

static int usage(void) {
    fprintf(stderr, "usage: keys REGISTRY list | create SPEC_JSON | rotate ID GRACE_S | revoke ID\n");
    return EXIT_FAILURE;
}

/* "1h" is no number of seconds: a wrong grace would cut customers off. */
static int parse_seconds(const char *text, uint64_t *seconds) {
    char *end;
    *seconds = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0';
}

int main(int argc, char **argv) {
    bpos_registry *registry;
    bpos_buffer answer = {NULL, 0};
    bpos_error error;
    bpos_status status;
    const char *verb, *argument;
    uint64_t grace_s;

    if (argc < 3) {
        return usage();
    }
    verb = argv[2];
    argument = argc > 3 ? argv[3] : "";

    error.size = sizeof error;
    if (bpos_registry_open(argv[1], strlen(argv[1]), NULL, 0, &registry, &error) != BPOS_OK) {
        fprintf(stderr, "%s: %s\n", bpos_status_name(error.code), error.message);
        return EXIT_FAILURE;
    }

    if (strcmp(verb, "list") == 0 && argc == 3) {
        status = bpos_key_list(registry, NULL, 0, &answer, &error);
    } else if (strcmp(verb, "create") == 0 && argc == 4) {
        status = bpos_key_create(registry, argument, strlen(argument), &answer, &error);
    } else if (strcmp(verb, "rotate") == 0 && argc == 5 && parse_seconds(argv[4], &grace_s)) {
        status = bpos_key_rotate(registry, argument, strlen(argument), grace_s, &answer, &error);
    } else if (strcmp(verb, "revoke") == 0 && argc == 4) {
        status = bpos_key_revoke(registry, argument, strlen(argument), &error); /* answers nothing */
    } else {
        bpos_registry_close(registry);
        return usage();
    }

    if (status != BPOS_OK) { /* after BPOS_ERR_NOT_DURABLE the message says what is in force all the same */
        fprintf(stderr, "%s: %s\n", bpos_status_name(status), error.message);
    } else if (answer.data != NULL) {
        printf("%s\n", answer.data);
    }

    bpos_buffer_free(&answer); /* wipes it: it may hold a key */
    bpos_registry_close(registry);
    return status == BPOS_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
