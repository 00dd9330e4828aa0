/* A caller that does everything wrong: each call is answered, and writes nothing where it may not. */
#include "check.h"

#define KEY "bpos_hostile0123456789"
#define STORE "yourstore"
#define TARGET "/api/v1/products"

static const char DOCUMENT[] =
    "{\"version\": 1, \"keys\": [{\"id\": \"key_1\", \"name\": \"Website Sync\", \"store\": \"" STORE "\","
    " \"scopes\": [\"products:read\"], \"rate_limit\": 1000,"
    " \"sha256\": \"0f11d542d395e36e30e861e8ffea08db283a96dc08036a2c4eac4289a4a2fc53\"}]}";

/* A pointer that is not NULL and points to nothing: only the length shows that it must not be followed. */
#define NOWHERE ((const char *)8)
#define TOO_LONG ((size_t)PTRDIFF_MAX + 1)

static bpos_registry *registry;

static int32_t get(const bpos_registry *from, const char *key, size_t key_len, bpos_decision *out) {
    return bpos_authorize_at(from, key, key_len, TEXT(STORE), TEXT("GET"), TEXT(TARGET), 0, 0, out);
}

/* Zero, but for the size and the status. */
static int is_misuse(const bpos_decision *decision) {
    bpos_decision expected;
    memset(&expected, 0, sizeof expected);
    expected.size = decision->size;
    expected.status = 500;
    return memcmp(decision, &expected, sizeof expected) == 0;
}

/* The largest struct that a later version of the library may have. */
enum { LARGEST = 4096 };

/* A struct that may be written, between bytes that may not, but for as many as its `size` claims. */
typedef struct fenced {
    unsigned char before[64];
    bpos_decision decision;
    unsigned char after[LARGEST];
} fenced;

static void fence(fenced *memory, uint32_t size) {
    memset(memory, 0xA5, sizeof *memory);
    memory->decision.size = size;
}

/* The struct's own bytes, and those of a later version, which are zero. */
static int is_fenced(const fenced *memory) {
    const size_t more = memory->decision.size < sizeof memory->decision ? 0 : memory->decision.size - sizeof memory->decision;
    const size_t later = more <= LARGEST - sizeof memory->decision ? more : 0;
    return is_filled(memory->before, 0xA5, sizeof memory->before) && is_filled(memory->after, 0, later) &&
           is_filled(memory->after + later, 0xA5, sizeof memory->after - later);
}

static int is_unwritten(const fenced *memory, uint32_t size) {
    const unsigned char *bytes = (const unsigned char *)&memory->decision;
    return is_fenced(memory) && memory->decision.size == size &&
           is_filled(bytes + sizeof size, 0xA5, sizeof memory->decision - sizeof size);
}

static void sizes(void) {
    static const uint32_t wrong[] = {0, 1, 4, 8, 199, LARGEST + 1, UINT32_MAX};
    static const uint32_t large_enough[] = {200, 201, 264, LARGEST};
    fenced memory;
    size_t i;
    for (i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        fence(&memory, wrong[i]);
        CHECK(get(registry, TEXT(KEY), &memory.decision) == 500);
        CHECK(is_unwritten(&memory, wrong[i]));
    }
    for (i = 0; i < sizeof large_enough / sizeof large_enough[0]; i++) {
        fence(&memory, large_enough[i]);
        CHECK(get(registry, TEXT(KEY), &memory.decision) == 200);
        CHECK(is_fenced(&memory) && memory.decision.size == large_enough[i]);
        CHECK(memory.decision.status == 200 && strcmp(memory.decision.key_id, "key_1") == 0);

        fence(&memory, large_enough[i]);
        CHECK(get(NULL, TEXT(KEY), &memory.decision) == 500);
        CHECK(is_fenced(&memory) && is_misuse(&memory.decision));
    }
}

static void pointers(void) {
    fenced memory;
    bpos_decision *misaligned = (bpos_decision *)(void *)((char *)&memory.decision + 1);
    const bpos_registry *odd = (const bpos_registry *)(const void *)((const char *)registry + 1);

    CHECK(get(registry, TEXT(KEY), NULL) == 500);
    CHECK(bpos_authorize(NULL, NULL, 0, NULL, 0, NULL, 0, NULL, 0, NULL) == 500);
    CHECK(bpos_authorize_scope(NULL, NULL, 0, NULL, 0, 0, NULL) == 500);
    CHECK(bpos_authorize_scope_at(NULL, NULL, 0, NULL, 0, 0, 0, 0, NULL) == 500);

    fence(&memory, sizeof(bpos_decision));
    CHECK(get(registry, TEXT(KEY), misaligned) == 500);
    CHECK(is_unwritten(&memory, sizeof(bpos_decision)));
    CHECK(get(odd, TEXT(KEY), &memory.decision) == 500);
    CHECK(is_fenced(&memory) && is_misuse(&memory.decision));
}

/* Each text in turn is one that may not be. */
static void texts(void) {
    static const struct {
        const char *pointer;
        size_t length;
    } wrong[] = {
        {NULL, 1}, {NULL, SIZE_MAX}, {NOWHERE, TOO_LONG}, {NOWHERE, SIZE_MAX}, {NOWHERE, SIZE_MAX - 8},
    };
    size_t i;
    int which;
    for (i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        for (which = 0; which < 4; which++) {
            const char *pointers[4] = {KEY, STORE, "GET", TARGET};
            size_t lengths[4] = {sizeof KEY - 1, sizeof STORE - 1, 3, sizeof TARGET - 1};
            bpos_decision out = new_decision();
            pointers[which] = wrong[i].pointer;
            lengths[which] = wrong[i].length;
            CHECK(bpos_authorize(registry, pointers[0], lengths[0], pointers[1], lengths[1], pointers[2], lengths[2],
                                 pointers[3], lengths[3], &out) == 500);
            CHECK(is_misuse(&out));
            out = new_decision();
            CHECK(bpos_authorize_at(registry, pointers[0], lengths[0], pointers[1], lengths[1], pointers[2],
                                    lengths[2], pointers[3], lengths[3], 0, 0, &out) == 500);
            CHECK(is_misuse(&out));
            if (which < 2) {
                out = new_decision();
                CHECK(bpos_authorize_scope(registry, pointers[0], lengths[0], pointers[1], lengths[1], 1, &out) == 500);
                CHECK(is_misuse(&out));
                out = new_decision();
                CHECK(bpos_authorize_scope_at(registry, pointers[0], lengths[0], pointers[1], lengths[1], 1, 0, 0,
                                              &out) == 500);
                CHECK(is_misuse(&out));
            }
        }
    }
}

static uint32_t reason_of(const char *key, size_t key_len, const char *store, size_t store_len) {
    bpos_decision out = new_decision();
    bpos_authorize_at(registry, key, key_len, store, store_len, TEXT("GET"), TEXT(TARGET), 0, 0, &out);
    return out.reason;
}

static void keys_and_stores(void) {
    size_t length;
    int bit;
    CHECK(reason_of(TEXT(KEY), TEXT(STORE)) == BPOS_REASON_ALLOWED);
    CHECK(reason_of(TEXT(KEY), NULL, 0) == BPOS_REASON_ALLOWED);
    CHECK(reason_of(TEXT(KEY), "", 0) == BPOS_REASON_WRONG_STORE);
    CHECK(reason_of(TEXT(KEY), TEXT("yourstore\0")) == BPOS_REASON_WRONG_STORE);
    CHECK(reason_of(TEXT(KEY), TEXT("yourstor")) == BPOS_REASON_WRONG_STORE);
    CHECK(reason_of(NULL, 0, TEXT(STORE)) == BPOS_REASON_MISSING_KEY);
    CHECK(reason_of("", 0, TEXT(STORE)) == BPOS_REASON_MISSING_KEY);
    CHECK(reason_of(TEXT(KEY "\0"), TEXT(STORE)) == BPOS_REASON_MALFORMED_KEY);
    CHECK(reason_of(TEXT(KEY "\0x"), TEXT(STORE)) == BPOS_REASON_MALFORMED_KEY);
    CHECK(reason_of(TEXT("bpos_hostile\0" "123456789"), TEXT(STORE)) == BPOS_REASON_MALFORMED_KEY);
    CHECK(reason_of(TEXT("\0" KEY), TEXT(STORE)) == BPOS_REASON_MALFORMED_KEY);
    CHECK(reason_of(TEXT(" " KEY), TEXT(STORE)) == BPOS_REASON_MALFORMED_KEY);
    CHECK(reason_of(TEXT(KEY "0"), TEXT(STORE)) == BPOS_REASON_UNKNOWN_KEY);
    for (length = 0; length < sizeof KEY - 1; length++) {
        CHECK(reason_of(KEY, length, TEXT(STORE)) != BPOS_REASON_ALLOWED);
        for (bit = 0; bit < 8; bit++) {
            char flipped[] = KEY;
            flipped[length] = (char)(flipped[length] ^ (1 << bit));
            CHECK(reason_of(TEXT(flipped), TEXT(STORE)) != BPOS_REASON_ALLOWED);
        }
    }
}

static void numbers(void) {
    static const uint32_t scopes[] = {0, 12, 64, 1000, UINT32_MAX};
    static const int32_t statuses[] = {-1, 12, INT32_MIN, INT32_MAX};
    static const uint32_t reasons[] = {14, 1000, UINT32_MAX};
    bpos_decision out;
    size_t i;
    for (i = 0; i < sizeof scopes / sizeof scopes[0]; i++) {
        out = new_decision();
        CHECK(bpos_authorize_scope(registry, TEXT(KEY), TEXT(STORE), scopes[i], &out) == 500);
        CHECK(is_misuse(&out));
        out = new_decision();
        CHECK(bpos_authorize_scope_at(registry, TEXT(KEY), TEXT(STORE), scopes[i], 0, 0, &out) == 500);
        CHECK(is_misuse(&out));
    }
    for (i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        CHECK(strcmp(bpos_status_name(statuses[i]), "unknown") == 0);
    }
    for (i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        CHECK(strcmp(bpos_reason_name(reasons[i]), "internal") == 0);
        CHECK(strcmp(bpos_reason_code(reasons[i]), "internal") == 0);
    }
    out = new_decision();
    CHECK(bpos_authorize_at(registry, TEXT(KEY), TEXT(STORE), TEXT("GET"), TEXT(TARGET), INT64_MIN, UINT64_MAX, &out) ==
          500);
    CHECK(is_misuse(&out));
    CHECK(bpos_scope_id(NULL, TEXT("products:read")) == 0);
    CHECK(bpos_scope_id(registry, NULL, 0) == 0);
    CHECK(bpos_scope_id(registry, NULL, 1) == 0);
    CHECK(bpos_scope_id(registry, NOWHERE, TOO_LONG) == 0);
    CHECK(bpos_scope_id(registry, "", 0) == 0);
    CHECK(bpos_scope_id(registry, TEXT("products:read\0")) == 0);
    CHECK(bpos_scope_id(registry, TEXT("products")) == 0);
    CHECK(bpos_scope_id(registry, TEXT("\xFF\xFE")) == 0);
}

typedef size_t renderer(const bpos_decision *, char *, size_t);

static const char INTERNAL_HEADERS[] = "Content-Type: application/problem+json\r\n";
static const char INTERNAL_BODY[] =
    "{\"type\":\"about:blank\",\"title\":\"Internal Server Error\",\"status\":500,"
    "\"detail\":\"The request could not be authorized.\",\"code\":\"internal\"}";

static void renders(renderer *render, const bpos_decision *decision, const char *expected) {
    char written[2048];
    CHECK(render(decision, written, sizeof written) == strlen(expected));
    CHECK(strcmp(written, expected) == 0);
}

/* What C puts into a decision is never trusted. */
static void nonsense(void) {
    static const int bytes[] = {0x00, 0x01, 0x41, 0x7F, 0x80, 0xFF};
    bpos_decision decision;
    char *misaligned = (char *)&decision + 1;
    char written[2048];
    size_t i;
    for (i = 0; i < sizeof bytes / sizeof bytes[0]; i++) {
        memset(&decision, bytes[i], sizeof decision);
        renders(bpos_decision_headers, &decision, INTERNAL_HEADERS);
        decision.size = sizeof decision;
        renders(bpos_decision_headers, &decision, INTERNAL_HEADERS);
        renders(bpos_decision_body, &decision, INTERNAL_BODY);
        decision.size = sizeof decision - 1;
        renders(bpos_decision_body, &decision, INTERNAL_BODY);

        /* Sound but for its texts, which do not end. */
        decision.size = sizeof decision;
        decision.status = 403;
        decision.reason = BPOS_REASON_INSUFFICIENT_SCOPE;
        CHECK(bpos_decision_body(&decision, written, sizeof written) < sizeof written);
        CHECK(strstr(written, "required_scope") == NULL);
    }
    renders(bpos_decision_headers, NULL, INTERNAL_HEADERS);
    renders(bpos_decision_body, NULL, INTERNAL_BODY);
    renders(bpos_decision_body, (const bpos_decision *)(const void *)misaligned, INTERNAL_BODY);

    /* Allowed needs both the status and the reason. */
    decision = new_decision();
    decision.status = 200;
    for (decision.reason = 0; decision.reason < BPOS_REASON_ALLOWED; decision.reason++) {
        renders(bpos_decision_body, &decision, INTERNAL_BODY);
    }
    decision.status = 401;
    decision.reason = BPOS_REASON_ALLOWED;
    renders(bpos_decision_body, &decision, INTERNAL_BODY);

    /* A name that would break out of its header or its JSON. */
    decision.status = 403;
    decision.reason = BPOS_REASON_TEST_MODE;
    memset(decision.scope, 0, sizeof decision.scope);
    memcpy(decision.scope, "a\r\nb", 4);
    CHECK(bpos_decision_body(&decision, written, sizeof written) > 0);
    CHECK(strstr(written, "required_scope") == NULL);
    memcpy(decision.scope, "a\"}b", 4);
    CHECK(bpos_decision_body(&decision, written, sizeof written) > 0);
    CHECK(strstr(written, "\"required_scope\":\"a\\\"}b\"}") != NULL);
}

/* Every capacity from nothing to more than enough, with bytes behind it that stay. */
static void capacities(renderer *render) {
    bpos_decision decision = new_decision();
    char whole[2048], part[2048];
    size_t length, cap;
    bpos_authorize(registry, TEXT("bpos_unknown0123456789"), TEXT(STORE), TEXT("GET"), TEXT(TARGET), &decision);
    length = render(&decision, whole, sizeof whole);
    CHECK(length > 0 && length == strlen(whole));
    CHECK(render(&decision, NULL, 0) == length);
    for (cap = 0; cap < length + 3; cap++) {
        const size_t kept = cap == 0 ? 0 : cap - 1 < length ? cap - 1 : length;
        const size_t touched = cap == 0 ? 0 : kept + 1;
        memset(part, 0x5A, sizeof part);
        CHECK(render(&decision, part, cap) == length);
        CHECK(memcmp(part, whole, kept) == 0);
        CHECK(cap == 0 || part[kept] == '\0');
        CHECK(is_filled(part + touched, 0x5A, sizeof part - touched));
    }
    memset(part, 0x5A, sizeof part);
    CHECK(render(&decision, NULL, 1) == 0);
    CHECK(render(&decision, NULL, SIZE_MAX) == 0);
    CHECK(render(&decision, part, SIZE_MAX) == 0);
    CHECK(render(&decision, part, TOO_LONG) == 0);
    CHECK(is_filled(part, 0x5A, sizeof part));
}

/* A call that fails says why, leaves nothing to free, and holds no key in its message. */
#define FAILS(expected, call)                                       \
    do {                                                            \
        error = new_error();                                        \
        CHECK((call) == (expected));                                \
        CHECK(error.code == (expected) && error.size == sizeof error); \
        CHECK(memchr(error.message, '\0', sizeof error.message) != NULL && error.message[0] != '\0'); \
        CHECK(strstr(error.message, KEY) == NULL);                  \
    } while (0)

static void openings(void) {
    bpos_error error;
    bpos_registry *out = registry;
#define OPEN_FAILS(expected, call) \
    do {                           \
        out = registry;            \
        FAILS(expected, call);     \
        CHECK(out == NULL);        \
    } while (0)
    OPEN_FAILS(BPOS_ERR_INVALID_ARGUMENT, bpos_registry_open(NULL, 0, NULL, 0, &out, &error));
    OPEN_FAILS(BPOS_ERR_INVALID_ARGUMENT, bpos_registry_open(NULL, 7, NULL, 0, &out, &error));
    OPEN_FAILS(BPOS_ERR_INVALID_ARGUMENT, bpos_registry_open(NOWHERE, TOO_LONG, NULL, 0, &out, &error));
    OPEN_FAILS(BPOS_ERR_INVALID_ARGUMENT, bpos_registry_open(TEXT("x"), NULL, 1, &out, &error));
    OPEN_FAILS(BPOS_ERR_IO, bpos_registry_open("", 0, NULL, 0, &out, &error));
    OPEN_FAILS(BPOS_ERR_IO, bpos_registry_open(TEXT("/\0/"), NULL, 0, &out, &error));
    OPEN_FAILS(BPOS_ERR_IO, bpos_registry_open(TEXT("/\xFF/no/such/file"), NULL, 0, &out, &error));
    OPEN_FAILS(BPOS_ERR_IO, bpos_registry_open(TEXT("/"), NULL, 0, &out, &error));
    OPEN_FAILS(BPOS_ERR_FORMAT, bpos_registry_open(TEXT("x"), "", 0, &out, &error));
    OPEN_FAILS(BPOS_ERR_FORMAT, bpos_registry_open(TEXT("x"), TEXT("{\"readonly\": true}"), &out, &error));
    OPEN_FAILS(BPOS_ERR_INVALID_ARGUMENT, bpos_registry_init(NULL, 0, NULL, 0, &out, &error));
    OPEN_FAILS(BPOS_ERR_INVALID_ARGUMENT, bpos_registry_init(NOWHERE, TOO_LONG, NULL, 0, &out, &error));
    OPEN_FAILS(BPOS_ERR_INVALID_ARGUMENT, bpos_registry_init("", 0, NULL, 0, &out, &error));
    OPEN_FAILS(BPOS_ERR_INVALID_ARGUMENT, bpos_registry_init(TEXT("/"), NULL, 0, &out, &error));
    OPEN_FAILS(BPOS_ERR_IO, bpos_registry_init(TEXT("/no/such/folder/keys.json"), NULL, 0, &out, &error));
    OPEN_FAILS(BPOS_ERR_FORMAT, bpos_registry_init(TEXT("/no/such/folder/keys.json"), TEXT("{\"x\": 1}"), &out, &error));
    OPEN_FAILS(BPOS_ERR_INVALID_ARGUMENT, bpos_registry_from_json(NULL, 0, NULL, 0, &out, &error));
    OPEN_FAILS(BPOS_ERR_INVALID_ARGUMENT, bpos_registry_from_json(NULL, SIZE_MAX, NULL, 0, &out, &error));
    OPEN_FAILS(BPOS_ERR_FORMAT, bpos_registry_from_json("", 0, NULL, 0, &out, &error));
    OPEN_FAILS(BPOS_ERR_FORMAT, bpos_registry_from_json(TEXT(KEY), NULL, 0, &out, &error));
    OPEN_FAILS(BPOS_ERR_FORMAT, bpos_registry_from_json(TEXT("\xFF\0\xFF"), NULL, 0, &out, &error));
    OPEN_FAILS(BPOS_ERR_FORMAT, bpos_registry_from_json(DOCUMENT, sizeof DOCUMENT, NULL, 0, &out, &error)); /* a NUL */
    OPEN_FAILS(BPOS_ERR_FORMAT, bpos_registry_from_json(TEXT("{\"version\": 1, \"keys\": [{\"id\": \"" KEY "\"}]}"),
                                                        NULL, 0, &out, &error));
    OPEN_FAILS(BPOS_ERR_FORMAT, bpos_registry_from_json(TEXT("{\"version\": 1, \"keys\": [{\"sha256\": \"" KEY "\"}]}"),
                                                        NULL, 0, &out, &error));
    FAILS(BPOS_ERR_INVALID_ARGUMENT, bpos_registry_open(TEXT("x"), NULL, 0, NULL, &error));
    FAILS(BPOS_ERR_INVALID_ARGUMENT, bpos_registry_init(TEXT("x"), NULL, 0, NULL, &error));
    FAILS(BPOS_ERR_INVALID_ARGUMENT, bpos_registry_from_json(TEXT(DOCUMENT), NULL, 0, NULL, &error));
    CHECK(bpos_registry_open(NULL, 0, NULL, 0, NULL, NULL) == BPOS_ERR_INVALID_ARGUMENT);
    CHECK(bpos_registry_from_json(NULL, 0, NULL, 0, NULL, NULL) == BPOS_ERR_INVALID_ARGUMENT);
}

static void changes(void) {
    bpos_error error;
    bpos_buffer buffer;
    FAILS(BPOS_ERR_INVALID_ARGUMENT, bpos_registry_reload(NULL, &error));
    FAILS(BPOS_ERR_INVALID_ARGUMENT, bpos_registry_reload(registry, &error)); /* a memory registry */
    FAILS(BPOS_ERR_INVALID_ARGUMENT, bpos_registry_apply(NULL, TEXT("[]"), &error));
    FAILS(BPOS_ERR_INVALID_ARGUMENT, bpos_registry_apply(registry, NULL, 0, &error));
    FAILS(BPOS_ERR_INVALID_ARGUMENT, bpos_registry_apply(registry, NULL, 1, &error));
    FAILS(BPOS_ERR_FORMAT, bpos_registry_apply(registry, "", 0, &error));
    FAILS(BPOS_ERR_FORMAT, bpos_registry_apply(registry, TEXT("{}"), &error));
    FAILS(BPOS_ERR_INVALID_ARGUMENT, bpos_registry_export(registry, NULL, &error));
    FAILS(BPOS_ERR_INVALID_ARGUMENT, bpos_registry_stats(registry, NULL, &error));
    memset(&buffer, 0xA5, sizeof buffer);
    FAILS(BPOS_ERR_INVALID_ARGUMENT, bpos_registry_export(NULL, &buffer, &error));
    CHECK(buffer.data == NULL && buffer.len == 0);
    memset(&buffer, 0xA5, sizeof buffer);
    FAILS(BPOS_ERR_INVALID_ARGUMENT, bpos_registry_stats(NULL, &buffer, &error));
    CHECK(buffer.data == NULL && buffer.len == 0);

    error = new_error();
    CHECK(bpos_registry_apply(registry, TEXT("[]"), &error) == BPOS_OK);
    CHECK(error.code == BPOS_OK && is_filled(error.message, 0, sizeof error.message));
    CHECK(bpos_registry_apply(registry, TEXT("[]"), NULL) == BPOS_OK);
}

/* The functions of one key's life, of the same form each, so that each misuse meets all of them. */
static const char SPEC[] = "{\"name\": \"n\", \"store\": \"s\", \"scopes\": []}";

static bpos_status key_create(bpos_registry *of, const char *text, size_t length, bpos_buffer *out, bpos_error *error) {
    return bpos_key_create(of, text, length, out, error);
}
static bpos_status key_update(bpos_registry *of, const char *text, size_t length, bpos_buffer *out, bpos_error *error) {
    return bpos_key_update(of, text, length, TEXT("{}"), out, error);
}
static bpos_status key_patch(bpos_registry *of, const char *text, size_t length, bpos_buffer *out, bpos_error *error) {
    return bpos_key_update(of, TEXT("key_1"), text, length, out, error);
}
static bpos_status key_rotate(bpos_registry *of, const char *text, size_t length, bpos_buffer *out, bpos_error *error) {
    return bpos_key_rotate(of, text, length, 0, out, error);
}
static bpos_status key_get(bpos_registry *of, const char *text, size_t length, bpos_buffer *out, bpos_error *error) {
    return bpos_key_get(of, text, length, out, error);
}
static bpos_status key_list(bpos_registry *of, const char *text, size_t length, bpos_buffer *out, bpos_error *error) {
    return bpos_key_list(of, text, length, out, error);
}
static bpos_status key_revoke(bpos_registry *of, const char *text, size_t length, bpos_buffer *out, bpos_error *error) {
    memset(out, 0, sizeof *out); /* it has none */
    return bpos_key_revoke(of, text, length, error);
}
static bpos_status key_remove(bpos_registry *of, const char *text, size_t length, bpos_buffer *out, bpos_error *error) {
    memset(out, 0, sizeof *out);
    return bpos_key_remove(of, text, length, error);
}

static bpos_status key_enable(bpos_registry *of, const char *text, size_t length, bpos_buffer *out, bpos_error *error) {
    memset(out, 0, sizeof *out);
    return bpos_key_enable(of, text, length, error);
}
static bpos_status key_disable(bpos_registry *of, const char *text, size_t length, bpos_buffer *out, bpos_error *error) {
    memset(out, 0, sizeof *out);
    return bpos_key_disable(of, text, length, error);
}
static bpos_status edit(bpos_registry *of, const char *text, size_t length, bpos_buffer *out, bpos_error *error) {
    return bpos_registry_edit(of, text, length, out, error);
}

enum takes { A_JSON, AN_ID, A_STORE };

static const struct {
    bpos_status (*call)(bpos_registry *, const char *, size_t, bpos_buffer *, bpos_error *);
    const char *sound; /* what its text may be */
    enum takes takes;
    int fills; /* a buffer */
} KEY_CALLS[] = {
    {key_create, SPEC, A_JSON, 1},     {key_patch, "{}", A_JSON, 1},      {key_update, "key_1", AN_ID, 1},
    {key_rotate, "key_1", AN_ID, 1},   {key_get, "key_1", AN_ID, 1},      {key_revoke, "key_1", AN_ID, 0},
    {key_remove, "key_1", AN_ID, 0},   {key_list, STORE, A_STORE, 1},     {key_enable, "key_1", AN_ID, 0},
    {key_disable, "key_1", AN_ID, 0},  {edit, "[]", A_JSON, 1},
};

/* Nothing of it changed: the record is what it was, and the key works. */
static void check_unchanged(void) {
    bpos_buffer list;
    bpos_decision out = new_decision();
    CHECK(bpos_key_list(registry, NULL, 0, &list, NULL) == BPOS_OK);
    CHECK(strncmp(list.data, TEXT("[{\"id\":\"key_1\",\"name\":\"Website Sync\",\"store\":\"" STORE "\",\"hint\":null,"
                                  "\"scopes\":[\"products:read\"],\"rate_limit\":1000,\"expires_at\":null,"
                                  "\"test_mode\":false,\"enabled\":true,\"created_at\":null,\"revoked_at\":null,"
                                  "\"retiring_until\":null,")) == 0);
    CHECK(strstr(list.data + 3, "\"id\"") == NULL);
    bpos_buffer_free(&list);
    CHECK(get(registry, TEXT(KEY), &out) == 200);
}

static void keys(void) {
    static const struct {
        const char *pointer;
        size_t length;
    } wrong[] = {
        {NULL, 1}, {NULL, SIZE_MAX}, {NOWHERE, TOO_LONG}, {NOWHERE, SIZE_MAX}, {NOWHERE, SIZE_MAX - 8},
    };
    /* An id that no key has, and a text that is no JSON, one way or another. */
    static const char odd[] = "key_1\0\xFF\xFEkey_1\r\n{\"\0";
    bpos_error error;
    bpos_buffer buffer;
    size_t i, w;
#define KEY_FAILS(expected, call)                             \
    do {                                                      \
        memset(&buffer, 0xA5, sizeof buffer);                 \
        FAILS(expected, call);                                \
        CHECK(buffer.data == NULL && buffer.len == 0);        \
    } while (0)
    for (i = 0; i < sizeof KEY_CALLS / sizeof KEY_CALLS[0]; i++) {
        const char *sound = KEY_CALLS[i].sound;
        const size_t length = strlen(sound);
        const bpos_status refused = KEY_CALLS[i].takes == A_JSON ? BPOS_ERR_FORMAT : BPOS_ERR_NOT_FOUND;
        bpos_registry *odd_registry = (bpos_registry *)(void *)((char *)registry + 1);
        KEY_FAILS(BPOS_ERR_INVALID_ARGUMENT, KEY_CALLS[i].call(NULL, sound, length, &buffer, &error));
        KEY_FAILS(BPOS_ERR_INVALID_ARGUMENT, KEY_CALLS[i].call(odd_registry, sound, length, &buffer, &error));
        for (w = 0; w < sizeof wrong / sizeof wrong[0]; w++) {
            KEY_FAILS(BPOS_ERR_INVALID_ARGUMENT,
                      KEY_CALLS[i].call(registry, wrong[w].pointer, wrong[w].length, &buffer, &error));
        }
        if (KEY_CALLS[i].fills) {
            FAILS(BPOS_ERR_INVALID_ARGUMENT, KEY_CALLS[i].call(registry, sound, length, NULL, &error));
            FAILS(BPOS_ERR_INVALID_ARGUMENT,
                  KEY_CALLS[i].call(registry, sound, length, (bpos_buffer *)(void *)((char *)&buffer + 1), &error));
        }
        if (KEY_CALLS[i].takes == A_STORE) {
            continue; /* any text is a store's name, and none at all is all of them */
        }
        KEY_FAILS(BPOS_ERR_INVALID_ARGUMENT, KEY_CALLS[i].call(registry, NULL, 0, &buffer, &error));
        KEY_FAILS(refused, KEY_CALLS[i].call(registry, "", 0, &buffer, &error));
        KEY_FAILS(refused, KEY_CALLS[i].call(registry, sound, length - 1, &buffer, &error));
        KEY_FAILS(refused, KEY_CALLS[i].call(registry, sound, length + 1, &buffer, &error)); /* a NUL */
        KEY_FAILS(refused, KEY_CALLS[i].call(registry, TEXT(odd), &buffer, &error));
        KEY_FAILS(refused, KEY_CALLS[i].call(registry, TEXT(KEY), &buffer, &error)); /* a key where it does not belong */
        KEY_FAILS(refused, KEY_CALLS[i].call(registry, TEXT("{\"name\": \"" KEY "\", \"" KEY "\": 1}"), &buffer, &error));
        KEY_FAILS(refused, KEY_CALLS[i].call(registry, TEXT("{\"rate_limit\": \"" KEY "\"}"), &buffer, &error));
    }
    KEY_FAILS(BPOS_ERR_INVALID_ARGUMENT, bpos_key_update(registry, TEXT("key_1"), NULL, 0, &buffer, &error));
    KEY_FAILS(BPOS_ERR_LIMIT, bpos_key_rotate(registry, TEXT("key_1"), UINT64_MAX, &buffer, &error));
    check_unchanged();
}

/* Megabytes of what no id and no spec can be. */
static void huge_texts(void) {
    const size_t length = 8u << 20;
    char *text = (char *)malloc(length);
    bpos_error error;
    bpos_buffer buffer;
    size_t i;
    if (text == NULL) {
        exit(EXIT_FAILURE);
    }
    memset(text, '[', length); /* as deep as it is long */
    for (i = 0; i < sizeof KEY_CALLS / sizeof KEY_CALLS[0]; i++) {
        if (KEY_CALLS[i].takes == A_STORE) {
            CHECK(KEY_CALLS[i].call(registry, text, length, &buffer, NULL) == BPOS_OK);
            CHECK(strcmp(buffer.data, "[]") == 0);
            bpos_buffer_free(&buffer);
        } else {
            KEY_FAILS(KEY_CALLS[i].takes == A_JSON ? BPOS_ERR_FORMAT : BPOS_ERR_NOT_FOUND,
                      KEY_CALLS[i].call(registry, text, length, &buffer, &error));
        }
    }
    free(text);
    check_unchanged();
}

static void reload_if_changed(void) {
    bpos_error error;
    uint8_t changed = 0xA5;
    FAILS(BPOS_ERR_INVALID_ARGUMENT, bpos_registry_reload_if_changed(NULL, &changed, &error));
    CHECK(changed == 0);
    changed = 0xA5;
    FAILS(BPOS_ERR_INVALID_ARGUMENT, bpos_registry_reload_if_changed(registry, &changed, &error)); /* a memory registry */
    CHECK(changed == 0);
    FAILS(BPOS_ERR_INVALID_ARGUMENT, bpos_registry_reload_if_changed(registry, NULL, &error));
    CHECK(bpos_registry_reload_if_changed(NULL, NULL, NULL) == BPOS_ERR_INVALID_ARGUMENT);
}

/* A buffer with a key in it, freed twice and used again; and no error struct anywhere. */
static void freed_keys(void) {
    bpos_registry *of = new_registry(DOCUMENT, NULL);
    bpos_buffer buffer;
    int i;
    for (i = 0; i < 3; i++) {
        CHECK(bpos_key_create(of, TEXT(SPEC), &buffer, NULL) == BPOS_OK);
        CHECK(buffer.data != NULL && strlen(buffer.data) == buffer.len);
        bpos_buffer_free(&buffer);
        CHECK(buffer.data == NULL && buffer.len == 0);
        bpos_buffer_free(&buffer);
        CHECK(buffer.data == NULL && buffer.len == 0);
    }
    CHECK(bpos_key_rotate(of, TEXT("key_1"), 60, &buffer, NULL) == BPOS_OK);
    bpos_registry_close(of);
    CHECK(strncmp(buffer.data, TEXT("{\"key\":\"bpos_")) == 0); /* it outlives its registry */
    bpos_buffer_free(&buffer);
    bpos_buffer_free(&buffer);
    for (i = 0; i < (int)(sizeof KEY_CALLS / sizeof KEY_CALLS[0]); i++) {
        CHECK(KEY_CALLS[i].call(NULL, NULL, 0, &buffer, NULL) == BPOS_ERR_INVALID_ARGUMENT);
    }
}

/* An error struct that is not sound stops the call before it does anything. */
static void errors(void) {
    struct {
        bpos_error error;
        unsigned char after[LARGEST];
    } memory;
    unsigned char *bytes = (unsigned char *)&memory;
    bpos_registry *out = registry;
    bpos_buffer buffer = {NULL, 0};
    uint8_t changed = 0xA5;
    uint32_t size;
    size_t i;
    for (size = 0; size < offsetof(bpos_error, line); size += 73) {
        memset(&memory, 0xA5, sizeof memory);
        memory.error.size = size;
        CHECK(bpos_registry_from_json(TEXT(DOCUMENT), NULL, 0, &out, &memory.error) == BPOS_ERR_INVALID_ARGUMENT);
        CHECK(bpos_registry_stats(registry, &buffer, &memory.error) == BPOS_ERR_INVALID_ARGUMENT);
        CHECK(out == registry && buffer.data == NULL && memory.error.size == size);
        CHECK(bpos_registry_reload_if_changed(registry, &changed, &memory.error) == BPOS_ERR_INVALID_ARGUMENT);
        CHECK(changed == 0xA5);
        for (i = 0; i < sizeof KEY_CALLS / sizeof KEY_CALLS[0]; i++) {
            const char *sound = KEY_CALLS[i].sound;
            CHECK(KEY_CALLS[i].call(registry, sound, strlen(sound), &buffer, &memory.error) == BPOS_ERR_INVALID_ARGUMENT);
            CHECK(buffer.data == NULL && memory.error.size == size);
        }
        CHECK(is_filled(bytes + sizeof size, 0xA5, sizeof memory - sizeof size));
    }
    memset(&memory, 0xA5, sizeof memory);
    CHECK(bpos_registry_reload(registry, (bpos_error *)(void *)(bytes + 1)) == BPOS_ERR_INVALID_ARGUMENT);
    CHECK(is_filled(bytes, 0xA5, sizeof memory));
    memory.error.size = LARGEST + 1;
    CHECK(bpos_registry_reload(registry, &memory.error) == BPOS_ERR_INVALID_ARGUMENT);
    CHECK(memory.error.size == LARGEST + 1 && is_filled(bytes + sizeof size, 0xA5, sizeof memory - sizeof size));
    memory.error.size = LARGEST; /* of a later version: what it has more is zero */
    CHECK(bpos_registry_reload(registry, &memory.error) == BPOS_ERR_INVALID_ARGUMENT);
    CHECK(memory.error.size == LARGEST && memory.error.code == BPOS_ERR_INVALID_ARGUMENT);
    CHECK(is_filled(memory.after, 0, LARGEST - sizeof memory.error));
    CHECK(is_filled(memory.after + LARGEST - sizeof memory.error, 0xA5, sizeof memory.error));
    check_unchanged();
}

/* An error has the place in the document; a program of version 0.1.0 gave 512 bytes for it, and gets no more. */
static void places(void) {
    static const char faulty[] =
        "{\"version\": 1, \"keys\": [\n"
        "  {\"id\": \"key_1\", \"name\": \"Website Sync\", \"store\": \"" STORE "\", \"scopes\": [],\n"
        "   \"rate_limit\": 7000,\n"
        "   \"sha256\": \"0f11d542d395e36e30e861e8ffea08db283a96dc08036a2c4eac4289a4a2fc53\"}]}";
    bpos_registry *out = NULL;
    bpos_error error = new_error();
    const unsigned char *added = (const unsigned char *)&error + offsetof(bpos_error, line);
    CHECK(bpos_registry_from_json(TEXT(faulty), NULL, 0, &out, &error) == BPOS_ERR_FORMAT);
    CHECK(error.line == 3 && error.column == 21 && error.in_file == 0);
    CHECK(strstr(error.message, "at line 3 column 21") != NULL);
    CHECK(bpos_key_revoke(registry, TEXT("key_none"), &error) == BPOS_ERR_NOT_FOUND);
    CHECK(error.line == 0 && error.column == 0 && error.in_file == 0);

    error = new_error();
    error.size = offsetof(bpos_error, line);
    CHECK(bpos_registry_from_json(TEXT(faulty), NULL, 0, &out, &error) == BPOS_ERR_FORMAT);
    CHECK(error.size == 512 && error.code == BPOS_ERR_FORMAT && strstr(error.message, "at line 3 column 21") != NULL);
    CHECK(is_filled(added, 0xA5, sizeof error - error.size));
    check_unchanged();
}

static void buffers(void) {
    bpos_buffer buffer;
    memset(&buffer, 0xA5, sizeof buffer);
    CHECK(bpos_registry_export(registry, &buffer, NULL) == BPOS_OK);
    CHECK(buffer.data != NULL && strlen(buffer.data) == buffer.len);
    CHECK(strstr(buffer.data, "\"key_1\"") != NULL && strstr(buffer.data, KEY) == NULL);
    bpos_buffer_free(&buffer);
    CHECK(buffer.data == NULL && buffer.len == 0);
    bpos_buffer_free(&buffer);
    CHECK(buffer.data == NULL && buffer.len == 0);
    bpos_buffer_free(NULL);
    bpos_buffer_free((bpos_buffer *)(void *)((char *)&buffer + 1));

    CHECK(bpos_registry_stats(registry, &buffer, NULL) == BPOS_OK);
    CHECK(strlen(buffer.data) == buffer.len && strstr(buffer.data, "\"unknown_key\":") != NULL);
    bpos_buffer_free(&buffer);
}

static void redaction(void) {
    char line[] = "GET /?k=" KEY "&e=bpos%5Fhostile0123456789 \xFF\0 " KEY;
    static const char expected[] = "GET /?k=bpos_host*************&e=bpos%5Fhost************* \xFF\0 bpos_host*************";
    CHECK(bpos_redact(NULL, 0) == 0);
    CHECK(bpos_redact(NULL, 5) == 0);
    CHECK(bpos_redact(line, 0) == 0);
    CHECK(bpos_redact((char *)8, TOO_LONG) == 0);
    CHECK(bpos_redact(line, SIZE_MAX) == 0);
    CHECK(bpos_redact(line, sizeof line - 1) == 3);
    CHECK(sizeof line == sizeof expected && memcmp(line, expected, sizeof expected) == 0);
    CHECK(bpos_redact(line, sizeof line - 1) == 0);
}

int main(void) {
    registry = new_registry(DOCUMENT, NULL);
    sizes();
    pointers();
    texts();
    keys_and_stores();
    numbers();
    nonsense();
    capacities(bpos_decision_headers);
    capacities(bpos_decision_body);
    openings();
    changes();
    keys();
    huge_texts();
    reload_if_changed();
    freed_keys();
    errors();
    places();
    buffers();
    redaction();
    bpos_registry_close(NULL);
    bpos_registry_close((bpos_registry *)(void *)((char *)registry + 1));
    bpos_registry_close(registry);
    return verdict("hostile");
}
