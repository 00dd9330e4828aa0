//! A made-up shop, in memory. It knows nothing of keys: by the time a request arrives here it has been authorized,
//! and its [`Grant`] says whose data it may see.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Extension, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use axum::{Json, Router};
use bpos::Grant;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

/// What every store begins with: its tables, by their path under `/api/v1`.
const MADE_UP: &str = include_str!("shop.json");
/// The largest body that is read, in bytes.
const MAX_BODY: usize = 64 << 10;
/// The most rows that a table can have.
const MAX_ROWS: usize = 10_000;
/// The longest text that a client can put into a row, in bytes.
const MAX_TEXT: usize = 200;

/// The routes of bpos's built-in policy.
pub(crate) fn router() -> Router {
    let mut router = Router::new()
        .route("/api/v1/customers/{id}/loyalty", part("customers", "loyalty"))
        .route("/api/v1/sales/{id}/items", part("sales", "items"))
        .route("/api/v1/products/bulk", patch(update_products))
        .route("/api/v1/inventory/adjustments", post(adjust_stock))
        .route("/api/v1/customers", create("customers", &["name", "email"]))
        .route("/api/v1/customers/{id}", update("customers", &["name", "email"]))
        .route("/api/v1/webhooks", create("webhooks", &["url", "event"]))
        .route("/api/v1/webhooks/{id}", update("webhooks", &["url", "event"]).merge(remove("webhooks")));
    for (table, _) in Shop::made_up().0 {
        router = router.route(&format!("/api/v1/{table}"), all(table.clone()));
        router = router.route(&format!("/api/v1/{table}/{{id}}"), one(table));
    }
    router.layer(DefaultBodyLimit::max(MAX_BODY)).with_state(Shops::default())
}

// ---- Reading ----

type Answer = Result<Json<Value>, Problem>;

fn all(table: String) -> MethodRouter<Shops> {
    get(async move |State(shops): State<Shops>, Extension(grant): Extension<Grant>| -> Answer {
        shops.of(&grant, |shop| shop.0.get(&table).cloned().map(Json).ok_or_else(not_found))
    })
}

fn one(table: String) -> MethodRouter<Shops> {
    get(async move |State(shops): State<Shops>, Extension(grant): Extension<Grant>, Path(id): Path<u64>| -> Answer {
        shops.of(&grant, |shop| Ok(Json(shop.row(&table, id)?.clone())))
    })
}

/// One member of a row.
fn part(table: &'static str, member: &'static str) -> MethodRouter<Shops> {
    get(async move |State(shops): State<Shops>, Extension(grant): Extension<Grant>, Path(id): Path<u64>| -> Answer {
        shops.of(&grant, |shop| Ok(Json(shop.row(table, id)?.get(member).cloned().unwrap_or_default())))
    })
}

// ---- Writing ----

/// Adds a row of texts, of which the first member is required.
fn create(table: &'static str, members: &'static [&'static str]) -> MethodRouter<Shops> {
    post(async move |State(shops): State<Shops>, Extension(grant): Extension<Grant>, Json(body): Json<Value>| {
        let row = texts(&body, members)?;
        match members.first().filter(|required| !row.contains_key(**required)) {
            Some(required) => Err(invalid(format!("{required} is missing"))),
            None => shops.of(&grant, |shop| shop.insert(table, row)),
        }
    })
}

/// Changes the texts that are given and leaves the others.
fn update(table: &'static str, members: &'static [&'static str]) -> MethodRouter<Shops> {
    let change = async move |State(shops): State<Shops>,
                             Extension(grant): Extension<Grant>,
                             Path(id): Path<u64>,
                             Json(body): Json<Value>|
                -> Answer {
        let changes = texts(&body, members)?;
        shops.of(&grant, |shop| {
            let row = shop.row(table, id)?;
            row.as_object_mut().ok_or_else(not_found)?.extend(changes);
            Ok(Json(row.clone()))
        })
    };
    put(change).patch(change)
}

fn remove(table: &'static str) -> MethodRouter<Shops> {
    delete(async move |State(shops): State<Shops>, Extension(grant): Extension<Grant>, Path(id): Path<u64>| {
        shops.of(&grant, |shop| {
            shop.row(table, id)?;
            shop.rows(table)?.retain(|row| row.get("id") != Some(&id.into()));
            Ok::<_, Problem>(StatusCode::NO_CONTENT)
        })
    })
}

/// `{"products": [{"id": 1, "price_cents": 450, "stock": 12}]}`: all are changed, or none.
async fn update_products(
    State(shops): State<Shops>,
    Extension(grant): Extension<Grant>,
    Json(body): Json<Value>,
) -> Answer {
    let number = |row: &Value, member| match row.get(member) {
        None => Ok(None),
        Some(value) => {
            let whole = value.as_u64().ok_or_else(|| invalid(format!("{member} is not a whole number from 0")))?;
            Ok(Some(Value::from(whole)))
        }
    };
    let products = body.get("products").and_then(Value::as_array).ok_or_else(|| invalid("products is not an array"))?;
    shops.of(&grant, |shop| {
        let mut changes = Vec::new();
        for product in products {
            let id = product.get("id").and_then(Value::as_u64).ok_or_else(|| invalid("a product has no id"))?;
            shop.row("products", id)?;
            changes.push((id, number(product, "price_cents")?, number(product, "stock")?));
        }
        for (id, price_cents, stock) in changes {
            for (table, member, value) in [("products", "price_cents", price_cents), ("inventory", "stock", stock)] {
                if let (Some(value), Some(row)) = (value, shop.row(table, id)?.as_object_mut()) {
                    row.insert(member.to_string(), value);
                }
            }
        }
        Ok(Json(json!({ "updated": products.len() })))
    })
}

/// `{"product_id": 1, "change": -2, "reason": "Breakage"}`: moves a product's stock level, and keeps a note of it.
async fn adjust_stock(
    State(shops): State<Shops>,
    Extension(grant): Extension<Grant>,
    Json(body): Json<Value>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let id = body.get("product_id").and_then(Value::as_u64).ok_or_else(|| invalid("product_id is not a number"))?;
    let change = body.get("change").and_then(Value::as_i64).ok_or_else(|| invalid("change is not a whole number"))?;
    let reason = body.get("reason").and_then(Value::as_str).filter(|text| text.len() <= MAX_TEXT).unwrap_or_default();
    let adjustment = json!({ "product_id": id, "change": change, "reason": reason });
    shops.of(&grant, |shop| {
        let level = shop.row("inventory", id)?.get("stock").and_then(Value::as_i64).unwrap_or_default();
        let level = level.checked_add(change).filter(|level| *level >= 0).ok_or_else(|| invalid("no such stock"))?;
        let adjustment = shop.insert("inventory/adjustments", adjustment.as_object().cloned().unwrap_or_default())?;
        if let Some(row) = shop.row("inventory", id)?.as_object_mut() {
            row.insert("stock".to_string(), level.into());
        }
        Ok(adjustment)
    })
}

/// The members of a body that is an object of texts, and of no others.
fn texts(body: &Value, members: &[&str]) -> Result<Map<String, Value>, Problem> {
    let body = body.as_object().ok_or_else(|| invalid("the body is not an object"))?;
    let sound = |text: &str| !text.is_empty() && text.len() <= MAX_TEXT;
    for (name, value) in body {
        if !members.contains(&name.as_str()) || !value.as_str().is_some_and(sound) {
            return Err(invalid(format!("expected texts of 1 to {MAX_TEXT} bytes: {}", members.join(", "))));
        }
    }
    Ok(body.clone())
}

// ---- The data ----

/// The shops of all stores, by their names.
#[derive(Clone, Default)]
struct Shops(Arc<Mutex<HashMap<String, Shop>>>);

/// One store's tables. A row is found by its `id`.
struct Shop(Map<String, Value>);

impl Shops {
    /// Works on the shop of the store that the key belongs to.
    fn of<T>(&self, grant: &Grant, work: impl FnOnce(&mut Shop) -> T) -> T {
        work(self.0.lock().entry(grant.store().to_string()).or_insert_with(Shop::made_up))
    }
}

impl Shop {
    fn made_up() -> Self {
        Self(serde_json::from_str(MADE_UP).expect("shop.json is an object"))
    }

    fn rows(&mut self, table: &str) -> Result<&mut Vec<Value>, Problem> {
        self.0.get_mut(table).and_then(Value::as_array_mut).ok_or_else(not_found)
    }

    fn row(&mut self, table: &str, id: u64) -> Result<&mut Value, Problem> {
        self.rows(table)?.iter_mut().find(|row| row.get("id") == Some(&id.into())).ok_or_else(not_found)
    }

    /// Adds a row under the next id.
    fn insert(&mut self, table: &str, mut row: Map<String, Value>) -> Result<(StatusCode, Json<Value>), Problem> {
        let rows = self.rows(table)?;
        if rows.len() >= MAX_ROWS {
            return Err(Problem(StatusCode::INSUFFICIENT_STORAGE, format!("{table} is full")));
        }
        let last = rows.iter().filter_map(|row| row.get("id")?.as_u64()).max().unwrap_or(0);
        row.insert("id".to_string(), (last + 1).into());
        rows.push(row.clone().into());
        Ok((StatusCode::CREATED, Json(row.into())))
    }
}

/// What the shop itself refuses, in the same form as bpos's denials (RFC 9457).
struct Problem(StatusCode, String);

fn not_found() -> Problem {
    Problem(StatusCode::NOT_FOUND, "There is no such thing.".to_string())
}

fn invalid(detail: impl Into<String>) -> Problem {
    Problem(StatusCode::UNPROCESSABLE_ENTITY, detail.into())
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self(status, detail) = self;
        let (title, code) = (status.canonical_reason(), status.as_u16());
        let body = json!({ "type": "about:blank", "title": title, "status": code, "detail": detail });
        (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
    }
}
