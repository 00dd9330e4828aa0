/* The constants of the header against the library that is loaded: each has a function twin. */
#include "check.h"

static void statuses(void) {
    static const struct {
        bpos_status status;
        int number;
        const char *name;
    } table[] = {
        {BPOS_OK, 0, "ok"},
        {BPOS_ERR_INVALID_ARGUMENT, 1, "invalid_argument"},
        {BPOS_ERR_IO, 2, "io"},
        {BPOS_ERR_FORMAT, 3, "format"},
        {BPOS_ERR_NOT_FOUND, 4, "not_found"},
        {BPOS_ERR_CONFLICT, 5, "conflict"},
        {BPOS_ERR_PERMISSION, 6, "permission"},
        {BPOS_ERR_NOT_DURABLE, 7, "not_durable"},
        {BPOS_ERR_READ_ONLY, 8, "read_only"},
        {BPOS_ERR_STALE, 9, "stale"},
        {BPOS_ERR_LIMIT, 10, "limit"},
        {BPOS_ERR_PANIC, 11, "panic"},
    };
    const int count = (int)(sizeof table / sizeof table[0]);
    int i;
    for (i = 0; i < count; i++) {
        CHECK(table[i].status == i && table[i].number == i);
        CHECK(strcmp(bpos_status_name(table[i].status), table[i].name) == 0);
    }
    CHECK(strcmp(bpos_status_name(count), "unknown") == 0);
}

static void reasons(void) {
    static const struct {
        uint32_t reason;
        const char *name;
    } table[] = {
        {BPOS_REASON_INTERNAL, "internal"},
        {BPOS_REASON_KEY_IN_URL, "key_in_url"},
        {BPOS_REASON_MISSING_KEY, "missing_key"},
        {BPOS_REASON_MALFORMED_KEY, "malformed_key"},
        {BPOS_REASON_UNKNOWN_KEY, "unknown_key"},
        {BPOS_REASON_REVOKED_KEY, "revoked_key"},
        {BPOS_REASON_DISABLED_KEY, "disabled_key"},
        {BPOS_REASON_EXPIRED_KEY, "expired_key"},
        {BPOS_REASON_WRONG_STORE, "wrong_store"},
        {BPOS_REASON_UNMAPPED_ROUTE, "unmapped_route"},
        {BPOS_REASON_INSUFFICIENT_SCOPE, "insufficient_scope"},
        {BPOS_REASON_TEST_MODE, "test_mode"},
        {BPOS_REASON_RATE_LIMITED, "rate_limited"},
        {BPOS_REASON_ALLOWED, "allowed"},
    };
    const uint32_t count = (uint32_t)(sizeof table / sizeof table[0]);
    uint32_t i;
    for (i = 0; i < count; i++) {
        CHECK(table[i].reason == i);
        CHECK(strcmp(bpos_reason_name(table[i].reason), table[i].name) == 0);
        /* A client must not tell these three apart. */
        CHECK(strcmp(bpos_reason_code(i), i == BPOS_REASON_MALFORMED_KEY || i == BPOS_REASON_UNKNOWN_KEY ||
                                                  i == BPOS_REASON_WRONG_STORE ? "invalid_key" : table[i].name) == 0);
    }
    CHECK(strcmp(bpos_reason_name(count), "internal") == 0);
}

static void scopes(void) {
    static const struct {
        uint32_t scope;
        const char *name;
    } table[] = {
        {BPOS_SCOPE_PRODUCTS_READ, "products:read"},
        {BPOS_SCOPE_CUSTOMERS_READ, "customers:read"},
        {BPOS_SCOPE_SALES_READ, "sales:read"},
        {BPOS_SCOPE_INVENTORY_READ, "inventory:read"},
        {BPOS_SCOPE_LOYALTY_READ, "loyalty:read"},
        {BPOS_SCOPE_GIFT_CARDS_READ, "gift_cards:read"},
        {BPOS_SCOPE_STORE_CREDITS_READ, "store_credits:read"},
        {BPOS_SCOPE_PRODUCTS_WRITE, "products:write"},
        {BPOS_SCOPE_CUSTOMERS_WRITE, "customers:write"},
        {BPOS_SCOPE_INVENTORY_WRITE, "inventory:write"},
        {BPOS_SCOPE_WEBHOOKS_MANAGE, "webhooks:manage"},
    };
    const uint32_t count = (uint32_t)(sizeof table / sizeof table[0]);
    bpos_registry *registry = new_registry("{\"version\": 1, \"keys\": []}", NULL);
    uint32_t i;
    for (i = 0; i < count; i++) {
        CHECK(table[i].scope == i + 1);
        CHECK(bpos_scope_id(registry, table[i].name, strlen(table[i].name)) == i + 1);
    }
    bpos_registry_close(registry);
}

static void layout(void) {
    CHECK(sizeof(bpos_decision) == 200);
    CHECK(offsetof(bpos_decision, test_mode) == 32);
    CHECK(offsetof(bpos_decision, key_id) == 40);
    CHECK(offsetof(bpos_decision, store) == 72);
    CHECK(offsetof(bpos_decision, scope) == 136);
    CHECK(sizeof(bpos_error) == 524);
    CHECK(offsetof(bpos_error, message) == 8);
    CHECK(offsetof(bpos_error, line) == 512);
    CHECK(offsetof(bpos_error, column) == 516);
    CHECK(offsetof(bpos_error, in_file) == 520);
    CHECK(sizeof(bpos_status) == 4);
    CHECK(sizeof(bpos_buffer) == 2 * sizeof(void *));
}

int main(void) {
    CHECK(bpos_abi_version() == BPOS_ABI_VERSION);
    CHECK(strcmp(bpos_version(), BPOS_VERSION) == 0);
    statuses();
    reasons();
    scopes();
    layout();
    return verdict("header");
}
