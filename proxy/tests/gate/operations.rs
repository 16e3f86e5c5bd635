//! Stopping and taking over: readiness before the drain, the count of cut transactions, and sockets that outlive a
//! process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::rig::{Gate, PATIENCE, Upstream, get_text, read_request};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
/// Moves the sockets from standard input and output to where LISTEN_FDS expects them.
const HAND_OVER: &str = "exec 3<&0 4<&1 </dev/null >/dev/null; export LISTEN_PID=$$ LISTEN_FDS=2; exec \"$@\"";

#[test]
fn not_ready_comes_before_the_drain() {
    let mut gate = Gate::before(&Upstream::answering(OK), "drain_delay: 2s");
    let (plain, admin) = (gate.plain, gate.admin);
    let stopped = Arc::new(AtomicBool::new(false));
    let watched = stopped.clone();
    let watch = std::thread::spawn(move || {
        let until = Instant::now() + PATIENCE;
        while get_text(admin, "/readyz").starts_with("HTTP/1.1 200") {
            assert!(Instant::now() < until);
        }
        let ready = get_text(admin, "/readyz");
        assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("draining"), "{ready}");
        let mut stream = TcpStream::connect(plain).unwrap();
        stream.write_all(b"GET /api HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        // Unless this machine was too slow to see it in time.
        assert!(watched.load(Ordering::SeqCst) || answer.ends_with("hello"), "{answer}");
    });
    gate.stop(PATIENCE);
    stopped.store(true, Ordering::SeqCst);
    watch.join().unwrap();
}

#[test]
fn what_is_cut_at_the_end_of_a_drain_is_counted() {
    let upstream = Upstream::start(|mut stream, _| {
        read_request(&mut stream);
        let _until_the_end = stream.read(&mut [0]);
    });
    let mut gate = Gate::before(&upstream, "");
    let metrics = gate.running().metrics.clone();
    let mut stream = gate.connect();
    stream.write_all(b"GET /api HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    let until = Instant::now() + PATIENCE;
    while upstream.connections.load(Ordering::SeqCst) == 0 {
        assert!(Instant::now() < until);
        std::thread::yield_now();
    }
    gate.stop(Duration::ZERO);
    let families = metrics.gather();
    let cut = families.iter().find(|family| family.name() == "tollgate_proxy_drain_cut_total").unwrap();
    assert_eq!(cut.get_metric()[0].get_counter().get_value(), 1.0);
}

/// A proxy process on sockets that this process holds.
fn spawn(file: &Path, sockets: &[TcpListener; 2]) -> Child {
    let [plain, admin] = sockets.each_ref().map(|socket| OwnedFd::from(socket.try_clone().unwrap()));
    let mut child = Command::new("sh")
        .args(["-c", HAND_OVER, "sh", env!("CARGO_BIN_EXE_tollgate-proxy"), "--config"])
        .arg(file)
        .env_remove("TOLLGATE_LOG")
        .stdin(Stdio::from(plain))
        .stdout(Stdio::from(admin))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut said = Vec::new();
    while !said.last().is_some_and(|line: &String| line.contains("admin endpoint")) {
        said.push(lines.next().unwrap_or_else(|| panic!("the proxy did not start: {said:#?}")));
    }
    std::thread::spawn(move || lines.for_each(drop));
    child
}

fn terminate(mut child: Child) {
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(killed.success() && child.wait().unwrap().success());
}

fn ask(addr: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /api HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn a_new_process_takes_over_without_a_lost_connection() {
    let upstream = Upstream::answering(OK);
    let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [plain, admin] = sockets.each_ref().map(|socket| socket.local_addr().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("proxy.yaml");
    let text = format!(
        "node_id: a\nworkers: 2\nlisteners: [{{name: a, address: \"{plain}\"}}]\nadmin: {{address: \"{admin}\"}}\n\
         services: [{{name: a, targets: [\"http://{}\"]}}]\nroutes: [{{name: a, service: a}}]\n\
         records: {{enabled: false}}\ntimeouts: {{drain_first_request: 20s}}\n",
        upstream.addr
    );
    std::fs::write(&file, text).unwrap();
    let (over, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut running = spawn(&file, &sockets);
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (over, served) = (over.clone(), served.clone());
            std::thread::spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    let answer = ask(plain).unwrap_or_else(|error| format!("{error}"));
                    assert!(answer.ends_with("hello"), "after {} requests: {answer}", served.load(Ordering::SeqCst));
                    served.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    let some_more = || {
        let (goal, until) = (served.load(Ordering::SeqCst) + 50, Instant::now() + PATIENCE);
        while served.load(Ordering::SeqCst) < goal {
            assert!(Instant::now() < until && clients.iter().all(|client| !client.is_finished()));
            std::thread::yield_now();
        }
    };
    for _ in 0..3 {
        // Both accept for a while.
        some_more();
        let next = spawn(&file, &sockets);
        terminate(std::mem::replace(&mut running, next));
    }
    some_more();
    // No process accepts for a while, and clients wait.
    terminate(running);
    let running = spawn(&file, &sockets);
    some_more();
    assert!(get_text(admin, "/readyz").starts_with("HTTP/1.1 200"));
    over.store(true, Ordering::SeqCst);
    for client in clients {
        client.join().unwrap();
    }
    // The log level, which needs a process with a log.
    for (filter, status) in [("debug", "200"), ("a=loud", "422"), (&*"x".repeat(2_000), "413")] {
        let mut stream = TcpStream::connect(admin).unwrap();
        let length = filter.len();
        write!(
            stream,
            "PUT /log-level HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{filter}"
        )
        .unwrap();
        let mut answer = String::new();
        let _reset_after_the_answer = stream.read_to_string(&mut answer);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{filter}: {answer}");
    }
    terminate(running);
}

#[test]
fn a_socket_that_nobody_has_is_an_error() {
    let gate = Gate::before(&Upstream::answering(OK), "");
    let plan = tollgate_proxy::plan::RuntimeConfig::load(&gate.dir.path().join("gate.yaml")).unwrap();
    let stray = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = stray.local_addr().unwrap().to_string();
    let error = tollgate_proxy::start_on(plan, vec![stray]).unwrap_err().to_string();
    assert!(error.contains(&address) && error.contains("write it there"), "{error}");
}
