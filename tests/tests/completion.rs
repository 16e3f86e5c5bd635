//! `tollgate ask` in a shell: what is offered at the cursor, as bash, zsh and fish ask for it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::Command;

use anyhow::ensure;
use tollgate_tests::process::{binary, run};

/// What the binary offers bash for the last of these words.
fn offered(url: &str, words: &[&str]) -> anyhow::Result<Vec<String>> {
    let mut command = Command::new(binary("tollgate")?);
    command.env("COMPLETE", "bash").env("_CLAP_IFS", "\n").env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string());
    let output = run(command.env("TOLLGATE_URL", url).arg("--").args(words))?;
    Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
}

/// A query server that answers one question with these services; the URL, and what it was asked.
fn server(services: &[&str]) -> anyhow::Result<(String, std::thread::JoinHandle<std::io::Result<String>>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    let rows: Vec<_> = services.iter().map(|name| serde_json::json!({ "service": name })).collect();
    let body = serde_json::json!({ "rows": rows }).to_string();
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept()?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let lower = line.trim().to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            if lower.is_empty() {
                break;
            }
        }
        let mut asked = vec![0; length];
        reader.read_exact(&mut asked)?;
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        (&stream).write_all((head + &body).as_bytes())?;
        Ok(String::from_utf8_lossy(&asked).into_owned())
    });
    Ok((url, thread))
}

/// An address where nobody listens.
const NOBODY: &str = "http://127.0.0.1:9";

#[test]
fn questions_and_their_parameters_are_offered() -> anyhow::Result<()> {
    let names = offered(NOBODY, &["tollgate", "ask", "why"])?;
    ensure!(names == ["why-failed"], "{names:?}");
    let all = offered(NOBODY, &["tollgate", "ask", ""])?;
    ensure!(all.first().is_some_and(|first| first == "why-failed") && all.contains(&"trace".to_owned()), "{all:?}");
    let flags = offered(NOBODY, &["tollgate", "ask", "why-failed", "--s"])?;
    ensure!(flags.contains(&"--service".to_owned()) && flags.contains(&"--since".to_owned()), "{flags:?}");
    let rest = offered(NOBODY, &["tollgate", "ask", "why-failed", "--service", "members", "--s"])?;
    ensure!(rest.contains(&"--since".to_owned()) && !rest.contains(&"--service".to_owned()), "{rest:?}");
    let lengths = offered(NOBODY, &["tollgate", "ask", "why-failed", "--service", "members", "--since", "1"])?;
    ensure!(lengths.contains(&"15m".to_owned()) && lengths.contains(&"1d".to_owned()), "{lengths:?}");
    Ok(())
}

#[test]
fn services_come_from_the_query_server() -> anyhow::Result<()> {
    // What a shell would run is not offered: callers choose some of what records hold.
    let (url, asked) = server(&["members", "mem$(id)", "mem;id", "membership"])?;
    let names = offered(&url, &["tollgate", "ask", "why-failed", "--service", "mem"])?;
    ensure!(names == ["members", "membership"], "{names:?}");
    let asked = asked.join().expect("the server's thread")?;
    ensure!(asked.contains("starts_with(service, 'mem')") && asked.contains("ago('1h')"), "{asked}");
    let (url, _asked) = server(&["members"])?;
    let joined = offered(NOBODY, &["tollgate", "ask", "--url", &url, "why-failed", "--service=m"])?;
    ensure!(joined.contains(&"--service=members".to_owned()), "{joined:?}");
    Ok(())
}

#[test]
fn a_query_server_that_is_away_offers_nothing() -> anyhow::Result<()> {
    let names = offered(NOBODY, &["tollgate", "ask", "why-failed", "--service", "mem"])?;
    ensure!(names.is_empty(), "{names:?}");
    // It listens, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", silent.local_addr()?);
    let names = offered(&url, &["tollgate", "ask", "why-failed", "--service", "mem"])?;
    ensure!(names.is_empty(), "{names:?}");
    Ok(())
}

#[test]
fn every_shell_gets_its_script() -> anyhow::Result<()> {
    for shell in ["bash", "zsh", "fish"] {
        let script = String::from_utf8(run(Command::new(binary("tollgate")?).env("COMPLETE", shell))?.stdout)?;
        ensure!(script.contains("tollgate") && script.contains("COMPLETE"), "{shell}: {script}");
    }
    Ok(())
}
