// What a decision costs through bpos.hpp, beside the same call of bpos.h:
//
//   cost                     prints a table, in nanoseconds
//   cost c|c++ WHAT TIMES    makes so many calls, for a tool that counts instructions; WHAT is allowed or missing_key
#include <bpos.hpp>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <vector>

namespace {

// One key, and the 1,000 admissions of its limit never fill the window: each call is a minute after the one before.
constexpr std::string_view document = R"({"version": 1, "keys": [{"id": "key_1", "name": "Website Sync",
    "store": "yourstore", "scopes": ["products:read"], "rate_limit": 1000,
    "sha256": "46906f0960fff37f265cac03318a7c3b1b82cc2badc17ba0a5edebb11dcdce30"}]})";
constexpr std::string_view secret = "bpos_threads0123456789", store = "yourstore", method = "GET",
                           target = "/api/v1/products";

struct sample {
    const char* what;
    std::string_view api_key;
    int status;
};
constexpr sample samples[] = {{"allowed", secret, 200}, {"missing_key", {}, 401}};

std::int64_t minute = 0;  // so that no call is limited

/// What a server does in C: one call, and a look at the status, the key's id and the remaining requests. Neither this
/// nor its twin is inlined, so that their instructions can be compared.
[[gnu::noinline]] std::uint64_t in_c(const bpos_registry* registry, const sample& asked) {
    bpos_decision decision;
    decision.size = sizeof decision;
    const int status = bpos_authorize_at(registry, asked.api_key.data(), asked.api_key.size(), store.data(),
                                         store.size(), method.data(), method.size(), target.data(), target.size(), 0,
                                         static_cast<std::uint64_t>(minute++) * 60'000'001, &decision);
    if (status != asked.status) std::abort();
    return decision.remaining + std::strlen(decision.key_id);
}

/// The same in C++.
[[gnu::noinline]] std::uint64_t in_cpp(const bpos::registry& registry, const sample& asked) {
    const bpos::decision decision = registry.authorize_at(
        {asked.api_key, store, method, target}, {{}, std::chrono::microseconds(minute++ * 60'000'001)});
    if (decision.status() != asked.status) std::abort();
    return decision.remaining() + decision.key_id().size();
}

std::uint64_t calls(const bpos::registry& registry, const sample& asked, bool cpp, std::uint64_t times) {
    std::uint64_t sum = 0;  // so that the compiler leaves nothing out
    if (cpp) {
        for (std::uint64_t i = 0; i < times; i++) sum += in_cpp(registry, asked);
    } else {
        for (std::uint64_t i = 0; i < times; i++) sum += in_c(registry.native(), asked);
    }
    return sum;
}

double nanoseconds_a_call(const bpos::registry& registry, const sample& asked, bool cpp) {
    constexpr std::uint64_t times = 20'000;
    using clock = std::chrono::steady_clock;
    const clock::time_point start = clock::now();
    volatile std::uint64_t sum = calls(registry, asked, cpp, times);
    (void)sum;
    return std::chrono::duration<double, std::nano>(clock::now() - start).count() / times;
}

double median(std::vector<double> values) {
    std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
    return values[values.size() / 2];
}

/// C and C++ take turns, so that what slows the machine slows both.
void print_table(const bpos::registry& registry) {
    std::cout << "| decision | C, ns | C++, ns |\n|---|---|---|\n";
    for (const sample& asked : samples) {
        std::vector<double> c, cpp;
        for (int round = 0; round < 101; round++) {
            c.push_back(nanoseconds_a_call(registry, asked, false));
            cpp.push_back(nanoseconds_a_call(registry, asked, true));
        }
        std::cout << "| `" << asked.what << "` | " << std::lround(median(c)) << " | " << std::lround(median(cpp))
                  << " |\n";
    }
}

}  // namespace

int main(int argc, char** argv) {
    const bpos::registry registry = bpos::registry::from_json(document);
    if (argc == 1) {
        print_table(registry);
        return EXIT_SUCCESS;
    }
    for (const sample& asked : samples) {
        if (argc == 4 && std::string_view(argv[2]) == asked.what) {
            const bool cpp = std::string_view(argv[1]) == "c++";
            volatile std::uint64_t sum = calls(registry, asked, cpp, std::stoull(argv[3]));
            return sum > 0 || asked.status != 200 ? EXIT_SUCCESS : EXIT_FAILURE;
        }
    }
    std::cerr << "usage: cost [c|c++ allowed|missing_key TIMES]\n";
    return EXIT_FAILURE;
}
