// A program that finds a library of another ABI: this one says that it is 7, in the library's place.
#include <bpos.hpp>

#include <iostream>

extern "C" std::uint32_t bpos_abi_version(void) { return 7; }

template <class Open>
bool is_refused(Open&& open) {
    try {
        open();
    } catch (const bpos::error& error) {
        std::cout << to_string(error.code()) << ": " << error.what() << '\n';
        const std::string_view says = error.what();
        return error.code() == bpos::errc::wrong_library && says.find("has ABI version 7") != says.npos &&
               says.find("built for version " + std::to_string(BPOS_ABI_VERSION)) != says.npos;
    }
    return false;
}

int main() {
    const bool refused = is_refused([] { (void)bpos::registry::from_json(R"({"version": 1, "keys": []})"); }) &&
                         is_refused([] { (void)bpos::registry::open("keys.json"); });
    return refused ? EXIT_SUCCESS : EXIT_FAILURE;
}
