//! Writes include/bpos.h and include/bpos.ffi.h from src/ffi: `make header`.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use cbindgen::{Builder, Config};

/// The files with exports, in the order in which the header tells of them.
const SOURCES: [&str; 7] =
    ["constants.rs", "error.rs", "registry.rs", "authorize.rs", "keys.rs", "buffer.rs", "text.rs"];

/// The version of the workspace, which is the library's.
const VERSION: &str = env!("CARGO_PKG_VERSION");

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let config = Config::from_file(root.join("cbindgen.toml"))?;
    let sources = sources(&root)?;

    write(&root.join("include/bpos.h"), &generate(&sources, for_c(config.clone()))?)?;

    let plain = generate(&sources, for_ffi(config))?;
    if let Some(line) = plain.lines().find(|line| line.starts_with('#')) {
        return Err(format!("bpos.ffi.h would have a preprocessor line: {line}").into());
    }
    write(&root.join("include/bpos.ffi.h"), &plain)
}

/// With the version, which only Cargo knows.
fn for_c(config: Config) -> Config {
    let version = format!(
        "\n/**\n * The version of this header, which bpos_version() gives for the library.\n */\n#define BPOS_VERSION \"{VERSION}\"\n"
    );
    Config { after_includes: Some(version), ..config }
}

/// For loaders without a preprocessor. Each macro has a function in its place.
fn for_ffi(mut config: Config) -> Config {
    config.include_guard = None;
    config.sys_includes = Vec::new();
    config.cpp_compat = false;
    config.export.exclude.push("BPOS_ABI_VERSION".to_string());
    config
}

/// The sources, if no other file of src/ffi has an export that the header would miss.
fn sources(root: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let folder = root.join("src/ffi");
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        let listed = SOURCES.iter().any(|source| path.ends_with(source));
        if !listed && fs::read_to_string(&path)?.contains("no_mangle") {
            return Err(format!("{} has an export: name it in tools/header", path.display()).into());
        }
    }
    Ok(SOURCES.map(|source| folder.join(source)).into())
}

fn generate(sources: &[PathBuf], config: Config) -> Result<String, Box<dyn Error>> {
    let builder = sources.iter().fold(Builder::new().with_config(config), Builder::with_src);
    let mut text = Vec::new();
    builder.generate()?.write(&mut text);
    let text = String::from_utf8(text)?;
    match text.lines().find(|line| !line.is_ascii()) {
        Some(line) => Err(format!("not ASCII: {line}").into()),
        None => Ok(text),
    }
}

fn write(path: &Path, text: &str) -> Result<(), Box<dyn Error>> {
    fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()).into())
}
