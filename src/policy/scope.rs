//! Scopes: what a key may be allowed, as one bit each.

use std::num::NonZeroU32;

/// A scope's number, the same in every language and permanent.
///
/// The constants are the documentation's scopes. For those of another policy, call [`Policy::scope`](crate::Policy::scope)
/// once and keep the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scope(NonZeroU32);

/// The documentation's scopes, in the order of their numbers, from 1.
pub(crate) const BUILT_IN: [&str; 11] = [
    "products:read",
    "customers:read",
    "sales:read",
    "inventory:read",
    "loyalty:read",
    "gift_cards:read",
    "store_credits:read",
    "products:write",
    "customers:write",
    "inventory:write",
    "webhooks:manage",
];

impl Scope {
    /// Products, categories, brands, store settings.
    pub const PRODUCTS_READ: Self = Self::at(0);
    /// Customer profiles, loyalty info.
    pub const CUSTOMERS_READ: Self = Self::at(1);
    /// Sales history, receipts, line items.
    pub const SALES_READ: Self = Self::at(2);
    /// Stock levels, inventory adjustments.
    pub const INVENTORY_READ: Self = Self::at(3);
    /// Loyalty tiers, rewards, transactions.
    pub const LOYALTY_READ: Self = Self::at(4);
    /// Gift card balances.
    pub const GIFT_CARDS_READ: Self = Self::at(5);
    /// Store credit balances.
    pub const STORE_CREDITS_READ: Self = Self::at(6);
    /// Bulk-update product prices and stock. Includes [`Scope::PRODUCTS_READ`].
    pub const PRODUCTS_WRITE: Self = Self::at(7);
    /// Create and update customer records. Includes [`Scope::CUSTOMERS_READ`].
    pub const CUSTOMERS_WRITE: Self = Self::at(8);
    /// Create stock adjustments. Includes [`Scope::INVENTORY_READ`].
    pub const INVENTORY_WRITE: Self = Self::at(9);
    /// Create, update, and delete webhook subscriptions.
    pub const WEBHOOKS_MANAGE: Self = Self::at(10);

    /// The scope with this number; `None` for 0, which no scope has.
    #[must_use]
    pub fn from_id(id: u32) -> Option<Self> {
        NonZeroU32::new(id).map(Self)
    }

    /// The number.
    #[must_use]
    pub fn id(self) -> u32 {
        self.0.get()
    }

    /// The scope at an index, from 0.
    pub(crate) const fn at(index: u32) -> Self {
        Self(NonZeroU32::MIN.saturating_add(index))
    }

    /// Its index, from 0.
    pub(crate) fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// A set of a policy's scopes: one bit each, in the order of the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ScopeSet(u64);

impl ScopeSet {
    /// How many scopes a policy can have.
    pub(crate) const CAPACITY: usize = u64::BITS as usize;

    pub(crate) const EMPTY: Self = Self(0);

    /// The set of the scope at this place of the policy; empty past the last.
    pub(crate) fn only(place: usize) -> Self {
        Self(u32::try_from(place).ok().and_then(|place| 1_u64.checked_shl(place)).unwrap_or(0))
    }

    #[must_use]
    pub(crate) fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[must_use]
    pub(crate) fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether the two have a scope in common.
    #[inline]
    pub(crate) fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The places of its scopes.
    pub(crate) fn places(self) -> impl Iterator<Item = usize> + Clone {
        std::iter::successors(Some(self.0), |rest| Some(rest & rest.wrapping_sub(1)))
            .take_while(|rest| *rest != 0)
            .map(|rest| rest.trailing_zeros() as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_the_documented_ones() {
        let numbers = [
            (Scope::PRODUCTS_READ, 1, "products:read"),
            (Scope::CUSTOMERS_READ, 2, "customers:read"),
            (Scope::SALES_READ, 3, "sales:read"),
            (Scope::INVENTORY_READ, 4, "inventory:read"),
            (Scope::LOYALTY_READ, 5, "loyalty:read"),
            (Scope::GIFT_CARDS_READ, 6, "gift_cards:read"),
            (Scope::STORE_CREDITS_READ, 7, "store_credits:read"),
            (Scope::PRODUCTS_WRITE, 8, "products:write"),
            (Scope::CUSTOMERS_WRITE, 9, "customers:write"),
            (Scope::INVENTORY_WRITE, 10, "inventory:write"),
            (Scope::WEBHOOKS_MANAGE, 11, "webhooks:manage"),
        ];
        assert_eq!(numbers.len(), BUILT_IN.len());
        for (scope, id, name) in numbers {
            assert_eq!((scope.id(), BUILT_IN[scope.index()]), (id, name));
        }
        assert_eq!(Scope::from_id(0), None);
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let set = ScopeSet::only(0).union(ScopeSet::only(63));
        assert_eq!(set.places().collect::<Vec<_>>(), [0, 63]);
        assert!(!set.intersects(ScopeSet::only(1)));
        assert_eq!(ScopeSet::only(64), ScopeSet::EMPTY);
    }
}
