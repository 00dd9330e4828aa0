/*
 * The life of a key: created, changed, disabled, rotated, revoked, removed; once in a memory registry and once in a file.
 * Then what only a file has: other handles, and a folder that is not there when a change is to be written.
 *
 * Argument: an empty folder, which is used up.
 */
#define _DEFAULT_SOURCE /* flock */
#define _POSIX_C_SOURCE 200809L
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

#define STORE "yourstore"
#define EMPTY "{\"version\": 1, \"keys\": []}"
#define NEVER INT64_C(32472144000000) /* 2999-01-01T00:00:00Z */

enum { SECRET_LEN = 41, MINUTE_US = 61000000, GRACE_S = 3600, MAX_GRACE_S = 31622400 };

typedef struct key {
    char secret[64];
    char id[32];
} key;

static bpos_error error;
static bpos_buffer answer;

/* The monotonic time of all decisions: each part of a test begins in a window of its own. */
static uint64_t moment_us = 1000000;

/* A call that is answered so. */
#define GIVES(expected, call)                                                                  \
    do {                                                                                       \
        error = new_error();                                                                   \
        CHECK((call) == (expected));                                                           \
        CHECK(error.code == (expected) && error.size == sizeof error);                         \
        if (error.code != (expected)) {                                                        \
            printf("%s:%d: %s: %s\n", __FILE__, __LINE__, bpos_status_name(error.code), error.message); \
        }                                                                                      \
    } while (0)

/* The same of a call that fills `answer`: what was there is freed first, and a failure leaves nothing to free. */
#define ANSWERS(expected, call)                                                                \
    do {                                                                                       \
        bpos_buffer_free(&answer);                                                             \
        memset(&answer, 0xA5, sizeof answer);                                                  \
        GIVES(expected, call);                                                                 \
        if ((expected) == BPOS_OK) {                                                           \
            CHECK(answer.data != NULL && strlen(answer.data) == answer.len);                   \
        } else {                                                                               \
            CHECK(answer.data == NULL && answer.len == 0);                                     \
        }                                                                                      \
    } while (0)

static int has(const char *text) {
    return answer.data != NULL && strstr(answer.data, text) != NULL;
}

static int says(const char *text) {
    return strstr(error.message, text) != NULL;
}

/* The text of the answer's first member of this name. */
static void copy_member(const char *name, char *value, size_t cap) {
    char pattern[32];
    const char *start, *end;
    snprintf(pattern, sizeof pattern, "\"%s\":\"", name);
    start = answer.data == NULL ? NULL : strstr(answer.data, pattern);
    end = start == NULL ? NULL : strchr(start += strlen(pattern), '"');
    if (end == NULL || (size_t)(end - start) >= cap) {
        printf("the answer has no member %s that fits\n", name);
        exit(EXIT_FAILURE);
    }
    memcpy(value, start, (size_t)(end - start));
    value[end - start] = '\0';
}

/* What the answer of create or rotate tells. */
static key new_key(void) {
    key made;
    CHECK(answer.data != NULL && strncmp(answer.data, TEXT("{\"key\":\"bpos_")) == 0);
    CHECK(has("\",\"record\":{\"id\":\"key_") && !has("sha256"));
    copy_member("key", made.secret, sizeof made.secret);
    copy_member("id", made.id, sizeof made.id);
    CHECK(strlen(made.secret) == SECRET_LEN);
    return made;
}

static key create(bpos_registry *registry, const char *spec) {
    ANSWERS(BPOS_OK, bpos_key_create(registry, spec, strlen(spec), &answer, &error));
    return new_key();
}

static void update(bpos_registry *registry, const char *id, const char *patch) {
    ANSWERS(BPOS_OK, bpos_key_update(registry, id, strlen(id), patch, strlen(patch), &answer, &error));
}

static bpos_decision decide(const bpos_registry *registry, const char *secret, const char *method, const char *target,
                            int64_t unix_ms) {
    bpos_decision decision = new_decision();
    const int32_t status = bpos_authorize_at(registry, secret, strlen(secret), TEXT(STORE), method, strlen(method),
                                             target, strlen(target), unix_ms, moment_us, &decision);
    CHECK(status == decision.status);
    return decision;
}

/* A request to read products. */
static bpos_decision get(const bpos_registry *registry, const char *secret, int64_t unix_ms) {
    return decide(registry, secret, "GET", "/api/v1/products", unix_ms);
}

static bpos_decision patch(const bpos_registry *registry, const char *secret) {
    return decide(registry, secret, "PATCH", "/api/v1/products/bulk", 0);
}

static int is(bpos_decision decision, int32_t status, uint32_t reason) {
    if (decision.status == status && decision.reason == reason) {
        return 1;
    }
    printf("it is %d %s\n", (int)decision.status, bpos_reason_name(decision.reason));
    return 0;
}

#define ALLOWED 200, BPOS_REASON_ALLOWED
#define LIMITED 429, BPOS_REASON_RATE_LIMITED
#define UNKNOWN 401, BPOS_REASON_UNKNOWN_KEY
#define DISABLED 401, BPOS_REASON_DISABLED_KEY
#define REVOKED 401, BPOS_REASON_REVOKED_KEY

/* All records: compared before and after a call. */
static char *described(const bpos_registry *registry) {
    char *copy;
    ANSWERS(BPOS_OK, bpos_key_list(registry, NULL, 0, &answer, &error));
    copy = (char *)malloc(answer.len + 1);
    if (copy == NULL) {
        exit(EXIT_FAILURE);
    }
    memcpy(copy, answer.data, answer.len + 1);
    return copy;
}

static void check_unchanged(const bpos_registry *registry, char *before) {
    char *after = described(registry);
    CHECK(strcmp(before, after) == 0);
    if (strcmp(before, after) != 0) {
        printf("before: %s\nafter:  %s\n", before, after);
    }
    free(before);
    free(after);
}

/* ---- Created and changed ---- */

static const char *const WRONG_SPECS[][2] = {
    {"", "line 1 column 1"},
    {"{}", "missing member `name` at line 1 column 2"},
    {"[]", "expected a key's spec, an object"},
    {"{\"name\": \"n\", \"store\": \"s\"}", "missing member `scopes` at line 1 column 27"},
    {"{\"name\": \"n\", \"store\": \"s\", \"scopes\": [], \"limit\": 5}", "unknown member \"limit\"; expected one of name, "
        "store, scopes, rate_limit, expires_at, test_mode at line 1 column 49"},
    {"{\"name\": \"n\",\n \"store\": \"s\", \"scopes\": [], \"rate_limit\": 0}", "1 to 1000; found 0 at line 2 column 44"},
    {"{\"name\": \"n\",\n \"store\": \"s\", \"scopes\": [], \"rate_limit\": 1001}", "1 to 1000; found 1001 at line 2 column 47"},
    {"{\"name\": \"n\",\n \"store\": \"s\", \"scopes\": [], \"test_mode\": 1}", "at line 2 column 43"},
    {"{\"name\": \"n\",\n \"name\": \"s\", \"scopes\": []}", "duplicate member `name` at line 2 column 7"},
    {"{\"name\": \"n\", \"store\": \"s\", \"scopes\": \"\"}", "at line 1 column 40"},
    {"{\"name\": \"n\", \"store\": \"s\", \"scopes\": [],\n\"expires_at\": \"2030-01-01\"}", "at line 2 column 26"},
    {"{\"name\": \"n\", \"store\": \"s\", \"scopes\": []}x", "trailing characters at line 1 column 42"},
    {"{\"name\": \"n\", \"store\": \"s\", \"scopes\": [\"products:delete\"]}", "member `scopes`: unknown scope \"products:delete\""},
    {"{\"name\": \"\", \"store\": \"s\", \"scopes\": []}", "member `name`: expected 1 to 200 bytes without control characters; found \"\" at line 1 column 11"},
    {"{\"name\": \"n\", \"store\": \"\", \"scopes\": []}", "member `store`: expected 1 to 63 bytes without control characters; found \"\" at line 1 column 25"},
    {"{\"name\": \"n\", \"store\": \"s\", \"scopes\": [], \"expires_at\": \"2020-01-01T00:00:00Z\"}", "expires_at: "},
};

static const char *const WRONG_PATCHES[][2] = {
    {"", "line 1 column 1"},
    {"[]", "expected a patch, an object"},
    {"{\"store\": \"other\"}", "unknown member \"store\"; expected one of name, scopes, rate_limit, expires_at, "
        "test_mode, enabled at line 1 column 8"},
    {"{\"name\": \"x\",\n\"rate_limit\": 0}", "1 to 1000; found 0 at line 2 column 15"},
    {"{\"name\": \"x\",\n\"enabled\": \"no\"}", "at line 2 column 15"},
    {"{\"name\": \"x\", \"scopes\": [\"products:delete\"]}", "member `scopes`: unknown scope \"products:delete\""},
};

static void check_wrong_members(bpos_registry *registry, const char *id) {
    char *before = described(registry);
    size_t i;
    for (i = 0; i < sizeof WRONG_SPECS / sizeof WRONG_SPECS[0]; i++) {
        const char *const *wrong = WRONG_SPECS[i];
        ANSWERS(BPOS_ERR_FORMAT, bpos_key_create(registry, wrong[0], strlen(wrong[0]), &answer, &error));
        CHECK(says(wrong[1]));
    }
    for (i = 0; i < sizeof WRONG_PATCHES / sizeof WRONG_PATCHES[0]; i++) {
        const char *const *wrong = WRONG_PATCHES[i];
        ANSWERS(BPOS_ERR_FORMAT, bpos_key_update(registry, id, strlen(id), wrong[0], strlen(wrong[0]), &answer, &error));
        CHECK(says(wrong[1]));
    }
    check_unchanged(registry, before);
}

static key check_created(bpos_registry *registry) {
    char hint[32] = "\"hint\":\"";
    const key made = create(registry, "{\"name\": \"Website Sync\", \"store\": \"" STORE "\", \"scopes\": [\"products:read\"],"
                                      " \"rate_limit\": 2}");
    CHECK(has("\"name\":\"Website Sync\",\"store\":\"" STORE "\",\"hint\":\"bpos_"));
    CHECK(has("\"scopes\":[\"products:read\"],\"rate_limit\":2,\"expires_at\":null,\"test_mode\":false,\"enabled\":true,"));
    CHECK(has("\"revoked_at\":null,\"retiring_until\":null,\"usage\":{\"last_used_at\":null,\"allowed\":0,"));
    strncat(hint, made.secret, 9);
    strcat(hint, "\"");
    CHECK(has(hint));

    CHECK(is(get(registry, made.secret, 0), ALLOWED));
    CHECK(strcmp(get(registry, made.secret, 0).key_id, made.id) == 0);
    CHECK(is(get(registry, made.secret, 0), LIMITED));
    CHECK(is(patch(registry, made.secret), 403, BPOS_REASON_INSUFFICIENT_SCOPE));

    ANSWERS(BPOS_OK, bpos_key_get(registry, made.id, strlen(made.id), &answer, &error));
    CHECK(has("\"name\":\"Website Sync\"") && has("\"allowed\":2,") && has("\"rate_limited\":1}"));
    CHECK(!has(made.secret) && !has("sha256"));
    return made;
}

/* Out of use and back, twice each, by functions of these names. */
static void check_switched(bpos_registry *registry, const key *made) {
    int i;
    for (i = 0; i < 2; i++) {
        GIVES(BPOS_OK, bpos_key_disable(registry, made->id, strlen(made->id), &error));
        CHECK(is(get(registry, made->secret, 0), DISABLED));
    }
    for (i = 0; i < 2; i++) {
        GIVES(BPOS_OK, bpos_key_enable(registry, made->id, strlen(made->id), &error));
        CHECK(is(get(registry, made->secret, 0), ALLOWED));
    }
}

/* Several changes at once: all of them, with their answers in order, or none. */
static void check_edited(bpos_registry *registry) {
    static const char spec[] = "{\"name\": \"n\", \"store\": \"" STORE "\", \"scopes\": [\"products:read\"]}";
    static const char *const refused[][2] = {
        {"[{\"revoke\": \"%s\"}, {\"revoke\": \"key_none\"}]", "change 2: no key has the id \"key_none\""},
        {"[{\"revoke\": \"%s\"}, {\"rotate\": {\"id\": \"%s\", \"grace_s\": 0}}]", "is revoked"},
    };
    static const char *const malformed[][2] = {
        {"[{\"revoke\": \"%s\"}, {}]", "change 2: expected one of the members create, update, rotate,"},
        {"[{\"revoke\": \"%s\", \"enable\": \"%s\"}]", "change 1: a change has one member; found `revoke` and `enable`"},
        {"[{\"erase\": \"%s\"}]", "change 1: unknown member \"erase\"; expected one of create, update,"},
        {"[{\"revoke\": \"%s\"},\n {\"update\": {\"id\": \"%s\", \"patch\": {\"rate_limit\": 0}}}]",
         "change 2: member `update`: member `patch`: member `rate_limit`: expected a whole number of requests a minute, 1 to "
         "1000; found 0"},
        {"[{\"rotate\": {\"id\": \"%s\"}}]", "change 1: member `rotate`: missing member `grace_s`"},
    };
    const key one = create(registry, spec), other = create(registry, spec);
    key made, turned;
    char changes[1024], *before = described(registry);
    size_t i;
    for (i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        snprintf(changes, sizeof changes, refused[i][0], one.id, one.id);
        ANSWERS(i == 0 ? BPOS_ERR_NOT_FOUND : BPOS_ERR_CONFLICT,
                bpos_registry_edit(registry, changes, strlen(changes), &answer, &error));
        CHECK(says(refused[i][1]));
    }
    for (i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        snprintf(changes, sizeof changes, malformed[i][0], one.id, one.id);
        ANSWERS(BPOS_ERR_FORMAT, bpos_registry_edit(registry, changes, strlen(changes), &answer, &error));
        CHECK(says(malformed[i][1]) && says(" at line "));
    }
    check_unchanged(registry, before);

    snprintf(changes, sizeof changes,
             "[{\"create\": %s}, {\"update\": {\"id\": \"%s\", \"patch\": {\"name\": \"Renamed\"}}}, {\"disable\": \"%s\"},"
             " {\"enable\": \"%s\"}, {\"revoke\": \"%s\"}, {\"remove\": \"%s\"},"
             " {\"rotate\": {\"id\": \"%s\", \"grace_s\": 0}}]",
             spec, one.id, one.id, one.id, other.id, other.id, one.id);
    ANSWERS(BPOS_OK, bpos_registry_edit(registry, changes, strlen(changes), &answer, &error));
    CHECK(strncmp(answer.data, TEXT("[{\"key\":\"bpos_")) == 0);
    CHECK(has("}}},{\"id\":\"key_") && has("\"name\":\"Renamed\"") && has("}},null,null,null,null,{\"key\":\"bpos_"));
    copy_member("key", made.secret, sizeof made.secret);
    copy_member("id", made.id, sizeof made.id);
    memmove(answer.data, strstr(answer.data, "null,null,null,null,"), 96); /* to the last of the answers */
    copy_member("key", turned.secret, sizeof turned.secret);
    CHECK(is(get(registry, made.secret, 0), ALLOWED) && is(get(registry, turned.secret, 0), ALLOWED));
    CHECK(is(get(registry, one.secret, 0), UNKNOWN) && is(get(registry, other.secret, 0), UNKNOWN));
    ANSWERS(BPOS_OK, bpos_registry_edit(registry, TEXT("[]"), &answer, &error));
    CHECK(strcmp(answer.data, "[]") == 0);

    snprintf(changes, sizeof changes, "[{\"revoke\": \"%s\"}, {\"revoke\": \"%s\"}, {\"remove\": \"%s\"}, {\"remove\": \"%s\"}]",
             made.id, one.id, made.id, one.id);
    ANSWERS(BPOS_OK, bpos_registry_edit(registry, changes, strlen(changes), &answer, &error));
    CHECK(strcmp(answer.data, "[null,null,null,null]") == 0);
}

static void check_updated(bpos_registry *registry, const key *made) {
    /* Two were admitted in this window: they count against each new limit. */
    update(registry, made->id, "{\"rate_limit\": 3}");
    CHECK(has("\"rate_limit\":3") && strncmp(answer.data, TEXT("{\"id\":\"key_")) == 0 && !has(made->secret));
    CHECK(is(get(registry, made->secret, 0), ALLOWED));
    CHECK(is(get(registry, made->secret, 0), LIMITED));
    update(registry, made->id, "{\"rate_limit\": 1}");
    CHECK(is(get(registry, made->secret, 0), LIMITED));
    CHECK(get(registry, made->secret, 0).limit == 1);
    update(registry, made->id, "{\"rate_limit\": 1000, \"name\": \"Shop\"}");
    CHECK(has("\"name\":\"Shop\"") && has("\"scopes\":[\"products:read\"]"));
    CHECK(is(get(registry, made->secret, 0), ALLOWED));
    CHECK(get(registry, made->secret, 0).remaining == 1000 - 5);

    update(registry, made->id, "{\"scopes\": [\"products:write\"]}");
    CHECK(has("\"scopes\":[\"products:write\"]"));
    CHECK(is(patch(registry, made->secret), ALLOWED));
    update(registry, made->id, "{\"test_mode\": true}");
    CHECK(is(patch(registry, made->secret), 403, BPOS_REASON_TEST_MODE));
    CHECK(is(get(registry, made->secret, 0), ALLOWED));

    CHECK(is(get(registry, made->secret, NEVER), ALLOWED));
    update(registry, made->id, "{\"expires_at\": \"2999-01-01T00:00:00Z\"}");
    CHECK(has("\"expires_at\":\"2999-01-01T00:00:00.000Z\""));
    CHECK(is(get(registry, made->secret, NEVER - 1), ALLOWED));
    CHECK(is(get(registry, made->secret, NEVER), 401, BPOS_REASON_EXPIRED_KEY));
    update(registry, made->id, "{\"expires_at\": null, \"test_mode\": false}");
    CHECK(is(get(registry, made->secret, NEVER), ALLOWED));

    update(registry, made->id, "{\"enabled\": false}");
    CHECK(has("\"enabled\":false"));
    CHECK(is(get(registry, made->secret, 0), DISABLED));
    update(registry, made->id, "{\"rate_limit\": 900}");
    CHECK(is(get(registry, made->secret, 0), DISABLED));
    update(registry, made->id, "{\"enabled\": true}");
    CHECK(has("\"enabled\":true"));
    CHECK(is(get(registry, made->secret, 0), ALLOWED));
    update(registry, made->id, "{}");
    check_switched(registry, made);
}

/* ---- Rotated ---- */

/* Not time(), which may lag behind the library's clock. */
static int64_t wall_ms(void) {
    struct timespec now;
    CHECK(clock_gettime(CLOCK_REALTIME, &now) == 0);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Gives the key with its last secret. */
static key check_rotated(bpos_registry *registry, const key *first) {
    const size_t id_len = strlen(first->id);
    int64_t earliest_end, latest_end;
    key second, third;
    char *before;

    update(registry, first->id, "{\"rate_limit\": 4}");
    earliest_end = wall_ms() + GRACE_S * 1000;
    ANSWERS(BPOS_OK, bpos_key_rotate(registry, first->id, id_len, GRACE_S, &answer, &error));
    latest_end = wall_ms() + GRACE_S * 1000;
    second = new_key();
    CHECK(has("\"retiring_until\":\"20") && !has(first->secret));
    CHECK(strcmp(second.id, first->id) == 0 && strcmp(second.secret, first->secret) != 0);

    /* Two of each secret, and the limit of four is used up for both. */
    moment_us += MINUTE_US;
    CHECK(is(get(registry, first->secret, earliest_end - 1), ALLOWED));
    CHECK(is(get(registry, second.secret, earliest_end - 1), ALLOWED));
    CHECK(is(get(registry, first->secret, latest_end), 401, BPOS_REASON_EXPIRED_KEY));
    CHECK(is(get(registry, second.secret, latest_end), ALLOWED));
    CHECK(is(get(registry, first->secret, earliest_end - 1), ALLOWED));
    CHECK(is(get(registry, first->secret, earliest_end - 1), LIMITED));
    CHECK(is(get(registry, second.secret, earliest_end - 1), LIMITED));

    before = described(registry);
    ANSWERS(BPOS_ERR_LIMIT, bpos_key_rotate(registry, first->id, id_len, MAX_GRACE_S + 1, &answer, &error));
    ANSWERS(BPOS_ERR_LIMIT, bpos_key_rotate(registry, first->id, id_len, UINT64_MAX, &answer, &error));
    check_unchanged(registry, before);

    /* Without grace: what was in grace ends with it. The window stays the same. */
    ANSWERS(BPOS_OK, bpos_key_rotate(registry, first->id, id_len, 0, &answer, &error));
    third = new_key();
    CHECK(has("\"retiring_until\":null"));
    CHECK(is(get(registry, first->secret, 0), UNKNOWN));
    CHECK(is(get(registry, second.secret, 0), UNKNOWN));
    CHECK(is(get(registry, third.secret, 0), LIMITED));
    moment_us += MINUTE_US;
    CHECK(is(get(registry, third.secret, 0), ALLOWED));

    /* The longest grace, which the key's own expiry cuts short. */
    update(registry, first->id, "{\"expires_at\": \"2999-01-01T00:00:00Z\"}");
    ANSWERS(BPOS_OK, bpos_key_rotate(registry, first->id, id_len, MAX_GRACE_S, &answer, &error));
    CHECK(is(get(registry, third.secret, wall_ms()), ALLOWED));
    return new_key();
}

/* ---- Seen ---- */

static void check_seen(bpos_registry *registry, const key *made) {
    char id[64];
    const key other = create(registry, "{\"name\": \"Other\", \"store\": \"otherstore\", \"scopes\": []}");
    const char *first, *second;
    snprintf(id, sizeof id, "\"id\":\"%s\"", made->id);

    ANSWERS(BPOS_OK, bpos_key_list(registry, NULL, 0, &answer, &error));
    first = strstr(answer.data, made->id);
    second = strstr(answer.data, other.id);
    CHECK(answer.data[0] == '[' && answer.data[answer.len - 1] == ']');
    CHECK(first != NULL && second != NULL && first < second);
    CHECK(!has(made->secret) && !has(other.secret) && !has("sha256"));

    ANSWERS(BPOS_OK, bpos_key_list(registry, TEXT(STORE), &answer, &error));
    CHECK(has(id) && !has("otherstore"));
    ANSWERS(BPOS_OK, bpos_key_list(registry, TEXT("otherstore"), &answer, &error));
    CHECK(!has(id) && has(other.id));
    ANSWERS(BPOS_OK, bpos_key_list(registry, "", 0, &answer, &error));
    CHECK(strcmp(answer.data, "[]") == 0);
    ANSWERS(BPOS_OK, bpos_key_list(registry, TEXT("otherstor"), &answer, &error));
    CHECK(strcmp(answer.data, "[]") == 0);
    ANSWERS(BPOS_OK, bpos_key_list(registry, TEXT("otherstore\0"), &answer, &error));
    CHECK(strcmp(answer.data, "[]") == 0);
    ANSWERS(BPOS_OK, bpos_key_list(registry, TEXT("\xFF"), &answer, &error));
    CHECK(strcmp(answer.data, "[]") == 0);

    ANSWERS(BPOS_OK, bpos_key_list_page(registry, NULL, 0, made->id, strlen(made->id), 1, &answer, &error));
    CHECK(has(other.id) && !has(id));
    ANSWERS(BPOS_OK, bpos_key_list_page(registry, TEXT("otherstore"), NULL, 0, SIZE_MAX, &answer, &error));
    CHECK(has(other.id) && !has(id));
    ANSWERS(BPOS_OK, bpos_key_list_page(registry, NULL, 0, other.id, strlen(other.id), 9, &answer, &error));
    CHECK(strcmp(answer.data, "[]") == 0);
    ANSWERS(BPOS_OK, bpos_key_list_page(registry, TEXT("\xFF"), NULL, 0, 9, &answer, &error));
    CHECK(strcmp(answer.data, "[]") == 0);
    ANSWERS(BPOS_ERR_NOT_FOUND, bpos_key_list_page(registry, NULL, 0, TEXT("\xFF"), 9, &answer, &error));
    ANSWERS(BPOS_ERR_NOT_FOUND, bpos_key_list_page(registry, NULL, 0, "", 0, 9, &answer, &error));
}

/* ---- Ended ---- */

static void check_no_such_key(bpos_registry *registry, const char *id, size_t id_len) {
    ANSWERS(BPOS_ERR_NOT_FOUND, bpos_key_update(registry, id, id_len, TEXT("{}"), &answer, &error));
    ANSWERS(BPOS_ERR_NOT_FOUND, bpos_key_rotate(registry, id, id_len, 0, &answer, &error));
    ANSWERS(BPOS_ERR_NOT_FOUND, bpos_key_get(registry, id, id_len, &answer, &error));
    GIVES(BPOS_ERR_NOT_FOUND, bpos_key_revoke(registry, id, id_len, &error));
    GIVES(BPOS_ERR_NOT_FOUND, bpos_key_remove(registry, id, id_len, &error));
    GIVES(BPOS_ERR_NOT_FOUND, bpos_key_enable(registry, id, id_len, &error));
    GIVES(BPOS_ERR_NOT_FOUND, bpos_key_disable(registry, id, id_len, &error));
    CHECK(says("no key has the id"));
}

static void check_ended(bpos_registry *registry, const key *made) {
    const size_t id_len = strlen(made->id);
    char *before = described(registry);
    GIVES(BPOS_ERR_CONFLICT, bpos_key_remove(registry, made->id, id_len, &error));
    check_no_such_key(registry, TEXT("key_none"));
    check_no_such_key(registry, made->id, id_len - 1);
    check_no_such_key(registry, made->id, id_len + 1); /* with its NUL */
    check_no_such_key(registry, "", 0);
    check_unchanged(registry, before);

    CHECK(is(get(registry, made->secret, 0), ALLOWED));
    GIVES(BPOS_OK, bpos_key_revoke(registry, made->id, id_len, &error));
    CHECK(is(get(registry, made->secret, 0), REVOKED));
    ANSWERS(BPOS_OK, bpos_key_get(registry, made->id, id_len, &answer, &error));
    CHECK(has("\"revoked_at\":\"20"));

    before = described(registry);
    GIVES(BPOS_OK, bpos_key_revoke(registry, made->id, id_len, &error));
    ANSWERS(BPOS_ERR_CONFLICT, bpos_key_update(registry, made->id, id_len, TEXT("{\"enabled\": true}"), &answer, &error));
    ANSWERS(BPOS_ERR_CONFLICT, bpos_key_rotate(registry, made->id, id_len, GRACE_S, &answer, &error));
    check_unchanged(registry, before);
    CHECK(is(get(registry, made->secret, 0), REVOKED));

    GIVES(BPOS_OK, bpos_key_remove(registry, made->id, id_len, &error));
    CHECK(is(get(registry, made->secret, 0), UNKNOWN));
    check_no_such_key(registry, made->id, id_len);
    ANSWERS(BPOS_OK, bpos_key_list(registry, TEXT(STORE), &answer, &error));
    CHECK(strcmp(answer.data, "[]") == 0);
}

static void check_life(bpos_registry *registry) {
    key made;
    moment_us += MINUTE_US;
    check_edited(registry);
    made = check_created(registry);
    check_updated(registry, &made);
    check_wrong_members(registry, made.id);
    made = check_rotated(registry, &made);
    check_seen(registry, &made);
    check_ended(registry, &made);
}

/* ---- Read-only ---- */

static void check_read_only(bpos_registry *registry, const char *id) {
    const size_t id_len = strlen(id);
    static const char spec[] = "{\"name\": \"n\", \"store\": \"s\", \"scopes\": []}";
    char *before = described(registry);
    ANSWERS(BPOS_ERR_READ_ONLY, bpos_key_create(registry, TEXT(spec), &answer, &error));
    ANSWERS(BPOS_ERR_READ_ONLY, bpos_key_update(registry, id, id_len, TEXT("{}"), &answer, &error));
    ANSWERS(BPOS_ERR_READ_ONLY, bpos_key_rotate(registry, id, id_len, 0, &answer, &error));
    GIVES(BPOS_ERR_READ_ONLY, bpos_key_revoke(registry, id, id_len, &error));
    GIVES(BPOS_ERR_READ_ONLY, bpos_key_remove(registry, id, id_len, &error));
    GIVES(BPOS_ERR_READ_ONLY, bpos_key_enable(registry, id, id_len, &error));
    GIVES(BPOS_ERR_READ_ONLY, bpos_key_disable(registry, id, id_len, &error));
    ANSWERS(BPOS_ERR_READ_ONLY, bpos_registry_edit(registry, TEXT("[]"), &answer, &error));
    check_unchanged(registry, before);
}

static void check_memory(void) {
    static const char options[] = "{\"read_only\": true}";
    uint8_t changed = 0xA5;
    bpos_registry *registry = new_registry(EMPTY, NULL);
    check_life(registry);
    GIVES(BPOS_ERR_INVALID_ARGUMENT, bpos_registry_reload_if_changed(registry, &changed, &error));
    CHECK(changed == 0);

    /* What was created goes into the host's own database as the document has it. */
    const key made = create(registry, "{\"name\": \"n\", \"store\": \"" STORE "\", \"scopes\": [\"products:read\"]}");
    ANSWERS(BPOS_OK, bpos_registry_export(registry, &answer, &error));
    CHECK(has(made.id) && has("\"sha256\"") && !has(made.secret));
    bpos_registry_close(registry);
    registry = new_registry(answer.data, options);
    CHECK(is(get(registry, made.secret, 0), ALLOWED));
    check_read_only(registry, made.id);
    bpos_registry_close(registry);
}

/* ---- A file ---- */

static bpos_registry *open_file(const char *path, const char *options) {
    bpos_registry *registry = NULL;
    GIVES(BPOS_OK, bpos_registry_open(path, strlen(path), options, options == NULL ? 0 : strlen(options), &registry, &error));
    if (registry == NULL) {
        exit(EXIT_FAILURE);
    }
    return registry;
}

static int has_changed(bpos_registry *registry) {
    uint8_t changed = 0xA5;
    GIVES(BPOS_OK, bpos_registry_reload_if_changed(registry, &changed, &error));
    CHECK(changed == 0 || changed == 1);
    return changed;
}

#define UNSHARED "{\"shared\": false}"

/* Handles of one file count together, and a change through one is in force in all: as in different processes. */
static void check_sharing(const char *path) {
    bpos_registry *one = open_file(path, NULL), *two = open_file(path, "{\"shared\": true, \"read_only\": true}");
    const key made = create(one, "{\"name\": \"Shared\", \"store\": \"" STORE
                                 "\", \"scopes\": [\"products:read\"], \"rate_limit\": 4}");
    bpos_decision decision = new_decision();
    int i, admitted = 0;
    for (i = 0; i < 10; i++) {
        admitted += bpos_authorize(i % 2 ? one : two, made.secret, strlen(made.secret), TEXT(STORE), TEXT("GET"),
                                   TEXT("/api/v1/products"), &decision) == 200;
    }
    CHECK(admitted == 4 && decision.reason == BPOS_REASON_RATE_LIMITED);
    GIVES(BPOS_OK, bpos_key_revoke(one, made.id, strlen(made.id), &error));
    CHECK(is(get(two, made.secret, 0), REVOKED));
    bpos_registry_close(one);
    bpos_registry_close(two);
}

/* What one handle writes, another one that shares nothing sees: when it is asked to look, and before it changes something
 * itself. */
static void check_two_handles(const char *path) {
    bpos_registry *one = open_file(path, UNSHARED), *two = open_file(path, UNSHARED);
    bpos_registry *reader = open_file(path, "{\"read_only\": true, \"shared\": false}");
    key made, other;
    moment_us += MINUTE_US;
    CHECK(!has_changed(one) && !has_changed(two));
    made = create(one, "{\"name\": \"One's\", \"store\": \"" STORE "\", \"scopes\": [\"products:read\"]}");
    CHECK(!has_changed(one));
    CHECK(is(get(two, made.secret, 0), UNKNOWN));
    CHECK(has_changed(two));
    CHECK(!has_changed(two));
    CHECK(is(get(two, made.secret, 0), ALLOWED));

    other = create(two, "{\"name\": \"Two's\", \"store\": \"" STORE "\", \"scopes\": [\"products:read\"]}");
    update(one, made.id, "{\"name\": \"Mine\"}");
    CHECK(is(get(one, other.secret, 0), ALLOWED));
    GIVES(BPOS_OK, bpos_key_revoke(two, made.id, strlen(made.id), &error));
    CHECK(is(get(one, made.secret, 0), ALLOWED));
    GIVES(BPOS_OK, bpos_registry_reload_if_changed(one, NULL, &error));
    CHECK(is(get(one, made.secret, 0), REVOKED));

    CHECK(is(get(reader, made.secret, 0), UNKNOWN));
    CHECK(has_changed(reader));
    CHECK(is(get(reader, other.secret, 0), ALLOWED));
    check_read_only(reader, other.id);
    CHECK(!has_changed(one) && !has_changed(two));
    bpos_registry_close(one);
    bpos_registry_close(two);
    bpos_registry_close(reader);
}

/* The folder is somewhere else while changes are made: what grants is refused, what takes away is in force. */
static void check_not_durable(const char *folder, const char *path) {
    bpos_registry *registry = open_file(path, UNSHARED), *other = open_file(path, UNSHARED);
    static const char spec[] =
        "{\"name\": \"n\", \"store\": \"" STORE "\", \"scopes\": [\"products:read\"], \"rate_limit\": 10}";
    const key kept = create(registry, spec), revoked = create(registry, spec), disabled = create(registry, spec);
    const size_t kept_len = strlen(kept.id), revoked_len = strlen(revoked.id), disabled_len = strlen(disabled.id);
    char elsewhere[600], *before;
    uint8_t changed = 0xA5;
    snprintf(elsewhere, sizeof elsewhere, "%s.elsewhere", folder);
    moment_us += MINUTE_US;
    CHECK(has_changed(other));
    CHECK(rename(folder, elsewhere) == 0);

    before = described(registry);
    ANSWERS(BPOS_ERR_IO, bpos_key_create(registry, TEXT(spec), &answer, &error));
    CHECK(says("keys.json"));
    ANSWERS(BPOS_ERR_IO, bpos_key_rotate(registry, kept.id, kept_len, 0, &answer, &error));
    ANSWERS(BPOS_ERR_IO, bpos_key_update(registry, kept.id, kept_len, TEXT("{\"rate_limit\": 11}"), &answer, &error));
    GIVES(BPOS_ERR_IO, bpos_registry_reload_if_changed(registry, &changed, &error));
    CHECK(changed == 0);
    check_unchanged(registry, before);
    CHECK(is(get(registry, kept.secret, 0), ALLOWED));

    GIVES(BPOS_ERR_NOT_DURABLE, bpos_key_revoke(registry, revoked.id, revoked_len, &error));
    CHECK(says("in force in this process") && error.in_file == 0 && error.line == 0 && error.column == 0);
    CHECK(is(get(registry, revoked.secret, 0), REVOKED));
    GIVES(BPOS_ERR_NOT_DURABLE, bpos_key_revoke(registry, revoked.id, revoked_len, &error)); /* it is, and still not written */
    ANSWERS(BPOS_ERR_NOT_DURABLE,
            bpos_key_update(registry, disabled.id, disabled_len, TEXT("{\"enabled\": false}"), &answer, &error));
    CHECK(is(get(registry, disabled.secret, 0), DISABLED));
    ANSWERS(BPOS_ERR_NOT_DURABLE,
            bpos_key_update(registry, kept.id, kept_len,
                            TEXT("{\"rate_limit\": 1, \"scopes\": [\"products:write\"]}"), &answer, &error));
    CHECK(is(get(registry, kept.secret, 0), LIMITED));
    CHECK(is(patch(registry, kept.secret), 403, BPOS_REASON_INSUFFICIENT_SCOPE));

    /* The folder is back, and its file knows of nothing. */
    CHECK(rename(elsewhere, folder) == 0);
    CHECK(!has_changed(other));
    CHECK(is(get(other, revoked.secret, 0), ALLOWED));
    GIVES(BPOS_OK, bpos_registry_reload(registry, &error));
    CHECK(is(get(registry, revoked.secret, 0), REVOKED));
    CHECK(is(get(registry, disabled.secret, 0), DISABLED));
    CHECK(is(get(registry, kept.secret, 0), LIMITED));

    /* The next change writes it all. */
    GIVES(BPOS_OK, bpos_key_revoke(registry, revoked.id, revoked_len, &error));
    CHECK(has_changed(other));
    CHECK(is(get(other, revoked.secret, 0), REVOKED));
    CHECK(is(get(other, disabled.secret, 0), DISABLED));
    CHECK(get(other, kept.secret, 0).limit == 1);
    bpos_registry_close(registry);
    bpos_registry_close(other);
}

/* ---- A lock that another process has ---- */

typedef struct change {
    bpos_registry *registry;
    const char *id;
    bpos_status (*make)(bpos_registry *, const char *, bpos_buffer *);
    bpos_status status;
    int done; /* read and written by atomic operations */
} change;

static bpos_status make_disable(bpos_registry *registry, const char *id, bpos_buffer *out) {
    (void)out;
    return bpos_key_disable(registry, id, strlen(id), NULL);
}

static bpos_status make_update(bpos_registry *registry, const char *id, bpos_buffer *out) {
    return bpos_key_update(registry, id, strlen(id), TEXT("{\"enabled\": false}"), out, NULL);
}

static bpos_status make_edit(bpos_registry *registry, const char *id, bpos_buffer *out) {
    char changes[128];
    snprintf(changes, sizeof changes, "[{\"disable\": \"%s\"}]", id);
    return bpos_registry_edit(registry, changes, strlen(changes), out, NULL);
}

static void *make_change(void *argument) {
    change *made = (change *)argument;
    bpos_buffer out = {NULL, 0};
    made->status = made->make(made->registry, made->id, &out);
    bpos_buffer_free(&out);
    __atomic_store_n(&made->done, 1, __ATOMIC_RELEASE);
    pthread_testcancel();
    return NULL;
}

/* Held until it is closed: a lock is the open file's, so this is to the library as another process's. */
static int hold_lock(const char *path) {
    char lock[600];
    int held;
    snprintf(lock, sizeof lock, "%s.lock", path);
    held = open(lock, O_RDWR | O_CREAT, 0600);
    CHECK(held >= 0 && flock(held, LOCK_EX) == 0);
    return held;
}

/* What takes away is in force while the lock is waited for. A thread that is cancelled as it waits is so afterwards. */
static void check_waiting(const char *path) {
    static bpos_status (*const changes[])(bpos_registry *, const char *, bpos_buffer *) = {make_disable, make_update, make_edit};
    bpos_registry *registry = open_file(path, NULL);
    size_t i;
    for (i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        const key made = create(registry, "{\"name\": \"n\", \"store\": \"" STORE "\", \"scopes\": [\"products:read\"]}");
        const int lock = hold_lock(path);
        change asked = {registry, made.id, changes[i], BPOS_ERR_PANIC, 0};
        void *result = NULL;
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, make_change, &asked) == 0);
        while (get(registry, made.secret, 0).status == 200 && !__atomic_load_n(&asked.done, __ATOMIC_ACQUIRE)) {
            moment_us += MINUTE_US; /* the limit is not what ends this */
            sched_yield();
        }
        CHECK(!__atomic_load_n(&asked.done, __ATOMIC_ACQUIRE));
        CHECK(is(get(registry, made.secret, 0), DISABLED));
        CHECK(pthread_cancel(thread) == 0);
        CHECK(close(lock) == 0);
        CHECK(pthread_join(thread, &result) == 0);
        CHECK(asked.status == BPOS_OK && result == PTHREAD_CANCELED);
        CHECK(is(get(registry, made.secret, 0), DISABLED));
    }
    bpos_registry_close(registry);
}

/* A file is made once, and is its user's alone. */
static void check_init(const char *folder) {
    char path[600];
    bpos_registry *registry = NULL;
    struct stat status;
    key made;
    snprintf(path, sizeof path, "%s/made.json", folder);
    GIVES(BPOS_OK, bpos_registry_init(path, strlen(path), NULL, 0, &registry, &error));
    made = create(registry, "{\"name\": \"n\", \"store\": \"" STORE "\", \"scopes\": [\"products:read\"]}");
    bpos_registry_close(registry);
    CHECK(stat(path, &status) == 0 && (status.st_mode & 0777) == 0600);
    GIVES(BPOS_ERR_CONFLICT, bpos_registry_init(path, strlen(path), NULL, 0, &registry, &error));
    CHECK(registry == NULL);
    registry = open_file(path, NULL);
    CHECK(is(get(registry, made.secret, 0), ALLOWED));
    bpos_registry_close(registry);
}

/* What was written is what is read by whoever opens the file next. */
static void check_opened_again(const char *path) {
    bpos_registry *registry = open_file(path, NULL);
    const key made = create(registry, "{\"name\": \"n\", \"store\": \"" STORE "\", \"scopes\": [\"products:read\"]}");
    char *before;
    struct stat status;
    ANSWERS(BPOS_OK, bpos_key_rotate(registry, made.id, strlen(made.id), GRACE_S, &answer, &error));
    before = described(registry);
    bpos_registry_close(registry);
    registry = open_file(path, NULL);
    check_unchanged(registry, before);
    CHECK(is(get(registry, made.secret, wall_ms()), ALLOWED));
    bpos_registry_close(registry);
    CHECK(stat(path, &status) == 0 && (status.st_mode & 0777) == 0600);
}

/* Removes a folder with what is in it: the registry and its locks, but no document that was not finished. */
static void remove_folder(const char *folder) {
    DIR *entries = opendir(folder);
    struct dirent *entry;
    char path[1024];
    CHECK(entries != NULL);
    while (entries != NULL && (entry = readdir(entries)) != NULL) {
        if (entry->d_name[0] != '.') {
            CHECK(strstr(entry->d_name, ".new") == NULL);
            snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
            CHECK(unlink(path) == 0);
        }
    }
    CHECK(entries != NULL && closedir(entries) == 0);
    CHECK(rmdir(folder) == 0);
}

/* The file is gone for good, with its folder: a revoked key is denied all the same. */
static void check_removed_folder(const char *folder, const char *path) {
    bpos_registry *registry = open_file(path, NULL);
    const key made = create(registry, "{\"name\": \"n\", \"store\": \"" STORE "\", \"scopes\": [\"products:read\"]}");
    remove_folder(folder);
    CHECK(is(get(registry, made.secret, 0), ALLOWED));
    GIVES(BPOS_ERR_NOT_DURABLE, bpos_key_revoke(registry, made.id, strlen(made.id), &error));
    CHECK(is(get(registry, made.secret, 0), REVOKED));
    bpos_registry_close(registry);
}

static void check_file(const char *folder) {
    char path[512];
    bpos_registry *registry;
    FILE *file;
    snprintf(path, sizeof path, "%s/keys.json", folder);
    file = fopen(path, "w");
    if (file == NULL || fputs(EMPTY, file) == EOF || fclose(file) != 0 || chmod(path, 0600) != 0) {
        printf("usage: keys FOLDER, which is empty and used up\n");
        exit(EXIT_FAILURE);
    }
    registry = open_file(path, NULL);
    check_life(registry);
    bpos_registry_close(registry);
    check_sharing(path);
    check_two_handles(path);
    check_not_durable(folder, path);
    check_waiting(path);
    check_init(folder);
    check_opened_again(path);
    check_removed_folder(folder, path);
}

int main(int argc, char **argv) {
    check_memory();
    check_file(argc == 2 ? argv[1] : "/nowhere");
    bpos_buffer_free(&answer);
    return verdict("keys");
}
