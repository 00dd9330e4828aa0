// What the compiler alone can check of bpos.hpp. Linked with registry.cpp, it also shows that two files may include it.
#include <bpos.hpp>

#include <type_traits>

namespace traits {

template <class T>
constexpr bool move_only = !std::is_copy_constructible_v<T> && !std::is_copy_assignable_v<T> &&
                           std::is_nothrow_move_constructible_v<T> && std::is_nothrow_move_assignable_v<T>;

static_assert(move_only<bpos::registry> && std::is_nothrow_default_constructible_v<bpos::registry>);
static_assert(move_only<bpos::text> && move_only<bpos::secret_text>);
static_assert(sizeof(bpos::registry) == sizeof(bpos_registry*));

// A decision is the struct of C, with names: it is copied like one, and costs no more.
static_assert(sizeof(bpos::decision) == sizeof(bpos_decision));
static_assert(std::is_trivially_copyable_v<bpos::decision> && std::is_standard_layout_v<bpos::decision>);
static_assert(!std::is_convertible_v<bpos::decision, bool> && !std::is_convertible_v<bpos::decision, int>);

// Nothing on the way to a decision throws.
extern const bpos::registry& registry;
extern const bpos::now now;
static_assert(noexcept(registry.authorize(bpos::request{})));
static_assert(noexcept(registry.authorize_at(bpos::request{}, now)));
static_assert(noexcept(registry.authorize_scope({}, "yourstore", bpos::scope::products_read)));
static_assert(noexcept(registry.authorize_scope_at({}, "yourstore", bpos::scope::products_read, now)));
static_assert(noexcept(registry.find_scope("products:read")));
static_assert(std::is_nothrow_default_constructible_v<bpos::decision>);
static_assert(std::is_nothrow_constructible_v<bpos::store, const std::string&>);

// Whatever text a host keeps for its store is one; only any_store is the absence of the check.
static_assert(std::is_convertible_v<const char*, bpos::store> && std::is_convertible_v<std::string&, bpos::store>);
static_assert(std::is_convertible_v<const std::string&, bpos::store> && !std::is_convertible_v<std::string, bpos::store>);
static_assert(bpos::store().native().data() != nullptr && bpos::store(std::string_view{}).native().data() != nullptr);
static_assert(bpos::store(static_cast<const char*>(nullptr)).native().data() != nullptr);
static_assert(bpos::store(bpos::any_store).native().data() == nullptr);
static_assert(!std::is_constructible_v<bpos::store, std::nullptr_t>);

static_assert(std::is_base_of_v<std::runtime_error, bpos::error>);
static_assert(bpos::reason{} == bpos::reason::internal && bpos::scope{} == bpos::scope::none);

}  // namespace traits
