//! FFmpeg is linked by `transcode` only, and by nothing that depends on it.

use cargo_metadata::MetadataCommand;
use std::path::Path;
use std::process::Command;

#[test]
fn only_transcode_depends_on_ffmpeg() {
    let house = MetadataCommand::new().no_deps().exec().expect("cargo metadata runs in this workspace");
    for package in &house.packages {
        let links =
            package.dependencies.iter().any(|d| d.name.starts_with("ffmpeg") || d.name == "transcode");
        assert_eq!(links, package.name.as_str() == "transcode", "{} and FFmpeg", package.name);
    }
}

/// Looks at the programs themselves where they have been built; `make test` builds them before.
#[test]
fn the_program_does_not_load_libav() {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let loads = |program: &Path| {
        let listed = Command::new("ldd").arg(program).output().expect("ldd is part of libc-bin");
        String::from_utf8_lossy(&listed.stdout).contains("libavcodec")
    };
    let mut looked_at = 0;
    for profile in ["debug", "release"] {
        let program = target.join(profile).join("mascaret");
        let transcode = target.join(profile).join("mascaret-transcode");
        if program.exists() {
            assert!(!loads(&program), "{} loads libavcodec", program.display());
            looked_at += 1;
        }
        if transcode.exists() {
            assert!(loads(&transcode), "{} should be the one that loads libavcodec", transcode.display());
        }
    }
    if looked_at == 0 {
        println!("skipped: no program built yet");
    }
}
