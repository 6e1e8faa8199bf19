//! The matrix in short: two cells with real processes in namespaces. All of it: `make lab`.

use lab::matrix::{self, Plan};
use node::Stop;
use std::path::{Path, PathBuf};

/// Where the programs are that `cargo build --workspace --bins` made.
fn programs() -> Option<PathBuf> {
    let ours = std::env::current_exe().ok()?;
    let target = ours.parent()?.parent()?;
    Some(target.join("mascaret")).filter(|it| it.exists() && target.join("mascaret-transcode").exists())
}

#[test]
fn an_edge_and_a_balancer_are_killed_and_no_viewer_stalls() {
    if !rustix::process::geteuid().is_root() || !Path::new("/dev/net/tun").exists() || !matrix::can_run() {
        println!("skipped: network namespaces need root, iproute2 and /dev/net/tun");
        return;
    }
    let Some(program) = programs() else {
        println!("skipped: mascaret and mascaret-transcode are not built");
        return;
    };
    let results = std::env::temp_dir().join(format!("mascaret-lab-{}", std::process::id()));
    let plan = Plan {
        only: vec!["edge/sigkill".into(), "lb/sigkill".into()],
        seed: 1,
        viewers: 20,
        results: results.clone(),
        program,
        faketime: PathBuf::new(),
        long: false,
        brisk: true,
        missing: false,
    };
    let holds = match matrix::run(&plan, &Stop::new()) {
        Err(error) if error.to_string().contains("another lab") => {
            println!("skipped: {error}");
            return;
        }
        ran => ran.expect("the lab can run"),
    };
    let table = std::fs::read_to_string(results.join("matrix.md")).unwrap_or_default();
    let _ = std::fs::remove_dir_all(&results);
    assert!(holds, "{table}");
}
