// Decides on one request, from the command line:
//
//   API_KEY=bpos_... ./authorize keys.json yourstore GET /api/v1/products
//
// Build it against an installed library (`make install`):
//
//   c++ -std=c++17 examples/authorize.cpp $(pkg-config --cflags --libs bpos) -o authorize
//
// docs/cpp.md says what to add for a library that is where the system does not look.
//
// A server does the same: it opens the registry once, and asks it for each request, from any thread.
#include <cstdlib>
#include <iostream>

#include <bpos.hpp>

int main(int argc, char** argv) {
    if (argc != 5) {
        std::cerr << "usage: API_KEY=... " << argv[0] << " REGISTRY STORE METHOD TARGET\n";
        return EXIT_FAILURE;
    }
    try {
        const bpos::registry registry = bpos::registry::open(argv[1]);

        bpos::request request;
        if (const char* api_key = std::getenv("API_KEY")) request.api_key = api_key;  // a server: the X-API-Key header
        request.store = argv[2];
        request.method = argv[3];
        request.target = argv[4];

        const bpos::decision decision = registry.authorize(request);
        if (decision) {
            std::cerr << "serve " << decision.store() << ", to the key " << decision.key_id() << '\n';
        } else {
            std::cerr << "deny: " << to_string(decision.reason()) << '\n';  // for us: the client is told less
        }
        std::cout << "HTTP/1.1 " << decision.status() << "\r\n"
                  << decision.headers() << "\r\n"
                  << decision.body() << '\n';
        return EXIT_SUCCESS;
    } catch (const bpos::error& error) {
        std::cerr << to_string(error.code()) << ": " << error.what() << '\n';
        return EXIT_FAILURE;
    }
}
