//! Puts the operator's page into the program: `../../web/dist-operator`, where `make web` has made it. Without it the
//! plain page is what there is (`operator/plain.rs`). Nothing is fetched and nothing of node runs here.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where the crate is"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo says where to write"));
    let web = here.join("../../web");
    let dist = web.join("dist-operator");
    let mut table = String::from("&[\n");
    if dist.join("index.html").is_file() {
        println!("cargo::rerun-if-changed={}", dist.display());
        for (name, path) in files(&dist) {
            let media_type = match name.rsplit('.').next() {
                Some("html") => "text/html; charset=utf-8",
                Some("js") => "text/javascript; charset=utf-8",
                Some("css") => "text/css; charset=utf-8",
                _ => continue,
            };
            // A copy: whoever builds the page anew while we compile takes nothing away.
            let copy = out.join(&name);
            fs::copy(&path, &copy).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            writeln!(table, "    ({name:?}, {media_type:?}, include_bytes!({copy:?})),")
                .expect("writing to memory does not fail");
        }
    } else {
        // Looked at again when a page has been built. A file that is always there: one that is not is always new.
        println!("cargo::rerun-if-changed={}", web.display());
    }
    table.push(']');
    let file = out.join("operator_page.rs");
    fs::write(&file, table).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}

fn files(dist: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(dist).unwrap_or_else(|error| panic!("{}: {error}", dist.display()));
    let mut files: Vec<(String, PathBuf)> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let path = fs::canonicalize(path).ok()?;
            Some((path.file_name()?.to_str()?.to_owned(), path))
        })
        .collect();
    files.sort();
    files
}
