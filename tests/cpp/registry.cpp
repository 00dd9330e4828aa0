// The C++ API, in what it adds to C: moves, exceptions, the store that must not be forgotten, answers that own their
// memory.
#include <bpos.hpp>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <initializer_list>
#include <iostream>
#include <thread>
#include <vector>

#include "check.h"

namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using namespace std::string_view_literals;
using bpos::reason;

constexpr auto spec =
    R"({"name": "Website Sync", "store": "yourstore", "scopes": ["products:read"], "rate_limit": 2})"sv;
constexpr auto no_keys = R"({"version": 1, "keys": []})"sv;

// ---- Support ----

/// The code of what a call throws; 0 if it does not.
template <class Call>
bpos::errc code_of(Call&& call, std::string_view says = {}) {
    try {
        call();
    } catch (const bpos::error& error) {
        CHECK(!std::string_view(error.what()).empty());
        CHECK(std::string_view(error.what()).find(says) != std::string_view::npos);
        return error.code();
    }
    return bpos::errc{};
}

/// A member's text, from JSON without escapes. Only to be used on what the library wrote.
std::string member(std::string_view json, const std::string& name) {
    const std::string before = '"' + name + "\":\"";
    const std::size_t start = json.find(before);
    if (start == std::string_view::npos) return {};
    const std::string_view rest = json.substr(start + before.size());
    return std::string(rest.substr(0, rest.find('"')));
}

struct key {
    std::string secret, id;
};

key create(bpos::registry& registry) {
    const bpos::secret_text made = registry.create(spec);
    return {member(made.expose(), "key"), member(made.expose(), "id")};
}

std::string listed(const bpos::registry& registry, bpos::store of) {
    const bpos::text records = registry.list(of);
    return std::string(records.view());
}

bpos::decision ask(const bpos::registry& registry, std::string_view api_key, bpos::store store = "yourstore",
                   std::chrono::seconds at = 0s) {
    return registry.authorize_at({api_key, store, "GET", "/api/v1/products"}, {0ms, at});
}

bool is(const bpos::decision& decision, int status, reason why) {
    return decision.status() == status && decision.reason() == why && decision.allowed() == (status == 200);
}

void write(const std::filesystem::path& path, std::string_view document) {
    std::ofstream(path) << document;
    std::filesystem::permissions(path, std::filesystem::perms(0600));
}

// ---- Decisions ----

void a_decision_that_nobody_made_denies() {
    const bpos::decision none;
    CHECK(is(none, 500, reason::internal) && !none);
    CHECK(none.headers() == "Content-Type: application/problem+json\r\n");
    CHECK(none.body().find("\"status\":500") != std::string::npos);
    CHECK(none.key_id().empty() && none.store().empty() && none.scope_name().empty());
    CHECK(none.required_scope() == bpos::scope::none && none.retry_after() == 0s && none.limit() == 0);
}

void a_decision_outlives_its_registry() {
    bpos::registry registry = bpos::registry::from_json(no_keys);
    const key made = create(registry);
    const bpos::decision decided = registry.authorize({made.secret, "yourstore", "GET", "/api/v1/products"});
    registry.close();
    const bpos::decision copy = decided;
    CHECK(copy && copy.key_id() == made.id && copy.store() == "yourstore" && copy.limit() == 2);
    CHECK(copy.remaining() == 1 && copy.reset() == 61s && copy.retry_after() == 0s && !copy.test_mode());
    CHECK(copy.required_scope() == bpos::scope::products_read && copy.body().empty());
}

void a_client_is_told_the_code_and_not_the_reason() {
    bpos::registry registry = bpos::registry::from_json(no_keys);
    const key made = create(registry);
    const auto told = [&](const bpos::decision& decision, reason why, std::string_view code) {
        return decision.reason() == why && decision.code() == code && member(decision.body(), "code") == code;
    };
    CHECK(told(ask(registry, "bpos_0123456789abcdef"), reason::unknown_key, "invalid_key"));
    CHECK(told(ask(registry, "bpos_"), reason::malformed_key, "invalid_key"));
    CHECK(told(ask(registry, made.secret, "otherstore"), reason::wrong_store, "invalid_key"));
    CHECK(told(ask(registry, {}), reason::missing_key, "missing_key"));
    CHECK(told(registry.authorize_scope(made.secret, "yourstore", bpos::scope::sales_read), reason::insufficient_scope,
               "insufficient_scope"));
    CHECK(told(bpos::decision(), reason::internal, "internal"));
    CHECK(told(ask(registry, made.secret), reason::allowed, ""));
    registry.disable(made.id);
    CHECK(told(ask(registry, made.secret), reason::disabled_key, "disabled_key"));
}

void a_reason_of_a_future_library_is_internal() {
    bpos_decision future{};
    future.size = sizeof future;
    future.status = 401;
    future.reason = BPOS_REASON_ALLOWED + 1;
    bpos::decision decision;
    static_assert(sizeof decision == sizeof future && std::is_trivially_copyable_v<bpos::decision>);
    std::memcpy(static_cast<void*>(&decision), &future, sizeof future);
    CHECK(is(decision, 401, reason::internal) && decision.code() == "internal");
    CHECK(to_string(reason{99}) == "internal" && to_string(reason::rate_limited) == "rate_limited");
}

// ---- Requests ----

void a_store_that_was_not_found_matches_no_key() {
    bpos::registry registry = bpos::registry::from_json(no_keys);
    const std::string secret = create(registry).secret;
    const char* const missing = std::getenv("BPOS_NO_SUCH_VARIABLE");
    CHECK(is(ask(registry, secret, {}), 401, reason::wrong_store));
    CHECK(is(ask(registry, secret, ""), 401, reason::wrong_store));
    CHECK(is(ask(registry, secret, missing), 401, reason::wrong_store));
    const std::string empty;
    CHECK(is(ask(registry, secret, empty), 401, reason::wrong_store));
    CHECK(is(ask(registry, secret, std::string_view{}), 401, reason::wrong_store));
    CHECK(is(ask(registry, secret, "yourstore\0"sv), 401, reason::wrong_store));
    CHECK(is(registry.authorize_scope(secret, {}, bpos::scope::products_read), 401, reason::wrong_store));

    bpos::request forgotten;
    forgotten.api_key = secret;
    forgotten.method = "GET";
    forgotten.target = "/api/v1/products";
    CHECK(is(registry.authorize(forgotten), 401, reason::wrong_store));

    CHECK(is(ask(registry, secret, bpos::any_store), 200, reason::allowed));
    const std::string store = "yourstore";
    CHECK(is(ask(registry, secret, store), 200, reason::allowed));
}

void a_key_is_bytes() {
    bpos::registry registry = bpos::registry::from_json(no_keys);
    const std::string secret = create(registry).secret;
    CHECK(is(ask(registry, std::string_view{}), 401, reason::missing_key));
    CHECK(is(ask(registry, ""), 401, reason::missing_key));
    CHECK(is(ask(registry, secret + '\0'), 401, reason::malformed_key));
    CHECK(is(ask(registry, secret.substr(0, 20) + '\0' + secret.substr(20)), 401, reason::malformed_key));
    CHECK(is(ask(registry, secret + " followed by what is not in the view"), 401, reason::malformed_key));
    const std::string longer = secret + "followed by what is not in the view";
    CHECK(is(ask(registry, std::string_view(longer).substr(0, secret.size())), 200, reason::allowed));
    CHECK(is(registry.authorize(bpos::request{}), 401, reason::missing_key));
    CHECK(is(registry.authorize({secret, "yourstore"}), 403, reason::unmapped_route));
}

void a_host_may_name_the_scope() {
    bpos::registry registry = bpos::registry::from_json(no_keys);
    const std::string secret = create(registry).secret;
    const bpos::scope read = registry.find_scope("products:read");
    CHECK(read == bpos::scope::products_read);
    CHECK(registry.find_scope("products") == bpos::scope::none && registry.find_scope({}) == bpos::scope::none);
    CHECK(is(registry.authorize_scope(secret, "yourstore", read), 200, reason::allowed));
    const bpos::decision denied = registry.authorize_scope(secret, "yourstore", bpos::scope::products_write);
    CHECK(is(denied, 403, reason::insufficient_scope) && denied.scope_name() == "products:write");
    CHECK(is(registry.authorize_scope(secret, "yourstore", bpos::scope::none), 500, reason::internal));
    CHECK(is(registry.authorize_scope(secret, "yourstore", bpos::scope{64}), 500, reason::internal));
}

void a_scope_that_is_required_and_unknown_is_named() {
    bpos::registry registry = bpos::registry::from_json(no_keys);
    using bpos::errc;
    CHECK(registry.require_scope("products:read") == bpos::scope::products_read);
    CHECK(code_of([&] { (void)registry.require_scope("products:raed"); }, "\"products:raed\"") == errc::not_found);
    CHECK(code_of([&] { (void)registry.require_scope("products:raed"); }, "check its spelling") == errc::not_found);
    CHECK(code_of([&] { (void)registry.require_scope({}); }) == errc::not_found);
    CHECK(code_of([&] { (void)registry.require_scope("bpos_0123456789abcdef"); }, "bpos_0123****") == errc::not_found);
    registry.close();
    CHECK(code_of([&] { (void)registry.require_scope("products:read"); }, "closed") == errc::invalid_argument);
}

void time_is_an_argument() {
    bpos::registry registry = bpos::registry::from_json(no_keys);
    const std::string secret = create(registry).secret;
    CHECK(ask(registry, secret, "yourstore", 5s).remaining() == 1);
    CHECK(ask(registry, secret, "yourstore", 5s).remaining() == 0);
    const bpos::decision limited = ask(registry, secret, "yourstore", 6s);
    CHECK(is(limited, 429, reason::rate_limited) && limited.retry_after() == 60s && limited.reset() == 60s);
    CHECK(is(ask(registry, secret, "yourstore", 66s), 200, reason::allowed));
    CHECK(is(ask(registry, secret, "yourstore", -1s), 500, reason::internal));
}

void both_clocks_decide_for_a_named_scope_too() {
    bpos::registry registry = bpos::registry::from_json(no_keys);
    const key made = create(registry);
    registry.update(made.id, R"({"expires_at": "2030-01-01T00:00:00Z", "rate_limit": 1})");
    const auto at = [&](std::chrono::milliseconds since_epoch, std::chrono::seconds monotonic) {
        return registry.authorize_scope_at(made.secret, "yourstore", bpos::scope::products_read,
                                           {since_epoch, monotonic});
    };
    constexpr auto expiry = 1'893'456'000'000ms;
    CHECK(is(at(expiry, 5s), 401, reason::expired_key));
    CHECK(is(at(expiry - 1ms, 5s), 200, reason::allowed));
    CHECK(is(at(expiry - 1ms, 65s), 429, reason::rate_limited));
    CHECK(is(at(expiry - 1ms, 66s), 200, reason::allowed));
}

// ---- The object ----

template <class Registry>
void holds_no_keys(Registry& registry) {
    constexpr auto misuse = bpos::errc::invalid_argument;
    CHECK(!registry.is_open() && registry.native() == nullptr);
    CHECK(is(ask(registry, "bpos_0123456789abcdef"), 500, reason::internal));
    CHECK(is(registry.authorize({}), 500, reason::internal));
    CHECK(is(registry.authorize_scope({}, bpos::any_store, bpos::scope::products_read), 500, reason::internal));
    CHECK(registry.find_scope("products:read") == bpos::scope::none);
    CHECK(code_of([&] { (void)registry.create(spec); }, "registry") == misuse);
    CHECK(code_of([&] { registry.update("key_1", "{}"); }, "registry") == misuse);
    CHECK(code_of([&] { (void)registry.rotate("key_1", 0s); }, "registry") == misuse);
    CHECK(code_of([&] { registry.disable("key_1"); }, "registry") == misuse);
    CHECK(code_of([&] { registry.enable("key_1"); }, "registry") == misuse);
    CHECK(code_of([&] { (void)registry.edit("[]"); }, "registry") == misuse);
    CHECK(code_of([&] { registry.revoke("key_1"); }, "registry") == misuse);
    CHECK(code_of([&] { registry.remove("key_1"); }, "registry") == misuse);
    CHECK(code_of([&] { (void)registry.get("key_1"); }, "registry") == misuse);
    CHECK(code_of([&] { (void)registry.list(); }, "registry") == misuse);
    CHECK(code_of([&] { (void)registry.list_page(bpos::any_store, {}, 9); }, "registry") == misuse);
    CHECK(code_of([&] { registry.reload(); }, "registry") == misuse);
    CHECK(code_of([&] { registry.reload_if_changed(); }, "registry") == misuse);
    CHECK(code_of([&] { registry.apply("[]"); }, "registry") == misuse);
    CHECK(code_of([&] { (void)registry.export_json(); }, "registry") == misuse);
    CHECK(code_of([&] { (void)registry.stats(); }, "registry") == misuse);
}

void a_registry_is_moved_not_copied() {
    bpos::registry first = bpos::registry::from_json(no_keys);
    const std::string secret = create(first).secret;
    bpos::registry second = std::move(first);
    holds_no_keys(first);
    CHECK(second.is_open() && ask(second, secret));

    first = bpos::registry::from_json(no_keys);
    CHECK(is(ask(first, secret), 401, reason::unknown_key));
    first = std::move(second);
    holds_no_keys(second);
    CHECK(ask(first, secret));
}

void a_closed_registry_denies() {
    bpos::registry registry = bpos::registry::from_json(no_keys);
    registry.close();
    registry.close();
    holds_no_keys(registry);
    bpos::registry none;
    holds_no_keys(none);
}

// ---- Keys ----

void keys_live_and_end() {
    bpos::registry registry = bpos::registry::from_json(no_keys);
    const key made = create(registry);
    CHECK(made.secret.size() == 41 && made.secret.rfind("bpos_", 0) == 0);

    const bpos::text changed = registry.update(made.id, R"({"rate_limit": 7})");
    CHECK(changed.view().find("\"rate_limit\":7") != std::string_view::npos);
    const bpos::text record = registry.get(made.id);
    CHECK(record.view() == changed.view());

    const bpos::secret_text rotated = registry.rotate(made.id, 1h);
    const std::string second = member(rotated.expose(), "key");
    CHECK(second != made.secret && registry.authorize({second, "yourstore", "GET", "/api/v1/products"}));
    CHECK(registry.authorize({made.secret, "yourstore", "GET", "/api/v1/products"}));
    const bpos::secret_text last = registry.rotate(made.id, 0s);
    const std::string third = member(last.expose(), "key");
    CHECK(is(registry.authorize({second, "yourstore", "GET", "/api/v1/products"}), 401, reason::unknown_key));

    for (int i = 0; i < 2; i++) registry.disable(made.id);  // one that is disabled stays so
    CHECK(is(ask(registry, third), 401, reason::disabled_key));
    for (int i = 0; i < 2; i++) registry.enable(made.id);
    CHECK(registry.authorize({third, "yourstore", "GET", "/api/v1/products"}));

    registry.revoke(made.id);
    CHECK(is(ask(registry, third), 401, reason::revoked_key));
    CHECK(code_of([&] { registry.enable(made.id); }, made.id) == bpos::errc::conflict);
    CHECK(code_of([&] { registry.disable("key_none"); }, "key_none") == bpos::errc::not_found);
    registry.remove(made.id);
    CHECK(is(ask(registry, third), 401, reason::unknown_key));
    CHECK(code_of([&] { (void)registry.get(made.id); }, made.id) == bpos::errc::not_found);
}

void changes_are_made_together() {
    bpos::registry registry = bpos::registry::from_json(no_keys);
    const key made = create(registry), other = create(registry);
    const std::string changes = R"([{"revoke": ")" + made.id + R"("}, {"disable": ")" + other.id +
                                R"("}, {"create": )" + std::string(spec) + "}]";
    const bpos::secret_text answers = registry.edit(changes);
    const std::string created = member(answers.expose(), "key");
    CHECK(answers.expose().substr(0, 11) == "[null,null,");
    CHECK(registry.authorize({created, "yourstore", "GET", "/api/v1/products"}));
    CHECK(is(ask(registry, made.secret), 401, reason::revoked_key));
    CHECK(is(ask(registry, other.secret), 401, reason::disabled_key));

    const std::string enabled = R"([{"enable": ")" + other.id + R"("}, {"revoke": "key_none"}])";
    CHECK(code_of([&] { (void)registry.edit(enabled); }, "change 2") == bpos::errc::not_found);
    CHECK(is(ask(registry, other.secret), 401, reason::disabled_key));
    CHECK(code_of([&] { (void)registry.edit(R"([{"enabled": "key_1"}])"); }, "enabled") == bpos::errc::format);
    const bpos::secret_text none = registry.edit("[]");
    CHECK(none.expose() == "[]");
}

void lists_are_of_a_store_or_of_all() {
    bpos::registry registry = bpos::registry::from_json(no_keys);
    const key made = create(registry);
    const bpos::text all = registry.list();
    CHECK(member(all.view(), "id") == made.id);
    CHECK(listed(registry, bpos::any_store) == all.view());
    CHECK(listed(registry, "yourstore") == all.view());
    CHECK(listed(registry, "otherstore") == "[]");
    CHECK(listed(registry, {}) == "[]");
}

void lists_are_read_in_pages() {
    bpos::registry registry = bpos::registry::from_json(no_keys);
    const key first = create(registry), second = create(registry), third = create(registry);
    const auto page = [&](bpos::store of, std::string_view after, std::size_t most) {
        const bpos::text records = registry.list_page(of, after, most);
        return std::string(records.view());
    };
    const auto records = [&](std::initializer_list<key> keys) {
        std::string all;
        for (const key& one : keys) {
            const bpos::text record = registry.get(one.id);
            all += (all.empty() ? "" : ",") + std::string(record.view());
        }
        return '[' + all + ']';
    };
    CHECK(page(bpos::any_store, {}, 2) == records({first, second}));
    CHECK(page(bpos::any_store, first.id, 1) == records({second}));
    CHECK(page("yourstore", second.id, 2) == records({third}));
    CHECK(page("yourstore", {}, SIZE_MAX) == records({first, second, third}));
    CHECK(page("yourstore", third.id, 2) == "[]" && page("yourstore", {}, 0) == "[]");
    CHECK(page("otherstore", first.id, 2) == "[]" && page({}, {}, 2) == "[]");
    CHECK(code_of([&] { (void)page(bpos::any_store, "key_none", 2); }, "key_none") == bpos::errc::not_found);
    CHECK(code_of([&] { (void)page(bpos::any_store, "", 2); }, "\"\"") == bpos::errc::not_found);
}

void answers_are_moved_not_copied() {
    bpos::registry registry = bpos::registry::from_json(no_keys);
    bpos::secret_text first = registry.create(spec);
    const std::string answer(first.expose());
    bpos::secret_text second = std::move(first);
    CHECK(second.expose() == answer && first.expose().empty());
    second = registry.create(spec);
    CHECK(second.expose() != answer);
    bpos::text document = registry.export_json();
    CHECK(document.view().find(member(answer, "key")) == std::string_view::npos);
    document = registry.stats();
    CHECK(document.view().find("\"keys\":2") != std::string_view::npos);
}

// ---- Errors ----

void errors_say_what_is_wrong(const std::filesystem::path& folder) {
    using bpos::errc;
    const std::filesystem::path path = folder / "errors.json";
    CHECK(code_of([&] { (void)bpos::registry::open(path); }, "errors.json") == errc::io);
    CHECK(code_of([&] { (void)bpos::registry::open(path.native() + '\0'); }, "NUL") == errc::io);
    CHECK(code_of([&] { (void)bpos::registry::open(""); }) == errc::io);
    write(path, "{");
    CHECK(code_of([&] { (void)bpos::registry::open(path); }, "line 1") == errc::format);
    write(path, R"({"version": 2, "keys": []})");
    CHECK(code_of([&] { (void)bpos::registry::open(path); }, "version") == errc::format);
    write(path, no_keys);
    CHECK(code_of([&] { (void)bpos::registry::open(path, R"({"readonly": true})"); }, "readonly") == errc::format);
    CHECK(code_of([&] { (void)bpos::registry::open(path, ""); }) == errc::format);
    std::filesystem::permissions(path, std::filesystem::perms(0666));
    CHECK(code_of([&] { (void)bpos::registry::open(path); }, "errors.json") == errc::permission);
    std::filesystem::permissions(path, std::filesystem::perms(0600));
    CHECK(code_of([&] { (void)bpos::registry::open(path, R"({"read_only": true})").create(spec); }) == errc::read_only);

    bpos::registry registry = bpos::registry::from_json(no_keys);
    const std::string id = create(registry).id;
    CHECK(code_of([&] { (void)bpos::registry::from_json({}); }) == errc::invalid_argument);
    CHECK(code_of([&] { (void)registry.create("{}"); }, "name") == errc::format);
    CHECK(code_of([&] { registry.reload(); }, "apply") == errc::invalid_argument);
    CHECK(code_of([&] { (void)registry.get("key_none"); }, "key_none") == errc::not_found);
    CHECK(code_of([&] { (void)registry.get({}); }) == errc::invalid_argument);
    CHECK(code_of([&] { (void)registry.rotate(id, -1s); }) == errc::limit);
    CHECK(code_of([&] { registry.remove(id); }, id) == errc::conflict);
    CHECK(code_of([&] { registry.apply("{}"); }) == errc::format);

    constexpr auto faulty = R"({"version": 1, "keys": [
  {"id": "key_1", "name": "Website Sync", "store": "yourstore", "scopes": [],
   "rate_limit": 7000, "sha256": "0f11d542d395e36e30e861e8ffea08db283a96dc08036a2c4eac4289a4a2fc53"}]})"sv;
    bool thrown = false;
    try {
        (void)bpos::registry::from_json(faulty);
    } catch (const bpos::error& error) {
        thrown = true;
        CHECK(error.line() == 3 && error.column() == 21 && !error.in_file());
    }
    CHECK(thrown);

    CHECK(to_string(errc::not_durable) == "not_durable" && to_string(errc::wrong_library) == "wrong_library");
    CHECK(to_string(errc{99}) == "unknown");
}

void a_file_is_made_once(const std::filesystem::path& folder) {
    const std::filesystem::path path = folder / "made.json";
    constexpr auto policy = R"({"policy": {"scopes": [{"name": "till:open"}], "routes": []}})"sv;
    bpos::registry registry = bpos::registry::init(path, policy);
    using std::filesystem::perms;
    CHECK(std::filesystem::status(path).permissions() == (perms::owner_read | perms::owner_write));
    const bpos::secret_text created =
        registry.create(R"({"name": "Till 3", "store": "yourstore", "scopes": ["till:open"]})");
    CHECK(code_of([&] { (void)bpos::registry::init(path); }, "made.json") == bpos::errc::conflict);
    const bpos::registry opened = bpos::registry::open(path, policy);
    const bpos::text record = opened.get(member(created.expose(), "id"));
    CHECK(member(record.view(), "name") == "Till 3");
    CHECK(code_of([&] { (void)bpos::registry::init(folder / "none" / "keys.json"); }) == bpos::errc::io);
}

void what_is_not_durable_is_in_force(const std::filesystem::path& folder) {
    const std::filesystem::path gone = folder / "gone";
    std::filesystem::create_directory(gone);
    write(gone / "keys.json", no_keys);
    bpos::registry registry = bpos::registry::open(gone / "keys.json");
    const key made = create(registry);
    std::filesystem::remove_all(gone);
    CHECK(code_of([&] { registry.revoke(made.id); }, "in force in this process") == bpos::errc::not_durable);
    CHECK(is(ask(registry, made.secret), 401, reason::revoked_key));
}

// ---- The file ----

void a_file_that_is_not_shared_is_read_again(const std::filesystem::path& folder) {
    const std::filesystem::path path = folder / "not UTF-8: \xff.json";
    write(path, no_keys);
    constexpr std::string_view unshared = R"({"shared": false})";
    bpos::registry registry = bpos::registry::open(path, unshared), other = bpos::registry::open(path, unshared);
    CHECK(!other.reload_if_changed());
    const std::string secret = create(registry).secret;
    CHECK(is(ask(other, secret), 401, reason::unknown_key));
    CHECK(other.reload_if_changed() && !other.reload_if_changed() && ask(other, secret));
    write(path, no_keys);
    CHECK(code_of([&] { other.reload(); }, "revision") == bpos::errc::stale);
    CHECK(ask(other, secret));
}

/// Whether a registry admits a key at the machine's time: that which processes share.
bool admits(const bpos::registry& registry, const std::string& secret) {
    return registry.authorize({secret, "yourstore", "GET", "/api/v1/products"}).allowed();
}

void registries_of_one_file_share_it(const std::filesystem::path& folder) {
    const std::filesystem::path path = folder / "shared, not UTF-8: \xff.json";
    write(path, no_keys);
    bpos::registry registry = bpos::registry::open(path);
    const bpos::registry others[] = {bpos::registry::open(path),
                                     bpos::registry::open(path, R"({"read_only": true, "shared": true})")};
    const key made = create(registry);
    registry.update(made.id, R"({"rate_limit": 60})");
    int admitted = 0;
    for (int n = 0; n < 100; n++) {
        for (const bpos::registry& other : others) admitted += admits(other, made.secret);
    }
    CHECK(admitted == 60);
    const key later = create(registry);
    registry.revoke(made.id);
    for (const bpos::registry& other : others) {
        CHECK(is(ask(other, made.secret), 401, reason::revoked_key));
        CHECK(ask(other, later.secret));
    }
}

void the_folder_of_the_shared_memory_is_named(const std::filesystem::path& folder) {
    const std::filesystem::path path = folder / "elsewhere.json";
    write(path, no_keys);
    const auto in = [](const std::filesystem::path& memory) { return R"({"shared": {"dir": ")" + memory.string() + "\"}}"; };
    CHECK(code_of([&] { (void)bpos::registry::open(path, in(folder / "none")); }, "\"shared\": false") == bpos::errc::io);
    std::filesystem::create_directory(folder / "memory");
    const bpos::registry registry = bpos::registry::open(path, in(folder / "memory"));
    CHECK(!std::filesystem::is_empty(folder / "memory"));
}

// ---- Threads ----

void threads_share_a_registry() {
    constexpr int threads = 8, requests = 500;
    bpos::registry registry = bpos::registry::from_json(no_keys);
    const key made = create(registry);
    registry.update(made.id, R"({"rate_limit": 1000})");
    std::atomic<int> admitted{0}, limited{0}, own_errors{0};
    std::vector<std::thread> workers;
    for (int i = 0; i < threads; i++) {
        workers.emplace_back([&, missing = "key_" + std::to_string(i)] {
            for (int n = 0; n < requests; n++) {
                const bpos::decision decision = ask(registry, made.secret);
                admitted += decision.status() == 200;
                limited += decision.status() == 429;
                try {
                    registry.revoke(missing);
                } catch (const bpos::error& error) {
                    own_errors += std::string_view(error.what()).find('"' + missing + '"') != std::string_view::npos;
                }
            }
        });
    }
    for (int n = 0; n < 100; n++) registry.update(made.id, R"({"name": "Another name"})");
    for (std::thread& worker : workers) worker.join();
    CHECK(admitted == 1000 && limited == threads * requests - 1000);
    CHECK(own_errors == threads * requests);
}

// ---- Beside it ----

void keys_in_a_text_are_masked() {
    std::string line = "GET /?key=bpos_0123456789abcdef and bpos_fedcba9876543210";
    CHECK(bpos::redact(line) == 2);
    CHECK(line == "GET /?key=bpos_0123************ and bpos_fedc************");
    std::string none;
    CHECK(bpos::redact(none) == 0 && none.empty());
    CHECK(bpos::version() == BPOS_VERSION);
}

}  // namespace

/// Argument: an empty folder.
int main(int argc, char** argv) {
    if (argc != 2) {
        std::cout << "usage: registry FOLDER\n";
        return EXIT_FAILURE;
    }
    a_decision_that_nobody_made_denies();
    a_decision_outlives_its_registry();
    a_client_is_told_the_code_and_not_the_reason();
    a_reason_of_a_future_library_is_internal();
    a_store_that_was_not_found_matches_no_key();
    a_key_is_bytes();
    a_host_may_name_the_scope();
    a_scope_that_is_required_and_unknown_is_named();
    time_is_an_argument();
    both_clocks_decide_for_a_named_scope_too();
    a_registry_is_moved_not_copied();
    a_closed_registry_denies();
    keys_live_and_end();
    changes_are_made_together();
    lists_are_of_a_store_or_of_all();
    lists_are_read_in_pages();
    answers_are_moved_not_copied();
    errors_say_what_is_wrong(argv[1]);
    a_file_is_made_once(argv[1]);
    what_is_not_durable_is_in_force(argv[1]);
    a_file_that_is_not_shared_is_read_again(argv[1]);
    registries_of_one_file_share_it(argv[1]);
    the_folder_of_the_shared_memory_is_named(argv[1]);
    threads_share_a_registry();
    keys_in_a_text_are_masked();
    return verdict("registry");
}
