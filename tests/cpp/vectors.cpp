// The vectors of tests/vectors through the C++ API: tests/c/vectors.py says how they come in, on the standard input.
#include <bpos.hpp>

#include <iostream>
#include <optional>

#include "check.h"

namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

std::string place;  // file and case, for messages

// ---- What comes in ----

[[noreturn]] void malformed() {
    std::cout << place << ": the input is not what vectors.py prints\n";
    std::exit(EXIT_FAILURE);
}

using field = std::optional<std::string>;

field read_field() {
    std::size_t length = 0;
    if (std::cin.peek() == '-') {
        std::cin.ignore();
        return std::nullopt;
    }
    if (!(std::cin >> length) || std::cin.get() != ':') malformed();
    std::string read(length, '\0');
    if (!std::cin.read(read.data(), static_cast<std::streamsize>(length))) malformed();
    return read;
}

std::string read_text() {
    field read = read_field();
    if (!read) malformed();
    return *std::move(read);
}

std::int64_t read_number() { return std::stoll(read_text()); }

void end_record() {
    if (std::cin.get() != '\n') malformed();
}

struct asked {
    field key = read_field(), store = read_field(), method = read_field(), target = read_field(), scope = read_field();
    bpos::now time{milliseconds(read_number()), microseconds(read_number())};
    std::int64_t times = read_number();
};

struct expected {
    std::int64_t status = read_number();
    std::string reason = read_text(), required_scope = read_text();
    std::int64_t limit = read_number(), remaining = read_number(), retry_after = read_number(), reset = read_number();
    std::int64_t test_mode = read_number();
    std::string key_id = read_text(), store = read_text(), headers = read_text(), body = read_text();
    std::string scope_name = read_text();
};

// ---- Each call ----

template <class Value>
void same(const char* what, const Value& found, const Value& wanted) {
    checks++;
    if (found != wanted) {
        failures++;
        std::cout << place << ": " << what << " is " << found << "; expected " << wanted << '\n';
    }
}

std::string_view view(const field& text) { return text ? std::string_view(*text) : std::string_view{}; }

bpos::decision decide(const bpos::registry& registry, const asked& call) {
    const bpos::store store = call.store ? bpos::store(*call.store) : bpos::any_store;
    if (call.scope) {
        const bpos::scope scope = registry.find_scope(*call.scope);
        CHECK(scope != bpos::scope::none);
        return registry.authorize_scope_at(view(call.key), store, scope, call.time);
    }
    return registry.authorize_at({view(call.key), store, view(call.method), view(call.target)}, call.time);
}

std::string taken_apart(const bpos::decision& decision) {
    std::string headers;
    decision.for_each_header([&](std::string_view name, std::string_view value) {
        headers.append(name).append(": ").append(value).append("\r\n");
    });
    return headers;
}

void compare(const bpos::registry& registry, const bpos::decision& decision, const expected& expect) {
    CHECK(decision.required_scope() == registry.find_scope(expect.required_scope));
    CHECK(decision.retry_after() == seconds(expect.retry_after));
    CHECK(decision.reset() == seconds(expect.reset));
    CHECK(decision.test_mode() == (expect.test_mode == 1));
    same<std::int64_t>("limit", decision.limit(), expect.limit);
    same<std::int64_t>("remaining", decision.remaining(), expect.remaining);
    same<std::string_view>("key_id", decision.key_id(), expect.key_id);
    same<std::string_view>("store", decision.store(), expect.store);
    same<std::string_view>("scope_name", decision.scope_name(), expect.scope_name);
    same("the headers", decision.headers(), expect.headers);
    same("the headers, taken apart", taken_apart(decision), expect.headers);
    same("the body", decision.body(), expect.body);
    const std::string code = "\"code\":\"" + std::string(decision.code()) + '"';
    CHECK(decision.allowed() ? decision.code().empty() : expect.body.find(code) != std::string::npos);
}

void replay(const bpos::registry& registry, const asked& call, const expected& expect) {
    bpos::decision decision;
    for (std::int64_t i = 0; i < call.times; i++) {
        decision = decide(registry, call);
        same<std::int64_t>("status", decision.status(), expect.status);
        same<std::string_view>("reason", to_string(decision.reason()), expect.reason);
        CHECK(decision.allowed() == (expect.status == 200) && decision.allowed() == static_cast<bool>(decision));
    }
    compare(registry, decision, expect);
}

}  // namespace

int main() {
    std::string name, document;
    field options;
    bpos::registry registry;
    unsigned long cases = 0, calls = 0;
    for (int kind = std::cin.get(); std::cin; kind = std::cin.get()) {
        if (kind == 'F') {
            name = read_text();
            options = read_field();
            document = read_text();
        } else if (kind == 'C' && !document.empty()) {
            place = name + ": " + read_text();
            registry = bpos::registry::from_json(document, view(options));
            cases++;
        } else if (kind == 'R' && registry.is_open()) {
            const asked call;
            const expected expect;
            replay(registry, call, expect);
            calls++;
        } else {
            malformed();
        }
        end_record();
    }
    CHECK(cases > 0 && calls >= cases);
    std::cout << "vectors: " << cases << " cases, " << calls << " calls\n" << std::flush;
    return verdict("vectors");
}
