//! A server with threads, under load on the loopback: redis, with its own benchmark.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::preloaded::{Outcome, Program, fresh_folder};

/// How long a server may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn a_server_serves_under_load() {
    let (Some(server), Some(load)) = (Program::installed("redis-server"), Program::installed("redis-benchmark")) else {
        return;
    };
    let running = Server::start(server, "128M", &["--io-threads", "2", "--io-threads-do-reads", "yes"]);
    // Few requests by many clients: its threads wait awake for each other, which takes long where there are few cores.
    let load = load.arguments(["-p", &running.port.to_string(), "-c", "20", "-n", "2000", "-r", "1000", "-d", "300"]);
    let load = load.arguments(["-P", "16", "-q", "-t", "set,get,incr,lpush,lpop,sadd,hset,zadd,mset"]);
    let outcome = load.run_preloaded("64M");
    assert!(outcome.status.success(), "{outcome:#?}");
    assert_eq!(outcome.text().matches("requests per second").count(), 9, "{outcome:#?}");
    outcome.was_served();
    // A fork that writes everything to a file, while the parent goes on; and a thread that frees everything.
    assert_eq!(running.ask("save"), "+OK");
    assert!(running.ask("bgsave").starts_with("+Background saving started"));
    assert_eq!(running.ask("flushall async"), "+OK");
    let outcome = running.stop();
    assert!(outcome.status.success(), "{outcome:#?}");
    outcome.was_served();
    let log = outcome.text();
    assert!(log.contains("DB saved on disk") && !log.contains("error"), "{outcome:#?}");
}

#[test]
fn a_server_that_is_out_of_memory_says_so_and_ends() {
    let Some(server) = Program::installed("redis-server") else { return };
    let running = Server::start(server, "8M", &["--crash-memcheck-enabled", "no"]);
    assert_eq!(running.ask("set key value"), "+OK");
    // More than is left. (Were it many small ones, the server would be out of memory for its last words as well.)
    assert_eq!(running.ask("setrange key 7000000 x"), "");
    let outcome = running.thread.join().expect("the server was waited for");
    assert!(!outcome.status.success(), "{outcome:#?}");
    assert!(outcome.text().contains("OUT OF MEMORY"), "{outcome:#?}");
    assert!(!outcome.stderr.contains("slabfit: "), "{outcome:#?}");
}

struct Server {
    port: u16,
    thread: JoinHandle<Outcome>,
}

impl Server {
    fn start(program: Program, heap: &'static str, options: &[&str]) -> Self {
        let port = free_port();
        let program = program.folder(fresh_folder(&format!("redis-{heap}"))).arguments(["--port", &port.to_string()]);
        let program = program.arguments(["--bind", "127.0.0.1", "--save", ""]).arguments(options);
        let server = Self { port, thread: thread::spawn(move || program.run_preloaded(heap)) };
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if server.thread.is_finished() || Instant::now() > end {
                panic!("the server does not listen: {:#?}", server.thread.join());
            }
            thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// The first line of its answer.
    fn ask(&self, command: &str) -> String {
        self.ask_all(command).lines().next().unwrap_or_default().to_owned()
    }

    fn ask_all(&self, command: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("it is a time");
        write!(stream, "{command}\r\nquit\r\n").expect("the server reads");
        let mut answer = vec![];
        stream.read_to_end(&mut answer).expect("the server answers and closes");
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn stop(self) -> Outcome {
        let end = Instant::now() + PATIENCE;
        while self.ask_all("info persistence").contains("rdb_bgsave_in_progress:1") && Instant::now() < end {
            thread::sleep(Duration::from_millis(20));
        }
        // Nobody is left to answer.
        self.ask_all("shutdown nosave");
        self.thread.join().expect("the server was waited for")
    }
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a loopback");
    listener.local_addr().expect("it is bound").port()
}
