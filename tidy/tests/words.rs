//! Names are the specifications' words. docs/GLOSSARY.md says which word is refused, and which is meant.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tidy is one level below the root").to_path_buf()
}

/// Words in `code type` in the last column of the glossary's table.
fn refused() -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join("docs/GLOSSARY.md")).expect("docs/GLOSSARY.md is there");
    let mut refused = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [word, .., not] = cells.as_slice() else { continue };
        for bad in not.split('`').skip(1).step_by(2) {
            refused.push((bad.to_string(), (*word).to_string()));
        }
    }
    refused
}

/// The parts of an identifier: `MasterPlaylist`, `master_playlist` → master, playlist.
fn parts(identifier: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut previous_is_lower = false;
    for c in identifier.chars() {
        if c == '_' || (c.is_uppercase() && previous_is_lower) {
            parts.push(String::new());
        }
        previous_is_lower = c.is_lowercase() || c.is_ascii_digit();
        if c != '_' {
            parts.last_mut().expect("never empty").extend(c.to_lowercase());
        }
    }
    parts
}

/// Names that a file declares: what follows `fn`, `struct`, `enum`, `trait`, `mod`, `const`, `type`, `let`.
fn declared(source: &str) -> Vec<(usize, String)> {
    const BEFORE: [&str; 9] = ["fn", "struct", "enum", "trait", "mod", "const", "static", "type", "let"];
    let mut names = Vec::new();
    for (number, line) in source.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        let words: Vec<_> =
            code.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|w| !w.is_empty()).collect();
        for pair in words.windows(2) {
            if BEFORE.contains(&pair[0]) && pair[1] != "mut" {
                names.push((number + 1, pair[1].to_string()));
            }
        }
    }
    names
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the house can be read").flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let skip = ["target", "node_modules", ".git", "dist", "web"].iter().any(|skip| name == *skip);
        if path.is_dir() && !skip {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_name_uses_a_refused_word() {
    let refused = refused();
    assert!(refused.len() >= 10, "the glossary's table was not read: {refused:?}");
    let mut files = Vec::new();
    rust_files(&root(), &mut files);
    let mut faults = Vec::new();
    for file in files {
        let source = fs::read_to_string(&file).expect("a source file is text");
        for (line, name) in declared(&source) {
            let parts = parts(&name);
            if let Some((bad, word)) = refused.iter().find(|(bad, _)| parts.iter().any(|part| part == bad)) {
                let place = file.strip_prefix(root()).unwrap_or(&file).display();
                faults.push(format!("{place}:{line}: `{name}` says {bad}; the house says: {word}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_refused_word_would_be_found() {
    // Put together here, so that this file does not declare them itself.
    let source =
        ["pub fn parse_", "master_playlist(x: u8) {}\nstruct ", "IdrFrame;\n// fn manifest()"].concat();
    let names = declared(&source);
    assert_eq!(
        names.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>(),
        ["parse_master_playlist", "IdrFrame"]
    );
    assert_eq!(parts("IdrFrame"), ["idr", "frame"]);
    assert!(refused().iter().any(|(bad, _)| bad == "idr"));
}
