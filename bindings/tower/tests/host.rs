//! The store that a host names, and that any doubt is none.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use bpos_tower::store_of_host;
use http::Request;
use http::header::HeaderValue;

fn store(target: &str, hosts: &[&[u8]]) -> Option<String> {
    store_below("brotherpos.ca", target, hosts)
}

fn store_below(domain: &str, target: &str, hosts: &[&[u8]]) -> Option<String> {
    let (mut parts, ()) = Request::get(target).body(()).unwrap().into_parts();
    for host in hosts {
        parts.headers.append("Host", HeaderValue::from_bytes(host).unwrap());
    }
    store_of_host(&parts, domain).map(Into::into)
}

#[test]
fn the_store_is_the_one_label_before_the_domain() {
    let longest = "a".repeat(63);
    for (host, expected) in [
        ("yourstore.brotherpos.ca", "yourstore"),
        ("YourStore.BrotherPOS.ca", "yourstore"),
        ("yourstore.brotherpos.ca:443", "yourstore"),
        ("yourstore.brotherpos.ca:", "yourstore"),
        ("yourstore.brotherpos.ca.", "yourstore"),
        ("YOURSTORE.brotherpos.ca.:8080", "yourstore"),
        ("your-store_2.brotherpos.ca", "your-store_2"),
        (&format!("{longest}.brotherpos.ca"), &longest),
    ] {
        assert_eq!(store("/", &[host.as_bytes()]).as_deref(), Some(expected), "Host: {host}");
        let target = format!("https://{host}/api/v1/products");
        assert_eq!(store(&target, &[]).as_deref(), Some(expected), "{target}");
        assert_eq!(store(&target, &[b"yourstore.elsewhere.test"]), None, "{target}, and another host");
    }
}

#[test]
fn a_host_that_is_not_one_label_before_the_domain_names_no_store() {
    for host in [
        "",
        ".",
        ":443",
        "brotherpos.ca",
        ".brotherpos.ca",
        "..brotherpos.ca",
        "yourstore..brotherpos.ca",
        "yourstore.brotherpos.ca..",
        "a.yourstore.brotherpos.ca",
        "yourstore",
        "yourstore.brotherpos.com",
        "yourstore.brotherpos.ca.elsewhere.test",
        "yourstore.notbrotherpos.ca",
        "yourstorebrotherpos.ca",
        "127.0.0.1",
        "[::1]",
        "[::1]:8080",
        "[yourstore.brotherpos.ca]",
        "user@yourstore.brotherpos.ca",
        "user:password@yourstore.brotherpos.ca",
        "yourstore.brotherpos.ca:https",
        "yourstore.brotherpos.ca:443:443",
        "yourstore.brotherpos.ca:123456",
        "yourstore.brotherpos.ca:+443",
        "your%73tore.brotherpos.ca",
        "your store.brotherpos.ca",
        "yourstore .brotherpos.ca",
        "yourstore,other.brotherpos.ca",
        "*.brotherpos.ca",
        &format!("{}.brotherpos.ca", "a".repeat(64)),
    ] {
        assert_eq!(store("/", &[host.as_bytes()]), None, "Host: {host}");
        let target = format!("https://{host}/api/v1/products");
        if Request::get(&target).body(()).is_ok() {
            assert_eq!(store(&target, &[]), None, "{target}");
        }
    }
    assert_eq!(store("/", &[b"yourst\xC3\xB6re.brotherpos.ca"]), None);
    assert_eq!(store("/", &[]), None);
}

#[test]
fn several_hosts_name_no_store() {
    let yours = b"yourstore.brotherpos.ca".as_slice();
    let theirs = b"otherstore.brotherpos.ca".as_slice();
    let target = "https://yourstore.brotherpos.ca/api/v1/products";
    for hosts in [[yours, yours], [yours, theirs], [theirs, yours], [yours, b""], [b"", yours]] {
        assert_eq!(store("/", &hosts), None, "{hosts:?}");
        assert_eq!(store(target, &hosts), None, "{hosts:?}");
    }
    for host in [theirs, b"", b"yourstore", b"user@yourstore.brotherpos.ca", b"yourstore.brotherpos.ca:x"] {
        assert_eq!(store(target, &[host]), None, "{host:?}");
    }
    for host in [yours, b"YourStore.brotherpos.ca:443", b"yourstore.brotherpos.ca."] {
        assert_eq!(store(target, &[host]).as_deref(), Some("yourstore"), "{host:?}");
    }
}

#[test]
fn the_domain_is_the_whole_one_whatever_its_case() {
    assert_eq!(store_below("BrotherPOS.ca", "/", &[b"yourstore.brotherpos.ca"]).as_deref(), Some("yourstore"));
    assert_eq!(store_below("shops.brotherpos.ca", "/", &[b"a.shops.brotherpos.ca"]).as_deref(), Some("a"));
    assert_eq!(store_below("localhost", "/", &[b"yourstore.localhost:8080"]).as_deref(), Some("yourstore"));
    for domain in ["", ".", "ca", ".brotherpos.ca", "brotherpos.ca.", "brotherpos.ca:443"] {
        assert_eq!(store_below(domain, "/", &[b"yourstore.brotherpos.ca"]), None, "{domain:?}");
    }
}
