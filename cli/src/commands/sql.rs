//! `tollgate sql`: one query, its rows.

use std::io::Read;
use std::process::ExitCode;

use serde_json::json;

use crate::args::SqlArgs;
use crate::client::{HttpClient, print, wire_name};

/// Runs the command.
pub fn main(args: &SqlArgs) -> anyhow::Result<ExitCode> {
    let sql = if args.sql == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        text
    } else {
        args.sql.clone()
    };
    let body = json!({ "sql": sql, "format": wire_name(args.format) });
    let answer = HttpClient::new(&args.server).post("/v1/sql", &body, Some(&sql))?;
    print(&answer, args.format)?;
    Ok(ExitCode::SUCCESS)
}
