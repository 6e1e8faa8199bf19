//! A crate depends only on crates of lower floors: no sideways edge, no cycle, no role on another role.

use cargo_metadata::{Metadata, MetadataCommand, Package};

fn house() -> Metadata {
    MetadataCommand::new().no_deps().exec().expect("cargo metadata runs in this workspace")
}

fn floor(package: &Package) -> Option<u64> {
    package.metadata.get("house")?.get("floor")?.as_u64()
}

/// Edges that do not go down, as sentences.
fn faults(house: &Metadata) -> Vec<String> {
    let mut faults = Vec::new();
    for package in &house.packages {
        let Some(own) = floor(package) else {
            faults.push(format!("{} has no floor: add [package.metadata.house] floor = n", package.name));
            continue;
        };
        for dependency in &package.dependencies {
            let Some(below) = house.packages.iter().find(|other| *other.name == dependency.name) else {
                continue;
            };
            match floor(below) {
                Some(their) if their < own => {}
                their => faults.push(format!(
                    "{} (floor {own}) depends on {} (floor {their:?}): only lower floors are allowed; what both need \
                     belongs on a floor below them",
                    package.name, below.name
                )),
            }
        }
    }
    faults
}

#[test]
fn every_edge_goes_down() {
    let faults = faults(&house());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_sideways_edge_would_be_found() {
    let mut house = house();
    let flv = house.packages.iter().position(|p| p.name.as_str() == "flv").expect("there is a room flv");
    house.packages[flv].metadata = serde_json_floor(9);
    assert!(faults(&house).iter().any(|fault| fault.contains("depends on flv (floor Some(9))")));
}

fn serde_json_floor(floor: u64) -> serde_json::Value {
    serde_json::json!({ "house": { "floor": floor } })
}

#[test]
fn what_is_below_the_line_names_no_runtime() {
    const ABOVE: [&str; 12] = [
        "tokio",
        "axum",
        "io-uring",
        "libc",
        "rustix",
        "socket2",
        "mio",
        "ureq",
        "rustls",
        "tokio-rustls",
        "getrandom",
        "ffmpeg-next",
    ];
    for package in &house().packages {
        if floor(package).is_some_and(|floor| floor <= 3) {
            for dependency in
                package.dependencies.iter().filter(|d| d.kind == cargo_metadata::DependencyKind::Normal)
            {
                assert!(
                    !ABOVE.contains(&dependency.name.as_str()),
                    "{} is below the line and depends on {}: rooms are sans-IO",
                    package.name,
                    dependency.name
                );
            }
        }
    }
}
