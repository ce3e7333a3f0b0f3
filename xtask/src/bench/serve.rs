//! Servers under measurement: started on a data directory of their own, watched through `/proc`, and stopped.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::bench::load::{ACCESS_KEY, Endpoint, SECRET_KEY, Until};
use crate::problem::Problem;

const START_SECONDS_MAX: u64 = 60;
/// `sysconf(_SC_CLK_TCK)` of every Linux that we know.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running server; killed with its data when dropped.
#[derive(Debug)]
pub(super) struct Served {
    child: Child,
    s3_url: String,
    api_url: Option<String>,
    folder: tempfile::TempDir,
}

impl Served {
    /// Our binary, from wherever it was built to.
    pub(super) fn ours(binary: &Path) -> Result<Self, Problem> {
        let folder = scratch()?;
        let log = folder.path().join("log");
        let mut command = Command::new(binary);
        command.arg("server").arg("--data-dir").arg(folder.path().join("data"));
        for face in ["--s3-listen", "--api-listen", "--manager-listen"] {
            command.args([face, "127.0.0.1:0"]);
        }
        command.env("STRONGROOM_ROOT_ACCESS_KEY", ACCESS_KEY).env("STRONGROOM_ROOT_SECRET_KEY", SECRET_KEY);
        let mut served =
            Self { child: spawn(&mut command, &log)?, s3_url: String::new(), api_url: None, folder };
        served.wait(&log, |served, text| {
            let (Some(s3), Some(api)) = (printed(text, "S3"), printed(text, "API")) else { return false };
            served.s3_url = s3;
            served.api_url = Some(api);
            served.api("/health/ready").is_some()
        })?;
        Ok(served)
    }

    /// SeaweedFS with SSE-S3 on, all of its roles in one process.
    pub(super) fn seaweedfs(program: &Path) -> Result<Self, Problem> {
        let folder = scratch()?;
        let data = folder.path().join("data");
        fs::create_dir_all(&data).map_err(Problem::file(&data))?;
        let identities = folder.path().join("identities.json");
        let text = format!(
            r#"{{"identities":[{{"name":"root","credentials":[{{"accessKey":"{ACCESS_KEY}","secretKey":"{SECRET_KEY}"}}],"actions":["Admin","Read","Write","List","Tagging"]}}]}}"#
        );
        fs::write(&identities, text).map_err(Problem::file(&identities))?;
        let port = free_port()?;
        let log = folder.path().join("log");
        let mut command = Command::new(program);
        command.arg("server").arg(format!("-dir={}", data.display()));
        command.args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", "-master.telemetry=false"]);
        command.arg(format!("-s3.port={port}")).arg(format!("-s3.config={}", identities.display()));
        // Each role also listens 10,000 higher, so these stay low.
        for (role, port) in [("master", 9533), ("volume", 9580), ("filer", 9588)] {
            command.arg(format!("-{role}.port={port}"));
        }
        command.args([
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-volume.max=200",
            "-master.volumeSizeLimitMB=1024",
        ]);
        command.env("WEED_S3_SSE_KEK", "ab".repeat(32));
        let s3_url = format!("http://127.0.0.1:{port}");
        let mut served = Self { child: spawn(&mut command, &log)?, s3_url, api_url: None, folder };
        served.wait(&log, |served, _| {
            // It answers before it can store: the first bucket and object tell.
            let probe = || {
                let endpoint = Endpoint::new(&served.s3_url, "probe")?;
                endpoint.run(&[endpoint.create_bucket()?], 1, Until::Requests(1)).ok();
                endpoint.run(&[endpoint.put("k", 1)?], 1, Until::Requests(1))
            };
            probe().is_ok()
        })?;
        Ok(served)
    }

    fn wait(&mut self, log: &Path, mut up: impl FnMut(&mut Self, &str) -> bool) -> Result<(), Problem> {
        let deadline = Instant::now() + Duration::from_secs(START_SECONDS_MAX);
        loop {
            let text = fs::read_to_string(log).unwrap_or_default();
            if up(self, &text) {
                return Ok(());
            }
            let ended = self.child.try_wait().ok().flatten().is_some();
            if ended || Instant::now() > deadline {
                println!("{text}");
                return Err(Problem::Failed { what: "starting a server to measure".to_owned() });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Makes a bucket and returns where requests to it go.
    pub(super) fn bucket(&self, name: &str) -> Result<Endpoint, Problem> {
        let endpoint = Endpoint::new(&self.s3_url, name)?;
        endpoint.run(&[endpoint.create_bucket()?], 1, Until::Requests(1))?;
        Ok(endpoint)
    }

    /// Where it keeps its data, with the socket for administration.
    pub(super) fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The body of a GET on the API listener that answers 200.
    fn api(&self, path: &str) -> Option<String> {
        let address = self.api_url.as_ref()?.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n").ok()?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).ok()?;
        let (head, body) = reply.split_once("\r\n\r\n")?;
        head.split_whitespace().nth(1).is_some_and(|status| status == "200").then(|| body.to_owned())
    }

    /// A counter, summed over its labels.
    pub(super) fn metric(&self, name: &str) -> Result<f64, Problem> {
        let missing = || Problem::Unreadable { what: "/metrics", reason: format!("{name} is not there") };
        let text = self.api("/metrics").ok_or_else(missing)?;
        let series = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{') || rest.starts_with(' '))
        });
        let values: Vec<f64> = series.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
        if values.is_empty() { Err(missing()) } else { Ok(values.iter().sum()) }
    }

    /// User and system time so far, in seconds.
    pub(super) fn cpu_seconds(&self) -> Result<f64, Problem> {
        let path = PathBuf::from(format!("/proc/{}/stat", self.child.id()));
        let text = fs::read_to_string(&path).map_err(Problem::file(&path))?;
        // Behind the name in brackets, which may hold anything: utime and stime are fields 14 and 15 of the whole.
        let fields: Vec<&str> = text.rsplit(')').next().unwrap_or("").split_whitespace().collect();
        let field = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
        Ok((field(11) + field(12)) / TICKS_PER_SECOND)
    }

    /// A line of `/proc/PID/status` in MiB: `VmRSS` now, `VmHWM` at its highest.
    pub(super) fn memory_mib(&self, line: &str) -> Result<f64, Problem> {
        let path = PathBuf::from(format!("/proc/{}/status", self.child.id()));
        let text = fs::read_to_string(&path).map_err(Problem::file(&path))?;
        let found = text.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':'));
        let kib = found.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0);
        Ok(kib / 1024.0)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = self.folder.path();
    }
}

/// On the disk that holds the workspace: a temporary file system would make every fsync free.
pub(super) fn scratch() -> Result<tempfile::TempDir, Problem> {
    let parent = crate::process::target_dir().join("bench");
    fs::create_dir_all(&parent).map_err(Problem::file(&parent))?;
    tempfile::Builder::new().prefix("data-").tempdir_in(&parent).map_err(Problem::file(parent))
}

fn spawn(command: &mut Command, log: &Path) -> Result<Child, Problem> {
    let program = command.get_program().to_string_lossy().into_owned();
    let out = File::create(log).map_err(Problem::file(log))?;
    let errors = out.try_clone().map_err(Problem::file(log))?;
    let spawned = command.stdin(Stdio::null()).stdout(out).stderr(errors).spawn();
    spawned.map_err(|source| Problem::Start { program, source })
}

/// The address on the line that begins with the name of a face.
fn printed(text: &str, face: &str) -> Option<String> {
    let line = text.lines().find(|line| {
        let rest = line.trim_start().strip_prefix(face);
        rest.is_some_and(|rest| rest.starts_with(|c: char| !c.is_alphanumeric())) && line.contains("http://")
    })?;
    let from = line.find("http://")?;
    Some(line[from..].split_whitespace().next()?.trim_end_matches('/').to_owned())
}

fn free_port() -> Result<u16, Problem> {
    let bound = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    bound
        .map(|address| address.port())
        .map_err(|source| Problem::Start { program: "a listener".to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_face_is_read_off_its_line() {
        let text =
            "Strongroom 0.1.0\n  S3        http://127.0.0.1:9000\n  API       http://127.0.0.1:8080/\n";
        assert_eq!(printed(text, "S3").as_deref(), Some("http://127.0.0.1:9000"));
        assert_eq!(printed(text, "API").as_deref(), Some("http://127.0.0.1:8080"));
        assert_eq!(printed(text, "Manager"), None);
    }
}
