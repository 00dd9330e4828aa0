// bpos for C++: keys of an API, and the decision on each request. Header-only, over bpos.h; C++17, with exceptions.
//
//   bpos::registry registry = bpos::registry::open("keys.json");       // once; any thread may use it
//
//   bpos::request request;                                             // in C++20: {.api_key = ..., .store = ..., ...}
//   request.api_key = header;                                          // the value of X-API-Key
//   request.store = "yourstore";
//   request.method = "GET";
//   request.target = "/api/v1/products?page=2";                        // as it was received
//   bpos::decision decision = registry.authorize(request);             // never throws
//   if (!decision) return respond(decision.status(), decision.headers(), decision.body());
//   serve(decision.store());
//
// - Everything but authorize() throws bpos::error. authorize() is noexcept and costs what it costs in C; if anything
//   goes wrong, it denies, and a default-constructed decision is a denial too.
// - Texts come in as std::string_view, which need not end with a NUL and may hold some. They are not used after the
//   call.
// - Administration is JSON, in and out: use the JSON library that you have. bpos.h says what each document holds.
// - As everywhere in C++, one thread may move, assign or destroy an object while no other uses it. All else of a
//   bpos::registry any number of threads may do at once.
//
// examples/authorize.cpp is a whole program, docs/cpp.md the tour.

#ifndef BPOS_HPP
#define BPOS_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "bpos.h"

namespace bpos {

// ---- Errors ----

/// Why a call failed. A future library may have others, so a switch needs a default.
enum class errc : std::int32_t {
    /// The loaded library does not match this header. Only C++ has this code.
    wrong_library = -1,
    /// An argument has no meaning here: a memory registry was told to reload, or a registry was moved from.
    invalid_argument = BPOS_ERR_INVALID_ARGUMENT,
    /// The operating system refused to open, read or write the registry file.
    io = BPOS_ERR_IO,
    /// A document does not follow its format. The message names the key, the member, line and column.
    format = BPOS_ERR_FORMAT,
    /// No key has that id.
    not_found = BPOS_ERR_NOT_FOUND,
    /// The change contradicts what is in force: a duplicate id or digest, or a revoked key brought back.
    conflict = BPOS_ERR_CONFLICT,
    /// The registry file is writable by others, or belongs to another user.
    permission = BPOS_ERR_PERMISSION,
    /// The change may not survive: it is not certain that the registry file keeps it. What it takes away is in force in
    /// this process; what it grants is not. error::in_file() says whether the file has it.
    not_durable = BPOS_ERR_NOT_DURABLE,
    /// The registry was opened read-only.
    read_only = BPOS_ERR_READ_ONLY,
    /// The document is older (its revision is lower) than the one in force.
    stale = BPOS_ERR_STALE,
    /// Something is larger than its stated maximum, or memory ran out.
    limit = BPOS_ERR_LIMIT,
    /// bpos panicked; this is a bug in bpos. The registry can still be used.
    panic = BPOS_ERR_PANIC,
};

/// The name of a code, for logs: "io", "not_durable"; "unknown" for a number that has none.
inline std::string_view to_string(errc code) noexcept {
    return code == errc::wrong_library ? "wrong_library" : bpos_status_name(static_cast<bpos_status>(code));
}

/// What every call but authorize() throws: a code for the program, and what() for a person. It never holds a key.
class error : public std::runtime_error {
public:
    error(errc code, const std::string& message) : std::runtime_error(message), code_(code) {}

    /// What a function of bpos.h reported.
    explicit error(const bpos_error& reported)
        : std::runtime_error(reported.message),
          code_(errc{reported.code}),
          line_(reported.line),
          column_(reported.column),
          in_file_(reported.in_file != 0) {}

    /// What kind of failure it is.
    [[nodiscard]] errc code() const noexcept { return code_; }

    /// The line of the document that is wrong, counted from 1; 0 if the error is not about a place in a document.
    [[nodiscard]] std::uint32_t line() const noexcept { return line_; }

    /// The column in that line, counted from 1, in bytes; 0 if the error is not about a place in a document.
    [[nodiscard]] std::uint32_t column() const noexcept { return column_; }

    /// On errc::not_durable: whether the registry file has the change, but may lose it if the machine stops now.
    [[nodiscard]] bool in_file() const noexcept { return in_file_; }

private:
    errc code_;
    std::uint32_t line_ = 0;
    std::uint32_t column_ = 0;
    bool in_file_ = false;
};

namespace detail {

/// Stops a program built for another ABI before it misreads the library's structs.
inline void check_abi() {
    if (const std::uint32_t loaded = bpos_abi_version(); loaded != BPOS_ABI_VERSION) {
        throw error(errc::wrong_library,
                    "the loaded library, bpos " + std::string(bpos_version()) + ", has ABI version " +
                        std::to_string(loaded) + ", and this program was built for version " +
                        std::to_string(BPOS_ABI_VERSION) + ": rebuild it, or load libbpos.so." +
                        std::to_string(BPOS_ABI_VERSION));
    }
}

/// Calls a C function whose last argument receives the error, and throws that.
template <class... Parameters, class... Arguments>
void call(bpos_status (*function)(Parameters...), Arguments... arguments) {
    bpos_error failure{};
    failure.size = sizeof failure;
    if (function(arguments..., &failure) != BPOS_OK) {
        throw error(failure);
    }
}

/// The memory of a text that the library allocated.
class buffer {
public:
    buffer() noexcept = default;
    buffer(buffer&& other) noexcept : held_(std::exchange(other.held_, {})) {}
    buffer& operator=(buffer&& other) noexcept {
        bpos_buffer_free(&held_);
        held_ = std::exchange(other.held_, {});
        return *this;
    }
    ~buffer() { bpos_buffer_free(&held_); }

    bpos_buffer* out() noexcept { return &held_; }
    [[nodiscard]] std::string_view view() const noexcept { return {held_.data, held_.len}; }

private:
    bpos_buffer held_{};
};

}  // namespace detail

// ---- What comes in ----

/// Says that a request is for no store in particular: the check of the store is left out.
struct any_store_t {
    explicit any_store_t() = default;
};
inline constexpr any_store_t any_store{};

/// The store that a request is for, such as the host name's first label. A view: it does not keep the name.
///
/// One that is empty matches no key, and so does a null pointer: a host that failed to find its store must not skip
/// the check. bpos::any_store leaves the check out.
class store {
public:
    constexpr store() noexcept = default;
    constexpr store(std::string_view name) noexcept : name_(name.data() == nullptr ? "" : name) {}
    constexpr store(const char* name) noexcept : name_(name == nullptr ? "" : name) {}
    store(const std::string& name) noexcept : name_(name) {}
    store(std::string&&) = delete;  // it would be gone before the call
    constexpr store(any_store_t) noexcept : name_() {}
    store(std::nullptr_t) = delete;

    /// As C takes it: std::string_view{} for any_store, and otherwise never null.
    [[nodiscard]] constexpr std::string_view native() const noexcept { return name_; }

private:
    std::string_view name_ = "";
};

/// The facts of a request, as views of the host's texts, which must live until the call. What is left out denies.
struct request {
    /// The value of the X-API-Key header as it was received. std::string_view{} if there is none; if there are
    /// several, "," (no key has a comma): never pick one of them.
    std::string_view api_key = {};
    /// The store that the request is for, or bpos::any_store.
    bpos::store store = {};
    /// Such as "GET".
    std::string_view method = {};
    /// The request target as it was received, path and query, not decoded.
    std::string_view target = {};
};

/// A time of the host's, for tests and replays.
struct now {
    /// Since 1970-01-01T00:00:00Z. Decides whether a key has expired, and nothing else.
    std::chrono::milliseconds since_epoch{0};
    /// On a clock that never goes back and counts suspended time. Decides the rate limit, and nothing else.
    std::chrono::microseconds monotonic{0};
};

/// The number of a scope. The built-in policy's are here; registry::require_scope() knows those of any policy. What
/// needs scope::none is denied, with 500.
enum class scope : std::uint32_t {
    none = 0,
    products_read = BPOS_SCOPE_PRODUCTS_READ,
    customers_read = BPOS_SCOPE_CUSTOMERS_READ,
    sales_read = BPOS_SCOPE_SALES_READ,
    inventory_read = BPOS_SCOPE_INVENTORY_READ,
    loyalty_read = BPOS_SCOPE_LOYALTY_READ,
    gift_cards_read = BPOS_SCOPE_GIFT_CARDS_READ,
    store_credits_read = BPOS_SCOPE_STORE_CREDITS_READ,
    products_write = BPOS_SCOPE_PRODUCTS_WRITE,
    customers_write = BPOS_SCOPE_CUSTOMERS_WRITE,
    inventory_write = BPOS_SCOPE_INVENTORY_WRITE,
    webhooks_manage = BPOS_SCOPE_WEBHOOKS_MANAGE,
};

// ---- What comes out ----

/// Why a request was denied, in the order of the checks: the first that fails decides.
enum class reason : std::uint32_t {
    /// bpos could not decide: misuse, no memory, a time out of range, or a scope that does not exist. 500.
    internal = BPOS_REASON_INTERNAL,
    /// The request target's query holds a key, where logs and histories record it. 401.
    key_in_url = BPOS_REASON_KEY_IN_URL,
    /// There is no key, or an empty one. 401.
    missing_key = BPOS_REASON_MISSING_KEY,
    /// The key is not "bpos_" and 16 to 123 ASCII letters and digits. 401.
    malformed_key = BPOS_REASON_MALFORMED_KEY,
    /// The registry does not hold the key's digest. 401.
    unknown_key = BPOS_REASON_UNKNOWN_KEY,
    /// The key was revoked, permanently. 401.
    revoked_key = BPOS_REASON_REVOKED_KEY,
    /// The key is disabled. 401.
    disabled_key = BPOS_REASON_DISABLED_KEY,
    /// The key, or the grace period of its previous secret, has expired. 401.
    expired_key = BPOS_REASON_EXPIRED_KEY,
    /// The key belongs to another store than the request's. 401.
    wrong_store = BPOS_REASON_WRONG_STORE,
    /// No route of the policy matches the method and the path. 403.
    unmapped_route = BPOS_REASON_UNMAPPED_ROUTE,
    /// The key lacks the scope that the route needs. 403.
    insufficient_scope = BPOS_REASON_INSUFFICIENT_SCOPE,
    /// The key is in test mode, and the operation writes. 403.
    test_mode = BPOS_REASON_TEST_MODE,
    /// As many requests as the key's limit were admitted in the last 60 seconds. 429.
    rate_limited = BPOS_REASON_RATE_LIMITED,
    /// The request is allowed. 200.
    allowed = BPOS_REASON_ALLOWED,
};

/// The name of a reason, for logs: "rate_limited", "allowed"; "internal" for a number that has none.
inline std::string_view to_string(reason why) noexcept { return bpos_reason_name(static_cast<std::uint32_t>(why)); }

/// The answer to one request: what to do, why, and what to tell the client. A value, which stays valid without its
/// registry.
///
/// The views that it returns point into it, so a temporary decision returns none.
class decision {
public:
    /// A decision that nobody made: a denial, with 500.
    decision() noexcept : c_() {
        c_.size = sizeof c_;
        c_.status = 500;
    }

    /// Whether the request is allowed. Serve nothing else.
    [[nodiscard]] bool allowed() const noexcept { return c_.status == 200; }
    explicit operator bool() const noexcept { return allowed(); }

    /// The HTTP status: 200 if the request is allowed; 401, 403 or 429 if not; 500 if bpos could not decide.
    [[nodiscard]] int status() const noexcept { return c_.status; }

    /// The exact reason. For the host only: the client gets code() and body(). One that only a future library has is
    /// `internal` here.
    [[nodiscard]] bpos::reason reason() const noexcept {
        return c_.reason <= BPOS_REASON_ALLOWED ? bpos::reason{c_.reason} : bpos::reason::internal;
    }

    /// What the client may be told about the reason, for hosts that write their own body: the `code` of body(). It is
    /// the reason's name, but "invalid_key" for the three that a client must not tell apart. Empty if the request is
    /// allowed.
    [[nodiscard]] std::string_view code() const noexcept { return allowed() ? "" : bpos_reason_code(c_.reason); }

    /// The scope that the operation needs; scope::none if the decision did not get that far.
    [[nodiscard]] scope required_scope() const noexcept { return scope{c_.required_scope}; }

    /// The name of the required scope, on a 403 whose body names it. Otherwise empty.
    [[nodiscard]] std::string_view scope_name() const& noexcept { return c_.scope; }
    std::string_view scope_name() const&& = delete;

    /// The key's limit, in requests in any 60 seconds, on 200 and 429; otherwise 0.
    [[nodiscard]] std::uint32_t limit() const noexcept { return c_.limit; }

    /// How many more requests would be allowed now, after this one.
    [[nodiscard]] std::uint32_t remaining() const noexcept { return c_.remaining; }

    /// On 429: rounded up and at least 1, until a request will be allowed again. Otherwise 0.
    [[nodiscard]] std::chrono::seconds retry_after() const noexcept { return std::chrono::seconds(c_.retry_after_s); }

    /// On 200 and 429: rounded up, until the oldest counted request leaves the window and frees a slot. Otherwise 0.
    [[nodiscard]] std::chrono::seconds reset() const noexcept { return std::chrono::seconds(c_.reset_s); }

    /// Whether the key is in test mode. Known once the client has proved that it holds the secret.
    [[nodiscard]] bool test_mode() const noexcept { return c_.test_mode != 0; }

    /// The id of the key, for logs. Empty unless the client proved that it holds the secret.
    [[nodiscard]] std::string_view key_id() const& noexcept { return c_.key_id; }
    std::string_view key_id() const&& = delete;

    /// The store that the key belongs to. Empty unless the client proved that it holds the secret. On a
    /// denial, do not show it to the client.
    [[nodiscard]] std::string_view store() const& noexcept { return c_.store; }
    std::string_view store() const&& = delete;

    /// The headers of the answer, each as "Name: value" and CR LF.
    [[nodiscard]] std::string headers() const { return rendered(bpos_decision_headers); }

    /// The same headers, one call of `each(name, value)` for each.
    template <class Each>
    void for_each_header(Each&& each) const {
        const std::string lines = headers();
        for (std::string_view rest = lines; !rest.empty();) {
            const std::string_view line = rest.substr(0, rest.find("\r\n"));
            const std::size_t colon = line.find(": ");
            each(line.substr(0, colon), line.substr(colon + 2));
            rest.remove_prefix(line.size() + 2);
        }
    }

    /// The body of the answer: on a denial an RFC 9457 problem in JSON; empty when the request is allowed. It tells the
    /// client no more than it may know. Leave it out of an answer to HEAD.
    [[nodiscard]] std::string body() const { return rendered(bpos_decision_body); }

    /// The struct of C.
    [[nodiscard]] const bpos_decision& native() const noexcept { return c_; }

private:
    friend class registry;

    /// For the library to fill in, all of it. If it ever did not, this would be a denial.
    struct to_be_filled_in {};
    explicit decision(to_be_filled_in) noexcept {
        c_.size = sizeof c_;
        c_.status = 500;
    }

    std::string rendered(std::size_t (*render)(const bpos_decision*, char*, std::size_t)) const {
        std::string text(render(&c_, nullptr, 0), '\0');
        render(&c_, text.data(), text.size() + 1);
        return text;
    }

    bpos_decision c_;
};

/// A JSON answer of the library, wiped and freed by its destructor.
class text : detail::buffer {
public:
    [[nodiscard]] std::string_view view() const& noexcept { return buffer::view(); }
    std::string_view view() const&& = delete;

private:
    friend class registry;
};

/// A JSON answer with the plaintext of new keys, which is stored nowhere: {"key": "bpos_...", "record": {...}}. Nothing
/// prints it by mistake. Its destructor wipes and frees it; the host must wipe any copies of what it exposes.
class secret_text : detail::buffer {
public:
    [[nodiscard]] std::string_view expose() const& noexcept { return view(); }
    std::string_view expose() const&& = delete;

private:
    friend class registry;
};

// ---- The registry ----

/// The keys of a platform, ready to decide on requests.
///
/// Open it once. Any number of threads may use and change it at once. Once a change returns, every decision that starts
/// later, on any thread, uses it. Its destructor closes it, so it must outlive all use: share it by std::shared_ptr where
/// that is not obvious.
///
/// A registry that was moved from, or default-constructed, holds no keys: it denies every request with 500, and
/// everything else throws errc::invalid_argument.
class registry {
public:
    registry() noexcept = default;

    /// Opens a registry file. Changes are written to it. All processes that open it count together, and each change is in
    /// force in all of them once it was made.
    ///
    /// options_json: such as {"policy": {...}, "read_only": true, "shared": false}, each optional; std::string_view{}
    /// for the defaults. "shared": false is for a registry that counts on its own, and hears of changes only by
    /// reload() and reload_if_changed(); {"dir": "..."} names the folder of the shared memory.
    [[nodiscard]] static registry open(const std::filesystem::path& path, std::string_view options_json = {}) {
        return opened(bpos_registry_open, path.native(), options_json);
    }

    /// Creates a registry file without keys, which must not exist yet, and opens it. It belongs to this process's user,
    /// and only that user may read and write it.
    [[nodiscard]] static registry init(const std::filesystem::path& path, std::string_view options_json = {}) {
        return opened(bpos_registry_init, path.native(), options_json);
    }

    /// Makes a memory registry from a document: the host's own database is the source of truth, and the host passes its
    /// changes to apply(). Nothing is ever written.
    [[nodiscard]] static registry from_json(std::string_view json, std::string_view options_json = {}) {
        return opened(bpos_registry_from_json, json, options_json);
    }

    // Deciding

    /// Decides on a request by its method and target, now. Takes no lock, and allocates only at a key's first use.
    [[nodiscard]] decision authorize(const request& asked) const noexcept {
        decision made{decision::to_be_filled_in{}};
        const std::string_view of = asked.store.native();
        bpos_authorize(native(), asked.api_key.data(), asked.api_key.size(), of.data(), of.size(), asked.method.data(),
                       asked.method.size(), asked.target.data(), asked.target.size(), &made.c_);
        return made;
    }

    /// The same at a given time, for tests and replays. All times must come from the same clocks.
    [[nodiscard]] decision authorize_at(const request& asked, now time) const noexcept {
        decision made{decision::to_be_filled_in{}};
        const std::string_view of = asked.store.native();
        bpos_authorize_at(native(), asked.api_key.data(), asked.api_key.size(), of.data(), of.size(),
                          asked.method.data(), asked.method.size(), asked.target.data(), asked.target.size(),
                          time.since_epoch.count(), static_cast<std::uint64_t>(time.monotonic.count()), &made.c_);
        return made;
    }

    /// Decides on a request whose scope the host names, now: for hosts that do their own routing. The operation writes
    /// if the scope is a write scope. bpos does not see the target, so the host must refuse a key in a URL itself. A
    /// scope that is not in the policy, such as scope::none, is denied with 500 and reason::internal.
    [[nodiscard]] decision authorize_scope(std::string_view api_key, store of, scope needed) const noexcept {
        decision made{decision::to_be_filled_in{}};
        bpos_authorize_scope(native(), api_key.data(), api_key.size(), of.native().data(), of.native().size(),
                             static_cast<std::uint32_t>(needed), &made.c_);
        return made;
    }

    /// The same at a given time.
    [[nodiscard]] decision authorize_scope_at(std::string_view api_key, store of, scope needed,
                                              now time) const noexcept {
        decision made{decision::to_be_filled_in{}};
        bpos_authorize_scope_at(native(), api_key.data(), api_key.size(), of.native().data(), of.native().size(),
                                static_cast<std::uint32_t>(needed), time.since_epoch.count(),
                                static_cast<std::uint64_t>(time.monotonic.count()), &made.c_);
        return made;
    }

    /// The scope with that whole name, such as "products:read". Call it when the program starts: it throws
    /// errc::not_found if the policy has no such scope, while with find_scope() every request would be denied.
    [[nodiscard]] scope require_scope(std::string_view name) const {
        if (!is_open()) throw error(errc::invalid_argument, "the registry was moved from or closed");
        const scope found = find_scope(name);
        if (found == scope::none) {
            std::string shown(name);
            bpos_redact(shown.data(), shown.size());
            throw error(errc::not_found, "the policy of this registry has no scope \"" + shown +
                                             "\": check its spelling; scopes of your own come with a policy of your "
                                             "own, the option \"policy\"");
        }
        return found;
    }

    /// The same, but scope::none if the policy has no such scope, or if the registry was closed.
    [[nodiscard]] scope find_scope(std::string_view name) const noexcept {
        return scope{bpos_scope_id(native(), name.data(), name.size())};
    }

    // Keys. bpos.h says, at bpos_key_create() and so on, what JSON these take and what each code means.

    /// Creates a key from a spec: {"name": "Website Sync", "store": "yourstore", "scopes": ["products:read"]}, and
    /// optionally rate_limit, expires_at and test_mode.
    [[nodiscard]] secret_text create(std::string_view spec_json) {
        secret_text answer;
        detail::call(bpos_key_create, native(), spec_json.data(), spec_json.size(), answer.out());
        return answer;
    }

    /// Changes parts of a key, and returns the changed record.
    text update(std::string_view id, std::string_view patch_json) {
        text answer;
        detail::call(bpos_key_update, native(), id.data(), id.size(), patch_json.data(), patch_json.size(),
                     answer.out());
        return answer;
    }

    /// Gives a key a new secret. The previous secret works for the grace period too, at most 366 days; 0 ends it at once.
    [[nodiscard]] secret_text rotate(std::string_view id, std::chrono::seconds grace) {
        secret_text answer;
        const auto grace_s = static_cast<std::uint64_t>(grace.count());  // a negative one is too long
        detail::call(bpos_key_rotate, native(), id.data(), id.size(), grace_s, answer.out());
        return answer;
    }

    /// Disables a key until enable(). One that is already disabled stays disabled.
    void disable(std::string_view id) { detail::call(bpos_key_disable, native(), id.data(), id.size()); }

    /// Enables a disabled key again.
    void enable(std::string_view id) { detail::call(bpos_key_enable, native(), id.data(), id.size()); }

    /// Revokes a key, permanently. One that is already revoked stays as it is.
    void revoke(std::string_view id) { detail::call(bpos_key_revoke, native(), id.data(), id.size()); }

    /// Removes the record of a key that is revoked or expired.
    void remove(std::string_view id) { detail::call(bpos_key_remove, native(), id.data(), id.size()); }

    /// Makes several changes together, all or none, from an array such as [{"revoke": "key_..."}, {"create": {...}}]:
    /// bpos_registry_edit() lists all forms. Returns an array with an answer to each, in order.
    [[nodiscard]] secret_text edit(std::string_view changes_json) {
        secret_text answers;
        detail::call(bpos_registry_edit, native(), changes_json.data(), changes_json.size(), answers.out());
        return answers;
    }

    /// A key's record. It holds neither the key nor its digest.
    [[nodiscard]] text get(std::string_view id) const {
        text answer;
        detail::call(bpos_key_get, native(), id.data(), id.size(), answer.out());
        return answer;
    }

    /// The records of a store's keys, or of all, as an array in the order of the document.
    [[nodiscard]] text list(store of = any_store) const {
        text answer;
        detail::call(bpos_key_list, native(), of.native().data(), of.native().size(), answer.out());
        return answer;
    }

    /// The first records of those that list() returns, at most so many, or the first behind the key with the id `after`,
    /// which is std::string_view{} for the first page. The cost does not grow with the registry, and behind the last key
    /// the array is empty. errc::not_found if no key has the id, perhaps no longer: begin again.
    [[nodiscard]] text list_page(store of, std::string_view after, std::size_t most) const {
        text answer;
        detail::call(bpos_key_list_page, native(), of.native().data(), of.native().size(), after.data(), after.size(),
                     most, answer.out());
        return answer;
    }

    // The document

    /// Reads the registry file again and decides by it from then on. All or nothing.
    void reload() { detail::call(bpos_registry_reload, native()); }

    /// The same if the file has changed; the check is one call to the operating system. Returns whether it had.
    bool reload_if_changed() {
        std::uint8_t changed = 0;
        detail::call(bpos_registry_reload_if_changed, native(), &changed);
        return changed != 0;
    }

    /// Applies an array of records to a memory registry. All or nothing.
    void apply(std::string_view records_json) {
        detail::call(bpos_registry_apply, native(), records_json.data(), records_json.size());
    }

    /// The registry document that is in force. It holds digests, and no keys.
    [[nodiscard]] text export_json() const {
        text answer;
        detail::call(bpos_registry_export, native(), answer.out());
        return answer;
    }

    /// What was counted: of the keys by all processes that share the registry, of denials without a key by this one.
    [[nodiscard]] text stats() const {
        text answer;
        detail::call(bpos_registry_stats, native(), answer.out());
        return answer;
    }

    // The object

    /// Whether it holds keys: it was neither moved from nor closed.
    [[nodiscard]] bool is_open() const noexcept { return handle_ != nullptr; }

    /// Frees the keys now. A second call does nothing.
    void close() noexcept { handle_.reset(); }

    /// The C registry, which this object still owns.
    [[nodiscard]] bpos_registry* native() const noexcept { return handle_.get(); }

private:
    struct closer {
        void operator()(bpos_registry* handle) const noexcept { bpos_registry_close(handle); }
    };

    explicit registry(bpos_registry* handle) noexcept : handle_(handle) {}

    template <class Make>
    static registry opened(Make* make, std::string_view from, std::string_view options_json) {
        detail::check_abi();
        bpos_registry* handle = nullptr;
        detail::call(make, from.data(), from.size(), options_json.data(), options_json.size(), &handle);
        return registry(handle);
    }

    std::unique_ptr<bpos_registry, closer> handle_;
};

// ---- Beside it ----

/// Masks every API key in a text, in place, for log lines: "bpos_" and the next four characters stay, and the rest
/// becomes asterisks. Returns how many keys were masked.
inline std::size_t redact(std::string& line) noexcept { return bpos_redact(line.data(), line.size()); }

/// The version of the loaded library, such as "0.1.0": the BPOS_VERSION of its header.
inline std::string_view version() noexcept { return bpos_version(); }

}  // namespace bpos

#endif
