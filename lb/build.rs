//! Puts the pages into the program: `$WEB_DIST`, else `../web/dist`, else the built-in page of `../web/builtin`.
//!
//! `WEB_BUILD=require` makes a missing rich page an error. Nothing is fetched and nothing of node runs here:
//! that is `make web`.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Files, all together, that may be put into the program: a page with its player has under ten.
const FILES_MAX: usize = 256;

fn main() {
    println!("cargo::rerun-if-env-changed=WEB_DIST");
    println!("cargo::rerun-if-env-changed=WEB_BUILD");
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where the crate is"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo says where to write"));
    let from = source(&here);
    println!("cargo::rerun-if-changed={}", from.display());
    let mut files = Vec::new();
    walk(&from, &from, &mut files);
    files.sort();
    assert!(files.iter().any(|(name, _)| name == "index.html"), "{} has no index.html", from.display());

    let mut table = String::from("&[\n");
    for (number, (name, path)) in files.iter().enumerate() {
        let raw = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let gz = packed(&raw).filter(|gz| gz.len() < raw.len());
        let packed = match gz {
            Some(gz) => {
                let file = out.join(format!("{number}.gz"));
                fs::write(&file, gz).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
                format!("Some(include_bytes!({file:?}))")
            }
            None => "None".to_owned(),
        };
        writeln!(
            table,
            "    Asset {{ name: {name:?}, media_type: {:?}, etag: {:?}, is_hashed: {}, raw: include_bytes!({path:?}), gz: {packed} }},",
            media_type(name),
            format!("\"{:016x}\"", hash(&raw)),
            is_hashed(name),
        )
        .expect("writing to memory does not fail");
    }
    table.push(']');
    let file = out.join("pages.rs");
    fs::write(&file, table).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}

/// Where the pages are taken from.
fn source(here: &Path) -> PathBuf {
    let required = match env::var("WEB_BUILD").as_deref() {
        Ok("require") => true,
        Ok("") | Err(_) => false,
        Ok(other) => panic!("WEB_BUILD={other}: only `require` is known; `make web` builds the page"),
    };
    if let Some(named) = env::var_os("WEB_DIST").filter(|named| !named.is_empty()) {
        let named = PathBuf::from(named);
        assert!(named.join("index.html").is_file(), "WEB_DIST={} has no index.html", named.display());
        return named;
    }
    let web = here.parent().expect("the crate is in the workspace").join("web");
    let dist = web.join("dist");
    if dist.join("index.html").is_file() {
        return dist;
    }
    assert!(!required, "WEB_BUILD=require, and {} has no index.html: run `make web` first", dist.display());
    // Looked at again when a page has been built. The directory, since a file that is not there is always new.
    println!("cargo::rerun-if-changed={}", web.display());
    web.join("builtin")
}

fn walk(root: &Path, folder: &Path, files: &mut Vec<(String, PathBuf)>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.unwrap_or_else(|error| panic!("{}: {error}", folder.display())).path();
        if path.is_dir() {
            walk(root, &path, files);
            continue;
        }
        let name = path.strip_prefix(root).ok().and_then(Path::to_str).map(str::to_owned);
        let name = name.unwrap_or_else(|| panic!("{} has no name that a URL could have", path.display()));
        // Packed twins and maps that a bundler left are not for viewers.
        if [".gz", ".br", ".map"].iter().any(|end| name.ends_with(end)) || name.starts_with('.') {
            continue;
        }
        files.push((name, path));
        assert!(files.len() <= FILES_MAX, "{} has more than {FILES_MAX} files", root.display());
    }
}

fn packed(raw: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(raw).ok()?;
    encoder.finish().ok()
}

fn hash(raw: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    raw.hash(&mut hasher);
    hasher.finish()
}

/// Whether a bundler has put a hash of the content into the name: `page-7KQ2M3XA.js`, `page.0a1b2c3d.css`.
fn is_hashed(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    let Some((stem, _)) = file.rsplit_once('.') else { return false };
    let last = stem.rsplit(['-', '.']).next().unwrap_or(stem);
    let is_upper = last.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    let is_hex = last.bytes().all(|b| b.is_ascii_hexdigit()) && last.bytes().any(|b| b.is_ascii_digit());
    last.len() >= 8 && last.len() < stem.len() && (is_upper || is_hex)
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "webmanifest" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "webp" => "image/webp",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
