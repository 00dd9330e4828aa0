//! What a decision costs, beside the hash of its key and beside what people write instead, in one process and one run:
//! `make bench`.
//!
//! Each figure is the fastest of several rounds. Keys are presented in random order, so that most of what is read comes
//! from memory once the keys no longer fit into the caches. U is `Sha256::digest` of the same keys.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a program that prints a table"
)]

mod authority;
mod c;
mod costs;
#[path = "../shared/keys.rs"]
mod keys;
mod latency;
mod peers;
mod plot;
#[path = "../shared/table.rs"]
mod table;
mod threads;
mod timing;

use costs::{Admitted, Costs};
use plot::{Line, Plot};
use threads::Throughput;

/// All parts, or those that are named: `cargo bench --bench authorize -- costs threads latency`.
fn main() {
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |part| named.is_empty() || named.iter().any(|name| name == part);
    println!("{}", machine());
    if wanted("costs") {
        let quiet = threads::is_quiet();
        let sizes = [100, 10_000, 100_000, 1_000_000];
        let admitted: Vec<Admitted> = sizes.iter().map(|keys| Costs::new(*keys).print()).collect();
        write("cost.svg", cost(&admitted), quiet);
    }
    if wanted("threads") {
        let quiet = threads::is_quiet();
        write("threads.svg", threads(&threads::print()), quiet);
    }
    if wanted("latency") {
        latency::print();
    }
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    format!("{}, {cores} cores, {}", model.map_or("unknown processor", |(_, name)| name), std::env::consts::OS)
}

fn cost(admitted: &[Admitted]) -> Plot {
    let line = |n: usize, name: &&str| Line {
        name: (*name).into(),
        points: admitted.iter().map(|costs| (costs.keys, costs.ns[n])).collect(),
    };
    Plot {
        title: "Admitting a request, its scope named, with the keys in random order".into(),
        x: "keys",
        y: "ns a call, one thread",
        lines: costs::NAMES.iter().enumerate().map(|(n, name)| line(n, name)).collect(),
    }
}

fn threads(throughput: &[Throughput]) -> Plot {
    let line = |name, what, points: &[(usize, f64)]| Line { name: format!("{name}: {what}"), points: points.to_vec() };
    let hot = throughput.iter().map(|of| line(of.name, "one key", &of.hot));
    let spread = throughput.iter().map(|of| line(of.name, "spread", &of.spread));
    Plot {
        title: "Refusing requests over the limit (429), all threads together".into(),
        x: "threads",
        y: "million decisions a second",
        lines: hot.chain(spread).collect(),
    }
}

/// A plot says if other programs ran, before or after its part.
fn write(file: &str, mut plot: Plot, quiet: bool) {
    if !quiet || !threads::is_quiet() {
        println!("{file}: other programs ran, so its figures are not valid");
        plot.title += " - NOT VALID: other programs ran";
    }
    let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    std::fs::write(docs.join(file), plot.svg()).expect("docs is a folder of this checkout");
}
