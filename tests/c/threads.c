/*
 * Eight threads on one key, at one instant: as many are admitted as its limit says, while the registry is changed under
 * them. Once with a memory registry and bpos_registry_apply(), once with a file and bpos_registry_reload().
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>

#include "check.h"

#define KEY "bpos_threads0123456789"
#define RECORD                                                                         \
    "{\"id\": \"key_1\", \"name\": \"Website Sync\", \"store\": \"yourstore\","        \
    " \"scopes\": [\"products:read\"], \"rate_limit\": 1000,"                          \
    " \"sha256\": \"46906f0960fff37f265cac03318a7c3b1b82cc2badc17ba0a5edebb11dcdce30\"}"
#define DOCUMENT "{\"version\": 1, \"keys\": [" RECORD "]}"

enum { THREADS = 8, REQUESTS = 500, LIMIT = 1000 };

typedef struct worker {
    pthread_t thread;
    bpos_registry *registry;
    unsigned long admitted, limited, others;
} worker;

static pthread_barrier_t start;

static void *authorize(void *argument) {
    worker *self = (worker *)argument;
    int i;
    pthread_barrier_wait(&start);
    for (i = 0; i < REQUESTS; i++) {
        bpos_decision decision = new_decision();
        switch (bpos_authorize_at(self->registry, TEXT(KEY), TEXT("yourstore"), TEXT("GET"), TEXT("/api/v1/products"),
                                  0, 1000000, &decision)) {
        case 200: self->admitted++; break;
        case 429: self->limited++; break;
        default: self->others++; break;
        }
    }
    return NULL;
}

/* Changes the registry while the others ask it; gives how often. */
static unsigned long change(bpos_registry *registry, int is_file) {
    unsigned long changes = 0;
    pthread_barrier_wait(&start);
    for (; changes < 300; changes++) {
        bpos_error error = new_error();
        const bpos_status status = is_file ? bpos_registry_reload(registry, &error)
                                           : bpos_registry_apply(registry, TEXT("[" RECORD "]"), &error);
        CHECK(status == BPOS_OK);
        if (status != BPOS_OK) {
            printf("%s\n", error.message);
            break;
        }
    }
    return changes;
}

static void race(const char *kind, bpos_registry *registry, int is_file) {
    worker workers[THREADS];
    unsigned long admitted = 0, limited = 0, others = 0, changes;
    bpos_buffer stats = {NULL, 0};
    int i;
    memset(workers, 0, sizeof workers);
    CHECK(pthread_barrier_init(&start, NULL, THREADS + 1) == 0);
    for (i = 0; i < THREADS; i++) {
        workers[i].registry = registry;
        CHECK(pthread_create(&workers[i].thread, NULL, authorize, &workers[i]) == 0);
    }
    changes = change(registry, is_file);
    for (i = 0; i < THREADS; i++) {
        CHECK(pthread_join(workers[i].thread, NULL) == 0);
        admitted += workers[i].admitted;
        limited += workers[i].limited;
        others += workers[i].others;
    }
    pthread_barrier_destroy(&start);
    CHECK(admitted == LIMIT);
    CHECK(limited == THREADS * REQUESTS - LIMIT);
    CHECK(others == 0);
    CHECK(bpos_registry_stats(registry, &stats, NULL) == BPOS_OK);
    CHECK(strstr(stats.data, "\"allowed\":1000,") != NULL);
    CHECK(strstr(stats.data, "\"rate_limited\":3000") != NULL);
    bpos_buffer_free(&stats);
    printf("%s: %lu admitted, %lu refused, %lu others, %lu changes\n", kind, admitted, limited, others, changes);
    bpos_registry_close(registry);
}

/* Argument: where to write a registry file. */
int main(int argc, char **argv) {
    bpos_registry *registry = NULL;
    bpos_error error = new_error();
    FILE *file = argc == 2 ? fopen(argv[1], "w") : NULL;
    if (file == NULL || fputs(DOCUMENT, file) == EOF || fclose(file) != 0) {
        printf("usage: threads FILE, which is written\n");
        return EXIT_FAILURE;
    }
    race("memory", new_registry(DOCUMENT, NULL), 0);
    if (bpos_registry_open(argv[1], strlen(argv[1]), NULL, 0, &registry, &error) != BPOS_OK) {
        printf("%s\n", error.message);
        return EXIT_FAILURE;
    }
    race("file", registry, 1);
    return verdict("threads");
}
