//! `mascaret ingest failover`: asks an ingest to let its twin lead.
//!
//! Does not live here: what is refused and in which words (`ingest`, its operator listener).

use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use crate::fetch::Fetcher;
use crate::{DONE, cli, failed};

/// Longer than the ingest itself waits for a cut of each of a few broadcasts.
const ANSWER_MAX: Duration = Duration::from_secs(60);

pub(crate) fn run(args: &cli::Failover) -> ExitCode {
    let mut url = format!("http://{}/admin/failover?dry_run={}", args.ingest, args.dry_run);
    if let Some(broadcast) = &args.broadcast {
        let is_name = broadcast.parse::<media::BroadcastId>();
        if let Err(error) = is_name {
            return crate::wrong_usage(format_args!("--broadcast {broadcast}: {error}"));
        }
        url.push_str(&format!("&broadcast={broadcast}"));
    }
    let answer = match Fetcher::new(ANSWER_MAX).post(&url) {
        Ok(answer) => answer,
        Err(error) => return failed(error),
    };
    let Ok(outcomes) = serde_json::from_slice::<Vec<Value>>(&answer.body) else {
        let said = String::from_utf8_lossy(&answer.body);
        return failed(format_args!("{}: status {}, {}", args.ingest, answer.status, said.trim()));
    };
    if args.json {
        println!("{}", Value::Array(outcomes.clone()));
    } else if outcomes.is_empty() {
        println!("nothing is on the air at {}", args.ingest);
    } else {
        for outcome in &outcomes {
            let text = |key: &str| outcome[key].as_str().unwrap_or("-").to_owned();
            println!("{}: {}", text("broadcast"), text("said"));
        }
    }
    match outcomes.iter().all(|outcome| outcome["is_done"] == true) {
        true => DONE,
        false => ExitCode::from(1),
    }
}
