/*
 * bpos: an embedded authority for API keys. One call, one answer: 200, 401, 403 or 429.
 *
 * Generated from the library's source. Do not edit: change src/ffi, and run `make header`.
 *
 * The rules that hold for every function:
 *
 * - A text is a pointer and a length, and need not end with a NUL. (NULL, 0) is an absent text; a pointer with length 0
 *   is an empty one; (NULL, n) is misuse, and so is a length over PTRDIFF_MAX.
 * - A pointer that is NULL or misaligned where that is not allowed is misuse. Misuse is answered, never undefined: with
 *   500, BPOS_ERR_INVALID_ARGUMENT, 0 or nothing. Any other pointer must point to what it says.
 * - Arguments stay the caller's and are not used after the call.
 * - bpos_decision and bpos_error begin with `size`: set it to sizeof before the call. They only ever grow at the end, so
 *   programs and libraries of different versions get along: what a larger one has more is set to zero, up to 4096 bytes.
 * - No function may be called from a signal handler. A thread may be cancelled (pthread_cancel) with the default, deferred
 *   type: functions that wait for a file or a lock put it off until they return, and the others are no cancellation points.
 * - const means: not changed, and may be shared. A bpos_registry is safe to use from any thread at once.
 * - Nothing unwinds or jumps into the caller, and errno says nothing. The library spawns no thread, installs no signal
 *   handler and writes to neither stdout nor stderr.
 * - Numbers are never reused. Treat one that you do not know as an error, or as a denial.
 *
 * examples/authorize.c and examples/keys.c are whole programs.
 */


#ifndef BPOS_H
#define BPOS_H

#include <stddef.h>
#include <stdint.h>

/**
 * The version of this header, which bpos_version() gives for the library.
 */
#define BPOS_VERSION "0.1.0"


/**
 * The version of the ABI: it changes when a program built against an older header would misbehave, and the SONAME of
 * the shared library, libbpos.so.0, ends in it. 0 until the first stable release.
 */
#define BPOS_ABI_VERSION 0

/**
 * The values of a bpos_status. These numbers never change and are never reused.
 *
 * Methods:
 *   bpos_status_name()   the name of one, for logs
 */
typedef enum bpos_status_code {
    /**
     * It is done.
     */
    BPOS_OK = 0,
    /**
     * An argument is NULL, misaligned, or has no meaning here: a memory registry was told to reload, for instance.
     */
    BPOS_ERR_INVALID_ARGUMENT = 1,
    /**
     * The operating system refused to open, read or write the registry file.
     */
    BPOS_ERR_IO = 2,
    /**
     * A document is not what its format asks for. The message names the key, the member, line and column.
     */
    BPOS_ERR_FORMAT = 3,
    /**
     * There is no key with that id.
     */
    BPOS_ERR_NOT_FOUND = 4,
    /**
     * The change contradicts what is in force: a duplicate id or digest, or a revoked key brought back.
     */
    BPOS_ERR_CONFLICT = 5,
    /**
     * The registry file may be written by others, or belongs to somebody else.
     */
    BPOS_ERR_PERMISSION = 6,
    /**
     * It is not sure that the registry file has the change. What it takes away is in force in this process all the same;
     * what it grants is not. The message says which.
     */
    BPOS_ERR_NOT_DURABLE = 7,
    /**
     * The registry was opened read-only.
     */
    BPOS_ERR_READ_ONLY = 8,
    /**
     * The document is older (its revision is lower) than what is in force.
     */
    BPOS_ERR_STALE = 9,
    /**
     * Something is larger than its stated maximum, or there is no memory for it.
     */
    BPOS_ERR_LIMIT = 10,
    /**
     * bpos panicked, which is a defect of it. The registry can still be used.
     */
    BPOS_ERR_PANIC = 11,
} bpos_status_code;

/**
 * Why a request was denied, in the order of the checks: the first that fails decides. The `reason` of a
 * bpos_decision. These numbers never change and are never reused; a future library may have others.
 *
 * Methods:
 *   bpos_reason_name()   the name of one, for logs
 *   bpos_reason_code()   what a client may be told of it
 */
typedef enum bpos_reason {
    /**
     * bpos could not decide: misuse, no memory, a time out of range, or a scope that does not exist. 500.
     */
    BPOS_REASON_INTERNAL = 0,
    /**
     * The request target's query holds a key, where logs and histories record it. 401.
     */
    BPOS_REASON_KEY_IN_URL = 1,
    /**
     * There is no key, or an empty one. 401.
     */
    BPOS_REASON_MISSING_KEY = 2,
    /**
     * The key is not "bpos_" and 16 to 123 ASCII letters and digits. 401.
     */
    BPOS_REASON_MALFORMED_KEY = 3,
    /**
     * The registry does not hold the key's digest. 401.
     */
    BPOS_REASON_UNKNOWN_KEY = 4,
    /**
     * The key was revoked, for good. 401.
     */
    BPOS_REASON_REVOKED_KEY = 5,
    /**
     * The key is disabled for now. 401.
     */
    BPOS_REASON_DISABLED_KEY = 6,
    /**
     * The key's expiry, or a rotated-out secret's end of grace, has come. 401.
     */
    BPOS_REASON_EXPIRED_KEY = 7,
    /**
     * The key belongs to another store than the request's. 401.
     */
    BPOS_REASON_WRONG_STORE = 8,
    /**
     * No route of the policy matches the method and the path. 403.
     */
    BPOS_REASON_UNMAPPED_ROUTE = 9,
    /**
     * The key lacks the scope that the route needs. 403.
     */
    BPOS_REASON_INSUFFICIENT_SCOPE = 10,
    /**
     * The key is in test mode, and the operation writes. 403.
     */
    BPOS_REASON_TEST_MODE = 11,
    /**
     * As many requests as the key's limit were admitted in the last 60 seconds. 429.
     */
    BPOS_REASON_RATE_LIMITED = 12,
    /**
     * The request is allowed. 200.
     */
    BPOS_REASON_ALLOWED = 13,
} bpos_reason;

/**
 * The scopes of the built-in policy, for bpos_authorize_scope(). A policy of the host's own numbers its other scopes
 * from 12 on: ask bpos_scope_id() for them. These numbers never change and are never reused; 0 is no scope.
 */
typedef enum bpos_scope {
    /**
     * products:read: products, categories, brands, store settings.
     */
    BPOS_SCOPE_PRODUCTS_READ = 1,
    /**
     * customers:read: customer profiles, loyalty info.
     */
    BPOS_SCOPE_CUSTOMERS_READ = 2,
    /**
     * sales:read: sales history, receipts, line items.
     */
    BPOS_SCOPE_SALES_READ = 3,
    /**
     * inventory:read: stock levels, inventory adjustments.
     */
    BPOS_SCOPE_INVENTORY_READ = 4,
    /**
     * loyalty:read: loyalty tiers, rewards, transactions.
     */
    BPOS_SCOPE_LOYALTY_READ = 5,
    /**
     * gift_cards:read: gift card balances.
     */
    BPOS_SCOPE_GIFT_CARDS_READ = 6,
    /**
     * store_credits:read: store credit balances.
     */
    BPOS_SCOPE_STORE_CREDITS_READ = 7,
    /**
     * products:write: bulk-update product prices and stock. Includes products:read.
     */
    BPOS_SCOPE_PRODUCTS_WRITE = 8,
    /**
     * customers:write: create and update customer records. Includes customers:read.
     */
    BPOS_SCOPE_CUSTOMERS_WRITE = 9,
    /**
     * inventory:write: create stock adjustments. Includes inventory:read.
     */
    BPOS_SCOPE_INVENTORY_WRITE = 10,
    /**
     * webhooks:manage: create, update, and delete webhook subscriptions.
     */
    BPOS_SCOPE_WEBHOOKS_MANAGE = 11,
} bpos_scope;

/**
 * The keys of a platform, ready to decide.
 *
 * It lives from bpos_registry_open(), _init() or _from_json() until bpos_registry_close(). Any number of threads may
 * use it at once, and any of them may change it meanwhile; only closing it must come after everybody's last use. After a
 * change returns, every decision that starts later, on any thread, is made with it. A process may fork at any time: the
 * child can authorize, but counts apart, so that both together admit up to twice a limit, and neither learns what the other
 * changes before it reads the file again: see bpos_registry_reload_if_changed().
 *
 * Methods:
 *   bpos_registry_open(), bpos_registry_from_json()   make one, which bpos_registry_close() must free
 *   bpos_registry_init()                              makes the file too
 *   bpos_authorize(), bpos_authorize_scope()          decide on a request
 *   bpos_authorize_at(), bpos_authorize_scope_at()    the same at a given time
 *   bpos_scope_id()                                   the number of a scope
 *   bpos_key_create(), bpos_key_rotate()              make a key, or a new secret for one
 *   bpos_key_update()                                 changes one
 *   bpos_key_disable(), bpos_key_enable()             take one out of use, and back
 *   bpos_key_revoke(), bpos_key_remove()              end one
 *   bpos_registry_edit()                              several changes, all or none
 *   bpos_key_get(), bpos_key_list()                   what is known of one, or of all
 *   bpos_registry_reload()                            reads the file of a file registry again
 *   bpos_registry_reload_if_changed()                 the same, if it has changed
 *   bpos_registry_apply()                             feeds changes into a memory registry
 *   bpos_registry_export()                            the document in force
 *   bpos_registry_stats()                             what it has counted
 *   bpos_registry_close()                             frees it
 */
typedef struct bpos_registry bpos_registry;

/**
 * What a cold function returns: one of bpos_status_code, 0 for success. A future library may return others.
 */
typedef int32_t bpos_status;

/**
 * What went wrong in a cold function, for a program and for a person.
 *
 * The caller owns it, sets `size` to sizeof(bpos_error) and passes it to one call; it holds no pointer and needs no
 * freeing. One thread may use it at a time. Every function that takes one takes NULL too, and then says only the status.
 * A call that succeeds writes BPOS_OK and an empty message. One that is smaller than this version of the ABI has
 * it, larger than 4096 bytes, or misaligned, is BPOS_ERR_INVALID_ARGUMENT: the call does nothing and writes nothing. What
 * one of a later version has more is set to zero.
 */
typedef struct bpos_error {
    /**
     * sizeof(bpos_error), set by the caller. Not changed.
     */
    uint32_t size;
    /**
     * What the function returned.
     */
    bpos_status code;
    /**
     * What is wrong, where, and what was expected: UTF-8, NUL-terminated, cut if it is longer. Never holds a key.
     */
    char message[504];
} bpos_error;

/**
 * A text that the library allocated.
 *
 * The caller owns the struct, and the library the memory that it points to, until bpos_buffer_free(). One thread may
 * use it at a time. A function that writes one overwrites whatever it held before without freeing it, and writes
 * {NULL, 0} if it fails.
 *
 * Methods:
 *   bpos_registry_export(), bpos_registry_stats()           fill one
 *   bpos_key_create(), bpos_key_rotate()                    fill one with a new key and its record
 *   bpos_registry_edit()                                    fills one with the answers to several changes
 *   bpos_key_update(), bpos_key_get(), bpos_key_list()      fill one with records
 *   bpos_buffer_free()                                      wipes and frees it
 */
typedef struct bpos_buffer {
    /**
     * UTF-8, with a NUL behind it that `len` does not count. Not to be changed, and NULL once it is freed.
     */
    char *data;
    /**
     * How many bytes it has. Not to be changed.
     */
    size_t len;
} bpos_buffer;

/**
 * The answer to one request: what to do, why, and what to tell the client.
 *
 * The caller owns it, sets `size` to sizeof(bpos_decision) and passes it to one call, which fills it in; it holds no
 * pointer, needs no freeing, and stays valid without its registry. One thread may use it at a time. Everything that
 * the decision did not come to is zero or empty; all zero is a denial (status 0 is not 200). What one of a later version
 * has more is set to zero; a `size` over 4096 is misuse.
 *
 * Methods:
 *   bpos_authorize(), bpos_authorize_at()               fill one in, routing by method and target
 *   bpos_authorize_scope(), bpos_authorize_scope_at()   fill one in, for a scope that the host names
 *   bpos_decision_headers(), bpos_decision_body()       the answer to give to the client
 *   bpos_reason_name()                                  its reason, for logs
 */
typedef struct bpos_decision {
    /**
     * sizeof(bpos_decision), set by the caller. Not changed.
     */
    uint32_t size;
    /**
     * The HTTP status: 200 if the request is allowed; 401, 403 or 429 if not; 500 if bpos could not decide.
     */
    int32_t status;
    /**
     * Exactly why, one of bpos_reason. For the host: a client is told what bpos_decision_body() says.
     */
    uint32_t reason;
    /**
     * The scope that the operation needs; 0 if the decision did not come so far.
     */
    uint32_t required_scope;
    /**
     * The key's limit, requests in any 60 seconds, on 200 and 429; otherwise 0.
     */
    uint32_t limit;
    /**
     * How many more requests would be admitted now, after this one.
     */
    uint32_t remaining;
    /**
     * On 429: whole seconds, rounded up and at least 1, until a request will be admitted again. Otherwise 0.
     */
    uint32_t retry_after_s;
    /**
     * On 200 and 429: whole seconds, rounded up, until the oldest counted request leaves the window and one more is
     * free. Otherwise 0.
     */
    uint32_t reset_s;
    /**
     * 1 if the key is in test mode, otherwise 0. Known once the secret is proved.
     */
    uint8_t test_mode;
    /**
     * Zero.
     */
    uint8_t reserved[7];
    /**
     * The id of the key, for logs, NUL-terminated. Empty unless the client proved that it holds the secret.
     */
    char key_id[32];
    /**
     * The store that the key belongs to, NUL-terminated. Empty unless the client proved that it holds the secret. Not
     * for the client on a denial.
     */
    char store[64];
    /**
     * The name of the required scope on a 403 that tells the client of one, NUL-terminated. Otherwise empty.
     */
    char scope[64];
} bpos_decision;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The BPOS_ABI_VERSION of the library that is loaded. A program that finds another one than its own has loaded the
 * wrong library.
 */
uint32_t bpos_abi_version(void);

/**
 * The version of the library that is loaded, such as "0.1.0": the BPOS_VERSION of its header.
 *
 * Returns a text that lives as long as the library. Never NULL.
 */
const char *bpos_version(void);

/**
 * The name of a status, for logs: "ok", "io", "not_durable".
 *
 * status: any number. For one that no status has, the name is "unknown".
 *
 * Returns a text that lives as long as the library. Never NULL.
 */
const char *bpos_status_name(bpos_status status);

/**
 * The name of a reason, for logs: "rate_limited", "allowed".
 *
 * reason: any number. For one that no reason has, the name is "internal".
 *
 * Returns a text that lives as long as the library. Never NULL.
 */
const char *bpos_reason_name(uint32_t reason);

/**
 * What a client may be told of a reason: the `code` of the body, for hosts that write a body of their own. It is the
 * reason's name, but "invalid_key" for unknown_key, wrong_store and malformed_key, which a client must not tell apart.
 *
 * reason: any number. For one that no reason has, the code is "internal".
 *
 * Returns a text that lives as long as the library. Never NULL.
 */
const char *bpos_reason_code(uint32_t reason);

/**
 * Opens a registry file. Changes through the bpos_key functions are written to it; those that others write to it are
 * seen by bpos_registry_reload() and bpos_registry_reload_if_changed(), and before each change.
 *
 * path, path_len: of the registry document. NULL is misuse.
 * options_json, options_json_len: a JSON object such as {"policy": {...}, "read_only": true}, both optional; NULL and 0
 *   for the defaults.
 * out: set to the registry, which the caller owns and frees with bpos_registry_close(); to NULL on failure. NULL is misuse.
 * error: may be NULL.
 *
 * Returns BPOS_OK; BPOS_ERR_IO if the file cannot be read; BPOS_ERR_PERMISSION if others may write it; BPOS_ERR_FORMAT,
 * BPOS_ERR_CONFLICT or BPOS_ERR_LIMIT if it is no sound registry document, or the options are not.
 */
bpos_status bpos_registry_open(const char *path,
                               size_t path_len,
                               const char *options_json,
                               size_t options_json_len,
                               struct bpos_registry **out,
                               struct bpos_error *error);

/**
 * Makes a registry file without keys, which must not exist yet, and opens it as bpos_registry_open() does. The file
 * belongs to this process's user, who alone may read and write it.
 *
 * path, path_len: of the registry document to make. NULL is misuse.
 * options_json, options_json_len: as with bpos_registry_open().
 * out: set to the registry, which the caller owns and frees with bpos_registry_close(); to NULL on failure. NULL is misuse.
 * error: may be NULL.
 *
 * Returns BPOS_OK; BPOS_ERR_CONFLICT if such a file exists; otherwise as bpos_registry_open().
 */
bpos_status bpos_registry_init(const char *path,
                               size_t path_len,
                               const char *options_json,
                               size_t options_json_len,
                               struct bpos_registry **out,
                               struct bpos_error *error);

/**
 * Makes a memory registry from a document: the host's own database is the source of truth, and feeds changes in with
 * bpos_registry_apply(). Nothing is ever written: what the bpos_key functions change is to be had from
 * bpos_registry_export(), and gone with the registry.
 *
 * json, json_len: the registry document. NULL is misuse.
 * options_json, options_json_len: as with bpos_registry_open().
 * out: set to the registry, which the caller owns and frees with bpos_registry_close(); to NULL on failure. NULL is misuse.
 * error: may be NULL.
 *
 * Returns BPOS_OK; BPOS_ERR_FORMAT, BPOS_ERR_CONFLICT or BPOS_ERR_LIMIT if the document or the options are not sound.
 */
bpos_status bpos_registry_from_json(const char *json,
                                    size_t json_len,
                                    const char *options_json,
                                    size_t options_json_len,
                                    struct bpos_registry **out,
                                    struct bpos_error *error);

/**
 * Reads the registry file again and decides by it from now on. All or nothing: after a failure, what was in force stays.
 * Keys whose id stays keep their window and their counts; a key that was revoked here stays revoked.
 *
 * registry: a file registry. NULL is misuse.
 * error: may be NULL.
 *
 * Returns BPOS_OK; a status as from bpos_registry_open(); BPOS_ERR_STALE if the file's revision is lower than the one in
 * force; BPOS_ERR_INVALID_ARGUMENT for a memory registry.
 */
bpos_status bpos_registry_reload(struct bpos_registry *registry,
                                 struct bpos_error *error);

/**
 * Reads the registry file again if it has changed since it was last read or written here, which one call to the operating
 * system finds out: for hosts that ask before each request. After it has returned BPOS_OK, decisions are made by what the
 * file said when it was called, or by something newer. It waits only where the file has changed, and then for another thread
 * of this process that is reading or writing it. Otherwise it is as bpos_registry_reload().
 *
 * registry: a file registry. NULL is misuse.
 * changed: set to 1 if the file had changed, and is in force now; to 0 if it had not, and on failure. May be NULL.
 * error: may be NULL.
 *
 * Returns BPOS_OK, whether or not it had changed; a status as from bpos_registry_reload(), and then the next call tries
 * again.
 */
bpos_status bpos_registry_reload_if_changed(struct bpos_registry *registry,
                                            uint8_t *changed,
                                            struct bpos_error *error);

/**
 * Feeds changes into a memory registry. All or nothing: if one record is refused, none is applied.
 *
 * registry: a memory registry. NULL is misuse.
 * records_json, records_json_len: a JSON array of records, each as in the registry document. A record with a known id
 *   replaces the one before, and keeps its window; others are added. NULL is misuse.
 * error: may be NULL.
 *
 * Returns BPOS_OK; BPOS_ERR_FORMAT or BPOS_ERR_LIMIT for a malformed record; BPOS_ERR_CONFLICT for a duplicate id or
 * digest, or a revoked key brought back; BPOS_ERR_INVALID_ARGUMENT for a file registry; BPOS_ERR_READ_ONLY for a
 * read-only one.
 */
bpos_status bpos_registry_apply(struct bpos_registry *registry,
                                const char *records_json,
                                size_t records_json_len,
                                struct bpos_error *error);

/**
 * Gives the registry document that is in force, as JSON. It holds digests, and no key.
 *
 * registry: NULL is misuse.
 * out: set to the document, which the caller frees with bpos_buffer_free(); to {NULL, 0} on failure. NULL is misuse.
 * error: may be NULL.
 *
 * Returns BPOS_OK; BPOS_ERR_LIMIT if there is no memory for it.
 */
bpos_status bpos_registry_export(const struct bpos_registry *registry,
                                 struct bpos_buffer *out,
                                 struct bpos_error *error);

/**
 * Gives what the registry has counted, as a JSON object: {"keys": 3, "revision": 12, "allowed": 70, "denied":
 * {"internal": 0, "key_in_url": 2, ...}}. Reads the counters of every key, so its cost grows with them.
 *
 * registry: NULL is misuse.
 * out: set to the object, which the caller frees with bpos_buffer_free(); to {NULL, 0} on failure. NULL is misuse.
 * error: may be NULL.
 *
 * Returns BPOS_OK; BPOS_ERR_LIMIT if there is no memory for it.
 */
bpos_status bpos_registry_stats(const struct bpos_registry *registry,
                                struct bpos_buffer *out,
                                struct bpos_error *error);

/**
 * Frees a registry. No thread may use it any more, nor after this.
 *
 * registry: NULL does nothing.
 */
void bpos_registry_close(struct bpos_registry *registry);

/**
 * The number of a scope of the registry's policy, for bpos_authorize_scope(). Ask once and keep it.
 *
 * registry: NULL has no scopes.
 * name, name_len: the whole name, such as "products:read". NULL is no scope's.
 *
 * Returns the number, or 0 if there is no such scope.
 */
uint32_t bpos_scope_id(const struct bpos_registry *registry, const char *name, size_t name_len);

/**
 * Decides on a request by its method and target, now. Takes no lock, and allocates only at a key's first use: for that
 * reason it must not be called from a signal handler.
 *
 * registry: decides. NULL is misuse.
 * api_key, api_key_len: the value of the X-API-Key header as it was received. NULL and 0 if there is none.
 * store, store_len: the store that the request is for, such as the host name's first label. NULL and 0 leave that check
 *   out; a store that is there but empty matches no key.
 * method, method_len: such as "GET". NULL and 0 match no route.
 * target, target_len: the request target as it was received, path and query, not decoded. NULL and 0 match no route.
 * out: filled in, whatever the outcome, if it is neither NULL nor misaligned and its `size` is right; otherwise that is
 *   misuse and nothing is written.
 *
 * A text is (pointer, length) and need not end with a NUL. NULL with a length that is not 0 is misuse. All arguments
 * stay the caller's and are not used after the call.
 *
 * Returns the HTTP status, the same as out->status: 200 if the request is allowed, and only then; 401, 403 or 429 if it
 * is not; 500 after misuse, or if bpos could not decide.
 */
int32_t bpos_authorize(const struct bpos_registry *registry,
                       const char *api_key,
                       size_t api_key_len,
                       const char *store,
                       size_t store_len,
                       const char *method,
                       size_t method_len,
                       const char *target,
                       size_t target_len,
                       struct bpos_decision *out);

/**
 * Decides on a request whose scope the host names, now: for hosts that route by themselves. The operation counts as
 * writing if the scope does. Everything else is as with bpos_authorize(), but the request target is not known, so a key
 * in a URL is the host's to refuse.
 *
 * scope: one of bpos_scope, or from bpos_scope_id(). A number that the registry's policy does not have is 500.
 *
 * Returns the HTTP status, as bpos_authorize().
 */
int32_t bpos_authorize_scope(const struct bpos_registry *registry,
                             const char *api_key,
                             size_t api_key_len,
                             const char *store,
                             size_t store_len,
                             uint32_t scope,
                             struct bpos_decision *out);

/**
 * Like bpos_authorize(), at a given time: for tests and replays. Times of all functions must come from the same clocks: a
 * monotonic time before the key's last admission counts as that one.
 *
 * unix_ms: milliseconds since 1970-01-01T00:00:00Z. Decides whether a key has expired, and nothing else.
 * monotonic_us: microseconds on a clock that never goes back and counts suspended time. Decides the rate limit, and
 *   nothing else. More than 2^48 - 2 is 500.
 *
 * Returns the HTTP status, as bpos_authorize().
 */
int32_t bpos_authorize_at(const struct bpos_registry *registry,
                          const char *api_key,
                          size_t api_key_len,
                          const char *store,
                          size_t store_len,
                          const char *method,
                          size_t method_len,
                          const char *target,
                          size_t target_len,
                          int64_t unix_ms,
                          uint64_t monotonic_us,
                          struct bpos_decision *out);

/**
 * Like bpos_authorize_scope(), at a given time: for tests and replays. The times are as with bpos_authorize_at().
 *
 * Returns the HTTP status, as bpos_authorize().
 */
int32_t bpos_authorize_scope_at(const struct bpos_registry *registry,
                                const char *api_key,
                                size_t api_key_len,
                                const char *store,
                                size_t store_len,
                                uint32_t scope,
                                int64_t unix_ms,
                                uint64_t monotonic_us,
                                struct bpos_decision *out);

/**
 * Writes the headers for the answer, each as "Name: value" and CR LF: WWW-Authenticate on 401, Retry-After on 429,
 * RateLimit-Policy and RateLimit on 200 and 429, and on a denial the Content-Type of the body.
 *
 * decision: one that was filled in. One that no decision can be, NULL and one with a wrong `size` are answered as 500.
 * buf, cap: where to write, and how many bytes fit. If cap is not 0, a NUL ends what is written, and what does not fit
 *   before it is left out. NULL and 0 only ask for the length; NULL with another cap is misuse.
 *
 * Returns the length of the whole, without the NUL: if it is not less than cap, something was left out. After misuse 0, and
 * nothing is written.
 */
size_t bpos_decision_headers(const struct bpos_decision *decision,
                             char *buf,
                             size_t cap);

/**
 * Writes the body for the answer: on a denial an RFC 9457 problem in JSON, UTF-8; when the request is allowed, nothing.
 * It tells the client no more than it may know.
 *
 * decision, buf, cap: as with bpos_decision_headers().
 *
 * Returns the length of the whole, without the NUL, as bpos_decision_headers().
 */
size_t bpos_decision_body(const struct bpos_decision *decision,
                          char *buf,
                          size_t cap);

/**
 * Creates a key. The answer holds its plaintext, which is nowhere else and cannot be had again: give it to whoever asked
 * for the key, and free the buffer, which wipes it. Copies that the caller makes of it are the caller's to wipe.
 *
 * registry: NULL is misuse.
 * spec_json, spec_json_len: a JSON object with the key's name, store and scopes, and if wanted rate_limit (1 to 1000;
 *   60), expires_at (null) and test_mode (false): {"name": "Website Sync", "store": "yourstore", "scopes":
 *   ["products:read"], "rate_limit": 120, "expires_at": "2030-01-01T00:00:00Z", "test_mode": false}. NULL is misuse.
 * out: set to {"key": "bpos_...", "record": {...}}, the record as from bpos_key_get(), which the caller frees with
 *   bpos_buffer_free(); to {NULL, 0} on failure. NULL is misuse.
 * error: may be NULL.
 *
 * Returns BPOS_OK, and then the key is admitted by every decision that starts later, and is in the file of a file
 * registry; BPOS_ERR_FORMAT if the spec is not as above; BPOS_ERR_LIMIT if the registry has 2,000,000 keys;
 * BPOS_ERR_READ_ONLY for a read-only registry; BPOS_ERR_IO or another status of bpos_registry_reload() if the file could
 * not be read or written. After these nothing has changed. BPOS_ERR_NOT_DURABLE if the file was written but may be lost
 * should the machine stop now: the key is not in force here until the file is read again, and since nobody knows its
 * plaintext, find it with bpos_key_list(), revoke it and create another.
 */
bpos_status bpos_key_create(struct bpos_registry *registry,
                            const char *spec_json,
                            size_t spec_json_len,
                            struct bpos_buffer *out,
                            struct bpos_error *error);

/**
 * Changes parts of a key: its name, scopes, limit, expiry or mode, or whether it is enabled. What was admitted still
 * counts: a limit changes live.
 *
 * registry: NULL is misuse.
 * id, id_len: of the key. NULL is misuse.
 * patch_json, patch_json_len: a JSON object with the members to change: name, scopes (in the place of all it had),
 *   rate_limit, expires_at (null for none), test_mode, enabled. {"enabled": false} disables the key, and {"enabled": true}
 *   enables it again. NULL is misuse.
 * out: set to the record as it is then, as from bpos_key_get(), which the caller frees with bpos_buffer_free(); to
 *   {NULL, 0} on failure. NULL is misuse.
 * error: may be NULL.
 *
 * Returns BPOS_OK, and then the change is in force for every decision that starts later, and is in the file of a file
 * registry; BPOS_ERR_NOT_FOUND if no key has the id; BPOS_ERR_CONFLICT if the key is revoked; BPOS_ERR_FORMAT if the
 * patch is not as above; BPOS_ERR_READ_ONLY for a read-only registry; BPOS_ERR_IO or another status of
 * bpos_registry_reload() if the file could not be read or written. After these nothing has changed. BPOS_ERR_NOT_DURABLE
 * if it is not sure that the file has the change: what it takes away (disabling, a lower limit, an earlier expiry, test
 * mode, fewer scopes) is in force in this process all the same, stays so when the file is read again, and is written with
 * the next change; what it grants is not in force. Other processes, and this one after a restart, may decide by the old
 * record: free the disk or mend the folder, and change the key again.
 */
bpos_status bpos_key_update(struct bpos_registry *registry,
                            const char *id,
                            size_t id_len,
                            const char *patch_json,
                            size_t patch_json_len,
                            struct bpos_buffer *out,
                            struct bpos_error *error);

/**
 * Gives a key another secret. Its id, its limit and what it has counted stay. The answer holds the plaintext, as with
 * bpos_key_create().
 *
 * registry: NULL is misuse.
 * id, id_len: of the key. NULL is misuse.
 * grace_s: for how many more seconds the secret before works too, at most 31,622,400 (366 days) and never past the key's
 *   expiry; 0 ends it at once. Both share the key's limit. A secret that was still in grace from an earlier rotation
 *   stops working.
 * out: set to {"key": "bpos_...", "record": {...}}, the record as from bpos_key_get(), which the caller frees with
 *   bpos_buffer_free(); to {NULL, 0} on failure. NULL is misuse.
 * error: may be NULL.
 *
 * Returns BPOS_OK, and then the new secret is admitted by every decision that starts later, and is in the file of a file
 * registry; BPOS_ERR_NOT_FOUND if no key has the id; BPOS_ERR_CONFLICT if the key is revoked or expired; BPOS_ERR_LIMIT
 * if the grace is too long; BPOS_ERR_READ_ONLY for a read-only registry; BPOS_ERR_IO or another status of
 * bpos_registry_reload() if the file could not be read or written. After these nothing has changed: the secret before
 * goes on working. BPOS_ERR_NOT_DURABLE if the file was written but may be lost should the machine stop now: the secret
 * before goes on working here until the file is read again, and since nobody knows the new one, rotate the key again.
 */
bpos_status bpos_key_rotate(struct bpos_registry *registry,
                            const char *id,
                            size_t id_len,
                            uint64_t grace_s,
                            struct bpos_buffer *out,
                            struct bpos_error *error);

/**
 * Revokes a key, for good: nothing enables it again. A key that is revoked already stays as it is.
 *
 * registry: NULL is misuse.
 * id, id_len: of the key. NULL is misuse.
 * error: may be NULL.
 *
 * Returns BPOS_OK, and then every decision that starts later denies the key, and the file of a file registry says so;
 * BPOS_ERR_NOT_FOUND if no key has the id; BPOS_ERR_READ_ONLY for a read-only registry: after these nothing has changed.
 * BPOS_ERR_NOT_DURABLE if it is not sure that the file says so: the key is denied in this process all the same, stays so
 * when the file is read again, and is written with the next change. Other processes, and this one after a restart, may
 * still admit it: free the disk or mend the folder, and revoke it again. BPOS_ERR_IO or another status of
 * bpos_registry_reload() if the key was revoked before, on file too, and the file could not be read or written.
 */
bpos_status bpos_key_revoke(struct bpos_registry *registry,
                            const char *id,
                            size_t id_len,
                            struct bpos_error *error);

/**
 * Takes a key out of use until bpos_key_enable(). One that is disabled already stays so.
 *
 * registry: NULL is misuse.
 * id, id_len: of the key. NULL is misuse.
 * error: may be NULL.
 *
 * Returns BPOS_OK, and then every decision that starts later denies the key; otherwise as bpos_key_update().
 */
bpos_status bpos_key_disable(struct bpos_registry *registry,
                             const char *id,
                             size_t id_len,
                             struct bpos_error *error);

/**
 * Puts a key that was disabled back into use. One that is enabled already stays so.
 *
 * registry: NULL is misuse.
 * id, id_len: of the key. NULL is misuse.
 * error: may be NULL.
 *
 * Returns as bpos_key_update().
 */
bpos_status bpos_key_enable(struct bpos_registry *registry,
                            const char *id,
                            size_t id_len,
                            struct bpos_error *error);

/**
 * Forgets a key that is revoked or expired. Its secret is unknown from then on, which is denied as well.
 *
 * registry: NULL is misuse.
 * id, id_len: of the key. NULL is misuse.
 * error: may be NULL.
 *
 * Returns BPOS_OK, and then the record is gone, and from the file of a file registry too; BPOS_ERR_NOT_FOUND if no key
 * has the id; BPOS_ERR_CONFLICT if the key is neither revoked nor expired; BPOS_ERR_READ_ONLY for a read-only registry;
 * BPOS_ERR_IO or another status of bpos_registry_reload() if the file could not be read or written. After these nothing
 * has changed. BPOS_ERR_NOT_DURABLE if the file could not be written and the key had only expired: it is revoked in this
 * process now; or if the file was written but may be lost should the machine stop now: the record stays here until the
 * file is read again. It is denied as before in both.
 */
bpos_status bpos_key_remove(struct bpos_registry *registry,
                            const char *id,
                            size_t id_len,
                            struct bpos_error *error);

/**
 * Makes several changes to keys together: all or none, and one write for all. Each sees those before it.
 *
 * registry: NULL is misuse.
 * changes_json, changes_json_len: a JSON array of at most 100,000 objects, each with one member that names the change:
 *   [{"create": {...spec...}}, {"update": {"id": "key_...", "patch": {...}}}, {"rotate": {"id": "key_...", "grace_s": 60}},
 *   {"revoke": "key_..."}, {"disable": "key_..."}, {"enable": "key_..."}, {"remove": "key_..."}], the specs and patches as
 *   with bpos_key_create() and bpos_key_update(). NULL is misuse.
 * out: set to a JSON array with an answer for each change in its order: {"key": "bpos_...", "record": {...}} for create
 *   and rotate, the record for update, null for the others. It can hold keys: free it with bpos_buffer_free(), which wipes
 *   it. {NULL, 0} on failure. NULL is misuse.
 * error: may be NULL. The message of a change that is refused begins with its number, counted from 1.
 *
 * Returns BPOS_OK, and then all of it is in force for every decision that starts later, and is in the file of a file
 * registry; otherwise as the function of the change that is refused. What the changes take away is in force first, and
 * stays so after BPOS_ERR_NOT_DURABLE, as with bpos_key_update().
 */
bpos_status bpos_registry_edit(struct bpos_registry *registry,
                               const char *changes_json,
                               size_t changes_json_len,
                               struct bpos_buffer *out,
                               struct bpos_error *error);

/**
 * Gives a key's record, as JSON: {"id": "key_...", "name": "Website Sync", "store": "yourstore", "hint": "bpos_abc1",
 * "scopes": ["products:read"], "rate_limit": 120, "expires_at": null, "test_mode": false, "enabled": true, "created_at":
 * "2026-11-24T00:00:00Z", "revoked_at": null, "retiring_until": null, "usage": {"last_used_at": null, "allowed": 0,
 * "denied": {"revoked_key": 0, ...}}}. It holds neither the key nor its digest. retiring_until is the end of grace of the
 * secret before the last rotation; usage is what this process has counted. Members may be added.
 *
 * registry: NULL is misuse.
 * id, id_len: of the key. NULL is misuse.
 * out: set to the record, which the caller frees with bpos_buffer_free(); to {NULL, 0} on failure. NULL is misuse.
 * error: may be NULL.
 *
 * Returns BPOS_OK; BPOS_ERR_NOT_FOUND if no key has the id; BPOS_ERR_LIMIT if there is no memory for the answer.
 */
bpos_status bpos_key_get(const struct bpos_registry *registry,
                         const char *id,
                         size_t id_len,
                         struct bpos_buffer *out,
                         struct bpos_error *error);

/**
 * Gives the records of a store's keys, or of all, as a JSON array in the order of the document. Each is as from
 * bpos_key_get(). Its cost grows with the registry, not only with the answer.
 *
 * registry: NULL is misuse.
 * store, store_len: the store's whole name. NULL and 0 for all stores; a store that is there but empty has no key, and
 *   neither has one that is not UTF-8.
 * out: set to the array, which the caller frees with bpos_buffer_free(); to {NULL, 0} on failure. NULL is misuse.
 * error: may be NULL.
 *
 * Returns BPOS_OK, for no key too: the array is empty then; BPOS_ERR_LIMIT if there is no memory for the answer.
 */
bpos_status bpos_key_list(const struct bpos_registry *registry,
                          const char *store,
                          size_t store_len,
                          struct bpos_buffer *out,
                          struct bpos_error *error);

/**
 * Wipes and frees what a buffer holds, and makes it {NULL, 0}. The struct itself is the caller's.
 *
 * buffer: one that the library filled, or {NULL, 0}. NULL does nothing, and neither does a second call.
 */
void bpos_buffer_free(struct bpos_buffer *buffer);

/**
 * Masks every API key in a text, percent-encoded ones too: what stays of each is "bpos_" and the next four
 * characters, and then asterisks. For log lines, in place; the length stays.
 *
 * text, len: the text, which need not be UTF-8 and need not end with a NUL. NULL masks nothing.
 *
 * Returns how many keys there were.
 */
size_t bpos_redact(char *text, size_t len);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* BPOS_H */
