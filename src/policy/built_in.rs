//! The policy of the user documentation.

use once_cell::race::OnceBox;

use super::builder::PolicyBuilder;
use super::lookup::Policy;
use super::scope::BUILT_IN;
use crate::error::Error;

/// The policy of the user documentation.
impl Default for Policy {
    fn default() -> Self {
        static DOCUMENTED: OnceBox<Policy> = OnceBox::new();
        // If it could not be built, a policy that grants nothing; a test shows that it can.
        let build = || Box::new(documented().unwrap_or_else(|_| PolicyBuilder::new()).build());
        DOCUMENTED.get_or_init(build).clone()
    }
}

/// A scope, its methods, and its paths below `/api/v1/`.
type Routes = (&'static str, &'static [&'static str], &'static [&'static str]);

const ROUTES: &[Routes] = &[
    (
        "products:read",
        &["GET"],
        &["products", "products/{id}", "categories", "categories/{id}", "brands", "brands/{id}", "settings"],
    ),
    ("customers:read", &["GET"], &["customers", "customers/{id}", "customers/{id}/loyalty"]),
    ("sales:read", &["GET"], &["sales", "sales/{id}", "sales/{id}/items", "receipts", "receipts/{id}"]),
    (
        "inventory:read",
        &["GET"],
        &["inventory", "inventory/{id}", "inventory/adjustments", "inventory/adjustments/{id}"],
    ),
    ("loyalty:read", &["GET"], &["loyalty/tiers", "loyalty/rewards", "loyalty/transactions"]),
    ("gift_cards:read", &["GET"], &["gift-cards", "gift-cards/{id}"]),
    ("store_credits:read", &["GET"], &["store-credits", "store-credits/{id}"]),
    ("products:write", &["PATCH"], &["products/bulk"]),
    ("customers:write", &["POST"], &["customers"]),
    ("customers:write", &["PUT", "PATCH"], &["customers/{id}"]),
    ("inventory:write", &["POST"], &["inventory/adjustments"]),
    ("webhooks:manage", &["GET", "POST"], &["webhooks"]),
    ("webhooks:manage", &["GET", "PUT", "PATCH", "DELETE"], &["webhooks/{id}"]),
];

fn documented() -> Result<PolicyBuilder, Error> {
    let mut builder = PolicyBuilder::new();
    for name in BUILT_IN {
        builder.scope(name, None)?;
    }
    for name in BUILT_IN {
        if let Some(subject) = name.strip_suffix(":write") {
            builder.include(name, &format!("{subject}:read"))?;
        }
    }
    let mut number = 0;
    for (scope, methods, paths) in ROUTES {
        for (method, path) in methods.iter().flat_map(|method| paths.iter().map(move |path| (method, path))) {
            number += 1;
            builder.route(number, method, &format!("/api/v1/{path}"), builder.need(scope)?, None)?;
        }
    }
    Ok(builder)
}
