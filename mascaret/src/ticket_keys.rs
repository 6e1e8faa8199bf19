//! `mascaret keys rotate`: has a balancer do it.

use std::process::ExitCode;
use std::time::Duration;

use crate::fetch::Fetcher;
use crate::{DONE, cli, failed};

/// A rotation takes a second.
const ANSWER_MAX: Duration = Duration::from_secs(10);

pub(crate) fn rotate(args: &cli::KeysRotate) -> ExitCode {
    let flag = |is_set, name| if is_set { name } else { "" };
    let url = format!(
        "http://{}/admin/keys/rotate?{}{}",
        args.node,
        flag(args.dry_run, "dry_run=1&"),
        flag(args.force, "force=1")
    );
    let answer = match Fetcher::new(ANSWER_MAX).post(&url) {
        Ok(answer) => answer,
        Err(error) => return failed(error),
    };
    let said = String::from_utf8_lossy(&answer.body).trim().to_owned();
    match answer.status {
        200 => {
            println!("{said}");
            DONE
        }
        404 => failed(format!("{}: no balancer answers there", args.node)),
        _ => failed(format!("{}: {said}", args.node)),
    }
}
