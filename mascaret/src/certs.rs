//! `mascaret certs init`.

use std::process::ExitCode;

use node::certs::Made;

use crate::{DONE, cli, failed};

pub(crate) fn init(args: &cli::CertsInit) -> ExitCode {
    crate::sys::end_with_our_reader();
    let directory = args.dir.display();
    if args.dry_run {
        let has_ca = args.dir.join("ca.pem").exists() && args.dir.join("ca.key").exists();
        let ca = if has_ca { "is kept" } else { "would be made" };
        println!("{directory}/ca.pem, ca.key            {ca}");
        for id in &args.nodes {
            println!("{directory}/node-{id}.pem, node-{id}.key  would be made anew, good for {id} only");
        }
        if !args.nodes.is_empty() {
            return DONE;
        }
        println!("{directory}/cluster.pem, cluster.key  would be made anew");
        println!("{directory}/https.pem, https.key      would be made anew, for {}", names(args));
        return DONE;
    }
    if !args.nodes.is_empty() {
        return match node::certs::init_nodes(&args.dir, &args.nodes) {
            Ok(made) => {
                let ca = if made == Made::All { "made" } else { "kept" };
                println!("{directory}/ca.pem, ca.key  {ca}");
                for id in &args.nodes {
                    println!("{directory}/node-{id}.pem, node-{id}.key  made, good for {id} only");
                }
                let id = &args.nodes[0];
                println!(
                    "\nsettings of {id}:\n\n[certificates]\ndirectory = \"{directory}\"\n\
                     cluster_chain = \"{directory}/node-{id}.pem\"\ncluster_key = \"{directory}/node-{id}.key\""
                );
                DONE
            }
            Err(error) => failed(error),
        };
    }
    match node::certs::init(&args.dir, &args.names) {
        Ok(made) => {
            let ca = if made == Made::All { "made" } else { "kept" };
            println!(
                "{directory}/ca.pem, ca.key            {ca}; viewers who import ca.pem trust the https leaf"
            );
            println!("{directory}/cluster.pem, cluster.key  made; every node needs these and ca.pem");
            println!("{directory}/https.pem, https.key      made, for {}", names(args));
            println!("\nsettings:\n\n[certificates]\ndirectory = \"{directory}\"");
            DONE
        }
        Err(error) => failed(error),
    }
}

fn names(args: &cli::CertsInit) -> String {
    let mut names = vec!["localhost", "127.0.0.1", "::1"];
    names.extend(args.names.iter().map(String::as_str));
    names.join(", ")
}
