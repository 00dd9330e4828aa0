/*
 * bpos: an embedded authority for API keys. One call, one answer: 200, 401, 403 or 429.
 *
 * Generated from the library's source. Do not edit: change src/ffi, and run `make header`.
 *
 * The rules that hold for every function:
 *
 * - A text is a pointer and a length, and need not end with a NUL. (NULL, 0) is an absent text; a pointer with length 0
 *   is an empty one; (NULL, n) is misuse, and so is a length over PTRDIFF_MAX.
 * - A NULL or misaligned pointer where that is not allowed is misuse. Misuse is never undefined: the answer is 500,
 *   BPOS_ERR_INVALID_ARGUMENT, 0 or nothing. Any other pointer must point to what the documentation says.
 * - Arguments stay the caller's and are not used after the call.
 * - bpos_decision and bpos_error begin with `size`: set it to sizeof before the call. They only ever grow at the end, so
 *   programs and libraries of different versions work together: fields that the library does not know are set to zero, and
 *   no more than `size` bytes are written. At most 4096 bytes.
 * - No function may be called from a signal handler. A thread may be cancelled (pthread_cancel) with the default, deferred
 *   type: functions that wait for a file or a lock defer it until they return, and the others are not cancellation points.
 * - const means: not changed, and may be shared. A bpos_registry is safe to use from any thread at once.
 * - Nothing unwinds or jumps into the caller, and errno has no meaning. The library spawns no thread, installs no signal
 *   handler and writes to neither stdout nor stderr.
 * - Numbers are never reused. Treat an unknown one as an error, or as a denial.
 *
 * examples/authorize.c and examples/keys.c are complete programs.
 */


/**
 * The values of a bpos_status. These numbers never change and are never reused.
 *
 * Methods:
 *   bpos_status_name()   the name of one, for logs
 */
typedef enum bpos_status_code {
    /**
     * Success.
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
     * A document does not follow its format. The message names the key, the member, line and column.
     */
    BPOS_ERR_FORMAT = 3,
    /**
     * No key has that id.
     */
    BPOS_ERR_NOT_FOUND = 4,
    /**
     * The change contradicts what is in force: a duplicate id or digest, or a revoked key brought back.
     */
    BPOS_ERR_CONFLICT = 5,
    /**
     * The registry file is writable by others, or belongs to another user.
     */
    BPOS_ERR_PERMISSION = 6,
    /**
     * The change may not survive: it is not certain that the registry file keeps it. What it takes away is in force in
     * this process; what it grants is not. bpos_error's message and `in_file` say whether the file has it.
     */
    BPOS_ERR_NOT_DURABLE = 7,
    /**
     * The registry was opened read-only.
     */
    BPOS_ERR_READ_ONLY = 8,
    /**
     * The document is older (its revision is lower) than the one in force.
     */
    BPOS_ERR_STALE = 9,
    /**
     * Something is larger than its stated maximum, or memory ran out.
     */
    BPOS_ERR_LIMIT = 10,
    /**
     * bpos panicked; this is a bug in bpos. The registry can still be used.
     */
    BPOS_ERR_PANIC = 11,
} bpos_status_code;

/**
 * Why a request was denied, in the order of the checks: the first that fails decides. The `reason` of a
 * bpos_decision. These numbers never change and are never reused; a future library may have others.
 *
 * Methods:
 *   bpos_reason_name()   the name of one, for logs
 *   bpos_reason_code()   what a client may be told about it
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
     * The key was revoked, permanently. 401.
     */
    BPOS_REASON_REVOKED_KEY = 5,
    /**
     * The key is disabled. 401.
     */
    BPOS_REASON_DISABLED_KEY = 6,
    /**
     * The key, or the grace period of its previous secret, has expired. 401.
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
 * The scopes of the built-in policy, for bpos_authorize_scope(). Other scopes of a custom policy have numbers from 12
 * on: bpos_scope_id() gives them. These numbers never change and are never reused; 0 is no scope.
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
 * The keys of a platform, ready to decide on requests.
 *
 * It lives from bpos_registry_open(), _init() or _from_json() until bpos_registry_close(). Any number of threads may
 * use and change it at once; only bpos_registry_close() must come after the last use on every thread. Once a change
 * returns, every decision that starts later, on any thread, uses it. On Linux, all processes that open one file share it,
 * unless an option says otherwise: together they admit a key as often as its limit says, and once a change returns in one,
 * it is in force in all. A process may fork at any time. Parent and child of a registry that is not shared count apart, and
 * neither sees the other's changes until it reads the file again: see bpos_registry_reload_if_changed().
 *
 * Methods:
 *   bpos_registry_open(), bpos_registry_from_json()   make one, to be freed with bpos_registry_close()
 *   bpos_registry_init()                              creates the file too
 *   bpos_authorize(), bpos_authorize_scope()          decide on a request
 *   bpos_authorize_at(), bpos_authorize_scope_at()    the same at a given time
 *   bpos_scope_id()                                   the number of a scope
 *   bpos_key_create(), bpos_key_rotate()              make a key, or a new secret for one
 *   bpos_key_update()                                 changes one
 *   bpos_key_disable(), bpos_key_enable()             disable one, and enable it again
 *   bpos_key_revoke(), bpos_key_remove()              revoke one permanently, or remove its record
 *   bpos_registry_edit()                              several changes, all or none
 *   bpos_key_get(), bpos_key_list()                   the record of one, or of all
 *   bpos_key_list_page()                              the records of some, and then of the next
 *   bpos_registry_reload()                            reads a file registry's file again
 *   bpos_registry_reload_if_changed()                 the same, if it has changed
 *   bpos_registry_apply()                             applies changes to a memory registry
 *   bpos_registry_export()                            the document in force
 *   bpos_registry_stats()                             what it has counted
 *   bpos_registry_close()                             frees it
 */
typedef struct bpos_registry bpos_registry;

/**
 * What a function that can fail returns: one of bpos_status_code, 0 for success. A future library may return others.
 */
typedef int32_t bpos_status;

/**
 * Details of a failure, for a program and for a person.
 *
 * The caller owns it, sets `size` to sizeof(bpos_error) and passes it to one call; it holds no pointer and needs no
 * freeing. One thread may use it at a time. Every function that takes one takes NULL too, and then returns only the
 * status. A call that succeeds writes BPOS_OK, an empty message and zeros. With a `size` below 512 or over 4096, or a
 * misaligned struct, the call returns BPOS_ERR_INVALID_ARGUMENT, does nothing and writes nothing. No more than `size`
 * bytes are written; fields of a newer header than this library's are set to zero.
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
    /**
     * The line of the document that is wrong, counted from 1. 0 if the error is not about a place in a document.
     */
    uint32_t line;
    /**
     * The column in that line, counted from 1, in bytes: where the wrong value ends, or where an array or object begins.
     * 0 if the error is not about a place in a document.
     */
    uint32_t column;
    /**
     * On BPOS_ERR_NOT_DURABLE: 1 if the registry file has the change, but may lose it if the machine stops now; 0 if the
     * change was not written. 0 for every other code.
     */
    uint32_t in_file;
} bpos_error;

/**
 * A text that the library allocated.
 *
 * The caller owns the struct; the library owns the memory that it points to, until bpos_buffer_free(). One thread may use
 * it at a time. A function that fills one does not free what it held before, and writes {NULL, 0} if it fails.
 *
 * Methods:
 *   bpos_registry_export(), bpos_registry_stats()           fill one
 *   bpos_key_create(), bpos_key_rotate()                    fill one with a new key and its record
 *   bpos_registry_edit()                                    fills one with the answers to several changes
 *   bpos_key_update(), bpos_key_get(), bpos_key_list()      fill one with records
 *   bpos_key_list_page()                                    fills one with some records
 *   bpos_buffer_free()                                      wipes and frees it
 */
typedef struct bpos_buffer {
    /**
     * UTF-8, followed by a NUL that `len` does not count. Do not change it. NULL once it is freed.
     */
    char *data;
    /**
     * Its length in bytes. Do not change it.
     */
    size_t len;
} bpos_buffer;

/**
 * The answer to one request: what to do, why, and what to tell the client.
 *
 * The caller owns it, sets `size` to sizeof(bpos_decision) and passes it to one call, which fills it in; it holds no
 * pointer, needs no freeing, and stays valid after its registry is closed. One thread may use it at a time. Fields that
 * the decision did not reach are zero or empty; all zero is a denial (status 0 is not 200). Fields of a newer header than
 * this library's are set to zero; a `size` over 4096 is misuse.
 *
 * Methods:
 *   bpos_authorize(), bpos_authorize_at()               fill one in, routing by method and target
 *   bpos_authorize_scope(), bpos_authorize_scope_at()   fill one in, for a scope that the host names
 *   bpos_decision_headers(), bpos_decision_body()       the answer to send to the client
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
     * The exact reason, one of bpos_reason. For the host only: send a client what bpos_decision_body() gives.
     */
    uint32_t reason;
    /**
     * The scope that the operation needs; 0 if the decision did not get that far.
     */
    uint32_t required_scope;
    /**
     * The key's limit, in requests in any 60 seconds, on 200 and 429; otherwise 0.
     */
    uint32_t limit;
    /**
     * How many more requests would be allowed now, after this one.
     */
    uint32_t remaining;
    /**
     * On 429: whole seconds, rounded up and at least 1, until a request will be allowed again. Otherwise 0.
     */
    uint32_t retry_after_s;
    /**
     * On 200 and 429: whole seconds, rounded up, until the oldest counted request leaves the window and frees a slot.
     * Otherwise 0.
     */
    uint32_t reset_s;
    /**
     * 1 if the key is in test mode, otherwise 0. Known once the client has proved that it holds the secret.
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
     * The store that the key belongs to, NUL-terminated. Empty unless the client proved that it holds the secret. On a
     * denial, do not show it to the client.
     */
    char store[64];
    /**
     * The name of the required scope, NUL-terminated, on a 403 whose body names it. Otherwise empty.
     */
    char scope[64];
} bpos_decision;

/**
 * The BPOS_ABI_VERSION of the loaded library. If it differs from the header's, the program has loaded the wrong
 * library.
 */
uint32_t bpos_abi_version(void);

/**
 * The version of the loaded library, such as "0.1.0": the BPOS_VERSION of its header.
 *
 * Returns a static string. Never NULL.
 */
const char *bpos_version(void);

/**
 * The name of a status, for logs: "ok", "io", "not_durable".
 *
 * status: any number. The name of an unknown one is "unknown".
 *
 * Returns a static string. Never NULL.
 */
const char *bpos_status_name(bpos_status status);

/**
 * The name of a reason, for logs: "rate_limited", "allowed".
 *
 * reason: any number. The name of an unknown one is "internal".
 *
 * Returns a static string. Never NULL.
 */
const char *bpos_reason_name(uint32_t reason);

/**
 * What a client may be told about a reason: the `code` of the body, for hosts that write their own body. It is the
 * reason's name, except that unknown_key, wrong_store and malformed_key all become "invalid_key": a client must not be
 * able to tell them apart.
 *
 * reason: any number. The code of an unknown one is "internal".
 *
 * Returns a static string. Never NULL.
 */
const char *bpos_reason_code(uint32_t reason);

/**
 * Opens a registry file. Changes made with the bpos_key functions are written to it. Changes that other processes make are
 * in force at once if they share the registry; otherwise they are read by bpos_registry_reload() and
 * bpos_registry_reload_if_changed(), and before each change.
 *
 * path, path_len: of the registry document. NULL is misuse.
 * options_json, options_json_len: a JSON object such as {"policy": {...}, "read_only": true, "shared": false}, each
 *   optional; NULL and 0 for the defaults. "shared" is true, false, or {"dir": "..."}, the folder of the memory that the
 *   processes share, in place of /dev/shm. All that open one file must say the same. It makes the files NAME.shared,
 *   NAME.lock and NAME.queue beside it.
 * out: set to the registry, which the caller owns and frees with bpos_registry_close(); to NULL on failure. NULL is misuse.
 * error: may be NULL.
 *
 * Returns BPOS_OK; BPOS_ERR_IO if the file cannot be read, or this process cannot share it: the text says why;
 * BPOS_ERR_PERMISSION if others may write to the file, or to what is shared; BPOS_ERR_STALE if the file is older than what
 * is in force in the processes that share it; BPOS_ERR_FORMAT, BPOS_ERR_CONFLICT or BPOS_ERR_LIMIT if the document or the
 * options are not valid.
 */
bpos_status bpos_registry_open(const char *path,
                               size_t path_len,
                               const char *options_json,
                               size_t options_json_len,
                               struct bpos_registry **out,
                               struct bpos_error *error);

/**
 * Creates a registry file without keys, which must not exist yet, and opens it as bpos_registry_open() does. The file
 * belongs to this process's user, and only that user may read and write it.
 *
 * path, path_len: of the registry document to create. NULL is misuse.
 * options_json, options_json_len: as with bpos_registry_open().
 * out: set to the registry, which the caller owns and frees with bpos_registry_close(); to NULL on failure. NULL is misuse.
 * error: may be NULL.
 *
 * Returns BPOS_OK; BPOS_ERR_CONFLICT if the file exists already; otherwise as bpos_registry_open().
 */
bpos_status bpos_registry_init(const char *path,
                               size_t path_len,
                               const char *options_json,
                               size_t options_json_len,
                               struct bpos_registry **out,
                               struct bpos_error *error);

/**
 * Makes a memory registry from a document: the host's own database is the source of truth, and the host passes its
 * changes to bpos_registry_apply(). Nothing is ever written: changes made with the bpos_key functions are lost with the
 * registry; use bpos_registry_export() to get them.
 *
 * json, json_len: the registry document. NULL is misuse.
 * options_json, options_json_len: as with bpos_registry_open().
 * out: set to the registry, which the caller owns and frees with bpos_registry_close(); to NULL on failure. NULL is misuse.
 * error: may be NULL.
 *
 * Returns BPOS_OK; BPOS_ERR_FORMAT, BPOS_ERR_CONFLICT or BPOS_ERR_LIMIT if the document or the options are not valid.
 */
bpos_status bpos_registry_from_json(const char *json,
                                    size_t json_len,
                                    const char *options_json,
                                    size_t options_json_len,
                                    struct bpos_registry **out,
                                    struct bpos_error *error);

/**
 * Reads the registry file again and decides by it from then on. All or nothing: after a failure nothing has changed. Keys
 * that are still in the file keep their window and their counts; a key that was revoked here stays revoked.
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
 * Reads the registry file again if it has changed since it was last read or written here. The check is one call to the
 * operating system, so a host can make it before each request. After BPOS_OK, decisions use what the file said at the
 * call, or something newer. It waits only if the file has changed, and then only for another thread of this process that is
 * reading or writing it. Otherwise it is as bpos_registry_reload().
 *
 * registry: a file registry. NULL is misuse.
 * changed: set to 1 if the file had changed and is in force now; to 0 if it had not, and on failure. May be NULL.
 * error: may be NULL.
 *
 * Returns BPOS_OK, whether or not it had changed; or a status as from bpos_registry_reload(): then the next call tries
 * again.
 */
bpos_status bpos_registry_reload_if_changed(struct bpos_registry *registry,
                                            uint8_t *changed,
                                            struct bpos_error *error);

/**
 * Applies changes to a memory registry. All or nothing: if one record is refused, none is applied.
 *
 * registry: a memory registry. NULL is misuse.
 * records_json, records_json_len: a JSON array of records, each as in the registry document. A record with a known id
 *   replaces the present one, and keeps its window; others are added. NULL is misuse.
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
 * Returns the registry document that is in force, as JSON. It holds digests, and no keys.
 *
 * registry: NULL is misuse.
 * out: set to the document, which the caller frees with bpos_buffer_free(); to {NULL, 0} on failure. NULL is misuse.
 * error: may be NULL.
 *
 * Returns BPOS_OK; BPOS_ERR_LIMIT if memory ran out.
 */
bpos_status bpos_registry_export(const struct bpos_registry *registry,
                                 struct bpos_buffer *out,
                                 struct bpos_error *error);

/**
 * Returns what the registry has counted, as a JSON object: {"keys": 3, "revision": 12, "allowed": 70, "denied":
 * {"internal": 0, "key_in_url": 2, ...}}. Reads the counters of every key, so the cost grows with their number.
 *
 * registry: NULL is misuse.
 * out: set to the object, which the caller frees with bpos_buffer_free(); to {NULL, 0} on failure. NULL is misuse.
 * error: may be NULL.
 *
 * Returns BPOS_OK; BPOS_ERR_LIMIT if memory ran out.
 */
bpos_status bpos_registry_stats(const struct bpos_registry *registry,
                                struct bpos_buffer *out,
                                struct bpos_error *error);

/**
 * Frees a registry. No thread may be using it, or use it afterwards.
 *
 * registry: NULL does nothing.
 */
void bpos_registry_close(struct bpos_registry *registry);

/**
 * The number of a scope of the registry's policy, for bpos_authorize_scope(). Look it up once and keep it.
 *
 * registry: NULL has no scopes.
 * name, name_len: the whole name, such as "products:read". NULL is no scope.
 *
 * Returns the number, or 0 if there is no such scope.
 */
uint32_t bpos_scope_id(const struct bpos_registry *registry, const char *name, size_t name_len);

/**
 * Decides on a request by its method and target, now. Takes no lock, and allocates at some keys' first use, so it must
 * not be called from a signal handler.
 *
 * registry: NULL is misuse.
 * api_key, api_key_len: the value of the X-API-Key header, as received. NULL and 0 if there is none.
 * store, store_len: the store that the request is for, such as the first label of the host name. NULL and 0 skip that
 *   check; an empty store that is not NULL matches no key.
 * method, method_len: such as "GET". NULL and 0 match no route.
 * target, target_len: the request target, path and query, as received and not decoded. NULL and 0 match no route.
 * out: always filled in, unless it is NULL, misaligned or has a wrong `size`: that is misuse, and nothing is written.
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
 * Decides on a request whose scope the host names, now: for hosts that do their own routing. The operation writes if the
 * scope is a write scope. Everything else is as with bpos_authorize(), but bpos does not see the request target, so the
 * host must refuse a key in a URL itself.
 *
 * scope: one of bpos_scope, or from bpos_scope_id(). A number that is not in the registry's policy gives 500.
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
 * Like bpos_authorize(), at a given time: for tests and replays. All functions must use times from the same clocks: a
 * monotonic time before the key's last admission counts as the time of that admission.
 *
 * unix_ms: milliseconds since 1970-01-01T00:00:00Z. Used only to decide whether a key has expired.
 * monotonic_us: microseconds on a clock that never goes back and counts suspended time. Used only for the rate limit.
 *   More than 2^48 - 2 gives 500.
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
 * Writes the headers of the answer, each as "Name: value" and CR LF: WWW-Authenticate on 401, Retry-After on 429,
 * RateLimit-Policy and RateLimit on 200 and 429, and on a denial the Content-Type of the body.
 *
 * decision: a filled-in one. NULL, a wrong `size` and contradictory contents are answered as 500.
 * buf, cap: where to write, and how many bytes fit. If cap is not 0, the text is cut to fit and ends with a NUL. NULL and 0
 *   only ask for the length; NULL with another cap is misuse.
 *
 * Returns the full length, without the NUL: if it is not less than cap, the text was cut. After misuse it returns 0 and
 * writes nothing.
 */
size_t bpos_decision_headers(const struct bpos_decision *decision,
                             char *buf,
                             size_t cap);

/**
 * Writes the body of the answer: on a denial an RFC 9457 problem in JSON, UTF-8; nothing when the request is allowed. It
 * tells the client no more than it may know.
 *
 * decision, buf, cap: as with bpos_decision_headers().
 *
 * Returns the full length, without the NUL, as bpos_decision_headers().
 */
size_t bpos_decision_body(const struct bpos_decision *decision,
                          char *buf,
                          size_t cap);

/**
 * Creates a key. The answer holds its plaintext, which is stored nowhere and cannot be shown again: give it to whoever
 * asked for the key, then free the buffer, which wipes it. The caller must wipe any copies it makes.
 *
 * registry: NULL is misuse.
 * spec_json, spec_json_len: a JSON object with the key's name, store and scopes, and optionally rate_limit (1 to 1000; 60
 *   by default), expires_at (null) and test_mode (false): {"name": "Website Sync", "store": "yourstore", "scopes":
 *   ["products:read"], "rate_limit": 120, "expires_at": "2030-01-01T00:00:00Z", "test_mode": false}. NULL is misuse.
 * out: set to {"key": "bpos_...", "record": {...}}, the record as from bpos_key_get(), which the caller frees with
 *   bpos_buffer_free(); to {NULL, 0} on failure. NULL is misuse.
 * error: may be NULL.
 *
 * Returns BPOS_OK: every decision that starts later accepts the key, and a file registry's file has it; BPOS_ERR_FORMAT if
 * the spec is not as above; BPOS_ERR_LIMIT if the registry has 2,000,000 keys already; BPOS_ERR_READ_ONLY for a read-only
 * registry; BPOS_ERR_IO or another status of bpos_registry_reload() if the file could not be read or written. After these
 * nothing has changed. BPOS_ERR_NOT_DURABLE if the file was written but may lose the change if the machine stops now: the
 * key is not in force here until the file is read again, and since nobody knows its plaintext, find it with
 * bpos_key_list(), revoke it and create another.
 */
bpos_status bpos_key_create(struct bpos_registry *registry,
                            const char *spec_json,
                            size_t spec_json_len,
                            struct bpos_buffer *out,
                            struct bpos_error *error);

/**
 * Changes parts of a key: its name, scopes, limit, expiry or mode, or whether it is enabled. Requests that were admitted
 * before still count: a limit changes live.
 *
 * registry: NULL is misuse.
 * id, id_len: of the key. NULL is misuse.
 * patch_json, patch_json_len: a JSON object with the members to change: name, scopes (replacing all it had), rate_limit,
 *   expires_at (null for none), test_mode, enabled. {"enabled": false} disables the key, and {"enabled": true} enables it
 *   again. NULL is misuse.
 * out: set to the changed record, as from bpos_key_get(), which the caller frees with bpos_buffer_free(); to {NULL, 0} on
 *   failure. NULL is misuse.
 * error: may be NULL.
 *
 * Returns BPOS_OK: the change is in force for every decision that starts later, and a file registry's file has it;
 * BPOS_ERR_NOT_FOUND if no key has the id; BPOS_ERR_CONFLICT if the key is revoked; BPOS_ERR_FORMAT if the
 * patch is not as above; BPOS_ERR_READ_ONLY for a read-only registry; BPOS_ERR_IO or another status of
 * bpos_registry_reload() if the file could not be read or written. After these nothing has changed. BPOS_ERR_NOT_DURABLE
 * if the file may not have the change: what it takes away (disabling, a lower limit, an earlier expiry, test mode, fewer
 * scopes) is in force in this process anyway, stays in force when the file is read again, and is written with the next
 * change; what it grants is not in force. Other processes, and this one after a restart, may decide by the old record: free
 * disk space or repair the folder, and change the key again.
 */
bpos_status bpos_key_update(struct bpos_registry *registry,
                            const char *id,
                            size_t id_len,
                            const char *patch_json,
                            size_t patch_json_len,
                            struct bpos_buffer *out,
                            struct bpos_error *error);

/**
 * Gives a key a new secret. Its id, limit and counts stay. The answer holds the plaintext, as with bpos_key_create().
 *
 * registry: NULL is misuse.
 * id, id_len: of the key. NULL is misuse.
 * grace_s: for how many more seconds the previous secret works too, at most 31,622,400 (366 days) and never past the
 *   key's expiry; 0 ends it at once. Both share the key's limit. A secret still in its grace period from an earlier
 *   rotation stops working.
 * out: set to {"key": "bpos_...", "record": {...}}, the record as from bpos_key_get(), which the caller frees with
 *   bpos_buffer_free(); to {NULL, 0} on failure. NULL is misuse.
 * error: may be NULL.
 *
 * Returns BPOS_OK: every decision that starts later accepts the new secret, and a file registry's file has it;
 * BPOS_ERR_NOT_FOUND if no key has the id; BPOS_ERR_CONFLICT if the key is revoked or expired; BPOS_ERR_LIMIT
 * if grace_s is too large; BPOS_ERR_READ_ONLY for a read-only registry; BPOS_ERR_IO or another status of
 * bpos_registry_reload() if the file could not be read or written. After these nothing has changed: the previous
 * secret still works. BPOS_ERR_NOT_DURABLE if the file was written but may lose the change if the machine stops now: the
 * previous secret works here until the file is read again, and since nobody knows the new one, rotate the key again.
 */
bpos_status bpos_key_rotate(struct bpos_registry *registry,
                            const char *id,
                            size_t id_len,
                            uint64_t grace_s,
                            struct bpos_buffer *out,
                            struct bpos_error *error);

/**
 * Revokes a key. Revocation is permanent: nothing enables the key again. A key that is already revoked stays as it is.
 *
 * registry: NULL is misuse.
 * id, id_len: of the key. NULL is misuse.
 * error: may be NULL.
 *
 * Returns BPOS_OK: every decision that starts later denies the key, and a file registry's file has the revocation;
 * BPOS_ERR_NOT_FOUND if no key has the id; BPOS_ERR_READ_ONLY for a read-only registry: after these nothing has changed.
 * BPOS_ERR_NOT_DURABLE if the file may not have the revocation: the key is denied in this process anyway, stays denied when
 * the file is read again, and the revocation is written with the next change. Other processes, and this one after a
 * restart, may still accept the key: free disk space or repair the folder, and revoke it again. BPOS_ERR_IO or another
 * status of bpos_registry_reload() if the file had the revocation already, and could not be read or written.
 */
bpos_status bpos_key_revoke(struct bpos_registry *registry,
                            const char *id,
                            size_t id_len,
                            struct bpos_error *error);

/**
 * Disables a key until bpos_key_enable(). A key that is already disabled stays disabled.
 *
 * registry: NULL is misuse.
 * id, id_len: of the key. NULL is misuse.
 * error: may be NULL.
 *
 * Returns BPOS_OK: every decision that starts later denies the key; otherwise as bpos_key_update().
 */
bpos_status bpos_key_disable(struct bpos_registry *registry,
                             const char *id,
                             size_t id_len,
                             struct bpos_error *error);

/**
 * Enables a disabled key again. A key that is already enabled stays enabled.
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
 * Removes the record of a key that is revoked or expired. Its secret is unknown from then on, which is denied too.
 *
 * registry: NULL is misuse.
 * id, id_len: of the key. NULL is misuse.
 * error: may be NULL.
 *
 * Returns BPOS_OK: the record is gone, from a file registry's file too; BPOS_ERR_NOT_FOUND if no key has the id; BPOS_ERR_CONFLICT if the key is neither revoked nor expired; BPOS_ERR_READ_ONLY for a read-only registry;
 * BPOS_ERR_IO or another status of bpos_registry_reload() if the file could not be read or written. After these nothing
 * has changed. BPOS_ERR_NOT_DURABLE if the file could not be written and the key had only expired: it is revoked in this
 * process now; or if the file was written but may lose the change if the machine stops now: the record stays here until
 * the file is read again. In both cases the key is still denied.
 */
bpos_status bpos_key_remove(struct bpos_registry *registry,
                            const char *id,
                            size_t id_len,
                            struct bpos_error *error);

/**
 * Makes several changes to keys together: all or none, in one write. Each sees the changes before it.
 *
 * registry: NULL is misuse.
 * changes_json, changes_json_len: a JSON array of at most 100,000 objects, each with one member that names the change:
 *   [{"create": {...spec...}}, {"update": {"id": "key_...", "patch": {...}}}, {"rotate": {"id": "key_...", "grace_s": 60}},
 *   {"revoke": "key_..."}, {"disable": "key_..."}, {"enable": "key_..."}, {"remove": "key_..."}], the specs and patches as
 *   with bpos_key_create() and bpos_key_update(). NULL is misuse.
 * out: set to a JSON array with an answer for each change, in order: {"key": "bpos_...", "record": {...}} for create and
 *   rotate, the record for update, null for the others. It can hold keys: free it with bpos_buffer_free(), which wipes it.
 *   {NULL, 0} on failure. NULL is misuse.
 * error: may be NULL. If a change is refused, the message begins with its number, counted from 1.
 *
 * Returns BPOS_OK: all changes are in force for every decision that starts later, and a file registry's file has them;
 * otherwise as the function of the change that is refused. What the changes take away is in force first, and stays in force
 * after BPOS_ERR_NOT_DURABLE, as with bpos_key_update().
 */
bpos_status bpos_registry_edit(struct bpos_registry *registry,
                               const char *changes_json,
                               size_t changes_json_len,
                               struct bpos_buffer *out,
                               struct bpos_error *error);

/**
 * Returns a key's record as JSON: {"id": "key_...", "name": "Website Sync", "store": "yourstore", "hint": "bpos_abc1",
 * "scopes": ["products:read"], "rate_limit": 120, "expires_at": null, "test_mode": false, "enabled": true, "created_at":
 * "2026-11-24T00:00:00Z", "revoked_at": null, "retiring_until": null, "usage": {"last_used_at": null, "allowed": 0,
 * "denied": {"revoked_key": 0, ...}}}. It holds neither the key nor its digest. retiring_until is when the grace period of
 * the previous secret ends; usage is what this process has counted. Members may be added.
 *
 * registry: NULL is misuse.
 * id, id_len: of the key. NULL is misuse.
 * out: set to the record, which the caller frees with bpos_buffer_free(); to {NULL, 0} on failure. NULL is misuse.
 * error: may be NULL.
 *
 * Returns BPOS_OK; BPOS_ERR_NOT_FOUND if no key has the id; BPOS_ERR_LIMIT if memory ran out.
 */
bpos_status bpos_key_get(const struct bpos_registry *registry,
                         const char *id,
                         size_t id_len,
                         struct bpos_buffer *out,
                         struct bpos_error *error);

/**
 * Returns the records of a store's keys, or of all keys, as a JSON array in the order of the document. Each is as from
 * bpos_key_get(). See bpos_key_list_page() for registries with many keys.
 *
 * registry: NULL is misuse.
 * store, store_len: the store's whole name. NULL and 0 for all stores; an empty store that is not NULL has no keys, and
 *   neither has one that is not UTF-8.
 * out: set to the array, which the caller frees with bpos_buffer_free(); to {NULL, 0} on failure. NULL is misuse.
 * error: may be NULL.
 *
 * Returns BPOS_OK, also when there is no key: the array is empty then; BPOS_ERR_LIMIT if memory ran out.
 */
bpos_status bpos_key_list(const struct bpos_registry *registry,
                          const char *store,
                          size_t store_len,
                          struct bpos_buffer *out,
                          struct bpos_error *error);

/**
 * Returns the first records of those that bpos_key_list() returns, or the first behind a key: a page, whose cost does not grow
 * with the registry. A key that is created meanwhile is behind all others, so whoever goes on from the last id of each page
 * sees every key once that was there throughout.
 *
 * registry, store, store_len, error: as for bpos_key_list().
 * after, after_len: the id of the key behind which the page begins, which may be one of another store; NULL and 0 for the
 *   first page.
 * most: how many records to return at most.
 * out: set to the JSON array, empty behind the last key, which the caller frees with bpos_buffer_free(); to {NULL, 0} on
 *   failure. NULL is misuse.
 *
 * Returns BPOS_OK; BPOS_ERR_NOT_FOUND if no key has the id, perhaps no longer: begin again; BPOS_ERR_LIMIT if memory ran out.
 */
bpos_status bpos_key_list_page(const struct bpos_registry *registry,
                               const char *store,
                               size_t store_len,
                               const char *after,
                               size_t after_len,
                               size_t most,
                               struct bpos_buffer *out,
                               struct bpos_error *error);

/**
 * Wipes and frees what a buffer holds, and sets it to {NULL, 0}. The struct itself stays the caller's.
 *
 * buffer: one that the library filled, or {NULL, 0}. NULL does nothing, and neither does a second call.
 */
void bpos_buffer_free(struct bpos_buffer *buffer);

/**
 * Masks every API key in a text, percent-encoded ones too: "bpos_" and the next four characters stay, and
 * the rest becomes asterisks. For log lines, in place; the length stays the same.
 *
 * text, len: need not be UTF-8, and need not end with a NUL. NULL masks nothing.
 *
 * Returns how many keys were masked.
 */
size_t bpos_redact(char *text, size_t len);
